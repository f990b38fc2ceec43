"""What the authority writes, and what it refuses to write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from natwatch_provisioning.authority import Authority, AuthorityError
from natwatch_provisioning.broker import configuration, write_configuration


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "Test authority")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(AuthorityError) as caught:
        action()
    return str(caught.value)


def test_keys_are_readable_by_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue_device("box-1", tmp_path)
    assert identity.key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca/ca.key").stat().st_mode & 0o777 == 0o600


def test_openssl_accepts_what_is_issued(authority: Authority, tmp_path: Path) -> None:
    issued = (
        ("sslclient", authority.issue_device("box-1", tmp_path)),
        ("sslclient", authority.issue_service("collector", tmp_path)),
        ("sslserver", authority.issue_server(["broker.test", "192.0.2.1"], tmp_path)),
    )
    for purpose, identity in issued:
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose]
            + ["-CAfile", authority.certificate, identity.certificate],
            check=True,
            capture_output=True,
        )


def test_a_devices_certificate_is_no_servers(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue_device("box-1", tmp_path)
    command = ["openssl", "verify", "-purpose", "sslserver", "-CAfile", authority.certificate]
    assert subprocess.run([*command, identity.certificate], capture_output=True).returncode != 0


def test_names_and_addresses_are_told_apart(authority: Authority, tmp_path: Path) -> None:
    names = ["broker.test", "192.0.2.1", "2001:db8::1"]
    identity = authority.issue_server(names, tmp_path)
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["broker.test"]
    assert [str(a) for a in found.get_values_for_type(x509.IPAddress)] == names[1:]


def test_a_loaded_authority_issues_what_the_created_one_trusts(
    authority: Authority, tmp_path: Path
) -> None:
    identity = Authority.load(tmp_path / "ca").issue_device("box-1", tmp_path)
    command = ["openssl", "verify", "-CAfile", authority.certificate, identity.certificate]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_nothing_is_overwritten(authority: Authority, tmp_path: Path) -> None:
    authority.issue_device("box-1", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    again = "expected no file, found one; move it away, it is never overwritten"
    assert again in refusal(lambda: authority.issue_device("box-1", tmp_path))
    assert again in refusal(lambda: Authority.create(tmp_path / "ca", "Another"))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*")}


@pytest.mark.parametrize("device", ["", "a/b", "a+", "#", "х", "a" * 65, "a b", "../x"])
def test_a_name_that_would_not_do_in_a_topic_is_refused(
    authority: Authority, tmp_path: Path, device: str
) -> None:
    assert "expected a device id" in refusal(lambda: authority.issue_device(device, tmp_path))


@pytest.mark.parametrize("service", ["collector", "noc"])
def test_no_device_is_called_like_a_service(
    authority: Authority, tmp_path: Path, service: str
) -> None:
    refused = refusal(lambda: authority.issue_device(service, tmp_path))
    assert "names a service of the provider" in refused


def test_only_services_get_a_services_certificate(authority: Authority, tmp_path: Path) -> None:
    refused = refusal(lambda: authority.issue_service("box-1", tmp_path))
    assert refused == "expected one of collector, noc, found 'box-1'"


def test_an_authority_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    assert "create the authority first" in refusal(lambda: Authority.load(tmp_path))
    Authority.create(tmp_path / "one", "One")
    Authority.create(tmp_path / "two", "Two")
    (tmp_path / "one/ca.key").write_bytes((tmp_path / "two/ca.key").read_bytes())
    assert "ca.key does not belong" in refusal(lambda: Authority.load(tmp_path / "one"))
    (tmp_path / "one/ca.pem").write_text("nonsense")
    assert "expected ca.pem" in refusal(lambda: Authority.load(tmp_path / "one"))


def test_every_listener_asks_for_a_certificate_and_devices_own_their_client_id(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.issue_server(["broker.test"], tmp_path)
    text = configuration(authority.certificate, server, tmp_path / "access", service_ports=(8884,))
    general, *listeners = text.split("\nlistener ")
    assert "allow_anonymous false" in general
    assert [listener.split()[0] for listener in listeners] == ["8883", "443", "8884"]
    assert all("require_certificate true" in listener for listener in listeners)
    tied = ["use_username_as_clientid true" in listener for listener in listeners]
    assert tied == [True, True, False]


def test_a_configuration_is_written_again_over_an_older_one(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.issue_server(["broker.test"], tmp_path)
    write_configuration(tmp_path, authority.certificate, server, device_ports=(8883,))
    path = write_configuration(tmp_path, authority.certificate, server, device_ports=(9999,))
    assert "listener 9999\n" in path.read_text() and "8883" not in path.read_text()

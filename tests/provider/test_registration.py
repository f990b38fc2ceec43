"""natwatch-noc registration: whether a phone is registered from the line its probe is on."""

import json
import time
from typing import Any

import pytest

from natwatch_provider.noc import cli
from natwatch_provider.store.database import Database
from tests.provider.reports import HOME, envelope, latest_data, lifetime_data, message
from tests.provider.rpc_server import CONTACT, error, http, result, serving
from tests.provider.test_ingest import Collector

NOBODY = error("AOR not found in location table")


@pytest.fixture
def told(database: Database, address: str) -> str:
    """home-1 has reported 198.51.100.7 first, 203.0.113.9 last; home-2 never an address."""
    collector = Collector(database)
    now = time.time()
    reports: tuple[tuple[str, float, str, Any], ...] = (
        ("home-1", 900, "lifetime", lifetime_data(39.6, 40.4, context=line("198.51.100.7"))),
        ("home-1", 600, "lifetime", lifetime_data(39.6, 40.4, 2)),
        ("home-1", 60, "nat", latest_data("nat", context=line(None))),
        ("home-2", 60, "nat", latest_data("nat", context=line(None))),
    )
    for seq, (device, ago, kind, data) in enumerate(reports, 1):
        payload = envelope(seq, data, kind=kind, t=now - ago)
        collector.take(message("report", payload, device, now - ago))
    return address


def line(public: str | None) -> dict[str, Any]:
    return {**HOME, "public": public}


def ask(
    capsys: pytest.CaptureFixture[str],
    database: str,
    answer: Any,
    device: str = "home-1",
    *more: str,
) -> tuple[int, str, str]:
    with serving(answer) as server:
        arguments = ["--database", database, "registration", device]
        code = cli.main([*arguments, "--registrar", server.url, "--user", "7001", *more])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def contact(received: str, **more: Any) -> dict[str, Any]:
    return {**CONTACT, "Received": received, **more}


VERDICTS = (
    ([contact("sip:203.0.113.9:1024")], 0, "REGISTERED: 7001, from the probe's public address"),
    ([contact("sip:192.0.2.77:5060"), contact("sip:203.0.113.9:1")], 0, "REGISTERED: 7001"),
    (
        [contact("[not set]", Address="sip:7001@203.0.113.9:1024")],  # an ALG has rewritten it
        0,
        "203.0.113.9 (by its contact)",
    ),
    ([contact("sip:198.51.100.7:5060")], 1, "REGISTERED ELSEWHERE: 7001, not from"),
    ([contact("sip:203.0.113.10:5060")], 1, "from a neighbour of the probe's public address"),
    ([], 1, "NOT REGISTERED"),
    ([contact("[not set]")], 3, "whether from the probe's line cannot be told"),
)


@pytest.mark.parametrize(("contacts", "code", "words"), VERDICTS)
def test_the_verdict_is_said_and_is_the_exit_code(
    told: str, contacts: Any, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = ask(capsys, told, result(*contacts))
    assert (found, err) == (code, "") and words in out, out
    assert "home-1's public address: 203.0.113.9, 10 min ago" in out
    assert max(len(line) for line in out.splitlines()) < 140


def test_where_from_until_when_and_by_what_are_in_the_table(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = ask(capsys, told, result(CONTACT))
    heading, row = out.splitlines()[-2:]
    assert heading.split() == ["FROM", "UNTIL", "LEFT", "PHONE", "CONTACT"]
    for part in ("203.0.113.9:1024", "58 s", CONTACT["User-Agent"], CONTACT["Address"]):
        assert part in row
    assert ask(capsys, told, NOBODY)[0] == 1


def test_json_has_the_bindings_and_the_verdict(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ask(capsys, told, result(CONTACT), "home-1", "--json")
    found = json.loads(out)
    assert code == 0 and found["here"] and found["registered"] and found["public"] == "203.0.113.9"
    (one,) = found["bindings"]
    assert (one["received"], one["received_port"], one["expires"]) == ("203.0.113.9", 1024, 58)
    code, out, _ = ask(capsys, told, NOBODY, "home-1", "--json")
    assert code == 1 and json.loads(out)["bindings"] == [] and json.loads(out)["here"] is False


def test_a_probe_that_has_reported_no_address_leaves_it_open(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ask(capsys, told, result(CONTACT), "home-2")
    assert code == 3 and "home-2 has not reported its public address yet" in out
    code, out, _ = ask(capsys, told, NOBODY, "home-2")
    assert code == 1 and "NOT REGISTERED" in out


def test_what_a_phone_calls_itself_moves_no_cursor(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b[2J\r\nREGISTERED\u202e"
    _, out, _ = ask(capsys, told, result({**CONTACT, "User-Agent": name, "Address": name}))
    assert "\x1b" not in out and "\r" not in out and "\u202e" not in out
    assert len(out.splitlines()) == 5


def test_one_phone_with_a_long_name_does_not_fill_up_everyones_row(
    capsys: pytest.CaptureFixture[str], told: str
) -> None:
    # Of an answer of a megabyte the table would have had four gigabytes.
    phones = [contact("sip:192.0.2.77:5060")] * 50
    phones.append(contact("sip:192.0.2.78:5060", **{"User-Agent": "x" * 100_000}))
    _, out, _ = ask(capsys, told, result(*phones))
    assert len(out) < 20_000 and "x" * 100 + "…" in out


def test_a_registrar_or_a_database_that_cannot_be_asked_is_code_three_and_a_sentence(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for answer in (http("<html>"), error("Domain table not found"), b""):
        code, out, err = ask(capsys, told, answer)
        assert (code, out) == (3, "") and len(err.splitlines()) == 1, err
        assert err.startswith("natwatch-noc: registrar http://127.0.0.1:"), err
    for database, device, words in (
        ("sqlite:////nowhere/none.db", "home-1", "found no such file"),
        (told, "home-9", "expected a device that has reported, found 'home-9'"),
    ):
        code, _, err = ask(capsys, database, NOBODY, device)
        assert code == 3 and words in err, err


WRONG = (
    (["home-1", "--user", "7001"], "--registrar"),
    (["home-1", "--registrar", "http://127.0.0.1:1"], "--user"),
    (["--registrar", "http://127.0.0.1:1", "--user", "7001"], "DEVICE"),
    (["home-1", "--registrar", "127.0.0.1:1", "--user", "7001"], "expected http://HOST:PORT/PATH"),
    (["home-1", "--registrar", "http://h", "--user", "sip:7001@a"], "expected USER or USER@DOMAIN"),
    (["home-1", "--registrar", "http://h", "--user", ""], "expected USER or USER@DOMAIN"),
    (["home-1", "--registrar", "http://h", "--user", "7001@"], "expected USER or USER@DOMAIN"),
)


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_arguments_are_code_two(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--database", "sqlite:///x", "registration", *arguments])
    assert ended.value.code == 2 and words in capsys.readouterr().err

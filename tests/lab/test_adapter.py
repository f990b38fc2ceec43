"""A real adapter on a host of its own, and a real registrar."""

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from natwatch_provider.registrar.kamailio import Binding
from tests.lab import (
    ADAPTER,
    CARRIER_ADAPTER,
    ELSEWHERE,
    HOME_ADAPTER,
    PHONE,
    PUBLIC,
    REGISTRAR,
    Lab,
    adapter,
    kamailio,
)
from tests.lab.stage import ROOT, Stage, stop, wait_for

Address = tuple[str, int]

REQUEST = (
    "{method} sip:{to} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{number};rport\r\n"
    "From: <sip:probe@{source}>;tag=1\r\n"
    "To: <sip:{to}>\r\n"
    "Call-ID: {number}@{source}\r\n"
    "CSeq: 1 {method}\r\n"
    "Max-Forwards: 70\r\n"
    "Content-Length: 0\r\n\r\n"
)


def ask(lab: Lab, host: str, source: str, to: Address, method: str = "OPTIONS") -> str | None:
    """The answer to a request sent on *host* from *source*; None: half a second of silence."""
    with lab.on(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, 0))
        asking.settimeout(0.5)
        port = asking.getsockname()[1]
        message = REQUEST.format(
            method=method, to=f"{to[0]}:{to[1]}", source=source, port=port, number=port
        )
        asking.sendto(message.encode(), to)
        try:
            data, answered = asking.recvfrom(4096)
        except TimeoutError:
            return None
        assert answered == to
        return data.decode()


@pytest.mark.lab
def test_an_adapter_answers_options_on_its_segment_and_names_itself() -> None:
    with Lab(HOME_ADAPTER) as lab:
        Stage(lab).start_adapter()
        answer = ask(lab, "phone", PHONE, (ADAPTER, 5060))
        assert answer and answer.startswith("SIP/2.0 ") and "\r\nServer: baresip" in answer


@pytest.mark.lab
def test_an_adapter_is_reached_through_a_forward_to_the_port_it_uses_and_not_without() -> None:
    with Lab(HOME_ADAPTER) as lab:
        Stage(lab).start_adapter(port=5062)
        assert ask(lab, "provider", ELSEWHERE, (PUBLIC, 5062)) is None
        lab.router.set_mapping(forwards=[("udp", 5062, ADAPTER, 5062)])
        answer = ask(lab, "provider", ELSEWHERE, (PUBLIC, 5062))
        assert answer and "\r\nServer: baresip" in answer


@pytest.mark.lab
def test_an_adapter_without_an_account_sends_nothing_and_ends_with_the_lab() -> None:
    with Lab(HOME_ADAPTER) as lab:
        process = Stage(lab).start_adapter()
        assert lab.router.bindings() == []
        assert running("baresip")
    assert process.returncode is not None and not running("baresip")


@pytest.mark.lab
def test_an_adapter_registers_through_the_nat_and_the_registrar_saw_it_from_there() -> None:
    with Lab(HOME_ADAPTER) as lab:
        stage = Stage(lab)
        stage.start_kamailio({"7001": "secret", "7002": "other"})
        stage.start_adapter("7001", "secret", expires=300)
        (found,) = registered(stage, "7001")
        assert (found.received, found.received_port) == (PUBLIC, 5060), found
        assert found.address == ADAPTER and found.contact.endswith(f"@{ADAPTER}:5060"), found
        assert found.user_agent and found.user_agent.startswith("baresip"), found
        assert found.expires and 290 <= found.expires <= 300, found
        (by_full_name,) = stage.bindings("7001@operator.example")
        assert by_full_name.contact == found.contact
        assert stage.bindings("7002") == []


@pytest.mark.lab
def test_behind_a_carrier_too_it_is_seen_from_the_outermost_address() -> None:
    with Lab(CARRIER_ADAPTER) as lab:
        lab.carrier.set_mapping("fully-random")
        stage = Stage(lab)
        stage.start_kamailio({"7001": "secret"})
        stage.start_adapter("7001", "secret")
        (found,) = registered(stage, "7001")
        assert found.received == PUBLIC and found.received_port != 5060, found


@pytest.mark.lab
@pytest.mark.parametrize("user", ["7001", "7003"])
def test_with_a_wrong_password_or_name_nothing_is_registered(user: str) -> None:
    with Lab(HOME_ADAPTER) as lab:
        stage = Stage(lab)
        stage.start_kamailio({"7001": "secret"})
        stage.start_adapter(user, "guessed")
        stage.expect("adapter", "401 Unauthorized", 10)
        assert stage.bindings(user) == []


@pytest.mark.lab
def test_an_adapter_that_ends_is_registered_no_more_and_one_that_dies_until_it_expires() -> None:
    with Lab(HOME_ADAPTER) as lab:
        stage = Stage(lab)
        stage.start_kamailio({"7001": "secret"})
        process = stage.start_adapter("7001", "secret")
        registered(stage, "7001")
        stop(process)
        wait_for(lambda: not stage.bindings("7001"), 5, "no binding", lambda: stage.log("adapter"))
        process = stage.start_adapter("7001", "secret", expires=5)
        registered(stage, "7001")
        process.kill()
        assert stage.bindings("7001")
        wait_for(lambda: not stage.bindings("7001"), 10, "no binding", lambda: stage.log("adapter"))


@pytest.mark.lab
def test_a_keepalive_holds_the_adapters_binding_and_without_one_it_dies() -> None:
    for keepalive in (True, False):
        with Lab(HOME_ADAPTER) as lab:
            lab.router.set_timers(udp=35, stream=35)
            stage = Stage(lab)
            stage.start_kamailio({"7001": "secret"})
            stage.start_adapter("7001", "secret", keepalive=keepalive)
            (found,) = registered(stage, "7001")
            assert found.received_port == 5060
            time.sleep(37)  # longer than the NAT keeps it, and than the keepalive's interval
            alive = [one for one in lab.router.bindings() if one.source == ADAPTER]
            assert bool(alive) == keepalive, lab.router.bindings()


@pytest.mark.lab
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_registrar_challenges_with_the_algorithm_it_is_told(algorithm: str) -> None:
    with Lab(HOME_ADAPTER) as lab:
        Stage(lab).start_kamailio({"7001": "secret"}, algorithm)
        answer = ask(lab, "phone", PHONE, (REGISTRAR, 5060), "REGISTER")
        assert answer and answer.startswith("SIP/2.0 401 ")
        assert ("algorithm=SHA-256" in answer) == (algorithm == "SHA-256"), answer


@pytest.mark.lab
def test_support_sees_whether_the_phone_is_registered_from_the_probes_line() -> None:
    with Lab(HOME_ADAPTER) as lab:
        lab.router.set_timers(udp=8, stream=8)
        stage = Stage(lab)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        stage.start_agent("home-1", "micropython")
        wait_for(lambda: measured(stage), 90, "a measurement", lambda: stage.log("home-1"))
        code, said = support_asks(stage)
        assert code == 3 and "Connection refused" in said, said
        stage.start_kamailio({"7001": "secret"})
        code, said = support_asks(stage)
        assert code == 1 and "NOT REGISTERED" in said, said
        process = stage.start_adapter("7001", "secret")
        registered(stage, "7001")
        code, said = support_asks(stage)
        assert code == 0 and f"{PUBLIC}:5060" in said and "baresip" in said, said
        assert support_asks(stage, "7002")[0] == 1
        # The same account on a phone that does not stand at the customer's.
        stop(process)
        settings = adapter.Settings(5070, REGISTRAR, "7001", "secret", 600, False)
        lab.spawn("provider", adapter.write(stage.folder / "stranger", settings))
        registered(stage, "7001")
        code, said = support_asks(stage)
        assert code == 1 and "REGISTERED ELSEWHERE" in said, said


def measured(stage: Stage) -> bool:
    return bool(stage.noc("devices")) and bool(stage.noc("lifetimes", "home-1")["measurements"])


def support_asks(stage: Stage, user: str = "7001") -> tuple[int, str]:
    """(exit code, all that it says) of natwatch-noc registration."""
    process = stage.lab.spawn(
        "provider",
        [
            *(sys.executable, "-m", "natwatch_provider.noc.cli", "--database", stage.database),
            *("registration", "home-1", "--registrar", kamailio.RPC_URL, "--user", user),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    out, _ = process.communicate(timeout=20)
    return process.returncode, out


@pytest.mark.lab
def test_the_registrar_answers_our_one_question_and_no_other_command() -> None:
    assert kamailio.QUESTION in (ROOT / "docs/operator.md").read_text()
    with Lab(HOME_ADAPTER) as lab:
        Stage(lab).start_kamailio({"7001": "secret"})
        lookup = (
            '{"jsonrpc": "2.0", "method": "ul.lookup", "params": ["location", "7001"], "id": 1}'
        )
        for call, answered in (
            (lookup, True),
            (lookup.replace("ul.lookup", "ul.rm"), False),
            (lookup[:-1] + ', "method": "ul.flush"}', False),
            ('{"method": "core.kill", "x": ' + lookup + "}", False),
            (lookup.replace('"7001"', '"7001", "x"'), False),
        ):
            with lab.on("provider"):
                connection = http.client.HTTPConnection("127.0.0.1", kamailio.RPC_PORT, timeout=5)
                connection.request("POST", "/RPC", call)
            response = connection.getresponse()
            assert (b"AOR not found" in response.read()) == answered, call
            assert (response.status == 403) == (not answered), call
            connection.close()


@pytest.mark.lab
def test_the_registrar_ends_with_the_lab_with_all_its_processes() -> None:
    with Lab(HOME_ADAPTER) as lab:
        Stage(lab).start_kamailio({})
        assert len(running("kamailio")) > 3
    assert running("kamailio") == []


def registered(stage: Stage, user: str) -> list[Binding]:
    """The bindings of *user*, as soon as there are any."""
    return wait_for(
        lambda: stage.bindings(user), 10, f"{user} registered", lambda: stage.log("adapter")
    )


def running(program: str) -> list[str]:
    """The folders in /proc of *program*'s processes in this container."""
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if name.read_text().strip() == program:
                found.append(str(name.parent))
    return found

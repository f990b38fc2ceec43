"""A real adapter on a host of its own, and a real registrar."""

import contextlib
import socket
from pathlib import Path

import pytest

from tests.lab import ADAPTER, ELSEWHERE, HOME_ADAPTER, PHONE, PUBLIC, Lab
from tests.lab.stage import Stage

Address = tuple[str, int]

OPTIONS = (
    "OPTIONS sip:{to} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{number};rport\r\n"
    "From: <sip:probe@{source}>;tag=1\r\n"
    "To: <sip:{to}>\r\n"
    "Call-ID: {number}@{source}\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\n"
    "Content-Length: 0\r\n\r\n"
)


def ask(lab: Lab, host: str, source: str, to: Address) -> str | None:
    """The answer to OPTIONS sent on *host* from *source*; None after half a second of silence."""
    with lab.on(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, 0))
        asking.settimeout(0.5)
        port = asking.getsockname()[1]
        message = OPTIONS.format(to=f"{to[0]}:{to[1]}", source=source, port=port, number=port)
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


def running(program: str) -> list[str]:
    """The folders in /proc of *program*'s processes in this container."""
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if name.read_text().strip() == program:
                found.append(str(name.parent))
    return found

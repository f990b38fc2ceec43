"""The child process that asks pystun3: bounded in time and output, and never left behind."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from natwatch import port
from natwatch.port import child, classic, hops


def result(started: Any, seconds: float = 20) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found: dict[str, Any] | None = started.poll(port.now())
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("no result of the child")


def script(text: str, deadline: int = 10000) -> Any:
    return child.Child([sys.executable, "-c", text], port.now() + deadline, "pystun3")


def gone(pid: int) -> bool:
    """Whether there is no such process, a dead one that nobody waited for included."""
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('print(\'{"type": "Full Cone"}\')', {"type": "Full Cone"}),
        ("print('[1]')", {"error": "pystun3 ended without a result"}),
        ("print('no json')", {"error": "pystun3 ended without a result"}),
        ("raise SystemExit(1)", {"error": "pystun3 ended without a result"}),
        ("print('[' * 4000)", {"error": "pystun3 ended without a result"}),
        ("print('{}' + ' ' * 5000)", {"error": "pystun3 ended without a result"}),
        ("while True: print('x' * 1000)", {"error": "pystun3 ended without a result"}),
    ],
)
def test_whatever_a_child_prints_becomes_a_result(text: str, found: dict[str, Any]) -> None:
    started = script(text)
    assert result(started) == found
    assert gone(started._process.pid)


def test_a_child_that_does_not_end_is_killed_and_reaped_at_its_deadline() -> None:
    started = script("import time; print('{', flush=True); time.sleep(60)", deadline=1000)
    begun = time.monotonic()
    assert result(started) == {"error": "pystun3 did not end in time"}
    assert 0.9 < time.monotonic() - begun < 5
    assert gone(started._process.pid)


def test_polling_never_waits() -> None:
    started = script("import time; time.sleep(60)")
    begun = time.monotonic()
    for _ in range(100):
        assert started.poll(port.now()) is None
    assert time.monotonic() - begun < 1
    started.close()
    assert gone(started._process.pid)


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[bytes], bytes]], int]]:
    """Starts servers that answer as the given function does; gives their port."""
    sockets: list[socket.socket] = []

    def serve(answer: Callable[[bytes], bytes]) -> int:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(30)
        sockets.append(listener)

        def loop() -> None:
            while True:
                try:
                    data, source = listener.recvfrom(2048)
                    listener.sendto(answer(data), source)
                except OSError:
                    return

        threading.Thread(target=loop, daemon=True).start()
        number: int = listener.getsockname()[1]
        return number

    yield serve
    for listener in sockets:
        listener.close()


def mapped_elsewhere(request: bytes) -> bytes:
    """A success with MAPPED-ADDRESS 203.0.113.9 and no CHANGED-ADDRESS; silent to changes."""
    if len(request) > 20:
        return b"\x01\x01\0\0" + bytes(16)  # of no transaction of ours
    return b"\x01\x01\0\x0c" + request[4:20] + b"\0\x01\0\x08\0\x01\x12\x34\xcb\0\x71\x09"


ANSWERS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda request: b"\x77\x77", "KeyError"),  # a message type it does not know
    (lambda request: b"\x01\x01\0\x04" + request[4:20], "ValueError"),  # shorter than it says
]


@pytest.mark.parametrize(("answer", "named"), ANSWERS)
def test_odd_packets_that_pystun3_raises_on_are_told(
    server: Callable[[Callable[[bytes], bytes]], int],
    answer: Callable[[bytes], bytes],
    named: str,
) -> None:
    found = result(classic.start(("127.0.0.1", server(answer)), "127.0.0.1", port.now()))
    assert f"pystun3 failed with {named}" in found["error"], found


def test_answers_that_pystun3_would_ask_for_for_ever_end_at_the_deadline(
    server: Callable[[Callable[[bytes], bytes]], int],
) -> None:
    number = server(mapped_elsewhere)
    started = classic.start(("127.0.0.1", number), "127.0.0.1", port.now(), deadline=3000)
    assert result(started) == {"error": "pystun3 did not end in time"}
    assert gone(started._process.pid)


def test_a_silent_server_is_blocked_after_its_four_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        started = classic.start(silent.getsockname(), "127.0.0.1", port.now())
        assert result(started) == {"type": "Blocked", "external": None}


def test_a_source_address_that_is_not_ours_is_told() -> None:
    found = result(classic.start(("127.0.0.1", 9), "192.0.2.1", port.now()))
    assert "pystun3 failed with OSError" in found["error"]


def test_a_child_that_cannot_be_started_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert result(classic.start(("127.0.0.1", 9), None, 0)) == {"error": "no route to 127.0.0.1"}
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    started = classic.start(("127.0.0.1", 9), "127.0.0.1", 0)
    assert result(started) == {"error": "pystun3 cannot be started: error 2"}
    started.close()


def test_nothing_in_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check may be run as root, in a directory where anybody may write."""
    for name in ("json", "struct", "natwatch"):
        (tmp_path / f"{name}.py").write_text("open('trodden', 'w')")
    monkeypatch.chdir(tmp_path)
    started = hops.start(("127.0.0.1", 9), "127.0.0.1", port.now())
    found = hops.found_by(result(started))
    assert found["state"] == "silent" and not (tmp_path / "trodden").exists(), found

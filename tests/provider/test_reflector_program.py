"""The reflector on real sockets of the loopback, and natwatch-reflector as a program.

Each test has loopback addresses of its own (127/8 is one machine), so that tests with the real
port numbers run side by side.
"""

import itertools
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from natwatch.wire import stun
from natwatch.wire.auth import device_key
from natwatch_provider.reflector import sockets
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.keyfile import KeyFileError, read_master
from natwatch_provider.reflector.layout import Datagram, Layout
from natwatch_provider.reflector.sockets import SocketsError, open_ports

MASTER = bytes(range(32))
KEY = device_key(MASTER, "box-1")
_serial = itertools.count()


def own_addresses() -> tuple[str, str]:
    """Two loopback addresses that no other test uses."""
    number = os.getpid() * 64 + next(_serial) % 64
    middle = f"{number >> 8 & 0xFF}.{number & 0xFF}"
    return f"127.{64 + (number >> 16) % 64}.{middle}", f"127.{128 + (number >> 16) % 64}.{middle}"


def small_layout() -> Layout:
    return Layout(own_addresses(), media=range(8000, 8003))


@contextmanager
def serving(layout: Layout, kind: type[Reflector] = Reflector) -> Iterator[Reflector]:
    """A reflector that serves in a thread until the block ends."""
    [ports] = open_ports(layout)
    reflector = kind(layout, MASTER, b"secret", b"bootboot", lambda: 1_764_000_000_000)
    wake, stop = os.pipe()
    thread = threading.Thread(target=ports.serve, args=(reflector, wake, lambda: False))
    thread.start()
    try:
        yield reflector
    finally:
        os.write(stop, b"x")
        thread.join(10)
        for descriptor in (wake, stop):
            os.close(descriptor)
        ports.close()


def client() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(10)
    return sock


def ask(sock: socket.socket, to: tuple[str, int], *attributes: tuple[int, object]) -> bytes:
    """Send a request of the device; its transaction id."""
    txid = os.urandom(12)
    named = [(stun.USERNAME, "box-1"), *attributes]
    sock.sendto(stun.build(stun.REQUEST, txid, named, KEY), to)
    return txid


def hear(sock: socket.socket) -> tuple[stun.Message, tuple[str, int]]:
    data, source = sock.recvfrom(4096)
    return stun.parse(data), source


def test_every_port_of_both_addresses_answers_and_from_where_it_was_asked() -> None:
    layout = small_layout()
    with serving(layout), client() as sock:
        for endpoint in layout.endpoints():
            sock.sendto(stun.build(stun.REQUEST, b"twelve bytes", []), endpoint)
            message, source = hear(sock)
            assert source == endpoint
            assert message.get(stun.XOR_MAPPED_ADDRESS) == sock.getsockname()


def test_a_change_request_is_answered_from_the_other_address_and_port() -> None:
    layout = small_layout()
    first, second = layout.addresses
    with serving(layout), client() as sock:
        request = stun.build(stun.REQUEST, b"twelve bytes", [(stun.CHANGE_REQUEST, 6)])
        sock.sendto(request, (first, 3478))
        assert hear(sock)[1] == (second, 3479)


def test_a_tooth_is_pushed_and_witnessed_on_time() -> None:
    layout = small_layout()
    first, second = layout.addresses
    with serving(layout), client() as control, client() as tooth:
        at = (first, 3478)
        ask(control, at, (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
        nonce = (stun.NONCE, hear(control)[0].get(stun.NONCE))
        ask(control, at, nonce, (stun.CONTROL, bytes(4)))
        assert hear(control)[0].klass == stun.SUCCESS

        sent = time.monotonic()
        txid = ask(tooth, (second, 5060), nonce, (stun.HOLD, stun.Hold(True, 600, 3)))
        assert hear(tooth)[0].klass == stun.SUCCESS
        for copy in (1, 2, 3):
            message, source = hear(tooth)
            passed = (time.monotonic() - sent) * 1000
            push = message.get(stun.PUSH)
            assert source == (second, 5060) and message.authentic(KEY)
            assert (push.copy, push.copies) == (copy, 3)
            assert 600 + 200 * (copy - 1) <= push.idle <= passed + 2  # both are whole ms
        witnessed = [hear(control)[0].get(stun.WITNESS) for _ in range(2)]
        assert [(push.txid, push.copy) for push in witnessed] == [(txid, 1), (txid, 2)]

        ask(control, at, nonce, (stun.CONTROL, bytes(4)), (stun.AUDIT, [txid]))
        record = hear(control)[0].get(stun.RECORD)
        assert (record.outcome, record.requests, record.answers) == (stun.PUSHED, 1, 1)
        assert record.copies == 3 and record.mapped == tooth.getsockname()


def test_a_device_is_told_the_ttl_and_dscp_with_which_its_request_came() -> None:
    layout = small_layout()
    at = (layout.addresses[0], 3478)
    with serving(layout), client() as sock:
        ask(sock, at, (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
        nonce = (stun.NONCE, hear(sock)[0].get(stun.NONCE))
        for ttl, dscp in ((64, 0), (1, 46), (255, 63)):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
            ask(sock, at, nonce, (stun.CONTROL, bytes(4)))
            assert hear(sock)[0].get(stun.RECEIVED) == (ttl, dscp)


class Misdirected(Reflector):
    """Sends each answer to the broadcast address first, which the system forbids."""

    def receive(self, *arguments: Any) -> list[Datagram]:
        answers = super().receive(*arguments)
        return [answers[0]._replace(destination=("255.255.255.255", 9)), *answers]


def test_a_datagram_that_cannot_be_sent_is_counted_and_the_next_leaves() -> None:
    layout = small_layout()
    with serving(layout, Misdirected) as reflector, client() as sock:
        sock.sendto(stun.build(stun.REQUEST, b"twelve bytes", []), (layout.addresses[0], 3478))
        assert hear(sock)[0].klass == stun.SUCCESS
        assert reflector.counters["send_error"] == 1


def test_a_file_limit_that_is_too_low_is_said_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", forbidden)
    with pytest.raises(SocketsError, match="expected to open 4072 files, found .* of 1024; raise"):
        sockets.raise_file_limit(4072)


def test_a_soft_file_limit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 524_288))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    sockets.raise_file_limit(4072)
    assert raised == [(4072, 524_288)]


# The key file


def key_file(folder: Path, text: str = MASTER.hex() + "\n", mode: int = 0o640) -> str:
    path = folder / "reflector.key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_key_of_32_bytes_or_more_in_hex_is_read(tmp_path: Path) -> None:
    assert read_master(key_file(tmp_path)) == MASTER
    assert read_master(key_file(tmp_path, "AB" * 64)) == b"\xab" * 64


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        ("", 0o600, "expected 32 bytes or more in hex, found 0"),
        ("00" * 31, 0o600, "expected 32 bytes or more in hex, found 31"),
        ("0" * 65, 0o600, "expected 32 bytes or more in hex, found something else"),
        ("secret", 0o600, "expected 32 bytes or more in hex, found something else"),
        ("ключ", 0o600, "expected 32 bytes or more in hex, found something else"),
        ("00" * 32, 0o644, "expected no access for others, found mode 0644; run chmod o="),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, text: str, mode: int, complaint: str
) -> None:
    path = key_file(tmp_path, text, mode)
    with pytest.raises(KeyFileError) as caught:
        read_master(path)
    said = str(caught.value)
    assert complaint in said and path in said and "\n" not in said
    if text:
        assert text not in said  # a key is never shown


def test_a_missing_key_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(KeyFileError, match="cannot be read"):
            read_master(str(path))


# The program


def start(*arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "natwatch_provider.reflector.cli", *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str) -> tuple[int, str]:
    """The exit status and what was said on stderr."""
    process = start(*arguments)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def on(addresses: tuple[str, str], key: str) -> list[str]:
    return ["--address", addresses[0], "--address", addresses[1], "--key-file", key]


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    ready, _, _ = select.select([process.stderr], [], [], 60)
    assert ready, "the program said nothing for 60 s"
    return process.stderr.readline()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_tells_its_counters_and_ends_cleanly(
    tmp_path: Path, ending: signal.Signals
) -> None:
    addresses = own_addresses()
    process = start(*on(addresses, key_file(tmp_path)))
    try:
        first, second = addresses
        ready = f"natwatch-reflector: ready on {first} and {second}, 4008 ports\n"
        assert next_line(process) == ready
        with client() as sock:
            sock.sendto(stun.build(stun.REQUEST, b"twelve bytes", []), (second, 10_000))
            assert hear(sock)[1] == (second, 10_000)
        process.send_signal(signal.SIGUSR1)
        label, _, counters = next_line(process).partition("counters ")
        assert label == "natwatch-reflector: " and json.loads(counters) == {"plain": 1}
        process.send_signal(ending)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said == 'natwatch-reflector: counters {"plain": 1}\n'
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_named_with_its_address(tmp_path: Path) -> None:
    addresses = own_addresses()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((addresses[1], 9123))
        status, said = run(*on(addresses, key_file(tmp_path)))
    assert status == 1
    assert said == (
        f"natwatch-reflector: port 9123 of {addresses[1]} is taken by another program; "
        "stop it first\n"
    )


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    status, said = run(*on((own_addresses()[0], "192.0.2.1"), key_file(tmp_path)))
    assert status == 1
    assert said.count("\n") == 1 and "192.0.2.1 is no address of this machine" in said


def test_a_key_file_of_the_wrong_kind_ends_with_2(tmp_path: Path) -> None:
    status, said = run(*on(own_addresses(), key_file(tmp_path, "no key")))
    assert status == 2
    assert said.count("\n") == 1 and "expected 32 bytes or more in hex" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--address", "127.0.0.1"], "expected --address twice"),
        (["--address", "127.0.0.1"] * 2, "expected --address twice"),
        (["--address", "localhost"], "expected an IPv4 address, found 'localhost'"),
        (["--address", "::1"], "expected an IPv4 address, found '::1'"),
        (["--processes", "0"], "expected 1 to 64, found '0'"),
        (["--processes", "65"], "expected 1 to 64, found '65'"),
        (["--processes", "two"], "expected 1 to 64, found 'two'"),
    ],
)
def test_wrong_arguments_end_with_2_and_say_what_was_expected(
    arguments: list[str], complaint: str
) -> None:
    status, said = run(*arguments, "--key-file", "none")
    assert status == 2
    assert complaint in said and "Traceback" not in said


def test_little_may_wait_at_a_media_port_and_a_burst_at_a_signalling_port_waits() -> None:
    layout = small_layout()
    question = bytes(stun.build(stun.REQUEST, bytes(12), []))
    read = {}
    for port in (8000, 3478):
        [ports] = open_ports(layout)
        reflector = Reflector(layout, MASTER, b"secret", b"bootboot", lambda: 0)
        wake, stop = os.pipe()
        thread = threading.Thread(target=ports.serve, args=(reflector, wake, lambda: False))
        with client() as sock:
            for _ in range(1_000):
                sock.sendto(b"short", (layout.addresses[0], port))
            thread.start()
            while not select.select([sock], [], [], 0.05)[0]:  # the answer stands behind the burst
                sock.sendto(question, (layout.addresses[0], port))
        os.write(stop, b"x")
        thread.join(10)
        for descriptor in (wake, stop):
            os.close(descriptor)
        ports.close()
        read[port] = reflector.counters["short"]
    assert read[8000] < 100 and read[3478] > 2 * read[8000], read

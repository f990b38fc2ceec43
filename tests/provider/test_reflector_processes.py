"""Several reflector processes behind the same ports, on the loopback.

The program's source addresses select the process: 127.0.0.x modulo 3, so .2 and .3 go to different
ones. Each test has a reflector at addresses of its own (127/8 is one machine).
"""

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from natwatch.wire import sip, stun
from natwatch_provider.reflector import sockets
from natwatch_provider.reflector.layout import Layout
from natwatch_provider.reflector.sockets import SocketsError, open_ports
from tests.provider.test_reflector_program import (
    KEY,
    ask,
    hear,
    key_file,
    next_line,
    on,
    own_addresses,
    small_layout,
    start,
)

PROCESSES = 3
TAG = b"tag1"


@contextmanager
def program(folder: Path) -> Iterator[tuple[subprocess.Popen[str], tuple[str, str]]]:
    """natwatch-reflector with three processes, and its addresses."""
    addresses = own_addresses()
    process = start(*on(addresses, key_file(folder)), "--processes", str(PROCESSES))
    try:
        assert next_line(process).endswith(", 4008 ports, 3 processes\n")
        yield process, addresses
    finally:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def alive(pids: list[int]) -> list[int]:
    """Those that run; a zombie does not."""
    running = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            continue
        if state != "Z":
            running.append(pid)
    return running


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while left := alive(pids):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def client(address: str, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.settimeout(10)
    return sock


def counters_at_end(process: subprocess.Popen[str]) -> dict[str, int]:
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return dict(json.loads(said.partition("counters ")[2]))


# Steering


def split_pairs(steered: bool, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of 200 pairs of flows of one address, how many two different processes get."""
    if not steered:
        monkeypatch.setattr(sockets, "_steer", lambda sock, processes: None)
    layout = small_layout()
    shares = open_ports(layout, PROCESSES)
    first, second = layout.addresses
    index = {}
    with select.epoll() as poll:
        for number, share in enumerate(shares):
            for fd in share._by_fd:
                poll.register(fd, select.EPOLLIN)
                index[fd] = number

        def process_of(to: tuple[str, int]) -> int:
            with client("127.0.0.77") as sock:
                sock.sendto(b"x", to)
            [(fd, _)] = poll.poll(10)
            shares[index[fd]]._by_fd[fd][0].recv(10)
            return index[fd]

        split = sum(process_of((first, 3478)) != process_of((second, 8001)) for _ in range(200))
    for share in shares:
        share.close()
    return split


def test_all_flows_of_one_address_land_at_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_pairs(True, monkeypatch) == 0


def test_without_the_program_they_would_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_pairs(False, monkeypatch)
    assert 90 < split < 175  # two thirds of 200: chance


def test_the_source_address_modulo_the_number_of_processes_selects_the_process() -> None:
    layout = small_layout()
    shares = open_ports(layout, PROCESSES)
    to = layout.addresses[0], 5060
    for last in range(10, 22):
        with client(f"127.0.0.{last}") as sock:
            sock.sendto(b"x", to)
        expected = (0x7F000000 + last) % PROCESSES
        for number, share in enumerate(shares):
            sock = share._by_endpoint[to]
            if number == expected:
                assert sock.recv(10) == b"x"
            else:
                with pytest.raises(BlockingIOError):
                    sock.recv(10)
    for share in shares:
        share.close()


def test_a_second_reflector_does_not_slip_in_among_the_processes_of_the_first() -> None:
    layout = small_layout()
    shares = open_ports(layout, PROCESSES)
    with pytest.raises(SocketsError, match="port 3478 of .* is taken by another program"):
        open_ports(layout, PROCESSES)
    for share in shares:
        share.close()
    for share in open_ports(layout, PROCESSES):  # and the refused one left nothing open
        share.close()


# A device behind an address pool


def fresh_nonce(sock: socket.socket, at: tuple[str, int]) -> tuple[int, object]:
    """A nonce of this socket's address; the control flow of the tag stays where it is."""
    ask(sock, at, (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    return stun.NONCE, hear(sock)[0].get(stun.NONCE)


def boot_id(sock: socket.socket, at: tuple[str, int]) -> bytes:
    ask(sock, at, (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    return bytes(hear(sock)[0].get(stun.BOOT_ID))


def test_the_control_flow_at_one_process_serves_a_tooth_at_another(tmp_path: Path) -> None:
    with (
        program(tmp_path) as (process, (first, second)),
        client("127.0.0.2") as control,
        client("127.0.0.3") as tooth,
    ):
        at = (first, 3478)
        nonce = fresh_nonce(control, at)
        ask(control, at, nonce, (stun.CONTROL, TAG))
        assert hear(control)[0].klass == stun.SUCCESS
        of_tooth = fresh_nonce(tooth, at)

        hold = stun.Hold(True, 700, 2, tag=TAG)
        txid = ask(tooth, (second, 5060), of_tooth, (stun.HOLD, hold))
        assert hear(tooth)[0].klass == stun.SUCCESS

        ask(control, at, nonce, (stun.CONTROL, TAG), (stun.AUDIT, [txid]))
        record = hear(control)[0].get(stun.RECORD)
        assert (record.txid, record.outcome, record.requests) == (txid, stun.HELD, 1)
        assert record.mapped == tooth.getsockname()

        assert [hear(tooth)[0].get(stun.PUSH).copy for _ in range(2)] == [1, 2]
        message, source = hear(control)
        assert source == at and message.authentic(KEY)
        assert (message.get(stun.WITNESS).txid, message.get(stun.WITNESS).copy) == (txid, 1)

        unknown = os.urandom(12)
        ask(control, at, nonce, (stun.CONTROL, TAG), (stun.AUDIT, [txid, unknown]))
        pushed, unseen = hear(control)[0].get_all(stun.RECORD)
        assert (pushed.outcome, pushed.answers, pushed.copies) == (stun.PUSHED, 1, 2)
        assert (unseen.txid, unseen.outcome) == (unknown, stun.UNSEEN)

        counters = counters_at_end(process)
        assert counters["sibling_control"] == 3 * 2  # each accepted request, to both others
        assert counters["sibling_ask"] == 2 * 2 and counters["sibling_records"] == 2 * 2
        assert counters["pushed"] == 2 and counters["witnessed"] == 1
        assert not {"sibling_dropped", "sibling_missing"} & set(counters)


def test_a_tooth_at_another_process_is_canceled(tmp_path: Path) -> None:
    with (
        program(tmp_path) as (process, (first, _)),
        client("127.0.0.2") as control,
        client("127.0.0.3") as tooth,
    ):
        at = (first, 3478)
        nonce, of_tooth = fresh_nonce(control, at), fresh_nonce(tooth, at)
        txid = ask(tooth, at, of_tooth, (stun.HOLD, stun.Hold(True, 1_000, 1, tag=TAG)))
        assert hear(tooth)[0].klass == stun.SUCCESS
        ask(control, at, nonce, (stun.CONTROL, TAG), (stun.CANCEL, [txid]))
        record = hear(control)[0].get(stun.RECORD)
        assert (record.outcome, record.requests) == (stun.CANCELED, 1)
        time.sleep(1.3)
        assert "pushed" not in counters_at_end(process)


def test_a_nonce_of_the_pools_other_address_shows_in_the_audit(tmp_path: Path) -> None:
    with (
        program(tmp_path) as (_, (first, _)),
        client("127.0.0.2") as control,
        client("127.0.0.3") as tooth,
    ):
        at = (first, 3478)
        nonce = fresh_nonce(control, at)
        txid = ask(tooth, at, nonce, (stun.HOLD, stun.Hold(True, 1_000, 1, tag=TAG)))
        time.sleep(0.2)  # two processes: nothing else puts one before the other
        ask(control, at, nonce, (stun.CONTROL, TAG), (stun.AUDIT, [txid]))
        record = hear(control)[0].get(stun.RECORD)
        assert record.outcome == stun.WRONG_ADDRESS and record.mapped == tooth.getsockname()


def test_all_processes_have_one_boot_id(tmp_path: Path) -> None:
    with program(tmp_path) as (_, (first, _)):
        ids = set()
        for last in range(2, 2 + PROCESSES):
            with client(f"127.0.0.{last}") as sock:
                ids.add(boot_id(sock, (first, 3478)))
        assert len(ids) == 1


# A forward


@pytest.mark.parametrize("last", range(2, 2 + PROCESSES))
def test_the_answer_through_a_forward_comes_to_the_process_that_asked(
    tmp_path: Path, last: int
) -> None:
    address = f"127.0.0.{last}"
    with (
        program(tmp_path) as (process, (first, second)),
        client(address) as control,
        client(address) as adapter,
    ):
        at = (first, 3478)
        nonce = fresh_nonce(control, at)
        asked = (stun.FORWARD, stun.Forward(adapter.getsockname()[1], True))
        ask(control, at, nonce, (stun.CONTROL, TAG), asked)
        assert hear(control)[0].get(stun.FORWARDED).state == stun.UNDER_WAY
        options, origin = adapter.recvfrom(4096)
        assert origin[0] == second and origin[1] in range(8000, 10001)
        adapter.sendto(sip.response(sip.parse(options), b""), origin)
        time.sleep(0.2)  # two sockets: nothing else puts one before the other
        ask(control, at, nonce, (stun.CONTROL, TAG), asked)
        told = hear(control)[0].get(stun.FORWARDED)
        assert (told.state, told.status) == (stun.ANSWERED, 200)
        assert told.source == adapter.getsockname()
        assert counters_at_end(process)["forward_answered"] == 1


# Life and death


def test_counters_are_told_as_the_sum_of_all_processes(tmp_path: Path) -> None:
    with program(tmp_path) as (process, (first, _)):
        for last in range(2, 2 + 2 * PROCESSES):
            with client(f"127.0.0.{last}") as sock:
                sock.sendto(stun.build(stun.REQUEST, b"twelve bytes", []), (first, 9_000))
                assert hear(sock)[0].klass == stun.SUCCESS
        process.send_signal(signal.SIGUSR1)
        line = next_line(process)
        assert json.loads(line.partition("counters ")[2]) == {"plain": 2 * PROCESSES}
        pids = workers_of(process)
        assert len(pids) == PROCESSES
        assert counters_at_end(process) == {"plain": 2 * PROCESSES}
        wait_until_gone(pids)


@pytest.mark.parametrize("victim", range(PROCESSES))
def test_if_one_process_dies_all_end_and_the_status_is_1(tmp_path: Path, victim: int) -> None:
    with program(tmp_path) as (process, _):
        pids = workers_of(process)
        os.kill(pids[victim], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        sentence, counters = said.splitlines()
        assert f"worker {victim + 1} of 3 was ended by SIGKILL; the others are ended" in sentence
        assert counters == "natwatch-reflector: counters {}"
        wait_until_gone(pids)


def test_the_processes_end_with_their_parent_also_after_kill_9(tmp_path: Path) -> None:
    with program(tmp_path) as (process, addresses):
        pids = workers_of(process)
        for pid in pids:  # so that they cannot end by reading that the parent is gone
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        process.wait(60)
        wait_until_gone(pids)
        for share in open_ports(Layout(addresses)):
            share.close()


def test_signals_to_the_whole_group_end_it_cleanly(tmp_path: Path) -> None:
    with program(tmp_path) as (process, _):
        pids = workers_of(process)
        for pid in pids:  # as a service manager does: everybody at once
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        time.sleep(0.5)  # a process with 4,008 ports takes a while to die
        assert alive(pids) == pids
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "natwatch-reflector: counters {}\n")
        wait_until_gone(pids)

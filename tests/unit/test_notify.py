"""What systemd hears of the daemon: only a loop that turns feeds its watchdog."""

import os
import socket

from natwatch import port
from natwatch.port import notify
from natwatch.port.notify import Notify, address_of


class Fake:
    """Stands for the socket to systemd; *now* is a clock by which a word is dated."""

    def __init__(self):
        self.told = []
        self.address = None
        self.error = None
        self.now = 0

    def setblocking(self, flag):
        assert flag is False

    def sendto(self, data, address):
        if self.error is not None:
            raise self.error
        self.address = address
        self.told.append((self.now, data.decode()))

    def close(self):
        self.told.append((self.now, "closed"))


class Sockets:
    """Stands for the module socket, also on MicroPython."""

    AF_UNIX, SOCK_DGRAM = 1, 2

    def __init__(self, fake):
        self._fake = fake

    def socket(self, family, kind):
        assert (family, kind) == (1, 2)
        return self._fake


def asked(**environment):
    """(a Notify in this *environment*, the Fake that it sends to)."""
    fake, real = Fake(), notify.socket
    notify.socket = Sockets(fake)
    try:
        return Notify(environment.get), fake
    finally:
        notify.socket = real


def test_without_systemd_nothing_is_told():
    made, fake = asked(WATCHDOG_USEC="1000000")
    made.ready(0)
    made.turned(10**6)
    made.stopping()
    made.close()
    assert fake.told == []


def test_up_alive_and_ending_are_told_in_their_time():
    made, fake = asked(NOTIFY_SOCKET="/run/x", WATCHDOG_USEC="30000000")
    made.ready(5000)
    for fake.now in range(5000, 66000, 1000):
        made.turned(fake.now)
    made.stopping()
    made.close()
    words = [word for _, word in fake.told]
    assert words == ["READY=1"] + ["WATCHDOG=1"] * 5 + ["STOPPING=1", "closed"]
    assert [at for at, word in fake.told if word == "WATCHDOG=1"] == [
        5000,
        20000,
        35000,
        50000,
        65000,
    ]
    assert fake.address == address_of("/run/x")


def test_a_turn_that_hangs_starves_the_watchdog():
    made, fake = asked(NOTIFY_SOCKET="@abstract", WATCHDOG_USEC="10000000")
    made.ready(0)
    gaps = []
    for turn in range(40):
        fake.now += 600000 if turn == 20 else 1000  # this turn blocks for ten minutes
        made.turned(fake.now)
    fed = [at for at, word in fake.told if word == "WATCHDOG=1"]
    gaps = [later - earlier for earlier, later in zip(fed, fed[1:])]
    assert max(gaps) >= 600000 and sorted(gaps)[-2] == 5000, gaps
    assert fake.address == address_of("@abstract")


def test_a_watchdog_that_waits_for_another_process_or_for_nothing_is_not_fed():
    for changes in (
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "x"},
    ):
        if "WATCHDOG_PID" in changes and not hasattr(os, "getpid"):
            continue
        made, fake = asked(NOTIFY_SOCKET="/run/x", **changes)
        made.ready(0)
        made.turned(10**9)
        assert [word for _, word in fake.told] == ["READY=1"], changes


def test_a_systemd_that_does_not_listen_ends_nothing():
    made, fake = asked(NOTIFY_SOCKET="/run/x", WATCHDOG_USEC="1000000")
    fake.error = OSError(111)
    made.ready(0)
    made.turned(1000)
    made.stopping()
    assert fake.told == []


def test_the_datagrams_arrive_at_a_real_socket():
    if not hasattr(socket, "AF_UNIX"):
        return  # a build without Unix sockets
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = "@natwatch-test-" + port.random(8).hex()
    listener.bind(address_of(name))
    made = Notify({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"}.get)
    made.ready(0)
    made.turned(0)
    made.stopping()
    made.close()
    told = [listener.recv(100) for _ in range(3)]
    listener.close()
    assert told == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]

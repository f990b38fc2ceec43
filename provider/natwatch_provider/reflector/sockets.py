"""The reflector's sockets and its one loop: feed the core, send what it says, wake for timers."""

import errno
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable

from natwatch.wire.stun import MAX_BYTES
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout

SPARE_FILES = 64  # descriptors for all that is not a port
BATCH = 32  # datagrams read from one socket before the others and the timers get their turn


class SocketsError(Exception):
    """The ports cannot be opened; the text names the endpoint and says what to do."""


def monotonic() -> int:
    """Milliseconds that only go forward."""
    return time.monotonic_ns() // 1_000_000


def raise_file_limit(needed: int) -> None:
    """Let this process open *needed* files. Raises SocketsError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        except (ValueError, OSError):
            raise SocketsError(
                f"expected to open {needed} files, found a hard limit of {hard}; "
                "raise it (ulimit -Hn, or LimitNOFILE= in the unit)"
            ) from None


def _bind(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(endpoint)
    except OSError as error:
        sock.close()
        address, port = endpoint
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {address} is taken by another program; stop it first"
        elif error.errno == errno.EADDRNOTAVAIL:
            text = f"{address} is no address of this machine; expected one of `ip address`"
        else:
            text = f"port {port} of {address} cannot be opened ({error.strerror})"
        raise SocketsError(text) from None
    return sock


class Ports:
    """All sockets of a layout, and the loop over them."""

    def __init__(self, layout: Layout) -> None:
        endpoints = layout.endpoints()
        raise_file_limit(len(endpoints) + SPARE_FILES)
        self._by_endpoint: dict[Endpoint, socket.socket] = {}
        self._by_fd: dict[int, tuple[socket.socket, Endpoint]] = {}
        try:
            for endpoint in endpoints:
                sock = _bind(endpoint)
                self._by_endpoint[endpoint] = sock
                self._by_fd[sock.fileno()] = (sock, endpoint)
        except SocketsError:
            self.close()
            raise

    def close(self) -> None:
        """Close every socket."""
        for sock in self._by_endpoint.values():
            sock.close()

    def serve(self, reflector: Reflector, wake: int, on_wake: Callable[[], bool]) -> None:
        """Serve until *on_wake*, called when the descriptor *wake* is readable, returns False."""
        with select.epoll() as poll:
            poll.register(wake, select.EPOLLIN)
            for fd in self._by_fd:
                poll.register(fd, select.EPOLLIN)
            while True:
                for fd, _ in poll.poll(_wait(reflector)):
                    if fd != wake:
                        self._receive(reflector, fd)
                    elif not on_wake():
                        return
                    self._fire(reflector)
                self._fire(reflector)

    def _receive(self, reflector: Reflector, fd: int) -> None:
        sock, local = self._by_fd[fd]
        for _ in range(BATCH):
            try:
                # One byte more than allowed, so that a huge datagram shows as huge.
                data, source = sock.recvfrom(MAX_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                reflector.counters["receive_error"] += 1
                return
            self._send(reflector, reflector.receive(data, source, local, monotonic()))

    def _fire(self, reflector: Reflector) -> None:
        due = reflector.next_timer()
        if due is not None and due <= (now := monotonic()):
            self._send(reflector, reflector.handle_timer(now))

    def _send(self, reflector: Reflector, datagrams: list[Datagram]) -> None:
        for datagram in datagrams:
            try:
                self._by_endpoint[datagram.local].sendto(datagram.data, datagram.destination)
            except OSError:
                reflector.unsent(datagram)


def _wait(reflector: Reflector) -> float | None:
    due = reflector.next_timer()
    return None if due is None else max(0, due - monotonic()) / 1000


class Signals:
    """Signals as bytes on a descriptor, so that they wake the loop and break nothing."""

    def __init__(self, numbers: list[signal.Signals]) -> None:
        self.wake, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in numbers:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def read(self) -> list[int]:
        """The numbers of the signals that arrived."""
        return list(os.read(self.wake, 64))

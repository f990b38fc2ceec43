"""The reflector's sockets and its one loop: feed the core, send what it says, wake for timers.

Several processes may share every port; then each datagram goes to the process that its source
address selects, so that a device with one public address is always at the same process.
"""

import ctypes
import errno
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from natwatch.wire.stun import MAX_BYTES
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout
from natwatch_provider.reflector.siblings import Siblings

# Linux's numbers that Python 3.11 has no names for (asm-generic/socket.h, linux/in.h).
SO_ATTACH_REUSEPORT_CBPF = 51
IP_RECVTTL = 12

SPARE_FILES = 64  # descriptors for all that is not a port
ANCILLARY = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(1)  # bytes: TTL is an int, TOS one byte
SO_RCVBUFFORCE = 33
# Bytes that may wait at a signalling port, where every device's control flow arrives: at 50,000
# datagrams a second the system's 208 KiB are 5 ms, and a busy machine may not let this process run
# for longer. At a media port few may: there are thousands, and what a flood over all of them leaves
# waiting takes memory, and seconds to read. The kernel counts twice as many, with its own records.
WAITING = 2 * 1024 * 1024
MEDIA_WAITING = 16 * 1024
# Datagrams read from one socket before the others and the timers get their turn. Media ports are
# thousands: one each, without asking in vain for a second, is then as much as all signalling ports
# get; these must not wait for long, since every device's control flow comes to one of them.
BATCH = 256
MEDIA_BATCH = 1


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


def steering(processes: int) -> bytes:
    """Classic BPF that gives a datagram to the process (source address modulo *processes*).

    Three instructions (linux/filter.h): load the word at byte 12 of the network header
    (SKF_NET_OFF is -0x100000), take it modulo, return it as the index in the order of binding.
    """
    load_word_absolute, modulo_constant, return_accumulator = 0x20, 0x94, 0x16
    return b"".join(
        struct.pack("HBBI", code, 0, 0, value & 0xFFFFFFFF)
        for code, value in (
            (load_word_absolute, -0x100000 + 12),
            (modulo_constant, processes),
            (return_accumulator, 0),
        )
    )


def _steer(sock: socket.socket, processes: int) -> None:
    """Steer the whole group of sockets that share the port of *sock*."""
    program = ctypes.create_string_buffer(steering(processes))
    # struct sock_fprog: how many instructions, and where they are.
    fprog = struct.pack("HP", 3, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, fprog)


def _bind(endpoint: Endpoint, shared: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
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


def _let_wait(sock: socket.socket, size: int) -> None:
    """Let *size* bytes wait at *sock*; without CAP_NET_ADMIN at most net.core.rmem_max."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _bind_all(endpoint: Endpoint, processes: int) -> list[socket.socket]:
    """One socket of *endpoint* a process, in the order of the processes. Raises SocketsError."""
    if processes == 1:
        return [_bind(endpoint)]
    # Sharing would let a second reflector of the same user slip in unnoticed, and half of the
    # datagrams after it: so the port must be free for one that does not share.
    _bind(endpoint).close()
    socks: list[socket.socket] = []
    try:
        for _ in range(processes):
            socks.append(_bind(endpoint, shared=True))
    except SocketsError:
        for sock in socks:
            sock.close()
        raise
    _steer(socks[0], processes)
    return socks


def open_ports(layout: Layout, processes: int = 1) -> "list[Ports]":
    """The ports of *layout* once for each process. Raises SocketsError, and leaves none open."""
    raise_file_limit(len(layout.endpoints()) * processes + SPARE_FILES)
    shares: list[dict[Endpoint, socket.socket]] = [{} for _ in range(processes)]
    try:
        for endpoint in layout.endpoints():
            for share, sock in zip(shares, _bind_all(endpoint, processes), strict=True):
                share[endpoint] = sock
                _let_wait(sock, MEDIA_WAITING if endpoint[1] in layout.media else WAITING)
    except SocketsError:
        for share in shares:
            Ports(share, layout.media).close()
        raise
    return [Ports(share, layout.media) for share in shares]


class Ports:
    """One process's sockets of all endpoints, and the loop over them."""

    def __init__(self, socks: dict[Endpoint, socket.socket], media: range) -> None:
        self._by_endpoint = socks
        self._by_fd = {
            sock.fileno(): (sock, endpoint, MEDIA_BATCH if endpoint[1] in media else BATCH)
            for endpoint, sock in socks.items()
        }

    def close(self) -> None:
        """Close every socket."""
        for sock in self._by_endpoint.values():
            sock.close()

    def serve(
        self, reflector: Reflector, wake: int, on_wake: Callable[[], bool],
        siblings: Siblings | None = None,
    ) -> None:  # fmt: skip
        """Serve until *on_wake*, called when the descriptor *wake* is readable, returns False.

        *siblings* are the other processes, if there are any.
        """
        talk = siblings.descriptors() if siblings else set()
        fired = 0  # ms
        with select.epoll() as poll:
            for fd in (wake, *talk, *self._by_fd):
                poll.register(fd, select.EPOLLIN)
            while True:
                for fd, _ in poll.poll(_wait(reflector)):
                    if siblings and fd in talk:
                        self._send(reflector, siblings.receive(fd, reflector, monotonic()))
                    elif fd != wake:
                        self._receive(reflector, fd)
                    elif not on_wake():
                        return
                    if (now := monotonic()) != fired:  # no timer is finer than that
                        fired = now
                        self._fire(reflector)
                self._fire(reflector)

    def _receive(self, reflector: Reflector, fd: int) -> None:
        sock, local, batch = self._by_fd[fd]
        for _ in range(batch):
            try:
                # One byte more than allowed, so that a huge datagram shows as huge.
                data, fields, _, source = sock.recvmsg(MAX_BYTES + 1, ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                reflector.counters["receive_error"] += 1
                return
            ttl, dscp = _header(fields)
            self._send(reflector, reflector.receive(data, source, local, monotonic(), ttl, dscp))

    def _fire(self, reflector: Reflector) -> None:
        due = reflector.next_timer()
        if due is not None and due <= (now := monotonic()):
            self._send(reflector, reflector.handle_timer(now))

    def _send(self, reflector: Reflector, datagrams: list[Datagram]) -> None:
        for datagram in datagrams:
            sock = self._by_endpoint[datagram.local]
            fields = [] if datagram.ttl is None else [_ttl_field(datagram.ttl)]
            try:
                sock.sendmsg([datagram.data], fields, 0, datagram.destination)
            except OSError:
                reflector.unsent(datagram)


def _ttl_field(ttl: int) -> tuple[int, int, bytes]:
    """What sendmsg() wants, to send one datagram with that TTL (ip(7): an int, in host order)."""
    return socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", ttl)


def _header(fields: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """The TTL and the DSCP (RFC 2474: the upper six bits of TOS) among what recvmsg() says."""
    ttl = dscp = 0
    for _, number, value in fields:
        if number == socket.IP_TTL:
            ttl = int.from_bytes(value, sys.byteorder)
        elif number == socket.IP_TOS:
            dscp = value[0] >> 2
    return ttl, dscp


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

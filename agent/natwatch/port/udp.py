"""UDP sockets, each on a local port that was not used for a long time."""

import errno
import socket

from natwatch import port

_AGAIN = errno.EAGAIN
_IN_USE = errno.EADDRINUSE
_IP, _IP_TTL = 0, 2  # IPPROTO_IP, IP_TTL (linux/in.h); MicroPython's socket has no names for them
_SYSTEM = -1  # as IP_TTL: the system's own
_FIRST, _LAST = 16384, 60999
_LARGEST = 2049  # bytes; one more than any message that is accepted, so that huge ones show


class Ports:
    """Hands out local ports in turn from a random start: one sequence for the whole program.

    The kernel would choose at random, and so now and then choose the port of a binding that the
    NAT still keeps: the new tooth would live in the old one's state (docs/decisions/comb.md). So
    would those of a second sequence that begins anew: a check in which the search for the boxes
    drew the ports of the search for the lifetimes before it called a timer of 30 s one of 45 s.
    """

    def __init__(self):
        drawn = port.random(2)
        self._next = _FIRST + (drawn[0] << 8 | drawn[1]) % (_LAST - _FIRST)

    def open(self, fixed=None):
        """A Udp on the next free port, or on the port *fixed* that a phone would keep for ever.

        Raises OSError if there is none, or no descriptor left.
        """
        if fixed is not None:
            return Udp(fixed)
        for _ in range(200):
            number = self._next
            self._next = number + 1 if number < _LAST else _FIRST
            try:
                return Udp(number)
            except OSError as error:
                if error.errno != _IN_USE:
                    raise
        raise OSError(_IN_USE, "no free port")


class Udp:
    """A non-blocking UDP socket. Not connected: the sender of an answer is evidence."""

    def __init__(self, number):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(port.pack_address("0.0.0.0", number))
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise
        self.number = number

    def fileno(self):
        return self._socket.fileno()

    def send(self, data, destination, ttl=None):
        """Send to (address, port), with IP TTL *ttl* if given.

        Raises OSError, for example without a route (ENETUNREACH).
        """
        packed = port.pack_address(destination[0], destination[1])
        if ttl is None:
            self._socket.sendto(data, packed)
            return
        self._socket.setsockopt(_IP, _IP_TTL, ttl)
        try:
            self._socket.sendto(data, packed)
        finally:
            self._socket.setsockopt(_IP, _IP_TTL, _SYSTEM)

    def receive(self):
        """(data, (address, port)), or None if nothing is waiting.

        Raises OSError: some kernels tell here, once, of an ICMP error to an earlier datagram.
        """
        try:
            data, raw = self._socket.recvfrom(_LARGEST)
        except OSError as error:
            if error.errno != _AGAIN:
                raise
            return None
        return data, port.unpack_address(raw)

    def close(self):
        self._socket.close()


PORTS = Ports()

"""Where a reflector listens, and which endpoint is "the other one".

Two addresses, in different halves of the provider's network, each with every port below: a
mistyped netmask or port range in a customer's firewall shows as one half that answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from natwatch.wire.stun import ANY_PORT, CHANGE_IP, CHANGE_PORT

Endpoint = tuple[str, int]


class Arrival(NamedTuple):
    """How a datagram came: from *source* to our endpoint *local*, at *now* (ms).

    *ttl* and *dscp* are those of its IP header as it arrived; 0 where the system did not say.
    """

    source: Endpoint
    local: Endpoint
    now: int
    ttl: int
    dscp: int


class Datagram(NamedTuple):
    """Bytes to send from *local* to *destination*. *tooth*: the tooth, or the forward's probe, that
    it is a copy for, if any. *ttl*: the IP TTL, None for the system's own."""

    local: Endpoint
    destination: Endpoint
    data: bytes
    tooth: object | None = None
    ttl: int | None = None


@dataclass(frozen=True)
class Layout:
    """The endpoints of one reflector; the defaults are the ports that the product uses."""

    addresses: tuple[str, str]
    stun: int = 3478
    alternate: int = 3479
    sip: int = 5060
    media: range = range(8000, 10001)

    def endpoints(self) -> list[Endpoint]:
        """Every (address, port) to listen on, 4,008 of them with the default ports."""
        ports = [self.stun, self.alternate, self.sip, *self.media]
        return [(address, port) for address in self.addresses for port in ports]

    def other(self, local: Endpoint, change: int) -> Endpoint:
        """The endpoint that CHANGE_IP and CHANGE_PORT in *change* lead to from *local*.

        The other port is 3479, and 3478 for whoever asked at 3479, so that the same request to
        5060 or to a media port has an answer too (RFC 5780 knows two ports only).
        """
        address, port = local
        if change & CHANGE_IP:
            address = self.addresses[1 if address == self.addresses[0] else 0]
        if change & CHANGE_PORT:
            port = self.stun if port == self.alternate else self.alternate
        return address, port

    def origin(self, local: Endpoint, source: int, draw: Callable[[int], int]) -> Endpoint:
        """Where pushes for a tooth that asked at *local* leave from, by HOLD's *source*.

        ANY_PORT is a media port other than the one asked, so that nobody has contacted it from
        the tooth's binding. *draw*(n) is a random number below n.
        """
        if not source & ANY_PORT:
            return self.other(local, source)
        port = self.media[draw(len(self.media) - 1)]
        if port == local[1]:
            port = self.media[-1]
        return self.other(local, source & CHANGE_IP)[0], port

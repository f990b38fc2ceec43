"""A reflector core under a clock of the test's own, and a device that speaks to it."""

from collections.abc import Callable, Iterator

from natwatch.wire import stun
from natwatch.wire.auth import device_key
from natwatch_provider.reflector.control import Siblings
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout

MASTER = bytes(range(32))
BOOT_ID = b"bootboot"
WALL = 1_764_000_000_123
A, B = "192.0.2.1", "192.0.2.200"
LAYOUT = Layout((A, B))
CONTROL = (A, 3478)  # where control requests go
SIP = (A, 5060)
HOME: Endpoint = ("203.0.113.9", 40_000)  # the device's control flow, as seen from outside
TOOTH: Endpoint = ("203.0.113.9", 40_001)
ELSEWHERE: Endpoint = ("198.51.100.66", 40_001)


class Rig:
    """A reflector at `now` (ms), and one device whose nonce it knows."""

    def __init__(
        self, device: str = "box-1", master: bytes = MASTER, siblings: Siblings | None = None,
        draw: Callable[[int], int] = lambda below: 0, no_amplification: bool = False,
    ) -> None:  # fmt: skip
        self.now = 5_000_000
        self.reflector = Reflector(
            LAYOUT, MASTER, b"secret", BOOT_ID, lambda: WALL, siblings=siblings, draw=draw,
            no_amplification=no_amplification,
        )  # fmt: skip
        self.device = device
        self.key = device_key(master, device)
        self._serial = 0

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.reflector.counters)

    def txid(self) -> bytes:
        self._serial += 1
        return b"%012d" % self._serial

    def receive(
        self, data: bytes, source: Endpoint, local: Endpoint, ttl: int = 0, dscp: int = 0
    ) -> list[Datagram]:
        return self.reflector.receive(data, source, local, self.now, ttl, dscp)

    def request(self, *attributes: tuple[int, object], txid: bytes | None = None) -> bytes:
        """A Binding request of the device, sealed with its key."""
        named = [(stun.USERNAME, self.device), *attributes]
        return bytes(stun.build(stun.REQUEST, txid or self.txid(), named, self.key))

    def control(
        self, *attributes: tuple[int, object], source: Endpoint = HOME, nonce: bytes | None = None
    ) -> stun.Message:
        """The answer to a control request, which must come and be authentic."""
        nonce = nonce or self.nonce(source)
        data = self.request((stun.NONCE, nonce), (stun.CONTROL, bytes(4)), *attributes)
        [answer] = self.receive(data, source, CONTROL)
        assert (answer.local, answer.destination) == (CONTROL, source)
        message = stun.parse(answer.data)
        assert message.authentic(self.key)
        return message

    def nonce(self, source: Endpoint = HOME) -> bytes:
        data = self.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
        [answer] = self.receive(data, source, CONTROL)
        return bytes(stun.parse(answer.data).get(stun.NONCE))

    def audit(self, *txids: bytes) -> list[stun.Record]:
        return list(self.control((stun.AUDIT, list(txids))).get_all(stun.RECORD))

    def hold(
        self, answer: bool = True, delay: int = 10_000, copies: int = 3, change: int = 0,
        nonce: bytes | None = None, txid: bytes | None = None,
        earlier: list[int] | None = None, collect: bool = False, reply: bool = False,
        reflect: bool = False, refresh: stun.Refresh | None = None,
    ) -> bytes:  # fmt: skip
        """The request of a tooth."""
        nonce = nonce or self.nonce()
        hold = stun.Hold(answer, delay, copies, change, bytes(4), collect, reply, reflect)
        more: list[tuple[int, object]] = []
        if earlier is not None:
            more.append((stun.EARLIER, earlier))
        if refresh is not None:
            more.append((stun.REFRESH, refresh))
        return self.request((stun.NONCE, nonce), (stun.HOLD, hold), *more, txid=txid)

    def pass_time(self, until: int) -> Iterator[tuple[int, Datagram]]:
        """Each datagram that leaves by a timer until then, and when it does."""
        while (due := self.reflector.next_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            for datagram in self.reflector.handle_timer(self.now):
                yield self.now, datagram
        self.now = max(self.now, until)

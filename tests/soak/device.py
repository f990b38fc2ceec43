"""The device of the soak: natwatch.daemon.service as it is, on a simulated line and clock."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from world import ADDRESS, DEVICE, KEY

from natwatch import config, port
from natwatch.daemon import boxes, service
from natwatch.daemon.clock import Clock
from natwatch.daemon.link import Link
from natwatch.daemon.spool import Spool
from natwatch.daemon.supervision import Supervision
from natwatch.port import classic, hops, kernel, network, upnp
from natwatch.probes import gateway
from tests.soak.far import WALL, Broker, Driver
from tests.soak.line import Line

_TURN = 5_000  # ms; the loop turns at least so often
_GATEWAY, _LOCAL = "192.168.1.1", "192.168.1.20"
_SILENT = "nothing is asked in a simulation"


class Wire:
    """The link among the engines of a World, which knows no streams."""

    def __init__(self, link: Any, broker: Broker) -> None:
        self._link = link
        self._broker = broker

    def next_timer(self) -> int | None:
        return 0 if self._broker.waiting else self._link.next_timer()

    def handle_timer(self, now: int) -> None:
        if self._broker.waiting:
            self._broker.waiting.clear()
            self._link.ready(1, now)
        timer = self._link.next_timer()
        if timer is not None and now >= timer:
            self._link.handle_timer(now)

    def notice(self, _notice: Any, _now: int) -> None:
        """The control flow is nothing to it."""

    def take_sends(self) -> list[Any]:
        return []


class Loop:
    """natwatch.daemon.loop.Loop's calls, on a Line."""

    def __init__(self, line: Line, control: Any) -> None:
        self.line = line
        self.engines = line.engines
        self.engines.append(control)
        self.streams: list[Any] = []
        self.counters: dict[str, int] = {}
        self.send_error = None

    def start(self, engine: Any, now: int) -> None:
        if engine not in self.engines:
            self.engines.append(engine)
        engine.start(now)
        self.line._drain(engine)

    def remove(self, engine: Any) -> None:
        self.line.remove(engine)

    drop = remove

    def turn(self, _most: int = 0) -> None:
        once = iter((False, True))
        self.line.run(self.line.now + _TURN, lambda: next(once))

    def close(self) -> None:
        self.engines.clear()


class Evidence:
    """What natwatch.evidence.Evidence finds where nobody answers."""

    counters: dict[str, int] = {}
    bytes = 0

    def __init__(self, _reflector: Any, _random: Any) -> None:
        self.done = False

    def start(self, now: int) -> None:
        self._due = now

    def receive(self, *_datagram: Any) -> None:
        """It asked nobody."""

    notice = receive

    def next_timer(self) -> int | None:
        return None if self.done else self._due

    def handle_timer(self, _now: int) -> None:
        self.done = True

    def take_sends(self) -> list[Any]:
        return []

    def take_results(self) -> list[Any]:
        if not self.done:
            return []
        found = {"gateway": _GATEWAY, "upnp": upnp.verdict("unsupported", _SILENT)}
        found.update({name: gateway.verdict("unsupported", _SILENT) for name in ("nat_pmp", "pcp")})
        found["icmp"] = hops.verdict("unsupported", reason=_SILENT)
        return [found]

    def stop(self, _now: int) -> None:
        self.done = True


def raised(_supervision: Any, part: str, error: Exception, _now: int) -> None:
    """What the daemon would live through ends the soak."""
    raise AssertionError(f"{part} raised") from error


@contextmanager
def daemon(line: Line, broker: Broker, say: Callable[[str], None]) -> Iterator[Any]:
    """A Service with nothing but default settings, started."""
    needed = {"device": DEVICE, "reflector": {"address": ADDRESS, "key": KEY.hex()}}
    always: list[tuple[Any, str, Callable[..., Any]]] = [
        (port, "now", lambda: line.now),
        (port, "wall", lambda: WALL + line.now / 1000),
        (port, "random", line.random),
        (service, "Clock", lambda session: Clock(session, lambda: WALL + line.now / 1000)),
        (Supervision, "raised", raised),
        (network, "gateway", lambda: _GATEWAY),
        (network, "local_address", lambda _to: _LOCAL),
        (network, "address_towards", lambda _to: _LOCAL),
        (network, "own_addresses", lambda: [_LOCAL]),
        (kernel, "of_this_router", lambda _listing: None),
        (classic, "start", lambda *_asked: None),
        (boxes, "Evidence", Evidence),
        (service, "Loop", lambda control, _raised: Loop(line, control)),
    ]
    with ExitStack() as stack:
        for owner, name, instead in always:
            stack.enter_context(patch.object(owner, name, instead))
        spool = Spool(line.random(8).hex())
        fraction = lambda: line.numbers.below(65536) / 65536  # noqa: E731
        described = {"version": "soak", "interpreter": "cpython"}
        link = Link(
            DEVICE, [broker], spool, Driver, fraction,
            lambda now: {**described, "mono": now / 1000},
        )  # fmt: skip
        made = service.Service(config.check(needed), spool, link, say)
        made.start()
        line.engines.append(Wire(link, broker))
        yield made

"""The far end of the link: a broker that a line may cut off, and the collector behind it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from natwatch.wire import telemetry
from natwatch_provider.collector.detect import DAY
from natwatch_provider.collector.ingest import ingest
from natwatch_provider.collector.judge import Rules
from natwatch_provider.collector.messages import Message, Report, parse
from natwatch_provider.store.database import Database
from natwatch_provider.store.schema import alert
from tests.soak.line import Line

WALL = 1_700_000_000  # UTC seconds at the line's 0; the simulated reflector's as well
_DELAY = 30  # ms one way
_CONNECT = 20_000  # ms that a driver tries for
_WILL = 90_000  # ms after which a broker tells a will
_RULES = Rules(keepalive_s=20.0, span_s=14 * DAY)  # the collector's defaults


class Collector:
    """Parses, stores and judges as natwatch-collector does, in the database *address*."""

    def __init__(self, line: Line, address: str, said: Callable[[str], None]) -> None:
        self._line = line
        self._said = said
        self.database = Database(address)
        self.database.upgrade()
        self.stored = 0
        self.brackets = 0  # compared with the truth
        self.wrong: list[str] = []
        self.dropped: dict[str, int] = {}

    def take(self, topic: str, payload: bytes) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """What is to be acknowledged."""
        now = WALL + self._line.now / 1000
        one = parse(Message(topic, payload, now))
        if isinstance(one, Report) and one.kind == "lifetime":
            self._compare(one)
        with self.database.writing() as connection:
            outcome = ingest(connection, [one], _RULES, now)
        self.stored += outcome.stored
        for reason, _, detail in outcome.dropped:
            assert reason in ("duplicate", "stale_state"), (reason, detail)
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
        for text in outcome.lines:
            self._said(text)
        return outcome.acks

    def _compare(self, one: Report) -> None:
        state, lo, hi = (one.data[name] for name in ("state", "lo", "hi"))
        if lo is None or state == "refreshed" or one.t is None:
            return
        self.brackets += 1
        if not self._line.agrees(state, lo, hi, _ms(one.t)):
            self.wrong.append(f"a wrong bracket: {one.data}")

    def alerts(self) -> list[tuple[float, float | None]]:
        """(raised, cleared), ms of the line."""
        with self.database.reading() as connection:
            rows = connection.execute(select(alert.c.raised, alert.c.cleared).order_by(alert.c.id))
            return [(_ms(raised), None if end is None else _ms(end)) for raised, end in rows]


def _ms(wall: float) -> float:
    return (wall - WALL) * 1000


class Broker:
    """Makes Drivers, and stands for the endpoint of the link."""

    def __init__(self, line: Line, collector: Collector) -> None:
        self.line = line
        self.collector = collector
        self.waiting: list[Driver] = []  # with events that nobody has taken

    def __str__(self) -> str:
        return "broker"


class Driver:
    """One connection, with the calls of daemon/connection.py."""

    def __init__(
        self, broker: Broker, _client: str, _keepalive: int, will: tuple[str, bytes]
    ) -> None:
        self._broker = broker
        self._line = broker.line
        self._will = will
        self._events: list[tuple[Any, ...]] = []
        self._deadline: int | None = None
        self._broken = 0
        self._numbers = 0
        self._open = True

    def connect(self, now: int) -> None:
        self._deadline = now + _CONNECT
        self._broken = self._line.broken
        self._line.at(now + 4 * _DELAY, self._accept)

    def fileno(self) -> int:
        return -1

    def interest(self) -> int:
        return 0

    def ready(self, _mask: int, _now: int) -> None:
        """Its events are there already."""

    def next_timer(self) -> int | None:
        return self._deadline

    def handle_timer(self, now: int) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._tell("closed", "no answer")

    def subscribe(self, _topic: str, _qos: int) -> None:
        """The acknowledgements come all the same."""

    def publish(self, topic: str, payload: bytes, _qos: int) -> int:
        self._numbers += 1
        self._line.at(self._line.now + _DELAY, self._deliver, topic, payload, self._numbers)
        return self._numbers

    def take_events(self) -> list[tuple[Any, ...]]:
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self._open = False
        self._events = []
        # The link closes what is dead: the broker notices late.
        self._line.at(self._line.now + _WILL, self._broker.collector.take, *self._will)

    def _alive(self) -> bool:
        return self._open and not self._line.away and self._broken == self._line.broken

    def _accept(self) -> None:
        if self._alive():
            self._deadline = None
            self._tell("connected")

    def _deliver(self, topic: str, payload: bytes, number: int) -> None:
        if not self._alive():
            return
        acks = self._broker.collector.take(topic, payload)
        self._line.at(self._line.now + _DELAY, self._answer, ("published", number))
        for (device, boot), ranges in acks.items():
            if self._line.numbers.below(50):  # one in fifty is lost between collector and broker
                told = telemetry.encode_ack(boot, ranges)
                down = ("message", f"natwatch/{device}/down/ack", told)
                self._line.at(self._line.now + _DELAY, self._answer, down)

    def _answer(self, event: tuple[Any, ...]) -> None:
        if self._alive():
            self._tell(*event)

    def _tell(self, *event: Any) -> None:
        self._events.append(event)
        self._broker.waiting.append(self)

"""The agent's engines against the reflector's core: both ends of docs/protocol.md at once."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from natwatch.probes.filtering import Filtering
from natwatch.probes.keepalives import Keepalives
from natwatch.probes.resident import Resident
from natwatch.probes.session import Session
from natwatch.probes.teeth import ONEWAY, REPLIED, STREAM, Teeth
from natwatch.wire.auth import device_key
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.layout import Datagram, Endpoint
from tests.provider.reflector_rig import BOOT_ID, LAYOUT, MASTER, WALL, A

HOME = "203.0.113.9"
DELAY = 10  # ms each way

Passes = Callable[[bytes, int], bool]  # whether a datagram passes after so many ms of idleness


class Pair:
    """A session and an engine on one side, a reflector on the other, and a filter between."""

    def __init__(self, outward: Passes, inward: Passes) -> None:
        self.now = 1_000_000
        self.reflector = Reflector(LAYOUT, MASTER, b"secret", BOOT_ID, lambda: WALL)
        source = random.Random(7)
        self.session = Session("box-1", device_key(MASTER, "box-1"), A, source.randbytes)
        self.engine: Any = None
        self._passes = outward, inward
        self._under_way: list[tuple[int, bool, Datagram]] = []
        self._touched: dict[int, int] = {}  # port of a tooth: when something went out or came in

    def run(self, until: int) -> None:
        """Let everything happen that is due until then, in order."""
        self.session.start(self.now)
        while True:
            self._exchange()
            timers = [self.session.next_timer(), self.engine.next_timer()]
            timers += [self.reflector.next_timer(), *(when for when, _, _ in self._under_way)]
            due = min((timer for timer in timers if timer is not None), default=until + 1)
            if due > until:
                return
            self.now = max(self.now, due)
            self._deliver()
            self._fire()

    def _exchange(self) -> None:
        for base, end in ((50_000, self.session), (40_000, self.engine)):
            for flow, data, endpoint in end.take_sends():
                if data is not None:
                    self._carry(True, Datagram((HOME, base + flow), endpoint, data))
        for notice in self.session.take_notices():
            self.engine.notice(notice, self.now)

    def _carry(self, outward: bool, datagram: Datagram) -> None:
        port = (datagram.local if outward else datagram.destination)[1]
        idle = self.now - self._touched.get(port, self.now)
        if port >= 50_000 or self._passes[not outward](datagram.data, idle):
            self._touched[port] = self.now
            self._under_way.append((self.now + DELAY, outward, datagram))

    def _deliver(self) -> None:
        due = [item for item in self._under_way if item[0] <= self.now]
        self._under_way = [item for item in self._under_way if item[0] > self.now]
        for _, outward, (source, destination, data, *_) in due:
            if outward:
                self._back(self.reflector.receive(data, source, destination, self.now, 60, 46))
            elif destination[1] >= 50_000:
                self.session.receive(destination[1] - 50_000, data, source, self.now)
            else:
                self.engine.receive(destination[1] - 40_000, data, source, self.now)

    def _fire(self) -> None:
        for end in (self.session, self.engine):
            timer = end.next_timer()
            if timer is not None and timer <= self.now:
                end.handle_timer(self.now)
        self._back(self.reflector.handle_timer(self.now))

    def _back(self, datagrams: Iterable[Datagram]) -> None:
        for datagram in datagrams:
            self._carry(False, datagram)


def everything(_data: bytes, _idle: int) -> bool:
    return True


def asked(state: str, speaks_sip: bool, earlier: int | None, inward: Passes) -> Any:
    """What became of one tooth to 5060 that asks for 20 s."""
    pair = Pair(everything, inward)
    pair.engine = Teeth(pair.session, 5060, state, 100)
    pair.engine.add(20_000, sip=speaks_sip, earlier=earlier)
    pair.run(pair.now + 60_000)
    [tooth] = pair.engine.take_finished()
    assert not pair.engine.counters.get("wrong_key")
    return tooth


WAYS = [
    (state, speaks_sip, earlier)
    for state in (ONEWAY, REPLIED, STREAM)
    for speaks_sip in (False, True)
    for earlier in (None, 12_000)
]


@pytest.mark.parametrize(("state", "speaks_sip", "earlier"), WAYS)
def test_a_tooth_on_an_open_line_is_alive(
    state: str, speaks_sip: bool, earlier: int | None
) -> None:
    tooth = asked(state, speaks_sip, earlier, everything)
    assert (tooth.phase, tooth.reason) == ("alive", None)
    assert 20_000 <= tooth.idle <= 20_400
    assert tooth.mapped is None or tooth.mapped == (HOME, 40_000 + tooth.number)


@pytest.mark.parametrize(("state", "speaks_sip", "earlier"), WAYS)
def test_a_tooth_behind_a_nat_that_forgets_after_15_seconds_is_expired(
    state: str, speaks_sip: bool, earlier: int | None
) -> None:
    """Unless the push at 12 s refreshed it: that NAT counts what comes in as well."""
    tooth = asked(state, speaks_sip, earlier, lambda _data, idle: idle < 15_000)
    assert (tooth.phase, tooth.reason) == ("alive" if earlier else "expired", None)


@pytest.mark.parametrize("speaks_sip", [False, True])
def test_a_tooth_that_the_refreshing_push_did_not_reach_is_unknown(speaks_sip: bool) -> None:
    tooth = asked(STREAM, speaks_sip, 12_000, lambda _data, idle: not 10_000 < idle < 15_000)
    assert tooth.phase == "unknown"


def test_every_kind_of_keepalive_arrives_on_an_open_line() -> None:
    pair = Pair(everything, everything)
    pair.engine = Keepalives(pair.session)
    pair.engine.start(pair.now)
    pair.run(pair.now + 120_000)
    [result] = pair.engine.take_results()
    assert set(result["kinds"].values()) == {"arrives"}
    assert result["came"] == result["sent"]


class NotifyRewritten(Pair):
    """A router that puts its own address into each NOTIFY."""

    def _carry(self, outward: bool, datagram: Datagram) -> None:
        if outward and datagram.data.startswith(b"NOTIFY"):
            data = datagram.data.replace(b"natwatch.invalid", b"203.0.113.9:40000")
            datagram = datagram._replace(data=data)
        super()._carry(outward, datagram)


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (Pair(lambda data, _idle: data != b"", everything), {"empty": "lost"}),
        (NotifyRewritten(everything, everything), {"notify": "altered"}),
    ],
)
def test_what_a_router_drops_or_alters_is_told(pair: Pair, told: dict[str, str]) -> None:
    pair.engine = Keepalives(pair.session)
    pair.engine.start(pair.now)
    pair.run(pair.now + 240_000)
    [result] = pair.engine.take_results()
    kinds = result["kinds"].items()
    assert {kind: verdict for kind, verdict in kinds if verdict != "arrives"} == told


class Firewall(Pair):
    """Lets in what comes from where the socket sent to: as much of that as *part* looks at."""

    def __init__(self, part: Callable[[Endpoint], object]) -> None:
        super().__init__(everything, everything)
        self._part = part
        self._contacted: set[tuple[int, object]] = set()

    def _carry(self, outward: bool, datagram: Datagram) -> None:
        if outward:
            self._contacted.add((datagram.local[1], self._part(datagram.destination)))
            super()._carry(outward, datagram)
        elif (datagram.destination[1], self._part(datagram.local)) in self._contacted:
            super()._carry(outward, datagram)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (lambda endpoint: None, "endpoint-independent"),
        (lambda endpoint: endpoint[0], "address-dependent"),
        (lambda endpoint: endpoint, "address-and-port-dependent"),
    ],
)
def test_what_a_firewall_lets_in_is_found(
    part: Callable[[Endpoint], object], expected: str
) -> None:
    pair = Firewall(part)
    pair.engine = Filtering(pair.session)
    pair.engine.start(pair.now)
    pair.run(pair.now + 120_000)
    [result] = pair.engine.take_results()
    assert (result["filtering"], result.get("reason")) == (expected, None)
    media = "passes" if expected == "endpoint-independent" else "filtered"
    assert result["seen"]["media port"] == media


class Strict(Pair):
    """A router that counts nothing from outside as life."""

    def _carry(self, outward: bool, datagram: Datagram) -> None:
        port = (datagram.local if outward else datagram.destination)[1]
        touched = self._touched.get(port, self.now)
        super()._carry(outward, datagram)
        if not outward and port < 50_000:
            self._touched[port] = touched


@pytest.mark.parametrize(("timer", "low", "high"), [(25_000, 1, 1), (15_000, 0.65, 0.85)])
def test_the_share_of_a_resident_flow_is_that_of_the_time_that_its_binding_lives(
    timer: int, low: float, high: float
) -> None:
    """A keepalive every 20 s, and moments drawn at random: 15 of each 20 s are 75 %."""
    pair = Strict(everything, lambda _data, idle: idle < timer)
    pair.engine = Resident(pair.session, 40_000, interval=20_000, expires=120_000, rounds=8)
    pair.engine.start(pair.now)
    pair.run(pair.now + 3_700_000)
    results = pair.engine.take_results()
    arrived, missed, unknown = (
        sum(result[name] for result in results) for name in ("arrived", "missed", "unknown")
    )
    assert arrived + missed > 150 and unknown == 0
    assert low <= arrived / (arrived + missed) <= high

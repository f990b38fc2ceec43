"""The line of the soak: a router behind a carrier's NAT, 2 % loss each way, and what befalls it."""

from bisect import insort
from collections.abc import Callable
from typing import Any

from nats import Chain, Nat
from world import World

HOUR = 3_600_000  # ms
DAY = 24 * HOUR
STREAM, REPLIED = 120_000, 30_000  # ms, the router's timers (Linux's)
LOSS = 20  # per mille, each way
REBOOT = 100_000  # ms that a router takes to come up
POOLS = ("203.0.113.%d", "198.51.100.%d")  # /24s that the carrier's addresses are of
SEARCH = 30 * 60_000  # ms that a measurement may take, and so be of before a change
_KEPT = 900_000  # ms; the reflector holds no push for longer


class Line(World):
    """``away`` says whether anything passes at the moment; ``broken`` counts the breaks that no
    connection survives."""

    def __init__(self, seed: int) -> None:
        self.router = Nat(REPLIED, STREAM)
        self.carrier = Nat(60_000, 300_000)
        super().__init__(Chain([self.router, self.carrier]), LOSS, seed)
        self.away_until = 0
        self.broken = 0
        self.happened: dict[str, int] = {}
        self._timers = [(0, STREAM, REPLIED)]  # (since, stream, replied), as set_timers was told

    def at(self, when: int, call: Callable[..., object], *arguments: Any) -> None:
        # World's own looks from the end, and here a month's happenings stand there.
        self._order += 1
        insort(self._queue, (when, self._order, call, arguments))

    @property
    def away(self) -> bool:
        return self.now < self.away_until

    def _lost(self) -> bool:
        return self.away or super()._lost()

    def remove(self, engine: object) -> None:
        super().remove(engine)
        for key in [key for key in self.inner if key[0] == id(engine)]:
            self.flows.pop(self.inner.pop(key), None)

    # What befalls it

    def cut(self, ms: int) -> None:
        """Nothing passes for *ms*; connections that are older are gone."""
        self._count("outages")
        self.away_until = max(self.away_until, self.now + ms)
        self.broken += 1

    def reboot(self) -> None:
        """The router restarts: its bindings are gone, and it takes its time."""
        self._count("reboots")
        self.router.restart()
        self.away_until = max(self.away_until, self.now + REBOOT)
        self.broken += 1

    def renumber(self, pool: int) -> None:
        """The carrier gives another address of *pool*, an index of POOLS."""
        self._count("address changes")
        self.carrier.change_address(POOLS[pool] % (1 + self.numbers.below(250)))
        self.nat.addresses = self.carrier.addresses
        self.broken += 1

    def set_timers(self, stream: int, replied: int) -> None:
        self.router.stream, self.router.unreplied = stream, replied
        self._timers.append((self.now, stream, replied))

    def agrees(self, state: str, lo: float, hi: float | None, at: float) -> bool:
        """Whether a bracket (s) told at *at* (ms) is that of a timer of then or a little before."""
        ends = [since for since, *_ in self._timers[1:]] + [at + 1]
        for (since, stream, replied), end in zip(self._timers, ends, strict=True):
            timer = (stream if state == "stream" else replied) / 1000
            if since <= at and end >= at - SEARCH and lo <= timer and (hi is None or hi >= timer):
                return True
        return False

    def tidy(self) -> None:
        """Forget what the simulated reflector needs no more; the real one is bounded."""
        known = self.reflector
        old = [txid for txid, hold in known.holds.items() if self.now - hold.last > _KEPT]
        for txid in old:
            del known.holds[txid]
        for key in [key for key, txid in known.collecting.items() if txid not in known.holds]:
            del known.collecting[key]
        known.copies = {txid: known.copies[txid] for txid in known.copies if txid in known.holds}
        known.sip = {txid: known.sip[txid] for txid in known.sip if txid in known.holds}
        known.replying &= set(known.holds)

    def _count(self, name: str) -> None:
        self.happened[name] = self.happened.get(name, 0) + 1


def befall(line: Line, days: int, quiet: list[tuple[int, int]]) -> None:
    """Plan what happens on *days*: an outage every night, after it mostly another address, every
    third day a reboot. In the *quiet* times, (from, to) in ms, the address stays in its /24: an
    alert belongs to a line, and on another line nobody knows what was before."""
    pool = 0
    for day in range(days):
        night = day * DAY + 3 * HOUR + line.numbers.below(2 * HOUR)
        length = 60_000 * (5 + line.numbers.below(50))
        line.at(night, line.cut, length)
        held = any(start - DAY < night < end + 2 * DAY for start, end in quiet)
        if line.numbers.below(5) == 0 and not held:
            pool = 1 - pool
        if line.numbers.below(4):
            line.at(night + length, line.renumber, pool)
        if day % 3 == 1:
            line.at(day * DAY + 8 * HOUR + line.numbers.below(12 * HOUR), line.reboot)
        for hour in range(24):
            line.at(day * DAY + hour * HOUR + 59, line.tidy)

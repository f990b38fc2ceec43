"""Days of one device; what the collector said of them, beside what was true.

Memory is counted in the interpreter's blocks and in resident bytes (of the daemon, the simulation
and the collector together): tracemalloc would take three times as long.
"""

import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.device import daemon
from tests.soak.far import Broker, Collector
from tests.soak.line import DAY, HOUR, REPLIED, STREAM, Line, befall

RAISED_WITHIN = 2 * HOUR
CLEARED_WITHIN = 30 * HOUR  # three looks, six hours apart, at each key that is not watched
_STEADY = 2  # days until everything was done once
_GROWTH = 1.1  # of the memory at the end of the last days, beside the first steady ones
# (day, hour, hours, stream, replied): the router's timers are short for a time. A short run has
# the first of them only.
SHRINKS = (
    (1, 6, 10, 60_000, REPLIED),
    (9, 12, 48, 45_000, 22_000),
    (18, 7, 30, 15_000, 15_000),
    (26, 14, 20, 80_000, REPLIED),
)


@dataclass
class Day:
    number: int
    seconds: float  # that it took
    blocks: int  # that Python's objects hold at its end, beyond those of the beginning
    resident: int  # bytes
    reports: int  # stored so far
    waiting: int  # in the spool


@dataclass
class Told:
    """*wrong*: sentences, empty where all went as it must."""

    days: list[Day] = field(default_factory=list)
    alerts: list[tuple[float, float | None]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def live(days: int, seed: int, progress: Callable[[Day], None] = lambda day: None) -> Told:
    told = Told()
    line = Line(seed)
    shrinks = [
        (one[0] * DAY + one[1] * HOUR, one[0] * DAY + (one[1] + one[2]) * HOUR, *one[3:])
        for one in SHRINKS
        if one[0] * DAY + (one[1] + one[2]) * HOUR < days * DAY
    ]
    befall(line, days, [(start, end) for start, end, *_ in shrinks])
    for start, end, stream, replied in shrinks:
        line.at(start, line.set_timers, stream, replied)
        line.at(end, line.set_timers, STREAM, REPLIED)

    def say(text: str) -> None:
        told.lines.append(f"{_when(line.now)} {text}")

    folder = tempfile.TemporaryDirectory()  # a database in memory would grow there
    collector = Collector(line, f"sqlite:///{folder.name}/natwatch.db", say)
    empty = _blocks()
    with folder, daemon(line, Broker(line, collector), lambda _text: None) as device:
        for number in range(1, days + 1):
            began = time.monotonic()
            while line.now < number * DAY:
                device.turn()
            took, waiting = time.monotonic() - began, len(device.findings.spool)
            memory = _blocks() - empty, _resident()
            day = Day(number, took, *memory, collector.stored, waiting)
            told.days.append(day)
            progress(day)
        device.close()
        told.alerts = collector.alerts()
        collector.database.close()
    told.happened = {**line.happened, **collector.dropped, "brackets": collector.brackets}
    told.wrong = [*wrong_alerts(told.alerts, shrinks, line.now), *grown(told.days)]
    told.wrong += collector.wrong
    return told


def wrong_alerts(
    alerts: list[tuple[float, float | None]], shrinks: list[tuple[int, int, int, int]], now: int
) -> list[str]:
    wrong = []
    due = list(shrinks)
    for raised, cleared in alerts:
        fit = [one for one in due if one[0] <= raised <= one[0] + RAISED_WITHIN]
        if not fit:
            wrong.append(f"a false alert, raised {_when(raised)}")
            continue
        due.remove(fit[0])
        end = fit[0][1]
        when = "never" if cleared is None else _when(cleared)
        if not end <= (now if cleared is None else cleared) <= end + CLEARED_WITHIN:
            wrong.append(f"the alert of {_when(raised)} was cleared {when}, true to {_when(end)}")
    wrong += [f"the shrink of {_when(one[0])} was missed" for one in due]
    return wrong


def grown(days: list[Day]) -> list[str]:
    """Whether the memory of the last days is more than that of the first steady ones."""
    wrong = []
    for name in ("blocks", "resident"):
        held = [getattr(day, name) for day in days]
        before, after = max(held[_STEADY : 2 * _STEADY], default=0), min(held[-_STEADY:])
        if len(held) > 2 * _STEADY and after > _GROWTH * before:
            wrong.append(f"memory has grown from {before} {name} to {after}")
    return wrong


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def _resident() -> int:
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * resource.getpagesize()


def _when(ms: float) -> str:
    minutes = int(ms) // 60_000
    return f"day {minutes // 1440 + 1} {minutes // 60 % 24:02}:{minutes % 60:02}"

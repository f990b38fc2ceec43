"""The resident flow against what breaks a phone's flow while fresh flows are fine.

What the agent says is read from its log; it speaks at each change, and then counts what was since.
"""

import re
import socket
import time
from collections.abc import Callable
from functools import partial

from tests.bench import line
from tests.bench.jobs import INTERPRETERS, Job, Row, table
from tests.lab import ELSEWHERE, HOME, HOME_USERNAT, R2, Lab, UserNat
from tests.lab.stage import Stage, wait_for
from tests.lab.translator import Behaviour

_PORT = 5062
_EXPIRES = 60  # s: two random moments in each
_HEALTHY = 600  # s
_TIMER = 30  # s
_SESSIONS = 80  # of the NAT with a cap; a search opens 64
_CROWD_EVERY = 5  # s
_BROKEN = ("incoming packets do not arrive", "registration unanswered")
_LINE = re.compile(r"resident: .*\((\d+) arrived, (\d+) missed, (\d+) unknown\)([^\n]*)")


class _Box:
    """An agent with a resident flow that asks often, on a lab's phone."""

    def __init__(self, lab: Lab, interpreter: str) -> None:
        self.stage = Stage(lab)
        self.stage.start_reflector()
        flow = {"port": _PORT, "interval_s": 5, "expires_s": _EXPIRES}
        self.stage.start_agent("box", interpreter, resident=flow)

    def said(self) -> list[tuple[int, int, int, str]]:
        """(arrived, missed, unknown, the rest of the line) of each line about the flow."""
        found = _LINE.findall(self.stage.log("box"))
        return [(int(a), int(m), int(u), rest.strip("; ")) for a, m, u, rest in found]

    def reachable(self, seconds: float, after: int = 0) -> int:
        """Wait for a line that ends with an arrival and no complaint; how many lines there are."""

        def seen() -> int:
            lines = self.said()[after:]
            good = [n for n, said in enumerate(lines) if said[0] and not said[3].endswith(_BROKEN)]
            return after + good[0] + 1 if good else 0

        return self._await(seen, seconds, "the flow to be reachable")

    def unreachable(self, seconds: float, after: int = 0) -> int:
        """Wait for the complaint that calls do not arrive; how many lines there are then."""

        def seen() -> int:
            lines = self.said()[after:]
            bad = [n for n, said in enumerate(lines) if said[3].endswith(_BROKEN)]
            return after + bad[0] + 1 if bad else 0

        return self._await(seen, seconds, "the flow to be unreachable")

    def _await(self, seen: Callable[[], int], seconds: float, what: str) -> int:
        return wait_for(seen, seconds, what, lambda: self.stage.log("box"))

    def fresh(self) -> str:
        """The bracket that the search on fresh ports found, as the agent says it."""
        told = self.stage.expect("box", "udp/sip stream: alive at", 300)
        return re.findall(r"alive at [\d.]+ s, dead at [\d.]+ s", told)[0]


def healthy(interpreter: str) -> Row:
    """Ten good minutes. Then the line is cut, which the agent must not count, but speaks of."""
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=_TIMER, stream=_TIMER)
        box = _Box(lab, interpreter)
        box.reachable(90)
        fresh = box.fresh()
        time.sleep(_HEALTHY)
        before = len(box.said())
        line.cut(lab)
        wait_for(lambda: len(box.said()) > before, 240, "a word", lambda: box.stage.log("box"))
        arrived, missed = (sum(said[i] for said in box.said()) for i in (0, 1))
    row = _row("healthy, ten minutes", interpreter, box, fresh)
    row["good"] = before == 1 and missed == 0 and arrived >= _HEALTHY / _EXPIRES
    return row


def before_the_rule(interpreter: str) -> Row:
    """Linux translates a flow at its first packet, or never as long as it goes on."""
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=_TIMER, stream=_TIMER)
        lab.router.set_filter(allow=R2)  # a firewall, which tracks flows as the NAT does
        lab.nft("router", "nat", "")
        box = _Box(lab, interpreter)
        wait_for(
            lambda: any(flow.source_port == _PORT for flow in lab.router.bindings()),
            *(20, "the flow", lambda: box.stage.log("box")),
        )
        lab.router.set_mapping()
        box.unreachable(300)
        fresh = box.fresh()
        time.sleep(2 * _EXPIRES)
    row = _row("opened before the NAT rule", interpreter, box, fresh)
    row["good"] = not any(said[0] for said in box.said())
    return row


def session_cap(interpreter: str) -> Row:
    """Others at the customer's open so many flows that the phone's is evicted again and again."""
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(preserve_ports=False, sessions=_SESSIONS))
        nat.set_timers(udp=_TIMER, stream=_TIMER)
        box = _Box(lab, interpreter)
        lines = box.reachable(90)
        fresh = box.fresh()
        end = time.monotonic() + 300
        while len(box.said()) <= lines and time.monotonic() < end:
            _crowd(lab)
            time.sleep(_CROWD_EVERY)
        after = box.unreachable(1, lines)
        box.reachable(180, after)  # the others have gone
    row = _row(f"cap of {_SESSIONS} sessions", interpreter, box, fresh)
    row["good"] = True
    return row


def _crowd(lab: Lab) -> None:
    with lab.on("phone"):
        for _ in range(_SESSIONS):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"\0", (ELSEWHERE, 9))


def nat_restart(interpreter: str) -> Row:
    """The router restarts just after registrations, and draws other ports afterwards."""
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(preserve_ports=False))
        nat.set_timers(udp=_TIMER, stream=_TIMER)
        box = _Box(lab, interpreter)
        registered = wait_for(
            lambda: (
                any(b.source_port == _PORT and b.replied for b in nat.bindings())
                and time.monotonic()
            ),
            *(20, "a registration", lambda: box.stage.log("box")),
        )
        lines = box.reachable(90)
        fresh = box.fresh()
        # A moment can fall between registration and restart, so there are several.
        later = int((time.monotonic() - registered) // _EXPIRES) + 1
        for number in range(later, later + 4):
            time.sleep(max(0.0, registered + number * _EXPIRES + 1.5 - time.monotonic()))
            nat.restart()
        after = box.unreachable(2 * _EXPIRES, lines)
        box.reachable(3 * _EXPIRES, after)
    row = _row("restart of the NAT", interpreter, box, fresh)
    row["good"] = True
    return row


def _row(case: str, interpreter: str, box: _Box, fresh: str) -> Row:
    return {
        **{"what": "resident", "case": case, "how": interpreter, "said": box.said()},
        "fresh": fresh,
    }


_CASES = {healthy: 800, before_the_rule: 400, session_cap: 400, nat_restart: 600}  # s


def jobs() -> list[Job]:
    return [
        Job(f"resident, {case.__name__}, {one}", seconds, partial(_alone, case, one))
        for case, seconds in _CASES.items()
        for one in INTERPRETERS
    ]


def _alone(case: Callable[[str], Row], interpreter: str) -> list[Row]:
    return [case(interpreter)]


def show(rows: list[Row]) -> int:
    """How many cases were not told as they were; one that never was told is a job that failed."""
    rows = [row for row in rows if row["what"] == "resident"]
    print("\nThe resident flow: would an incoming call have arrived?\n")
    lines = []
    for row in rows:
        arrived, missed, unknown = (sum(said[i] for said in row["said"]) for i in range(3))
        share = f"{100 * arrived / (arrived + missed):.1f} %" if arrived + missed else "unknown"
        told = "; then ".join(rest or "reachable" for *_, rest in row["said"])
        lines.append(
            [row["case"], row["how"], arrived, missed, unknown, share, told, row["fresh"]]
            + ["yes" if row["good"] else "NO"]
        )
    table(
        "case | interpreter | >arrived | >missed | >unknown | >share | said | fresh flows"
        " | as it was",
        lines,
    )
    return len([row for row in rows if not row["good"]])

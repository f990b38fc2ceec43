"""Measured brackets and what they cost: every state and class, interpreter and kind of NAT.

The truth is the NAT's timer. Beside them, behind the kernel's NAT, the search that other tools
do. TIMERS, CLASSES, STATES and NATS (environment, words) restrict it.
"""

import json
import subprocess
import sys
import time
from functools import partial
from typing import Any

from natwatch.wire.auth import device_key
from tests.bench.jobs import INTERPRETERS, Job, Row, table, words
from tests.lab import HOME, HOME_USERNAT, R2, REFLECTOR_A, Lab, UserNat
from tests.lab.stage import Stage
from tests.lab.translator import INDEPENDENT, Behaviour

TIMERS = tuple(int(word) for word in words("TIMERS", "5 12 30 60 120 300"))
CLASSES = words("CLASSES", "udp/sip udp/stun udp/rtp")
STATES = words("STATES", "oneway replied stream refreshed")
NATS = words("NATS", "kernel userspace")

# Cost allowed: seconds = factor * timer + constant. Set-ups of a stream hold pauses of 3 s.
_LIMITS = {"oneway": (2.2, 5), "replied": (2.2, 5), "stream": (2.2, 10), "refreshed": (5.0, 0)}
_BISECTED = "udp/sip"
_BISECTED_TIMERS = 120  # s; bisection of 300 s takes 45 minutes
_APART = 0.5  # s between the starts of two searches, since they share two cores
_SIDE = 1.0  # s that an edge may be away from the truth


def jobs() -> list[Job]:
    found = []
    starting = _APART * len(CLASSES) * len(STATES) * len(INTERPRETERS)
    for timer in TIMERS:
        for nat in NATS:
            factor = 5.0 if "refreshed" in STATES else 2.2
            if timer <= _BISECTED_TIMERS and nat == "kernel":
                factor = 9.0
            seconds = 20 + starting + factor * timer
            work = partial(brackets, timer, nat)
            found.append(Job(f"brackets of {timer} s, {nat} NAT", seconds, work, starting))
    return found


def brackets(timer: int, nat: str) -> list[Row]:
    """All searches of one timer behind one NAT."""
    with Lab(HOME if nat == "kernel" else HOME_USERNAT) as lab:
        stage = Stage(lab)
        _prepare(lab, nat, timer)
        stage.start_reflector()
        running: list[tuple[Row, Any]] = []
        for state in STATES:
            for klass in CLASSES:
                bisected = nat == "kernel" and klass == _BISECTED and state != "refreshed"
                hows = INTERPRETERS
                if bisected and timer <= _BISECTED_TIMERS:
                    hows += ("bisection",)
                for how in hows:
                    row: Row = {"what": "bracket", "timer": timer, "nat": nat}
                    row.update(how=how, klass=klass, state=state)
                    running.append((row, _start(stage, row)))
                    time.sleep(_APART)
        for row, process in running:
            out, _ = process.communicate()
            row.update(json.loads(out) if out else {"lo": None, "reason": stage.log(_device(row))})
    return [row for row, _ in running]


def _prepare(lab: Lab, nat: str, timer: int) -> None:
    if nat == "kernel":
        lab.router.set_timers(udp=timer, stream=timer)
        lab.router.set_filter(allow=R2)
    else:
        usernat = UserNat(lab, Behaviour(mapping=INDEPENDENT, refresh_inbound=False))
        usernat.set_timers(udp=timer, stream=timer)


def _device(row: Row) -> str:
    return "-".join([row["how"], row["klass"].replace("/", "-"), row["state"]])


def _start(stage: Stage, row: Row) -> subprocess.Popen[Any]:
    device = _device(row)
    if row["how"] in INTERPRETERS:
        return stage.lifetime(device, row["how"], (row["klass"], row["state"]))
    key = device_key(stage.master, device).hex()
    program = [sys.executable, "-m", "tests.bench.bisection"]
    argv = [*program, REFLECTOR_A, device, key, row["klass"], row["state"]]
    return stage.spawn(device, "phone", argv, stdout=subprocess.PIPE, text=True)


# What is shown


def show(rows: list[Row]) -> int:
    """Tables of the rows of this module; how many of them do not keep what is promised."""
    rows = [row for row in rows if row["what"] == "bracket"]
    measured = [row for row in rows if row["how"] in INTERPRETERS]
    bad = 0
    for nat in NATS:
        for klass in CLASSES:
            of_table = [r for r in measured if (r["nat"], r["klass"]) == (nat, klass)]
            if of_table:
                print(f"\nBrackets, class {klass}, {nat} NAT\n")
                bad += _table(of_table, rows)
    if measured:
        _summary(measured)
    return bad


def _table(rows: list[Row], others: list[Row]) -> int:
    columns = (
        ">timer s | state | interpreter | >lo s | >hi s | holds | extends | >seconds | >÷ timer"
        " | >bindings | >at once | >bytes | >bisection ÷ timer | >bisection bytes"
    )
    lines = []
    for row in sorted(rows, key=lambda r: (r["timer"], STATES.index(r["state"]), r["how"])):
        fault = _fault(row)
        if row["lo"] is None:
            start = [row["timer"], row["state"], row["how"]]
            lines.append([*start, "", "", fault, *[""] * 8])
            continue
        cost = f"{row['seconds'] / row['timer']:.2f}" + (" OVER" if _over(row) else "")
        hi = "none" if row["hi"] is None else f"{row['hi']:.2f}"
        extends = _extends(row) or {True: "yes", False: "no"}.get(row.get("extends"), "")
        holds = _edges(row) or "yes"
        lines.append(
            [row["timer"], row["state"], row["how"], f"{row['lo']:.2f}", hi, holds, extends]
            + [f"{row['seconds']:.1f}", cost, row["bindings"], row["at_once"], row["bytes"]]
            + _bisection(row, others)
        )
    table(columns, lines)
    return len([row for row in rows if _fault(row) or _over(row)])


def _bisection(row: Row, others: list[Row]) -> list[object]:
    fields = ("nat", "klass", "state", "timer")
    for other in others:
        same = all(other[field] == row[field] for field in fields)
        if same and other["how"] == "bisection" and other["lo"] is not None:
            return [f"{other['seconds'] / row['timer']:.2f}", other["bytes"]]
    return ["", ""]


def _fault(row: Row) -> str:
    """Why the row is no bracket that holds; "" if it is one."""
    if row["lo"] is None:
        return f"UNKNOWN: {str(row.get('reason')).strip()[-200:]}"
    return _edges(row) or _extends(row)


def _edges(row: Row) -> str:
    if row["hi"] is None:
        return "NO (nothing found dead)"
    timer = row["timer"]
    side = max(timer - row["lo"], row["hi"] - timer)
    return "" if row["lo"] <= timer <= row["hi"] and side <= _SIDE else f"NO ({side:.2f} s off)"


def _extends(row: Row) -> str:
    """Linux is always refreshed from outside, our userspace NAT never."""
    if row["state"] != "refreshed" or row.get("extends") is (row["nat"] == "kernel"):
        return ""
    return f"NO ({row.get('extends')})"


def _over(row: Row) -> bool:
    factor, constant = _LIMITS[row["state"]]
    return row["lo"] is not None and row["seconds"] > factor * row["timer"] + constant


def _summary(rows: list[Row]) -> None:
    held = [row for row in rows if not _fault(row)]
    known = [row for row in rows if row["lo"] is not None]
    over = len([row for row in rows if _over(row)])
    print(f"\n{len(held)} of {len(rows)} brackets hold the truth within {_SIDE:.0f} s a side;")
    print(f"{over} cost more than allowed. Worst, as a share of the cost allowed:")
    for state in STATES:
        factor, constant = _LIMITS[state]
        costs = [
            (row["seconds"] / (factor * row["timer"] + constant), row["timer"])
            for row in known
            if row["state"] == state
        ]
        if costs:
            share, timer = max(costs)
            print(f"- {state}: {share:.2f} of {factor} × timer + {constant} s (timer {timer} s)")
    print(f"\nMost bindings at once: {max((row['at_once'] for row in known), default=0)}.")

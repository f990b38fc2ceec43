"""Seconds from the change of the NAT's timer to the alert row, key watched without pause.

Once with the budget of bytes lifted, where the period is the lifetime or less, and once with one
so small that the period is longer than the lifetime. Every part runs as in the product: Mosquitto
over TLS, the collector on SQLite.
"""

import re
import time
from functools import partial

from tests.bench.jobs import INTERPRETERS, Job, Row, table
from tests.lab import HOME, R2, Lab
from tests.lab.stage import Stage, wait_for

# (old, new) in s, bytes a day (0: no limit).
_LIFTED = tuple((*change, 0) for change in ((30, 12), (40, 15), (40, 30), (60, 30), (60, 45)))
_BUDGETED = ((30, 12, 5_000_000), (40, 15, 5_000_000), (60, 30, 4_000_000))
_POLL = 3  # s; each look at the NOC is a program of its own, and there are two cores


def jobs() -> list[Job]:
    found = []
    for interpreter in INTERPRETERS:
        for old, new, budget in (*_LIFTED, *_BUDGETED):
            name = f"shrink {old} to {new} s, {interpreter}, {budget} bytes a day"
            # A search, then two brackets of the watch, each of six rounds; then the change.
            seconds = 60 + 2.2 * old + (12 * 90 if budget else 5 * old) + old + new
            found.append(Job(name, seconds, partial(shrink, old, new, budget, interpreter)))
    return found


def shrink(old: int, new: int, budget: int, interpreter: str) -> list[Row]:
    device = f"box-{interpreter}"
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=old, stream=old)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        stage.start_agent(device, interpreter, budget={"bytes_per_day": budget})
        wait_for(
            lambda: stage.baseline(device) or None,
            1800,
            "a baseline",
            lambda: stage.log(device),
            _POLL,
        )
        period = float(re.findall(r"watching, one round every ([\d.]+) s", stage.log(device))[-1])
        lab.router.set_timers(udp=new, stream=new)
        changed = time.time()
        stage.expect("collector", r"ALERT \d+ RAISED", period + 2 * (old + new) + 60)
        alert = stage.noc("alerts")[0]
    row: Row = {"what": "shrink", "old": old, "new": new, "how": interpreter, "budget": budget}
    row["period"] = period
    row["seconds"] = alert["raised"] - changed
    row["found"] = [alert["new_lo"], alert["new_hi"]]
    return [row]


def show(rows: list[Row]) -> int:
    """How many came later than period + old + new + 5 s."""
    rows = [row for row in rows if row["what"] == "shrink"]
    print("\nFrom the change of the NAT's timer to the alert row\n")
    lines = []
    for row in sorted(rows, key=lambda r: (r["budget"], r["how"], r["old"], r["new"])):
        lo, hi = row["found"]
        budget = "lifted" if not row["budget"] else f"{row['budget'] / 1e6:.0f} MB a day"
        lines.append(
            [row["old"], row["new"], row["how"], budget, f"{row['period']:.1f}"]
            + [f"{row['seconds']:.1f}", f"{_limit(row):.1f}"]
            + ["yes" if row["seconds"] <= _limit(row) else "NO", f"{lo:.1f}-{hi:.1f}"]
        )
    table(
        ">old s | >new s | interpreter | budget | >period s | >seconds | >period + old + new + 5"
        " | within | alert's bracket",
        lines,
    )
    return len([row for row in rows if row["seconds"] > _limit(row)])


def _limit(row: Row) -> float:
    """Seconds; the period is the one that the agent reports."""
    return float(row["period"] + row["old"] + row["new"] + 5)

"""A bad line for ten minutes: is anything false said, by searches or by a watching agent?

Searches of every state run again and again; beside them an agent that had its baseline before the
trouble began. "Unknown" is allowed, a false verdict or a false alert is not.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from tests.bench.jobs import INTERPRETERS, Job, Row, table, words
from tests.bench.line import outages
from tests.lab import HOME, R2, Lab
from tests.lab.stage import Stage, wait_for

_SECONDS = float(words("TROUBLE_SECONDS", "600")[0])
_TIMERS = (12, 30, 45)
# Shorter ones are alerted on rightly, whatever the line does: no keepalive holds them.
_WATCHED = 30
_STATES = ("replied", "stream", "refreshed")
_CLASS = "udp/sip"
_POLL = 3  # s; each look at the NOC is a program of its own, and there are two cores
_WATCH = [[_CLASS, "stream"], [_CLASS, "replied"]]


@contextmanager
def _loss(lab: Lab) -> Iterator[None]:
    lab.router.set_loss(0.05, 0.05)
    yield
    lab.router.set_loss()


_TROUBLES: dict[str, Callable[[Lab], AbstractContextManager[None]]] = {
    "1 s of outage every 20 s": lambda lab: outages(lab, 1, 20),
    "5 % loss each way": _loss,
}


def jobs() -> list[Job]:
    return [
        Job(f"{trouble}, timer {timer} s", 90 + 8 * timer + _SECONDS, partial(live, trouble, timer))
        for trouble in _TROUBLES
        for timer in _TIMERS
    ]


def live(trouble: str, timer: int) -> list[Row]:
    """Baselines, then the trouble."""
    boxes = {one: f"box-{one}" for one in INTERPRETERS if timer >= _WATCHED}
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=timer, stream=timer)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        for number, (interpreter, box) in enumerate(boxes.items()):
            flow = {"port": 5062 + 2 * number, "interval_s": 10, "expires_s": 60}
            stage.start_agent(box, interpreter, watch=_WATCH, resident=flow)
        for box in boxes.values():
            seen = partial(_has_baseline, stage, box)
            wait_for(seen, 900, "baselines", partial(stage.log, box), _POLL)
        known = {box: len(_measured(stage, box)) for box in boxes.values()}
        searches = [(state, one) for state in _STATES for one in INTERPRETERS]
        end = time.monotonic() + _SECONDS
        with _TROUBLES[trouble](lab), ThreadPoolExecutor(len(searches)) as pool:
            found = list(pool.map(lambda search: _search(stage, *search, end), searches))
            time.sleep(max(0, end - time.monotonic()))
        alerts = stage.noc("alerts", "--all")
        of_trouble: Row = {"what": "trouble", "trouble": trouble, "timer": timer}
        rows = []
        for (state, interpreter), results in zip(searches, found, strict=True):
            row = {**of_trouble, "who": f"searches, {state}", "how": interpreter, "alerts": 0}
            rows.append({**row, **judge(results, timer)})
        for interpreter, box in boxes.items():
            row = {**of_trouble, "who": "watching agent", "how": interpreter}
            row["alerts"] = len([alert for alert in alerts if alert["device"] == box])
            rows.append({**row, **judge(_measured(stage, box)[known[box] :], timer)})
    return rows


def _measured(stage: Stage, box: str) -> list[Row]:
    """What the collector has of it, oldest first."""
    if not any(device["id"] == box for device in stage.noc("devices")):
        return []
    rows: list[Row] = stage.noc("lifetimes", box, "--limit", "10000")["measurements"]
    return rows[::-1]


def _has_baseline(stage: Stage, box: str) -> bool:
    """Three brackets of each key, so that an alert is possible."""
    known = [row["state"] for row in _measured(stage, box) if row["hi"] is not None]
    return all(known.count(state) >= 3 for _, state in _WATCH)


def _search(stage: Stage, state: str, interpreter: str, end: float) -> list[Row]:
    """Results of searches one after the other, none of which is begun after *end*."""
    results = []
    while time.monotonic() < end:
        device = f"{interpreter}-{state}"
        out, _ = stage.lifetime(device, interpreter, (_CLASS, state)).communicate()
        results.append(json.loads(out) if out else {"lo": None, "hi": None})
    return results


def judge(results: list[Row], timer: int) -> dict[str, Any]:
    """How many results said something, nothing, or something false; and what was false."""
    known = [row for row in results if row["lo"] is not None]
    false = [
        [row["lo"], row["hi"], row.get("extends")]
        for row in known
        if not row["lo"] <= timer <= (row["hi"] or timer)
        or (row.get("state") == "refreshed" and row.get("extends") is False)
    ]
    return {"verdicts": len(known), "unknown": len(results) - len(known), "false": false}


# What is shown


def show(rows: list[Row]) -> int:
    """How many verdicts and alerts were false; a search that says nothing at all counts too."""
    rows = [row for row in rows if row["what"] == "trouble"]
    print(f"\nA bad line for {_SECONDS / 60:.0f} minutes, class {_CLASS}, kernel NAT\n")
    table(
        "trouble | >timer s | who | interpreter | >verdicts | >unknown | >false verdicts"
        " | >false alerts | what was false",
        [
            [row[name] for name in ("trouble", "timer", "who", "how", "verdicts", "unknown")]
            + [len(row["false"]), row["alerts"], "; ".join(map(str, row["false"]))]
            for row in rows
        ],
    )
    silent = [row for row in rows if not row["verdicts"] and not row["unknown"]]
    return len(silent) + sum(len(row["false"]) + row["alerts"] for row in rows)

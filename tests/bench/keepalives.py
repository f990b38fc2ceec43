"""Advised keepalive intervals, lived through by a stand-in phone: does every call arrive?

Behind the kernel's NAT, which packets from outside refresh, and behind one that they do not; both
keep a binding for longer once it is a stream. Two phones for each advice: one that stays for ten
lifetimes, and one that is switched off and on ten times, since the first gap after a registration
is the hardest. Where the margin is said to be good, they lose keepalives, one at a time.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from natwatch.wire.auth import device_key
from tests.bench.jobs import Job, Row, table, words
from tests.lab import ELSEWHERE, HOME, HOME_USERNAT, REFLECTOR_A, Lab, UserNat
from tests.lab.stage import INTERPRETERS, Stage
from tests.lab.translator import INDEPENDENT, Behaviour

NATS = words("NATS", "kernel userspace")
# (replied, stream) in s, and what is to be said of the margin.
_CASES = (
    ((15, 60), "none"),
    ((18, 18), "none"),
    ((22, 22), "thin"),
    ((30, 120), "thin"),
    ((45, 180), "good"),
    ((60, 60), "good"),
    ((100, 100), "good"),
)
_LIVES = 10
_LEAST = 20  # s, the shortest interval that adapters have
_TOO_LONG = 1.2  # × hi


def jobs() -> list[Job]:
    return [
        Job(
            f"keepalives behind timers {timers[0]}/{timers[1]} s, {nat} NAT",
            30 + 2.2 * timers[0] + (_LIVES + 2) * timers[0],
            partial(live, timers, margin, nat),
        )
        for timers, margin in _CASES
        for nat in NATS
    ]


def live(timers: tuple[int, int], margin: str, nat: str) -> list[Row]:
    """Advice, then the phones side by side behind the same NAT."""
    interpreter = "cpython" if nat == "kernel" else "micropython"
    with Lab(HOME if nat == "kernel" else HOME_USERNAT) as lab:
        stage = Stage(lab)
        if nat == "kernel":
            lab.router.set_timers(*timers)
        else:
            usernat = UserNat(lab, Behaviour(mapping=INDEPENDENT, refresh_inbound=False))
            usernat.set_timers(*timers)
        stage.start_reflector()
        stage.spawn("registrar", "provider", _program("registrar", ELSEWHERE))
        stage.expect("registrar", "ready", 20)
        advice = _advice(stage, interpreter)
        lifetime, hi = advice["lo"], advice["replied"]["hi"]
        row: Row = {"what": "keepalives", "timers": timers, "nat": nat, "how": interpreter}
        row.update(expected=margin, margin=advice["margin"], interval=advice["interval_s"])
        row.update(lo=lifetime, hi=hi)
        too_long = _start(stage, "too-long", _TOO_LONG * hi, _LIVES * lifetime)
        shortest = _start(stage, "shortest", _LEAST, _LIVES * lifetime)
        if advice["interval_s"] is not None:
            good = advice["margin"] == "good"
            row.update(_phones(stage, advice["interval_s"], _LIVES * lifetime, lossy=good))
        row.update(too_long=_outcome(too_long), shortest=_outcome(shortest))
    return [row]


def _advice(stage: Stage, interpreter: str) -> dict[str, Any]:
    key_file = stage.folder / "adviser.key"
    key_file.write_text(device_key(stage.master, "adviser").hex())
    argv = [
        *(*INTERPRETERS[interpreter], "-m", "natwatch", "advice", "--json"),
        *("--reflector", REFLECTOR_A, "--device", "adviser", "--key-file", str(key_file)),
    ]
    process = stage.spawn("adviser", "phone", argv, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate()
    if not out:
        raise ValueError(f"expected an advice, found {stage.log('adviser')}")
    found: dict[str, Any] = json.loads(out)
    if found["lo"] is None:
        raise ValueError(f"expected a measured lifetime, found {out}")
    return found


def _phones(stage: Stage, interval: float, seconds: float, lossy: bool) -> Row:
    """The phone that stays and the one that begins anew, at the same time."""
    # Every fourth one is lost, beginning with the first: never two of them in a row.
    every_fourth = range(1, int(seconds / interval), 4)
    staying = _start(stage, "staying", interval, seconds, every_fourth if lossy else ())
    life = 2 * interval + 1
    lives = [
        {"calls": 0, "arrived": 0},
    ]
    end = time.monotonic() + seconds
    while time.monotonic() < end - life:
        lives.append(_outcome(_start(stage, "anew", interval, life, [1] if lossy else ())))
    anew = {name: sum(life[name] for life in lives) for name in lives[0]}
    return {"staying": _outcome(staying), "anew": anew, "lost": len(every_fourth) if lossy else 0}


def _program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.bench.standin", *map(str, arguments)]


def _start(
    stage: Stage, name: str, interval: float, seconds: float, lost: Sequence[int] = ()
) -> subprocess.Popen[str]:
    argv = _program("phone", ELSEWHERE, interval, seconds, *lost)
    return stage.spawn(name, "phone", argv, stdout=subprocess.PIPE, text=True)


def _outcome(process: subprocess.Popen[str]) -> dict[str, int]:
    out, _ = process.communicate()
    found: dict[str, int] = json.loads(out)
    return found


# What is shown


def show(rows: list[Row]) -> int:
    """How many advices were wrong."""
    rows = [row for row in rows if row["what"] == "keepalives"]
    print("\nAdvised keepalive intervals, lived through; calls arrived of calls made\n")
    lines = []
    for row in sorted(rows, key=lambda row: (row["timers"], row["nat"])):
        replied, stream = row["timers"]
        lines.append(
            [replied, stream, row["nat"], row["how"], f"{row['lo']:.1f}-{row['hi']:.1f}"]
            + [row["margin"], row["interval"] or "none", row.get("lost", "")]
            + [_share(row.get(name)) for name in ("staying", "anew", "shortest", "too_long")]
            + ["NO" if _wrong(row) else "yes"]
        )
    table(
        ">replied s | >stream s | NAT | interpreter | replied measured | margin | >advised s"
        f" | >keepalives lost | >it stays | >begins anew | >every {_LEAST} s | >every 1.2 × hi"
        " | right",
        lines,
    )
    return len([row for row in rows if _wrong(row)])


def _share(calls: dict[str, int] | None) -> str:
    return "" if calls is None else f"{calls['arrived']} of {calls['calls']}"


def _wrong(row: Row) -> bool:
    def reached(calls: dict[str, int]) -> bool:
        return calls["calls"] > 0 and calls["arrived"] == calls["calls"]

    if row["margin"] != row["expected"] or reached(row["too_long"]):
        return True
    if row["margin"] == "none":
        return row["interval"] is not None or reached(row["shortest"])
    return not (reached(row["staying"]) and reached(row["anew"]))

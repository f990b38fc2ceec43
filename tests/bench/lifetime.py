"""make bench-lifetime: brackets, costs, time to the alert and memory, in real labs side by side.

TIMERS="5 12" restricts the brackets to some timers (TIMERS="" to none); the whole takes about as
long as the bisection of the longest one, 16 minutes for 120 s.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from natwatch.wire.auth import device_key
from tests.lab import HOME, R2, REFLECTOR_A, Lab, container
from tests.lab.stage import Stage, wait_for

TIMERS = tuple(int(word) for word in os.environ.get("TIMERS", "5 12 30 60 120").split())
STATES = ("oneway", "replied", "stream")
INTERPRETERS = ("cpython", "micropython")
SHRINKS = ((30, 12), (40, 15), (40, 30), (60, 30), (60, 45))
CLASS = "udp/sip"

Row = dict[str, Any]


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="natwatch-bench-"))
    keepers = []
    try:
        jobs: list[tuple[str, Callable[[], list[Row]]]] = []
        for timer in TIMERS:
            jobs.append((f"timer {timer} s", partial(brackets, timer)))
        for interpreter in INTERPRETERS:
            for old, new in SHRINKS:
                name = f"shrink {old} to {new} s, {interpreter}"
                jobs.append((name, partial(shrink, old, new, interpreter)))
        for secure in (False, True):
            jobs.append((f"memory, TLS {secure}", partial(memory, secure)))
        for number, (_, job) in enumerate(jobs):
            keepers.append(container.start(partial(_record, job, folder, number)))
        _wait([name for name, _ in jobs], folder)
        parts = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        rows = [row for part in parts for row in part]
        print_brackets([row for row in rows if row["what"] == "bracket"])
        print_shrinks([row for row in rows if row["what"] == "shrink"])
        print_memory([row for row in rows if row["what"] == "memory"])
        failed = sorted(folder.glob("*.error"))
        for path in failed:
            print(f"\nno result for {jobs[int(path.stem)][0]}: {path.read_text()}")
        return 1 if failed else 0
    finally:
        for keeper in keepers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
            container.wait(keeper)
        shutil.rmtree(folder)


def _record(job: Callable[[], list[Row]], folder: Path, number: int) -> int:
    try:
        rows = job()
    except Exception as error:
        (folder / f"{number}.error").write_text(str(error))
        raise
    part = folder / f"{number}.part"
    part.write_text(json.dumps(rows))
    part.rename(folder / f"{number}.json")
    return 0


def _wait(names: list[str], folder: Path) -> None:
    """Progress until every job has left its result or its error."""
    began = time.monotonic()
    expected = 60 + max(7.5 * max(TIMERS, default=0), 280)  # bisection: T (4 + log2 T/r)
    shown = 0.0
    while True:
        left_behind = [*folder.glob("*.json"), *folder.glob("*.error")]
        done = {int(path.stem) for path in left_behind}
        if len(done) == len(names):
            return
        passed = time.monotonic() - began
        if passed - shown >= 30:
            shown = passed
            left = [name for number, name in enumerate(names) if number not in done]
            print(
                f"{passed:.0f} s, about {max(0, expected - passed):.0f} s left; "
                f"under way: {', '.join(left)}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(0.5)


# Brackets


def brackets(timer: int) -> list[Row]:
    """Every state on both interpreters, and the bisection of every state, in one lab."""
    rows = []
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=timer, stream=timer)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        running = []
        for state in STATES:
            for interpreter in INTERPRETERS:
                device = f"{interpreter}-{state}"
                running.append(
                    (state, interpreter, stage.lifetime(device, interpreter, (CLASS, state)))
                )
            running.append((state, "bisection", bisection(stage, state)))
        for state, how, process in running:
            out, _ = process.communicate()
            result = json.loads(out)
            result.update(what="bracket", timer=timer, state=state, how=how)
            rows.append(result)
    return rows


def bisection(stage: Stage, state: str) -> Any:
    device = f"bisection-{state}"
    key = device_key(stage.master, device).hex()
    argv = [sys.executable, "-m", "tests.bench.bisection", REFLECTOR_A, device, key, CLASS, state]
    return stage.spawn(device, "phone", argv, stdout=subprocess.PIPE, text=True)


def print_brackets(rows: list[Row]) -> None:
    print(f"\nBrackets, class {CLASS}, kernel NAT; seconds ÷ timer beside doubling and bisection\n")
    print(
        "| timer s | state | interpreter | lo s | hi s | holds | seconds | ÷ timer | bindings"
        " | at once | bytes | bisection ÷ timer | bisection bytes |"
    )
    print("|--:|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in sorted(rows, key=lambda r: (r["timer"], STATES.index(r["state"]), r["how"])):
        if row["how"] == "bisection":
            continue
        other = next(
            r
            for r in rows
            if (r["timer"], r["state"], r["how"]) == (row["timer"], row["state"], "bisection")
        )
        timer = row["timer"]
        if row["lo"] is None or row["hi"] is None:
            print(f"| {timer} | {row['state']} | {row['how']} | unknown: {row.get('reason')} |")
            continue
        side = max(timer - row["lo"], row["hi"] - timer)
        holds = row["lo"] <= timer <= row["hi"]
        limit = 2.2 * timer + (10 if row["state"] == "stream" else 5)
        verdict = "yes" if holds and side <= 1 else f"NO ({side:.2f} s off)"
        cost = f"{row['seconds'] / timer:.2f}" + ("" if row["seconds"] <= limit else " OVER")
        print(
            f"| {timer} | {row['state']} | {row['how']} | {row['lo']:.2f} | {row['hi']:.2f} "
            f"| {verdict} | {row['seconds']:.1f} | {cost} | {row['bindings']} | {row['at_once']} "
            f"| {row['bytes']} | {other['seconds'] / timer:.2f} | {other['bytes']} |"
        )


# Time from the change at the NAT to the alert


def shrink(old: int, new: int, interpreter: str) -> list[Row]:
    device = f"box-{interpreter}"
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=old, stream=old)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        stage.start_agent(device, interpreter)
        wait_for(
            lambda: stage.baseline(device) or None, 400, "a baseline", lambda: stage.log(device)
        )
        lab.router.set_timers(udp=new, stream=new)
        changed = time.time()
        stage.expect("collector", r"ALERT \d+ RAISED", 2 * (old + new) + 60)
        alert = stage.noc("alerts")[0]
        row = {
            "what": "shrink",
            "old": old,
            "new": new,
            "how": interpreter,
            "seconds": alert["raised"] - changed,
            "found": [alert["new_lo"], alert["new_hi"]],
        }
        return [row]


def print_shrinks(rows: list[Row]) -> None:
    print("\nFrom the change of the NAT's timer to the alert row, traffic budget lifted\n")
    print("| old s | new s | interpreter | seconds | old + new + 5 | within | alert's bracket |")
    print("|--:|--:|---|--:|--:|---|---|")
    for row in rows:
        limit = row["old"] + row["new"] + 5
        within = "yes" if row["seconds"] <= limit else "NO"
        lo, hi = row["found"]
        print(
            f"| {row['old']} | {row['new']} | {row['how']} | {row['seconds']:.1f} | {limit} "
            f"| {within} | {lo:.1f}-{hi:.1f} |"
        )


# Memory


def memory(secure: bool) -> list[Row]:
    """Resident memory of agents that have searched and watch two keys, connected to a broker."""
    rows = []
    with Lab(HOME) as lab:
        stage = Stage(lab, secure=secure)
        lab.router.set_timers(udp=12, stream=12)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        agents = {}
        for interpreter in INTERPRETERS:
            watch = [[CLASS, "stream"], [CLASS, "replied"]]
            agents[interpreter] = stage.start_agent(interpreter, interpreter, watch=watch)
        for interpreter, process in agents.items():
            stage.expect(interpreter, "replied: watching", 200)
            time.sleep(30)
            row = {"what": "memory", "how": interpreter, "tls": secure}
            rows.append({**row, **_memory(process.pid)})
    return rows


def _memory(pid: int) -> dict[str, float]:
    """Megabytes (10^6) of VmRSS and VmHWM."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        name: int(fields[field].split()[0]) * 1024 / 1e6
        for name, field in (("resident", "VmRSS"), ("peak", "VmHWM"))
    }


def print_memory(rows: list[Row]) -> None:
    print("\nMemory of the running agent, two keys watched, connected to the broker\n")
    print("| interpreter | TLS | resident MB | peak MB |")
    print("|---|---|--:|--:|")
    for row in rows:
        tls = "yes" if row["tls"] else "no"
        print(f"| {row['how']} | {tls} | {row['resident']:.1f} | {row['peak']:.1f} |")


if __name__ == "__main__":
    sys.exit(main())

"""make chaos: everything fails at random, and at the end every report is looked for.

    CHAOS_MINUTES=7 CHAOS_SEED=1 python -m tests.bench.chaos

Four agents, two an interpreter (so both MQTT drivers), report to a collector on SQLite through
Mosquitto over TLS. Agents, broker and collector are killed, links cut, the NAT restarted, disks
filled, clocks set, two boxes reflashed. The harness reads the spools' files all the time and
after each kill. At the end everything runs again, and then:

lost    what was seen in a spool's files, or has to have been written by then, and is neither in
        the database nor in the drop count that the device reported
twice   rows of the database beyond the first of each (device, boot, seq)

Exit status 1 if either is not 0, a stored report differs from the written one, a birth says
another end of the start before than its files show, or a program ended by itself.
"""

import heapq
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from natwatch_provisioning.authority import Authority
from tests.bench.boxes import FAKETIME, FLUSH, Box, fill, free, small_disk
from tests.bench.jobs import Job, Row, run, table
from tests.lab import HOME, Lab
from tests.lab.lab import LabError
from tests.lab.stage import SERVICE_PORT, Stage
from tests.lab.topology import BROKER

_WINDOW = FLUSH + 1 + 1 + 5  # s: with a turn, a second between two reports, and a busy machine
_FIRST = 10  # s after its start an agent tells of its health, and every second from then on
_TIMERS = (5, 10)  # s, of the NAT
_QUIET = 150  # s, at most, until the spools are empty
_CLOCKS = ("+1d", "-1d", "-56y")  # the last one is 1970, where no certificate is valid yet


class Births:
    """Listens to what the devices say of themselves. *heard*: (time, device, what it said)."""

    def __init__(self, stage: Stage) -> None:
        self.heard: list[tuple[float, str, dict[str, Any]]] = []
        authority = Authority.load(stage.folder / "authority")
        identity = authority.issue_service("noc", stage.folder / "services")
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="chaos")
        files = authority.certificate, identity.certificate, identity.key
        self._client.tls_set(*(str(file) for file in files))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("natwatch/+/up/state", 1)
        self._client.on_message = self._hear
        with stage.lab.on("provider"):
            self._client.connect_async(BROKER, SERVICE_PORT)
            self._client.loop_start()  # its thread stays on that host

    def _hear(self, _client: object, _data: object, message: Any) -> None:
        told = json.loads(message.payload)
        if told["online"]:
            self.heard.append((time.monotonic(), message.topic.split("/")[1], told))


class Chaos:
    """What is done to the lab. Each thing done has an end, which stands in the agenda."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.draw = random.Random(seed)
        self.stage = Stage(lab)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.database = small_disk(lab.scratch / "disk-database", 1 << 26)
        self.stage.database = f"sqlite:///{self.database}/natwatch.db"
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._down: set[tuple[str, str]] = set()
        self._full: set[str] = set()
        lab.router.set_timers(udp=_TIMERS[0], stream=_TIMERS[0])
        self.stage.start_reflector()
        self.broker: subprocess.Popen[Any] | None = self.stage.start_broker()
        self.collector: subprocess.Popen[Any] | None = self.stage.start_collector()
        self.births = Births(self.stage)
        self.boxes = [
            Box(self.stage, f"{driver}-{size >> 10}", interpreter, size)
            for driver, interpreter in (("paho", "cpython"), ("own", "micropython"))
            for size in (1 << 20, 1 << 16)
        ]

    def run(self, seconds: float) -> None:
        for box in self.boxes:
            box.start()
        began = time.monotonic()
        # The large ones reflashed, and one outage that is long enough to fill the small spools.
        self._at(0.5 * seconds, partial(self._cut, "router", "provider", min(120, 0.3 * seconds)))
        for share, box in ((0.25, self.boxes[0]), (0.4, self.boxes[2])):
            self._at(share * seconds, partial(self._reflash, box))
        things = (
            (30, self._kill_agent), (12, self._kill_broker), (15, self._kill_collector),
            (12, self._cut_some_link), (8, self._restart_nat), (10, self._fill_some_disk),
            (6, self._change_timers), (8 if FAKETIME else 0, self._set_some_clock),
        )  # fmt: skip
        weights = [weight for weight, _ in things]
        next_at = began + 15
        while time.monotonic() - began < seconds:
            self._turn()
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + self.draw.uniform(0.5, 4)
                self.draw.choices(things, weights)[0][1]()
            time.sleep(0.1)

    def settle(self) -> None:
        """All that is broken is mended; clean ends, and quiet starts that empty the spools."""
        while self._agenda:
            heapq.heappop(self._agenda)[2]()
        time.sleep(5)
        self._turn()
        for box in self.boxes:
            self._note(box.end(clean=True))
            box.be_quiet()
            box.start()
        end = time.monotonic() + _QUIET
        while time.monotonic() < end:
            self._turn()
            stored, reported = self.stored(), self.reported()
            if all(
                reported[box.name] is not None
                and len(_missing(box, stored)) <= sum(reported[box.name].values())
                for box in self.boxes
            ):
                break
            time.sleep(1)
        for box in self.boxes:
            self._note(box.end(clean=True))

    def stored(self) -> dict[tuple[str, str, int], list[str]]:
        """{(device, boot, seq): the data of each row}."""
        found: dict[tuple[str, str, int], list[str]] = {}
        for device, boot, seq, data in self.ask("SELECT device, boot, seq, data FROM report"):
            found.setdefault((device, boot, seq), []).append(data)
        return found

    def lifetimes_twice(self) -> int:
        rows = self.ask("SELECT count(*) FROM lifetime GROUP BY device, boot, seq")
        return sum(count - 1 for (count,) in rows)

    def reported(self) -> dict[str, Counter[str] | None]:
        """By device: {kind: drops} of all its starts, None before its last start told."""
        found: dict[str, Counter[str] | None] = {box.name: None for box in self.boxes}
        query = "SELECT data FROM report WHERE device = ? AND boot = ? AND kind = 'health'"
        for box in self.boxes:
            for at, name, told in self.births.heard:
                if name == box.name and at >= box.starts[-1].at:
                    for (data,) in self.ask(query, name, told["boot"]):
                        drops = json.loads(data)["spool"]["dropped"]
                        found[name] = box.dropped_before + Counter(drops)
        return found

    def ask(self, query: str, *values: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self.database}/natwatch.db?mode=ro", uri=True)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    # What happens

    def _turn(self) -> None:
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()
        for box in self.boxes:
            box.look()
            if box.process is not None and box.process.poll() is not None:
                self._note(box.end())
                box.start()
        for name in ("broker", "collector"):
            process = getattr(self, name)
            if process is not None and process.poll() is not None:
                self._note(f"the {name} ended by itself, status {process.returncode}")
                setattr(self, name, None)
                self._start_provider(name)

    def _note(self, fault: str | None) -> None:
        if fault is not None:
            self.faults.append(fault)

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._order), what))

    def _pause(self, shortest: float, longest: float, much: float) -> float:
        """Mostly between the first two, now and then up to *much*."""
        if self.draw.random() < 0.15:
            return self.draw.uniform(longest, much)
        return self.draw.uniform(shortest, longest)

    def _kill_agent(self) -> None:
        box = self.draw.choice(self.boxes)
        pause = self._pause(0, 3, 15)
        if box.alive:
            self.counts["agent"] += 1
            self._note(box.end())
            self._at(pause, box.start)

    def _reflash(self, box: Box) -> None:
        self._note(box.end())
        box.reflash()
        self.counts["reflashed"] += 1
        self._at(1, box.start)

    def _kill_broker(self) -> None:
        self._kill_provider("broker", self._pause(0, 4, 10))

    def _kill_collector(self) -> None:
        self._kill_provider("collector", self._pause(0, 6, 30))

    def _kill_provider(self, name: str, pause: float) -> None:
        process = getattr(self, name)
        if process is not None and process.poll() is None:
            self.counts[name] += 1
            process.kill()
            process.wait()
            setattr(self, name, None)
            self._at(pause, partial(self._start_provider, name))

    def _start_provider(self, name: str) -> None:
        if getattr(self, name) is None:
            start = {"broker": self.stage.start_broker, "collector": self.stage.start_collector}
            setattr(self, name, start[name]())

    def _cut_some_link(self) -> None:
        inner, outer = self.draw.choice((("phone", "router"), ("router", "provider")))
        self._cut(inner, outer, self._pause(1, 10, 30))

    def _cut(self, inner: str, outer: str, seconds: float) -> None:
        if (inner, outer) not in self._down:
            self._down.add((inner, outer))
            self.counts["cut"] += 1
            self.lab.set_link(inner, outer, False)
            self._at(seconds, partial(self._join, inner, outer))

    def _join(self, inner: str, outer: str) -> None:
        self._down.discard((inner, outer))
        self.lab.set_link(inner, outer, True)

    def _restart_nat(self) -> None:
        self.counts["nat"] += 1
        self.lab.router.restart()

    def _change_timers(self) -> None:
        self.counts["timer"] += 1
        seconds = self.draw.choice(_TIMERS)
        self.lab.router.set_timers(udp=seconds, stream=seconds)

    def _fill_some_disk(self) -> None:
        box = self.draw.choice([None, *self.boxes])
        name = "database" if box is None else box.name
        pause = self._pause(3, 15, 30)
        if name in self._full:
            return
        self._full.add(name)
        self.counts["full"] += 1
        if box is None:
            fill(self.database)
        else:
            box.fill()
        self._at(pause, partial(self._free, box, name))

    def _free(self, box: Box | None, name: str) -> None:
        self._full.discard(name)
        if box is None:
            free(self.database)
        else:
            box.free()

    def _set_some_clock(self) -> None:
        box = self.draw.choice(self.boxes)
        self.counts["clock"] += 1
        box.clock.write_text(self.draw.choice(_CLOCKS))
        self._at(self._pause(5, 20, 40), partial(box.clock.write_text, "+0"))


# What came of it


def _missing(box: Box, stored: dict[tuple[str, str, int], list[str]]) -> Counter[str]:
    """What was in the files and is not in the database: {kind: how many}, one key a report."""
    return Counter(
        {
            f"{kind}/{boot}/{seq}": 1
            for (boot, seq), (kind, _) in box.written.items()
            if (box.name, boot, seq) not in stored and (boot, seq) not in box.taken
        }
    )


def _find_boots(box: Box, births: Births) -> dict[str, list[dict[str, Any]]]:
    """{boot: what its births said}; a start whose boot no file told gets it from its birth."""
    known = {start.boot for start in box.starts}
    found: dict[str, list[dict[str, Any]]] = {}
    for at, name, told in births.heard:
        if name != box.name:
            continue
        found.setdefault(told["boot"], []).append(told)
        for start in box.starts:
            inside = start.at <= at and (start.ended is None or at <= start.ended + 1)
            if start.boot is None and inside and told["boot"] not in known:
                start.boot = told["boot"]
                known.add(start.boot)
    return found


def judge(chaos: Chaos) -> Row:
    """The comparison, as one row."""
    stored, reported = chaos.stored(), chaos.reported()
    row: Row = {"stored": len(stored), "written": 0, "dropped": 0, "lost": 0, "memory": 0}
    row["kinds"] = dict(chaos.ask("SELECT kind, count(*) FROM report GROUP BY kind ORDER BY kind"))
    jumps: dict[str, int] = {}
    for boot, data in chaos.ask("SELECT boot, data FROM report WHERE kind = 'health'"):
        jumps[boot] = max(jumps.get(boot, 0), json.loads(data)["clock"]["jumps"])
    row["jumps"] = sum(jumps.values())
    row["twice"] = sum(len(rows) - 1 for rows in stored.values()) + chaos.lifetimes_twice()
    row.update({"births": 0, "starts": 0, "taken": 0, "oldest": 0.0, "lines": []})
    monos: dict[tuple[str, str, int], float] = {}
    for device, boot, seq, mono in chaos.ask("SELECT device, boot, seq, mono FROM report"):
        monos[(device, boot, seq)] = mono
    for box in chaos.boxes:
        for (boot, seq), (_, payload) in box.written.items():
            told = json.loads(payload)
            monos[(box.name, boot, seq)] = told["mono"]
            for data in stored.get((box.name, boot, seq), []):
                if json.loads(data) != told["data"]:
                    chaos.faults.append(f"{box.name}: report {boot} {seq} was changed on its way")
        missing = Counter(key.split("/")[0] for key in _missing(box, stored))
        drops = reported[box.name]
        if drops is None:
            chaos.faults.append(f"{box.name}: its last start told no health within {_QUIET} s")
            drops = Counter()
        row["written"] += len(box.written)
        row["dropped"] += drops.total()
        row["taken"] += len([n for n in box.taken if (box.name, *n) not in stored])
        for kind in missing:
            lost = missing[kind] - drops[kind]
            if lost > 0:
                row["lost"] += lost
                row["lines"].append(f"lost: {lost} {kind} of {box.name}, which were in its files")
        _judge_starts(chaos, box, monos, sum((drops - missing).values()), row)
    return row


def _judge_starts(
    chaos: Chaos, box: Box, monos: dict[tuple[str, str, int], float], spare: int, row: Row
) -> None:
    """Births, and what was in memory only. *spare*: reported drops that no file had."""
    births = _find_boots(box, chaos.births)
    for number, start in enumerate(box.starts):
        row["starts"] += 1
        for told in births.get(start.boot or "", [])[:1]:
            row["births"] += 1
            said = {name: told[name] for name in ("unclean", "last")}
            if said != start.expected:
                chaos.faults.append(
                    f"{box.name}: the birth of start {number + 1} says {said}, its files"
                    f" {start.expected}"
                )
        if start.ended is None:
            continue
        # A start's clock begins with it on MicroPython, on CPython it is the machine's.
        lived = start.ended - start.at
        now = start.ended if box.interpreter == "cpython" else lived
        age = {
            seq: now - mono
            for (name, boot, seq), mono in monos.items()
            if (name, boot) == (box.name, start.boot)
        }
        bound = _WINDOW if start.failing is None else _WINDOW + start.ended - start.failing
        ages = []
        if lived > _FIRST and not start.clean:
            ages.append(min(age.values(), default=lived - _FIRST))
        holes = 0
        for before, after in itertools.pairwise([0, *sorted(age)]):
            # What is missing before a known report is older than that one.
            if start.clean or age[after] > bound:
                holes += after - before - 1
            else:
                row["memory"] += after - before - 1
        if start.failing is None:
            row["oldest"] = max([row["oldest"], *ages])
        for age in ages:
            if age > bound:
                row["lost"] += 1
                row["lines"].append(
                    f"lost: start {number + 1} of {box.name} wrote nothing in its last {age:.1f} s"
                )
        if holes > spare:
            row["lost"] += holes - spare
            row["lines"].append(
                f"lost: {holes - spare} of start {number + 1} of {box.name}, older than the window"
            )
        spare -= min(spare, holes)


def chaos(minutes: float, seed: int) -> list[Row]:
    with Lab(HOME) as lab:
        one = Chaos(lab, seed)
        try:
            one.run(60 * minutes)
            one.settle()
        except LabError as error:
            one.faults.append(str(error))
        row = judge(one)
        for name in ("collector", *(box.name for box in one.boxes)):
            if "Traceback" in one.stage.log(name):
                one.faults.append(f"{name}: a traceback in its log")
        row.update({"seed": seed, "counts": dict(one.counts), "faults": one.faults})
        keep = os.environ.get("CHAOS_LOGS")
        if keep:
            Path(keep).mkdir(exist_ok=True)
            for name in one.stage.logs:
                (Path(keep) / f"{name}.log").write_text(one.stage.log(name))
        return [row]


def show(row: Row) -> int:
    """Prints; how much is not as promised."""
    counts = Counter(row["counts"])
    table(
        ">killed: agents | >broker | >collector | >links cut | >NAT restarts | >full disks"
        " | >clocks set | >timers changed | >reflashed",
        [[counts[name] for name in ("agent", "broker", "collector", "cut", "nat", "full", "clock",
                                    "timer", "reflashed")]],
    )  # fmt: skip
    print()
    table(
        ">reports stored | >seen in files | >dropped, reported | >gone with a flash"
        " | >in memory only, at least | >lost | >twice",
        [[row[name] for name in ("stored", "written", "dropped", "taken", "memory", "lost",
                                 "twice")]],
    )  # fmt: skip
    print("\nstored: " + ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items()))
    print(f"jumps of their clocks that the devices told: {row['jumps']}")
    print(f"births as their files say: {row['births']} heard of {row['starts']} starts")
    print(f"longest time before a kill of which nothing is known: {row['oldest']:.1f} s", end="")
    print(f" (at most {_WINDOW})")
    if FAKETIME is None:
        print("no clock was set: libfaketime is missing")
    for line in [*row["lines"], *(f"not as promised: {fault}" for fault in row["faults"])]:
        print(line)
    return row["lost"] + row["twice"] + len(row["faults"])


def main() -> int:
    minutes = float(os.environ.get("CHAOS_MINUTES") or 7)
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}: CHAOS_SEED={seed} CHAOS_MINUTES={minutes:g} draws the same things\n")
    sys.stdout.flush()
    rows, errors = run([Job("chaos", 60 * minutes + 60, partial(chaos, minutes, seed))])
    for name, error in errors.items():
        print(f"no result for {name}: {error}")
    return 1 if errors or show(rows[0]) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())

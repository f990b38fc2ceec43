"""Jobs of a benchmark: each in a container of its own, all side by side, results as JSON."""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab import container

INTERPRETERS = ("cpython", "micropython")

Row = dict[str, Any]

_PROGRESS = 30  # s
_OVERDUE = 900  # s beyond what a job was thought to take: then it hangs


@dataclass(frozen=True)
class Job:
    """*work* gives rows of JSON and takes about *seconds*, of which it keeps the machine busy with
    starting programs for the first few."""

    name: str
    seconds: float
    work: Callable[[], list[Row]]
    starting: float = 2  # s


def run(jobs: Sequence[Job]) -> tuple[list[Row], dict[str, str]]:
    """All rows, and {name: error} of the jobs that gave none. Progress goes to standard error.

    The longest job is begun first, and none while another one is still starting.
    """
    folder = Path(tempfile.mkdtemp(prefix="natwatch-bench-"))
    keepers: list[int] = []
    waiting: list[tuple[float, int]] = []  # when to begin which, the latest first
    after = expected = 0.0
    for number in sorted(range(len(jobs)), key=lambda number: -jobs[number].seconds):
        waiting.insert(0, (after, number))
        expected = max(expected, after + jobs[number].seconds)
        after += jobs[number].starting
    began = shown = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            while waiting and now - began >= waiting[-1][0]:
                _, number = waiting.pop()
                work = partial(_record, jobs[number].work, folder, number)
                keepers.append(container.start(work))
            left_behind = [*folder.glob("*.json"), *folder.glob("*.error")]
            done = {int(path.stem) for path in left_behind}
            left = [job.name for number, job in enumerate(jobs) if number not in done]
            if not left or now - began > expected + _OVERDUE:
                break
            if now - shown >= _PROGRESS:
                shown = now
                _tell(now - began, expected, left)
            time.sleep(0.25)
        rows = [
            row
            for number in range(len(jobs))
            if (folder / f"{number}.json").exists()
            for row in json.loads((folder / f"{number}.json").read_text())
        ]
        errors = {jobs[int(p.stem)].name: p.read_text() for p in sorted(folder.glob("*.error"))}
        late = f"expected its result within {expected + _OVERDUE:.0f} s, found none"
        return rows, {name: errors.get(name, late) for name in [*errors, *left]}
    finally:
        for keeper in keepers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
            container.wait(keeper)
        shutil.rmtree(folder)


def _record(work: Callable[[], list[Row]], folder: Path, number: int) -> int:
    try:
        rows = work()
    except Exception as error:
        (folder / f"{number}.error").write_text(f"{type(error).__name__}: {error}")
        raise
    part = folder / f"{number}.part"
    part.write_text(json.dumps(rows))
    part.rename(folder / f"{number}.json")
    return 0


def _tell(passed: float, expected: float, left: list[str]) -> None:
    print(
        f"{passed:.0f} s, about {max(0, expected - passed):.0f} s left; under way or to come:"
        f" {', '.join(left[:12])}{f' and {len(left) - 12} more' if len(left) > 12 else ''}",
        file=sys.stderr,
        flush=True,
    )


def words(name: str, default: str) -> tuple[str, ...]:
    """The environment variable *name* as words; "" leaves none."""
    return tuple(os.environ.get(name, default).split())


def table(columns: str, rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table. *columns*: names joined by " | "; those that begin with > hold numbers."""
    names = [name.strip() for name in columns.split("|")]
    print("| " + " | ".join(name.removeprefix(">") for name in names) + " |")
    print("|" + "|".join("--:" if name.startswith(">") else "---" for name in names) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")

"""What `natwatch layers` says of lines whose boxes are known: hops, lifetimes, and what it costs.

    LAYERS_ROWS="two: 15, 60; three: 120, 30, 15" LAYERS_INTERPRETERS=micropython \\
        python -m tests.bench.layers

Exit status 1 if a number of boxes, a hop or a lifetime is wrong.
"""

import json
import os
import sys
from functools import partial
from itertools import permutations

from tests.bench.jobs import INTERPRETERS, Job, run, table, words
from tests.bench.jobs import Row as Told
from tests.lab.rows import STATES, Report, Row, ask

TIMERS = (15, 30, 60, 120)  # s
_MOST = 4.0  # times the longest timer
# Where patience, or the search for the boundary that a TTL-first box crosses, costs more.
_BEYOND = ("plain first", "plain between", "TTL first", "outer TTL first")


def rows() -> list[Row]:
    found = [Row("one", (timer,)) for timer in TIMERS]
    found += [Row("two", pair) for pair in permutations(TIMERS, 2)]
    found += [Row("two", (timer, timer)) for timer in TIMERS]
    found += [Row("three", three) for three in permutations(TIMERS, 3)]
    found += [Row("three", (timer, timer, timer)) for timer in (15, 60)]
    found += [Row("plain between", pair) for pair in ((15, 60), (60, 15), (30, 120), (120, 120))]
    found += [Row("plain first", (timer,)) for timer in (15, 120)]
    found += [Row("TTL first", (timer,)) for timer in (15, 60)]
    found += [Row("outer TTL first", pair) for pair in ((15, 60), (30, 120), (60, 60))]
    return found


def jobs() -> list[Job]:
    every = rows()
    wanted = [one.strip() for one in os.environ.get("LAYERS_ROWS", "").split(";")]
    names = [row.name for row in every]
    if unknown := [one for one in wanted if one and one not in names]:
        raise SystemExit(f"expected names of {'; '.join(names)}; found {'; '.join(unknown)}")
    return [
        Job(
            f"{row.name} ({interpreter})",
            (250.0 if row.kind in _BEYOND else 30.0) + 3.5 * row.longest(),
            partial(_ask, row, interpreter),
            starting=7,
        )
        for row in every
        if wanted == [""] or row.name in wanted
        for interpreter in words("LAYERS_INTERPRETERS", " ".join(INTERPRETERS))
    ]


def _ask(row: Row, interpreter: str) -> list[Told]:
    status, report, seconds = ask(row, interpreter)
    faults = row.wrong(report)
    if faults:
        print(f"{row.name} ({interpreter}): {json.dumps(report)}", file=sys.stderr, flush=True)
    results = [report["measured"]["states"][state] for state in STATES]
    return [
        {
            "row": row.name,
            "kind": row.kind,
            "how": interpreter,
            "exit": status,
            "boxes": [_text(report, number) for number in range(len(report["boxes"]))],
            "clear": [f"{_hops(one)} > {one['beyond']:.0f}" for one in report["clear"]],
            "evidence": [f"{p['source']} {p['says']}" for p in report["evidence"] if p["says"]],
            "seconds": seconds,
            "ratio": seconds / row.longest(),
            "bytes": sum(result["bytes"] for result in results),
            "at_once": sum(result["at_once"] for result in results),
            "faults": faults,
        }
    ]


def _hops(one: Report) -> str:
    return str(one["first"]) if one["first"] == one["last"] else f"{one['first']}-{one['last']}"


def _text(report: Report, number: int) -> str:
    box = report["boxes"][number]
    parts = []
    for state in STATES:
        low, high = box[state] or (None, None)
        parts.append(f"{low:.1f}–{high:.1f}" if low is not None and high is not None else "?")
    return f"hop {_hops(box)}: {', '.join(parts)}"


def show(told: list[Told]) -> int:
    """The table; how many lines were not told as they are."""
    table(
        "boxes: stream timers, s | interpreter | found: replied, stream, s | no box within, s |"
        " also said | >s | >÷ longest | >kB | >bindings | as it is",
        [
            [
                *(row["row"], row["how"], "; ".join(row["boxes"]), "; ".join(row["clear"])),
                *(", ".join(row["evidence"]), f"{row['seconds']:.0f}", f"{row['ratio']:.1f}"),
                *(f"{row['bytes'] / 1000:.0f}", row["at_once"]),
                "; ".join(row["faults"]) or "yes",
            ]
            for row in told
        ],
    )
    for beyond, what in (
        (False, "every hop a NAT"),
        (True, "a plain router or a TTL-first one among them"),
    ):
        ratios = [row["ratio"] for row in told if (row["kind"] in _BEYOND) == beyond]
        if ratios:
            print(f"\nSeconds ÷ longest timer, {what}: {min(ratios):.1f} to {max(ratios):.1f}")
    return len([row for row in told if row["faults"]])


def main() -> int:
    told, errors = run(jobs())
    wrong = show(told)
    for name, error in errors.items():
        print(f"NO RESULT of {name}: {error}")
    print(f"\n{len(told) - wrong} of {len(told) + len(errors)} lines are told as they are")
    dear = [row for row in told if row["ratio"] > _MOST and row["kind"] not in _BEYOND]
    for row in dear:
        print(f"TOO DEAR: {row['row']} ({row['how']}): {row['ratio']:.1f} times the longest timer")
    return 1 if wrong or errors or dear else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a check says of each line of tests/lab/scenarios.py, beside what is true of it.

    DIAGNOSIS_SCENARIOS="15 s; symmetric" DIAGNOSIS_QUICK=1 python -m tests.bench.diagnosis

Exit status 1 if anything is missed or invented.
"""

import os
import sys
from functools import partial

from tests.bench.jobs import INTERPRETERS, Job, Row, run, table, words
from tests.lab.scenarios import SCENARIOS, Scenario, ask

_MOST_BYTES, _MOST_SECONDS = 500_000, 60  # of a sweep of all voice ports
_MOST_QUICK = 60  # s
_MOST_PEAK = 6.0  # MB, MicroPython
_QUICK = ("plain NAT, 30/120 s", "15 s", "200 s", "symmetric")  # run with --quick as well


def jobs() -> list[Job]:
    wanted = [one.strip() for one in os.environ.get("DIAGNOSIS_SCENARIOS", "").split(";")]
    names = [one.name for one in SCENARIOS]
    if unknown := [one for one in wanted if one and one not in names]:
        raise SystemExit(f"expected names of {'; '.join(names)}; found {'; '.join(unknown)}")
    chosen = [one for one in SCENARIOS if wanted == [""] or one.name in wanted]
    found = []
    for scenario in chosen:
        for interpreter in words("DIAGNOSIS_INTERPRETERS", " ".join(INTERPRETERS)):
            seconds = 480.0 if scenario.name == "200 s" else 110.0
            name = f"{scenario.name} ({interpreter})"
            work = partial(_ask, scenario, interpreter, False)
            found.append(Job(name, seconds, work, starting=9))
            if scenario.name in _QUICK:
                work = partial(_ask, scenario, interpreter, True)
                found.append(Job(f"{name}, quick", 45, work, starting=9))
    return found


def _ask(scenario: Scenario, interpreter: str, quick: bool) -> list[Row]:
    status, report, cost = ask(scenario, interpreter, *(["--quick"] if quick else []))
    faults = scenario.wrong(status, report, quick)
    rtp = report["rtp"]
    if quick and cost.seconds > _MOST_QUICK:
        faults.append(f"{cost.seconds:.0f} s")
    costly = rtp and (rtp["bytes"] > _MOST_BYTES or rtp["seconds"] > _MOST_SECONDS)
    if costly:
        faults.append(f"sweep of {rtp['bytes']} bytes in {rtp['seconds']:.0f} s")
    if interpreter == "micropython" and cost.peak > _MOST_PEAK:
        faults.append(f"{cost.peak:.1f} MB")
    return [
        {
            "line": scenario.name + (", --quick" if quick else ""),
            "how": interpreter,
            "verdict": report["verdict"],
            "exit": status,
            "codes": sorted({finding["code"] for finding in report["findings"]}),
            "seconds": cost.seconds,
            "peak": cost.peak,
            "sweep": None if rtp is None else [rtp["asked"], rtp["bytes"], rtp["seconds"]],
            "faults": faults,
        }
    ]


def show(rows: list[Row]) -> int:
    """The table; how many lines were not told as they are."""
    table(
        "line | interpreter | verdict, exit | findings | >s | >peak MB | as it is",
        [
            [
                *(row["line"], row["how"], f"{row['verdict']}, {row['exit']}"),
                " ".join(row["codes"]) or "none",
                *(f"{row['seconds']:.0f}", f"{row['peak']:.1f}"),
                "; ".join(row["faults"]) or "yes",
            ]
            for row in rows
        ],
    )
    sweeps = [row["sweep"] for row in rows if row["sweep"] and row["sweep"][0] > 1000]
    if sweeps:
        print(
            f"\nSweeps of all voice ports: {len(sweeps)}, at most"
            f" {max(sweep[1] for sweep in sweeps)} bytes and"
            f" {max(sweep[2] for sweep in sweeps):.1f} s"
        )
    return len([row for row in rows if row["faults"]])


def main() -> int:
    rows, errors = run(jobs())
    wrong = show(rows)
    for name, error in errors.items():
        print(f"NO RESULT of {name}: {error}")
    print(f"\n{len(rows) - wrong} of {len(rows) + len(errors)} checks say what is true")
    return 1 if wrong or errors else 0


if __name__ == "__main__":
    sys.exit(main())

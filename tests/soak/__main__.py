"""make soak: SOAK_DAYS simulated days, a line each; what was said, and what of it was wrong."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from tests.soak.month import Day, live  # noqa: E402


def show(day: Day) -> None:
    print(
        f"day {day.number:2}: {day.seconds:5.1f} s, {day.blocks} blocks, "
        f"{day.resident / 1e6:.1f} MB resident, "
        f"{day.reports:6} reports stored, {day.waiting} waiting",
        flush=True,
    )


def main() -> int:
    days, seed = (int(os.environ.get(name) or most) for name, most in _SETTINGS)
    told = live(days, seed, show)
    for text in told.lines:
        print(text)
    print(", ".join(f"{number} {name}" for name, number in sorted(told.happened.items())))
    print(
        *told.wrong or ["no false alert, no shrink missed, no wrong bracket, memory flat"], sep="\n"
    )
    return len(told.wrong)


_SETTINGS = (("SOAK_DAYS", 31), ("SOAK_SEED", 1))

if __name__ == "__main__":
    sys.exit(main())

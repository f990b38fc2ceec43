"""Rows to text: aligned columns, times and ages as people say them, colour on a terminal."""

import time
from typing import TextIO

from natwatch_provider.collector.wording import tenths

_COLOURS = {
    "critical": "31;1",
    "warning": "33",
    "online": "32",
    "offline": "31",
    "NO": "31;1",
    "ready": "32",
    "NOT READY": "31;1",
}


def table(titles: list[str], rows: list[list[str]], out: TextIO) -> None:
    """Print *rows* under *titles*. The last column is not filled up with blanks."""
    everything = [titles, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(titles))]
    for number, row in enumerate(everything):
        cells = [
            _coloured(cell, width, out, heading=number == 0)
            for cell, width in zip(row, [*widths[:-1], 0], strict=True)
        ]
        print("  ".join(cells).rstrip(), file=out)


def lifetime(low: float | None, high: float | None) -> str:
    """A bracket: ``39.6 to 40.4 s``, ``over 600 s``, ``unknown``."""
    if low is None:
        return "unknown"
    return f"over {tenths(low):g} s" if high is None else f"{low:.1f} to {high:.1f} s"


def percent(share: float) -> str:
    """``99.8 %``. What is not all is never rounded up to 100."""
    return f"{share if share == 100 else min(round(share, 1), 99.9):.1f} %"


def age(at: float | None, now: float) -> str:
    """How long ago: ``12 s``, ``5 min``, ``3 h``, ``2 days``."""
    if at is None:
        return "never"
    seconds = max(0, int(now - at))
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def moment(at: float | None) -> str:
    """The local time, to the second."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _coloured(cell: str, width: int, out: TextIO, heading: bool) -> str:
    text = cell.ljust(width)
    colour = "1" if heading else _COLOURS.get(cell)
    return f"\033[{colour}m{text}\033[0m" if colour and out.isatty() else text

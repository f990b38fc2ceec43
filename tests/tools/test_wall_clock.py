"""The agent measures on the monotonic clock: here is who else may ask for the time of day."""

import re
from pathlib import Path

AGENT = Path(__file__).parents[2] / "agent" / "natwatch"
ASKS = re.compile(r"time\.time\b|time_ns\b|localtime|gmtime|datetime|port\.wall\b|\bseconds\(\)")
ALLOWED = {
    "port/cpython.py": "platform",
    "port/micropython.py": "platform",
    "port/__init__.py": "wall()",
    "port/refusal.py": "an hour that outlives a restart; the monotonic clock counts within one",
    "daemon/clock.py": "what is told in reports",
    "checkup.py": "the date on the page",
    "cli.py": "the hour of a log line",
    "diagnosis/report.py": "the date of a report that names one",
}


def test_nothing_that_measures_asks_for_the_time_of_day() -> None:
    found = set()
    for path in sorted(AGENT.rglob("*.py")):
        if ASKS.search(path.read_text()):
            found.add(path.relative_to(AGENT).as_posix())
    assert found == set(ALLOWED)

"""Every outcome has a name and a number; what is dropped is said, but not a thousand times."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("natwatch.collector")

QUIET_S = 60.0  # one line a reason in this time; the next one says how many there were between

# Fixed, so that garbage cannot grow the table.
REASONS = {
    "unknown_topic": "a topic that is not natwatch/<device>/up/<kind>",
    "bad_device": "a device level that is no device id",
    "too_big": "a message longer than an envelope may be",
    "not_json": "a message that is not a JSON object",
    "bad_envelope": "a report with a wrong or missing field",
    "bad_state": "a birth or will with a wrong or missing field",
    "stale_state": "a will or birth older than the present connection",
    "duplicate": "a report that was stored before",
    "unknown_kind": "a report of a kind not known here, stored as it is",
    "bad_lifetime": "a lifetime report with a wrong or missing field, stored as it is",
    "bad_resident": "a resident report with a wrong or missing field, stored as it is",
    "bad_nat": "a nat report with a wrong or missing field, stored as it is",
    "bad_keepalives": "a keepalives report with a wrong or missing field, stored as it is",
    "bad_advice": "an advice report with a wrong or missing field, stored as it is",
    "bad_plan": "a plan report with a wrong or missing field, stored as it is",
    "bad_reach": "a reach report with a wrong or missing field, stored as it is",
    "bad_media": "a media report with a wrong or missing field, stored as it is",
    "bad_check": "a check report with a wrong or missing field, stored as it is",
    "bad_layers": "a layers report with a wrong or missing field, stored as it is",
    "bad_health": "a health report with a wrong or missing field, stored as it is",
    "refused": "a message that the database refused",
    "queue_full": "a message that found the queue full; the device sends it again",
}
# Part of normal life: counted, not worth a line.
_SILENT = ("duplicate", "stale_state")


class Counts:
    """Numbers by reason, beside those of what went well: stored, acknowledged."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.of = dict.fromkeys(("stored", "acknowledged", *REASONS), 0)
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # when, and the number then

    def good(self, name: str, number: int = 1) -> None:
        self.of[name] += number

    def dropped(self, reason: str, device: str, detail: str = "") -> None:
        """Count one more of *reason*, and say so unless that was said within the last minute."""
        self.of[reason] += 1
        if reason in _SILENT:
            return
        now = self._clock()
        at, before = self._said.get(reason, (float("-inf"), 0))
        if now - at < QUIET_S:
            return
        since = self.of[reason] - before
        self._said[reason] = (now, self.of[reason])
        log.warning(
            "%s from %s: %s%s (%d since last said, %d in all)",
            reason,
            device[:64].encode("ascii", "backslashreplace").decode(),
            REASONS[reason],
            f": {_short(detail)}" if detail else "",
            since,
            self.of[reason],
        )

    def summary(self) -> str:
        """All that is not zero, as one line."""
        return " ".join(f"{name}={number}" for name, number in self.of.items() if number)


def _short(detail: str) -> str:
    """At most 200 characters, none of which can move a terminal's cursor."""
    safe = detail[:200].encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in safe)

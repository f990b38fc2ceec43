"""Whose box a shrink is: an alert's evidence against the stored reports of kind ``layers``."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from natwatch.diagnosis import attribution
from natwatch.diagnosis.boxes import STATES
from natwatch_provider.store import reports
from natwatch_provider.store.alerts import Evidence
from natwatch_provider.store.keys import context_of

from .fields import Rejected
from .kinds import check

LOOKED_AT = 100  # reports; a device makes one a day, and one after each shrink

Box = dict[str, Any]


@dataclass(frozen=True)
class _Told:
    """One good report: when it was made, UTC seconds, on which line, and what it says."""

    time: float
    context: str
    data: dict[str, Any]


def find(
    connection: Connection, device: str, worst: Evidence, everything: list[Evidence]
) -> Box | None:
    """The box that an alert with this evidence is attributed to, as natwatch.diagnosis.attribution
    gives it; None where that is not known.

    Only what was measured on the same line counts, and as the state of now only what is newer
    than the shrink. What the alert shows comes first; another state of the SIP port may know more.
    """
    if worst.key.port_class != "udp/sip":
        return None
    told = _told(connection, device)
    for one in [worst, *everything]:
        if one.key.port_class == "udp/sip" and one.key.state in STATES:
            box = _box(one, [report for report in told if report.context == one.key.context])
            if box is not None:
                return box
    return None


def adds(box: Box, shown: str | None) -> bool:
    """Whether *box* says another thing than *shown*, the JSON of the one that an alert names:
    another box, or what it kept before where that was not known. Wobble is no news.
    """
    if shown is None:
        return True
    known = json.loads(shown)
    same = all(box[name] == known[name] for name in ("owner", "first", "last"))
    return not same or (known["was"] is None and box["was"] is not None)


def _box(evidence: Evidence, told: list[_Told]) -> Box | None:
    """*told*: of the line of *evidence*, the newest first."""
    earlier = [one.data for one in told if one.time < evidence.since]
    for one in told:
        if one.time >= evidence.since:
            box: Box | None = attribution.attribute(
                one.data, earlier, evidence.key.state, evidence.new
            )
            if box is not None:
                return box
    return None


def _told(connection: Connection, device: str) -> list[_Told]:
    found = []
    for row in reports.layers(connection, device, LOOKED_AT):
        try:
            check("layers", row["data"])
        except Rejected:
            continue  # it is stored all the same
        where = row["data"]["context"]
        context = context_of(where.get("gateway"), where.get("public"))
        found.append(_Told(row["time"], context, row["data"]))
    return found

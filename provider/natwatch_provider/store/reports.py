"""What devices sent: every report as it came, and the lifetimes in them as columns."""

import json
from typing import Any

from sqlalchemy import Connection, Update, bindparam, insert, literal_column, select, update

from .schema import latest, lifetime, report

Row = dict[str, Any]

CONFIRMED = ("ntp", "reflector")  # qualities of a time that the reflector vouches for


def add(connection: Connection, reports: list[Row], lifetimes: list[Row]) -> None:
    """Insert rows, which name the tables' columns. That none is a duplicate is streams' word."""
    if reports:
        connection.execute(insert(report), reports)
    if lifetimes:
        connection.execute(insert(lifetime), lifetimes)


def retime(connection: Connection, device: str, boot: str, clock: float, since: float) -> list[Row]:
    """Date all reports of *boot* again whose time nobody confirmed: *clock* is UTC at mono 0. None
    was received before *since*. What stood in latest and lifetime follows. Gives the rows: seq,
    kind, data and the new time.
    """
    of_boot = (report.c.device == device, report.c.boot == boot)
    found = connection.execute(
        select(
            report.c.id, report.c.seq, report.c.mono, report.c.time, report.c.kind, report.c.data
        )
        .where(*of_boot, report.c.received >= since, report.c.tq.not_in(CONFIRMED))
        .order_by(report.c.seq)
    ).all()
    new = {row.seq: clock + row.mono for row in found}
    _update(
        connection,
        update(report).where(report.c.id == bindparam("one")).values(tq="rebuilt"),
        [{"one": row.id, "time": new[row.seq]} for row in found],
    )
    _update(
        connection,
        update(lifetime)
        .where(lifetime.c.device == device, lifetime.c.measured == bindparam("old"))
        .where(lifetime.c.boot == boot, lifetime.c.seq == bindparam("one")),
        [
            # by its old time, which has an index
            {"one": row.seq, "old": row.time, "measured": new[row.seq]}
            for row in found
            if row.kind == "lifetime"
        ],
    )
    _update(
        connection,
        update(latest)
        .where(latest.c.device == device, latest.c.boot == boot)
        .where(latest.c.seq == bindparam("one")),
        [{"one": row.seq, "time": new[row.seq]} for row in found],
    )
    return [
        {"seq": row.seq, "kind": row.kind, "data": row.data, "time": new[row.seq]} for row in found
    ]


def _update(connection: Connection, statement: Update, rows: list[Row]) -> None:
    if rows:
        connection.execute(statement, rows)


def layers(connection: Connection, device: str, limit: int) -> list[Row]:
    """The latest *limit* reports of kind "layers" of *device*, the newest first: time and data
    each, unchecked.
    """
    rows = connection.execute(
        select(report.c.time, report.c.data)
        # Spelled out, since a partial index is not found through a parameter.
        .where(report.c.device == device, report.c.kind == literal_column("'layers'"))
        .order_by(report.c.time.desc(), report.c.id.desc())
        .limit(limit)
    )
    return [{"time": row.time, "data": json.loads(row.data)} for row in rows]

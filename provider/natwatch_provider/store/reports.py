"""What devices sent: every report as it came, and the lifetimes in them as columns."""

import json
from typing import Any

from sqlalchemy import Connection, insert, literal_column, select

from .schema import lifetime, report

Row = dict[str, Any]


def add(connection: Connection, reports: list[Row], lifetimes: list[Row]) -> None:
    """Insert rows, which name the tables' columns. That none is a duplicate is streams' word."""
    if reports:
        connection.execute(insert(report), reports)
    if lifetimes:
        connection.execute(insert(lifetime), lifetimes)


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

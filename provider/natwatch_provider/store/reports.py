"""What devices sent: every report as it came, and the lifetimes in them as columns."""

from typing import Any

from sqlalchemy import Connection, insert

from .schema import lifetime, report

Row = dict[str, Any]


def add(connection: Connection, reports: list[Row], lifetimes: list[Row]) -> None:
    """Insert rows, which name the tables' columns. That none is a duplicate is streams' word."""
    if reports:
        connection.execute(insert(report), reports)
    if lifetimes:
        connection.execute(insert(lifetime), lifetimes)

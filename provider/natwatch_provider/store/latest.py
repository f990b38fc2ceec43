"""The latest report of each kind of a device. A late resend never takes a newer one's place."""

import json
from typing import Any

from sqlalchemy import Connection, select

from .schema import latest
from .upsert import upsert

Row = dict[str, Any]


def keep(connection: Connection, rows: list[Row]) -> None:
    """Of *rows*, which name every column, and of what is stored keep the newest by device and
    kind. The caller has locked the devices.
    """
    if not rows:
        return
    names = sorted({row["device"] for row in rows})
    stored = connection.execute(select(latest).where(latest.c.device.in_(names)))
    newest = {(row.device, row.kind): dict(row._mapping) for row in stored}
    changed = {}
    for row in rows:
        name = (row["device"], row["kind"])
        if name not in newest or _is_newer(row, newest[name]):
            newest[name] = changed[name] = row
    upsert(connection, latest, list(changed.values()))


def of_device(connection: Connection, device: str) -> dict[str, Row]:
    """By kind: its time and its data."""
    rows = connection.execute(select(latest).where(latest.c.device == device))
    return {row.kind: {"time": row.time, "data": json.loads(row.data)} for row in rows}


def of_kind(connection: Connection, kind: str) -> dict[str, Row]:
    """By device: its time and its data."""
    rows = connection.execute(select(latest).where(latest.c.kind == kind))
    return {row.device: {"time": row.time, "data": json.loads(row.data)} for row in rows}


def _is_newer(row: Row, than: Row) -> bool:
    """By the time it was made. Within one boot seq says it better: a clock may be set back."""
    if row["boot"] == than["boot"]:
        return bool(row["seq"] > than["seq"])
    return bool((row["time"], row["boot"]) > (than["time"], than["boot"]))

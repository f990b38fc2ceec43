"""What came and could not be read: kept as it came, within bounds, until a person looks.

The bounds are bytes, of a device and of all. What makes room is first what its device still has
(it was not acknowledged), then the oldest; how much that was is counted.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from .schema import device as device_table
from .schema import quarantine, quarantine_gone

NOBODY = "?"  # instead of a device, where the topic names none
DEVICE_BYTES = 256 * 1024
ALL_BYTES = 16 * 1024 * 1024
ROW_BYTES = 512  # what a row weighs beside its payload
UNNUMBERED_BYTES = 4096  # kept of a message that its device still has; of others, all
SPARE = 0.9  # room is made down to this share of all, so that it is not made at each message

_LOCK = 0x71756172  # "quar": one PostgreSQL transaction at a time counts and makes room

Row = dict[str, Any]


@dataclass(frozen=True)
class Unread:
    """A message that cannot be used, for *reason* (of collector.counts). *size*: bytes as it came,
    of which *payload* may be the first. *boot* and *seq* both None: it has no number that could be
    acknowledged, so its device keeps it and sends it again.
    """

    device: str
    received: float
    topic: str
    payload: bytes
    size: int
    reason: str
    detail: str
    boot: str | None = None
    seq: int | None = None


@dataclass(frozen=True)
class Gone:
    """How many of one device's made room; *reports* of the *messages* were acknowledged ones."""

    device: str
    messages: int
    reports: int


def add(connection: Connection, unread: list[Unread]) -> list[Gone]:
    """Keep *unread*, and say what had to go for it. That no acknowledged one comes a second time
    is streams' word; of the others, what comes again is counted in its row.
    """
    if not unread:
        return []
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        # After the devices' and streams' locks, and nothing is locked after it: no ring.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    insert = (postgresql if postgres else sqlite).insert(quarantine)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["device", "digest"],
            set_={
                "times": quarantine.c.times + 1,
                "last": insert.excluded.last,
                "reason": insert.excluded.reason,
                "detail": insert.excluded.detail,
            },
        ),
        [_row(one) for one in unread],
    )
    gone = [
        _make_room(connection, DEVICE_BYTES, quarantine.c.device == name)
        for name in sorted({one.device for one in unread})
        if _weight(connection, quarantine.c.device == name) > DEVICE_BYTES
    ]
    if _weight(connection) > ALL_BYTES:
        gone.append(_make_room(connection, int(ALL_BYTES * SPARE)))
    told = [one for some in gone for one in some]
    _count(connection, told)
    return told


def messages(connection: Connection, device: str | None, limit: int) -> list[Row]:
    """The latest *limit* of *device* (None: of all), the newest first; the payload in base64."""
    query = select(quarantine).order_by(quarantine.c.last.desc(), quarantine.c.id.desc())
    if device is not None:
        query = query.where(quarantine.c.device == device)
    rows = connection.execute(query.limit(limit))
    names = ("device", "topic", "reason", "detail", "boot", "seq", "first", "last", "times", "size")
    return [
        {
            **{name: row._mapping[name] for name in names},
            "payload": base64.b64encode(row.payload).decode(),
        }
        for row in rows
    ]


def gone(connection: Connection, device: str | None) -> list[Row]:
    """How many made room, by device: messages, and reports among them."""
    query = select(quarantine_gone).order_by(quarantine_gone.c.device)
    if device is not None:
        query = query.where(quarantine_gone.c.device == device)
    return [dict(row._mapping) for row in connection.execute(query)]


def _row(one: Unread) -> Row:
    kept = one.payload if one.boot is not None else one.payload[:UNNUMBERED_BYTES]
    named = f"{one.topic}\n{one.size}\n".encode("utf-8", "backslashreplace")
    return {
        "device": one.device,
        "digest": hashlib.sha256(named + one.payload).hexdigest(),
        "topic": _ascii(one.topic, 128),
        "reason": one.reason,
        "detail": _ascii(one.detail, 200),
        "boot": one.boot,
        "seq": one.seq,
        "first": one.received,
        "last": one.received,
        "times": 1,
        "size": one.size,
        "payload": kept,
        "weight": len(kept) + ROW_BYTES,
    }


def _ascii(text: str, most: int) -> str:
    """What any column takes and no terminal obeys."""
    safe = text[:most].encode("ascii", "backslashreplace").decode()[:most]
    return "".join(c if c.isprintable() else " " for c in safe)


def _weight(connection: Connection, *where: ColumnElement[bool]) -> int:
    found = connection.execute(select(func.sum(quarantine.c.weight)).where(*where)).scalar_one()
    return int(found or 0)


def _make_room(connection: Connection, most: int, *where: ColumnElement[bool]) -> list[Gone]:
    """Delete rows until those *where* weigh *most* at the most."""
    order = (quarantine.c.seq.is_(None), quarantine.c.last.desc(), quarantine.c.id.desc())
    so_far = func.sum(quarantine.c.weight).over(order_by=order).label("so_far")
    weighed = select(quarantine.c.id, so_far).where(*where).subquery()
    rows = connection.execute(
        delete(quarantine)
        .where(quarantine.c.id.in_(select(weighed.c.id).where(weighed.c.so_far > most)))
        .returning(quarantine.c.device, quarantine.c.seq)
    )
    numbers: dict[str, list[int]] = {}
    for row in rows:
        both = numbers.setdefault(row.device, [0, 0])
        both[0] += 1
        both[1] += row.seq is not None
    return [Gone(name, *both) for name, both in sorted(numbers.items())]


def _count(connection: Connection, told: list[Gone]) -> None:
    if not told:
        return
    names = {one.device for one in told}
    query = select(device_table.c.id).where(device_table.c.id.in_(names))
    known = {row.id for row in connection.execute(query)}
    postgres = connection.dialect.name == "postgresql"
    insert = (postgresql if postgres else sqlite).insert(quarantine_gone)
    table = quarantine_gone.c
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["device"],
            set_={
                "messages": table.messages + insert.excluded.messages,
                "reports": table.reports + insert.excluded.reports,
            },
        ),
        [
            {
                # invented names must not grow the table
                "device": one.device if one.device in known else NOBODY,
                "messages": one.messages,
                "reports": one.reports,
            }
            for one in told
        ],
    )

"""What people ask of the database: devices, lifetimes, alerts. Rows as dicts, ready for JSON."""

import json
from typing import Any

from sqlalchemy import Connection, Select, func, select

from . import latest
from .schema import alert, alert_evidence, baseline, device, lifetime

Row = dict[str, Any]


def devices(connection: Connection) -> list[Row]:
    """Every device with its open alert (alert, severity: None where there is none), its latest
    known lifetime of the SIP port (lo, hi, state, measured), its latest report on whether calls
    arrive (resident) and its latest verdict (check): time and data each, or None.
    """
    residents = latest.of_kind(connection, "resident")
    checks = latest.of_kind(connection, "check")
    rows = [dict(row._mapping) for row in connection.execute(_devices())]
    return [
        {**row, "resident": residents.get(row["id"]), "check": checks.get(row["id"])}
        for row in rows
    ]


def page(connection: Connection, name: str) -> Row:
    """All that is known of how the device *name* is now: device, its open alert or None, the
    latest report of each kind (time and data), keys and differences.
    """
    found = connection.execute(select(device).where(device.c.id == name)).one()
    opened = connection.execute(
        select(alert).where(alert.c.device == name, alert.c.cleared.is_(None))
    ).first()
    return {
        "device": dict(found._mapping),
        "alert": None if opened is None else _alert(opened),
        "latest": latest.of_device(connection, name),
        "keys": keys(connection, name),
        "differences": differences(connection, name),
    }


def public_address(connection: Connection, name: str) -> Row | None:
    """The public address that the device *name* has reported last, and the time; None: none."""
    newest = connection.execute(
        select(lifetime.c.public, lifetime.c.measured.label("time"))
        .where(lifetime.c.device == name, lifetime.c.public.is_not(None))
        .order_by(lifetime.c.measured.desc(), lifetime.c.id.desc())
        .limit(1)
    ).first()
    found = [] if newest is None else [dict(newest._mapping)]
    for one in latest.of_device(connection, name).values():
        public = one["data"]["context"].get("public")
        if public is not None:
            found.append({"public": public, "time": one["time"]})
    return max(found, key=lambda one: one["time"], default=None)


def keys(connection: Connection, name: str) -> list[Row]:
    """The keys of a device, the latest measured first: of each the latest lifetime that is known
    (or unknown, where none is), its baseline as baseline_lo and baseline_hi, None where there is
    none yet, and as unknown_since and unknown_reason what the newest measurement said if that
    was unknown.
    """
    columns = [lifetime.c[one] for one in ("class", "state", "context")]
    recency = [lifetime.c.measured.desc(), lifetime.c.id.desc()]
    known_first = func.row_number().over(
        partition_by=columns, order_by=[lifetime.c.lo.is_(None), *recency]
    )
    newest = func.row_number().over(partition_by=columns, order_by=recency)
    ranked = (
        select(lifetime, known_first.label("known_first"), newest.label("newest"))
        .where(lifetime.c.device == name)
        .subquery()
    )
    same = (
        (baseline.c.device == ranked.c.device)
        & (baseline.c["class"] == ranked.c["class"])
        & (baseline.c.state == ranked.c.state)
        & (baseline.c.context == ranked.c.context)
    )
    last = ranked.alias("last")
    unknown_last = (
        (last.c.newest == 1)
        & last.c.lo.is_(None)
        & (last.c["class"] == ranked.c["class"])
        & (last.c.state == ranked.c.state)
        & (last.c.context == ranked.c.context)
    )
    shown = ("class", "state", "context", "gateway", "public", "lo", "hi", "extends")
    rows = connection.execute(
        select(
            *(ranked.c[one] for one in (*shown, "period", "measured")),
            last.c.measured.label("unknown_since"),
            last.c.reason.label("unknown_reason"),
            baseline.c.lo.label("baseline_lo"),
            baseline.c.hi.label("baseline_hi"),
        )
        .outerjoin(baseline, same)
        .outerjoin(last, unknown_last)
        .where(ranked.c.known_first == 1)
        .order_by(ranked.c.measured.desc(), ranked.c.id.desc())
    )
    return [dict(row._mapping) for row in rows]


def differences(connection: Connection, name: str) -> list[Row]:
    """Where real SIP lived otherwise than STUN to the same port: the latest finding of each key."""
    columns = [lifetime.c[one] for one in ("class", "state", "context")]
    newest = func.row_number().over(
        partition_by=columns, order_by=[lifetime.c.measured.desc(), lifetime.c.id.desc()]
    )
    found = (
        select(lifetime, newest.label("newest"))
        .where(lifetime.c.device == name, lifetime.c.difference.is_not(None))
        .subquery()
    )
    rows = connection.execute(
        select(*(found.c[one] for one in ("class", "state", "gateway", "public")))
        .add_columns(found.c.measured, found.c.difference)
        .where(found.c.newest == 1)
        .order_by(found.c.measured.desc(), found.c.id.desc())
    )
    return [dict(row._mapping) for row in rows]


def lifetimes(connection: Connection, name: str, limit: int) -> list[Row]:
    """The latest measurements of a device, the newest first, unknown ones among them."""
    rows = connection.execute(
        select(lifetime)
        .where(lifetime.c.device == name)
        .order_by(lifetime.c.measured.desc(), lifetime.c.id.desc())
        .limit(limit)
    )
    return [dict(row._mapping) for row in rows]


def alerts(connection: Connection, closed_too: bool) -> list[Row]:
    """Alerts, the newest first, each with its evidence as a list of rows. box: as _alert()."""
    wanted = select(alert).order_by(alert.c.raised.desc(), alert.c.id.desc())
    if not closed_too:
        wanted = wanted.where(alert.c.cleared.is_(None))
    found = [_alert(row) for row in connection.execute(wanted)]
    evidence: dict[int, list[Row]] = {one["id"]: [] for one in found}
    for row in connection.execute(
        select(alert_evidence)
        .where(alert_evidence.c.alert.in_(evidence))
        .order_by(alert_evidence.c.id)
    ):
        evidence[row.alert].append(dict(row._mapping))
    return [{**one, "evidence": evidence[one["id"]]} for one in found]


def _alert(row: Any) -> Row:
    """One alert; the box that it is attributed to as an object (box), None where not known."""
    found = dict(row._mapping)
    return {**found, "box": None if found["box"] is None else json.loads(found["box"])}


def _devices() -> Select[Any]:
    opened = select(alert).where(alert.c.cleared.is_(None)).subquery()
    known = _latest_known().where(lifetime.c["class"] == "udp/sip").subquery()
    return (
        select(
            device,
            opened.c.id.label("alert"),
            opened.c.severity,
            known.c.lo,
            known.c.hi,
            known.c.state,
            known.c.measured,
        )
        .outerjoin(opened, opened.c.device == device.c.id)
        .outerjoin(known, (known.c.device == device.c.id) & (known.c.newest == 1))
        .order_by(device.c.id)
    )


def _latest_known() -> Select[Any]:
    """Lifetimes that are known, numbered (newest = 1) by device."""
    newest = func.row_number().over(
        partition_by=lifetime.c.device,
        order_by=[lifetime.c.measured.desc(), lifetime.c.id.desc()],
    )
    return select(lifetime, newest.label("newest")).where(lifetime.c.lo.is_not(None))

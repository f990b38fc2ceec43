"""What people ask of the database: devices, lifetimes, alerts. Rows as dicts, ready for JSON."""

from typing import Any

from sqlalchemy import Connection, func, select

from .schema import alert, alert_evidence, baseline, device, lifetime

Row = dict[str, Any]


def devices(connection: Connection) -> list[Row]:
    """Every device with its open alert (alert, severity: None where there is none) and its
    latest known lifetime of the SIP port (lo, hi, state, measured).
    """
    opened = select(alert).where(alert.c.cleared.is_(None)).subquery()
    latest = _latest_known().where(lifetime.c["class"] == "udp/sip").subquery()
    rows = connection.execute(
        select(
            device,
            opened.c.id.label("alert"),
            opened.c.severity,
            latest.c.lo,
            latest.c.hi,
            latest.c.state,
            latest.c.measured,
        )
        .outerjoin(opened, opened.c.device == device.c.id)
        .outerjoin(latest, (latest.c.device == device.c.id) & (latest.c.newest == 1))
        .order_by(device.c.id)
    )
    return [dict(row._mapping) for row in rows]


def keys(connection: Connection, name: str) -> list[Row]:
    """The keys of a device: the latest known lifetime of each, and its baseline as
    baseline_lo and baseline_hi, None where there is none yet. The latest measured first.
    """
    each = _latest_known("class", "state", "context").where(lifetime.c.device == name).subquery()
    same = (
        (baseline.c.device == each.c.device)
        & (baseline.c["class"] == each.c["class"])
        & (baseline.c.state == each.c.state)
        & (baseline.c.context == each.c.context)
    )
    rows = connection.execute(
        select(
            each.c["class"],
            each.c.state,
            each.c.gateway,
            each.c.public,
            each.c.lo,
            each.c.hi,
            each.c.measured,
            baseline.c.lo.label("baseline_lo"),
            baseline.c.hi.label("baseline_hi"),
        )
        .outerjoin(baseline, same)
        .where(each.c.newest == 1)
        .order_by(each.c.measured.desc(), each.c.id.desc())
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
    """Alerts, the newest first, each with its evidence as a list of rows."""
    wanted = select(alert).order_by(alert.c.raised.desc(), alert.c.id.desc())
    if not closed_too:
        wanted = wanted.where(alert.c.cleared.is_(None))
    found = [dict(row._mapping) for row in connection.execute(wanted)]
    evidence: dict[int, list[Row]] = {one["id"]: [] for one in found}
    for row in connection.execute(
        select(alert_evidence)
        .where(alert_evidence.c.alert.in_(evidence))
        .order_by(alert_evidence.c.id)
    ):
        evidence[row.alert].append(dict(row._mapping))
    return [{**one, "evidence": evidence[one["id"]]} for one in found]


def _latest_known(*per: str) -> Any:
    """Lifetimes that are known, numbered (newest = 1) by device and the columns *per*."""
    newest = func.row_number().over(
        partition_by=[lifetime.c.device, *(lifetime.c[name] for name in per)],
        order_by=[lifetime.c.measured.desc(), lifetime.c.id.desc()],
    )
    return select(lifetime, newest.label("newest")).where(lifetime.c.lo.is_not(None))

"""Alerts: one open row a device, its evidence by key and rule, and the life of both.

Each change is one conditional UPDATE, and only who changed the row acts on it: so nobody is
told twice, however many programs look after the same alert.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from . import baselines
from .keys import Key
from .schema import alert, alert_evidence


@dataclass(frozen=True)
class Evidence:
    """One key under one rule. Brackets as (lo, hi), seconds; None where not known."""

    key: Key
    rule: str
    severity: str
    old: tuple[float | None, float | None]
    new: tuple[float | None, float | None]


def open_id(connection: Connection, device: str) -> int | None:
    """The id of the open alert of *device*, whose row the caller has locked."""
    return connection.execute(
        select(alert.c.id).where(alert.c.device == device, alert.c.cleared.is_(None))
    ).scalar()


def open_evidence(connection: Connection, alert_id: int) -> list[Evidence]:
    """What of an alert still holds."""
    rows = connection.execute(
        select(alert_evidence)
        .where(alert_evidence.c.alert == alert_id, alert_evidence.c.cleared.is_(None))
        .order_by(alert_evidence.c.id)
    )
    return [
        Evidence(
            Key(row._mapping["class"], row.state, row.context),
            row.rule,
            row.severity,
            (row.old_lo, row.old_hi),
            (row.new_lo, row.new_hi),
        )
        for row in rows
    ]


def raise_(
    connection: Connection, device: str, worst: Evidence, what: dict[str, Any], now: float
) -> int:
    """Open an alert for *device*, which has none open; its id. *what*: kind, text, keepalive_s."""
    row = {"device": device, "raised": now, "changed": now, **_headline(worst), **what}
    (number,) = connection.execute(insert(alert).values(row).returning(alert.c.id)).one()
    return int(number)


def add_evidence(connection: Connection, alert_id: int, evidence: Evidence, now: float) -> None:
    row = {
        "alert": alert_id,
        "context": evidence.key.context,
        "rule": evidence.rule,
        "raised": now,
        **_headline(evidence),
    }
    connection.execute(insert(alert_evidence).values(row))


def clear_evidence(connection: Connection, alert_id: int, key: Key, rule: str, now: float) -> None:
    connection.execute(
        update(alert_evidence)
        .where(
            alert_evidence.c.alert == alert_id,
            alert_evidence.c["class"] == key.port_class,
            alert_evidence.c.state == key.state,
            alert_evidence.c.context == key.context,
            alert_evidence.c.rule == rule,
            alert_evidence.c.cleared.is_(None),
        )
        .values(cleared=now)
    )


def change(
    connection: Connection, alert_id: int, worst: Evidence, what: dict[str, Any], now: float
) -> bool:
    """Give an open alert the severity of its worst evidence. Whether that was another one."""
    changed = connection.execute(
        update(alert)
        .where(
            alert.c.id == alert_id,
            alert.c.cleared.is_(None),
            alert.c.severity != worst.severity,
        )
        .values(changed=now, **_headline(worst), **what)
    )
    return changed.rowcount == 1


def clear(connection: Connection, alert_id: int, by: str, now: float) -> bool:
    """Close an alert. Whether it was open until now."""
    changed = connection.execute(
        update(alert)
        .where(alert.c.id == alert_id, alert.c.cleared.is_(None))
        .values(cleared=now, changed=now, cleared_by=by)
    )
    return changed.rowcount == 1


def accept(connection: Connection, alert_id: int, now: float) -> bool:
    """Close an alert because an operator takes what is for normal: the baselines of its keys
    begin anew. False where no such alert is open.
    """
    device = connection.execute(select(alert.c.device).where(alert.c.id == alert_id)).scalar()
    if device is None or not clear(connection, alert_id, "accepted", now):
        return False
    keys = {evidence.key for evidence in open_evidence(connection, alert_id)}
    baselines.forget(connection, device, keys)
    connection.execute(
        update(alert_evidence)
        .where(alert_evidence.c.alert == alert_id, alert_evidence.c.cleared.is_(None))
        .values(cleared=now)
    )
    return True


def _headline(evidence: Evidence) -> dict[str, Any]:
    return {
        "severity": evidence.severity,
        "class": evidence.key.port_class,
        "state": evidence.key.state,
        "old_lo": evidence.old[0],
        "old_hi": evidence.old[1],
        "new_lo": evidence.new[0],
        "new_hi": evidence.new[1],
    }

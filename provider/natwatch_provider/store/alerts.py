"""Alerts: one open row a device, its evidence by key and rule, and the life of both.

Each change is one conditional UPDATE, and only who changed the row acts on it: so nobody is
told twice, however many programs look after the same alert.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Update, insert, or_, select, update

from . import baselines
from .keys import Key
from .schema import alert, alert_evidence


@dataclass(frozen=True)
class Evidence:
    """One key under one rule. Brackets as (lo, hi), seconds; None where not known.

    *since*: when the first measurement behind *new* was made, UTC seconds.
    """

    key: Key
    rule: str
    severity: str
    old: tuple[float | None, float | None]
    new: tuple[float | None, float | None]
    since: float = 0.0


@dataclass(frozen=True)
class Open:
    """An open alert: the port class and state of the evidence that it shows, the keepalive that
    it was judged by, and the JSON of the box that it is attributed to, None where not known.
    """

    id: int
    port_class: str
    state: str
    keepalive_s: float
    box: str | None


def open_alert(connection: Connection, device: str) -> Open | None:
    """The open alert of *device*, whose row the caller has locked."""
    row = connection.execute(
        select(alert.c.id, alert.c["class"], alert.c.state, alert.c.keepalive_s, alert.c.box).where(
            alert.c.device == device, alert.c.cleared.is_(None)
        )
    ).first()
    return None if row is None else Open(*row)


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
            row.raised if row.since is None else row.since,
        )
        for row in rows
    ]


def raise_(
    connection: Connection, device: str, worst: Evidence, what: dict[str, Any], now: float
) -> int:
    """Open an alert for *device*, which has none open; its id. *what*: kind, text, keepalive_s,
    box.
    """
    row = {"device": device, "raised": now, "changed": now, **_headline(worst), **what}
    (number,) = connection.execute(insert(alert).values(row).returning(alert.c.id)).one()
    return int(number)


def set_evidence(connection: Connection, alert_id: int, evidence: Evidence, now: float) -> None:
    """Note *evidence*, in the place of what its key said under its rule until now."""
    shown = {**_headline(evidence), "since": evidence.since}
    held = _open_evidence(alert_id, evidence.key, evidence.rule)
    if connection.execute(held.values(shown)).rowcount == 0:
        row = {
            "alert": alert_id,
            "context": evidence.key.context,
            "rule": evidence.rule,
            "raised": now,
            **shown,
        }
        connection.execute(insert(alert_evidence).values(row))


def clear_evidence(connection: Connection, alert_id: int, key: Key, rule: str, now: float) -> None:
    connection.execute(_open_evidence(alert_id, key, rule).values(cleared=now))


def change(
    connection: Connection, alert_id: int, worst: Evidence, what: dict[str, Any], now: float
) -> bool:
    """Let an open alert show its *worst* evidence. Whether it showed anything else before."""
    shown = _headline(worst)
    changed = connection.execute(
        update(alert)
        .where(
            alert.c.id == alert_id,
            alert.c.cleared.is_(None),
            or_(*(alert.c[name].is_distinct_from(value) for name, value in shown.items())),
        )
        .values(changed=now, **shown, **what)
    )
    return changed.rowcount == 1


def attribute(connection: Connection, alert_id: int, box: str, text: str, now: float) -> bool:
    """Let an open alert name another *box* (JSON), in its *text* as well. Whether it did not."""
    changed = connection.execute(
        update(alert)
        .where(alert.c.id == alert_id, alert.c.cleared.is_(None), alert.c.box.is_distinct_from(box))
        .values(changed=now, box=box, text=text)
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

    No program calls it yet: it is where the NOC's operator actions will enter.
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


def _open_evidence(alert_id: int, key: Key, rule: str) -> Update:
    return update(alert_evidence).where(
        alert_evidence.c.alert == alert_id,
        alert_evidence.c["class"] == key.port_class,
        alert_evidence.c.state == key.state,
        alert_evidence.c.context == key.context,
        alert_evidence.c.rule == rule,
        alert_evidence.c.cleared.is_(None),
    )


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

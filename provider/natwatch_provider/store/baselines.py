"""What detection remembers of each key of a device."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select

from .keys import Key
from .schema import baseline
from .upsert import upsert

Owned = tuple[str, Key]  # a device and one of its keys


def load(connection: Connection, device: str) -> dict[Key, dict[str, Any]]:
    """The histories of *device*, whose row the caller has locked."""
    rows = connection.execute(select(baseline).where(baseline.c.device == device))
    return {
        Key(row._mapping["class"], row.state, row.context): json.loads(row.history) for row in rows
    }


def save(
    connection: Connection,
    histories: Iterable[tuple[Owned, dict[str, Any], float | None, float | None]],
    now: float,
) -> None:
    """Write histories, each with its present baseline (lo, hi), both None where there is none."""
    upsert(
        connection,
        baseline,
        [
            {
                "device": device,
                "class": key.port_class,
                "state": key.state,
                "context": key.context,
                "lo": lo,
                "hi": hi,
                "history": json.dumps(history),
                "changed": now,
            }
            for (device, key), history, lo, hi in histories
        ],
    )


def forget(connection: Connection, device: str, keys: Iterable[Key]) -> None:
    """Let the baselines of *keys* begin anew, since an operator accepted what is."""
    matches = [
        and_(
            baseline.c["class"] == key.port_class,
            baseline.c.state == key.state,
            baseline.c.context == key.context,
        )
        for key in keys
    ]
    if matches:
        connection.execute(delete(baseline).where(baseline.c.device == device, or_(*matches)))

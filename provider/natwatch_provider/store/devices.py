"""One row a device: is it there, which boot and connection, since when."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from .schema import device
from .upsert import insert_missing, upsert


@dataclass
class Device:
    """A device as last heard of. Its changes are in memory until save()."""

    id: str
    online: bool
    boot: str | None
    conn: int
    version: str | None
    interpreter: str | None
    first_seen: float
    last_seen: float
    keepalive_s: float | None

    def born(self, boot: str, conn: int, version: str, interpreter: str) -> bool:
        """A birth came. False if it is older than the present one, and changes nothing."""
        if boot == self.boot and conn < self.conn:
            return False
        self.boot, self.conn, self.online = boot, conn, True
        self.version, self.interpreter = version, interpreter
        return True

    def died(self, boot: str, conn: int) -> bool:
        """A will came. False if it is of an old boot or connection, and changes nothing."""
        if boot != self.boot or conn < self.conn:
            return False
        self.conn, self.online = conn, False
        return True

    def reported(self, boot: str, boot_is_new: bool) -> None:
        """A report came. It may be the first sign of a boot whose birth the collector missed."""
        if boot_is_new and boot != self.boot:
            self.boot, self.conn = boot, 0
        if boot == self.boot:
            self.online = True


def lock(connection: Connection, ids: Iterable[str], now: float) -> dict[str, Device]:
    """The devices of *ids*, made where missing, each locked until the transaction ends.

    Every writer of a device's rows takes this lock first: a device's reports, baselines and
    alerts are therefore changed by one collector at a time.
    """
    wanted = sorted(set(ids))
    new = [
        {"id": one, "online": False, "conn": 0, "first_seen": now, "last_seen": now}
        for one in wanted
    ]
    insert_missing(connection, device, new)
    rows = connection.execute(
        select(device).where(device.c.id.in_(wanted)).order_by(device.c.id).with_for_update()
    )
    return {row.id: Device(**row._mapping) for row in rows}


def save(connection: Connection, devices: Iterable[Device]) -> None:
    """Write *devices*, which lock() gave in this transaction."""
    upsert(connection, device, [asdict(one) for one in devices])


def known(connection: Connection, name: str) -> bool:
    """Whether a device of that id has ever been heard of."""
    found = connection.execute(select(device.c.id).where(device.c.id == name)).first()
    return found is not None

"""Which reports of one boot have been received: a high-water mark and the gaps below it.

This alone decides what is a duplicate. The row is locked in the transaction that inserts the
report, so two collectors cannot both take it for new.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, tuple_

from .schema import stream
from .upsert import upsert

# A device that keeps dropping reports would grow its row for ever; the oldest gaps, which
# nothing will fill any more, are forgotten first.
MAX_GAPS = 1000


@dataclass
class Stream:
    """The reports received of one boot. *anchor*: UTC at mono 0 as far as arrivals tell, *clock*
    as the device's confirmed clock tells; None before it is known.
    """

    device: str
    boot: str
    high: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    anchor: float | None = None
    clock: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything of this boot had been received before."""
        return self.high > 0 or self.anchor is not None

    def add(self, seq: int) -> bool:
        """Note that *seq* was received. False if it had been before."""
        if seq > self.high:
            if seq > self.high + 1:
                self.gaps.append((self.high + 1, seq - 1))
            self.high = seq
            del self.gaps[:-MAX_GAPS]
            return True
        for index, (first, last) in enumerate(self.gaps):
            if first <= seq <= last:
                rest = [(first, seq - 1), (seq + 1, last)]
                self.gaps[index : index + 1] = [gap for gap in rest if gap[0] <= gap[1]]
                return True
        return False

    def saw_birth(self, received: float, mono: float) -> None:
        """A birth is sent as the connection opens, so it is the best witness of the time."""
        self.anchor = received - mono

    def saw_report(self, received: float, mono: float) -> None:
        """A report may have waited, which makes its anchor too late: only an earlier one counts."""
        anchor = received - mono
        if self.anchor is None or anchor < self.anchor:
            self.anchor = anchor

    def saw_clock(self, time: float, mono: float) -> bool:
        """A report's *time* is confirmed. Whether that is the first one of this boot: the clocks
        of a device drift apart by a minute a month, and it is early reports that need this.
        """
        if self.clock is not None:
            return False
        self.clock = time - mono
        return True


def lock(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Stream]:
    """The streams of *names*, (device, boot) each, locked; those not yet stored are empty."""
    wanted = sorted(set(names))
    streams = {name: Stream(*name) for name in wanted}
    if not wanted:
        return streams
    # in one order everywhere, so that two collectors never wait for each other in a ring
    rows = connection.execute(
        select(stream)
        .where(tuple_(stream.c.device, stream.c.boot).in_(wanted))
        .order_by(stream.c.device, stream.c.boot)
        .with_for_update()
    )
    for row in rows:
        found = streams[(row.device, row.boot)]
        found.high = row.high
        found.gaps = [(first, last) for first, last in json.loads(row.gaps)]
        found.anchor = row.anchor
        found.clock = row.clock
    return streams


def save(connection: Connection, streams: Iterable[Stream]) -> None:
    """Write *streams*, which lock() gave in this transaction."""
    upsert(
        connection,
        stream,
        [
            {
                "device": one.device,
                "boot": one.boot,
                "high": one.high,
                "gaps": json.dumps(one.gaps),
                "anchor": one.anchor,
                "clock": one.clock,
            }
            for one in streams
        ],
    )

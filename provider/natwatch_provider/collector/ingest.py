"""One batch into the database: duplicates out, reports in, presence and alerts brought up to date.

Everything here happens in the caller's one transaction. What is returned may be told to others
only once that is committed.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from natwatch.wire import telemetry
from natwatch_provider.store import devices, latest, reports, streams
from natwatch_provider.store.devices import Device
from natwatch_provider.store.keys import Key, context_of
from natwatch_provider.store.streams import Stream

from .detect import Bracket, Measurement
from .fields import Rejected
from .judge import Judged, Rules, attribute, judge
from .kinds import CHECKED, Lifetime, check, lifetime
from .messages import Presence, Report

FUTURE_S = 300.0  # a device clock further ahead than this is wrong, whatever it says of itself
PAST_S = 30 * 86400.0  # a report older than any spool keeps it has a wrong clock

Ranges = list[tuple[int, int]]


@dataclass
class Outcome:
    """What one batch came to. *acks*: by (device, boot). *dropped*: (reason, device, detail)."""

    acks: dict[tuple[str, str], Ranges] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    stored: int = 0
    dropped: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class _Rows:
    """What is to be inserted."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    lifetimes: list[dict[str, Any]] = field(default_factory=list)
    latest: list[dict[str, Any]] = field(default_factory=list)
    judged: dict[str, list[Judged]] = field(default_factory=lambda: defaultdict(list))
    layered: set[str] = field(default_factory=set)  # devices that told which box is short


def ingest(
    connection: Connection, arrivals: list[Report | Presence], rules: Rules, now: float
) -> Outcome:
    """Take *arrivals*, in the order they came. A report stored before is acknowledged again: the
    device has not heard it, or it would not have sent it.
    """
    outcome = Outcome()
    known = devices.lock(connection, {one.device for one in arrivals}, now)
    received = streams.lock(connection, {(one.device, one.boot) for one in arrivals})
    rows = _Rows()
    sequences: dict[tuple[str, str], set[int]] = defaultdict(set)
    for one in arrivals:
        device, stream = known[one.device], received[(one.device, one.boot)]
        device.last_seen = max(device.last_seen, one.received)
        if isinstance(one, Presence):
            _take_presence(device, stream, one, outcome)
        else:
            _take_report(device, stream, one, rows, outcome)
            sequences[(one.device, one.boot)].add(one.seq)
    reports.add(connection, rows.reports, rows.lifetimes)
    latest.keep(connection, rows.latest)
    for name, judged in sorted(rows.judged.items()):
        keepalive = known[name].keepalive_s
        outcome.lines += judge(connection, name, keepalive, judged, rules, now)
    for name in sorted(rows.layered):
        outcome.lines += attribute(connection, name, now)
    devices.save(connection, known.values())
    streams.save(connection, received.values())
    outcome.acks = {name: telemetry.ranges_of(seqs) for name, seqs in sequences.items()}
    outcome.stored = len(rows.reports)
    return outcome


def _take_presence(device: Device, stream: Stream, one: Presence, outcome: Outcome) -> None:
    if one.online:
        if one.unclean and one.boot != device.boot:
            outcome.lines.append(_unclean(one))
        applied = device.born(one.boot, one.conn, one.version, one.interpreter)
        if applied:
            stream.saw_birth(one.received, one.mono)
    else:
        applied = device.died(one.boot, one.conn)
    if not applied:
        outcome.dropped.append(("stale_state", one.device, ""))


def _unclean(one: Presence) -> str:
    line = f"{one.device}: it has started again without a clean end"
    if one.last_boot is None:
        return line
    return f"{line}; of boot {one.last_boot} it had on disk what goes up to report {one.last_seq}"


def _take_report(
    device: Device, stream: Stream, one: Report, rows: _Rows, outcome: Outcome
) -> None:
    boot_is_new = stream.high == 0
    if not stream.add(one.seq):
        outcome.dropped.append(("duplicate", one.device, ""))
        return
    device.reported(one.boot, boot_is_new and not one.late)
    stream.saw_report(one.received, one.mono)
    time, tq = _time_of(one, stream)
    rows.reports.append(
        {
            "device": one.device,
            "boot": one.boot,
            "seq": one.seq,
            "received": one.received,
            "time": time,
            "tq": tq,
            "mono": one.mono,
            "kind": one.kind,
            "data": one.text,
        }
    )
    try:
        if one.kind == "lifetime":
            _take_lifetime(one, time, rows)
        elif one.kind in CHECKED:
            check(one.kind, one.data)
            rows.latest.append(_latest_row(one, time))
            if one.kind == "layers":
                rows.layered.add(one.device)
        else:
            # Stored all the same: were it not acknowledged, a newer agent would send it for ever.
            outcome.dropped.append(("unknown_kind", one.device, one.kind))
    except Rejected as error:
        outcome.dropped.append((error.reason, one.device, str(error)))


def _take_lifetime(one: Report, time: float, rows: _Rows) -> None:
    value = lifetime(one.data)
    key = Key(value.port_class, value.state, context_of(value.gateway, value.public))
    rows.lifetimes.append(_lifetime_row(one, value, key, time))
    rows.judged[one.device].append(Judged(key, _measurement(one, value, time)))


def _time_of(one: Report, stream: Stream) -> tuple[float, str]:
    """When a report was made, UTC seconds, and where that is from.

    Without a clock on the device it follows from mono and the boot's anchor, which
    saw_report() has set.
    """
    if one.t is not None and one.tq != "none":
        if one.received - PAST_S <= one.t <= one.received + FUTURE_S:
            return one.t, one.tq
    anchor = one.received - one.mono if stream.anchor is None else stream.anchor
    return anchor + one.mono, "rebuilt"


def _measurement(one: Report, value: Lifetime, time: float) -> Measurement:
    bracket = None if value.lo is None else Bracket(value.lo, value.hi)
    return Measurement(f"{one.boot}:{value.measurement}", time, bracket, value.method)


def _latest_row(one: Report, time: float) -> dict[str, Any]:
    return {
        "device": one.device,
        "kind": one.kind,
        "boot": one.boot,
        "seq": one.seq,
        "time": time,
        "data": one.text,
    }


def _lifetime_row(one: Report, value: Lifetime, key: Key, time: float) -> dict[str, Any]:
    return {
        "device": one.device,
        "boot": one.boot,
        "seq": one.seq,
        "measurement": value.measurement,
        "class": value.port_class,
        "state": value.state,
        "context": key.context,
        "gateway": value.gateway,
        "public": value.public,
        "measured": time,
        "lo": value.lo,
        "hi": value.hi,
        "method": value.method,
        "reason": value.reason,
        "alive": value.alive,
        "expired": value.expired,
        "unknown": value.unknown,
        "seconds": value.seconds,
        "bindings": value.bindings,
        "bytes": value.bytes,
        "period": value.period,
        "extends": value.extends,
        "difference": value.difference,
    }

"""From lifetimes to alerts: each measurement into its key's history, each change into a row."""

from dataclasses import dataclass

from sqlalchemy import Connection

from natwatch_provider.store import alerts, baselines
from natwatch_provider.store.alerts import Evidence
from natwatch_provider.store.keys import Key

from . import attribution, detect, wording


@dataclass(frozen=True)
class Rules:
    """The settings of detection for a whole collector: see detect.Settings."""

    keepalive_s: float
    span_s: float


@dataclass(frozen=True)
class Judged:
    """One measurement of one key of a device."""

    key: Key
    measurement: detect.Measurement


def judge(
    connection: Connection,
    device: str,
    keepalive_s: float | None,
    measured: list[Judged],
    rules: Rules,
    now: float,
) -> list[str]:
    """Take new measurements of *device*, whose row is locked, in the order they were made.

    *keepalive_s* is the one in use there, None where not known. Returns the lines that tell
    of alerts raised, changed and cleared; they are true once the transaction is committed.
    """
    keepalive = rules.keepalive_s if keepalive_s is None else keepalive_s
    stored = baselines.load(connection, device)
    histories = {key: detect.History.from_json(value) for key, value in stored.items()}
    lines = []
    for one in sorted(measured, key=lambda one: one.measurement.measured):
        history = histories.setdefault(one.key, detect.History())
        kept_alive = (one.key.port_class, one.key.state) in detect.KEPT_ALIVE
        settings = detect.Settings(keepalive if kept_alive else None, rules.span_s)
        changes = detect.step(history, one.measurement, settings)
        if changes:
            lines += _apply(connection, device, one.key, changes, keepalive, now)
    touched = {one.key for one in measured}
    baselines.save(
        connection,
        [((device, key), histories[key].to_json(), *_present(histories[key])) for key in touched],
        now,
    )
    return lines


def attribute(connection: Connection, device: str, now: float) -> list[str]:
    """Name the box behind the open alert of *device*, whose row is locked and which has told a
    new report of kind "layers". The line that tells it, if that is news.
    """
    opened = alerts.open_alert(connection, device)
    if opened is None:
        return []
    held = alerts.open_evidence(connection, opened.id)
    worst = _worst(held, opened)
    box = attribution.find(connection, device, worst, held)
    if box is None or not attribution.adds(box, opened.box):
        return []
    what = wording.describe(worst, held, opened.keepalive_s, box)
    if not alerts.attribute(connection, opened.id, what["box"], what["text"], now):
        return []
    return [wording.line(opened.id, "CHANGED", device, worst, what)]


def _present(history: detect.History) -> tuple[float | None, float | None]:
    present = detect.baseline(history)
    return (None, None) if present is None else (present.lo, present.hi)


def _apply(
    connection: Connection,
    device: str,
    key: Key,
    changes: list[detect.Change],
    keepalive: float,
    now: float,
) -> list[str]:
    """Write what one measurement changed into the alert of *device*; the line that tells it."""
    opened = alerts.open_alert(connection, device)
    held = [] if opened is None else alerts.open_evidence(connection, opened.id)
    gone = {change.rule for change in changes if not change.raised}
    new = [_evidence(key, change) for change in changes if change.raised]
    told_anew = {change.rule for change in changes}
    held = [one for one in held if one.key != key or one.rule not in told_anew]
    everything = held + new
    line = ""
    if opened is None:
        if not new:
            return []
        worst = _worst(everything, None)
        box = attribution.find(connection, device, worst, everything)
        what = wording.describe(worst, everything, keepalive, box)
        number = alerts.raise_(connection, device, worst, what, now)
        line = wording.line(number, "RAISED", device, worst, what)
    else:
        number = opened.id
        if everything:
            worst = _worst(everything, opened)
            box = attribution.find(connection, device, worst, everything)
            what = wording.describe(worst, everything, keepalive, box)
            if alerts.change(connection, number, worst, what, now):
                line = wording.line(number, "CHANGED", device, worst, what)
    for evidence in new:
        alerts.set_evidence(connection, number, evidence, now)
    for rule in gone:
        alerts.clear_evidence(connection, number, key, rule, now)
    if not everything and alerts.clear(connection, number, "recovery", now):
        line = wording.cleared(number, device, key, changes[0])
    return [line] if line else []


def _evidence(key: Key, change: detect.Change) -> Evidence:
    old = (None, None) if change.old is None else (change.old.lo, change.old.hi)
    new = (change.new.lo, change.new.hi)
    return Evidence(key, change.rule, detect.SEVERITY[change.rule], old, new, change.since)


def _worst(everything: list[Evidence], shown: alerts.Open | None) -> Evidence:
    """Critical first, then a shrink before a thin margin, then the shortest. Of those as bad to
    within wobble, what the alert shows already: that another key is a second shorter is no news.
    """

    def kind(one: Evidence) -> tuple[bool, bool]:
        return (one.severity != "critical", one.rule == "thin")

    def low(one: Evidence) -> float:
        return one.new[0] or 0.0

    worst = min(everything, key=lambda one: (kind(one), low(one)))
    for one in everything:
        same = shown is not None and one.key[:2] == (shown.port_class, shown.state)
        if same and kind(one) == kind(worst) and detect.SHRUNK * low(one) <= low(worst):
            return one
    return worst

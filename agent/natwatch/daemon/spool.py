"""Reports that wait for the collector to say that it stored them.

A report leaves only when the collector acknowledges it, or when the spool is full: then the
oldest ordinary one goes, and is counted; what tells of a confirmed change is kept longest.

A report is *waiting* until next() hands it out, then it *flies*. After RESEND without an
acknowledgement it may be handed out again; at most *window* of those that fly are younger
than that. So a dead collector behind a living broker costs *window* reports in RESEND, and a
report that the collector never accepts cannot block the others: what never flew goes first.

With a journal, reports are written to it in batches, FLUSH after the first of a batch at the
latest, and what tells of a change at once; what is acknowledged before is never written.
From then on memory has their names only. Reports of earlier starts are sent under their own
boot, in order, by turns with the new ones; of this start's, all but the latest join them.
"""

from natwatch.daemon.shelf import Shelf
from natwatch.wire import telemetry

CAPACITY = 1000  # reports in memory, about half a megabyte; an ordinary box makes 60 an hour
WINDOW = 20
RESEND = 30000  # ms
FLUSH = 300  # s
_AT_HAND = 200  # reports that keep an object each; more of those that are written are shelved
LATE = b'{"late": true, '  # what an envelope of an earlier start begins with


class _Report:
    def __init__(self, boot, run, seq, kind, urgent, payload, place):
        self.boot = boot
        self.run = run
        self.seq = seq
        self.kind = kind
        self.urgent = urgent
        self.payload = payload  # None: it is at its place
        self.place = place  # in the journal, None: not written yet
        self.tried = place is not None  # may the journal have it, whole or in part?
        self.gone = False  # acknowledged or dropped
        self.sent = None  # ms, when it was handed out last


def _written(boot, run, seq, kind, urgent, place):
    return _Report(boot, run, seq, kind, urgent, None, place)


def urgent(kind, data):
    """Whether a report tells of a confirmed change: it is written at once and kept longest."""
    if kind == "lifetime":
        return data.get("method") == "confirm"
    return kind == "event" or (kind == "layers" and data.get("after") is not None)


class Spool:
    """The reports of this *boot* (16 hex digits). Times are int milliseconds, handed in.

    *journal* (natwatch.daemon.journal.Journal): None keeps all in memory; *flush*: seconds.
    dropped: {kind: how many reports of it were lost}, by earlier starts too where the journal
    knows; kinds are names in the program, so it has a few entries at most.
    """

    def __init__(self, boot, capacity=CAPACITY, window=WINDOW, journal=None, flush=FLUSH):
        self.boot = boot
        self.dropped = {}
        self._capacity = capacity
        self._window = window
        self._journal = journal
        self._flush_ms = flush * 1000
        self._seq = 0
        self._waiting = []  # in order of seq
        self._backlog = []  # of earlier starts, in their order; the shelf follows
        self._shelf = Shelf(_written)
        self._flying = []  # in order of .sent
        self._backlog_next = False
        self._boots = {boot}
        self._pending = []  # what the journal has not yet, gone ones among them
        self._pending_size = 0
        self._acked = {}  # boot -> seqs of reports that the journal may have
        self._flush_at = None  # ms; None: nothing is to be written
        self._hurry = journal is not None  # the start itself is to be written

    def __len__(self):
        return len(self._waiting) + len(self._backlog) + len(self._shelf) + len(self._flying)

    def append(self, kind, data, t, tq, mono):
        """Stores one report, the fields as in telemetry.Envelope; returns its seq."""
        self._seq += 1
        payload = telemetry.encode(
            telemetry.Envelope(self.boot, self._seq, t, tq, mono, kind, data)
        )
        report = _Report(self.boot, 0, self._seq, kind, urgent(kind, data), payload, None)
        if len(payload) + len(LATE) > telemetry.MAX_BYTES:
            self._count(kind)  # the collector would refuse it for ever
            return self._seq
        self._waiting.append(report)
        if self._journal is None:
            if len(self) > self._capacity:
                self._drop(_least(self._waiting + self._flying))
        else:
            self._hurry = self._hurry or report.urgent
            self._pending.append(report)
            self._pending_size += _size([report])
            self._bound_memory()
        return self._seq

    def next(self, now):
        """The bytes of the next report to send, None if none is due; it flies from *now*."""
        while True:
            due = self.next_timer()
            if due is None or due > now:
                return None
            report = self._pick()
            payload = report.payload or self._journal.read(report)
            report.sent = now
            self._flying.append(report)
            if payload is None:
                self._drop(report)
            elif report.boot == self.boot:
                return payload
            else:
                return LATE + payload[1:]

    def next_timer(self):
        """When next() will have a report: ms, 0 for at once, None for never as things are."""
        room = 0
        if len(self._flying) >= self._window:
            room = self._flying[-self._window].sent + RESEND
        if self._waiting or self._backlog or self._shelf:
            return room
        if self._flying:
            return max(room, self._flying[0].sent + RESEND)
        return None

    def knows(self, boot):
        """Whether reports of *boot* are or were here."""
        return boot in self._boots

    def acknowledge(self, boot, ranges):
        """Lets go of the reports in *ranges*, (first, last) pairs; returns how many that were.

        None of another boot's: those numbers name other reports. Those on the shelf have not flown:
        should the collector have one of an earlier start, it will say so again.
        """
        if boot not in self._boots:
            return 0
        before = len(self)
        asked = sum([last - first + 1 for first, last in ranges])
        self._flying = self._without(self._flying, boot, ranges)
        # What waits may be thousands; an acknowledgement is mostly of what flies.
        if before - len(self) < asked:
            self._waiting = self._without(self._waiting, boot, ranges)
            self._backlog = self._without(self._backlog, boot, ranges)
        return before - len(self)

    def requeue(self):
        """The connection is gone, and with it what flew: all of it waits again, oldest first."""
        self._waiting += [report for report in self._flying if report.boot == self.boot]
        self._backlog += [report for report in self._flying if report.boot != self.boot]
        self._waiting.sort(key=_order)
        self._backlog.sort(key=_order)
        self._flying = []

    # The journal

    def turn(self, now):
        """What is due for the journal; to be called every second or so."""
        if self._journal is None:
            return
        if not self._pending and not self._acked:
            self._flush_at = None
        elif self._flush_at is None:
            self._flush_at = now + self._flush_ms
        due = self._flush_at is not None and now >= self._flush_at
        if due:
            self._pending = [report for report in self._pending if not report.gone]
            due = bool(self._pending or self._acked)
        if (due or self._hurry) and self._journal.due(now):
            self.flush(now)

    def flush(self, now, closed=False):
        """Writes what the journal has not yet. Whether all of it is on the medium now."""
        if not self._journal.loaded and not self._load(now):
            return False
        batch = self._make_room()
        acks = {}
        for boot in self._acked:
            acks[boot] = telemetry.ranges_of(self._acked[boot])
        self._journal.dropped = self.dropped
        moved = set([id(report) for report in batch])
        needed = [r.place[0] for r in self._all() if r.place is not None and id(r) not in moved]
        needed += self._shelf.segments()
        written = self._journal.write(self.boot, batch, acks, closed, needed, now)
        self._pending = []
        for report in batch:
            if report.place is None:
                self._pending.append(report)
            elif report.place[0] >= self._journal.first:
                report.payload = None
        self._pending_size = _size(self._pending)
        if written:
            self._acked = {}
            self._flush_at = None
            self._hurry = False
            self._put_away()
        return written

    def birth(self):
        """What the birth says of the start before: "unclean", and "last", what it had written."""
        if self._journal is None:
            return {"unclean": None, "last": None}
        last = self._journal.last
        if last is not None:
            last = {"boot": last[0], "seq": last[1]}
        return {"unclean": self._journal.unclean, "last": last}

    def counters(self):
        """{name: count} of what went wrong with the journal."""
        return {} if self._journal is None else self._journal.counters

    def close(self, now):
        """Writes all and that this was a clean end."""
        if self._journal is not None:
            self.flush(now, closed=True)

    def load(self, now):
        """Reads what earlier starts left, if the journal lets us; never raises."""
        if self._journal is not None:
            self._load(now)

    def _load(self, now):
        if not self._journal.load(now, self._found):
            return False
        for kind in self._journal.dropped:
            self.dropped[kind] = self.dropped.get(kind, 0) + self._journal.dropped[kind]
        return True

    def _found(self, boot, run, seq, kind, urgent, place):
        self._boots.add(boot)
        if boot == self.boot:
            self._seq = max(self._seq, seq)
        self._shelf.add(_written(boot, run, seq, kind, urgent, place))

    def _put_away(self):
        """Shelves what is written and not sent soon."""
        old = self._waiting[: max(0, len(self._waiting) - _AT_HAND)]
        for report in self._backlog[_AT_HAND:] + old:
            if report.place is not None:
                (self._backlog if report in self._backlog else self._waiting).remove(report)
                self._shelf.add(report)

    def _make_room(self):
        """What is to be written: what the journal has not, and what has to leave its oldest
        segments but is kept longer. The others there are dropped."""
        limit = self._journal.limit
        batch = [report for report in self._pending if not report.gone]
        batch += [r for r in self._all() if r.place and r.place[0] < self._journal.first]
        kept = None
        while self._journal.used() + _size(batch) > limit * 7 // 8:
            segment = self._journal.oldest()
            if segment is None:
                break
            self._backlog += self._shelf.extract(segment)
            if kept is None:
                kept = sum([r.place[2] for r in self._all() if r.urgent and r.place])
                kept += self._shelf.urgent_size()
            for report in self._all():
                if report.place is None or report.place[0] != segment:
                    continue
                if report.urgent and kept <= limit // 2:
                    report.payload = report.payload or self._journal.read(report)
                    if report.payload is not None:
                        batch.append(report)
                        continue
                if report.urgent:
                    kept -= report.place[2]
                self._drop(report)
            self._journal.release(segment + 1)
        return batch

    def _bound_memory(self):
        """The journal cannot be written, or not as fast as reports come."""
        most = self._journal.limit // 4
        if len(self._pending) <= self._capacity and self._pending_size <= most:
            return
        self._pending = [report for report in self._pending if not report.gone]
        self._pending_size = _size(self._pending)
        while len(self._pending) > self._capacity or self._pending_size > most:
            report = _least(self._pending)
            self._pending.remove(report)
            self._pending_size -= _size([report])
            self._drop(report)

    def _all(self):
        return self._backlog + self._waiting + self._flying

    def _pick(self):
        """The report that goes next: old and new by turns, then what flew longest."""
        if not self._backlog and self._shelf:
            self._backlog = self._shelf.take()
        if self._waiting and self._backlog:
            self._backlog_next = not self._backlog_next
            return (self._waiting if self._backlog_next else self._backlog).pop(0)
        return (self._waiting or self._backlog or self._flying).pop(0)

    def _drop(self, report):
        for some in (self._waiting, self._backlog, self._flying):
            if report in some:
                some.remove(report)
        report.gone = True
        self._count(report.kind)

    def _count(self, kind):
        self.dropped[kind] = self.dropped.get(kind, 0) + 1

    def _without(self, reports, boot, ranges):
        """*reports* without those that are acknowledged, whose names the journal will get."""
        left = []
        for report in reports:
            if report.boot != boot or not _within(report.seq, ranges):
                left.append(report)
                continue
            report.gone = True
            if report.tried:
                self._acked.setdefault(boot, []).append(report.seq)
        return left


def _within(seq, ranges):
    for first, last in ranges:
        if first <= seq <= last:
            return True
    return False


def _order(report):
    return report.run, report.seq


def _least(reports):
    """The report to be dropped first: the oldest ordinary one, of changes only half is kept."""
    ordinary = [report for report in reports if not report.urgent]
    return min(ordinary if 2 * len(ordinary) >= len(reports) else reports, key=_order)


def _size(reports):
    """Bytes that *reports* take in memory, and about as much in the journal."""
    return sum([len(report.payload) + 100 for report in reports])

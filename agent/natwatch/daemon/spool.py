"""Reports that wait for the collector to say that it stored them.

In memory for now; a spool on disk will have the same calls. A report leaves only when the
collector acknowledges it, or when the spool is full: then the oldest goes, and is counted.

A report is *waiting* until next() hands it out, then it *flies*. After RESEND without an
acknowledgement it may be handed out again; at most *window* of those that fly are younger
than that. So a dead collector behind a living broker costs *window* reports in RESEND, and a
report that the collector never accepts cannot block the others: what never flew goes first.
"""

from natwatch.wire import telemetry

CAPACITY = 1000  # reports, about half a megabyte; an ordinary box makes 60 an hour
WINDOW = 20
RESEND = 30000  # ms


class _Report:
    def __init__(self, seq, kind, payload):
        self.seq = seq
        self.kind = kind
        self.payload = payload
        self.sent = None  # ms, when it was handed out last


class Spool:
    """The reports of this *boot* (16 hex digits). Times are int milliseconds, handed in.

    dropped: {kind: how many reports of it were lost to a full spool}; kinds are names in the
    program, so it has a few entries at most.
    """

    def __init__(self, boot, capacity=CAPACITY, window=WINDOW):
        self.boot = boot
        self.dropped = {}
        self._capacity = capacity
        self._window = window
        self._seq = 0
        self._waiting = []  # in order of seq
        self._flying = []  # in order of .sent

    def __len__(self):
        return len(self._waiting) + len(self._flying)

    def append(self, kind, data, t, tq, mono):
        """Stores one report, the fields as in telemetry.Envelope; returns its seq."""
        self._seq += 1
        envelope = telemetry.Envelope(self.boot, self._seq, t, tq, mono, kind, data)
        self._waiting.append(_Report(self._seq, kind, telemetry.encode(envelope)))
        if len(self) > self._capacity:
            self._drop_oldest()
        return self._seq

    def next(self, now):
        """The bytes of the next report to send, None if none is due; it flies from *now*."""
        due = self.next_timer()
        if due is None or due > now:
            return None
        report = (self._waiting or self._flying).pop(0)
        report.sent = now
        self._flying.append(report)
        return report.payload

    def next_timer(self):
        """When next() will have a report: ms, 0 for at once, None for never as things are."""
        room = 0
        if len(self._flying) >= self._window:
            room = self._flying[-self._window].sent + RESEND
        if self._waiting:
            return room
        if self._flying:
            return max(room, self._flying[0].sent + RESEND)
        return None

    def acknowledge(self, boot, ranges):
        """Lets go of the reports in *ranges*, (first, last) pairs; returns how many that were.

        None of another boot's: those numbers name other reports.
        """
        if boot != self.boot:
            return 0
        before = len(self)
        self._flying = _without(self._flying, ranges)
        self._waiting = _without(self._waiting, ranges)
        return before - len(self)

    def requeue(self):
        """The connection is gone, and with it what flew: all of it waits again, oldest first."""
        self._waiting += self._flying
        self._waiting.sort(key=_seq_of)
        self._flying = []

    def _drop_oldest(self):
        # Both lists must be asked: resending changes the order of what flies.
        oldest = min(self._waiting[:1] + self._flying, key=_seq_of)
        (self._waiting if oldest in self._waiting[:1] else self._flying).remove(oldest)
        self.dropped[oldest.kind] = self.dropped.get(oldest.kind, 0) + 1


def _seq_of(report):
    return report.seq


def _without(reports, ranges):
    return [r for r in reports if not any(first <= r.seq <= last for first, last in ranges)]

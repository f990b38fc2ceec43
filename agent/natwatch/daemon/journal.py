"""The spool's files: append-only segments, removed oldest first. docs/spool.md has the format.

A segment begins with a state record, and each write ends with one; the last state that can be
read counts. It names the first segment that still counts, so that to let go of old segments is
one write: what is left of them after a power cut is removed at the next start. Segments go
in their order only; so an acknowledgement, which is written after its report, never goes first.

Wear: each write is taken from a bucket of bytes, file system's pages included. The bucket's
level is in the state, or a program that starts again and again would wear out the flash.
"""

from natwatch.daemon import record

PER_DAY = 30000000  # bytes written to flash a day, at most
PAGE = 4096
# What a write costs beside its data, in pages. ext4's fsync of an append writes a descriptor, one
# to three blocks of metadata and a commit block to its journal, and the metadata in place later.
OVERHEAD = 8 * PAGE
SEGMENT = 32768  # bytes; a router reads it whole at the start
_DAY = 86400000
_FIRST_PAUSE = 60000  # ms until a medium that failed is tried again; doubles
_LAST_PAUSE = 3600000
_SUFFIX = ".spool"


def _name(number):
    return "%08d%s" % (number, _SUFFIX)


def _pages(size):
    return (size + PAGE - 1) // PAGE * PAGE


class _Names:
    """(boot, seq) of many reports, as ranges: they come nearly in order."""

    def __init__(self):
        self._ranges = {}  # boot -> [[first, last], …] in no order

    def add(self, boot, first, last):
        ranges = self._ranges.setdefault(boot, [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1][1] = last
        else:
            ranges.append([first, last])

    def has(self, boot, seq):
        for first, last in self._ranges.get(boot, ()):
            if first <= seq <= last:
                return True
        return False


class Journal:
    """The files in *folder* (natwatch.port.disk.Folder), at most *limit* bytes of them.

    *per_day*: bytes written a day, 0 for no limit. After load(): *run*, *dropped* {kind: count}
    of all starts, *unclean* and *last*, (boot, seq) of what the last start had written, None
    where nobody knows. *counters*: {name: count} of what went wrong.
    """

    def __init__(self, folder, limit, per_day, say):
        self.loaded = False
        self.run = 1
        self.dropped = {}
        self.unclean = None
        self.last = None
        self.counters = {}
        self.limit = limit
        self._segment = min(SEGMENT, limit // 16)
        self._folder = folder
        self._per_day = per_day
        self._say = say
        self._sizes = {}  # segment -> bytes
        self._current = None  # the segment that is written to
        self._begun = False  # had the segment of the latest append something before it?
        self._next = 1
        self.first = 1  # segments before it do not count any more
        # What the latest whole write said of these two; a segment's first record repeats it, since
        # what lets go of old segments may be read only when all of the same write is there.
        self._stood = {"first": 1, "dropped": {}}
        self._flushed = 0  # the latest seq of this start that is on the medium
        self._left = self._most = per_day // 15
        self._filled = None  # ms, when the bucket was filled last
        self._retry_at = None
        self._pause = _FIRST_PAUSE
        self._failing = False

    # Reading

    def load(self, now, found):
        """Calls found(boot, run, seq, kind, urgent, place) for each report that is there and not
        acknowledged; *place* is (segment, offset, size). False if the folder cannot be used.
        """
        try:
            names = self._folder.names()
        except OSError as error:
            self._fail(error, now)
            return False
        numbers = [name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX)]
        numbers = sorted([int(text) for text in numbers if _digits(text)])
        acked, state = _Names(), None
        for number in numbers:
            state = self._survey(number, acked) or state
        self.unclean = bool(numbers)
        if numbers:
            self._next = numbers[-1] + 1
        if state is not None:
            self.unclean = not state["closed"]
            self.dropped = state["dropped"]
            self.first = min(state["first"], self._next)
            self._stood = {"first": self.first, "dropped": dict(self.dropped)}
            self._left = min(state["left"], self._most)
            self.run = state["run"] + 1
            self.last = state["boot"], state["seq"]
        for number in numbers:
            if number >= self.first:
                self._reports(number, acked, found)
        self.loaded = True
        return True

    def _survey(self, number, acked):
        """Adds what the segment acknowledges to *acked*; its last state."""
        data = self._segment_bytes(number)
        self._sizes[number] = len(data)
        state, whole = None, 0
        for kind, _, size, body in record.records(data):
            whole += size
            try:
                if kind == record.ACK:
                    boot, ranges = record.read_ack(body)
                    for first, last in ranges:
                        acked.add(boot, first, last)
                elif kind == record.STATE:
                    state = record.read_state(body)
            except ValueError:
                self._count("spool_unknown_record")
        if whole != len(data):
            self._count("spool_torn")
        return state

    def _reports(self, number, seen, found):
        for kind, offset, size, body in record.records(self._segment_bytes(number)):
            if kind != record.REPORT:
                continue
            try:
                boot, run, seq, name, urgent, _ = record.read_report(body)
            except ValueError:
                self._count("spool_unknown_record")
                continue
            # A cut may have left reports whose state was not written any more.
            self.run = max(self.run, run + 1)
            if self.last is not None and self.last[0] == boot:
                self.last = boot, max(self.last[1], seq)
            if not seen.has(boot, seq):
                seen.add(boot, seq, seq)
                found(boot, run, seq, name, urgent, (number, offset, size))

    def _segment_bytes(self, number):
        try:
            return self._folder.read(_name(number))
        except (OSError, MemoryError):
            self._count("spool_unreadable")
            return b""

    def read(self, entry):
        """The payload of *entry*; None if it cannot be read any more."""
        number, offset, size = entry.place
        try:
            data = self._folder.read(_name(number), offset, size)
            for kind, _, _, body in record.records(data):
                if kind == record.REPORT:
                    boot, _, seq, _, _, payload = record.read_report(body)
                    if (boot, seq) == (entry.boot, entry.seq):
                        return payload
        except (OSError, ValueError):
            pass
        self._count("spool_unreadable")
        return None

    # Room

    def used(self):
        """Bytes of all segments that count, in whole pages."""
        return sum([_pages(self._sizes[n]) for n in self._sizes if n >= self.first])

    def oldest(self):
        """The first segment, None if there is none; it is closed, if it was being written."""
        number = min([n for n in self._sizes if n >= self.first], default=None)
        if number is not None and number == self._current:
            self._current = None
        return number

    def release(self, number):
        """Segments before *number* count no more, from the next write on."""
        self.first = max(self.first, number)

    # Writing

    def due(self, now):
        """Whether the medium may be written now: it works, and the day's bytes allow it."""
        if self._filled is not None and self._per_day:
            # A day's worth: what the bucket holds at first, what flows in, one write too many.
            rate = self._per_day - 2 * self._most
            self._left = min(self._most, self._left + rate * (now - self._filled) // _DAY)
        self._filled = now
        if self._retry_at is not None and now < self._retry_at:
            return False
        return self._left > 0 or not self._per_day

    def write(self, boot, reports, acks, closed, needed, now):
        """Writes *reports* (each with boot, seq, payload, place …) and gives each its place, *acks*
        {boot: ranges}, and the state. Whether all of it is on the medium; what is not keeps its
        place. *needed*: segments of other reports that are held; those before are removed.
        """
        open_segment = self._next if self._current is None else self._current
        self.release(min(needed + [open_segment]))
        try:
            self._write(boot, reports, acks, closed)
        except OSError as error:
            self._abandon()
            self._fail(error, now)
            return False
        self._retry_at = None
        self._pause = _FIRST_PAUSE
        if self._failing:
            self._failing = False
            self._say("spool: written again")
        self._remove()
        return True

    def _write(self, boot, reports, acks, closed):
        batch, data = [], bytearray(self._open(boot))
        for entry in reports:
            run = self.run if entry.boot == boot else entry.run
            made = record.report(
                entry.boot, run, entry.seq, entry.kind, entry.urgent, entry.payload
            )
            if self._sizes[self._current] + len(data) + len(made) > self._segment and batch:
                self._append(data, batch, boot)
                self._current = None
                batch, data = [], bytearray(self._open(boot))
            batch.append((entry, len(data), len(made)))
            data += made
        for name in sorted(acks):
            data += record.ack(name, acks[name])
        seqs = [entry.seq for entry, _, _ in batch if entry.boot == boot]
        stands = {"first": self.first, "dropped": dict(self.dropped)}
        data += self._state(boot, max([self._flushed] + seqs), closed, stands, len(data))
        self._append(data, batch, boot)
        self._stood = stands

    def _abandon(self):
        """An append has failed: nothing is written behind what it may have left."""
        number, self._current = self._current, None
        if not self._begun:
            # No report has its place there, and on a full disk each byte counts.
            del self._sizes[number]
            try:
                self._folder.remove(_name(number))
            except OSError:
                pass  # it was not even made

    def _open(self, boot):
        """What the segment to write to has to begin with: nothing, if it goes on."""
        if self._current is not None and self._sizes[self._current] < self._segment:
            return b""
        self._current = self._next
        self._next += 1
        self._sizes[self._current] = 0
        return self._state(boot, self._flushed, False, self._stood, 0)

    def _state(self, boot, seq, closed, stands, size):
        # What this write itself will cost: nothing may come after it.
        cost = size + 2 * OVERHEAD + PAGE if self._per_day else 0
        return record.state(
            {
                "boot": boot,
                "run": self.run,
                "seq": seq,
                "first": stands["first"],
                "left": self._left - cost,
                "dropped": stands["dropped"],
                "closed": closed,
            }
        )

    def _append(self, data, batch, boot):
        size = self._sizes[self._current]
        for entry, _, _ in batch:
            entry.tried = True
        new = not size
        self._begun = not new
        self._spend(_pages(size % PAGE + len(data)) + (2 * OVERHEAD if new else OVERHEAD))
        self._sizes[self._current] = size + len(data)  # also of an append that fails half way
        self._folder.append(_name(self._current), data, new)
        for entry, offset, length in batch:
            entry.place = self._current, size + offset, length
            if entry.boot == boot:
                self._flushed = max(self._flushed, entry.seq)

    def _remove(self):
        for number in [n for n in self._sizes if n < self.first]:
            del self._sizes[number]
            self._spend(OVERHEAD)
            try:
                self._folder.remove(_name(number))
            except OSError:
                self._count("spool_remove_error")

    def _spend(self, size):
        if self._per_day:
            self._left -= size

    def _fail(self, error, now):
        self._count("spool_error_%s" % error.errno)
        self._retry_at = now + self._pause
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        if not self._failing:
            self._failing = True
            text = "spool: the folder cannot be used (error %s); reports stay in memory"
            self._say(text % error.errno)

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def _digits(text):
    return 0 < len(text) < 16 and not [one for one in text if one not in "0123456789"]

"""The spool on disk: whatever is cut or garbled, it starts, and has what a flush had written."""

from natwatch.daemon import record
from natwatch.daemon.journal import OVERHEAD, PAGE, Journal
from natwatch.daemon.spool import FLUSH, Spool
from natwatch.port.disk import Folder
from natwatch.wire import telemetry

BOOTS = ["%016x" % number for number in range(1, 9)]
LIMIT = 65536


class Memory:
    """A folder in memory that keeps what was done to it; *error* is an errno that writes meet."""

    def __init__(self, files=None):
        self.files = {name: bytes(files[name]) for name in files or {}}
        self.log = []  # (name, data or None for a removal); None: not kept
        self.wear = 0  # bytes that flash sees
        self.error = None

    def names(self):
        if self.error == 2:
            raise OSError(2, "")
        return list(self.files)

    def read(self, name, offset=0, size=-1):
        if name not in self.files:
            raise OSError(2, "")
        data = self.files[name][offset:]
        return data if size < 0 else data[:size]

    def append(self, name, data, new):
        if self.error is not None:
            if self.error == 28:
                half = bytes(data[: len(data) // 2])
                self.files[name] = self.files.get(name, b"") + half
            raise OSError(self.error, "")
        assert new == (name not in self.files)
        old = self.files.get(name, b"")
        self.wear += (len(old) % PAGE + len(data) + PAGE - 1) // PAGE * PAGE
        self.wear += 2 * OVERHEAD if new else OVERHEAD
        self.files[name] = old + bytes(data)
        if self.log is not None:
            self.log.append((name, bytes(data)))

    def remove(self, name):
        if name not in self.files:
            raise OSError(2, "")
        del self.files[name]
        self.wear += OVERHEAD
        if self.log is not None:
            self.log.append((name, None))


def started(folder, boot, limit=LIMIT, per_day=0, say=None, capacity=1000):
    lines = [] if say is None else say
    journal = Journal(folder, limit, per_day, lines.append)
    spool = Spool(boot, capacity, window=10**6, journal=journal)
    spool.load(0)
    return spool


def put(spool, kind="health", size=10, method=None):
    """Appends a report of about *size* bytes; its name."""
    data = {"text": "x" * size}
    if method is not None:
        data["method"] = method
    return spool.boot, spool.append(kind, data, None, "none", 1.5)


def held(spool):
    """{(boot, seq): text} of all that the spool would send."""
    found = {}
    spool.requeue()
    while True:
        payload = spool.next(0)
        if payload is None:
            break
        envelope = telemetry.decode(payload)
        name = envelope.boot, envelope.seq
        assert name not in found, "twice: %r" % (name,)
        assert envelope.late == (envelope.boot != spool.boot)
        found[name] = envelope.kind, envelope.data["text"]
    spool.requeue()
    return found


class History:
    """Three starts with reports, flushes, acknowledgements and drops, and after how many
    bytes of them which reports are to be found for certain, and which may be.
    """

    def __init__(self):
        self.folder = Memory()
        self.acked = set()
        self.made = {}  # name: (kind, text)
        self.marks = [(0, set())]  # (operations done, names held)
        spool = started(self.folder, BOOTS[0])
        spool._journal._segment = 500
        self.flush(spool)
        for number in range(4):
            self.put(spool, "lifetime", 30 + number, "confirm" if number == 1 else "watch")
        self.flush(spool)
        self.put(spool)
        self.acked = {(BOOTS[0], seq) for seq in (1, 3, 4, 5)}
        spool.acknowledge(BOOTS[0], [(1, 1), (3, 3)])
        self.flush(spool)
        spool = started(self.folder, BOOTS[1])  # as after a power cut
        spool._journal._segment = 500
        self.put(spool)
        self.flush(spool)
        spool.acknowledge(BOOTS[0], [(4, 5)])
        self.put(spool, "media", 90)
        self.put(spool, "event", 20)
        self.flush(spool)
        spool._journal.limit = 4 * PAGE  # full: the oldest ordinary ones go
        for number in range(3):
            self.put(spool, "media", 200 + number)
            self.flush(spool)
        spool.close(9)
        self.marks.append((len(self.folder.log), set(held(spool))))
        self.dropped = spool.dropped
        spool = started(self.folder, BOOTS[2])
        self.put(spool)
        self.flush(spool)
        self.last = spool

    def put(self, spool, kind="health", size=10, method=None):
        name = put(spool, kind, size, method)
        self.made[name] = kind, "x" * size

    def flush(self, spool):
        assert spool.flush(0)
        self.marks.append((len(self.folder.log), set(held(spool))))

    def cuts(self):
        """(folder, names that must be there, names that were) at every byte of the history."""
        files = {}
        for done, (name, data) in enumerate(self.folder.log):
            before = [names for count, names in self.marks if count <= done][-1]
            after = [names for count, names in self.marks if count > done][0]
            once = set()
            for count, names in self.marks:
                once |= names if count <= done else set()
            if data is None:
                yield Memory(files), before & after, once
                del files[name]
                continue
            old = files.get(name)
            for cut in range(len(data)):
                files[name] = (old or b"") + data[:cut]
                yield Memory(files), before & after, once
            files[name] = (old or b"") + data
        yield Memory(files), self.marks[-1][1], set(self.made)


def test_what_was_flushed_is_there_after_a_restart_under_its_own_boot():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    names = [put(spool, size=size) for size in range(5)]
    assert spool.flush(0)
    put(spool)  # never written
    spool = started(folder, BOOTS[1])
    assert sorted(held(spool)) == names
    new = put(spool)
    order = [telemetry.decode(spool.next(0)) for _ in range(3)]
    assert [(one.boot, one.seq) for one in order] == [new] + names[:2]
    assert spool.acknowledge(BOOTS[0], [(1, 4)]) == 4
    assert spool.acknowledge("f" * 16, [(1, 9)]) == 0
    assert spool.knows(BOOTS[0]) and not spool.knows("f" * 16)
    assert spool.flush(0)
    assert sorted(held(started(folder, BOOTS[2]))) == [names[4], new]


def test_a_history_cut_at_every_byte_starts_with_what_its_flushes_had_written():
    history = History()
    count = 0
    for folder, needed, once in history.cuts():
        spool = started(folder, BOOTS[7])
        found = held(spool)
        for name in found:
            assert found[name] == history.made[name]
        # What was held once is held, acknowledged or counted as dropped.
        gone = [name for name in once if name not in found and name not in history.acked]
        assert len(gone) == sum(spool.dropped.values()), (count, gone, spool.dropped)
        assert not [name for name in needed if name not in found], (count, needed, found)
        count += 1
        if count % 16 == 0:  # and it goes on from there
            put(spool)
            assert spool.flush(0)
            assert set(held(started(folder, BOOTS[6]))) == set(found) | {(BOOTS[7], 1)}
    assert count > 4000


def test_a_history_with_garbled_bytes_starts_and_has_nothing_wrong():
    history = History()
    for name in sorted(history.folder.files):
        for at in range(0, len(history.folder.files[name]), 3):
            for flip in (1, 0x80, 0xFF):
                folder = Memory(history.folder.files)
                data = bytearray(folder.files[name])
                data[at] ^= flip
                folder.files[name] = bytes(data)
                spool = started(folder, BOOTS[7])
                found = held(spool)
                for one in found:
                    assert found[one] == history.made[one]
                # One byte costs one record.
                lost = [one for one in history.marks[-1][1] if one not in found]
                assert len(lost) <= 1, (name, at, lost)


def test_zeros_and_foreign_files_are_no_trouble():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    name = put(spool)
    assert spool.flush(0)
    folder.files["00000001.spool"] += bytes(4096)
    folder.files["00000009.spool"] = b"\xff" * 5000
    folder.files["x.spool"] = folder.files["lost+found"] = b"?"
    spool = started(folder, BOOTS[1])
    assert list(held(spool)) == [name]
    assert spool.counters() == {"spool_torn": 2}
    assert put(spool) and spool.flush(0)
    assert "00000010.spool" in folder.files


def test_the_birth_says_how_the_last_start_ended():
    folder = Memory()
    assert Spool(BOOTS[0]).birth() == {"unclean": None, "last": None}
    spool = started(folder, BOOTS[0])
    assert spool.birth() == {"unclean": False, "last": None}
    spool.turn(0)  # the start is written before any report
    spool = started(folder, BOOTS[1])
    assert spool.birth() == {"unclean": True, "last": {"boot": BOOTS[0], "seq": 0}}
    put(spool)
    put(spool)
    spool.close(0)
    spool = started(folder, BOOTS[2])
    assert spool.birth() == {"unclean": False, "last": {"boot": BOOTS[1], "seq": 2}}
    assert spool.flush(0)
    assert started(folder, BOOTS[3]).birth()["unclean"] is True


def test_batches_wait_for_their_window_and_a_confirmed_change_does_not():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    spool.turn(0)
    written = len(folder.log)
    put(spool)
    spool.turn(1000)
    spool.turn(1000 + FLUSH * 1000 - 1)
    assert len(folder.log) == written
    spool.turn(1000 + FLUSH * 1000)
    assert len(folder.log) == written + 1
    put(spool, "lifetime", method="confirm")
    spool.turn(400000)
    assert len(folder.log) == written + 2


def test_what_is_acknowledged_within_the_window_is_never_written():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    spool.turn(0)
    written = len(folder.log)
    for now in range(1000, 4 * FLUSH * 1000, 1000):
        name = put(spool)
        spool.next(now)
        spool.acknowledge(BOOTS[0], [(name[1], name[1])])
        spool.turn(now)
    assert len(folder.log) == written


def test_full_it_drops_the_oldest_ordinary_reports_and_counts_them_for_ever():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    change = put(spool, "lifetime", 100, "confirm")
    names = []
    for _ in range(60):
        names.append(put(spool, size=3000))
        assert spool.flush(0)
        assert sum([len(folder.files[name]) for name in folder.files]) <= LIMIT
    found = held(started(folder, BOOTS[1]))
    left = [name for name in names if name in found]
    assert change in found and left == names[-len(left) :] and len(left) > 8
    again = started(folder, BOOTS[2])
    assert again.dropped == spool.dropped == {"health": 60 - len(left)}


def test_a_week_of_reports_leaves_in_order_and_each_once():
    folder = Memory()
    spool = started(folder, BOOTS[0], 4194304)
    for number in range(1500):
        put(spool)
        if number % 50 == 49:
            assert spool.flush(0)
    assert len(spool) == 1500
    assert len(spool._waiting) + len(spool._backlog) <= 400
    spool = started(folder, BOOTS[1], 4194304)
    for _ in range(3):
        put(spool)
    sent = []
    while len(spool):
        batch = [telemetry.decode(spool.next(0)) for _ in range(min(20, len(spool)))]
        sent += [(one.boot, one.seq) for one in batch]
        for one in batch:
            spool.acknowledge(one.boot, [(one.seq, one.seq)])
    assert [name for name in sent if name[0] == BOOTS[0]] == [
        (BOOTS[0], n + 1) for n in range(1500)
    ]
    assert sent.index((BOOTS[1], 3)) < 7  # the new ones do not wait for the old
    assert spool.flush(0)
    assert held(started(folder, BOOTS[2])) == {}


def test_changes_alone_fill_no_more_than_their_half():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    for _ in range(80):
        put(spool, "event", 3000)
        assert spool.flush(0)
        assert sum([len(folder.files[name]) for name in folder.files]) <= LIMIT
    found = held(started(folder, BOOTS[1]))
    assert (BOOTS[0], 80) in found and 80 - len(found) == spool.dropped["event"]


def test_a_folder_that_fails_is_said_once_and_tried_again():
    for error in (2, 13, 28, 30, 5):
        folder, said = Memory(), []
        if error == 2:
            folder.error = 2
        spool = started(folder, BOOTS[0], say=said)
        folder.error = error
        names = [put(spool) for _ in range(5)]
        now = 0
        while now < 400000:
            spool.turn(now)
            now += 1000
        assert len(said) == 1 and str(error) in said[0]
        assert len(folder.files) <= 1  # what a failed write began is not left behind
        tries = spool.counters()["spool_error_%d" % error]
        assert 2 <= tries <= 5
        assert sorted(held(spool)) == names
        folder.error = None
        spool.turn(10**7)
        assert len(said) == 2
        assert sorted(held(started(folder, BOOTS[1]))) == names


def test_a_disk_that_stays_full_costs_nothing_that_is_on_it():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    names = [put(spool, size=3000) for _ in range(5)]
    assert spool.flush(0)
    folder.error = 28
    before = set(folder.files)
    for hour in range(1, 50):
        put(spool, size=5000)
        spool.turn(hour * 4000000)
        spool.turn(hour * 4000000 + FLUSH * 1000)
    assert [name for name in names if name in held(spool)] == names
    assert set(folder.files) == before


def test_what_a_torn_write_left_does_not_come_back_once_it_is_acknowledged():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    first = put(spool)
    assert spool.flush(0)
    for _ in range(5):
        put(spool)
    folder.error = 28
    assert not spool.flush(0)
    folder.error = None
    assert len(held(started(Memory(folder.files), BOOTS[1]))) == 3  # as if cut here
    spool.acknowledge(BOOTS[0], [(2, 6)])
    assert spool.flush(0)
    assert list(held(started(folder, BOOTS[1]))) == [first]


def test_a_change_whose_segment_goes_is_not_lost_to_a_write_that_fails():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    change = put(spool, "event", 100)
    for _ in range(40):
        put(spool, size=3000)
        folder.error = 30
        spool.flush(0)
        spool.flush(0)
        folder.error = None
        assert spool.flush(0)
    assert spool.dropped["health"] > 20
    assert change in held(started(folder, BOOTS[1]))


def test_without_a_medium_memory_is_bounded():
    folder = Memory()
    folder.error = 30
    spool = started(folder, BOOTS[0], capacity=10)
    change = put(spool, "event")
    for _ in range(30):
        put(spool)
        spool.turn(0)
    found = held(spool)
    assert len(found) == 10 and change in found
    assert spool.dropped == {"health": 21}


def test_a_report_that_cannot_be_read_back_is_counted_and_the_next_one_goes():
    folder = Memory()
    spool = started(folder, BOOTS[0])
    put(spool)
    put(spool)
    assert spool.flush(0)
    data = folder.files["00000001.spool"]
    folder.files["00000001.spool"] = data.replace(b'"seq": 1,', b'"seq": 7,', 1)
    assert telemetry.decode(spool.next(0)).seq == 2
    assert spool.dropped == {"health": 1} and len(spool) == 1


def worn(every_ms, kind, size, restart_ms=None):
    """Bytes that flash sees in a day of reports that nobody acknowledges."""
    folder, number = Memory(), 1
    folder.log = None
    spool = started(folder, BOOTS[0], 262144, 30000000, capacity=200)
    for now in range(0, 86400000, every_ms):
        if restart_ms and now % restart_ms < every_ms:
            number += 1
            spool = started(folder, "%016x" % number, 262144, 30000000, capacity=200)
        put(spool, kind, size)
        spool.turn(now)
    return folder.wear


def test_no_day_wears_the_flash_by_more_than_30_megabytes():
    ordinary = worn(60000, "health", 600)
    assert 5000000 < ordinary < 20000000, ordinary
    for every, kind, size, restart in (
        (60000, "event", 600, None),
        (10000, "health", 2000, None),
        (20000, "event", 600, 20000),
    ):
        total = worn(every, kind, size, restart)
        assert total <= 30000000, (every, kind, total)


def test_records_of_an_unknown_shape_are_passed_over():
    for body in (b"", b"[]", b"{", b"{}", b"\xff" * 30):
        for kind in (record.REPORT, record.ACK, record.STATE, 0x58):
            folder = Memory({"00000001.spool": record._framed(kind, body)})
            spool = started(folder, BOOTS[0])
            assert held(spool) == {} and spool.birth()["last"] is None


def test_a_folder_of_the_operating_system_does_the_same():
    import os

    path = "/tmp/natwatch-spool-%s" % os.urandom(6).hex()
    spool = started(Folder(path), BOOTS[0])
    names = [put(spool) for _ in range(3)]
    spool.close(0)
    spool = started(Folder(path), BOOTS[1])
    assert sorted(held(spool)) == names
    spool.acknowledge(BOOTS[0], [(1, 3)])
    spool.close(0)
    assert held(started(Folder(path), BOOTS[2])) == {}
    assert len(os.listdir(path)) == 1
    for name in os.listdir(path):
        os.remove(path + "/" + name)
    os.rmdir(path)
    said = []
    started(Folder("/nowhere/at/all"), BOOTS[0], say=said)
    assert len(said) == 1

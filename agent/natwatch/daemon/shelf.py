"""Names of reports that wait in the journal, packed: 22 bytes each where an object takes 250.

A week without a network is some ten thousand reports, and a router's heap has one megabyte.
"""

import struct

_FORMAT = ">HQIII"  # index of boot, run, kind and urgency; seq; segment, offset, size
_SIZE = 22
CHUNK = 100


class Shelf:
    """Reports in the order in which they came; *make* builds one of (boot, run, seq, kind,
    urgent, place). Each has these as attributes.
    """

    def __init__(self, make):
        self._make = make
        self._chunks = []  # bytearrays: one long one would not fit into a fragmented heap
        self._labels = []  # (boot, run, kind, urgent): a few a start
        self._count = 0

    def __len__(self):
        return self._count

    def add(self, report):
        label = report.boot, report.run, report.kind, report.urgent
        if label not in self._labels:
            self._labels.append(label)
        if not self._chunks or len(self._chunks[-1]) >= CHUNK * _SIZE:
            self._chunks.append(bytearray())
        number, offset, size = report.place
        index = self._labels.index(label)
        self._chunks[-1] += struct.pack(_FORMAT, index, report.seq, number, offset, size)
        self._count += 1

    def take(self):
        """The first reports, some of them."""
        chunk = self._chunks.pop(0)
        self._count -= len(chunk) // _SIZE
        return [self._unpacked(chunk, at) for at in range(0, len(chunk), _SIZE)]

    def segments(self):
        """The segments in which there are some."""
        return set([fields[2] for fields in self._fields()])

    def urgent_size(self):
        """Bytes of the urgent ones in the journal."""
        return sum([fields[4] for fields in self._fields() if self._labels[fields[0]][3]])

    def extract(self, segment):
        """Takes out all that are in *segment*."""
        taken, chunks = [], []
        for chunk in self._chunks:
            left = bytearray()
            for at in range(0, len(chunk), _SIZE):
                report = struct.unpack_from(_FORMAT, chunk, at)
                if report[2] == segment:
                    taken.append(self._unpacked(chunk, at))
                else:
                    left += chunk[at : at + _SIZE]
            if left:
                chunks.append(left)
        self._chunks = chunks
        self._count -= len(taken)
        return taken

    def _fields(self):
        for chunk in self._chunks:
            for at in range(0, len(chunk), _SIZE):
                yield struct.unpack_from(_FORMAT, chunk, at)

    def _unpacked(self, chunk, at):
        index, seq, number, offset, size = struct.unpack_from(_FORMAT, chunk, at)
        boot, run, kind, urgent = self._labels[index]
        return self._make(boot, run, seq, kind, urgent, (number, offset, size))

"""Voice-like streams that are sent back to whoever proved to be at that binding (docs/protocol.md).

A stream lives as long as its tooth is pending. Its packets carry no MAC, which 50 a second of
each device would make dear; so a packet must come from exactly the tooth's source, and its SSRC be
the first 4 bytes of the tooth's transaction id, which nobody else has seen. What goes back is as
long as what came, and goes nowhere else.
"""

from collections import deque

from natwatch.wire import media
from natwatch.wire.stun import HELD, Record
from natwatch_provider.reflector.layout import Endpoint

MAX_PACKETS = 4_000  # of one tooth: 80 s of voice
MAX_STREAMS_OF_ONE = 8
MAX_STREAMS = 8_192  # some 5 kB each


class Stream:
    """What came on one binding since *opened* (ms); the tooth's *record* tells how much."""

    def __init__(self, name: str, record: Record, opened: int) -> None:
        self.name = name
        self.ssrc = record.txid[:4]
        self._record = record
        self._number = 0  # of the latest arrival
        self._opened = opened
        self._earlier: deque[tuple[int, int]] = deque(maxlen=media.HISTORY)  # latest first

    def reflect(self, data: bytes, now: int) -> tuple[str, bytes | None]:
        """A counter, and the answer to *data* if it is a packet of this stream."""
        if len(data) != media.SIZE:
            return "media_size", None
        if media.ssrc_of(data) != self.ssrc:
            return "media_wrong_stream", None
        if self._number >= MAX_PACKETS:
            return "media_full", None
        self._number += 1
        if self._record.outcome == HELD:
            self._record.idle = self._number
        at = now - self._opened
        answer = media.reflected(data, self._number, at, at, list(self._earlier))
        self._earlier.appendleft((media.sequence_of(data), at))
        return "media", answer


class Streams:
    """The streams that are open, bounded by device and as a whole."""

    def __init__(self) -> None:
        self._open: dict[tuple[Endpoint, Endpoint], Stream] = {}  # by source and local
        self._of: dict[str, int] = {}  # by device; one that lost its binding to another counts too
        self._total = 0

    def no_room(self, name: str) -> bool:
        """Whether the device *name* may open no further one now."""
        return self._of.get(name, 0) >= MAX_STREAMS_OF_ONE or self._total >= MAX_STREAMS

    def open(
        self, name: str, record: Record, source: Endpoint, local: Endpoint, now: int
    ) -> Stream:
        """A stream of *name* from *source* to *local*; the latest of one binding has it."""
        stream = Stream(name, record, now)
        self._open[source, local] = stream
        self._of[name] = self._of.get(name, 0) + 1
        self._total += 1
        return stream

    def find(self, source: Endpoint, local: Endpoint) -> Stream | None:
        """The stream from *source* to *local*."""
        return self._open.get((source, local))

    def close(self, stream: Stream, source: Endpoint, local: Endpoint) -> None:
        """Send nothing back any more of *stream*."""
        if self._open.get((source, local)) is stream:
            del self._open[source, local]
        self._of[stream.name] -= 1
        if not self._of[stream.name]:
            del self._of[stream.name]
        self._total -= 1

"""A voice-like stream and STAMP as bytes (docs/protocol.md, "Media").

What goes out looks like RTP (RFC 3550, section 5.1) with G.711: 12 bytes of header and 20 ms of
silence. What the reflector sends back is as long; in place of the silence it tells which packets
came before this one and when, so that what is known of the way out survives losses on the way
back. STAMP (RFC 8762, unauthenticated mode) is for other people's senders and ours alike.
"""

import struct

SIZE = 172  # bytes of UDP payload
INTERVAL = 20  # ms
SAMPLES = 160  # of one packet, at 8 kHz
HISTORY = 35  # earlier arrivals that a reflected packet tells
LONGEST = 3600000  # ms that a stream lasts at the very most
OLDEST = 65535  # ms before this arrival that an earlier one can be told

STAMP_SIZE = 44

_HEADER = ">BBHII"  # version 2 and nothing else, payload type 0, sequence, timestamp, SSRC
_MARK = b"nwm1"
_SILENCE = b"\xff" * SAMPLES  # µ-law
_UNIX_EPOCH = 2208988800  # seconds from NTP's to Unix's
_CLOCK = 22 << 8 | 1  # error estimate (RFC 4656, 4.1.2): unsynchronized, 2^-32 · 2^22 s, about 1 ms
_ZEROS = bytes(28)


class MediaError(ValueError):
    """These bytes are no such packet. *counter* names the reason, for statistics."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


class Reflected:
    """What a reflected packet says: it answers *sequence*, the *number*-th arrival, at *received*.

    It left at *sent*. *earlier* yields (number, sequence, ms) of the arrivals before it, the
    latest first. All times are ms on the reflector's clock since the binding was set up.
    """

    def __init__(self, data):
        self._data = data
        self.sequence = struct.unpack(">H", data[2:4])[0]
        self.number, self.received, self.sent, self._count = struct.unpack(">IIIH", data[16:30])

    def possible(self):
        times = 0 <= self.received <= self.sent <= LONGEST
        return times and self.number > self._count <= HISTORY

    def earlier(self):
        number = self.number
        # No format of struct reads 34 pairs without a tuple of them all.
        for start in range(32, 32 + 4 * self._count, 4):
            number -= 1
            sequence, before = struct.unpack(">HH", self._data[start : start + 4])
            if before <= self.received:
                yield number, sequence, self.received - before


def looks_like_rtp(data: bytes) -> bool:
    """Whether *data* may be RTP: its two highest bits are version 2 (RFC 3550, 5.1)."""
    return len(data) >= 12 and data[0] & 0xC0 == 0x80


def packet(sequence: int, ssrc: bytes) -> bytes:
    """The SIZE bytes of the *sequence*-th packet of the stream *ssrc* (4 bytes)."""
    return _header(sequence) + ssrc + _SILENCE


def _header(sequence):
    timestamp = sequence * SAMPLES & 0xFFFFFFFF
    return struct.pack(">BBHI", 0x80, 0, sequence & 0xFFFF, timestamp)


def sequence_of(data: bytes) -> int:
    """The sequence number of what looks_like_rtp()."""
    return data[2] << 8 | data[3]


def ssrc_of(data: bytes) -> bytes:
    """The 4 bytes of its SSRC."""
    return bytes(data[8:12])


def reflected(data: bytes, number: int, received: int, sent: int, earlier: list) -> bytes:
    """The answer to the packet *data*: as Reflected tells it; *earlier* is [(sequence, ms), …].

    What came more than OLDEST ms before, and whatever is before that, is left out.
    """
    told = []
    for sequence, at in earlier[:HISTORY]:
        if received - at > OLDEST:
            break
        told.append(struct.pack(">HH", sequence, received - at))
    head = bytes(data[:12]) + _MARK + struct.pack(">IIIHH", number, received, sent, len(told), 0)
    body = head + b"".join(told)
    return body + bytes(SIZE - len(body))


def parse_reflected(data: bytes, ssrc: bytes) -> Reflected:
    """The Reflected in *data*, of the stream *ssrc*. Raises MediaError."""
    if len(data) != SIZE or not looks_like_rtp(data):
        raise MediaError("not_media", "expected %d bytes of RTP, found %d" % (SIZE, len(data)))
    if data[12:16] != _MARK:
        raise MediaError("media_not_reflected", "expected an answer, found something else")
    if ssrc_of(data) != ssrc:
        raise MediaError("media_wrong_stream", "expected our stream, found another")
    found = Reflected(data)
    if not found.possible():
        raise MediaError("media_history", "expected arrivals of one stream, found nonsense")
    return found


# STAMP


class Stamp:
    """A Session-Reflector packet (RFC 8762, 4.3.1). Times are ms since 1970 (floats).

    *sequence* is the reflector's, *sender_sequence* and *sender_time* are what it answers,
    *received* and *sent* when the reflector did that, *ttl* with how much it came there.
    """

    def __init__(self, sequence, sent, received, sender_sequence, sender_time, ttl):
        self.sequence = sequence
        self.sent = sent
        self.received = received
        self.sender_sequence = sender_sequence
        self.sender_time = sender_time
        self.ttl = ttl


def stamp_request(sequence: int, wall: int) -> bytes:
    """A Session-Sender packet (RFC 8762, 4.2.1) sent at *wall* (ms since 1970)."""
    return struct.pack(">I", sequence) + ntp(wall) + struct.pack(">H", _CLOCK) + bytes(30)


def looks_like_stamp(data: bytes) -> bool:
    """Whether *data* may be a Session-Sender's, as no STUN message is.

    28 bytes behind the error estimate and the session id (RFC 8972, section 3) must be zero on
    transmission: there a STUN message has the end of its transaction id and an attribute. A
    multiplier of 0 makes a packet invalid (RFC 4656, 4.1.2).
    """
    return len(data) >= STAMP_SIZE and data[16:STAMP_SIZE] == _ZEROS and data[13] != 0


def stamp_answer(data: bytes, wall: int, ttl: int) -> bytes:
    """The stateless Session-Reflector's answer to *data*, as long as that (RFC 8762, 4.3.1).

    *wall* (ms since 1970) is when it came and when this leaves, *ttl* that of its IP header. A
    session id is copied; so is what follows: to a reflector without extensions that is padding
    (RFC 8972, section 4), and its flags still say "unrecognized".
    """
    now = ntp(wall)
    head = bytes(data[:4]) + now + struct.pack(">H", _CLOCK) + bytes(data[14:16]) + now
    return head + bytes(data[:14]) + bytes([0, 0, ttl, 0, 0, 0]) + bytes(data[STAMP_SIZE:])


def parse_stamp_answer(data: bytes) -> Stamp:
    """The Stamp in *data*. Raises MediaError."""
    if len(data) < STAMP_SIZE:
        raise MediaError("stamp_short", "expected 44 bytes or more, found %d" % len(data))
    sequence, sender_sequence = (
        struct.unpack(">I", data[:4])[0],
        struct.unpack(">I", data[24:28])[0],
    )
    return Stamp(
        sequence, _ms(data[4:12]), _ms(data[16:24]), sender_sequence, _ms(data[28:36]), data[40]
    )  # fmt: skip


def ntp(wall: int) -> bytes:
    """The 8 bytes of an NTP timestamp (RFC 5905, section 6) of *wall*, ms since 1970."""
    seconds = wall // 1000 + _UNIX_EPOCH & 0xFFFFFFFF
    return struct.pack(">II", seconds, (wall % 1000 << 32) // 1000)


def _ms(stamp):
    seconds, fraction = struct.unpack(">II", stamp)
    return (seconds - _UNIX_EPOCH) * 1000 + fraction * 1000 / 4294967296

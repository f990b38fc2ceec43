"""STUN messages as values: RFC 8489, RFC 5780 and classic RFC 3489, and natwatch's extension.

A message is a 20-byte header and a list of attributes; an attribute is a row of the table
below: number, name, how to pack it, how to unpack it. Lengths are checked before any byte is
read, so that a lying datagram raises StunError and nothing else.

natwatch's own attributes are comprehension-required where the far end must understand them:
a foreign server then answers 420 (RFC 8489, section 6.3.1) instead of something misleading.
They are described where they are defined; docs/protocol.md has the exchange as a whole.
"""

import binascii
import struct

from natwatch.wire.auth import hmac_sha256, same
from natwatch.wire.ip import ip_bytes, ip_text

MAGIC_COOKIE = b"\x21\x12\xa4\x42"
BINDING = 0x001
REQUEST, INDICATION, SUCCESS, ERROR = 0, 1, 2, 3
MAX_BYTES = 2048

MAPPED_ADDRESS = 0x0001  # RFC 8489, 14.1; all that a classic client reads
CHANGE_REQUEST = 0x0003  # RFC 5780, 7.2
SOURCE_ADDRESS = 0x0004  # RFC 3489, 11.2.5
CHANGED_ADDRESS = 0x0005  # RFC 3489, 11.2.3
USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
REALM = 0x0014
NONCE = 0x0015
MESSAGE_INTEGRITY_SHA256 = 0x001C
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024  # RFC 8445; RFC 5769's sample request carries it
USE_CANDIDATE = 0x0025
PADDING = 0x0026  # RFC 5780, 7.6
RESPONSE_PORT = 0x0027  # RFC 5780, 7.5
SOFTWARE = 0x8022
ALTERNATE_SERVER = 0x8023
CACHE_TIMEOUT = 0x8027
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
RESPONSE_ORIGIN = 0x802B  # RFC 5780, 7.3
OTHER_ADDRESS = 0x802C  # RFC 5780, 7.4

HOLD = 0x7E51  # a tooth: answer now or not at all, push later
CONTROL = 0x7E52  # this is a control flow of the device; 4 bytes that HOLD refers to
AUDIT = 0x7E53  # what did you receive and send for these transactions?
CANCEL = 0x7E54  # do not push for these transactions any more
RECORD = 0x7E55  # one answer to AUDIT
PUSH = 0x7E56  # in an indication to a tooth: the push itself
WITNESS = 0x7E57  # in an indication to the control flow: a push was just sent
EARLIER = 0x7E58  # beside HOLD: rounds of pushes before the last one, ms
FETCH = 0x7E59  # send the copy of a datagram that came on a collecting tooth's binding
COPY = 0x7E5A  # one answer to FETCH
FORWARD = 0x7E5B  # does a port of my public address lead to a SIP device?
FORWARDED = 0x7E5C  # the answer to FORWARD
REFRESH = 0x7E5D  # beside HOLD: keep the NATs nearest to the reflector open meanwhile
BOOT_ID = 0xFE51  # 8 bytes drawn when the reflector started
TIME = 0xFE52  # the reflector's wall clock, milliseconds since 1970
RECEIVED = 0xFE53  # (TTL, DSCP) that the request had when it arrived

CHANGE_IP, CHANGE_PORT = 0x04, 0x02
ANY_PORT = 0x08  # in HOLD only: from a media port that the reflector draws, never contacted

COPY_PART = 768  # bytes of a copy in one answer: 1,024 characters of base64, below any MTU
SHORT_MAC = 16  # bytes; RFC 8489, 14.6 allows a truncated MESSAGE-INTEGRITY-SHA256 of 16
_IPV4, _IPV6 = 0x01, 0x02
_FINGERPRINT_XOR = 0x5354554E


class StunError(ValueError):
    """These bytes are no STUN message. *counter* names the reason, for statistics."""

    def __init__(self, counter, text):
        super().__init__(text)  # MicroPython has no ValueError.__init__
        self.counter = counter


class Hold:
    """What a tooth asks: answer now?, push after *delay* ms, *copies* times, from *source*.

    *source* is OR-ed of CHANGE_IP, CHANGE_PORT and ANY_PORT: 0 pushes from the endpoint asked.
    The delay counts from the reflector's last answer, or from the request if it must not answer.
    *tag*, 4 bytes, names the control flow that gets the witnesses: one with the same CONTROL.
    *collect*: keep a copy of whatever else comes on this binding, for FETCH. *reply*: answer real
    SIP on it as a server would, and keep copies of these answers as well. *reflect*: send back
    the media packets that come on it (natwatch.wire.media), until it is pushed or canceled.
    """

    def __init__(
        self, answer, delay, copies, source=0, tag=b"\0\0\0\0", collect=False, reply=False,
        reflect=False,
    ):  # fmt: skip
        self.answer = answer
        self.delay = delay
        self.copies = copies
        self.source = source
        self.tag = tag
        self.collect = collect
        self.reply = reply
        self.reflect = reflect


class Refresh:
    """Until the first push, one datagram each *every* ms whose IP TTL is *ttl*: it refreshes the
    first *ttl* NATs on its way and dies before the others. Also in that datagram itself."""

    def __init__(self, ttl, every):
        self.ttl = ttl
        self.every = every


class Fetch:
    """Which copy is wanted: the *index*-th (from 0) of the tooth *txid*, from byte *offset* on."""

    def __init__(self, txid, index, offset=0):
        self.txid = txid
        self.index = index
        self.offset = offset


class Copy:
    """A datagram as it arrived, or a part of it.

    The *index*-th of *count*, with its *ttl* and *dscp*; *total* bytes whose SHA-256 is *digest*.
    *text* is the base64 (no ALG touches that) of at most COPY_PART bytes from *offset* on. An
    *index* that is not below *count* has nothing: *total* is 0 and *text* empty.
    """

    def __init__(self, index, count, ttl=0, dscp=0, total=0, offset=0, digest=bytes(32), text=b""):
        self.index = index
        self.count = count
        self.ttl = ttl
        self.dscp = dscp
        self.total = total
        self.offset = offset
        self.digest = digest
        self.text = text


class Pushed:
    """A push, as seen in PUSH and WITNESS: copy *copy* of *copies*, sent after *idle* ms idle.

    Copies count from 1 in the last round; those of EARLIER rounds all have the number 0.
    """

    def __init__(self, txid, copy, copies, idle):
        self.txid = txid
        self.copy = copy
        self.copies = copies
        self.idle = idle


# Outcomes of a hold, as an audit tells them.
UNSEEN, HELD, PUSHED, CANCELED, STALE_NONCE, WRONG_ADDRESS, REFUSED = range(7)
OUTCOMES = ("unseen", "held", "pushed", "canceled", "stale nonce", "wrong address", "refused")


class Record:
    """What the reflector knows of one transaction: counts, last idle time (ms), mapped address.

    Of a reflecting tooth that was not pushed *idle* is how many media packets came.
    """

    def __init__(self, txid, outcome, requests=0, answers=0, copies=0, idle=0, mapped=None):
        self.txid = txid
        self.outcome = outcome
        self.requests = requests
        self.answers = answers
        self.copies = copies
        self.idle = idle
        self.mapped = mapped or ("0.0.0.0", 0)


class Forward:
    """The *port* of the requester's public address that is meant. *ask*: send OPTIONS to it,
    unless that was just done; else only tell."""

    def __init__(self, port, ask):
        self.port = port
        self.ask = ask


# States of a forward. REFUSED_… follow from the reflector's limits (docs/protocol.md).
NEVER_ASKED, UNDER_WAY, ANSWERED, SILENT = range(4)
REFUSED_PORT, REFUSED_PORTS, REFUSED_SOON, REFUSED_FULL = range(16, 20)
AGENT_MOST = 64  # characters of what a device calls itself, each one byte


class Forwarded:
    """What became of OPTIONS: *state*, copies *sent*, and of the answer the SIP *status*, the
    *source* and the *agent*, text of its Server or User-Agent (None: neither)."""

    def __init__(self, state, sent=0, status=0, source=None, agent=None):
        self.state = state
        self.sent = sent
        self.status = status
        self.source = source or ("0.0.0.0", 0)
        self.agent = agent


def _need(value, low, high, name):
    if not low <= len(value) <= high:
        raise StunError(
            "attribute_length",
            "%s: expected %d to %d bytes, found %d" % (name, low, high, len(value)),
        )


def _pack_address(value, _txid):
    packed = ip_bytes(value[0])
    family = _IPV4 if len(packed) == 4 else _IPV6
    return struct.pack(">BBH", 0, family, value[1]) + packed


def _unpack_address(value, _txid):
    _need(value, 8, 20, "address")
    _, family, port = struct.unpack(">BBH", value[:4])
    wanted = {_IPV4: 8, _IPV6: 20}.get(family)
    if wanted != len(value):
        raise StunError("attribute_length", "address: family %d in %d bytes" % (family, len(value)))
    return ip_text(value[4:]), port


def _xor(value, txid):
    mask = MAGIC_COOKIE[:2] + MAGIC_COOKIE + txid
    return value[:2] + bytes([value[i] ^ mask[i - 2] for i in range(2, len(value))])


def _pack_xor_address(value, txid):
    return _xor(_pack_address(value, txid), txid)


def _unpack_xor_address(value, txid):
    _need(value, 8, 20, "XOR address")
    return _unpack_address(_xor(value, txid), txid)


def _pack_text(value, _txid):
    return value.encode()


def _unpack_text(value, _txid):
    _need(value, 0, 763, "text")
    try:
        return bytes(value).decode()
    except (ValueError, UnicodeError):
        raise StunError("attribute_value", "text: expected UTF-8")


def _pack_bytes(value, _txid):
    return value


def _unpack_bytes(value, _txid):
    return bytes(value)


def _integer(size):
    form = {2: ">H", 4: ">I", 8: ">Q"}[size]

    def pack(value, _txid):
        return struct.pack(form, value)

    def unpack(value, _txid):
        _need(value, size, size, "integer")
        return struct.unpack(form, value)[0]

    return pack, unpack


def _pack_error(value, _txid):
    code, reason = value
    return struct.pack(">HBB", 0, code // 100, code % 100) + reason.encode()


def _unpack_error(value, _txid):
    _need(value, 4, 767, "ERROR-CODE")
    return (value[2] & 7) * 100 + value[3], _unpack_text(value[4:], _txid)


def _pack_types(value, _txid):
    return b"".join([struct.pack(">H", number) for number in value])


def _unpack_types(value, _txid):
    return [struct.unpack(">H", value[i : i + 2])[0] for i in range(0, len(value) - 1, 2)]


def _pack_txids(value, _txid):
    return b"".join(value)


def _unpack_txids(value, _txid):
    if len(value) % 12:
        raise StunError("attribute_length", "transactions: expected 12 bytes each")
    return [bytes(value[i : i + 12]) for i in range(0, len(value), 12)]


def _pack_hold(hold, _txid):
    flags = (1 if hold.answer else 0) | (2 if hold.collect else 0)
    flags |= (4 if hold.reflect else 0) | (8 if hold.reply else 0)
    return struct.pack(">BBBBI", flags, hold.source, hold.copies, 0, hold.delay) + hold.tag


def _unpack_hold(value, _txid):
    _need(value, 12, 12, "HOLD")
    flags, source, copies, _, delay = struct.unpack(">BBBBI", value[:8])
    tag = bytes(value[8:])
    collect, reflect, reply = [bool(flags & bit) for bit in (2, 4, 8)]
    return Hold(bool(flags & 1), delay, copies, source, tag, collect, reply, reflect)


def _pack_times(times, _txid):
    return b"".join([struct.pack(">I", time) for time in times])


def _unpack_times(value, _txid):
    if len(value) % 4:
        raise StunError("attribute_length", "times: expected 4 bytes each")
    return [struct.unpack(">I", value[i : i + 4])[0] for i in range(0, len(value), 4)]


def _pack_refresh(refresh, _txid):
    return struct.pack(">BBH", refresh.ttl, 0, refresh.every)


def _unpack_refresh(value, _txid):
    _need(value, 4, 4, "REFRESH")
    ttl, _, every = struct.unpack(">BBH", value)
    return Refresh(ttl, every)


def _pack_fetch(fetch, _txid):
    return fetch.txid + struct.pack(">BBH", fetch.index, 0, fetch.offset)


def _unpack_fetch(value, _txid):
    _need(value, 16, 16, "FETCH")
    index, _, offset = struct.unpack(">BBH", value[12:])
    return Fetch(bytes(value[:12]), index, offset)


def _pack_copy(copy, _txid):
    head = (copy.index, copy.count, copy.ttl, copy.dscp, copy.total, copy.offset)
    return struct.pack(">BBBBHH", *head) + copy.digest + copy.text


def _unpack_copy(value, _txid):
    _need(value, 40, 40 + (COPY_PART + 2) // 3 * 4, "COPY")
    index, count, ttl, dscp, total, offset = struct.unpack(">BBBBHH", value[:8])
    return Copy(index, count, ttl, dscp, total, offset, bytes(value[8:40]), bytes(value[40:]))


def _pack_forward(forward, _txid):
    return struct.pack(">HBB", forward.port, 1 if forward.ask else 0, 0)


def _unpack_forward(value, _txid):
    _need(value, 4, 4, "FORWARD")
    port, flags, _ = struct.unpack(">HBB", value)
    return Forward(port, bool(flags & 1))


def _pack_forwarded(told, _txid):
    agent = (told.agent or "").encode()[:AGENT_MOST]
    head = struct.pack(">BBHB", told.state, told.sent, told.status, len(agent))
    return head + agent + _pack_address(told.source, None)


def _unpack_forwarded(value, _txid):
    _need(value, 13, 25 + AGENT_MOST, "FORWARDED")
    state, sent, status, size = struct.unpack(">BBHB", value[:5])
    agent = _unpack_text(value[5 : 5 + size], None) if size else None
    return Forwarded(state, sent, status, _unpack_address(value[5 + size :], None), agent)


def _pack_received(received, _txid):
    return struct.pack(">BBH", received[0], received[1], 0)


def _unpack_received(value, _txid):
    _need(value, 4, 4, "RECEIVED")
    return value[0], value[1]


def _pack_push(push, _txid):
    return struct.pack(">BBHI", push.copy, push.copies, 0, push.idle)


def _unpack_push(value, txid):
    _need(value, 8, 8, "PUSH")
    copy, copies, _, idle = struct.unpack(">BBHI", value)
    return Pushed(txid, copy, copies, idle)


def _pack_witness(push, _txid):
    return push.txid + _pack_push(push, None)


def _unpack_witness(value, _txid):
    _need(value, 20, 20, "WITNESS")
    return _unpack_push(value[12:], bytes(value[:12]))


def _pack_record(record, _txid):
    counts = (record.outcome, min(record.requests, 255), min(record.answers, 255), record.copies)
    return (
        record.txid
        + struct.pack(">BBBB", *counts)
        + struct.pack(">I", min(record.idle, 0xFFFFFFFF))
        + _pack_address(record.mapped, None)
    )


def _unpack_record(value, _txid):
    _need(value, 28, 40, "RECORD")
    outcome, requests, answers, copies, idle = struct.unpack(">BBBBI", value[12:20])
    if outcome >= len(OUTCOMES):
        raise StunError("attribute_value", "RECORD: unknown outcome %d" % outcome)
    mapped = _unpack_address(value[20:], None)
    return Record(bytes(value[:12]), outcome, requests, answers, copies, idle, mapped)


_ADDRESS = (_pack_address, _unpack_address)
_XOR_ADDRESS = (_pack_xor_address, _unpack_xor_address)
_TEXT = (_pack_text, _unpack_text)
_BYTES = (_pack_bytes, _unpack_bytes)
_TXIDS = (_pack_txids, _unpack_txids)

ATTRIBUTES = {
    MAPPED_ADDRESS: ("MAPPED-ADDRESS", _ADDRESS),
    CHANGE_REQUEST: ("CHANGE-REQUEST", _integer(4)),
    SOURCE_ADDRESS: ("SOURCE-ADDRESS", _ADDRESS),
    CHANGED_ADDRESS: ("CHANGED-ADDRESS", _ADDRESS),
    USERNAME: ("USERNAME", _TEXT),
    MESSAGE_INTEGRITY: ("MESSAGE-INTEGRITY", _BYTES),
    ERROR_CODE: ("ERROR-CODE", (_pack_error, _unpack_error)),
    UNKNOWN_ATTRIBUTES: ("UNKNOWN-ATTRIBUTES", (_pack_types, _unpack_types)),
    REALM: ("REALM", _TEXT),
    NONCE: ("NONCE", _BYTES),
    MESSAGE_INTEGRITY_SHA256: ("MESSAGE-INTEGRITY-SHA256", _BYTES),
    XOR_MAPPED_ADDRESS: ("XOR-MAPPED-ADDRESS", _XOR_ADDRESS),
    PRIORITY: ("PRIORITY", _integer(4)),
    USE_CANDIDATE: ("USE-CANDIDATE", _BYTES),
    PADDING: ("PADDING", _BYTES),
    RESPONSE_PORT: ("RESPONSE-PORT", _BYTES),
    HOLD: ("HOLD", (_pack_hold, _unpack_hold)),
    CONTROL: ("CONTROL", _BYTES),
    AUDIT: ("AUDIT", _TXIDS),
    CANCEL: ("CANCEL", _TXIDS),
    RECORD: ("RECORD", (_pack_record, _unpack_record)),
    PUSH: ("PUSH", (_pack_push, _unpack_push)),
    WITNESS: ("WITNESS", (_pack_witness, _unpack_witness)),
    EARLIER: ("EARLIER", (_pack_times, _unpack_times)),
    FETCH: ("FETCH", (_pack_fetch, _unpack_fetch)),
    COPY: ("COPY", (_pack_copy, _unpack_copy)),
    FORWARD: ("FORWARD", (_pack_forward, _unpack_forward)),
    FORWARDED: ("FORWARDED", (_pack_forwarded, _unpack_forwarded)),
    REFRESH: ("REFRESH", (_pack_refresh, _unpack_refresh)),
    SOFTWARE: ("SOFTWARE", _TEXT),
    ALTERNATE_SERVER: ("ALTERNATE-SERVER", _ADDRESS),
    CACHE_TIMEOUT: ("CACHE-TIMEOUT", _integer(4)),
    FINGERPRINT: ("FINGERPRINT", _integer(4)),
    ICE_CONTROLLED: ("ICE-CONTROLLED", _integer(8)),
    RESPONSE_ORIGIN: ("RESPONSE-ORIGIN", _ADDRESS),
    OTHER_ADDRESS: ("OTHER-ADDRESS", _ADDRESS),
    BOOT_ID: ("BOOT-ID", _BYTES),
    TIME: ("TIME", _integer(8)),
    RECEIVED: ("RECEIVED", (_pack_received, _unpack_received)),
}


class Message:
    """A parsed message. *cookie* is MAGIC_COOKIE, or the first 4 bytes of a classic 16-byte id."""

    def __init__(self, klass, method, cookie, txid, data):
        self.klass = klass
        self.method = method
        self.cookie = cookie
        self.txid = txid
        self.data = data
        self.spans = []  # (type, start, end) of each attribute's value, in order
        self.unknown = []  # comprehension-required types that no row of the table knows

    def get(self, number, default=None):
        """The value of the first attribute *number*, or *default*. Raises StunError."""
        for kind, start, end in self.spans:
            if kind == number:
                return ATTRIBUTES[number][1][1](self.data[start:end], self.txid)
        return default

    def get_all(self, number: int) -> list:
        """The values of every attribute *number*, in order. Raises StunError."""
        unpack = ATTRIBUTES[number][1][1]
        return [
            unpack(self.data[start:end], self.txid)
            for kind, start, end in self.spans
            if kind == number
        ]

    def has(self, number: int) -> bool:
        """Whether an attribute *number* stands in the message."""
        for kind, _, _ in self.spans:
            if kind == number:
                return True
        return False

    def authentic(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY-SHA256 (RFC 8489, 14.6) is there and holds under *key*."""
        for kind, start, end in self.spans:
            if kind == MESSAGE_INTEGRITY_SHA256:
                size = end - start
                if not SHORT_MAC <= size <= 32 or size % 4:
                    return False
                covered = integrity_input(self.data, start - 4, size)
                return same(hmac_sha256(key, covered)[:size], bytes(self.data[start:end]))
        return False


def integrity_input(data: bytes, offset: int, size: int) -> bytes:
    """What a MAC of *size* bytes in the attribute at *offset* covers (RFC 8489, 14.5).

    All that precedes it, with the header's length as if the message ended with the MAC.
    """
    length = offset + 4 + size - 20
    return bytes(data[:2]) + struct.pack(">H", length) + bytes(data[4:offset])


def parse(data: bytes) -> Message:
    """The Message in *data* (bytes). Raises StunError with a counter name and a sentence.

    After MESSAGE-INTEGRITY-SHA256 only FINGERPRINT counts (RFC 8489, 14.6): what a stranger
    appends behind the MAC is ignored. A wrong FINGERPRINT raises.
    """
    if len(data) < 20:
        raise StunError("short", "expected 20 bytes or more, found %d" % len(data))
    if len(data) > MAX_BYTES:
        raise StunError("huge", "expected at most %d bytes, found %d" % (MAX_BYTES, len(data)))
    total = len(data)
    kind, length = struct.unpack(">HH", data[:4])
    if kind & 0xC000:
        raise StunError("not_stun", "expected the two highest bits 0, found 0x%04x" % kind)
    if length % 4 or 20 + length != len(data):
        raise StunError("length", "header says %d bytes, found %d" % (length, len(data) - 20))
    klass = ((kind >> 7) & 2) | ((kind >> 4) & 1)
    method = (kind & 0xF) | ((kind >> 1) & 0x70) | ((kind >> 2) & 0xF80)
    message = Message(klass, method, bytes(data[4:8]), bytes(data[8:20]), data)
    offset, sealed = 20, False
    while offset < total:
        number, size = struct.unpack_from(">HH", data, offset)
        start, end = offset + 4, offset + 4 + size
        following = (end + 3) & ~3
        if following > total:
            raise StunError(
                "attribute_length",
                "attribute 0x%04x: expected %d bytes, found %d"
                % (number, following - start, len(data) - start),
            )
        if number == FINGERPRINT:
            _check_fingerprint(data, offset, size)
            sealed = True
        elif not sealed:
            message.spans.append((number, start, end))
            if number < 0x8000 and number not in ATTRIBUTES:
                message.unknown.append(number)
            sealed = number == MESSAGE_INTEGRITY_SHA256
        offset = following
    return message


def _check_fingerprint(data, offset, size):
    if size != 4 or offset + 8 != len(data):
        raise StunError("fingerprint", "FINGERPRINT: expected 4 bytes at the very end")
    found = struct.unpack(">I", data[offset + 4 : offset + 8])[0]
    if (binascii.crc32(bytes(data[:offset])) & 0xFFFFFFFF) ^ _FINGERPRINT_XOR != found:
        raise StunError("fingerprint", "FINGERPRINT does not match the message")


def build(klass, txid, attributes, key=None, mac=SHORT_MAC, cookie=MAGIC_COOKIE, fingerprint=True):
    """The bytes of a Binding message.

    *attributes* is a list of (number, value); *key* adds MESSAGE-INTEGRITY-SHA256 of *mac*
    bytes. A classic message (another *cookie*) takes neither key nor fingerprint.
    """
    parts = []
    for number, value in attributes:
        packed = ATTRIBUTES[number][1][0](value, txid)
        parts.append(struct.pack(">HH", number, len(packed)) + packed + bytes(-len(packed) % 4))
    body = b"".join(parts)
    kind = BINDING | (klass & 1) << 4 | (klass & 2) << 7
    if key is not None:
        # Built with the length that the MAC must cover, then sealed.
        head = struct.pack(">HH", kind, len(body) + 4 + mac) + cookie + txid
        digest = hmac_sha256(key, head + body)[:mac]
        body += struct.pack(">HH", MESSAGE_INTEGRITY_SHA256, mac) + digest
    if not fingerprint:
        return struct.pack(">HH", kind, len(body)) + cookie + txid + body
    message = struct.pack(">HH", kind, len(body) + 8) + cookie + txid + body
    crc = (binascii.crc32(message) & 0xFFFFFFFF) ^ _FINGERPRINT_XOR
    return message + struct.pack(">HHI", FINGERPRINT, 4, crc)

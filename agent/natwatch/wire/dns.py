"""DNS messages as values, as far as a probe that asks for A and SRV needs them: RFC 1035, 2782.

Names are letters, digits, hyphens and underscores in labels of up to 63, at most 253 characters
in all. There is no IDN here: such a name is written in its ASCII form (``xn--…``, RFC 5890), which
is what a SIP account holds. Names in answers are held to the same letters, come in lower case, and
the root is ``.``.

A query has no EDNS (RFC 6891), which some home routers drop; an answer then has at most 512 bytes
(RFC 1035, 4.2.1), and one that did not fit says so: ``truncated``.
"""

import struct

from natwatch.wire.ip import ip_text

A, CNAME, SRV = 1, 5, 33
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
MAX_BYTES = 2048  # four times what may come; our sockets read no more

_HEADER = 12
_IN = 1
_POINTERS = 16  # in one name; a compressed one needs one
_ALIASES = 16  # CNAMEs one after another; resolvers follow 8 to 16
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"


class DnsError(ValueError):
    """These bytes are no answer, or this name is none. *counter* names the reason."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


class Answer:
    """A parsed answer to one question, ``(name, type)``.

    ``records`` and ``additional`` are [(name, type, ttl, value)] of the types A (an address),
    CNAME (a name) and SRV ((priority, weight, port, target)); others are left out. ``lame``: the
    server neither knows nor looks up (no AA, no RA), so what is missing here may exist.
    """

    def __init__(self, ident, rcode, truncated, lame, question):
        self.ident = ident
        self.rcode = rcode
        self.truncated = truncated
        self.lame = lame
        self.question = question
        self.records = []
        self.additional = []

    def values(self):
        """[(ttl, value)] of what was asked for, CNAMEs followed.

        The TTL is the least of the record's and of the aliases' that lead to it. Raises DnsError
        where the aliases do not end.
        """
        name, kind = self.question
        return _find(self.records, name, kind)

    def addresses(self, name: str) -> list:
        """[(ttl, address)] of *name* as the answer mentions them beside what was asked."""
        return _find(self.records + self.additional, name.lower(), A)


def _find(records, name, kind):
    least = None
    for _ in range(_ALIASES):
        found = [(ttl, value) for owner, k, ttl, value in records if (owner, k) == (name, kind)]
        aliases = [(ttl, value) for owner, k, ttl, value in records if (owner, k) == (name, CNAME)]
        if found or not aliases:
            return [(ttl if least is None else min(ttl, least), value) for ttl, value in found]
        ttl, name = aliases[0]
        least = ttl if least is None else min(ttl, least)
    raise DnsError("aliases", "expected at most %d CNAMEs in a row, found more" % (_ALIASES - 1))


def query(ident: int, name: str, kind: int) -> bytes:
    """A query with recursion desired, *ident* 0 to 65535, for A or SRV. Raises DnsError: name."""
    head = struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0)
    return head + _pack_name(name) + struct.pack(">HH", kind, _IN)


def rcode_text(rcode: int) -> str:
    """The name of an *rcode* (RFC 1035, 4.1.1)."""
    return RCODES[rcode] if rcode < len(RCODES) else "RCODE %d" % rcode


def _pack_name(name):
    text = name[:-1] if name.endswith(".") else name
    if not 0 < len(text) <= 253:
        raise DnsError("name", "expected a name of 1 to 253 characters, found %d" % len(text))
    packed = b""
    for label in text.split("."):
        if not 0 < len(label) <= 63 or not _plain(label.lower()):
            raise DnsError(
                "name",
                "expected 1 to 63 letters, digits, hyphens or underscores between dots, found %r"
                % label[:70],
            )
        packed += bytes([len(label)]) + label.encode()
    return packed + b"\0"


def _plain(label):
    return not [letter for letter in label if letter not in _LETTERS]


def parse(data: bytes) -> Answer:
    """The Answer in *data* (bytes). Raises DnsError with a counter name and a sentence.

    A truncated answer has what it has; in any other a missing byte raises. What stands behind the
    last record is ignored.
    """
    if len(data) > MAX_BYTES:
        raise DnsError("huge", "expected at most %d bytes, found %d" % (MAX_BYTES, len(data)))
    _need(data, 0, _HEADER)
    ident, flags, questions, *counts = struct.unpack(">HHHHHH", data[:_HEADER])
    if flags & 0xF800 != 0x8000:
        raise DnsError("not_answer", "expected an answer to a query, found flags 0x%04x" % flags)
    if questions != 1:
        raise DnsError("question", "expected one question, found %d" % questions)
    name, offset = _unpack_name(data, _HEADER)
    _need(data, offset, 4)
    kind, klass = struct.unpack(">HH", data[offset : offset + 4])
    if klass != _IN:
        raise DnsError("question", "expected a question of class IN, found %d" % klass)
    answer = Answer(ident, flags & 15, bool(flags & 0x0200), not flags & 0x0480, (name, kind))
    try:
        _unpack_sections(data, offset + 4, counts, answer)
    except DnsError as error:
        if not (answer.truncated and error.counter == "short"):
            raise
    return answer


def _unpack_sections(data, offset, counts, answer):
    for section, count in zip((answer.records, [], answer.additional), counts):
        for _ in range(count):
            record, offset = _unpack_record(data, offset)
            if record is not None:
                section.append(record)


def _unpack_record(data, offset):
    """(record or None, the offset behind it)."""
    name, offset = _unpack_name(data, offset)
    _need(data, offset, 10)
    kind, klass, ttl, size = struct.unpack(">HHIH", data[offset : offset + 10])
    start, end = offset + 10, offset + 10 + size
    _need(data, start, size)
    if klass != _IN or kind not in (A, CNAME, SRV):
        return None, end
    ttl = 0 if ttl & 0x80000000 else ttl  # RFC 2181, section 8
    return (name, kind, ttl, _unpack_value(data, kind, start, end)), end


def _unpack_value(data, kind, start, end):
    if kind == A:
        if end - start != 4:
            raise DnsError("value", "A: expected 4 bytes, found %d" % (end - start))
        return ip_text(data[start:end])
    fixed = 6 if kind == SRV else 0
    # RFC 2782 forbids compression here; some servers compress all the same.
    target, after = _unpack_name(data, start + fixed)
    if after != end:
        text = "type %d: expected a name that ends at byte %d, found one that ends at %d"
        raise DnsError("value", text % (kind, end, after))
    if kind == CNAME:
        return target
    return struct.unpack(">HHH", data[start : start + 6]) + (target,)


def _unpack_name(data, start):
    """(name, the offset behind it). A pointer leads to before all that was read of the name, so
    that no chain of them ends where it began (RFC 1035, 4.1.4: "a prior occurrence")."""
    labels, size, pointers, after = [], 1, 0, None
    offset = start
    while True:
        _need(data, offset, 1)
        length = data[offset]
        if length >= 0xC0:
            _need(data, offset, 2)
            target = (length & 0x3F) << 8 | data[offset + 1]
            after = offset + 2 if after is None else after
            pointers += 1
            if not _HEADER <= target < start or pointers > _POINTERS:
                text = "expected a pointer to bytes %d to %d, at most %d in a name, found one to %d"
                raise DnsError("pointer", text % (_HEADER, start - 1, _POINTERS, target))
            offset = start = target
            continue
        if length > 63:
            raise DnsError("label", "expected a label or a pointer, found 0x%02x" % length)
        offset += 1
        if length == 0:
            return ".".join(labels) or ".", offset if after is None else after
        _need(data, offset, length)
        size += length + 1
        if size > 255:
            raise DnsError("name", "expected a name of at most 255 bytes, found more")
        labels.append(_unpack_label(data[offset : offset + length]))
        offset += length


def _unpack_label(octets):
    try:
        label = bytes(octets).decode().lower()
    except (ValueError, UnicodeError):
        label = "?"
    if not _plain(label):
        text = "expected letters, digits, hyphens and underscores, found %r"
        raise DnsError("name", text % bytes(octets))
    return label


def _need(data, offset, size):
    if offset + size > len(data):
        text = "expected %d bytes at byte %d, found %d"
        raise DnsError("short", text % (size, offset, max(0, len(data) - offset)))

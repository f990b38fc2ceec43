"""The records of the spool's files: bytes <-> values. docs/spool.md has the format.

    0xff, type (1 byte), length of the body (4), CRC-32 of type, length and body (4), body

Numbers are big-endian. 0xff is in no UTF-8 text, so that a reader finds the next record behind
a torn or garbled one: it looks for the mark, and the CRC decides.
"""

import json
import struct
from binascii import crc32

from natwatch.wire.telemetry import valid_boot

REPORT = 0x52  # R
ACK = 0x41  # A
STATE = 0x53  # S
HEAD = 10
MOST = 1 << 17  # bytes of a body; a report has at most telemetry.MAX_BYTES and its name
_MARK = b"\xff"
_REPORT_HEAD = ">8sIQBB"  # boot, run, seq, urgent, length of kind
_REPORT_SIZE = 22


def _framed(kind, body):
    head = struct.pack(">BI", kind, len(body))
    return _MARK + head + struct.pack(">I", crc32(body, crc32(head))) + body


def report(boot, run, seq, kind, urgent, payload):
    """The record of one report; *boot* is 16 hex digits, *payload* its envelope's bytes."""
    kind = kind.encode()
    head = struct.pack(_REPORT_HEAD, bytes.fromhex(boot), run, seq, 1 if urgent else 0, len(kind))
    return _framed(REPORT, head + kind + payload)


def read_report(body):
    """(boot, run, seq, kind, urgent, payload) of a report's *body*. Raises ValueError."""
    if len(body) < _REPORT_SIZE:
        raise ValueError("expected a report, found %d bytes" % len(body))
    boot, run, seq, urgent, length = struct.unpack(_REPORT_HEAD, body[:_REPORT_SIZE])
    start = _REPORT_SIZE + length
    kind = body[_REPORT_SIZE:start].decode()
    if len(body) < start or not kind or seq < 1:
        raise ValueError("expected a report's kind, found %r" % kind)
    return boot.hex(), run, seq, kind, urgent == 1, body[start:]


def ack(boot, ranges):
    """The record of an acknowledgement: the reports in *ranges*, (first, last), are stored."""
    return _framed(ACK, bytes.fromhex(boot) + b"".join(struct.pack(">QQ", *r) for r in ranges))


def read_ack(body):
    """(boot, [(first, last), …]). Raises ValueError."""
    if len(body) < 8 or (len(body) - 8) % 16:
        raise ValueError("expected an acknowledgement, found %d bytes" % len(body))
    ranges = [struct.unpack(">QQ", body[at : at + 16]) for at in range(8, len(body), 16)]
    return body[:8].hex(), ranges


def state(values):
    """The record of the spool's own state, a dict with the fields that read_state() checks."""
    return _framed(STATE, json.dumps(values).encode())


def _count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def read_state(body):
    """The dict in a state's *body*. Raises ValueError."""
    value = json.loads(body)
    good = isinstance(value, dict) and valid_boot(value.get("boot"))
    good = good and not [f for f in ("run", "seq", "first") if not _count(value.get(f))]
    good = good and isinstance(value.get("left"), int) and isinstance(value.get("closed"), bool)
    dropped = value.get("dropped") if good else None
    if not isinstance(dropped, dict) or [k for k in dropped if not _count(dropped[k])]:
        raise ValueError("expected the spool's state")
    return value


def records(data):
    """(type, offset, size, body) of each whole record in *data*, in order."""
    at = data.find(_MARK)
    while at >= 0:
        body = _body(data, at)
        if body is None:
            at = data.find(_MARK, at + 1)
        else:
            yield data[at + 1], at, HEAD + len(body), body
            at = data.find(_MARK, at + HEAD + len(body))


def _body(data, at):
    if len(data) < at + HEAD:
        return None
    length, crc = struct.unpack(">II", data[at + 2 : at + HEAD])
    if length > MOST or len(data) < at + HEAD + length:
        return None
    body = data[at + HEAD : at + HEAD + length]
    return body if crc32(body, crc32(data[at + 1 : at + 6])) == crc else None

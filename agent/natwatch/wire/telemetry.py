"""The envelope in which a device reports, and the range acknowledgement that answers it.

One report is one JSON object of at most a kibibyte or so:

    {"v":1,"boot":"9f…16 hex digits","seq":881,"t":1700000000.5,"tq":"ntp","mono":123.4,
     "kind":"lifetime","data":{…}}

``boot`` is drawn at each start, ``seq`` counts within it: (device, boot, seq) names a report
for ever. ``t`` is wall time in seconds or null, ``tq`` says where it came from, ``mono`` is
seconds since the agent started. ``"late":true`` stands in what an earlier start of the device
made (its ``boot`` and ``mono``) and the present one sends. An acknowledgement is
``{"boot":"…","ranges":[[870,881]]}``.

MicroPython 1.23 and 1.25 accept truncated JSON, so every field is checked after parsing.
"""

import json

VERSION = 1
TIME_QUALITIES = ("ntp", "reflector", "est", "none")
MAX_BYTES = 65536
_HEX = "0123456789abcdef"


class Envelope:
    """One report. *boot* is 16 hex digits, *seq* counts from 1, *t* is seconds or None, *late*:
    made by an earlier start.
    """

    def __init__(self, boot, seq, t, tq, mono, kind, data, late=False):
        self.boot = boot
        self.seq = seq
        self.t = t
        self.tq = tq
        self.mono = mono
        self.kind = kind
        self.data = data
        self.late = late


def _is_int(value, low, high):
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value):
    # value == value is false for NaN only; the bounds exclude both infinities.
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and value == value
        and -1e15 < value < 1e15
    )


def valid_boot(boot: object) -> bool:
    """Whether *boot* is 16 lower-case hex digits."""
    return isinstance(boot, str) and len(boot) == 16 and all(c in _HEX for c in boot)


def load_object(payload: bytes) -> dict:
    """The JSON object in *payload* (bytes), as a dict. Raises ValueError with one sentence."""
    if len(payload) > MAX_BYTES:
        raise ValueError("expected at most %d bytes, found %d" % (MAX_BYTES, len(payload)))
    try:
        value = json.loads(payload)
    except (ValueError, RuntimeError, MemoryError):  # RuntimeError: CPython's RecursionError
        raise ValueError("expected a JSON object, found bytes that are not JSON")
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object, found %s" % type(value).__name__)
    return value


def encode(envelope: Envelope) -> bytes:
    """The bytes of *envelope*."""
    return json.dumps(
        {
            "v": VERSION,
            "boot": envelope.boot,
            "seq": envelope.seq,
            "t": envelope.t,
            "tq": envelope.tq,
            "mono": envelope.mono,
            "kind": envelope.kind,
            "data": envelope.data,
        }
    ).encode()


def decode(payload: bytes) -> Envelope:
    """The Envelope in *payload* (bytes). Raises ValueError with one sentence naming the field."""
    value = load_object(payload)
    if value.get("v") != VERSION:
        raise ValueError("field v: expected %d, found %r" % (VERSION, value.get("v")))
    kind = value.get("kind")
    checks = (
        ("boot", valid_boot(value.get("boot")), "16 lower-case hex digits"),
        ("seq", _is_int(value.get("seq"), 1, 2**53), "an integer from 1"),
        ("t", value.get("t", 0) is None or _is_number(value.get("t")), "seconds or null"),
        ("tq", value.get("tq") in TIME_QUALITIES, "one of ntp, reflector, est, none"),
        ("mono", _is_number(value.get("mono")) and value["mono"] >= 0, "seconds from 0"),
        ("kind", isinstance(kind, str) and 0 < len(kind) <= 32, "a short string"),
        ("data", isinstance(value.get("data"), dict), "an object"),
    )
    for field, good, expected in checks:
        if not good:
            found = value.get(field)
            raise ValueError("field %s: expected %s, found %r" % (field, expected, found))
    return Envelope(
        value["boot"],
        value["seq"],
        value["t"],
        value["tq"],
        value["mono"],
        kind,
        value["data"],
        value.get("late") is True,
    )


def encode_ack(boot: str, ranges: list) -> bytes:
    """The bytes of an acknowledgement; *ranges* is a list of (first, last), both included."""
    return json.dumps({"boot": boot, "ranges": [[first, last] for first, last in ranges]}).encode()


def decode_ack(payload: bytes) -> tuple:
    """(boot, [(first, last), …]) of an acknowledgement. Raises ValueError with one sentence."""
    value = load_object(payload)
    boot = value.get("boot")
    if not valid_boot(boot):
        raise ValueError("field boot: expected 16 lower-case hex digits, found %r" % (boot,))
    ranges = value.get("ranges")
    if not isinstance(ranges, list):
        raise ValueError("field ranges: expected a list of [first, last], found %r" % (ranges,))
    pairs = []
    for pair in ranges:
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not _is_int(pair[0], 1, 2**53)
            or not _is_int(pair[1], pair[0], 2**53)
        ):
            text = "field ranges: expected [first, last] with first <= last, found %r"
            raise ValueError(text % (pair,))
        pairs.append((pair[0], pair[1]))
    return boot, pairs


def ranges_of(numbers) -> list:
    """Sorted, gap-free [(first, last), …] that cover exactly the integers in *numbers*."""
    ranges = []
    for number in sorted(numbers):
        if ranges and number <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges

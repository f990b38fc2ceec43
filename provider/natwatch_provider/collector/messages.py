"""Bytes from a topic to checked values. Pure: what is wrong raises Rejected, by reason."""

import json
from dataclasses import dataclass
from typing import Any

from natwatch.wire import auth, telemetry

CLASSES = ("udp/sip", "udp/stun", "udp/rtp")
STATES = ("oneway", "replied", "stream", "refreshed")
METHODS = ("comb", "refined", "watch", "confirm")
KINDS = ("report", "event", "health", "reply")  # topics that carry an envelope
MAX_S = 7 * 86400.0  # no binding and no search is longer
MAX_COUNT = 2**31 - 1  # what an integer column holds


class Rejected(Exception):
    """One message or part of it that is not as it should be. *reason*: of counts.REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Message:
    """One message as it came. *received*: UTC seconds."""

    topic: str
    payload: bytes
    received: float


@dataclass(frozen=True)
class Presence:
    """A birth (*online*) or a will. *version*, *interpreter* and *mono* are a birth's."""

    device: str
    received: float
    online: bool
    boot: str
    conn: int
    version: str = ""
    interpreter: str = ""
    mono: float = 0.0


@dataclass(frozen=True)
class Report:
    """One envelope. *text* is its data as ASCII JSON, which is stored whatever it holds."""

    device: str
    received: float
    boot: str
    seq: int
    t: float | None
    tq: str
    mono: float
    kind: str
    data: dict[str, Any]
    text: str


@dataclass(frozen=True)
class Lifetime:
    """The data of a report of kind "lifetime", checked. Durations in seconds."""

    measurement: int
    port_class: str
    state: str
    lo: float | None
    hi: float | None
    reason: str | None
    method: str
    alive: int
    expired: int
    unknown: int
    seconds: float
    bindings: int
    bytes: int
    period: float | None
    gateway: str | None
    public: str | None


def device_of(topic: str) -> str:
    """The device level of *topic*, for a log line; it may be anything."""
    levels = topic.split("/")
    return levels[1] if len(levels) > 1 else topic


def parse(message: Message) -> Report | Presence:
    """The value in *message*. Who sent it is the topic's device level, which the broker checked
    against the certificate, and nothing else. Raises Rejected.
    """
    levels = message.topic.split("/")
    if len(levels) != 4 or levels[0] != "natwatch" or levels[2] != "up":
        raise Rejected("unknown_topic", message.topic)
    device, kind = levels[1], levels[3]
    if not auth.valid_device_id(device):
        raise Rejected("bad_device", device)
    if kind != "state" and kind not in KINDS:
        raise Rejected("unknown_topic", message.topic)
    if len(message.payload) > telemetry.MAX_BYTES:
        raise Rejected("too_big", f"{len(message.payload)} bytes")
    try:
        return _presence(device, message) if kind == "state" else _report(device, message)
    except RecursionError:
        raise Rejected("not_json", "expected a JSON object, found one nested too deeply") from None


def _presence(device: str, message: Message) -> Presence:
    value = _object(message.payload)
    online, boot, conn = value.get("online"), value.get("boot"), value.get("conn")
    _expect("bad_state", "online", isinstance(online, bool), "true or false", online)
    _expect("bad_state", "boot", telemetry.valid_boot(boot), "16 lower-case hex digits", boot)
    _expect("bad_state", "conn", _is_count(conn, 2**53), "a whole number from 0", conn)
    if not online:
        return Presence(device, message.received, False, str(boot), int(conn or 0))
    for field in ("version", "interpreter"):
        text = value.get(field)
        _expect("bad_state", field, _is_text(text, 32), "a text of 1 to 32 characters", text)
    mono = value.get("mono")
    _expect("bad_state", "mono", _is_seconds(mono, 1e10), "seconds from 0", mono)
    return Presence(
        device,
        message.received,
        True,
        str(boot),
        int(conn or 0),
        value["version"],
        value["interpreter"],
        float(value["mono"]),
    )


def _report(device: str, message: Message) -> Report:
    try:
        envelope = telemetry.decode(message.payload)
    except ValueError as error:
        _object(message.payload)  # says so where it is not even JSON
        raise Rejected("bad_envelope", str(error)) from None
    if not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_" for c in envelope.kind):
        raise Rejected("bad_envelope", f"field kind: expected a word, found {envelope.kind!r}")
    try:
        text = json.dumps(envelope.data, allow_nan=False)
    except ValueError:
        raise Rejected("bad_envelope", "field data: expected JSON, found NaN or Infinity") from None
    return Report(
        device,
        message.received,
        envelope.boot,
        envelope.seq,
        envelope.t,
        envelope.tq,
        envelope.mono,
        envelope.kind,
        envelope.data,
        text,
    )


def lifetime(data: dict[str, Any]) -> Lifetime:
    """The lifetime in a report's *data*. Raises Rejected naming the field.

    A field not named here is a newer agent's, and no fault.
    """
    check = _Fields(data)
    context = data.get("context")
    if not isinstance(context, dict):
        raise Rejected("bad_lifetime", f"field context: expected an object, found {context!r}")
    places = _Fields(context)
    value = Lifetime(
        measurement=check.count("id", 2**53),
        port_class=check.one_of("class", CLASSES),
        state=check.one_of("state", STATES),
        lo=check.seconds_or_none("lo"),
        hi=check.seconds_or_none("hi"),
        reason=check.text_or_none("reason", 256),
        method=check.one_of("method", METHODS),
        alive=check.count("alive"),
        expired=check.count("expired"),
        unknown=check.count("unknown"),
        seconds=check.seconds("seconds"),
        bindings=check.count("bindings"),
        bytes=check.count("bytes", 2**53),
        period=check.seconds_or_none("period"),
        gateway=places.text_or_none("gateway", 64),
        public=places.text_or_none("public", 64),
    )
    if value.hi is not None and (value.lo is None or value.lo >= value.hi):
        raise Rejected("bad_lifetime", f"field hi: expected more than lo, found {value.hi!r}")
    return value


class _Fields:
    """The fields of one JSON object, each taken with its check."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def one_of(self, field: str, allowed: tuple[str, ...]) -> str:
        value = self._data.get(field)
        _expect("bad_lifetime", field, value in allowed, "one of " + ", ".join(allowed), value)
        return str(value)

    def count(self, field: str, most: int = MAX_COUNT) -> int:
        value = self._data.get(field)
        _expect("bad_lifetime", field, _is_count(value, most), "a whole number from 0", value)
        return int(value or 0)

    def seconds(self, field: str) -> float:
        value = self._data.get(field)
        _expect("bad_lifetime", field, _is_seconds(value, MAX_S), "seconds from 0", value)
        return float(value or 0)

    def seconds_or_none(self, field: str) -> float | None:
        return None if self._data.get(field) is None else self.seconds(field)

    def text_or_none(self, field: str, most: int) -> str | None:
        value = self._data.get(field)
        if value is None:
            return None
        expected = f"null or a text of 1 to {most} characters"
        _expect("bad_lifetime", field, _is_text(value, most), expected, value)
        return str(value)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value: dict[str, Any] = telemetry.load_object(payload)
    except ValueError as error:
        raise Rejected("not_json", str(error)) from None
    return value


def _expect(reason: str, field: str, good: bool, expected: str, found: object) -> None:
    if not good:
        raise Rejected(reason, f"field {field}: expected {expected}, found {found!r:.80}")


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_seconds(value: object, most: float) -> bool:
    # NaN and both infinities fail the comparison
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()

"""Bytes from a topic to checked values. Pure: what is wrong raises Rejected, by reason."""

import json
from dataclasses import dataclass
from typing import Any

from natwatch.wire import auth, telemetry

from .fields import Fields, Rejected

KINDS = ("report", "event", "health", "reply")  # topics that carry an envelope


@dataclass(frozen=True)
class Message:
    """One message as it came. *received*: UTC seconds."""

    topic: str
    payload: bytes
    received: float


@dataclass(frozen=True)
class Presence:
    """A birth (*online*) or a will; all behind *conn* is a birth's. *unclean*: the start before
    did not end cleanly, None where nobody knows; *last_boot*, *last_seq*: what it had on disk.
    """

    device: str
    received: float
    online: bool
    boot: str
    conn: int
    version: str = ""
    interpreter: str = ""
    mono: float = 0.0
    unclean: bool | None = None
    last_boot: str | None = None
    last_seq: int = 0


@dataclass(frozen=True)
class Report:
    """One envelope. *text* is its data as ASCII JSON, which is stored whatever it holds; *late*:
    the device has started again since it was made.
    """

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
    late: bool = False


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
    fields = Fields(value, "bad_state")
    online = fields.flag("online")
    boot = value.get("boot")
    fields.expect("boot", telemetry.valid_boot(boot), "16 lower-case hex digits")
    conn = fields.count("conn", 2**53)
    if not online:
        return Presence(device, message.received, False, str(boot), conn)
    last = fields.object_or_none("last")
    last_boot = value["last"].get("boot") if last is not None else None
    if last is not None:
        last.expect("boot", telemetry.valid_boot(last_boot), "16 lower-case hex digits")
    return Presence(
        device,
        message.received,
        True,
        str(boot),
        conn,
        fields.text("version", 32),
        fields.text("interpreter", 32),
        fields.seconds("mono", 1e10),
        fields.flag_or_none("unclean"),
        last_boot,
        0 if last is None else last.count("seq", 2**53),
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
        envelope.late,
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value: dict[str, Any] = telemetry.load_object(payload)
    except ValueError as error:
        raise Rejected("not_json", str(error)) from None
    return value

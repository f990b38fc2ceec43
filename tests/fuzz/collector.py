"""The collector's parse() and the checks of every kind: what any device sends, or a thief.

The first byte chooses the topic, or that the topic is in the first line.
"""

import json

from natwatch.wire import telemetry
from natwatch_provider.collector import kinds, messages
from natwatch_provider.collector.fields import Rejected
from natwatch_provider.collector.messages import Message, Presence
from tests.provider.reports import LATEST

BOOT = "0123456789abcdef"
TOPICS = [f"natwatch/box-1/up/{kind}" for kind in ("report", "state", "event", "health", "reply")]
LIFETIME = {
    "class": "udp/sip", "state": "stream", "lo": 39.6, "hi": 40.4, "method": "refined", "id": 1,
    "reason": None, "alive": 5, "expired": 3, "unknown": 0, "seconds": 61.5, "bindings": 12,
    "bytes": 9000, "period": 40.0,
    "context": {"gateway": None, "public": "203.0.113.9", "local": None},
}  # fmt: skip


def report(kind: str, data: dict[str, object]) -> bytes:
    return bytes(telemetry.encode(telemetry.Envelope(BOOT, 5, None, "none", 12.5, kind, data)))


SEEDS = [b"\0" + report("lifetime", LIFETIME)]
SEEDS += [b"\0" + report(kind, data) for kind, data in LATEST.items()]
SEEDS += [
    b'\1{"online":true,"boot":"0123456789abcdef","conn":1,"version":"1","interpreter":"c","mono":1}',
    b'\1{"online":false,"boot":"0123456789abcdef","conn":1}',
    b"\5natwatch/box/up/report\n{}",
]
WORDS = [
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"1e400",
    b"NaN",
    b"-1",
    b'"\\ud800"',
    b'"class":',
    b'"lo":',
]
WORDS += [b'"kind":"layers"', b'"kind":"reach"', b'"kind":"check"', b"[[8500,8599]]", b"1.5", b'""']
WORDS += [b"1" * 400, b'"context":{}', b'"hi":null', b'"\\u0000"']


def one(data: bytes) -> None:
    if not data:
        return
    number, payload = data[0] % (len(TOPICS) + 1), data[1:]
    if number < len(TOPICS):
        topic = TOPICS[number]
    else:
        first, _, payload = payload.partition(b"\n")
        topic = first.decode("utf-8", "replace")
    try:
        found = messages.parse(Message(topic, payload, 1_700_000_000.0))
        if isinstance(found, Presence):
            assert telemetry.valid_boot(found.boot) and 0 <= found.conn <= 2**53
            return
        assert found.text.isascii() and json.loads(found.text) == found.data
        if found.kind == "lifetime":
            value = kinds.lifetime(found.data)
            assert value.hi is None or value.lo is None or value.lo <= value.hi
        elif found.kind in kinds.CHECKED:
            kinds.check(found.kind, found.data)
    except Rejected as error:
        assert error.reason and isinstance(str(error), str)

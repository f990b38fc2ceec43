"""wire/telemetry.py: the envelope at the collector, the acknowledgement at the probe."""

import json

from natwatch.wire import telemetry

BOOT = "0123456789abcdef"
ENVELOPE = telemetry.Envelope(BOOT, 881, 1_700_000_000.5, "ntp", 123.4, "lifetime", {"lo": [None]})
SEEDS = [
    telemetry.encode(ENVELOPE),
    telemetry.encode_ack(BOOT, [(870, 881), (883, 883)]),
    b'{"v":1,"boot":"0123456789abcdef","seq":1,"t":null,"tq":"none","mono":0,"kind":"x","data":{}}',
]
WORDS = [
    b"null",
    b"true",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b'"seq":',
    b"\\u",
]
WORDS += [b'"ranges":[[1,2]]', b"9007199254740993", b'"', b",", b"\\ud800", b"-1", b"0.5"]


def one(data: bytes) -> None:
    try:
        found = telemetry.decode(data)
    except ValueError as error:
        assert str(error)
    else:
        assert found.seq >= 1 and found.mono >= 0 and 0 < len(found.kind) <= 32
        again = telemetry.decode(telemetry.encode(found)) if len(data) < 8192 else found
        assert (again.boot, again.seq, again.kind) == (found.boot, found.seq, found.kind)
    try:
        boot, ranges = telemetry.decode_ack(data)
    except ValueError as error:
        assert str(error)
    else:
        assert telemetry.valid_boot(boot) and all(1 <= low <= high for low, high in ranges)
        assert json.loads(telemetry.encode_ack(boot, ranges))["boot"] == boot

"""Messages as a device sends them, for the tests of the collector."""

import json
from typing import Any

from natwatch_provider.collector.messages import Message

BOOT = "0123456789abcdef"
NEXT_BOOT = "fedcba9876543210"
HOME = {"gateway": "192.168.1.1", "public": "203.0.113.9", "local": "192.168.1.20"}


def lifetime_data(lo: float | None, hi: float | None, number: int = 1, **fields: Any) -> Any:
    return {
        "id": number,
        "class": "udp/sip",
        "state": "stream",
        "lo": lo,
        "hi": hi,
        "method": "refined",
        "alive": 7,
        "expired": 2,
        "unknown": 0,
        "seconds": 88.1,
        "bindings": 51,
        "bytes": 12345,
        "period": 40.0,
        "context": HOME,
        **fields,
    }


def envelope(seq: int, data: Any = None, **fields: Any) -> bytes:
    """The bytes of one report, made at 1,000,000 + *seq* seconds."""
    value = {
        "v": 1,
        "boot": BOOT,
        "seq": seq,
        "t": 1_000_000.0 + seq,
        "tq": "ntp",
        "mono": float(seq),
        "kind": "lifetime",
        "data": lifetime_data(39.6, 40.4, seq) if data is None else data,
        **fields,
    }
    return json.dumps(value).encode()


def report(seq: int, data: Any = None, device: str = "home-1", **fields: Any) -> Message:
    """The message of envelope(), received a second after it was made."""
    return message("report", envelope(seq, data, **fields), device, 1_000_001.0 + seq)


def birth(conn: int, boot: str = BOOT, mono: float = 0.0, at: float = 1_000_000.0) -> Message:
    value = {
        "online": True,
        "boot": boot,
        "conn": conn,
        "version": "0.1.0",
        "interpreter": "micropython",
        "mono": mono,
    }
    return message("state", json.dumps(value).encode(), at=at)


def will(conn: int, boot: str = BOOT, at: float = 1_000_000.0) -> Message:
    value = {"online": False, "boot": boot, "conn": conn}
    return message("state", json.dumps(value).encode(), at=at)


def message(kind: str, payload: bytes, device: str = "home-1", at: float = 1_000_000.0) -> Message:
    return Message(f"natwatch/{device}/up/{kind}", payload, at)

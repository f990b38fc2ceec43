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


def birth(
    conn: int, boot: str = BOOT, mono: float = 0.0, at: float = 1_000_000.0, **fields: Any
) -> Message:
    value = {
        "online": True,
        "boot": boot,
        "conn": conn,
        "version": "0.1.0",
        "interpreter": "micropython",
        "mono": mono,
        **fields,
    }
    return message("state", json.dumps(value).encode(), at=at)


def will(conn: int, boot: str = BOOT, at: float = 1_000_000.0) -> Message:
    value = {"online": False, "boot": boot, "conn": conn}
    return message("state", json.dumps(value).encode(), at=at)


def message(kind: str, payload: bytes, device: str = "home-1", at: float = 1_000_000.0) -> Message:
    return Message(f"natwatch/{device}/up/{kind}", payload, at)


# Data of each kind of which only the latest report is shown.
LATEST: dict[str, dict[str, Any]] = {
    "resident": {
        "share": 91.7,
        "arrived": 11,
        "missed": 1,
        "unknown": 2,
        "reachable": True,
        "reason": None,
        "moved": 0,
        "seconds": 3600.0,
        "interval": 20,
        "kind": "crlf",
        "local_port": 5062,
        "day": 99.83,
        "mapped": ["203.0.113.9", 5062],
        "context": HOME,
    },
    "nat": {
        "mapping": "address-and-port-dependent",
        "mapping_reason": None,
        "filtering": None,
        "filtering_reason": "the alternate address 198.51.100.7 does not answer",
        "pooling": "single",
        "port_preservation": {"kept": 8, "of": 8},
        "hairpin": False,
        "classic": {"type": "Restric Port NAT", "name": "Port Restricted Cone", "reason": None},
        "difference": "pystun3 sees no mapping by port, since this NAT preserves ports",
        "context": HOME,
    },
    "keepalives": {
        "kinds": {"crlf": "arrives", "empty": "lost", "stun": "arrives", "options": "altered"},
        "reason": None,
        "context": HOME,
    },
    "advice": {
        "interval_s": 24,
        "margin": "thin",
        "bound_by": "replied",
        "lo": 30.1,
        "reason": "a keepalive every 24 s holds the binding, but one that is lost costs calls",
        "steps": ["R7c"],
        "server_ping_s": None,
        "in_use": 30,
        "holds": False,
        "context": HOME,
    },
    "plan": {
        "budget": {"bindings": 64, "bytes_per_day": 5000000},
        "keys": [
            {
                "class": "udp/sip",
                "state": "stream",
                "period": 40.0,
                "every": 40.0,
                "bytes_per_day": 2400000,
            },
            {
                "class": "udp/stun",
                "state": "oneway",
                "period": None,
                "every": 21600,
                "bytes_per_day": 30000.5,
            },
        ],
        "bytes_per_day": 4840000,
        "context": HOME,
    },
    "reach": {
        "address": "192.0.2.1",
        "asked": 24,
        "open": 22,
        "tries": 23,
        "lost": 1,
        "passes": 3,
        "seconds": 4.7,
        "bytes": 3312,
        "known": 2004,
        "known_open": 1903,
        "blocked": [[8500, 8599], [9999, 9999]],
        "reason": None,
        "context": HOME,
    },
    "media": {
        "port": 8642,
        "sent": 150,
        "seconds": 3.4,
        "rtt": {"least": 18.0, "median": 21.5, "p95": 30.0, "most": 44.0},
        "out": {
            "packets": 150,
            "lost": 3,
            "loss_percent": 2.0,
            "jitter": 1.24,
            "delay_above_least": {"median": 1.0, "p95": 3.0, "most": 9.0},
            "mos": {"g711": 4.12, "g729": 3.8},
        },
        "in": {
            "packets": 150,
            "lost": 0,
            "loss_percent": 0.0,
            "jitter": 0.8,
            "delay_above_least": {"median": 1.0, "p95": 2.0, "most": 4.0},
            "mos": {"g711": 4.41, "g729": 4.1},
        },
        "reason": None,
        "context": HOME,
    },
    "check": {
        "verdict": "findings",
        "requirements": {"R0": "met", "R1": "noted", "R2": "not met", "R5": "not measured"},
        "codes": ["nat.filtering.inbound", "reach.blocked.rtp"],
        "context": HOME,
    },
    "layers": {
        "class": "udp/sip",
        "boxes": [
            {
                "first": 1,
                "last": 1,
                "owner": "router",
                "stream": [39.4, 40.6],
                "replied": [29.4, 30.6],
                "model": "ACME X1",
                "address": "100.64.7.2",
            },
            {
                "first": 3,
                "last": 3,
                "owner": "carrier",
                "stream": [119.0, 120.2],
                "replied": None,
                "model": None,
                "address": None,
            },
        ],
        "short": {"stream": 0, "replied": None},
        "clear": [{"first": 2, "last": 2, "beyond": 181.0}],
        "complete": True,
        "count": 2,
        "evidence": [
            {"source": "timers", "says": "two", "name": "timers", "values": {"hops": [1, 3]}},
            {"source": "upnp", "says": "at least two"},
            {"source": "pcp", "says": "nothing"},
        ],
        "agree": True,
        "reason": None,
        "context": HOME,
    },
    "health": {
        "uptime": {"process": 7300.5, "machine": 864000.0},
        "memory": {"rss": 24500000, "peak": 25100000},
        "cpu_s": 31.4,
        "temperature": 48.3,
        "storage": {"free": 1200000000, "size": 7900000000},
        "descriptors": 42,
        "spool": {"waiting": 3, "bytes": None, "dropped": {"lifetime": 5}},
        "clock": {"quality": "reflector", "offset": -86399.8, "jumps": 1},
        "counters": {"raised_watch": 2, "send_error_101": 7},
        "context": HOME,
    },
}


def latest_data(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {**LATEST[kind], **fields}

"""The data of a report, by its kind: what is wrong raises Rejected, naming the field.

A field that is not named here is a newer agent's, and no fault. docs/telemetry.md says what
each field means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from natwatch.diagnosis.boxes import STATES as STATES_OF_LAYERS
from natwatch.wire.telemetry import TIME_QUALITIES

from .fields import Fields

CLASSES = ("udp/sip", "udp/stun", "udp/rtp")
STATES = ("oneway", "replied", "stream", "refreshed")
METHODS = ("comb", "refined", "watch", "check", "confirm")
BEHAVIOURS = ("endpoint-independent", "address-dependent", "address-and-port-dependent")
POOLING = ("paired", "arbitrary", "single")
FATES = ("arrives", "altered", "lost", "unknown")  # of a kind of keepalive on its way
MARGINS = ("good", "thin", "none", "unknown")
BOUNDS = ("replied", "oneway")
VERDICTS = ("ready", "findings", "unknown")
STATES_OF_REQUIREMENTS = ("met", "not met", "noted", "not measured")

SENTENCE = 512  # characters; a line of advice or of a difference
WORD = 32
LONGEST_MS = 1e6
AGES_S = 1e10  # of a machine's uptime, of a clock that is wrong
MANY = 64  # kinds of keepalive, keys of a plan: more is no device
OWNERS = ("firewall", "router", "carrier", "outer")  # of a box that keeps state
BOXES = 16  # on one line, and stretches between them
FARTHEST = 255  # hops: a TTL is a byte


@dataclass(frozen=True)
class Lifetime:
    """The data of a report of kind "lifetime", checked. Durations in seconds.

    *extends*: whether packets from outside extend the binding (state "refreshed"), None where
    not known. *difference*: how real SIP to this port lives otherwise than STUN to it.
    """

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
    extends: bool | None
    difference: str | None
    gateway: str | None
    public: str | None


def lifetime(data: dict[str, Any]) -> Lifetime:
    """The lifetime in a report's *data*. Raises Rejected."""
    fields = Fields(data, "bad_lifetime")
    gateway, public = _context(fields)
    value = Lifetime(
        measurement=fields.count("id", 2**53),
        port_class=fields.one_of("class", CLASSES),
        state=fields.one_of("state", STATES),
        lo=fields.seconds_or_none("lo"),
        hi=fields.seconds_or_none("hi"),
        reason=fields.text_or_none("reason", 256),
        method=fields.one_of("method", METHODS),
        alive=fields.count("alive"),
        expired=fields.count("expired"),
        unknown=fields.count("unknown"),
        seconds=fields.seconds("seconds"),
        bindings=fields.count("bindings"),
        bytes=fields.count("bytes", 2**53),
        period=fields.seconds_or_none("period"),
        extends=fields.flag_or_none("extends"),
        difference=fields.text_or_none("difference", SENTENCE),
        gateway=gateway,
        public=public,
    )
    fields.count_or_none("port", 65535, 1)
    sip = fields.object_or_none("sip")
    if sip is not None:
        for outcome in ("alive", "expired", "unknown"):
            sip.count(outcome)
    if value.hi is not None:
        fields.expect("hi", value.lo is not None and value.lo < value.hi, "more than lo")
    return value


def check(kind: str, data: dict[str, Any]) -> None:
    """Check the *data* of a report of one of CHECKED. Raises Rejected with reason bad_<kind>."""
    fields = Fields(data, f"bad_{kind}")
    _context(fields)
    _CHECKS[kind](fields)


def _context(fields: Fields) -> tuple[str | None, str | None]:
    """The gateway and the public address of the line that a report speaks of."""
    context = fields.object("context")
    context.text_or_none("local", 64)
    return context.text_or_none("gateway", 64), context.text_or_none("public", 64)


def _resident(fields: Fields) -> None:
    fields.percent_or_none("share")
    fields.percent_or_none("day")
    for outcome in ("arrived", "missed", "unknown", "moved"):
        fields.count(outcome)
    fields.flag_or_none("reachable")
    fields.text_or_none("reason", SENTENCE)
    fields.seconds("seconds")
    fields.seconds("interval")
    fields.text("kind", WORD)
    fields.count("local_port", 65535)
    fields.endpoint_or_none("mapped")


def _nat(fields: Fields) -> None:
    fields.one_of_or_none("mapping", (*BEHAVIOURS, "none"))
    fields.text_or_none("mapping_reason", SENTENCE)
    fields.one_of_or_none("filtering", BEHAVIOURS)
    fields.text_or_none("filtering_reason", SENTENCE)
    fields.one_of_or_none("pooling", POOLING)
    preservation = fields.object_or_none("port_preservation")
    if preservation is not None:
        preservation.count("kept", preservation.count("of"))
    fields.flag_or_none("hairpin")
    classic = fields.object_or_none("classic")
    if classic is not None:
        classic.text_or_none("type", 64)
        classic.text_or_none("name", 64)
        classic.text_or_none("reason", SENTENCE)
    fields.text_or_none("difference", SENTENCE)


def _keepalives(fields: Fields) -> None:
    kinds = fields.object("kinds")
    for name in kinds.names(MANY):
        kinds.one_of(name, FATES)
    fields.text_or_none("reason", SENTENCE)


def _advice(fields: Fields) -> None:
    for field in ("interval_s", "lo", "server_ping_s", "in_use"):
        fields.seconds_or_none(field)
    fields.one_of("margin", MARGINS)
    fields.one_of_or_none("bound_by", BOUNDS)
    fields.text("reason", SENTENCE)
    fields.texts("steps", MANY, WORD)
    fields.flag_or_none("holds")


def _plan(fields: Fields) -> None:
    budget = fields.object("budget")
    for name in budget.names(MANY):
        budget.number(name, 1e15, "a number from 0")
    for key in fields.objects("keys", MANY):
        key.one_of("class", CLASSES)
        key.one_of("state", STATES)
        key.seconds_or_none("period")
        key.seconds("every")
        key.number("bytes_per_day", 1e15, "a number from 0")
    fields.number("bytes_per_day", 1e15, "a number from 0")


def _reach(fields: Fields) -> None:
    fields.text("address", 64)
    fields.count("open", fields.count("asked"))
    fields.count("lost", fields.count("tries"))
    fields.count("passes")
    fields.seconds("seconds")
    fields.count("bytes", 2**53)
    fields.count("known_open", fields.count("known", 65536))
    fields.ranges("blocked", MANY, 65535)
    fields.text_or_none("reason", SENTENCE)


def _media(fields: Fields) -> None:
    fields.count("port", 65535, 1)
    fields.count("sent")
    fields.seconds("seconds")
    rtt = fields.object_or_none("rtt")
    if rtt is not None:
        rtt.number("median", LONGEST_MS, "milliseconds from 0")
    for direction in ("out", "in"):
        way = fields.object_or_none(direction)
        if way is not None:
            _one_way(way)
    fields.text_or_none("reason", SENTENCE)


def _one_way(way: Fields) -> None:
    way.count("lost", way.count("packets"))
    way.number("loss_percent", 100.0, "a percentage from 0 to 100")
    way.number_or_none("jitter", LONGEST_MS, "null or milliseconds from 0")
    queue = way.object_or_none("delay_above_least")
    if queue is not None:
        for name in ("median", "p95", "most"):
            queue.number(name, LONGEST_MS, "milliseconds from 0")
    mos = way.object("mos")
    for codec in mos.names(MANY):
        mos.number(codec, 5.0, "a MOS up to 5")


def _check(fields: Fields) -> None:
    fields.one_of("verdict", VERDICTS)
    requirements = fields.object("requirements")
    for name in requirements.names(MANY):
        requirements.one_of(name, STATES_OF_REQUIREMENTS)
    fields.texts("codes", MANY, WORD)


def _layers(fields: Fields) -> None:
    fields.one_of("class", ("udp/sip",))
    boxes = fields.objects("boxes", BOXES)
    for box in boxes:
        _hops(box)
        box.one_of("owner", OWNERS)
        for state in STATES_OF_LAYERS:
            box.bracket_or_none(state)
        box.text_or_none("model", 128)
        box.text_or_none("address", 64)
    short = fields.object("short")
    for state in STATES_OF_LAYERS:
        short.count_or_none(state, len(boxes) - 1)
    for stretch in fields.objects("clear", BOXES):
        _hops(stretch)
        stretch.seconds("beyond")
    fields.flag("complete")
    fields.count_or_none("count", FARTHEST)
    for piece in fields.objects("evidence", MANY):
        piece.text("source", WORD)
        piece.text("says", WORD)
        piece.text_or_none("name", 2 * WORD)
        piece.object_or_none("values")
    fields.flag_or_none("agree")
    fields.text_or_none("reason", SENTENCE)
    after = fields.object_or_none("after")
    if after is not None:
        after.one_of("class", ("udp/sip",))
        after.one_of("state", STATES_OF_LAYERS)
        lo = after.seconds("lo")
        after.expect("hi", after.seconds("hi") > lo, "more than lo")


def _health(fields: Fields) -> None:
    uptime = fields.object("uptime")
    for name in ("process", "machine"):
        uptime.number_or_none(name, AGES_S, "null or seconds from 0")
    memory = fields.object("memory")
    for name in ("rss", "peak"):
        memory.count_or_none(name, 2**53)
    fields.number_or_none("cpu_s", AGES_S, "null or seconds from 0")
    fields.signed_or_none("temperature", 1000.0)
    storage = fields.object_or_none("storage")
    if storage is not None:
        for name in ("free", "size"):
            storage.count(name, 2**63)
    fields.count_or_none("descriptors")
    spool = fields.object("spool")
    spool.count("waiting")
    spool.count_or_none("bytes", 2**53)
    clock = fields.object("clock")
    clock.one_of("quality", TIME_QUALITIES)
    clock.signed_or_none("offset", AGES_S)
    clock.count("jumps")
    for counters in (spool.object("dropped"), fields.object("counters")):
        for name in counters.names(MANY):
            counters.count(name, 2**53)


def _hops(fields: Fields) -> None:
    fields.count("last", FARTHEST, fields.count("first", FARTHEST))


_CHECKS: dict[str, Callable[[Fields], None]] = {
    "resident": _resident,
    "nat": _nat,
    "keepalives": _keepalives,
    "advice": _advice,
    "plan": _plan,
    "reach": _reach,
    "media": _media,
    "check": _check,
    "layers": _layers,
    "health": _health,
}

# Kinds of which only the latest report of a device matters; a lifetime has a table of its own.
CHECKED = tuple(_CHECKS)

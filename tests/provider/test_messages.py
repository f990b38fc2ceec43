"""Bytes from a topic: what is good becomes a value, everything else a reason."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natwatch_provider.collector.counts import REASONS
from natwatch_provider.collector.fields import Rejected
from natwatch_provider.collector.kinds import CHECKED, check, lifetime
from natwatch_provider.collector.messages import Message, Presence, Report, parse
from tests.provider.reports import (
    BOOT,
    LATEST,
    birth,
    envelope,
    latest_data,
    lifetime_data,
    message,
    report,
    will,
)


def without(payload: bytes, field: str) -> bytes:
    value = json.loads(payload)
    del value[field]
    return json.dumps(value).encode()


GARBAGE = (
    ("unknown_topic", Message("natwatch/home-1/down/ack", b"{}", 0.0)),
    ("unknown_topic", Message("natwatch/home-1/up/report/more", b"{}", 0.0)),
    ("unknown_topic", Message("elsewhere/home-1/up/report", b"{}", 0.0)),
    ("unknown_topic", Message("natwatch/home-1/up/nonsense", b"{}", 0.0)),
    ("unknown_topic", Message("", b"{}", 0.0)),
    ("bad_device", message("report", envelope(1), "")),
    ("bad_device", message("report", envelope(1), "home 1")),
    ("bad_device", message("report", envelope(1), "x" * 65)),
    ("bad_device", message("report", envelope(1), "дом")),
    ("too_big", message("report", b" " * 70000)),
    ("not_json", message("report", b"")),
    ("not_json", message("report", b"\xff\x00\xfe")),
    ("not_json", message("report", envelope(1)[:-1])),
    ("not_json", message("report", b"[1, 2]")),
    ("not_json", message("report", b"[" * 30000)),
    ("not_json", message("report", b'{"v":' + b"9" * 5000 + b"}")),
    ("not_json", message("state", b"online")),
    *[
        ("bad_envelope", message("report", without(envelope(1), field)))
        for field in ("v", "boot", "seq", "tq", "mono", "kind", "data")
    ],
    ("bad_envelope", report(1, v=2)),
    ("bad_envelope", report(1, boot="short")),
    ("bad_envelope", report(0)),
    ("bad_envelope", message("report", envelope(1).replace(b'"seq": 1', b'"seq": "1"'))),
    ("bad_envelope", message("report", envelope(1).replace(b'"seq": 1', b'"seq": true'))),
    ("bad_envelope", report(1, mono=-1.0)),
    ("bad_envelope", report(1, t=math.inf)),
    ("bad_envelope", report(1, kind="a\0b")),
    ("bad_envelope", report(1, {"deep": math.nan})),
    ("bad_state", message("state", b"{}")),
    ("bad_state", message("state", json.dumps({"online": True, "boot": BOOT, "conn": 1}).encode())),
    ("bad_state", will(-1)),
    ("bad_state", will(1, boot="x")),
    ("bad_state", birth(1, mono=math.nan)),
)


@pytest.mark.parametrize(("reason", "garbage"), GARBAGE)
def test_garbage_has_a_reason(reason: str, garbage: Message) -> None:
    with pytest.raises(Rejected) as caught:
        parse(garbage)
    assert caught.value.reason == reason
    assert reason in REASONS


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=300), kind=st.sampled_from(["report", "state", "health", "x"]))
def test_no_bytes_at_all_are_more_than_rejected(payload: bytes, kind: str) -> None:
    with pytest.raises(Rejected):
        parse(message(kind, payload))


def test_the_device_is_the_topics_whatever_the_payload_says() -> None:
    parsed = parse(report(1, {"device": "other"}, device="home-7"))
    assert isinstance(parsed, Report)
    assert parsed.device == "home-7"


def test_births_and_wills_are_told_apart() -> None:
    born, died = parse(birth(3, mono=12.3)), parse(will(3))
    assert isinstance(born, Presence) and isinstance(died, Presence)
    assert (born.online, born.conn, born.mono, born.interpreter) == (True, 3, 12.3, "micropython")
    assert (died.online, died.conn) == (False, 3)


def test_a_birth_says_how_the_start_before_ended() -> None:
    born = parse(birth(1, unclean=True, last={"boot": "f" * 16, "seq": 880}))
    assert isinstance(born, Presence)
    assert (born.unclean, born.last_boot, born.last_seq) == (True, "f" * 16, 880)
    for fields in ({}, {"unclean": None, "last": None}):
        plain = parse(birth(1, **fields))
        assert isinstance(plain, Presence)
        assert (plain.unclean, plain.last_boot, plain.last_seq) == (None, None, 0)
    for bad in ({"unclean": 1}, {"last": 7}, {"last": {"boot": "f", "seq": 1}}, {"last": {}}):
        with pytest.raises(Rejected):
            parse(birth(1, **bad))


def test_data_is_kept_as_ascii_json_whatever_is_in_it() -> None:
    parsed = parse(report(1, {"odd": "\0 \ud800 дом"}))
    assert isinstance(parsed, Report)
    assert parsed.text.isascii() and "\0" not in parsed.text
    assert json.loads(parsed.text) == parsed.data


LIFETIMES = (
    (lifetime_data(39.6, 40.4), (39.6, 40.4)),
    (lifetime_data(0, 1), (0.0, 1.0)),
    (lifetime_data(600, None), (600.0, None)),
    (lifetime_data(None, None, reason="no witness"), (None, None)),
    (lifetime_data(39.6, 40.4, newer={"field": 1}), (39.6, 40.4)),
    (lifetime_data(1, 2, context={}), (1.0, 2.0)),
)


@pytest.mark.parametrize(("data", "bracket"), LIFETIMES)
def test_a_good_lifetime_is_taken(data, bracket) -> None:
    value = lifetime(data)
    assert (value.lo, value.hi) == bracket


WRONG = (
    ({"id": None}, "id"),
    ({"id": 1.5}, "id"),
    ({"class": "tcp/sip"}, "class"),
    ({"class": ["udp/sip"]}, "class"),
    ({"state": "asleep"}, "state"),
    ({"method": None}, "method"),
    ({"lo": "39.6"}, "lo"),
    ({"lo": -1}, "lo"),
    ({"lo": True}, "lo"),
    ({"lo": 10**400}, "lo"),
    ({"lo": None}, "hi"),
    ({"hi": 39.6}, "hi"),
    ({"hi": 10.0}, "hi"),
    ({"alive": -1}, "alive"),
    ({"expired": 2**40}, "expired"),
    ({"unknown": "0"}, "unknown"),
    ({"seconds": None}, "seconds"),
    ({"bytes": 2**60}, "bytes"),
    ({"context": None}, "context"),
    ({"context": {"gateway": 7}}, "context.gateway"),
    ({"context": {"public": "a\0b"}}, "context.public"),
    ({"context": {"public": "x" * 65}}, "context.public"),
    ({"context": {"local": 7}}, "context.local"),
    ({"reason": "x" * 300}, "reason"),
    ({"port": 0}, "port"),
    ({"port": 65536}, "port"),
    ({"extends": 1}, "extends"),
    ({"extends": "no"}, "extends"),
    ({"difference": ""}, "difference"),
    ({"difference": ["SIP"]}, "difference"),
    ({"difference": "x" * 513}, "difference"),
    ({"sip": 3}, "sip"),
    ({"sip": {"alive": 1, "expired": -1, "unknown": 0}}, "sip.expired"),
    ({"sip": {"alive": 1, "expired": 1}}, "sip.unknown"),
)


@pytest.mark.parametrize(("fields", "named"), WRONG)
def test_a_wrong_lifetime_gets_a_sentence_that_names_the_field(fields, named) -> None:
    with pytest.raises(Rejected, match=f"^field {named}: expected .*, found ") as caught:
        lifetime({**lifetime_data(39.6, 40.4), **fields})
    assert caught.value.reason == "bad_lifetime"
    assert len(str(caught.value)) < 250


def test_a_lifetime_of_a_newer_agent_has_more_in_it() -> None:
    more = {"state": "refreshed", "class": "udp/rtp", "method": "check", "port": 8000}
    sip = {"alive": 1, "expired": 2, "unknown": 0}
    value = lifetime(lifetime_data(39.6, 40.4, **more, extends=False, sip=sip, difference="SIP …"))
    assert (value.port_class, value.state, value.method) == ("udp/rtp", "refreshed", "check")
    assert (value.extends, value.difference) == (False, "SIP …")
    plain = lifetime(lifetime_data(39.6, 40.4))
    assert (plain.extends, plain.difference) == (None, None)


WAY = LATEST["media"]["in"]
BOX = LATEST["layers"]["boxes"][0]
AFTER = {"class": "udp/sip", "state": "stream", "lo": 14.6, "hi": 15.4}
GOOD = (
    *[(kind, {}) for kind in CHECKED],
    *[(kind, {"newer": {"field": 1}}) for kind in CHECKED],
    *[(kind, {"context": {"gateway": None, "public": None, "local": None}}) for kind in CHECKED],
    ("resident", {"share": None, "day": None, "reachable": None, "mapped": None}),
    ("resident", {"share": 100, "day": 0, "reason": "registration unanswered"}),
    ("nat", {"mapping": "none", "filtering": "endpoint-independent", "pooling": "arbitrary"}),
    (
        "nat",
        dict.fromkeys(
            ("mapping", "pooling", "port_preservation", "hairpin", "classic", "difference")
        ),
    ),
    ("nat", {"classic": {"type": None, "name": None, "reason": "the server did not answer"}}),
    ("keepalives", {"kinds": {}, "reason": "no answer"}),
    ("advice", {"interval_s": None, "margin": "none", "bound_by": None, "lo": None, "steps": []}),
    ("advice", {"server_ping_s": 24, "holds": None, "in_use": None}),
    ("plan", {"budget": {}, "keys": []}),
    ("reach", {"blocked": [], "known": 0, "known_open": 0, "open": 0, "reason": "no answer"}),
    ("media", {"rtt": None, "out": None, "in": None, "reason": "no packet came"}),
    ("media", {"out": None, "reason": "the reflector did not say what came"}),
    ("media", {"in": {**WAY, "jitter": None, "delay_above_least": None}}),
    ("check", {"codes": [], "requirements": {}, "verdict": "unknown"}),
    ("check", {"codes": ["a.newer.code"], "requirements": {"R10": "met"}}),
    ("health", {"temperature": -12.5, "storage": None, "descriptors": None, "cpu_s": None}),
    ("health", {"memory": {}, "uptime": {}, "counters": {}}),
    ("layers", {"after": AFTER}),
    ("layers", {"boxes": [], "short": {}, "clear": [], "count": None, "complete": False}),
    ("layers", {"evidence": [], "agree": None, "reason": "the line forgets nothing in 600 s"}),
    ("layers", {"boxes": [{**BOX, "stream": [600, None], "model": None}]}),
)


@pytest.mark.parametrize(("kind", "fields"), GOOD)
def test_what_is_as_told_is_taken(kind: str, fields: dict[str, object]) -> None:
    check(kind, latest_data(kind, **fields))


KEY = {"class": "udp/sip", "state": "stream", "period": 1, "every": 1, "bytes_per_day": 1}
WRONG_KINDS = (
    *[(kind, {"context": None}, "context") for kind in CHECKED],
    *[(kind, {"context": {"public": 1}}, "context.public") for kind in CHECKED],
    ("resident", {"share": 100.1}, "share"),
    ("resident", {"share": -0.1}, "share"),
    ("resident", {"share": True}, "share"),
    ("resident", {"day": math.nan}, "day"),
    ("resident", {"day": "99.8 %"}, "day"),
    ("resident", {"arrived": None}, "arrived"),
    ("resident", {"missed": 1.5}, "missed"),
    ("resident", {"unknown": -1}, "unknown"),
    ("resident", {"moved": 2**31}, "moved"),
    ("resident", {"reachable": 0}, "reachable"),
    ("resident", {"reason": "a\nb"}, "reason"),
    ("resident", {"seconds": None}, "seconds"),
    ("resident", {"interval": math.inf}, "interval"),
    ("resident", {"kind": None}, "kind"),
    ("resident", {"local_port": 65536}, "local_port"),
    ("resident", {"mapped": ["203.0.113.9"]}, "mapped"),
    ("resident", {"mapped": ["203.0.113.9", "5062"]}, "mapped"),
    ("resident", {"mapped": {"203.0.113.9": 5062}}, "mapped"),
    ("nat", {"mapping": "symmetric"}, "mapping"),
    ("nat", {"mapping": ["none"]}, "mapping"),
    ("nat", {"filtering": "none"}, "filtering"),
    ("nat", {"mapping_reason": 3}, "mapping_reason"),
    ("nat", {"filtering_reason": ""}, "filtering_reason"),
    ("nat", {"pooling": "many"}, "pooling"),
    ("nat", {"port_preservation": [8, 8]}, "port_preservation"),
    ("nat", {"port_preservation": {"kept": 9, "of": 8}}, "port_preservation.kept"),
    ("nat", {"port_preservation": {"kept": 0}}, "port_preservation.of"),
    ("nat", {"hairpin": "no"}, "hairpin"),
    ("nat", {"classic": "Full Cone"}, "classic"),
    ("nat", {"classic": {"type": 1}}, "classic.type"),
    ("nat", {"classic": {"name": "x" * 65}}, "classic.name"),
    ("nat", {"classic": {"reason": False}}, "classic.reason"),
    ("nat", {"difference": True}, "difference"),
    ("keepalives", {"kinds": None}, "kinds"),
    ("keepalives", {"kinds": ["crlf"]}, "kinds"),
    ("keepalives", {"kinds": {"crlf": "passes"}}, "kinds.crlf"),
    ("keepalives", {"kinds": {"crlf": None}}, "kinds.crlf"),
    ("keepalives", {"kinds": {str(n): "lost" for n in range(65)}}, "kinds.64"),
    ("keepalives", {"kinds": {"": "lost"}}, "kinds."),
    ("keepalives", {"reason": 1}, "reason"),
    ("advice", {"interval_s": -1}, "interval_s"),
    ("advice", {"margin": None}, "margin"),
    ("advice", {"bound_by": "stream"}, "bound_by"),
    ("advice", {"lo": "30"}, "lo"),
    ("advice", {"reason": None}, "reason"),
    ("advice", {"steps": None}, "steps"),
    ("advice", {"steps": "R7c"}, "steps"),
    ("advice", {"steps": [7]}, "steps"),
    ("advice", {"steps": ["R7c"] * 65}, "steps"),
    ("advice", {"server_ping_s": True}, "server_ping_s"),
    ("advice", {"in_use": 10**9}, "in_use"),
    ("advice", {"holds": "yes"}, "holds"),
    ("plan", {"budget": None}, "budget"),
    ("plan", {"budget": {"bindings": "64"}}, "budget.bindings"),
    ("plan", {"budget": {"bindings": math.nan}}, "budget.bindings"),
    ("plan", {"keys": None}, "keys"),
    ("plan", {"keys": [7]}, "keys"),
    ("plan", {"keys": [KEY] * 65}, "keys"),
    ("plan", {"keys": [KEY, {**KEY, "class": "tcp/sip"}]}, r"keys\[1\].class"),
    ("plan", {"keys": [{**KEY, "state": None}]}, r"keys\[0\].state"),
    ("plan", {"keys": [{**KEY, "period": -1}]}, r"keys\[0\].period"),
    ("plan", {"keys": [{**KEY, "every": None}]}, r"keys\[0\].every"),
    ("plan", {"keys": [{**KEY, "bytes_per_day": None}]}, r"keys\[0\].bytes_per_day"),
    ("plan", {"bytes_per_day": -1}, "bytes_per_day"),
    ("reach", {"address": None}, "address"),
    ("reach", {"asked": -1}, "asked"),
    ("reach", {"open": 25}, "open"),
    ("reach", {"lost": 24}, "lost"),
    ("reach", {"passes": "3"}, "passes"),
    ("reach", {"seconds": None}, "seconds"),
    ("reach", {"bytes": 1.5}, "bytes"),
    ("reach", {"known": 70000}, "known"),
    ("reach", {"known_open": 2005}, "known_open"),
    ("reach", {"blocked": None}, "blocked"),
    ("reach", {"blocked": [8500]}, "blocked"),
    ("reach", {"blocked": [[8599, 8500]]}, "blocked"),
    ("reach", {"blocked": [[1, 2, 3]]}, "blocked"),
    ("reach", {"blocked": [[0, 65536]]}, "blocked"),
    ("reach", {"blocked": [[True, 2]]}, "blocked"),
    ("reach", {"blocked": [[1, 1]] * 65}, "blocked"),
    ("reach", {"reason": 1}, "reason"),
    ("media", {"port": 0}, "port"),
    ("media", {"sent": None}, "sent"),
    ("media", {"seconds": -1}, "seconds"),
    ("media", {"rtt": 20}, "rtt"),
    ("media", {"rtt": {"median": None}}, "rtt.median"),
    ("media", {"out": []}, "out"),
    ("media", {"out": {}}, "out.packets"),
    ("media", {"in": {**WAY, "lost": 151}}, "in.lost"),
    ("media", {"in": {**WAY, "loss_percent": 101}}, "in.loss_percent"),
    ("media", {"in": {**WAY, "jitter": math.nan}}, "in.jitter"),
    ("media", {"in": {**WAY, "delay_above_least": 3}}, "in.delay_above_least"),
    ("media", {"in": {**WAY, "delay_above_least": {"median": 1}}}, "in.delay_above_least.p95"),
    ("media", {"in": {**WAY, "mos": None}}, "in.mos"),
    ("media", {"in": {**WAY, "mos": {"g711": "4.4"}}}, "in.mos.g711"),
    ("media", {"in": {**WAY, "mos": {"g711": 6}}}, "in.mos.g711"),
    ("media", {"reason": ["no"]}, "reason"),
    ("check", {"verdict": "fine"}, "verdict"),
    ("check", {"requirements": None}, "requirements"),
    ("check", {"requirements": {"R0": True}}, "requirements.R0"),
    ("check", {"requirements": {"R0": None}}, "requirements.R0"),
    ("check", {"codes": "reach.blocked.rtp"}, "codes"),
    ("check", {"codes": ["x" * 33]}, "codes"),
    ("check", {"codes": ["a"] * 65}, "codes"),
    ("health", {"uptime": None}, "uptime"),
    ("health", {"uptime": {"process": -1}}, "uptime.process"),
    ("health", {"memory": {"rss": 1.5}}, "memory.rss"),
    ("health", {"cpu_s": "1"}, "cpu_s"),
    ("health", {"temperature": -2000}, "temperature"),
    ("health", {"temperature": True}, "temperature"),
    ("health", {"storage": {"free": 1}}, "storage.size"),
    ("health", {"descriptors": -1}, "descriptors"),
    ("health", {"spool": {"waiting": 1}}, "spool.dropped"),
    ("health", {"clock": {"quality": "good", "jumps": 0}}, "clock.quality"),
    ("health", {"clock": {"quality": "est"}}, "clock.jumps"),
    ("health", {"clock": {"quality": "est", "jumps": 0, "offset": "1"}}, "clock.offset"),
    ("health", {"counters": {"x": -1}}, "counters.x"),
    ("health", {"counters": {str(n): 1 for n in range(65)}}, "counters.64"),
    ("layers", {"class": "udp/stun"}, "class"),
    ("layers", {"boxes": None}, "boxes"),
    ("layers", {"boxes": [BOX] * 17}, "boxes"),
    ("layers", {"boxes": [{**BOX, "owner": "nobody"}]}, r"boxes\[0\].owner"),
    ("layers", {"boxes": [{**BOX, "first": 2}]}, r"boxes\[0\].last"),
    ("layers", {"boxes": [{**BOX, "last": 256}]}, r"boxes\[0\].last"),
    ("layers", {"boxes": [{**BOX, "first": None}]}, r"boxes\[0\].first"),
    ("layers", {"boxes": [{**BOX, "stream": 40}]}, r"boxes\[0\].stream"),
    ("layers", {"boxes": [{**BOX, "stream": [40.6, 39.4]}]}, r"boxes\[0\].stream"),
    ("layers", {"boxes": [{**BOX, "stream": [None, None]}]}, r"boxes\[0\].stream"),
    ("layers", {"boxes": [{**BOX, "replied": [1, 2, 3]}]}, r"boxes\[0\].replied"),
    ("layers", {"boxes": [{**BOX, "replied": [0, 1e9]}]}, r"boxes\[0\].replied"),
    ("layers", {"boxes": [{**BOX, "model": "a\x1b[2J"}]}, r"boxes\[0\].model"),
    ("layers", {"boxes": [{**BOX, "model": "x" * 129}]}, r"boxes\[0\].model"),
    ("layers", {"boxes": [{**BOX, "address": 7}]}, r"boxes\[0\].address"),
    ("layers", {"short": None}, "short"),
    ("layers", {"short": {"stream": 2}}, "short.stream"),
    ("layers", {"boxes": [], "short": {"replied": 0}}, "short.replied"),
    ("layers", {"short": {"stream": True}}, "short.stream"),
    ("layers", {"clear": {}}, "clear"),
    ("layers", {"clear": [{"first": 2, "last": 1, "beyond": 9}]}, r"clear\[0\].last"),
    ("layers", {"clear": [{"first": 2, "last": 2}]}, r"clear\[0\].beyond"),
    ("layers", {"complete": None}, "complete"),
    ("layers", {"count": "two"}, "count"),
    ("layers", {"evidence": None}, "evidence"),
    ("layers", {"evidence": [{"says": "two"}]}, r"evidence\[0\].source"),
    ("layers", {"evidence": [{"source": "upnp", "says": 2}]}, r"evidence\[0\].says"),
    ("layers", {"evidence": [{"source": "upnp"}]}, r"evidence\[0\].says"),
    (
        "layers",
        {"evidence": [{"source": "upnp", "says": "two", "name": ""}]},
        r"evidence\[0\].name",
    ),
    (
        "layers",
        {"evidence": [{"source": "upnp", "says": "two", "values": 7}]},
        r"evidence\[0\].values",
    ),
    ("layers", {"agree": "yes"}, "agree"),
    ("layers", {"reason": 1}, "reason"),
    ("layers", {"after": "a shrink"}, "after"),
    ("layers", {"after": {**AFTER, "class": "udp/rtp"}}, "after.class"),
    ("layers", {"after": {**AFTER, "state": "oneway"}}, "after.state"),
    ("layers", {"after": {**AFTER, "lo": None}}, "after.lo"),
    ("layers", {"after": {**AFTER, "hi": None}}, "after.hi"),
    ("layers", {"after": {**AFTER, "hi": 14.6}}, "after.hi"),
)


@pytest.mark.parametrize(("kind", "fields", "named"), WRONG_KINDS)
def test_what_is_not_as_told_gets_a_sentence_that_names_the_field(kind, fields, named) -> None:
    with pytest.raises(Rejected, match=f"^field {named}: expected .*, found ") as caught:
        check(kind, latest_data(kind, **fields))
    assert caught.value.reason == f"bad_{kind}"
    assert caught.value.reason in REASONS
    assert len(str(caught.value)) < 300


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", CHECKED)
@settings(max_examples=150, deadline=None)
@given(found=st.data())
def test_nothing_in_a_field_is_worse_than_rejected(kind: str, found: st.DataObject) -> None:
    data = latest_data(kind)
    field = found.draw(st.sampled_from(sorted(data)))
    try:
        check(kind, {**data, field: found.draw(ANYTHING)})
    except Rejected as error:
        assert error.reason == f"bad_{kind}"

"""Bytes from a topic: what is good becomes a value, everything else a reason."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natwatch_provider.collector.counts import REASONS
from natwatch_provider.collector.messages import (
    Message,
    Presence,
    Rejected,
    Report,
    lifetime,
    parse,
)
from tests.provider.reports import BOOT, birth, envelope, lifetime_data, message, report, will


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
    ({"context": {"gateway": 7}}, "gateway"),
    ({"context": {"public": "a\0b"}}, "public"),
    ({"context": {"public": "x" * 65}}, "public"),
    ({"reason": "x" * 300}, "reason"),
)


@pytest.mark.parametrize(("fields", "named"), WRONG)
def test_a_wrong_lifetime_gets_a_sentence_that_names_the_field(fields, named) -> None:
    with pytest.raises(Rejected, match=f"^field {named}: expected .*, found ") as caught:
        lifetime({**lifetime_data(39.6, 40.4), **fields})
    assert caught.value.reason == "bad_lifetime"
    assert len(str(caught.value)) < 250

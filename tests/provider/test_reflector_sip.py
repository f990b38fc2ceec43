"""Teeth and greetings that come in SIP on 5060, and SIP that has nothing to do with us."""

import base64

import pytest

from natwatch.wire import sip, stun
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, HOME, SIP, TOOTH, A, B, Rig

TXID = b"tooth-number"
PLAIN = bytes(stun.build(stun.REQUEST, b"twelve bytes", []))


def wrapped(data: bytes, token: str = "0123456789abcdef") -> bytes:
    return bytes(sip.request("192.0.2.1", data, token))


def unwrap(data: bytes) -> stun.Message:
    payload = sip.parse(data).payload()
    assert payload is not None
    return stun.parse(payload)


def foreign(*lines: str) -> bytes:
    """An OPTIONS request that somebody else's program wrote."""
    return "\r\n".join(["OPTIONS sip:x SIP/2.0", *lines]).encode() + b"\r\n\r\n"


def test_a_greeting_in_sip_is_answered_in_sip_and_no_longer_than_it_was() -> None:
    rig = Rig()
    data = wrapped(PLAIN)
    [answer] = rig.receive(data, ELSEWHERE, SIP)
    assert (answer.local, answer.destination) == (SIP, ELSEWHERE)
    assert len(answer.data) <= len(data)
    outer, asked = sip.parse(answer.data), sip.parse(data)
    assert outer.start == "SIP/2.0 200 OK"
    for name in ("via", "from", "to", "call-id", "cseq"):  # RFC 3261, 8.2.6.2
        assert outer.get(name) == asked.get(name)
    message = unwrap(answer.data)
    assert (message.klass, message.txid) == (stun.SUCCESS, b"twelve bytes")
    assert message.get(stun.XOR_MAPPED_ADDRESS) == ELSEWHERE
    assert rig.counters == {"plain": 1}


def test_an_answer_in_sip_that_would_be_longer_than_the_request_is_not_sent() -> None:
    rig = Rig()
    short = foreign("Natwatch: " + base64.b64encode(PLAIN).decode())
    assert rig.receive(short, ELSEWHERE, SIP) == []
    assert rig.counters == {"sip_short": 1}


def test_compact_header_names_that_grow_in_the_answer_amplify_nothing() -> None:
    rig = Rig()
    data = foreign("Natwatch: " + base64.b64encode(PLAIN).decode(), *["i:"] * 400)
    assert len(data) < 2048
    assert rig.receive(data, ELSEWHERE, SIP) == []
    assert rig.counters == {"sip_short": 1}


@pytest.mark.parametrize(
    "attribute",
    [
        (stun.CHANGE_REQUEST, stun.CHANGE_IP),
        (stun.CHANGE_REQUEST, 0),
        (stun.RESPONSE_PORT, b"\x12\x34\0\0"),
    ],
)
def test_a_greeting_in_sip_cannot_be_answered_from_or_to_elsewhere(
    attribute: tuple[int, object],
) -> None:
    rig = Rig()
    data = wrapped(bytes(stun.build(stun.REQUEST, b"twelve bytes", [attribute])))
    assert rig.receive(data, ELSEWHERE, SIP) == []
    assert rig.counters == {"sip_elsewhere": 1}


def test_a_tooth_in_sip_is_answered_and_pushed_to_in_sip() -> None:
    rig = Rig()
    rig.control()
    data = wrapped(rig.hold(delay=10_000, copies=3, earlier=[5_000], txid=TXID))
    [answer] = rig.receive(data, TOOTH, SIP)
    message = unwrap(answer.data)
    assert (answer.local, answer.destination) == (SIP, TOOTH)
    assert message.authentic(rig.key) and message.txid == TXID
    assert message.get(stun.XOR_MAPPED_ADDRESS) == TOOTH
    call_ids, branches, numbers, witnesses = set(), set(), [], 0
    for _, datagram in rig.pass_time(rig.now + 60_000):
        if datagram.destination == HOME:  # witnesses stay as they are
            witnesses += stun.parse(datagram.data).has(stun.WITNESS)
            continue
        assert (datagram.local, datagram.destination) == (SIP, TOOTH)
        outer = sip.parse(datagram.data)
        assert outer.start == "OPTIONS sip:natwatch@203.0.113.9 SIP/2.0"
        call_ids.add(outer.get("call-id"))
        branches.add(outer.get("via"))
        push = unwrap(datagram.data)
        assert push.authentic(rig.key) and push.txid == TXID and push.klass == stun.INDICATION
        numbers.append(push.get(stun.PUSH).copy)
    assert (numbers, witnesses) == ([0, 0, 0, 1, 2, 3], 4)
    assert len(call_ids) == len(branches) == 6


def test_a_repeated_tooth_in_sip_answers_the_request_at_hand() -> None:
    rig = Rig()
    hold = rig.hold(txid=TXID)
    rig.receive(wrapped(hold, "first-token"), TOOTH, SIP)
    [answer] = rig.receive(wrapped(hold, "second-token"), TOOTH, SIP)
    assert sip.parse(answer.data).get("call-id") == "second-token"
    assert rig.counters["rearmed"] == 1


def test_a_tooth_is_the_same_whatever_an_alg_did_to_the_rest() -> None:
    rig = Rig()
    data = wrapped(rig.hold(txid=TXID))
    data = data.replace(b"natwatch.invalid", b"203.0.113.9:40001").replace(
        b"Natwatch:", b"NATWATCH :"
    )
    assert len(rig.receive(data, TOOTH, SIP)) == 1
    assert rig.counters["held"] == 1


def test_a_stun_tooth_on_5060_gets_pushes_in_stun() -> None:
    rig = Rig()
    rig.receive(rig.hold(copies=1, txid=TXID), TOOTH, SIP)
    [(_, push)] = rig.pass_time(rig.now + 60_000)
    assert stun.parse(push.data).has(stun.PUSH)


def test_a_push_for_a_tooth_in_sip_leaves_from_elsewhere_if_it_asked() -> None:
    rig = Rig()
    asked = rig.hold(copies=1, change=stun.CHANGE_IP | stun.ANY_PORT)
    rig.receive(wrapped(asked), TOOTH, SIP)
    [(_, push)] = rig.pass_time(rig.now + 60_000)
    assert push.local == (B, 8000)
    assert unwrap(push.data).has(stun.PUSH)


def test_a_refused_tooth_in_sip_gets_nothing() -> None:
    rig = Rig()
    stale = rig.hold(nonce=b"AAAAAAAAAAAAAAAA", txid=TXID)
    assert rig.receive(wrapped(stale), TOOTH, SIP) == []
    assert rig.audit(TXID)[0].outcome == stun.STALE_NONCE


def test_control_requests_do_not_travel_in_sip() -> None:
    rig = Rig()
    data = rig.request((stun.NONCE, rig.nonce()), (stun.CONTROL, bytes(4)))
    assert rig.receive(wrapped(data), HOME, SIP) == []
    assert rig.counters["malformed_extension"] == 1


def test_sip_is_understood_at_5060_only() -> None:
    rig = Rig()
    for local in (CONTROL, (A, 8000)):
        assert rig.receive(wrapped(PLAIN), ELSEWHERE, local) == []
    assert sum(rig.counters.values()) == 2 and "plain" not in rig.counters


RESPONSE = sip.response(sip.parse(wrapped(PLAIN)), PLAIN)
DROPPED = [
    ("sip", b"\xff\xfe"),
    ("sip", b"REGISTER sip:x SIP/2.0\r\nno header\r\n\r\n"),
    ("sip", foreign()),
    ("sip", wrapped(PLAIN) + bytes(2048)),
    ("sip", RESPONSE),
    ("sip_payload", foreign("Natwatch: A")),
    ("short", foreign("Natwatch:")),
    ("short", wrapped(b"no STUN")),
    ("length", wrapped(PLAIN[:-4])),
    ("fingerprint", wrapped(PLAIN[:-4] + bytes(4))),
    ("not_a_request", wrapped(bytes(stun.build(stun.INDICATION, bytes(12), [])))),
    ("wrong_key", wrapped(Rig(master=bytes(32)).hold(nonce=b"A" * 16))),
]


@pytest.mark.parametrize(("counter", "data"), DROPPED)
def test_what_gets_no_answer_is_counted_by_name(counter: str, data: bytes) -> None:
    rig = Rig()
    assert rig.receive(data, ELSEWHERE, SIP) == []
    assert rig.counters == {counter: 1}

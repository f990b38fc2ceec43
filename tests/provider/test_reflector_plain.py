"""Strangers' STUN: RFC 8489, RFC 5780, RFC 3489, and what gets no answer."""

import struct

import pytest

from natwatch.wire import stun
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, SIP, A, B, Rig

CLASSIC = b"\x01\x02\x03\x04"


def request(*attributes: tuple[int, object], cookie: bytes = stun.MAGIC_COOKIE) -> bytes:
    txid = b"twelve bytes"
    return bytes(stun.build(stun.REQUEST, txid, attributes, cookie=cookie, fingerprint=False))


def raw(*attributes: tuple[int, bytes], cookie: bytes = stun.MAGIC_COOKIE, kind: int = 1) -> bytes:
    """A message with attributes that no table knows; values are multiples of 4 bytes."""
    body = b"".join(struct.pack(">HH", number, len(value)) + value for number, value in attributes)
    return struct.pack(">HH", kind, len(body)) + cookie + b"twelve bytes" + body


CHANGES = [
    # asked at, CHANGE-REQUEST, answered from, OTHER-ADDRESS
    ((A, 3478), 0, (A, 3478), (B, 3479)),
    ((A, 3478), stun.CHANGE_PORT, (A, 3479), (B, 3479)),
    ((A, 3478), stun.CHANGE_IP, (B, 3478), (B, 3479)),
    ((A, 3478), stun.CHANGE_IP | stun.CHANGE_PORT, (B, 3479), (B, 3479)),
    ((B, 3479), stun.CHANGE_IP | stun.CHANGE_PORT, (A, 3478), (A, 3478)),
    ((B, 3479), stun.CHANGE_PORT, (B, 3478), (A, 3478)),
    ((A, 5060), stun.CHANGE_PORT, (A, 3479), (B, 3479)),
    ((B, 10_000), stun.CHANGE_IP, (A, 10_000), (A, 3479)),
]


@pytest.mark.parametrize(("local", "change", "origin", "other"), CHANGES)
def test_an_answer_really_comes_from_the_endpoint_that_it_names(
    local: tuple[str, int], change: int, origin: tuple[str, int], other: tuple[str, int]
) -> None:
    [answer] = Rig().receive(request((stun.CHANGE_REQUEST, change)), ELSEWHERE, local)
    message = stun.parse(answer.data)
    assert (answer.local, answer.destination) == (origin, ELSEWHERE)
    assert message.klass == stun.SUCCESS and message.txid == b"twelve bytes"
    assert message.get(stun.XOR_MAPPED_ADDRESS) == ELSEWHERE
    assert message.get(stun.RESPONSE_ORIGIN) == origin
    assert message.get(stun.OTHER_ADDRESS) == other


@pytest.mark.parametrize(("local", "change", "origin", "other"), CHANGES)
def test_a_classic_client_gets_the_attributes_of_rfc_3489(
    local: tuple[str, int], change: int, origin: tuple[str, int], other: tuple[str, int]
) -> None:
    data = request((stun.CHANGE_REQUEST, change), cookie=CLASSIC)
    [answer] = Rig().receive(data, ELSEWHERE, local)
    message = stun.parse(answer.data)
    assert answer.data[4:20] == data[4:20]  # all 16 bytes of its id
    assert answer.local == origin
    assert message.get(stun.MAPPED_ADDRESS) == ELSEWHERE
    assert message.get(stun.SOURCE_ADDRESS) == origin
    assert message.get(stun.CHANGED_ADDRESS) == other
    assert not message.has(stun.XOR_MAPPED_ADDRESS)
    assert len(message.spans) == 3


def test_a_device_without_a_hold_is_a_stranger() -> None:
    """The first request of a stream tooth."""
    rig = Rig()
    [answer] = rig.receive(rig.request(), ELSEWHERE, SIP)
    assert stun.parse(answer.data).get(stun.XOR_MAPPED_ADDRESS) == ELSEWHERE
    assert rig.counters == {"plain": 1}


@pytest.mark.parametrize("value", [b"\x12\x34", b"\x12\x34\0\0"])
def test_response_port_leads_the_answer_to_another_port(value: bytes) -> None:
    [answer] = Rig().receive(request((stun.RESPONSE_PORT, value)), ELSEWHERE, CONTROL)
    assert answer.destination == (ELSEWHERE[0], 0x1234)
    assert stun.parse(answer.data).get(stun.XOR_MAPPED_ADDRESS) == ELSEWHERE


@pytest.mark.parametrize(
    "attributes",
    [
        [(stun.RESPONSE_PORT, b"\0\0\0\0")],
        [(stun.RESPONSE_PORT, b"\x12")],
        [(stun.RESPONSE_PORT, b"\x12\x34\0\0\0\0")],
        [(stun.RESPONSE_PORT, b"\x12\x34\0\0"), (stun.PADDING, bytes(8))],
    ],
)
def test_an_impossible_response_port_is_a_bad_request(
    attributes: list[tuple[int, object]],
) -> None:
    rig = Rig()
    [answer] = rig.receive(request(*attributes), ELSEWHERE, CONTROL)
    assert answer.destination == ELSEWHERE
    assert stun.parse(answer.data).get(stun.ERROR_CODE) == (400, "")
    assert rig.counters == {"plain_bad_request": 1}


def test_padding_comes_back_as_long_as_it_was() -> None:
    data = request((stun.PADDING, bytes(1400)))
    [answer] = Rig().receive(data, ELSEWHERE, CONTROL)
    assert len(stun.parse(answer.data).get(stun.PADDING)) == 1400
    assert len(answer.data) <= len(data) + 36


def test_attributes_that_must_be_understood_and_are_not_get_420() -> None:
    rig = Rig()
    data = raw((0x7ABC, bytes(4)), (0x0002, bytes(8)), (0x7ABC, b""), (0xFABC, bytes(4)))
    [answer] = rig.receive(data, ELSEWHERE, CONTROL)
    message = stun.parse(answer.data)
    assert (answer.local, answer.destination) == (CONTROL, ELSEWHERE)
    assert message.get(stun.ERROR_CODE) == (420, "")
    assert message.get(stun.UNKNOWN_ATTRIBUTES) == [0x0002, 0x7ABC]
    assert rig.counters == {"plain_unknown_attribute": 1}


def test_a_classic_client_that_names_another_address_for_the_answer_gets_420() -> None:
    """RFC 3489's RESPONSE-ADDRESS would let anyone aim our answers at anyone."""
    data = raw((0x0002, b"\0\1\x12\x34" + bytes(4)), cookie=CLASSIC)
    [answer] = Rig().receive(data, ELSEWHERE, CONTROL)
    message = stun.parse(answer.data)
    assert answer.data[4:20] == data[4:20] and answer.destination == ELSEWHERE
    assert message.get(stun.UNKNOWN_ATTRIBUTES) == [2, 2]  # RFC 3489, 11.2.9: an even number


DROPPED = [
    ("short", b"", CONTROL),
    ("short", b"\r\n\r\n", CONTROL),
    ("short", bytes(19), CONTROL),
    ("huge", bytes(2049), CONTROL),
    ("not_stun", b"\x80\x00" + bytes(170), (A, 8000)),
    ("length", raw()[:2] + b"\0\x08" + raw()[4:], CONTROL),
    ("attribute_length", raw() [:3] + b"\x04" + raw()[4:] + b"\0\x06\0\x08", CONTROL),
    ("attribute_length", raw((stun.CHANGE_REQUEST, bytes(8))), CONTROL),
    ("fingerprint", raw((stun.FINGERPRINT, bytes(4))), CONTROL),
    ("method", raw(kind=0x0003), CONTROL),
    ("not_a_request", raw(kind=0x0011), CONTROL),
    ("not_a_request", raw(kind=0x0101), CONTROL),
    ("not_a_request", raw(kind=0x0111), CONTROL),
    ("sip", b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n", SIP),
    ("sip", b"\r\n\r\n", SIP),
    ("malformed_extension", raw((stun.AUDIT, bytes(12))), CONTROL),
    ("malformed_extension", raw((stun.CANCEL, bytes(12))), CONTROL),
    ("malformed_extension", raw((stun.HOLD, bytes(12)), (stun.CONTROL, bytes(4))), CONTROL),
    ("malformed_extension", raw((stun.HOLD, bytes(12)), cookie=CLASSIC), CONTROL),
    ("wrong_key", raw((stun.HOLD, bytes(12))), CONTROL),
    ("attribute_value", raw((stun.HOLD, bytes(12)), (stun.USERNAME, b"\xff" * 4)), CONTROL),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "data", "local"), DROPPED)
def test_what_gets_no_answer_is_counted_by_name(
    counter: str, data: bytes, local: tuple[str, int]
) -> None:
    rig = Rig()
    assert rig.receive(data, ELSEWHERE, local) == []
    assert rig.counters == {counter: 1}


def test_an_impossible_hold_of_a_true_device_is_counted() -> None:
    rig = Rig()
    nonce = rig.nonce()
    good = stun.ATTRIBUTES[stun.HOLD]
    stun.ATTRIBUTES[stun.HOLD] = ("HOLD", stun.ATTRIBUTES[stun.CONTROL][1])
    try:
        data = rig.request((stun.NONCE, nonce), (stun.HOLD, bytes(7)))
    finally:
        stun.ATTRIBUTES[stun.HOLD] = good
    assert rig.receive(data, ELSEWHERE, SIP) == []
    assert rig.counters["attribute_length"] == 1


def test_nothing_is_sent_to_port_0() -> None:
    rig = Rig()
    assert rig.receive(request(), ("198.51.100.66", 0), CONTROL) == []
    assert rig.counters == {"source_port_0": 1}

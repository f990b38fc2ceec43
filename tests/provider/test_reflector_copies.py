"""Copies of what came on a collecting tooth's binding, and what a request looked like."""

import base64
import hashlib

import pytest

from natwatch.probes.alg import message
from natwatch.wire import sip, stun
from natwatch_provider.reflector import copies
from tests.provider.reflector_rig import ELSEWHERE, HOME, SIP, TOOTH, A, Rig

TXID = b"tooth-number"
OPTIONS = b"OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20\r\n\r\n"
PLAIN = bytes(stun.build(stun.REQUEST, b"twelve bytes", []))
INDICATION = bytes(stun.build(stun.INDICATION, b"twelve bytes", []))


def collect(rig: Rig, txid: bytes = TXID, **hold: object) -> None:
    asked = rig.hold(txid=txid, collect=True, **hold)  # type: ignore[arg-type]
    assert len(rig.receive(asked, TOOTH, SIP)) == 1


def fetch(rig: Rig, index: int, offset: int = 0, txid: bytes = TXID) -> stun.Copy:
    [copy] = rig.control((stun.FETCH, stun.Fetch(txid, index, offset))).get_all(stun.COPY)
    assert copy.index == index
    return copy


def nothing(copy: stun.Copy) -> bool:
    return (copy.total, copy.text, copy.digest) == (0, b"", bytes(32))


def count(rig: Rig) -> int:
    return int(fetch(rig, 255).count)


KEEPALIVES = [
    (b"", "collected"),
    (b"\r\n", "collected"),
    (b"\r\n\r\n", "collected"),
    (bytes(4), "collected"),
    (OPTIONS, "collected"),
    (b"\xff" * 2048, "collected"),
    (INDICATION, "collected"),
    (PLAIN, "plain"),
    (sip.request("192.0.2.1", PLAIN, "token-1"), "plain"),
    (sip.request("192.0.2.1", b"no STUN", "token-1"), "collected"),
]


@pytest.mark.parametrize(("data", "counter"), KEEPALIVES)
def test_every_kind_of_keepalive_is_kept_as_it_came(data: bytes, counter: str) -> None:
    rig = Rig()
    collect(rig)
    before = sum(rig.counters.values())
    answers = rig.receive(data, TOOTH, SIP, ttl=57, dscp=46)
    assert rig.counters[counter] == 1 and sum(rig.counters.values()) == before + 1
    assert len(answers) == (counter == "plain")  # handled as usual besides
    copy = fetch(rig, 0)
    assert (copy.count, copy.ttl, copy.dscp, copy.total) == (1, 57, 46, len(data))
    assert copy.digest == hashlib.sha256(data).digest()
    assert base64.b64decode(copy.text) == data[: stun.COPY_PART]


def test_copies_come_in_the_order_of_arrival() -> None:
    rig = Rig()
    collect(rig)
    for data in (b"one", b"two", b"two"):
        rig.receive(data, TOOTH, SIP)
    texts = [base64.b64decode(fetch(rig, index).text) for index in range(3)]
    assert texts == [b"one", b"two", b"two"]


def test_a_long_datagram_is_fetched_in_parts() -> None:
    rig = Rig()
    collect(rig)
    data = bytes(number % 251 for number in range(2048))
    rig.receive(data, TOOTH, SIP)
    parts = [fetch(rig, 0, offset) for offset in range(0, 2048, stun.COPY_PART)]
    assert [len(part.text) for part in parts] == [1024, 1024, 684]
    assert b"".join(base64.b64decode(part.text) for part in parts) == data
    assert {part.digest for part in parts} == {hashlib.sha256(data).digest()}
    assert fetch(rig, 0, 2048).text == b""


def test_an_answer_with_a_copy_fits_into_any_mtu() -> None:
    rig = Rig()
    collect(rig)
    rig.receive(bytes(2048), TOOTH, SIP)
    asked = (stun.FETCH, stun.Fetch(TXID, 0))
    assert len(rig.control(asked).data) + 28 <= 1280  # RFC 8200, section 5


@pytest.mark.parametrize(
    ("source", "local"), [(ELSEWHERE, SIP), ((TOOTH[0], 9), SIP), (TOOTH, (A, 3478))]
)
def test_what_comes_by_another_binding_is_not_kept(
    source: tuple[str, int], local: tuple[str, int]
) -> None:
    rig = Rig()
    collect(rig)
    rig.receive(b"\r\n\r\n", source, local)
    assert rig.counters.get("collected") is None
    assert count(rig) == 0


def test_a_tooth_that_did_not_ask_for_copies_has_none() -> None:
    rig = Rig()
    rig.receive(rig.hold(txid=TXID), TOOTH, SIP)
    rig.receive(b"\r\n\r\n", TOOTH, SIP)
    assert rig.counters["sip"] == 1
    assert count(rig) == 0


def test_a_refused_tooth_collects_nothing() -> None:
    rig = Rig()
    assert rig.receive(rig.hold(txid=TXID, collect=True, delay=900_001), TOOTH, SIP) == []
    rig.receive(b"\r\n\r\n", TOOTH, SIP)
    assert rig.counters["sip"] == 1


def test_messages_of_our_extension_are_not_kept() -> None:
    rig = Rig()
    request = rig.hold(txid=TXID, collect=True)
    rig.receive(request, TOOTH, SIP)
    rig.receive(request, TOOTH, SIP)  # repeated
    rig.receive(rig.hold(), TOOTH, SIP)  # another tooth on the same binding
    rig.receive(sip.request("192.0.2.1", rig.hold(), "token-2"), TOOTH, SIP)
    assert count(rig) == 0


def test_of_two_teeth_on_one_binding_the_later_one_collects() -> None:
    rig = Rig()
    collect(rig, delay=1_000, copies=1)
    rig.now += 30_000
    collect(rig, txid=b"later--tooth", delay=1_000, copies=1)
    rig.receive(b"first", TOOTH, SIP)
    list(rig.pass_time(rig.now + 100_000))  # the earlier one is forgotten
    rig.receive(b"second", TOOTH, SIP)
    assert fetch(rig, 0, txid=b"later--tooth").count == 2
    assert nothing(fetch(rig, 0))


def test_copies_live_as_long_as_the_record_and_no_longer() -> None:
    rig = Rig()
    collect(rig, delay=300_000, copies=1)
    rig.receive(b"\r\n", TOOTH, SIP)
    start = rig.now
    list(rig.pass_time(start + 359_000))
    assert count(rig) == 1
    list(rig.pass_time(start + 361_000))
    assert count(rig) == 0
    rig.receive(b"\r\n", TOOTH, SIP)
    assert rig.counters["sip"] == 1


def test_what_is_not_there_is_told_to_be_missing() -> None:
    rig = Rig()
    assert nothing(fetch(rig, 0)) and count(rig) == 0
    collect(rig)
    rig.receive(b"\r\n", TOOTH, SIP)
    missing = fetch(rig, 1)
    assert nothing(missing) and missing.count == 1


def test_a_device_cannot_fetch_the_copies_of_another() -> None:
    rig = Rig()
    collect(rig)
    rig.receive(b"secret", TOOTH, SIP)
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    assert nothing(fetch(other, 0)) and count(other) == 0


def test_copies_are_told_over_the_control_flow_with_a_good_nonce_only() -> None:
    rig = Rig()
    collect(rig)
    rig.receive(b"\r\n", TOOTH, SIP)
    asked = (stun.FETCH, stun.Fetch(TXID, 0))
    stale = rig.control(asked, (stun.PADDING, bytes(80)), nonce=b"AAAAAAAAAAAAAAAA")
    assert stale.get(stun.ERROR_CODE)[0] == 438 and not stale.has(stun.COPY)
    assert rig.receive(rig.request((stun.NONCE, rig.nonce()), asked), HOME, SIP) == []
    assert rig.counters["malformed_extension"] == 1


@pytest.mark.parametrize(
    "beside",
    [(stun.FETCH, stun.Fetch(TXID, 1)), (stun.AUDIT, [TXID]), (stun.CANCEL, [TXID])],
)
def test_a_fetch_stands_alone(beside: tuple[int, object]) -> None:
    rig = Rig()
    collect(rig)
    answer = rig.control((stun.FETCH, stun.Fetch(TXID, 0)), beside)
    assert answer.get(stun.ERROR_CODE)[0] == 400
    assert rig.audit(TXID)[0].outcome == stun.HELD  # nothing was canceled


# Limits


def test_a_tooth_keeps_32_datagrams() -> None:
    rig = Rig()
    collect(rig)
    for _ in range(33):
        rig.receive(bytes(4), TOOTH, SIP)
    assert (rig.counters["collected"], rig.counters["collect_full"]) == (32, 1)
    assert count(rig) == 32


def test_what_is_longer_than_2048_bytes_is_not_kept() -> None:
    rig = Rig()
    collect(rig)
    rig.receive(b"\xff" * 2049, TOOTH, SIP)
    assert rig.counters["collect_full"] == 1
    assert count(rig) == 0


def fill(rig: Rig, teeth: int) -> None:
    """Datagrams of 2,048 bytes on *teeth* bindings, 32 each."""
    for number in range(teeth):
        source = (TOOTH[0], 1_000 + number)
        rig.receive(rig.hold(collect=True), source, SIP)
        for _ in range(32):
            rig.receive(b"\xff" * 2048, source, SIP)


def test_one_device_keeps_64_kilobytes_and_gets_them_back() -> None:
    rig = Rig()
    fill(rig, 2)
    assert (rig.counters["collected"], rig.counters["collect_full"]) == (32, 32)
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    fill(other, 1)  # it has its own room
    assert rig.counters["collected"] == 64
    list(rig.pass_time(rig.now + 500_000))
    fill(rig, 1)
    assert rig.counters["collected"] == 96


def test_all_devices_together_keep_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natwatch_provider.reflector.holds.MAX_BYTES", 64 * 1024)
    rig = Rig()
    fill(rig, 1)
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    fill(other, 1)
    assert (rig.counters["collected"], rig.counters["collect_full"]) == (32, 32)
    list(rig.pass_time(rig.now + 500_000))
    other.now = rig.now
    fill(other, 1)  # forgotten records give their room back
    assert rig.counters["collected"] == 64


def test_room_that_the_outer_room_refuses_is_not_taken() -> None:
    outer = copies.Room(1_000)
    inner = copies.Room(2_000, outer)
    assert not inner.take(1_500)
    assert (inner.free, outer.free) == (2_000, 1_000)
    assert inner.take(900)
    inner.give(900)
    assert (inner.free, outer.free) == (2_000, 1_000)


def test_an_empty_datagram_takes_room_as_well() -> None:
    room = copies.Room(3 * copies.LEAST_CHARGE)
    kept = copies.Copies(room)
    assert [kept.keep(b"", 64, 0) for _ in range(4)] == [True, True, True, False]
    kept.clear()
    assert room.free == 3 * copies.LEAST_CHARGE


# RECEIVED


def test_a_successful_control_answer_tells_the_requests_ttl_and_dscp() -> None:
    rig = Rig()
    nonce = rig.nonce()
    data = rig.request((stun.NONCE, nonce), (stun.CONTROL, bytes(4)))
    [answer] = rig.receive(data, HOME, (A, 3478), ttl=61, dscp=26)
    assert stun.parse(answer.data).get(stun.RECEIVED) == (61, 26)


REGISTER = message("REGISTER", A, "192.168.1.20", "ab" * 12)
INVITE = message("INVITE", A, "192.168.1.20", "cd" * 12)


@pytest.mark.parametrize("asked", [REGISTER, INVITE])
def test_real_sip_gets_a_servers_answer_where_it_was_asked_for_and_a_copy_is_kept(
    asked: bytes,
) -> None:
    rig = Rig()
    collect(rig, reply=True)
    [first] = rig.receive(asked, TOOTH, SIP)
    [second] = rig.receive(asked, TOOTH, SIP)
    assert (first.local, first.destination) == (SIP, TOOTH) and first.data == second.data
    answer, question = sip.parse(first.data), sip.parse(asked)
    assert answer.start == "SIP/2.0 200 OK"
    for name in ("call-id", "cseq", "from"):
        assert answer.get(name) == question.get(name), name
    assert f"rport={TOOTH[1]};received={TOOTH[0]}" in str(answer.get("via"))
    body = first.data.partition(b"\r\n\r\n")[2]
    assert answer.get("content-length") == str(len(body)) and bool(body) == (asked is INVITE)
    copy = fetch(rig, 1)
    assert (copy.ttl, copy.digest) == (0, hashlib.sha256(first.data).digest())
    assert count(rig) == 4


def test_without_asking_or_from_elsewhere_real_sip_gets_no_answer() -> None:
    rig = Rig()
    collect(rig)
    assert rig.receive(INVITE, TOOTH, SIP) == []
    rig = Rig()
    collect(rig, reply=True)
    assert rig.receive(INVITE, (TOOTH[0], TOOTH[1] + 1), SIP) == []
    for foreign in (
        b"INVITE sip:x SIP/2.0\r\n\r\n",  # no Via
        b"BYE" + INVITE[6:],
        b"INVITE sip:x SIP/2.0\r\nVia: \0\r\n folded\r\n\r\n",
        INVITE + b"x" * 2000,
        INVITE.replace(b"Via: ", b"Via: " + b"x" * 1300),  # its answer would go in fragments
        b"SIP/2.0 200 OK\r\nVia: a\r\nCall-ID: b\r\n\r\n",
        b"",
    ):
        assert rig.receive(foreign, TOOTH, SIP) == [], foreign


def test_no_more_answers_are_sent_than_copies_are_kept_of_and_none_after_a_cancel() -> None:
    rig = Rig()
    collect(rig, reply=True)
    sent = [rig.receive(INVITE, TOOTH, SIP) for _ in range(40)]
    assert len([one for one in sent if one]) == copies.MAX_COPIES_OF_TOOTH // 2
    rig.control((stun.CANCEL, [TXID]))
    assert rig.receive(INVITE, TOOTH, SIP) == [] and count(rig) == 0

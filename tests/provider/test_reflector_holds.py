"""Holds, pushes, witnesses and audits, as tables of datagrams in and out (docs/protocol.md)."""

import pytest

from natwatch.wire import stun
from natwatch_provider.reflector import holds
from tests.provider.reflector_rig import (
    BOOT_ID,
    CONTROL,
    ELSEWHERE,
    HOME,
    SIP,
    TOOTH,
    WALL,
    A,
    B,
    Rig,
)

TXID = b"tooth-number"


def facts(record: stun.Record) -> tuple[str, int, int, int]:
    return stun.OUTCOMES[record.outcome], record.requests, record.answers, record.copies


def open_tooth(rig: Rig, **hold: object) -> int:
    """A tooth from TOOTH to 5060; the time of its request."""
    rig.receive(rig.hold(txid=TXID, **hold), TOOTH, SIP)  # type: ignore[arg-type]
    return rig.now


def timeline(rig: Rig, until: int, start: int) -> list[tuple[int, str, int]]:
    """(ms after *start*, push or witness, copy) of all that leaves until then."""
    seen = []
    for when, datagram in rig.pass_time(until):
        message = stun.parse(datagram.data)
        assert message.authentic(rig.key)
        assert message.klass == stun.INDICATION
        kind = "push" if message.has(stun.PUSH) else "witness"
        pushed = message.get(stun.PUSH) or message.get(stun.WITNESS)
        assert pushed.txid == TXID
        seen.append((when - start, kind, pushed.copy))
    return seen


# The control flow


def test_a_request_without_a_nonce_is_told_one_and_the_time() -> None:
    rig = Rig()
    data = rig.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    [answer] = rig.receive(data, HOME, CONTROL)
    message = stun.parse(answer.data)
    assert message.authentic(rig.key)
    assert message.get(stun.ERROR_CODE)[0] == 438
    assert len(message.get(stun.NONCE)) == 16
    assert message.get(stun.BOOT_ID) == BOOT_ID
    assert message.get(stun.TIME) == WALL
    assert len(answer.data) <= len(data)


def test_a_request_without_padding_and_nonce_gets_nothing() -> None:
    rig = Rig()
    assert rig.receive(rig.request((stun.CONTROL, bytes(4))), HOME, CONTROL) == []
    assert rig.counters == {"unpadded": 1}


def test_a_good_control_request_is_told_its_address_and_all_else() -> None:
    rig = Rig()
    message = rig.control()
    assert message.klass == stun.SUCCESS
    assert message.get(stun.XOR_MAPPED_ADDRESS) == HOME
    assert message.get(stun.BOOT_ID) == BOOT_ID
    assert message.get(stun.TIME) == WALL
    assert len(message.get(stun.NONCE)) == 16


def test_a_wrong_key_is_told_so_without_a_mac() -> None:
    rig = Rig(master=b"another master key".ljust(32))
    data = rig.request((stun.CONTROL, bytes(4)))
    [answer] = rig.receive(data, HOME, CONTROL)
    message = stun.parse(answer.data)
    assert message.get(stun.ERROR_CODE) == (401, "")
    assert not message.has(stun.MESSAGE_INTEGRITY_SHA256)
    assert len(answer.data) <= len(data)
    assert rig.counters == {"wrong_key": 1}


@pytest.mark.parametrize("name", ["", "box/1", "box 1", "x" * 65])
def test_a_bad_device_id_is_a_wrong_key(name: str) -> None:
    rig = Rig(device=name)
    [answer] = rig.receive(rig.request((stun.CONTROL, bytes(4))), HOME, CONTROL)
    assert stun.parse(answer.data).get(stun.ERROR_CODE) == (401, "")
    assert rig.counters == {"wrong_key": 1}


def test_a_nonce_is_good_for_120_seconds() -> None:
    rig = Rig()
    nonce = rig.nonce()
    rig.now += 120_000
    assert rig.control(nonce=nonce).klass == stun.SUCCESS
    rig.now += 1_000
    padding = (stun.PADDING, bytes(80))
    assert rig.control(padding, nonce=nonce).get(stun.ERROR_CODE)[0] == 438


@pytest.mark.parametrize(
    "nonce", [b"", b"AAAA", b"*" * 16, b"/////////w==", b"/" * 16, b"A" * 16, b"\xff" * 16]
)
def test_a_made_up_nonce_is_stale(nonce: bytes) -> None:
    rig = Rig()
    request = rig.request((stun.NONCE, nonce), (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    [answer] = rig.receive(request, HOME, CONTROL)
    assert stun.parse(answer.data).get(stun.ERROR_CODE)[0] == 438


def test_a_nonce_of_another_address_is_refused_and_of_another_port_is_not() -> None:
    rig = Rig()
    nonce = rig.nonce(HOME)
    padding = (stun.PADDING, bytes(80))
    other_port = (HOME[0], HOME[1] + 7)
    assert rig.control(nonce=nonce, source=other_port).klass == stun.SUCCESS
    assert rig.control(padding, nonce=nonce, source=ELSEWHERE).get(stun.ERROR_CODE)[0] == 438


def test_sixteen_transactions_may_be_asked_about_and_seventeen_may_not() -> None:
    rig = Rig()
    ids = [rig.txid() for _ in range(17)]
    assert [record.txid for record in rig.audit(*ids[:16])] == ids[:16]
    both = rig.control((stun.AUDIT, ids[:8]), (stun.CANCEL, ids[8:]))
    assert both.get(stun.ERROR_CODE)[0] == 400


# Teeth


@pytest.mark.parametrize("answer", [True, False])
def test_a_tooth_is_answered_now_or_not_at_all(answer: bool) -> None:
    rig = Rig()
    sent = rig.receive(rig.hold(answer, txid=TXID), TOOTH, SIP)
    assert len(sent) == answer
    for datagram in sent:
        message = stun.parse(datagram.data)
        assert (datagram.local, datagram.destination) == (SIP, TOOTH)
        assert message.klass == stun.SUCCESS and message.txid == TXID
        assert message.authentic(rig.key)
        assert message.get(stun.XOR_MAPPED_ADDRESS) == TOOTH


# copies, what leaves at which ms after the delay
COPIES = [
    (1, [(0, "push", 1)]),
    (2, [(0, "push", 1), (100, "witness", 1), (200, "push", 2)]),
    (3, [(0, "push", 1), (100, "witness", 1), (200, "push", 2), (300, "witness", 2),
         (400, "push", 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("copies", "expected"), COPIES)
def test_witnesses_go_between_the_copies_and_nowhere_else(
    copies: int, expected: list[tuple[int, str, int]]
) -> None:
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=40_000, copies=copies)
    assert timeline(rig, start + 300_000, start + 40_000) == expected


def test_a_push_tells_how_long_the_binding_was_idle() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=40_000, copies=2)
    rig.now = start + 40_007  # the loop was busy
    [push] = rig.reflector.handle_timer(rig.now)
    assert stun.parse(push.data).get(stun.PUSH).idle == 40_007
    [(when, second)] = [item for item in rig.pass_time(start + 41_000)]
    assert stun.parse(second.data).get(stun.PUSH).idle == when - start
    assert rig.audit(TXID)[0].idle == when - start


@pytest.mark.parametrize(
    ("change", "local"),
    [
        (0, SIP),
        (stun.CHANGE_PORT, (A, 3479)),
        (stun.CHANGE_IP, (B, 5060)),
        (stun.CHANGE_IP | stun.CHANGE_PORT, (B, 3479)),
    ],
)
def test_a_push_leaves_from_the_endpoint_asked(change: int, local: tuple[str, int]) -> None:
    rig = Rig()
    start = open_tooth(rig, change=change, copies=1)
    [(_, push)] = rig.pass_time(start + 10_000)
    assert (push.local, push.destination) == (local, TOOTH)


def test_witnesses_go_to_the_latest_control_address() -> None:
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=40_000)
    moved = ("203.0.113.9", 50_000)
    rig.control(source=moved)
    witnesses = [
        datagram.destination
        for _, datagram in rig.pass_time(start + 50_000)
        if stun.parse(datagram.data).has(stun.WITNESS)
    ]
    assert witnesses == [moved, moved]


def test_a_control_address_is_forgotten_after_120_seconds_without_a_request() -> None:
    for age, witnesses in ((119_000, 2), (121_000, 0)):
        rig = Rig()
        rig.control()
        start = open_tooth(rig, delay=age)
        seen = timeline(rig, start + age + 1_000, start)
        assert len([kind for _, kind, _ in seen if kind == "witness"]) == witnesses


def test_each_control_request_keeps_the_control_address_for_another_120_seconds() -> None:
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=210_000)
    list(rig.pass_time(start + 100_000))
    rig.control()
    seen = timeline(rig, start + 300_000, start)
    assert [kind for _, kind, _ in seen if kind == "witness"] == ["witness"] * 2


def test_a_wrong_key_gets_no_push() -> None:
    rig, honest = Rig(master=bytes(32)), Rig()
    rig.receive(rig.hold(nonce=honest.nonce()), TOOTH, SIP)
    assert list(rig.pass_time(rig.now + 1_000_000)) == []
    assert rig.counters == {"wrong_key": 1}


def test_a_device_cannot_use_the_key_of_another() -> None:
    rig = Rig()
    nonce = rig.nonce()
    rig.device = "box-2"  # under the key of box-1
    assert rig.receive(rig.hold(nonce=nonce), TOOTH, SIP) == []
    assert rig.reflector.next_timer() is None
    assert rig.counters["wrong_key"] == 1


# what is wrong with the hold, outcome, counter
REFUSED = [
    ({"nonce": b"AAAAAAAAAAAAAAAA"}, "stale nonce", "stale_nonce"),
    ({"delay": 900_001}, "refused", "refused_delay"),
    ({"copies": 0}, "refused", "refused_copies"),
    ({"copies": 4}, "refused", "refused_copies"),
    ({"change": 1}, "refused", "refused_source"),
]


@pytest.mark.parametrize(("wrong", "outcome", "counter"), REFUSED)
def test_a_refused_tooth_gets_nothing_and_the_audit_tells_why(
    wrong: dict[str, object], outcome: str, counter: str
) -> None:
    rig = Rig()
    assert rig.receive(rig.hold(txid=TXID, **wrong), TOOTH, SIP) == []  # type: ignore[arg-type]
    assert rig.counters[counter] == 1
    assert facts(rig.audit(TXID)[0]) == (outcome, 1, 0, 0)
    assert list(rig.pass_time(rig.now + 1_000_000)) == []


def test_a_tooth_from_an_address_that_the_nonce_was_not_for_gets_nothing() -> None:
    rig = Rig()
    assert rig.receive(rig.hold(txid=TXID), ELSEWHERE, SIP) == []
    assert rig.counters["wrong_address"] == 1
    assert facts(rig.audit(TXID)[0]) == ("wrong address", 1, 0, 0)
    assert list(rig.pass_time(rig.now + 1_000_000)) == []


def test_the_largest_delay_is_taken() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=900_000, copies=1)
    assert timeline(rig, start + 900_000, start) == [(900_000, "push", 1)]


def test_a_tooth_with_an_attribute_we_do_not_know_is_refused() -> None:
    rig = Rig()
    nonce = rig.nonce()
    stun.ATTRIBUTES[0x7E7E] = ("FUTURE", stun.ATTRIBUTES[stun.CONTROL][1])
    try:
        data = rig.request(
            (stun.NONCE, nonce), (stun.HOLD, stun.Hold(True, 1_000, 1)), (0x7E7E, b""), txid=TXID
        )
    finally:
        del stun.ATTRIBUTES[0x7E7E]
    assert rig.receive(data, TOOTH, SIP) == []
    assert rig.counters["refused_attribute"] == 1


# Repeats


def test_a_repeat_within_2_seconds_is_answered_and_starts_the_delay_anew() -> None:
    rig = Rig()
    data = rig.hold(delay=40_000, copies=1, txid=TXID)
    start = rig.now
    for after in (0, 500, 2_000):
        rig.now = start + after
        assert len(rig.receive(data, TOOTH, SIP)) == 1
    assert timeline(rig, start + 100_000, start) == [(42_000, "push", 1)]
    [record] = rig.audit(TXID)
    assert facts(record) == ("pushed", 3, 3, 1)
    assert record.idle == 40_000


def test_a_later_repeat_is_counted_and_moves_nothing() -> None:
    rig = Rig()
    data = rig.hold(delay=40_000, copies=1, txid=TXID)
    rig.receive(data, TOOTH, SIP)
    start = rig.now
    rig.now += 2_001
    assert rig.receive(data, TOOTH, SIP) == []
    assert rig.counters["repeated"] == 1
    assert timeline(rig, start + 100_000, start) == [(40_000, "push", 1)]
    assert facts(rig.audit(TXID)[0]) == ("pushed", 2, 1, 1)


@pytest.mark.parametrize(
    ("source", "local"), [((TOOTH[0], 9), SIP), (TOOTH, (B, 5060)), (TOOTH, (A, 3478))]
)
def test_a_repeat_from_or_to_elsewhere_is_not_even_in_the_record(
    source: tuple[str, int], local: tuple[str, int]
) -> None:
    rig = Rig()
    data = rig.hold(copies=1, txid=TXID)
    rig.receive(data, TOOTH, SIP)
    assert rig.receive(data, source, local) == []
    assert rig.counters["repeated"] == 1
    [record] = rig.audit(TXID)
    assert facts(record) == ("held", 1, 1, 0)
    assert record.mapped == TOOTH


def test_a_repeated_transaction_never_pushes_twice() -> None:
    """Not even at the last moment at which its nonce is good."""
    rig = Rig()
    nonce = rig.nonce()
    data = rig.hold(delay=100, copies=1, nonce=nonce, txid=TXID)
    pushes = 0
    start = rig.now
    for after in range(0, 130_000, 250):
        rig.receive(data, TOOTH, SIP)
        pushes += len(list(rig.pass_time(start + after)))
    pushes += len(list(rig.pass_time(start + 2_000_000)))
    assert pushes == 1


def test_a_repeat_between_two_copies_does_not_move_the_next() -> None:
    rig = Rig()
    data = rig.hold(delay=500, copies=2, txid=TXID)
    rig.receive(data, TOOTH, SIP)
    start = rig.now
    assert timeline(rig, start + 550, start) == [(500, "push", 1)]
    assert rig.receive(data, TOOTH, SIP) == []
    assert timeline(rig, start + 10_000, start) == [(700, "push", 2)]


def test_a_repeat_does_not_wake_a_canceled_tooth() -> None:
    rig = Rig()
    data = rig.hold(txid=TXID)
    rig.receive(data, TOOTH, SIP)
    rig.control((stun.CANCEL, [TXID]))
    assert rig.receive(data, TOOTH, SIP) == []
    assert facts(rig.audit(TXID)[0]) == ("canceled", 2, 1, 0)
    assert list(rig.pass_time(rig.now + 1_000_000)) == []


# Audit and cancel


def test_an_audit_follows_a_tooth_through_its_life() -> None:
    rig = Rig()
    assert facts(rig.audit(TXID)[0]) == ("unseen", 0, 0, 0)
    start = open_tooth(rig, delay=1_000)
    assert facts(rig.audit(TXID)[0]) == ("held", 1, 1, 0)
    list(rig.pass_time(start + 1_250))
    assert facts(rig.audit(TXID)[0]) == ("pushed", 1, 1, 2)
    list(rig.pass_time(start + 1_400))
    assert facts(rig.audit(TXID)[0]) == ("pushed", 1, 1, 3)
    list(rig.pass_time(start + 200_000))
    assert facts(rig.audit(TXID)[0]) == ("unseen", 0, 0, 0)


def test_a_record_is_kept_for_60_seconds_after_the_last_copy() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=300_000, copies=1)
    list(rig.pass_time(start + 359_000))
    assert facts(rig.audit(TXID)[0])[0] == "pushed"
    list(rig.pass_time(start + 361_000))
    assert facts(rig.audit(TXID)[0])[0] == "unseen"


def test_a_canceled_tooth_pushes_no_more() -> None:
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=1_000)
    list(rig.pass_time(start + 1_150))  # one copy and one witness
    canceled = rig.control((stun.CANCEL, [TXID])).get_all(stun.RECORD)
    assert [facts(record) for record in canceled] == [("canceled", 1, 1, 1)]
    assert list(rig.pass_time(start + 1_000_000)) == []


def test_canceling_what_was_pushed_or_never_seen_changes_nothing() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=1_000)
    list(rig.pass_time(start + 2_000))
    records = rig.control((stun.CANCEL, [TXID, b"never-seen-x"])).get_all(stun.RECORD)
    assert [facts(record)[0] for record in records] == ["pushed", "unseen"]


def test_a_device_neither_sees_nor_cancels_the_teeth_of_another() -> None:
    rig = Rig()
    start = open_tooth(rig, copies=1)
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    records = other.control((stun.CANCEL, [TXID])).get_all(stun.RECORD)
    assert facts(records[0])[0] == "unseen"
    assert len(timeline(rig, start + 10_000, start)) == 1


def test_a_push_that_the_system_refused_is_not_in_the_audit() -> None:
    rig = Rig()
    start = open_tooth(rig, copies=3)
    for number, (_, datagram) in enumerate(rig.pass_time(start + 20_000)):
        if number == 1:
            rig.reflector.unsent(datagram)
    assert facts(rig.audit(TXID)[0]) == ("pushed", 1, 1, 2)
    assert rig.counters["send_error"] == 1


# Limits


def test_a_device_waits_for_512_pushes_at_most_and_others_are_not_touched() -> None:
    rig = Rig()
    nonce = rig.nonce()
    for _ in range(512):
        rig.receive(rig.hold(False, 900_000, nonce=nonce), TOOTH, SIP)
    assert rig.receive(rig.hold(True, nonce=nonce, txid=TXID), TOOTH, SIP) == []
    assert rig.counters["refused_outstanding"] == 1
    assert facts(rig.audit(TXID)[0]) == ("refused", 1, 0, 0)
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    assert len(other.receive(other.hold(), TOOTH, SIP)) == 1


def test_a_place_is_free_again_once_pushed_or_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "MAX_OUTSTANDING", 1)
    rig = Rig()
    start = open_tooth(rig, delay=1_000, copies=1)
    assert rig.receive(rig.hold(), TOOTH, SIP) == []
    list(rig.pass_time(start + 1_000))
    second = rig.txid()
    assert len(rig.receive(rig.hold(txid=second), TOOTH, SIP)) == 1
    rig.control((stun.CANCEL, [second]))
    assert len(rig.receive(rig.hold(), TOOTH, SIP)) == 1


@pytest.mark.parametrize(
    ("limit", "counter"), [("MAX_TEETH_OF_ONE", "refused_teeth"), ("MAX_TEETH", "refused_total")]
)
def test_a_full_table_refuses_and_pushes_nothing_out(
    monkeypatch: pytest.MonkeyPatch, limit: str, counter: str
) -> None:
    monkeypatch.setattr(holds, limit, 1)
    rig = Rig()
    start = open_tooth(rig, copies=1)
    assert rig.receive(rig.hold(), TOOTH, SIP) == []
    assert rig.counters[counter] == 1
    assert len(timeline(rig, start + 10_000, start)) == 1


def test_replayed_failures_leave_room_for_good_teeth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "MAX_FAILURES", 3)
    rig = Rig()
    for _ in range(5):
        rig.receive(rig.hold(nonce=b"AAAAAAAAAAAAAAAA"), TOOTH, SIP)
    assert (rig.counters["stale_nonce"], rig.counters["refused_failures"]) == (3, 2)
    assert len(rig.receive(rig.hold(delay=900_000), TOOTH, SIP)) == 1
    list(rig.pass_time(rig.now + 200_000))  # forgotten: there is room for as many again
    for _ in range(5):
        rig.receive(rig.hold(nonce=b"AAAAAAAAAAAAAAAA"), TOOTH, SIP)
    assert (rig.counters["stale_nonce"], rig.counters["refused_failures"]) == (6, 4)


def test_no_more_devices_are_known_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "MAX_DEVICES", 1)
    rig = Rig()
    rig.control()
    other = Rig(device="box-2")
    other.reflector, other.now = rig.reflector, rig.now
    assert other.control().klass == stun.SUCCESS  # answered, but no witness would come
    assert rig.counters["control_refused"] == 1
    assert other.receive(other.hold(), TOOTH, SIP) == []
    assert rig.counters["refused_devices"] == 1


def test_everything_is_forgotten_in_the_end() -> None:
    rig = Rig()
    rig.control()
    open_tooth(rig, delay=900_000)
    rig.control((stun.CANCEL, [TXID]))
    rig.receive(rig.hold(nonce=b"AAAAAAAAAAAAAAAA"), TOOTH, SIP)
    list(rig.pass_time(rig.now + 1_100_000))
    assert rig.reflector.next_timer() is None
    assert rig.reflector._holds._devices == {}
    assert rig.reflector._holds._teeth == 0

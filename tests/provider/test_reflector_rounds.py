"""Rounds of pushes before the last one, and pushes from a port that was never contacted."""

import pytest

from natwatch.wire import stun
from tests.provider.reflector_rig import LAYOUT, SIP, TOOTH, A, B, Rig

TXID = b"tooth-number"


def open_tooth(rig: Rig, **hold: object) -> int:
    """A tooth from TOOTH to 5060; the time of its request."""
    rig.receive(rig.hold(txid=TXID, **hold), TOOTH, SIP)  # type: ignore[arg-type]
    return rig.now


def timeline(rig: Rig, until: int, start: int) -> list[tuple[int, str, int, int]]:
    """(ms after *start*, push or witness, copy, idle) of all that leaves until then."""
    seen = []
    for when, datagram in rig.pass_time(until):
        message = stun.parse(datagram.data)
        assert message.authentic(rig.key) and message.klass == stun.INDICATION
        kind = "push" if message.has(stun.PUSH) else "witness"
        pushed = message.get(stun.PUSH) or message.get(stun.WITNESS)
        assert pushed.txid == TXID
        seen.append((when - start, kind, pushed.copy, pushed.idle))
    return seen


def facts(record: stun.Record) -> tuple[str, int, int]:
    return stun.OUTCOMES[record.outcome], record.copies, record.idle


def test_earlier_rounds_are_like_the_last_but_their_copies_have_the_number_0() -> None:
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=30_000, copies=2, earlier=[10_000, 20_000])
    expected = []
    for at, numbers in ((10_000, (0, 0)), (20_000, (0, 0)), (30_000, (1, 2))):
        expected += [
            (at, "push", numbers[0], at),
            (at + 100, "witness", numbers[0], at),
            (at + 200, "push", numbers[1], at + 200),
        ]
    assert timeline(rig, start + 200_000, start) == expected


def test_the_record_speaks_of_the_last_round_only() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=30_000, copies=2, earlier=[10_000])
    list(rig.pass_time(start + 29_999))
    assert rig.counters["pushed"] == 2
    assert facts(rig.audit(TXID)[0]) == ("held", 0, 0)
    list(rig.pass_time(start + 30_000))
    assert facts(rig.audit(TXID)[0]) == ("pushed", 1, 30_000)
    list(rig.pass_time(start + 31_000))
    assert facts(rig.audit(TXID)[0]) == ("pushed", 2, 30_200)


def test_a_repeated_request_moves_every_round() -> None:
    rig = Rig()
    data = rig.hold(delay=6_000, copies=1, earlier=[2_500, 4_000], txid=TXID)
    start = rig.now
    rig.receive(data, TOOTH, SIP)
    list(rig.pass_time(start + 1_500))
    assert len(rig.receive(data, TOOTH, SIP)) == 1
    assert timeline(rig, start + 60_000, start) == [
        (4_000, "push", 0, 2_500), (5_500, "push", 0, 4_000), (7_500, "push", 1, 6_000)
    ]  # fmt: skip


def test_a_repeat_after_the_first_round_moves_nothing() -> None:
    """Also between two rounds, when the step in the round is 0 again."""
    rig = Rig()
    data = rig.hold(delay=3_000, copies=1, earlier=[1_000], txid=TXID)
    start = rig.now
    rig.receive(data, TOOTH, SIP)
    assert timeline(rig, start + 1_500, start) == [(1_000, "push", 0, 1_000)]
    assert rig.receive(data, TOOTH, SIP) == []
    assert rig.counters["repeated"] == 1
    assert timeline(rig, start + 60_000, start) == [(3_000, "push", 1, 3_000)]


def test_a_cancel_stops_the_rounds_that_are_left() -> None:
    rig = Rig()
    start = open_tooth(rig, delay=30_000, copies=3, earlier=[10_000, 20_000])
    list(rig.pass_time(start + 10_250))
    [record] = rig.control((stun.CANCEL, [TXID])).get_all(stun.RECORD)
    assert facts(record) == ("canceled", 0, 0)
    assert list(rig.pass_time(start + 1_000_000)) == []


IMPOSSIBLE = [
    [10_000, 9_000],
    [5_000, 5_000],
    [5_000, 5_999],
    [29_001],
    [30_000],
    [40_000],
    [1_000 * n for n in range(17)],
]
POSSIBLE = [[], [0], [29_000], [5_000, 6_000], [1_000 * n for n in range(16)]]


@pytest.mark.parametrize("earlier", IMPOSSIBLE)
def test_impossible_rounds_are_refused(earlier: list[int]) -> None:
    rig = Rig()
    assert rig.receive(rig.hold(delay=30_000, earlier=earlier, txid=TXID), TOOTH, SIP) == []
    assert rig.counters["refused_earlier"] == 1
    assert facts(rig.audit(TXID)[0])[0] == "refused"
    assert list(rig.pass_time(rig.now + 1_000_000)) == []


@pytest.mark.parametrize("earlier", POSSIBLE)
def test_possible_rounds_are_all_pushed(earlier: list[int]) -> None:
    rig = Rig()
    start = open_tooth(rig, delay=30_000, copies=1, earlier=earlier)
    expected = [(at, "push", 0, at) for at in earlier] + [(30_000, "push", 1, 30_000)]
    assert timeline(rig, start + 1_000_000, start) == expected


@pytest.mark.parametrize("copies", [1, 2])
def test_a_copy_of_an_earlier_round_that_was_not_sent_leaves_the_last_rounds_count(
    copies: int,
) -> None:
    rig = Rig()
    start = open_tooth(rig, delay=3_000, copies=copies, earlier=[1_000])
    for when, datagram in rig.pass_time(start + 60_000):
        if when - start < 2_000:
            rig.reflector.unsent(datagram)
    assert rig.counters["send_error"] == copies
    assert facts(rig.audit(TXID)[0])[:2] == ("pushed", copies)


@pytest.mark.parametrize("failing", [1_000, 3_000])
def test_no_witness_speaks_for_a_copy_that_the_system_refused(failing: int) -> None:
    """A witness without its copy would make an expiry of a full send buffer."""
    rig = Rig()
    rig.control()
    start = open_tooth(rig, delay=3_000, copies=3, earlier=[1_000])
    witnesses = []
    for when, datagram in rig.pass_time(start + 60_000):
        if stun.parse(datagram.data).has(stun.WITNESS):
            witnesses.append(when - start)
        elif when - start == failing:
            rig.reflector.unsent(datagram)
    assert witnesses == [at for at in (1_100, 1_300, 3_100, 3_300) if at != failing + 100]
    assert rig.counters["witness_without_copy"] == 1


# A port never contacted


MEDIA = LAYOUT.media


@pytest.mark.parametrize(
    ("drawn", "asked", "source", "expected"),
    [
        (0, SIP, stun.ANY_PORT, (A, 8000)),
        (77, SIP, stun.ANY_PORT | stun.CHANGE_IP, (B, 8077)),
        (77, (A, 8077), stun.ANY_PORT, (A, 10_000)),
        (1_999, (B, 10_000), stun.ANY_PORT | stun.CHANGE_IP, (A, 9_999)),
    ],
)
def test_a_push_from_any_port_leaves_from_a_media_port_that_was_not_asked(
    drawn: int, asked: tuple[str, int], source: int, expected: tuple[str, int]
) -> None:
    limits = []

    def draw(below: int) -> int:
        limits.append(below)
        return drawn

    rig = Rig(draw=draw)
    rig.receive(rig.hold(change=source, copies=3, txid=TXID), TOOTH, asked)
    pushes = [push for _, push in rig.pass_time(rig.now + 60_000)]
    assert [(push.local, push.destination) for push in pushes] == [(expected, TOOTH)] * 3
    assert limits == [len(MEDIA) - 1]


@pytest.mark.parametrize("source", [stun.ANY_PORT | stun.CHANGE_PORT, 0x10 | stun.ANY_PORT])
def test_any_port_and_another_port_together_are_refused(source: int) -> None:
    rig = Rig()
    assert rig.receive(rig.hold(change=source, txid=TXID), TOOTH, SIP) == []
    assert rig.counters["refused_source"] == 1

"""Token buckets under a clock of the test's own, and what the reflector's core does by them."""

import pytest

from natwatch.wire import sip, stun
from natwatch_provider.reflector.limits import (
    DEVICE_BURST,
    DEVICE_RATE,
    PREFIX_BURST,
    PREFIX_RATE,
    PROVEN_BURST,
    PROVEN_FOR,
    PROVEN_RATE,
    UNPROVEN_BURST,
    Buckets,
    Limits,
)
from tests.provider.reflector_rig import CONTROL, HOME, SIP, TOOTH, Rig

PLAIN = stun.build(stun.REQUEST, b"twelve bytes", [])


def passed(buckets: Buckets, key: str, times: int, now: int) -> int:
    return sum(buckets.take(key, now) for _ in range(times))


@pytest.mark.parametrize(
    ("rest", "expected"),
    [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (1_000, 100), (4_999, 499), (5_000, 500),
     (5_010, 500), (86_400_000, 500)],
)  # fmt: skip
def test_a_bucket_fills_with_its_rate_up_to_its_burst(rest: int, expected: int) -> None:
    buckets = Buckets(rate=100, burst=500)
    assert passed(buckets, "a", 600, now=7_000) == 500
    assert passed(buckets, "a", 600, now=7_000 + rest) == expected


def test_what_is_refused_costs_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.take("a", 0)
    assert [buckets.take("a", now) for now in range(100, 1_000, 100)] == [False] * 9
    assert buckets.take("a", 1_000)


def test_a_steady_stream_at_the_rate_always_passes_and_above_it_passes_the_rate() -> None:
    at_rate, above = Buckets(rate=200, burst=10), Buckets(rate=200, burst=10)
    assert all(at_rate.take("a", now) for now in range(0, 60_000, 5))
    assert sum(above.take("a", now) for now in range(0, 60_000)) == 60 * 200 + 9


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(rate=1, burst=3)
    assert passed(buckets, "a", 9, 0) == 3
    assert passed(buckets, "b", 9, 0) == 3


def test_the_bucket_unused_longest_is_forgotten_and_the_busy_one_is_not() -> None:
    buckets = Buckets(rate=1, burst=2, most=3)
    assert passed(buckets, "busy", 5, 0) == 2
    for number in range(1_000):
        assert buckets.take(f"key{number}", 0)
        assert not buckets.take("busy", 0)
        assert len(buckets) <= 3
    assert passed(buckets, "key0", 5, 0) == 2  # it was forgotten: full, not refused


def test_strangers_are_counted_by_their_first_24_bits() -> None:
    limits = Limits()
    assert sum(limits.stranger(f"198.51.100.{n % 256}", 0) for n in range(900)) == PREFIX_BURST
    assert limits.stranger("198.51.101.1", 0)
    assert limits.stranger("198.51.10.1", 0)
    assert not limits.stranger("198.51.100.7", 0)
    assert limits.stranger("198.51.100.7", 1000 // PREFIX_RATE)


# In the core


def test_a_stranger_over_the_limit_is_not_answered_but_counted_and_then_answered_again() -> None:
    rig = Rig()
    answered = sum(
        len(rig.receive(PLAIN, (f"203.0.113.{n % 256}", 7), CONTROL)) for n in range(600)
    )
    assert answered == PREFIX_BURST
    assert rig.counters == {"plain": PREFIX_BURST, "limited_prefix": 600 - PREFIX_BURST}
    rig.now += 1_000
    assert sum(len(rig.receive(PLAIN, HOME, CONTROL)) for _ in range(600)) == PREFIX_RATE


def test_a_strangers_binding_request_in_sip_is_limited_too() -> None:
    rig = Rig()
    data = sip.request(SIP[0], PLAIN, "token")
    for _ in range(PREFIX_BURST):
        rig.receive(PLAIN, HOME, CONTROL)
    assert rig.receive(data, HOME, SIP) == []
    assert rig.counters["limited_prefix"] == 1


def test_whoever_has_a_wrong_key_is_limited_with_the_strangers() -> None:
    rig, thief = Rig(), Rig(master=bytes(32))
    data = thief.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    assert sum(len(rig.receive(data, HOME, CONTROL)) for _ in range(600)) == PREFIX_BURST
    assert rig.counters == {"wrong_key": PREFIX_BURST, "limited_prefix": 600 - PREFIX_BURST}


def test_strangers_over_the_limit_take_nothing_from_devices_of_the_same_network() -> None:
    rig = Rig()
    for _ in range(PREFIX_BURST + 1):
        rig.receive(PLAIN, HOME, CONTROL)
    assert rig.counters["limited_prefix"] == 1
    assert rig.control().klass == stun.SUCCESS
    assert len(rig.receive(rig.hold(), TOOTH, SIP)) == 1


def test_a_device_over_its_limit_is_not_listened_to_and_another_one_is() -> None:
    rig, other = Rig(), Rig("box-2")
    data = rig.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    answered = sum(len(rig.receive(data, HOME, CONTROL)) for _ in range(DEVICE_BURST + 50))
    assert answered == DEVICE_BURST
    assert rig.counters == {"control_stale": DEVICE_BURST, "limited_device": 50}
    data = other.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    assert len(rig.receive(data, HOME, CONTROL)) == 1
    rig.now += 1_000
    assert len(rig.receive(rig.hold(nonce=rig.nonce()), TOOTH, SIP)) == 1


def test_four_combs_at_once_each_request_sent_three_times_never_meet_the_limit() -> None:
    rig = Rig()
    nonce = rig.nonce()
    for comb in range(4):
        for number in range(64):
            data = rig.hold(nonce=nonce, delay=60_000)
            for _ in range(3):
                assert len(rig.receive(data, (HOME[0], 1_000 + 64 * comb + number), SIP)) == 1
    for _ in range(4 * 64 // 16):
        assert rig.control(nonce=nonce).klass == stun.SUCCESS
    assert "limited_device" not in rig.counters
    assert DEVICE_RATE * 60 > 4 * 64 * 4  # and within a minute all of it again


def swept(rig: Rig, address: str, times: int) -> int:
    """How many of so many plain requests at once are answered."""
    return sum(len(rig.receive(PLAIN, (address, 1_000 + n), CONTROL)) for n in range(times))


def test_a_device_that_proved_its_address_sweeps_beside_neighbours_who_used_up_the_limit() -> None:
    rig = Rig()
    rig.control()
    assert swept(rig, "203.0.113.77", 600) == PREFIX_BURST
    assert swept(rig, HOME[0], 2_100) == PROVEN_BURST
    assert swept(rig, "203.0.113.77", 1) == 0
    rig.now += 1_000
    assert swept(rig, HOME[0], 600) == PROVEN_RATE + PREFIX_RATE


def test_two_checks_behind_one_address_at_once_never_meet_the_limit() -> None:
    rig, other = Rig(), Rig("box-2")
    other.reflector = rig.reflector
    rig.control()
    other.control()
    for _ in range(60):  # 2,000 ports each at 100 a second, and later tries at 200
        assert swept(rig, HOME[0], 400) == 400
        rig.now += 1_000
    assert "limited_prefix" not in rig.counters


def test_each_device_that_proved_an_address_raises_its_limit_once() -> None:
    limits = Limits()
    for name in ("one", "two", "two"):
        limits.prove("203.0.113.9", name, 0)
    taken = sum(limits.stranger("203.0.113.9", 0) for _ in range(9_000))
    assert taken == 2 * PROVEN_BURST + PREFIX_BURST


def test_an_address_stays_proven_for_a_while_and_is_then_a_strangers() -> None:
    limits = Limits()
    limits.prove("203.0.113.9", "one", 0)
    limits.prove("203.0.113.9", "two", PROVEN_FOR)
    assert limits.is_proven("203.0.113.9", 2 * PROVEN_FOR)
    assert not limits.is_proven("203.0.113.9", 2 * PROVEN_FOR + 1)
    assert not limits.is_proven("203.0.113.8", 0)


def test_a_nonce_of_another_address_proves_nothing() -> None:
    rig = Rig()
    nonce = rig.nonce()
    rig.receive(
        rig.request((stun.NONCE, nonce), (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80))),
        ("198.51.100.66", 7), CONTROL,
    )  # fmt: skip
    assert rig.counters["control_stale"] == 2
    assert swept(rig, "198.51.100.66", 600) == PREFIX_BURST


def test_wrong_keys_that_claim_a_proven_address_take_nothing_from_its_sweeps() -> None:
    rig, thief = Rig(), Rig(master=bytes(32))
    rig.control()
    data = thief.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80)))
    for _ in range(9_000):
        rig.receive(data, HOME, CONTROL)
    assert swept(rig, HOME[0], 2_000) == 2_000


def test_sniffed_requests_sent_again_from_anywhere_take_nothing_from_the_device() -> None:
    rig = Rig()
    nonce = rig.nonce()
    copies = (rig.hold(nonce=nonce), rig.request((stun.CONTROL, bytes(4)), (stun.NONCE, nonce)))
    for number in range(9_000):
        source = (f"198.51.{number % 256}.66", 7)
        assert rig.receive(copies[number % 2], source, CONTROL) == []
    assert "limited_device" not in rig.counters
    assert len(rig.receive(rig.hold(nonce=nonce), TOOTH, CONTROL)) == 1
    assert rig.control(nonce=nonce).klass == stun.SUCCESS


def test_teeth_without_a_good_nonce_have_a_limit_together_and_others_never_meet_it() -> None:
    rig, thief = Rig(), Rig(master=bytes(32))
    nonce = rig.nonce()
    data = thief.hold(nonce=bytes(16), delay=5_000)
    for number in range(UNPROVEN_BURST + 7):
        source = (f"{1 + number % 200}.{number // 200 % 256}.3.66", 7)
        assert rig.receive(data, source, CONTROL) == []
    assert rig.counters["limited_unproven"] == 7
    assert len(rig.receive(rig.hold(nonce=nonce), TOOTH, CONTROL)) == 1
    assert rig.counters["limited_unproven"] == 7


# No amplification


def test_where_asked_no_stranger_gets_more_than_was_sent_and_whoever_proved_itself_does() -> None:
    rig = Rig(no_amplification=True)
    assert rig.receive(PLAIN, HOME, CONTROL) == []
    assert rig.counters == {"plain_short": 1}
    padded = bytes(stun.build(stun.REQUEST, bytes(12), [(stun.SOFTWARE, " " * 32)]))
    [answer] = rig.receive(padded, HOME, CONTROL)
    assert len(answer.data) <= len(padded)
    rig.control()
    [answer] = rig.receive(PLAIN, HOME, CONTROL)
    assert len(answer.data) == len(PLAIN) + 28  # with its fingerprint the request has 28

"""Token buckets under a clock of the test's own, and what the reflector's core does by them."""

import pytest

from natwatch.wire import sip, stun
from natwatch_provider.reflector.limits import (
    DEVICE_BURST,
    DEVICE_RATE,
    PREFIX_BURST,
    PREFIX_RATE,
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

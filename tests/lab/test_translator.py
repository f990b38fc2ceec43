"""The userspace NAT's core on a clock of the test's own: no socket, no waiting."""

import random
import socket
import struct

import pytest

from tests.lab.packet import TCP, UDP, Dropped, Endpoint, Packet, summed
from tests.lab.translator import (
    ADDRESS,
    ADDRESS_AND_PORT,
    INDEPENDENT,
    INNER,
    KINDS,
    OUTER,
    Behaviour,
    Timers,
    Translator,
)

PHONE = ("192.168.1.20", 40_000)
SERVER = ("109.69.176.130", 3478)
OTHER_PORT = ("109.69.176.130", 3479)
OTHER_ADDRESS = ("109.69.176.210", 3478)
PUBLIC = "203.0.113.9"
SECOND_PUBLIC = "203.0.113.10"


def packet(
    source: Endpoint,
    destination: Endpoint,
    ttl: int = 64,
    protocol: int = UDP,
    summed_up: bool = True,
    payload: bytes = b"odd",
) -> bytes:
    """Built from the RFCs' tables, not by the code under test; checksums full."""
    if protocol == UDP:
        body = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
        at = 6
    else:
        body = struct.pack("!HHIIBBHHH", source[1], destination[1], 7, 0, 0x50, 2, 99, 0, 0)
        body += payload
        at = 16
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    if summed_up:
        total = summed(addresses + struct.pack("!HH", protocol, len(body)) + body)
        body = body[:at] + struct.pack("!H", total or 0xFFFF) + body[at + 2 :]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0x4000, ttl, protocol, 0)
    header += addresses
    return header[:10] + struct.pack("!H", summed(header)) + header[12:] + body


def is_sound(data: bytes) -> bool:
    """Whether both checksums of a packet are right: over the whole they come to nought."""
    pseudo = data[12:20] + struct.pack("!HH", data[9], len(data) - 20)
    return summed(data[:20]) == 0 and summed(pseudo + data[20:]) == 0


class World:
    """A Translator and the moment it is there."""

    def __init__(self, pool: tuple[str, ...] = (PUBLIC,), **behaviour: object) -> None:
        self.now = 1_003_777  # no multiple of any period in these tests
        self.nat = Translator(Behaviour(**behaviour), pool, random.Random(4), self.now)  # type: ignore[arg-type]

    def out(
        self, to: Endpoint = SERVER, source: Endpoint = PHONE, ttl: int = 64, protocol: int = UDP
    ) -> Endpoint | None:
        """The public endpoint that a packet outward gets, None if it is dropped."""
        sent = self.nat.from_inside(packet(source, to, ttl, protocol), self.now)
        if sent is None:
            return None
        assert sent[0] == OUTER and is_sound(sent[1])
        assert Packet(sent[1]).destination == to and Packet(sent[1]).ttl == ttl - 1
        return Packet(sent[1]).source

    def back(
        self, to: Endpoint, source: Endpoint = SERVER, ttl: int = 64, protocol: int = UDP
    ) -> Endpoint | None:
        """The inner endpoint that a packet from outside reaches."""
        sent = self.nat.from_outside(packet(source, to, ttl, protocol), self.now)
        if sent is None:
            return None
        assert sent[0] == INNER and is_sound(sent[1])
        assert Packet(sent[1]).source == source
        return Packet(sent[1]).destination

    def out_for_sure(self, to: Endpoint = SERVER, source: Endpoint = PHONE) -> Endpoint:
        public = self.out(to, source)
        assert public is not None
        return public

    def lives(self, public: Endpoint, after: int, source: Endpoint = SERVER) -> bool:
        """Whether the binding lets a packet in, *after* ms from now."""
        self.now += after
        return self.back(public, source) is not None


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_translated_packet_keeps_its_checksums_right_whatever_its_endpoints(
    protocol: int,
) -> None:
    chance = random.Random(1)
    for _ in range(2000):
        ends = [(socket.inet_ntoa(chance.randbytes(4)), chance.randrange(65536)) for _ in range(4)]
        one = Packet(packet(ends[0], ends[1], protocol=protocol))
        one.set_source(ends[2])
        one.set_destination(ends[3])
        one.hop()
        assert (one.source, one.destination, one.ttl) == (ends[2], ends[3], 63)
        assert is_sound(bytes(one)), ends


def test_a_udp_checksum_that_comes_to_nought_is_written_as_all_ones() -> None:
    for port in range(65536):
        one = Packet(packet(PHONE, SERVER))
        one.set_source((PUBLIC, port))
        assert bytes(one)[26:28] != b"\0\0"
        if bytes(one)[26:28] == b"\xff\xff":
            return
    raise AssertionError("expected one port in 65,536 to give it")


def test_a_udp_packet_without_checksum_stays_without() -> None:
    one = Packet(packet(PHONE, SERVER, summed_up=False))
    one.set_source((PUBLIC, 4))
    assert bytes(one)[26:28] == b"\0\0"


@pytest.mark.parametrize(
    ("change", "counter"),
    [
        (lambda p: p[:19], "not_ipv4"),
        (lambda p: b"\x60" + p[1:], "not_ipv4"),
        (lambda p: p[:9] + b"\x01" + p[10:], "not_udp_or_tcp"),
        (lambda p: p[:6] + b"\x20\x00" + p[8:], "fragment"),
        (lambda p: p[:6] + b"\x00\x10" + p[8:], "fragment"),
        (lambda p: p[:27], "cut_short"),
        (lambda p: b"\x44" + p[1:], "cut_short"),
        (lambda p: b"\x4f" + p[1:], "cut_short"),
    ],
)
def test_what_it_cannot_translate_is_dropped_and_counted(change: object, counter: str) -> None:
    data = change(packet(PHONE, SERVER))  # type: ignore[operator]
    with pytest.raises(Dropped):
        Packet(data)
    world = World()
    assert world.nat.from_inside(data, world.now) is None
    assert world.nat.from_outside(data, world.now) is None
    assert world.nat.counters == {counter: 2}


@pytest.mark.parametrize("protocol", [UDP, TCP])
@pytest.mark.parametrize(
    ("mapping", "same_for_other_port", "same_for_other_address"),
    [(INDEPENDENT, True, True), (ADDRESS, True, False), (ADDRESS_AND_PORT, False, False)],
)
def test_each_kind_of_mapping(
    mapping: str, same_for_other_port: bool, same_for_other_address: bool, protocol: int
) -> None:
    world = World(mapping=mapping)
    first = world.out(SERVER, protocol=protocol)
    assert first == (PUBLIC, PHONE[1])
    assert world.out(SERVER, protocol=protocol) == first
    assert (world.out(OTHER_PORT, protocol=protocol) == first) == same_for_other_port
    assert (world.out(OTHER_ADDRESS, protocol=protocol) == first) == same_for_other_address


@pytest.mark.parametrize("mapping", KINDS)
@pytest.mark.parametrize(
    ("filtering", "other_port_passes", "other_address_passes"),
    [(INDEPENDENT, True, True), (ADDRESS, True, False), (ADDRESS_AND_PORT, False, False)],
)
def test_each_kind_of_filtering_behind_each_kind_of_mapping(
    filtering: str, other_port_passes: bool, other_address_passes: bool, mapping: str
) -> None:
    world = World(mapping=mapping, filtering=filtering)
    public = world.out_for_sure(SERVER)
    assert world.back(public, SERVER) == PHONE
    assert (world.back(public, OTHER_PORT) == PHONE) == other_port_passes
    assert (world.back(public, OTHER_ADDRESS) == PHONE) == other_address_passes
    assert world.back((PUBLIC, public[1] + 1), SERVER) is None


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="found symmetric"):
        Behaviour(mapping="symmetric")


def test_ports_are_preserved_where_free_and_drawn_otherwise() -> None:
    world = World()
    assert world.out(SERVER, (PHONE[0], 5060)) == (PUBLIC, 5060)
    second = world.out_for_sure(SERVER, ("192.168.1.21", 5060))
    assert second[1] != 5060
    drawn = World(preserve_ports=False)
    ports = [drawn.out_for_sure(SERVER, (PHONE[0], port))[1] for port in range(2000, 2100)]
    assert len(set(ports)) == 100 and ports != list(range(2000, 2100))


def test_a_public_port_is_free_again_when_its_binding_has_died() -> None:
    world = World()
    world.out(SERVER, (PHONE[0], 5060))
    # The next new binding walks the table; the one after it comes too soon for another walk.
    world.now += 29_999
    assert world.out(SERVER, ("192.168.1.21", 5060)) != (PUBLIC, 5060)
    world.now += 1
    assert world.out(SERVER, ("192.168.1.22", 5060)) == (PUBLIC, 5060)


def test_without_a_free_port_a_packet_is_dropped() -> None:
    world = World(sessions=None)
    world.nat._chance.randrange = lambda *_: 5060  # type: ignore[method-assign]
    world.out(SERVER, (PHONE[0], 5060))
    assert world.out(SERVER, ("192.168.1.21", 5060)) is None
    assert world.nat.counters["no_port"] == 1


def test_a_binding_dies_at_its_timer_and_not_before() -> None:
    world = World(refresh_inbound=False)
    world.nat.set_timers(Timers(5_000, 9_000))
    public = world.out_for_sure()
    assert world.lives(public, 4_999)
    assert not world.lives(public, 1)


def test_it_is_a_stream_only_when_answered_and_still_sending_after_two_seconds() -> None:
    # (answered, gap before the second packet outward, expected timer)
    for answered, gap, timer in (
        (False, 3_000, 5_000),
        (True, 2_000, 5_000),
        (True, 2_001, 9_000),
    ):
        world = World(refresh_inbound=False)
        world.nat.set_timers(Timers(5_000, 9_000))
        public = world.out_for_sure()
        if answered:
            world.back(public)
        world.now += gap
        assert world.out() == public
        assert world.lives(public, timer - 1), (answered, gap)
        assert not world.lives(public, 1), (answered, gap)


def test_a_first_answer_that_comes_late_makes_no_stream() -> None:
    world = World()
    world.nat.set_timers(Timers(5_000, 9_000))
    public = world.out_for_sure()
    world.now += 3_000
    world.back(public)
    assert not world.lives(public, 5_000)


def test_packets_from_outside_refresh_or_do_not() -> None:
    for refreshes in (True, False):
        world = World(refresh_inbound=refreshes)
        world.nat.set_timers(Timers(5_000, 5_000))
        public = world.out_for_sure()
        assert world.lives(public, 3_500)
        assert world.lives(public, 1_499)
        assert world.lives(public, 1) == refreshes


def test_a_packet_that_is_filtered_refreshes_nothing() -> None:
    world = World()
    world.nat.set_timers(Timers(5_000, 5_000))
    public = world.out_for_sure()
    assert not world.lives(public, 3_500, OTHER_ADDRESS)
    assert not world.lives(public, 1_500)


def test_timers_by_port_are_for_new_bindings_and_others_count_from_the_next_packet() -> None:
    world = World(refresh_inbound=False)
    before = world.out_for_sure(OTHER_PORT)
    world.nat.set_timers(Timers(5_000, 5_000), ports={3478: Timers(8_000, 8_000)})
    assert world.lives(before, 10_000, OTHER_PORT)  # still by the 30 s of old
    assert world.out(OTHER_PORT) == before
    longer = world.out_for_sure(SERVER)
    world.nat.set_timers(Timers(5_000, 5_000))
    assert world.out(SERVER) == longer
    assert world.lives(before, 4_999, OTHER_PORT)
    assert not world.lives(before, 1, OTHER_PORT)
    assert world.lives(longer, 2_999)
    assert not world.lives(longer, 1)


def test_paired_pooling_gives_an_inner_address_one_public_address_arbitrary_does_not() -> None:
    pool = (PUBLIC, SECOND_PUBLIC)
    paired, arbitrary = World(pool), World(pool, arbitrary_pooling=True)
    for world, expected in ((paired, {PUBLIC}), (arbitrary, set(pool))):
        found = {world.out_for_sure(SERVER, (PHONE[0], port))[0] for port in range(2000, 2010)}
        assert found == expected
    assert paired.out_for_sure(SERVER, ("192.168.1.21", 7))[0] == SECOND_PUBLIC


def test_the_addresses_of_a_pool_may_have_timers_of_their_own() -> None:
    world = World((PUBLIC, SECOND_PUBLIC), arbitrary_pooling=True, refresh_inbound=False)
    world.nat.set_timers(Timers(5_000, 5_000), addresses={SECOND_PUBLIC: Timers(9_000, 9_000)})
    first, second = (world.out_for_sure(SERVER, (PHONE[0], port)) for port in (1, 2))
    assert not world.lives(first, 5_000)
    assert world.lives(second, 3_999)
    assert not world.lives(second, 1)


def test_when_sessions_run_out_the_least_recently_used_goes_or_the_new_one_is_refused() -> None:
    for evict in (True, False):
        world = World(sessions=3, evict=evict)
        assert world.out(protocol=TCP), "TCP does not count"
        publics = [world.out_for_sure(SERVER, (PHONE[0], port)) for port in (1, 2, 3)]
        world.out(SERVER, (PHONE[0], 1))
        assert (world.out(SERVER, (PHONE[0], 4)) is not None) == evict
        assert [world.back(public) is not None for public in publics] == [True, not evict, True]
        world.now += 29_999
        assert world.out(SERVER, (PHONE[0], 5), protocol=TCP), "TCP is not refused"
        world.now += 1
        assert world.out(SERVER, (PHONE[0], 6)), "the dead make room"
        assert world.nat.counters["evicted"] == evict


def test_a_ttl_that_ends_here_refreshes_first_or_is_checked_first() -> None:
    for ttl_first in (False, True):
        for outward in (True, False):
            world = World(ttl_first=ttl_first)
            world.nat.set_timers(Timers(5_000, 5_000))
            public = world.out_for_sure()
            world.now += 3_000
            assert (world.out(ttl=1) if outward else world.back(public, ttl=1)) is None
            assert world.nat.counters["ttl"] == 1
            assert world.lives(public, 3_000) != ttl_first, (ttl_first, outward)


def test_a_packet_whose_ttl_ends_here_makes_no_binding() -> None:
    for ttl_first in (False, True):
        world = World(ttl_first=ttl_first)
        assert world.out(ttl=1) is None
        assert world.nat.bindings(world.now) == []


def test_hairpin_reaches_the_inner_side_from_the_public_endpoint_or_is_refused() -> None:
    for hairpin in (True, False):
        world = World(hairpin=hairpin, mapping=INDEPENDENT, filtering=INDEPENDENT)
        public = world.out_for_sure(SERVER, ("192.168.1.21", 7))
        sent = world.nat.from_inside(packet(PHONE, public), world.now)
        if not hairpin:
            assert sent is None and world.nat.counters["hairpin_refused"] == 1
            continue
        assert sent is not None and sent[0] == INNER and is_sound(sent[1])
        seen = Packet(sent[1])
        assert (seen.source, seen.destination) == ((PUBLIC, PHONE[1]), ("192.168.1.21", 7))
        assert seen.ttl == 63


def test_hairpin_is_filtered_as_if_it_came_from_outside() -> None:
    world = World(hairpin=True, mapping=INDEPENDENT, filtering=ADDRESS)
    public = world.out_for_sure(SERVER, ("192.168.1.21", 7))
    assert world.nat.from_inside(packet(PHONE, public), world.now) is None
    assert world.nat.counters["filtered"] == 1


def test_a_burst_stops_everything_both_ways_at_the_start_of_each_period() -> None:
    world = World()
    public = world.out_for_sure()
    world.nat.set_loss(world.now, burst=(1_000, 20_000))
    passes = []
    for step in (0, 999, 1, 18_999, 1, 1_000):
        world.now += step
        passes.append((world.out() is not None, world.back(public) is not None))
    assert passes == [(p, p) for p in (False, False, True, True, False, True)]
    world.nat.set_loss(world.now)
    world.now += 19_000
    assert world.out() is not None


def test_random_loss_outward_comes_after_the_binding_is_refreshed_inward_before() -> None:
    world = World()
    world.nat.set_timers(Timers(5_000, 5_000))
    public = world.out_for_sure()
    world.nat.set_loss(world.now, outward=1.0)
    world.now += 3_000
    assert world.out() is None
    assert world.lives(public, 3_000)
    world.nat.set_loss(world.now, inward=1.0)
    assert world.out() == public
    assert not world.lives(public, 3_000)
    world.nat.set_loss(world.now)
    assert not world.lives(public, 2_000)


def test_loss_is_the_share_that_was_asked() -> None:
    world = World()
    world.nat.set_loss(world.now, outward=0.2)
    passed = sum(world.out() is not None for _ in range(5000))
    assert 3850 < passed < 4150  # five standard deviations


def test_a_nat_that_sweeps_lets_the_overdue_live_until_its_next_look() -> None:
    world = World(sweep=10_000, refresh_inbound=False)
    world.nat.set_timers(Timers(5_000, 5_000))
    world.now += 2_000
    public = world.out_for_sure()
    assert world.lives(public, 7_999)
    assert not world.lives(public, 1)
    revived = world.out_for_sure()  # made at 10 s, overdue at 15, looked for at 20
    world.now += 9_000
    assert world.out() == revived, "overdue, and refreshed by a packet"
    assert world.lives(revived, 10_999)
    assert not world.lives(revived, 1)


def test_a_restart_forgets_all_and_a_changed_address_too() -> None:
    world = World()
    public = world.out_for_sure()
    world.nat.restart()
    assert world.nat.bindings(world.now) == []
    assert world.back(public) is None
    assert world.out() == public
    world.nat.change_address((SECOND_PUBLIC,))
    assert world.back(public) is None
    assert world.out() == (SECOND_PUBLIC, PHONE[1])


def test_tcp_keeps_its_binding_for_two_hours_whatever_the_udp_timers() -> None:
    world = World(refresh_inbound=False)
    world.nat.set_timers(Timers(5_000, 5_000), ports={3478: Timers(4_000, 4_000)})
    public = world.out(protocol=TCP)
    assert public is not None
    world.now += 7_000_000
    assert world.back(public, protocol=TCP) == PHONE
    world.now += 7_000_000
    assert world.back(public, protocol=TCP) == PHONE


def test_bindings_tell_the_flow_its_public_endpoint_and_the_time_left() -> None:
    world = World()
    public = world.out_for_sure()
    world.now += 10_000
    (binding,) = world.nat.bindings(world.now)
    assert tuple(binding) == ("udp", *PHONE, *SERVER, 20, False, *public)
    world.back(public)
    (binding,) = world.nat.bindings(world.now)
    assert binding.replied and binding.seconds_left == 30
    world.now += 30_000
    assert world.nat.bindings(world.now) == []


ANSWER = b"SIP/2.0 200 OK\r\nContact: <sip:x@109.69.176.130>\r\n\r\n"


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("", ANSWER, ANSWER),
        ("rewrite", ANSWER, ANSWER.replace(b"109.69.176.130", b"192.168.1.1")),
        ("rewrite", b"OPTIONS sip:109.69.176.130 SIP/2.0", b"OPTIONS sip:109.69.176.130 SIP/2.0"),
        ("drop", ANSWER, None),
    ],
)
def test_an_alg_may_meddle_with_answers_alone(
    kind: str, payload: bytes, expected: bytes | None
) -> None:
    nat = Translator(Behaviour(sip_answers=kind), (PUBLIC,), random.Random(4), 0)
    server = (SERVER[0], 5060)
    nat.from_inside(packet(PHONE, server), 0)
    there = nat.from_outside(packet(server, (PUBLIC, PHONE[1]), payload=payload), 10)
    if expected is None:
        assert there is None and nat.counters["sip_answer"] == 1
        return
    assert there is not None
    data = there[1]
    assert data[28:] == expected and len(data) == int.from_bytes(data[2:4], "big")
    assert int.from_bytes(data[24:26], "big") == 8 + len(expected) and summed(data[:20]) == 0
    assert data[26:28] == b"\0\0" or is_sound(data)

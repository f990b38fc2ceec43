"""The userspace NAT with real packets; its kinds one by one are in test_translator.py."""

import json
import os
import socket
import sys
import time
from contextlib import suppress

import pytest

from tests.lab import (
    BROKER,
    CARRIER_USERNAT,
    ELSEWHERE,
    HOME,
    HOME_USERNAT,
    PUBLIC,
    PUBLIC_POOL,
    REFLECTOR_A,
    REFLECTOR_B,
    Lab,
    UserNat,
)
from tests.lab.lab import LabError
from tests.lab.stage import Stage
from tests.lab.translator import ADDRESS, ADDRESS_AND_PORT, INDEPENDENT, KINDS, Behaviour

Address = tuple[str, int]

_IP_RECVTTL = 12  # linux/in.h; Python's socket has no name for it

SERVER = (REFLECTOR_A, 3478)
OTHER_PORT = (REFLECTOR_A, 3479)
OTHER_ADDRESSES = ((REFLECTOR_B, 3478), (ELSEWHERE, 3478))


def udp_socket(lab: Lab, host: str, address: Address = ("0.0.0.0", 0)) -> socket.socket:
    with lab.on(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(address)
    return made


def arrives(
    sender: socket.socket, to: Address, receiver: socket.socket, within: float = 0.5
) -> Address | None:
    """Sends one datagram; the source it arrived from, or None."""
    mark = os.urandom(8)
    sender.sendto(mark, to)
    receiver.settimeout(within)
    with suppress(TimeoutError):
        while True:
            data, source = receiver.recvfrom(2048)
            if data == mark:
                return source[0], source[1]
    return None


def opened(phone: socket.socket, server: socket.socket) -> Address:
    """The public address of a binding toward *server*, which has answered once."""
    public = arrives(phone, server.getsockname(), server, 3)
    assert public is not None
    assert arrives(server, public, phone, 3)
    return public


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


_RECEIVE_BUFFER_FORCE = 33  # asm-generic/socket.h: SO_RCVBUFFORCE


@pytest.mark.lab
@pytest.mark.parametrize("filtering", KINDS)
@pytest.mark.parametrize("mapping", KINDS)
def test_each_kind_maps_and_filters_as_it_is_named(mapping: str, filtering: str) -> None:
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab, Behaviour(mapping=mapping, filtering=filtering))
        server, other_port, *others = (
            udp_socket(lab, "provider", address)
            for address in (SERVER, OTHER_PORT, *OTHER_ADDRESSES)
        )
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        assert public == (PUBLIC, phone.getsockname()[1])
        # Filtering first: what is sent to the others would open the way for them.
        passes = [bool(arrives(one, public, phone)) for one in (other_port, *others)]
        by_port, by_address = filtering != ADDRESS_AND_PORT, filtering == INDEPENDENT
        assert passes == [by_port, by_address, by_address]
        same = [
            arrives(phone, one.getsockname(), one, 3) == public for one in (other_port, *others)
        ]
        by_port, by_address = mapping != ADDRESS_AND_PORT, mapping == INDEPENDENT
        assert same == [by_port, by_address, by_address]
        assert arrives(server, (PUBLIC, 9), phone) is None, "a port that nobody has"


@pytest.mark.lab
@pytest.mark.parametrize("refreshes", [True, False])
def test_a_binding_pushed_to_at_seven_tenths_of_its_life_is_extended_or_is_not(
    refreshes: bool,
) -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(refresh_inbound=refreshes))
        nat.set_timers(udp=4, stream=4)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        start = time.monotonic()
        sleep_until(start + 2.8)
        assert arrives(server, public, phone)
        sleep_until(start + 5.0)
        assert bool(arrives(server, public, phone)) == refreshes
        assert len(nat.bindings()) == refreshes


@pytest.mark.lab
def test_answered_and_still_sending_after_two_seconds_makes_a_stream() -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab)
        nat.set_timers(udp=10, stream=60, ports={5060: (200, 300)})
        server, sip = (udp_socket(lab, "provider", (REFLECTOR_A, port)) for port in (3478, 5060))
        phone = udp_socket(lab, "phone")
        opened(phone, server)
        opened(phone, sip)
        left = {b.destination_port: b.seconds_left for b in nat.bindings()}
        assert 7 <= left[3478] <= 10 and 190 <= left[5060] <= 200, left
        time.sleep(2.1)
        for one in (server, sip):
            assert arrives(phone, one.getsockname(), one, 3)
        left = {b.destination_port: b.seconds_left for b in nat.bindings()}
        assert 50 <= left[3478] <= 60 and 290 <= left[5060] <= 300, left


@pytest.mark.lab
@pytest.mark.parametrize("evict", [True, False])
def test_beyond_the_cap_the_oldest_binding_goes_or_the_new_one_is_refused(evict: bool) -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(sessions=8, evict=evict))
        server = udp_socket(lab, "provider", SERVER)
        phones = [udp_socket(lab, "phone") for _ in range(8)]
        publics = [opened(phone, server) for phone in phones]
        ninth = udp_socket(lab, "phone")
        assert bool(arrives(ninth, SERVER, server)) == evict
        reached = [
            bool(arrives(server, public, phone))
            for public, phone in zip(publics, phones, strict=True)
        ]
        assert reached == [not evict] + [True] * 7
        assert len(nat.bindings()) == 8
        assert nat.counters()["evicted" if evict else "refused"] == 1


@pytest.mark.lab
def test_a_pool_gives_each_binding_another_address_with_timers_of_its_own() -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(arbitrary_pooling=True), PUBLIC_POOL)
        nat.set_timers(udp=60, stream=60, addresses={PUBLIC_POOL[1]: (2, 2)})
        server = udp_socket(lab, "provider", SERVER)
        phones = [udp_socket(lab, "phone") for _ in PUBLIC_POOL]
        publics = [opened(phone, server) for phone in phones]
        assert tuple(address for address, _ in publics) == PUBLIC_POOL
        time.sleep(2.2)
        reached = [
            bool(arrives(server, public, phone))
            for public, phone in zip(publics, phones, strict=True)
        ]
        assert reached == [True, False, True]


@pytest.mark.lab
@pytest.mark.parametrize("ttl_first", [True, False])
def test_it_is_the_one_hop_and_a_ttl_that_ends_there_refreshes_or_does_not(
    ttl_first: bool,
) -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(ttl_first=ttl_first))
        nat.set_timers(udp=3, stream=3)
        server = udp_socket(lab, "provider", SERVER)
        server.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        phone = udp_socket(lab, "phone")
        phone.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
        phone.sendto(b"two", SERVER)
        data, ancillary, _, public = server.recvmsg(100, 100)
        assert data == b"two" and int.from_bytes(ancillary[0][2], sys.byteorder) == 1
        start = time.monotonic()
        phone.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        sleep_until(start + 2)
        assert arrives(phone, SERVER, server) is None
        sleep_until(start + 4)
        assert bool(arrives(server, public, phone)) != ttl_first


@pytest.mark.lab
def test_a_burst_of_loss_lasts_as_long_as_was_said_and_keeps_the_bindings() -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        nat.set_loss(burst=(1, 20))
        assert arrives(phone, SERVER, server, 0.2) is None
        assert arrives(server, public, phone, 0.2) is None
        time.sleep(1)
        assert arrives(server, public, phone)
        assert arrives(phone, SERVER, server) == public
        counters = nat.counters()
        assert counters["lost_outward"] == counters["lost_inward"] == 1


@pytest.mark.lab
def test_after_a_restart_or_with_another_address_the_old_bindings_are_gone() -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        nat.restart()
        assert nat.bindings() == []
        assert arrives(server, public, phone) is None
        assert opened(phone, server) == public
        nat.change_address(PUBLIC_POOL[1])
        assert arrives(server, public, phone) is None
        assert opened(phone, server) == (PUBLIC_POOL[1], public[1])


@pytest.mark.lab
@pytest.mark.parametrize("hairpin", [True, False])
def test_two_sockets_at_home_meet_by_their_public_addresses_if_it_hairpins(hairpin: bool) -> None:
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab, Behaviour(mapping=INDEPENDENT, filtering=ADDRESS, hairpin=hairpin))
        server = udp_socket(lab, "provider", SERVER)
        one, other = udp_socket(lab, "phone"), udp_socket(lab, "phone")
        one_public, other_public = opened(one, server), opened(other, server)
        assert arrives(one, other_public, other) is None, "filtered until the other has sent"
        expected = other_public if hairpin else None
        assert arrives(other, one_public, one) == expected


@pytest.mark.lab
def test_tcp_passes_both_ways_with_a_megabyte() -> None:
    megabyte = os.urandom(1_000_000)
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab, Behaviour(mapping=INDEPENDENT, filtering=ADDRESS))
        with lab.on("provider"):
            listener = socket.create_server((BROKER, 8883))
        with lab.on("phone"):
            caller = socket.create_connection((BROKER, 8883), 5)
        answerer, source = listener.accept()
        assert source[0] == PUBLIC
        for sender, receiver in ((caller, answerer), (answerer, caller)):
            received = b""
            sent = 0
            for ready in (sender, receiver):
                ready.setblocking(False)
            end = time.monotonic() + 30
            while len(received) < len(megabyte) and time.monotonic() < end:
                with suppress(BlockingIOError):
                    sent += sender.send(megabyte[sent : sent + 65_536])
                with suppress(BlockingIOError):
                    received += receiver.recv(65_536)
            assert received == megabyte


@pytest.mark.lab
def test_a_thousand_packets_a_second_pass_each_way_and_none_is_lost() -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        for one in (server, phone):
            one.setblocking(False)
            # On a busy machine the NAT's turn may bring hundreds at once: that is no loss of its.
            one.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, 8_000_000)
        got = {server: 0, phone: 0}
        start = time.monotonic()

        def receive() -> None:
            for one in got:
                with suppress(BlockingIOError):
                    while True:
                        one.recv(2048)
                        got[one] += 1

        for number in range(3000):
            sleep_until(start + number / 1000)
            phone.sendto(bytes(172), SERVER)
            server.sendto(bytes(172), public)
            receive()
        time.sleep(0.5)
        receive()
        assert got == {server: 3000, phone: 3000}, (got, nat.counters())


@pytest.mark.lab
def test_a_link_that_is_taken_down_and_up_again_works_again() -> None:
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        lab.set_link("phone", "router", False)
        assert arrives(server, public, phone) is None
        lab.set_link("phone", "router", True)
        assert opened(phone, server) == public


@pytest.mark.lab
def test_behind_a_kernels_router_it_is_the_carriers_nat() -> None:
    with Lab(CARRIER_USERNAT) as lab:
        carrier = UserNat(lab, Behaviour(mapping=INDEPENDENT, preserve_ports=False))
        lab.router.set_timers(udp=30)
        server = udp_socket(lab, "provider", SERVER)
        phone = udp_socket(lab, "phone")
        public = opened(phone, server)
        (inner,), (outer,) = lab.router.bindings(), carrier.bindings()
        assert (inner.public, inner.public_port) == (outer.source, outer.source_port)
        assert outer.source == "100.64.7.2"
        assert (outer.public, outer.public_port) == public
        phone.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
        assert arrives(phone, SERVER, server) is None, "two hops: it ends at the carrier"
        phone.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 3)
        assert arrives(phone, SERVER, server) == public


@pytest.mark.lab
@pytest.mark.parametrize("mapping", [INDEPENDENT, ADDRESS_AND_PORT])
def test_the_lifetime_that_is_measured_behind_it_holds_the_truth(mapping: str) -> None:
    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(mapping=mapping, refresh_inbound=False))
        nat.set_timers(udp=5, stream=5)
        stage = Stage(lab)
        stage.start_reflector()
        process = stage.lifetime("box", "cpython", ("udp/sip", "replied"))
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, stage.log("box")
        found = json.loads(out)
        assert found["lo"] <= 5 <= found["hi"], found
        assert found["hi"] - found["lo"] <= 2, found


@pytest.mark.lab
def test_without_a_place_for_it_or_with_an_unknown_kind_one_sentence_says_so() -> None:
    with Lab(HOME) as lab, pytest.raises(LabError, match="expected a topology with a userspace"):
        UserNat(lab)


@pytest.mark.lab
def test_without_the_right_to_tun_one_sentence_says_so() -> None:
    with Lab(HOME_USERNAT) as lab:
        lab.run("phone", ["mount", "--bind", "/dev/null", "/dev/net/tun"])
        with pytest.raises(
            LabError, match="expected to open /dev/net/tun, found: .*; run the lab as root"
        ):
            UserNat(lab)

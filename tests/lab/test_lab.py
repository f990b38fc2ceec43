"""The lab does what it says: else every measurement that is tested in it means nothing."""

import random
import socket
import time
from collections.abc import Callable

import pytest

from tests.lab import (
    ADAPTER,
    BROKER,
    CARRIER,
    CARRIER_ADAPTER,
    ELSEWHERE,
    HOME,
    HOME_ADAPTER,
    PHONE,
    PUBLIC,
    R2,
    REFLECTOR_A,
    REFLECTOR_B,
    Lab,
    Topology,
)
from tests.lab.lab import LabError

Address = tuple[str, int]


def udp_socket(lab: Lab, host: str, address: Address = ("0.0.0.0", 0)) -> socket.socket:
    with lab.on(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(address)
    made.settimeout(1)
    return made


def arrives(sender: socket.socket, to: Address, receiver: socket.socket) -> Address | None:
    """Sends one datagram; the source it arrived from, or None within a second."""
    mark = random.randbytes(8)
    sender.sendto(mark, to)
    try:
        while True:
            data, source = receiver.recvfrom(2048)
            if data == mark:
                return source[0], source[1]
    except TimeoutError:
        return None


def binding_life(
    lab: Lab, server: socket.socket, make: Callable[[socket.socket], Address], longest: float
) -> tuple[float, float]:
    """(lo, hi) of a binding that *make* sets up, by one push for each of many fresh bindings.

    All are opened at once; each is pushed to once, at its own time, half a second apart.
    """
    sockets = [udp_socket(lab, "phone") for _ in range(int(longest * 2))]
    publics = [make(one) for one in sockets]
    opened = time.monotonic()
    lo, hi = 0.0, longest
    for index, (one, public) in enumerate(zip(sockets, publics, strict=True)):
        asked = 0.25 + index * 0.5
        time.sleep(max(0.0, opened + asked - time.monotonic()))
        before = time.monotonic() - opened
        server.sendto(b"push", public)
        one.settimeout(0.2)
        try:
            one.recvfrom(100)
            lo = max(lo, before)
        except TimeoutError:
            hi = min(hi, time.monotonic() - opened)
    return lo, hi


@pytest.mark.lab
def test_a_datagram_leaves_the_home_with_the_public_address() -> None:
    with Lab(HOME) as lab:
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        port = phone.getsockname()[1]
        assert arrives(phone, (REFLECTOR_A, 3478), server) == (PUBLIC, port)


@pytest.mark.lab
def test_an_unanswered_binding_lives_as_long_as_the_timer_says() -> None:
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=3, stream=30)
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        lo, hi = binding_life(
            lab,
            server,
            lambda one: arrives(one, (REFLECTOR_A, 3478), server) or ("", 0),
            longest=6,
        )
        # The kernel's own clock ticks in hundredths; the rest is room for a slow machine.
        assert 2 <= lo <= hi <= 4.5, (lo, hi)


@pytest.mark.lab
def test_an_answered_binding_gets_the_stream_timer_after_two_seconds_of_traffic() -> None:
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=10, stream=60)
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        public = arrives(phone, (REFLECTOR_A, 3478), server)
        assert public and arrives(server, public, phone)
        (binding,) = lab.router.bindings()
        assert binding.replied and 5 <= binding.seconds_left <= 10
        time.sleep(2.5)
        assert arrives(phone, (REFLECTOR_A, 3478), server)
        assert arrives(server, public, phone)
        (binding,) = lab.router.bindings()
        assert 50 <= binding.seconds_left <= 60


@pytest.mark.lab
def test_a_port_may_have_timers_of_its_own() -> None:
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=30, stream=120, ports={5060: (200, 300)})
        phone = udp_socket(lab, "phone")
        for port in (3478, 5060):
            phone.sendto(b"x", (REFLECTOR_A, port))
        left = {b.destination_port: b.seconds_left for b in lab.router.bindings()}
        assert 20 <= left[3478] <= 30 and 190 <= left[5060] <= 200, left


@pytest.mark.lab
def test_new_timers_count_from_a_bindings_next_packet() -> None:
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=100)
        phone = udp_socket(lab, "phone")
        phone.sendto(b"x", (REFLECTOR_A, 3478))
        lab.router.set_timers(udp=20)
        assert lab.router.bindings()[0].seconds_left > 80
        phone.sendto(b"x", (REFLECTOR_A, 3478))
        assert lab.router.bindings()[0].seconds_left <= 20


@pytest.mark.lab
def test_only_telephony_and_the_broker_pass_a_filter_by_r2() -> None:
    table = (
        (REFLECTOR_A, 5060, True),
        (REFLECTOR_B, 3478, True),
        (REFLECTOR_B, 3479, True),
        (REFLECTOR_A, 8000, True),
        (REFLECTOR_A, 10000, True),
        (REFLECTOR_A, 7999, False),
        (REFLECTOR_A, 10001, False),
        (ELSEWHERE, 3478, False),
        (ELSEWHERE, 53, False),
    )
    with Lab(HOME) as lab:
        lab.router.set_filter(R2)
        phone = udp_socket(lab, "phone")
        for address, port, passes in table:
            server = udp_socket(lab, "provider", (address, port))
            server.settimeout(0.3)
            found = arrives(phone, (address, port), server)
            assert (found is not None) == passes, (address, port)
        for port, passes in ((8883, True), (443, True), (1883, False)):
            assert tcp_connects(lab, (BROKER, port)) == passes, port


def tcp_connects(lab: Lab, to: Address) -> bool:
    with lab.on("provider"):
        server = socket.create_server(to)
    with lab.on("phone"):
        client = socket.socket()
    client.settimeout(0.5)
    try:
        client.connect(to)
        return True
    except TimeoutError:
        return False
    finally:
        client.close()
        server.close()


@pytest.mark.lab
def test_dropped_ports_are_dropped_and_others_pass() -> None:
    with Lab(HOME) as lab:
        lab.router.set_filter(drop=(("udp", "5060, 9000-9100"),))
        phone = udp_socket(lab, "phone")
        for port, passes in ((5060, False), (9050, False), (3478, True)):
            server = udp_socket(lab, "provider", (REFLECTOR_A, port))
            server.settimeout(0.3)
            assert (arrives(phone, (REFLECTOR_A, port), server) is not None) == passes, port
        lab.router.set_filter()
        server = udp_socket(lab, "provider", (REFLECTOR_A, 9050))
        assert arrives(phone, (REFLECTOR_A, 9050), server)


@pytest.mark.lab
def test_loss_is_about_the_share_asked_for_in_each_direction() -> None:
    with Lab(HOME) as lab:
        lab.router.set_loss(outward=0.3, inward=0.1)
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        # Of 2,000, five standard deviations are 5.2 % and 3.4 %.
        out = share_that_arrives(phone, (REFLECTOR_A, 3478), server, 2000)
        assert 0.64 < out < 0.76, out
        into = share_that_arrives(server, (PUBLIC, phone.getsockname()[1]), phone, 2000)
        assert 0.86 < into < 0.94, into


def share_that_arrives(
    sender: socket.socket, to: Address, receiver: socket.socket, count: int
) -> float:
    receiver.setblocking(False)
    received = 0
    for index in range(count):
        sender.sendto(b"x", to)
        # In small lots: the receiver's buffer holds a few hundred.
        if index % 50 == 49:
            time.sleep(0.005)
            try:
                while receiver.recv(16):
                    received += 1
            except BlockingIOError:
                pass
    return received / count


REGISTER = (
    "REGISTER sip:{server} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {phone}:5060;branch=z9hG4bK1\r\n"
    "From: <sip:100@{server}>;tag=1\r\n"
    "To: <sip:100@{server}>\r\n"
    "Call-ID: 1@{phone}\r\n"
    "CSeq: 1 REGISTER\r\n"
    "Contact: <sip:100@{phone}:5060>\r\n"
    "Expires: 600\r\n"
    "Content-Length: 0\r\n\r\n"
)


@pytest.mark.lab
@pytest.mark.parametrize("alg", [False, True])
def test_the_sip_helper_rewrites_a_register_only_when_it_is_on(alg: bool) -> None:
    with Lab(HOME) as lab:
        lab.router.set_sip_alg(alg)
        server = udp_socket(lab, "provider", (REFLECTOR_A, 5060))
        phone = udp_socket(lab, "phone", (PHONE, 5060))
        message = REGISTER.format(server=REFLECTOR_A, phone=PHONE).encode()
        phone.sendto(message, (REFLECTOR_A, 5060))
        arrived = server.recv(2048)
        if alg:
            assert f"Contact: <sip:100@{PUBLIC}:5060>".encode() in arrived
            assert lab.router.bindings()[0].seconds_left > 3000  # the helper's own timer
        else:
            assert arrived == message


@pytest.mark.lab
def test_a_forwarded_port_reaches_the_phone_from_never_contacted_addresses() -> None:
    with Lab(HOME) as lab:
        phone = udp_socket(lab, "phone", (PHONE, 5062))
        phone.settimeout(0.3)
        stranger = udp_socket(lab, "provider", (ELSEWHERE, 0))
        assert arrives(stranger, (PUBLIC, 5062), phone) is None
        lab.router.set_mapping(forwards=[("udp", 5062, PHONE, 5062)])
        # The first stranger's flow stays what it was at its first packet: the router's own.
        stranger = udp_socket(lab, "provider", (ELSEWHERE, 0))
        assert arrives(stranger, (PUBLIC, 5062), phone)


@pytest.mark.lab
@pytest.mark.parametrize("topology", [HOME_ADAPTER, CARRIER_ADAPTER], ids=["home", "carrier"])
def test_adapter_and_phone_are_on_one_segment_and_behind_one_address(topology: Topology) -> None:
    with Lab(topology) as lab:
        phone = udp_socket(lab, "phone", (PHONE, 0))
        adapter = udp_socket(lab, "adapter", (ADAPTER, 5060))
        # What they send each other is none of the router's business: no filter, no binding.
        lab.router.set_filter(allow=R2)
        assert arrives(phone, (ADAPTER, 5060), adapter) == phone.getsockname()
        assert arrives(adapter, phone.getsockname(), phone) == (ADAPTER, 5060)
        assert lab.router.bindings() == []
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        for one in (phone, adapter):
            port = one.getsockname()[1]
            assert arrives(one, (REFLECTOR_A, 3478), server) == (PUBLIC, port)
        sources = {(binding.source, binding.source_port) for binding in lab.router.bindings()}
        assert sources == {phone.getsockname(), (ADAPTER, 5060)}


@pytest.mark.lab
def test_what_a_routers_filter_drops_it_drops_of_every_host_of_a_segment() -> None:
    with Lab(HOME_ADAPTER) as lab:
        lab.router.set_filter(drop=[("udp", "5060")])
        server = udp_socket(lab, "provider", (REFLECTOR_A, 5060))
        server.settimeout(0.3)
        for host in ("phone", "adapter"):
            assert arrives(udp_socket(lab, host), (REFLECTOR_A, 5060), server) is None, host


@pytest.mark.lab
def test_a_forward_reaches_the_adapter_and_one_on_one_of_two_nats_does_not() -> None:
    forward = ("udp", 5060, ADAPTER, 5060)
    with Lab(HOME_ADAPTER) as lab:
        adapter = udp_socket(lab, "adapter", (ADAPTER, 5060))
        stranger = udp_socket(lab, "provider", (ELSEWHERE, 0))
        lab.router.set_mapping(forwards=[forward])
        assert arrives(stranger, (PUBLIC, 5060), adapter) == stranger.getsockname()
    with Lab(CARRIER_ADAPTER) as lab:
        adapter = udp_socket(lab, "adapter", (ADAPTER, 5060))
        adapter.settimeout(0.3)
        lab.router.set_mapping(forwards=[forward])
        stranger = udp_socket(lab, "provider", (ELSEWHERE, 0))
        assert arrives(stranger, (PUBLIC, 5060), adapter) is None
        lab.carrier.set_mapping(forwards=[("udp", 5060, "100.64.7.2", 5060)])
        stranger = udp_socket(lab, "provider", (ELSEWHERE, 0))
        assert arrives(stranger, (PUBLIC, 5060), adapter)


@pytest.mark.lab
def test_random_mapping_gives_a_port_for_each_destination() -> None:
    with Lab(HOME) as lab:
        servers = [udp_socket(lab, "provider", (REFLECTOR_A, 8000 + n)) for n in range(4)]
        for mode, expected in (("", 1), ("random", 4), ("fully-random", 4)):
            lab.router.set_mapping(mode)
            phone = udp_socket(lab, "phone")
            ports = {arrives(phone, s.getsockname(), s) for s in servers}
            # Four draws from 64,511 ports: a repeat once in 10,000 runs, so not exactly 4.
            assert len(ports) >= expected - 1 and (len(ports) == 1) == (expected == 1), mode


@pytest.mark.lab
def test_behind_a_carrier_the_routers_own_address_is_not_the_public_one() -> None:
    with Lab(CARRIER) as lab:
        lab.carrier.set_timers(udp=7)
        server = udp_socket(lab, "provider", (REFLECTOR_B, 3479))
        phone = udp_socket(lab, "phone")
        source = arrives(phone, (REFLECTOR_B, 3479), server)
        assert source and source[0] == PUBLIC
        assert [b.public for b in lab.router.bindings()] == ["100.64.7.2"]
        assert [b.seconds_left <= 7 for b in lab.carrier.bindings()] == [True]
        assert lab.router.bindings()[0].seconds_left > 20


@pytest.mark.lab
def test_a_link_that_was_down_works_again() -> None:
    with Lab(HOME) as lab:
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        for inner, outer in (("router", "provider"), ("phone", "router")):
            lab.set_link(inner, outer, up=False)
            try:
                assert arrives(phone, (REFLECTOR_A, 3478), server) is None
            except OSError:
                assert inner == "phone"  # no route on the phone itself: sendto says so
            lab.set_link(inner, outer, up=True)
            assert arrives(phone, (REFLECTOR_A, 3478), server), (inner, outer)


@pytest.mark.lab
def test_a_restarted_nat_has_forgotten_every_binding() -> None:
    with Lab(HOME) as lab:
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        public = arrives(phone, (REFLECTOR_A, 3478), server)
        assert public and arrives(server, public, phone)
        lab.router.restart()
        assert lab.router.bindings() == []
        phone.settimeout(0.3)
        assert arrives(server, public, phone) is None


@pytest.mark.lab
def test_bytes_on_the_wire_are_counted() -> None:
    with Lab(HOME) as lab:
        phone = udp_socket(lab, "phone")
        phone.sendto(b"x", (REFLECTOR_A, 3478))  # the address is resolved: ARP is counted too
        time.sleep(0.1)
        before = lab.traffic("phone", "router")
        for _ in range(10):
            phone.sendto(bytes(100), (REFLECTOR_A, 3478))
        after = lab.traffic("phone", "router")
        assert after.packets_out - before.packets_out == 10
        assert after.bytes_out - before.bytes_out == 10 * (100 + 8 + 20 + 14)


@pytest.mark.lab
def test_a_program_that_fails_says_where_and_why() -> None:
    with Lab(HOME) as lab:
        with pytest.raises(LabError, match="phone: .*status 3: why"):
            lab.run("phone", ["sh", "-c", "echo why >&2; exit 3"])
        with pytest.raises(LabError, match="nowhere"):
            lab.traffic("phone", "nowhere")

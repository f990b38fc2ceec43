"""Refreshes of the NATs nearest to the reflector: TTL-limited, bounded, and over with the push."""

import socket
from pathlib import Path

import pytest

from natwatch.wire import stun
from natwatch_provider.reflector.holds import MAX_REFRESHED_OF_ONE
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout
from natwatch_provider.reflector.sockets import open_ports
from tests.provider.reflector_rig import SIP, TOOTH, Rig

TXID = b"tooth-number"


def leaving(rig: Rig, until: int, start: int) -> list[tuple[int, str, int | None]]:
    """(ms after *start*, refresh, push or witness, TTL) of all that leaves until then."""
    seen = []
    for when, datagram in rig.pass_time(until):
        message = stun.parse(datagram.data)
        assert message.authentic(rig.key) and message.klass == stun.INDICATION
        names = {stun.REFRESH: "refresh", stun.PUSH: "push", stun.WITNESS: "witness"}
        [kind] = [names[number] for number in names if message.has(number)]
        if kind == "refresh":
            assert (datagram.local, datagram.destination) == (SIP, TOOTH)
            assert message.txid == TXID and datagram.tooth is None
        seen.append((when - start, kind, datagram.ttl))
    return seen


def held(rig: Rig, **hold: object) -> str:
    """What the reflector makes of a tooth so asked."""
    txid = rig.txid()
    rig.receive(rig.hold(txid=txid, **hold), TOOTH, SIP)  # type: ignore[arg-type]
    return stun.OUTCOMES[rig.audit(txid)[0].outcome]


def test_refreshes_go_with_their_ttl_until_the_first_push() -> None:
    rig = Rig()
    data = rig.hold(delay=10_000, copies=1, refresh=stun.Refresh(3, 4_000), txid=TXID)
    start = rig.now
    rig.receive(data, TOOTH, SIP)
    assert leaving(rig, start + 60_000, start) == [
        (4_000, "refresh", 3), (8_000, "refresh", 3), (10_000, "push", None)
    ]  # fmt: skip
    assert rig.counters["refreshed"] == 2


def test_none_goes_between_an_earlier_round_and_the_last() -> None:
    rig = Rig()
    refresh = stun.Refresh(2, 1_500)
    start = rig.now
    data = rig.hold(delay=9_000, copies=1, earlier=[4_000], refresh=refresh, txid=TXID)
    rig.receive(data, TOOTH, SIP)
    kinds = [(when, kind) for when, kind, _ in leaving(rig, start + 60_000, start)]
    assert kinds == [(1_500, "refresh"), (3_000, "refresh"), (4_000, "push"), (9_000, "push")]


def test_a_repeated_request_moves_the_refreshes() -> None:
    rig = Rig()
    data = rig.hold(delay=5_000, copies=1, refresh=stun.Refresh(2, 1_000), txid=TXID)
    start = rig.now
    rig.receive(data, TOOTH, SIP)
    assert leaving(rig, start + 1_400, start) == [(1_000, "refresh", 2)]
    rig.now = start + 1_400
    assert len(rig.receive(data, TOOTH, SIP)) == 1
    assert [when for when, _, _ in leaving(rig, start + 60_000, start)] == [
        2_400, 3_400, 4_400, 5_400, 6_400
    ]  # fmt: skip


def test_a_canceled_tooth_is_refreshed_no_more() -> None:
    rig = Rig()
    start = rig.now
    data = rig.hold(delay=60_000, copies=1, refresh=stun.Refresh(2, 1_000), txid=TXID)
    rig.receive(data, TOOTH, SIP)
    assert len(leaving(rig, start + 2_500, start)) == 2
    rig.control((stun.CANCEL, [TXID]))
    assert leaving(rig, start + 90_000, start) == []


def test_what_would_be_a_flood_is_refused() -> None:
    rig = Rig()
    assert held(rig, refresh=stun.Refresh(2, 500)) == "held"
    assert held(rig, refresh=stun.Refresh(2, 499)) == "refused"
    assert held(rig, refresh=stun.Refresh(0, 5_000)) == "refused"
    assert held(rig, delay=900_000, refresh=stun.Refresh(2, 900)) == "refused"
    assert held(rig, delay=900_000, refresh=stun.Refresh(2, 1_000)) == "held"
    assert rig.counters["refused_refresh"] == 3


def test_one_device_has_so_many_at_once_and_room_again_after_the_push() -> None:
    rig = Rig()
    refresh = stun.Refresh(2, 5_000)
    made = [held(rig, delay=8_000, refresh=refresh) for _ in range(MAX_REFRESHED_OF_ONE + 1)]
    assert made == ["held"] * MAX_REFRESHED_OF_ONE + ["refused"]
    assert held(rig) == "held"
    list(rig.pass_time(rig.now + 20_000))
    assert held(rig, refresh=refresh) == "held"


def test_a_tooth_that_speaks_sip_is_not_refreshed() -> None:
    from natwatch.wire import sip

    rig = Rig()
    txid = rig.txid()
    inner = rig.hold(txid=txid, refresh=stun.Refresh(2, 5_000))
    rig.receive(sip.request(SIP[0], inner, "0123456789abcdef01234567"), TOOTH, SIP)
    assert stun.OUTCOMES[rig.audit(txid)[0].outcome] == "refused"


def test_the_system_sends_it_with_that_ttl(tmp_path: Path) -> None:
    """And the next one, from the same socket, with its own again."""
    layout = Layout(("127.0.0.1", "127.0.0.2"), 23478, 23479, 25060, range(28000, 28002))
    [ports] = open_ports(layout)
    local: Endpoint = ("127.0.0.1", 25060)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.settimeout(5)
        device.bind(("127.0.0.1", 0))
        device.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        rig = Rig()
        try:
            seen = []
            for ttl in (3, None, 7):
                ports._send(rig.reflector, [Datagram(local, device.getsockname(), b"x", ttl=ttl)])
                _, fields, _, source = device.recvmsg(10, socket.CMSG_SPACE(4))
                assert source == local
                seen.append(int.from_bytes(fields[0][2], "little"))
        finally:
            ports.close()
    default = int(Path("/proc/sys/net/ipv4/ip_default_ttl").read_text())
    assert seen == [3, default, 7]


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_refresh_of_another_length_is_malformed(size: int) -> None:
    packed = stun.build(stun.REQUEST, TXID, [(stun.PADDING, bytes(size))], fingerprint=False)
    spoiled = packed.replace(b"\x00\x26", b"\x7e\x5d", 1)
    with pytest.raises(stun.StunError):
        stun.parse(spoiled).get(stun.REFRESH)

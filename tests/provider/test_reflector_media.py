"""Voice packets that are sent back, and STAMP for everybody, the latter by somebody else's code."""

import random
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scapy.contrib.stamp import (
    STAMPSessionReflectorTestUnauthenticated as ReflectorTest,
)
from scapy.contrib.stamp import (
    STAMPSessionSenderTestUnauthenticated as SenderTest,
)

from natwatch.probes.media import Media
from natwatch.wire import media, stun
from natwatch_provider.reflector import media as streams
from natwatch_provider.reflector.layout import Endpoint
from natwatch_provider.reflector.limits import PREFIX_BURST
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, TOOTH, WALL, A, B, Rig
from tests.provider.test_reflector_program import serving, small_layout
from tests.provider.test_reflector_with_engines import Pair, everything

MEDIA = (A, 8500)
TXID = b"ssrc-of-this"
SSRC = TXID[:4]


def opened(rig: Rig, txid: bytes = TXID, source: Endpoint = TOOTH, **hold: object) -> None:
    asked = rig.hold(txid=txid, reflect=True, delay=60_000, **hold)  # type: ignore[arg-type]
    assert len(rig.receive(asked, source, MEDIA)) == 1, rig.counters


def reflection(rig: Rig, sequence: int, ssrc: bytes = SSRC) -> media.Reflected:
    data = media.packet(sequence, ssrc)
    [answer] = rig.receive(data, TOOTH, MEDIA)
    assert (answer.local, answer.destination, len(answer.data)) == (MEDIA, TOOTH, len(data))
    assert answer.data[:12] == data[:12]
    return media.parse_reflected(answer.data, ssrc)


def silent(
    rig: Rig, counter: str, data: bytes, source: Endpoint = TOOTH, at: Endpoint = MEDIA
) -> None:
    before = dict(rig.counters)
    assert rig.receive(data, source, at) == []
    grown = {name for name, n in rig.counters.items() if n != before.get(name, 0)}
    assert grown == {counter}, grown


def test_each_packet_comes_back_with_a_note_of_those_before_it() -> None:
    rig = Rig()
    opened(rig)
    since = rig.now
    for index in range(60):
        rig.now = since + 20 * index + 7
        told = reflection(rig, 2 * index)
        assert (told.sequence, told.number) == (2 * index, index + 1)
        assert told.received == told.sent == 20 * index + 7
        latest = range(index - 1, max(index - 1 - media.HISTORY, -1), -1)
        assert list(told.earlier()) == [(n + 1, 2 * n, 20 * n + 7) for n in latest]
    assert rig.counters["media"] == 60


def test_the_record_tells_how_many_came_also_while_it_goes_on() -> None:
    rig = Rig()
    opened(rig)
    for sequence in range(5):
        reflection(rig, sequence)
    [record] = rig.audit(TXID)
    assert (record.outcome, record.idle) == (stun.HELD, 5)
    [record] = rig.control((stun.CANCEL, [TXID])).get_all(stun.RECORD)
    assert (record.outcome, record.idle) == (stun.CANCELED, 5)


def test_only_the_tooths_own_source_port_and_stream_are_sent_back() -> None:
    rig = Rig()
    packet = media.packet(1, SSRC)
    silent(rig, "not_stun", packet)  # nothing was opened
    opened(rig)
    silent(rig, "not_stun", packet, source=ELSEWHERE)
    silent(rig, "not_stun", packet, source=(TOOTH[0], TOOTH[1] + 1))
    silent(rig, "not_stun", packet, at=(A, 8502))
    silent(rig, "not_stun", packet, at=(B, 8500))
    silent(rig, "not_stun", packet, at=CONTROL)
    silent(rig, "media_wrong_stream", media.packet(1, b"gues"))
    silent(rig, "media_size", packet[:-1])
    silent(rig, "media_size", packet + b"\0")
    silent(rig, "media_size", packet[:12])
    assert reflection(rig, 1).number == 1


def test_a_canceled_pushed_or_refused_tooth_sends_nothing_back() -> None:
    rig = Rig()
    opened(rig)
    reflection(rig, 0)
    rig.control((stun.CANCEL, [TXID]))
    silent(rig, "not_stun", media.packet(1, SSRC))

    opened(rig, b"until-pushed", copies=1)
    reflection(rig, 0, b"unti")
    pushes = list(rig.pass_time(rig.now + 60_000))
    assert len(pushes) == 1
    silent(rig, "not_stun", media.packet(1, b"unti"))
    [record] = rig.audit(b"until-pushed")
    assert (record.outcome, record.idle) == (stun.PUSHED, 60_000)

    stale = rig.hold(txid=b"stale-nonces", reflect=True, nonce=b"AAAAAAAAAAAAAAAA")
    assert rig.receive(stale, TOOTH, MEDIA) == []
    silent(rig, "not_stun", media.packet(1, b"stal"))
    assert rig.reflector._holds.streams._total == 0


def test_it_is_refused_elsewhere_than_on_a_media_port() -> None:
    rig = Rig()
    silent(rig, "refused_port", rig.hold(reflect=True), at=CONTROL)


def test_a_tooth_without_the_flag_sends_nothing_back() -> None:
    rig = Rig()
    assert len(rig.receive(rig.hold(txid=TXID), TOOTH, MEDIA)) == 1
    silent(rig, "not_stun", media.packet(1, SSRC))


def test_packets_of_a_stream_and_streams_of_a_device_are_bounded() -> None:
    rig = Rig()
    opened(rig)
    for sequence in range(streams.MAX_PACKETS):
        assert len(rig.receive(media.packet(sequence, SSRC), TOOTH, MEDIA)) == 1
    silent(rig, "media_full", media.packet(0, SSRC))
    for number in range(1, streams.MAX_STREAMS_OF_ONE):
        opened(rig, b"%012d" % number, (TOOTH[0], 50_000 + number))
    silent(rig, "refused_streams", rig.hold(reflect=True), source=(TOOTH[0], 60_000))
    assert len(rig.receive(rig.hold(), TOOTH, MEDIA)) == 1  # other teeth are not refused
    rig.control((stun.CANCEL, [TXID]))
    opened(rig, b"another-one!")


def test_the_latest_tooth_of_a_binding_has_it_and_the_end_of_the_earlier_changes_nothing() -> None:
    rig = Rig()
    opened(rig)
    opened(rig, b"later-on-it!")
    silent(rig, "media_wrong_stream", media.packet(0, SSRC))
    rig.control((stun.CANCEL, [TXID]))
    assert reflection(rig, 3, b"late").number == 1
    rig.control((stun.CANCEL, [b"later-on-it!"]))
    assert rig.reflector._holds.streams._open == rig.reflector._holds.streams._of == {}


def test_stun_on_the_binding_is_still_stun_and_collecting_goes_on_beside() -> None:
    rig = Rig()
    opened(rig, collect=True)
    plain = bytes(stun.build(stun.REQUEST, b"twelve bytes", []))
    [answer] = rig.receive(plain, TOOTH, MEDIA)
    assert stun.parse(answer.data).klass == stun.SUCCESS
    silent(rig, "collected", b"\r\n")
    reflection(rig, 0)
    [copy] = rig.control((stun.FETCH, stun.Fetch(TXID, 0))).get_all(stun.COPY)
    assert copy.count == 2  # the stream is not among them


@settings(max_examples=600, deadline=None)
@given(
    some.binary(max_size=400) | some.binary(max_size=30).map(lambda tail: b"\x80\0\0\1" + tail)
    | some.binary(max_size=200).map(lambda data: (media.packet(9, SSRC) + data)[:200])
    | some.tuples(some.binary(min_size=16, max_size=16), some.binary(max_size=99)).map(
        lambda parts: parts[0] + bytes(28) + parts[1]
    ),
    some.sampled_from([TOOTH, ELSEWHERE]),
    some.sampled_from([MEDIA, (A, 8000), (B, 10_000), CONTROL]),
)  # fmt: skip
def test_whatever_comes_never_is_more_sent_than_came_but_to_stun(
    data: bytes, source: Endpoint, local: Endpoint
) -> None:
    rig = Rig()
    opened(rig)
    before = sum(rig.counters.values())
    answers = rig.receive(data, source, local)
    assert sum(rig.counters.values()) == before + 1 and len(answers) <= 1
    for answer in answers:
        assert (answer.local, answer.destination) == (local, source)
        plain = any(name.startswith("plain") for name in rig.counters)
        assert len(answer.data) == len(data) or plain


# STAMP


def test_stamp_is_answered_on_media_ports_alone_and_as_long_as_it_came() -> None:
    rig = Rig()
    for size in (44, 45, 172, 1400):
        data = media.stamp_request(24, WALL) + bytes(size - 44)  # 24: a STUN length of that size
        [answer] = rig.receive(data, ELSEWHERE, MEDIA, ttl=57)
        assert (answer.local, answer.destination) == (MEDIA, ELSEWHERE)
        assert len(answer.data) == size
        told = media.parse_stamp_answer(answer.data)
        assert (told.sequence, told.sender_sequence, told.ttl) == (24, 24, 57)
        assert abs(told.received - WALL) < 1 and abs(told.sender_time - WALL) < 1
    assert rig.counters == {"stamp": 4}
    silent(rig, "method", media.stamp_request(24, WALL), at=CONTROL)
    silent(rig, "length", media.stamp_request(7, WALL)[:43], ELSEWHERE)


def test_stamp_has_the_limits_of_strangers() -> None:
    rig = Rig()
    for sequence in range(PREFIX_BURST):
        assert rig.receive(media.stamp_request(sequence, WALL), ELSEWHERE, MEDIA)
    silent(rig, "limited_prefix", media.stamp_request(0, WALL), ELSEWHERE)


@pytest.mark.parametrize("sequence", [0, 24, 65_560, 0x8000_0000, 0xFFFF_FFFF])
def test_scapys_stamp_sender_understands_the_real_reflectors_answers(sequence: int) -> None:
    layout = small_layout()
    with serving(layout), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 77)
        for address in layout.addresses:
            # scapy counts NTP's timestamps from 1900 and fills in the present one itself.
            data = bytes(SenderTest(seq=sequence, ssid=0xBEEF))
            assert len(data) == 44
            sock.sendto(data, (address, 8001))
            answer, source = sock.recvfrom(4096)
            assert source == (address, 8001) and len(answer) == 44
            told = ReflectorTest(answer)
            assert (told.seq, told.seq_sender, told.ttl_sender) == (sequence, sequence, 77)
            assert told.ssid == 0xBEEF and bytes(told.err_estimate)[1] != 0
            assert (told.err_estimate.S, told.err_estimate.Z) == (0, 0)
            assert answer[28:36] == data[4:12] and answer[36:38] == data[12:14]
            assert bytes(told)[38:40] == b"\0\0" and bytes(told)[41:44] == b"\0\0\0"
            # serving() has a wall clock that stands: 1,764,000,000 s.
            for stamp in (told.ts, told.ts_rx):
                assert float(stamp) == pytest.approx(1_764_000_000 + 2_208_988_800, abs=0.01)


# Both ends of docs/protocol.md at once


class Lossy(Pair):
    """A line that loses voice packets at random, each way by its share."""

    def __init__(self, outward: float, inward: float) -> None:
        super().__init__(everything, everything)
        self._shares = inward, outward
        self._source = random.Random(11)
        self.lost = [0, 0]  # inward, outward

    def _carry(self, outward: bool, datagram: object) -> None:  # type: ignore[override]
        data = datagram.data  # type: ignore[attr-defined]
        if media.looks_like_rtp(data) and self._source.random() < self._shares[outward]:
            self.lost[outward] += 1
            return
        super()._carry(outward, datagram)  # type: ignore[arg-type]


@pytest.mark.parametrize(("outward", "inward"), [(0, 0), (0.1, 0), (0, 0.1), (0.2, 0.3)])
def test_the_engine_and_the_reflector_agree_on_what_was_lost(outward: float, inward: float) -> None:
    pair = Lossy(outward, inward)
    pair.engine = Media(pair.session, 8500, 20)
    pair.engine.start(pair.now)
    pair.run(pair.now + 40_000)
    [result] = pair.engine.take_results()
    assert result["reason"] is None and result["sent"] == result["out"]["packets"] == 1000, result
    assert result["rtt"] == {"least": 20, "median": 20, "most": 20}, result
    assert result["in"]["packets"] == 1000 - result["out"]["lost"], result
    # The closing packets are not counted in the result, and a few of them may be lost as well.
    for lost, way in ((pair.lost[1], "out"), (pair.lost[0], "in")):
        assert lost - 10 <= result[way]["lost"] <= lost, (way, lost, result)
    assert pair.reflector.counters["media"] == 1010 - pair.lost[1]
    assert pair.reflector._holds.streams._total == 0


def test_a_packet_has_the_layout_that_the_protocol_page_draws() -> None:
    rig = Rig()
    opened(rig)
    reflection(rig, 1)
    rig.now += 20
    [answer] = rig.receive(media.packet(2, SSRC), TOOTH, MEDIA)
    data = answer.data
    assert data[:4] == b"\x80\0\0\2" and data[4:8] == (320).to_bytes(4, "big")
    assert data[8:12] == SSRC and data[12:16] == b"nwm1"
    assert struct.unpack(">IIIHH", data[16:32]) == (2, 20, 20, 1, 0)
    assert struct.unpack(">HH", data[32:36]) == (1, 20) and data[36:] == bytes(136)

"""Whatever arrives: no exception, one counter, and never more bytes out than in, unproven."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as some

from natwatch.wire import sip, stun
from natwatch_provider.reflector.copies import MAX_BYTES
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, HOME, LAYOUT, SIP, TOOTH, B, Rig

PLAIN_EXCESS = 36  # bytes that a stranger's answer may be longer than the request
LOCALS = some.sampled_from([CONTROL, SIP, (B, 3479), (B, 8000)])
ENDPOINTS = set(LAYOUT.endpoints())

RIG = Rig()
SEEDS = [
    stun.build(stun.REQUEST, b"twelve bytes", [(stun.CHANGE_REQUEST, 6)], fingerprint=False),
    stun.build(stun.REQUEST, b"twelve bytes", [(stun.RESPONSE_PORT, b"\x12\x34")]),
    stun.build(stun.REQUEST, b"twelve bytes", [], cookie=b"1234", fingerprint=False),
    RIG.request((stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80))),
    RIG.request((stun.CONTROL, bytes(4)), (stun.AUDIT, [b"a" * 12]), (stun.CANCEL, [b"b" * 12])),
    RIG.hold(),
    RIG.hold(earlier=[1_000, 2_000], change=stun.ANY_PORT, collect=True),
    RIG.request((stun.CONTROL, bytes(4)), (stun.FETCH, stun.Fetch(b"a" * 12, 0))),
    RIG.request((stun.CONTROL, bytes(4)), (stun.FORWARD, stun.Forward(5060, True))),
]
SEEDS += [sip.request("192.0.2.1", data, "0123456789") for data in SEEDS]
SEEDS.append(b"OPTIONS sip:x SIP/2.0\r\nv: 1\r\ni:\r\ni:\r\nNatwatch: AAEAACESpEI=\r\n\r\n")


@some.composite
def attributes(draw: some.DrawFn) -> bytes:
    """A message of attributes, known and not, of lengths that may be impossible."""
    known = some.sampled_from(sorted(stun.ATTRIBUTES))
    body = b""
    for _ in range(draw(some.integers(0, 6))):
        number = draw(known | some.integers(0, 0xFFFF))
        value = draw(some.binary(max_size=40) | some.just(bytes(8)) | some.just(b"box-1"))
        body += number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
        body += bytes(-len(value) % 4)
    cookie = draw(some.sampled_from([stun.MAGIC_COOKIE, b"1234"]))
    return b"\0\1" + len(body).to_bytes(2, "big") + cookie + b"twelve bytes" + body


@some.composite
def mutated(draw: some.DrawFn) -> bytes:
    """A good message with bytes changed, cut or added."""
    data = bytearray(draw(some.sampled_from(SEEDS)))
    for _ in range(draw(some.integers(0, 4))):
        data[draw(some.integers(0, len(data) - 1))] = draw(some.integers(0, 255))
    if draw(some.booleans()):
        data = data[: draw(some.integers(0, len(data)))] + draw(some.binary(max_size=12))
    return bytes(data)


@some.composite
def in_sip(draw: some.DrawFn) -> bytes:
    """Any of these in a SIP message with headers of all kinds."""
    payload = base64.b64encode(draw(attributes() | mutated() | some.binary(max_size=60)))
    names = some.sampled_from(["Via", "v", "f", "t", "i", "CSeq", "Call-ID", "x", "", "natwatch"])
    lines = [draw(some.sampled_from(["OPTIONS sip:x SIP/2.0", "SIP/2.0 200 OK", ""])).encode()]
    for _ in range(draw(some.integers(0, 8))):
        value = draw(some.binary(max_size=30) | some.just(b"\xff"))
        lines.append(draw(names).encode() + draw(some.sampled_from([b":", b""])) + value)
    lines.insert(draw(some.integers(1, len(lines))), b"Natwatch: " + payload)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def is_plain(counters: dict[str, int]) -> bool:
    return any(name.startswith("plain") for name in counters)


@settings(max_examples=1500, deadline=None)
@given(some.binary(max_size=200) | attributes() | mutated() | in_sip(), LOCALS)
def test_nothing_unproven_gets_more_than_it_sent(data: bytes, local: tuple[str, int]) -> None:
    rig = Rig()  # it never heard of any device: every nonce is of another start
    answers = rig.receive(data, ELSEWHERE, local)
    assert sum(rig.counters.values()) == 1
    assert len(answers) <= 1
    for answer in answers:
        assert answer.local in ENDPOINTS
        assert answer.destination[0] == ELSEWHERE[0]
        if sip.looks_like(answer.data):
            assert local == SIP and answer.local == SIP and answer.destination == ELSEWHERE
            assert len(answer.data) <= len(data)
            stun.parse(payload_of(answer.data))
        else:
            assert len(answer.data) <= len(data) + (PLAIN_EXCESS if is_plain(rig.counters) else 0)
            stun.parse(answer.data)
    assert list(rig.pass_time(rig.now + 2_000_000)) == []


def payload_of(data: bytes) -> bytes:
    payload = sip.parse(data).payload()
    assert payload is not None
    return bytes(payload)


@settings(max_examples=400, deadline=None)
@given(
    some.lists(some.binary(max_size=60) | attributes() | mutated() | in_sip(), max_size=50),
    some.booleans(),
)
def test_a_binding_that_collects_counts_each_datagram_once_and_keeps_it(
    arrivals: list[bytes], over_sip: bool
) -> None:
    rig = Rig()
    txid = b"collecting-1"
    asked = rig.hold(collect=True, earlier=[1_000], delay=60_000, txid=txid)
    rig.receive(sip.request("192.0.2.1", asked, "token") if over_sip else asked, TOOTH, SIP)
    for data in arrivals:
        tooth = rig.reflector._holds.collecting(TOOTH, SIP)  # a good HOLD among them takes over
        assert tooth is not None
        before, kept = rig.reflector.counters.copy(), len(tooth.copies._kept)
        rig.receive(data, TOOTH, SIP)
        [(counter, one)] = (rig.reflector.counters - before).items()
        assert one == 1
        if counter.startswith("plain") or counter == "collected":
            grown = len(tooth.copies._kept) - kept
            assert grown == 1 or (grown == 0 and kept == 32 and counter != "collected")
        else:
            assert len(tooth.copies._kept) == kept
    list(rig.pass_time(rig.now + 2_000_000))
    assert rig.reflector._holds._devices == {} and rig.reflector._holds._collecting == {}
    assert rig.reflector._holds._copies.free == MAX_BYTES


STEPS = some.lists(
    some.tuples(
        some.sampled_from(["tooth", "repeat", "moved", "cancel", "audit", "wait", "noise"]),
        some.integers(0, 5),
        some.integers(0, 3_000),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_order_of_events_pushes_more_copies_than_asked(
    steps: list[tuple[str, int, int]],
) -> None:
    rig = Rig()
    rig.control()
    teeth = [
        rig.hold(
            delay=1_000 * n, copies=n % 3 + 1, txid=b"%012d" % n,
            earlier=[1_000 * round_ for round_ in range(1, n)],
        )
        for n in range(6)
    ]  # fmt: skip
    teeth = [*teeth[:3], *(sip.request("192.0.2.1", data, "token") for data in teeth[3:])]
    copies: dict[bytes, int] = {}
    earlier: dict[bytes, int] = {}
    for kind, number, milliseconds in [*steps, ("wait", 0, 2_000_000)]:
        if kind in ("tooth", "repeat"):
            rig.receive(teeth[number], TOOTH, SIP)
        elif kind == "moved":
            rig.receive(teeth[number], (TOOTH[0], 7), SIP)
        elif kind in ("cancel", "audit"):
            about = stun.CANCEL if kind == "cancel" else stun.AUDIT
            [record] = rig.control((about, [b"%012d" % number])).get_all(stun.RECORD)
            assert record.copies == copies.get(record.txid, 0)
        elif kind == "noise":
            rig.receive(SEEDS[number][:-4], HOME, CONTROL)
        else:
            for _, datagram in rig.pass_time(rig.now + milliseconds):
                in_sip = sip.looks_like(datagram.data)
                message = stun.parse(payload_of(datagram.data) if in_sip else datagram.data)
                if message.has(stun.PUSH):
                    assert in_sip == (int(message.txid) >= 3)
                    counts = copies if message.get(stun.PUSH).copy else earlier
                    counts[message.txid] = counts.get(message.txid, 0) + 1
    for txid, count in copies.items():
        assert count <= int(txid) % 3 + 1
    for txid, count in earlier.items():
        assert count <= (int(txid) - 1) * (int(txid) % 3 + 1)
    assert rig.reflector._holds._devices == {}

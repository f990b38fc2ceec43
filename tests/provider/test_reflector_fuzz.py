"""Whatever arrives: no exception, one counter, and never more bytes out than in, unproven."""

from hypothesis import given, settings
from hypothesis import strategies as some

from natwatch.wire import stun
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
]


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


def is_plain(counters: dict[str, int]) -> bool:
    return any(name.startswith("plain") for name in counters)


@settings(max_examples=1500, deadline=None)
@given(some.binary(max_size=200) | attributes() | mutated(), LOCALS)
def test_nothing_unproven_gets_more_than_it_sent(data: bytes, local: tuple[str, int]) -> None:
    rig = Rig()  # it never heard of any device: every nonce is of another start
    answers = rig.receive(data, ELSEWHERE, local)
    assert sum(rig.counters.values()) == 1
    assert len(answers) <= 1
    for answer in answers:
        assert answer.local in ENDPOINTS
        assert answer.destination[0] == ELSEWHERE[0]
        assert len(answer.data) <= len(data) + (PLAIN_EXCESS if is_plain(rig.counters) else 0)
        stun.parse(answer.data)
    assert list(rig.pass_time(rig.now + 2_000_000)) == []


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
    teeth = [rig.hold(delay=1_000 * n, copies=n % 3 + 1, txid=b"%012d" % n) for n in range(6)]
    copies: dict[bytes, int] = {}
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
                message = stun.parse(datagram.data)
                if message.has(stun.PUSH):
                    copies[message.txid] = copies.get(message.txid, 0) + 1
    for txid, count in copies.items():
        assert count <= int(txid) % 3 + 1
    assert rig.reflector._holds._devices == {}

"""The reflector's core: arbitrary datagrams from arbitrary endpoints, and a device gone mad.

An input is a row of steps, each of four bytes (what, where to, where from, length) and as many
bytes of data as its length says: a datagram as it is, the attributes of one that the harness seals
with the device's key and a good nonce, the same within SIP, or time that passes.
"""

from natwatch.wire import sip, stun
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, HOME, LAYOUT, SIP, TOOTH, B, Rig

LOCALS = [CONTROL, SIP, (B, 3479), (B, 8000), (B, 5060), *LAYOUT.endpoints()][:64]
SOURCES = [HOME, TOOTH, ELSEWHERE, ("203.0.113.9", 1), ("0.0.0.0", 0), ("255.255.255.255", 65535)]
RAW, SEALED, IN_SIP, TIME = range(4)
STEPS = 12
TXID = b"twelve bytes"
PLAIN_EXCESS = 36  # bytes that a stranger's answer may be longer than the request
ENDPOINTS = set(LAYOUT.endpoints())


def attributes(*pairs: tuple[int, object]) -> bytes:
    return bytes(stun.build(stun.REQUEST, TXID, list(pairs), fingerprint=False)[20:])


def step(what: int, data: bytes, local: int = 0, source: int = 0) -> bytes:
    return bytes([what, local, source, len(data) // 4]) + data + bytes(-len(data) % 4)


HOLD = stun.Hold(True, 10_000, 3, 0, bytes(4), False, False, False)
COLLECT = stun.Hold(True, 10_000, 1, stun.ANY_PORT, bytes(4), True, True, False)
REFLECT = stun.Hold(True, 10_000, 1, 0, bytes(4), False, False, True)
CONTROLLED = (stun.CONTROL, bytes(4))
SEEDS = [
    step(SEALED, attributes((stun.HOLD, HOLD)), 1, 1) + step(TIME, b"\0\0\x30\0"),
    step(SEALED, attributes((stun.HOLD, COLLECT), (stun.EARLIER, [1_000, 2_000])), 1, 1)
    + step(RAW, b"INVITE sip:x SIP/2.0\r\n\r\n", 1, 1)
    + step(SEALED, attributes(CONTROLLED, (stun.FETCH, stun.Fetch(TXID, 0)))),
    step(IN_SIP, attributes((stun.HOLD, HOLD)), 1, 1) + step(TIME, b"\0\0\xff\0"),
    step(SEALED, attributes((stun.HOLD, REFLECT)), 3, 1) + step(RAW, b"\x80" + bytes(171), 3, 1),
    step(SEALED, attributes(CONTROLLED, (stun.AUDIT, [TXID]), (stun.CANCEL, [TXID]))),
    step(SEALED, attributes(CONTROLLED, (stun.FORWARD, stun.Forward(5060, True)))),
    step(SEALED, attributes((stun.HOLD, HOLD), (stun.REFRESH, stun.Refresh(5, 3_000))), 1, 1)
    + step(TIME, b"\0\0\x20\0"),
    step(RAW, stun.build(stun.REQUEST, TXID, [(stun.CHANGE_REQUEST, 6)], fingerprint=False), 0, 2),
    step(RAW, sip.request("192.0.2.1", stun.build(stun.REQUEST, TXID, []), "token"), 1, 2),
]
WORDS = [number.to_bytes(2, "big") for number in stun.ATTRIBUTES]
WORDS += [b"\0\0\0\0", b"\1\0\0\0", b"\2\1\1\4", b"\3\0\0\1", b"SIP/2.0", TXID]


def one(data: bytes) -> None:
    rig = Rig()
    nonces = {source: rig.nonce(source) for source in SOURCES[:1]}
    for _ in range(STEPS):
        if len(data) < 4:
            break
        what, local = data[0] % 4, LOCALS[data[1] % len(LOCALS)]
        source, size = SOURCES[data[2] % len(SOURCES)], 4 * data[3]
        body, data = data[4 : 4 + size], data[4 + size :]
        if what == TIME:
            passed = int.from_bytes(body[:4], "big") % 2_000_000
            for _, sent in rig.pass_time(rig.now + passed):
                assert sent.local in ENDPOINTS and sent.destination[0] == HOME[0]
            continue
        datagram = body if what == RAW else _sealed(rig, nonces[HOME], body)
        if what == IN_SIP:
            datagram = sip.request("192.0.2.1", datagram, "token")
        before = sum(rig.counters.values())
        answers = rig.receive(datagram, source, local)
        assert sum(rig.counters.values()) == before + 1
        for answer in answers:
            assert answer.local in ENDPOINTS
            if what == RAW and source[0] != HOME[0]:
                assert answer.destination[0] == source[0]
                assert len(answer.data) <= len(datagram) + PLAIN_EXCESS
    list(rig.pass_time(rig.now + 2_000_000))
    assert rig.reflector.next_timer() is None


def _sealed(rig: Rig, nonce: bytes, body: bytes) -> bytes:
    """A request of the device with *body*, attributes of any kind, under a good MAC."""
    good = stun.build(stun.REQUEST, TXID, [(stun.USERNAME, rig.device), (stun.NONCE, nonce)])
    inner = good[20:-8] + body
    mac = stun.SHORT_MAC
    head = b"\0\1" + (len(inner) + 4 + mac).to_bytes(2, "big") + good[4:20]
    proof = stun.hmac_sha256(rig.key, head + inner)[:mac]
    sealed = stun.MESSAGE_INTEGRITY_SHA256.to_bytes(2, "big") + mac.to_bytes(2, "big") + proof
    return bytes(head + inner + sealed)

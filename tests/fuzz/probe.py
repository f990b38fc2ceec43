"""The probes' engines: answers that are authentic and senseless, or of strangers, at any time.

The first byte chooses the engine. The rest is a row of steps, each of four bytes (what, which of
the latest datagrams sent is answered, class and source, length in words) and as many bytes: a
datagram as it is, attributes that the harness seals with the reflector's key under the transaction
that is answered, or time that passes. A reflector with a fault must not end the daemon.
"""

import hashlib
from typing import Any

from natwatch.probes.alg import Alg
from natwatch.probes.filtering import Filtering
from natwatch.probes.keepalives import Keepalives
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.mapping import Mapping
from natwatch.probes.media import Media
from natwatch.probes.refreshed import Refreshed
from natwatch.probes.resident import Resident
from natwatch.probes.session import Session
from natwatch.probes.watch import Watch
from natwatch.wire import sip, stun
from tests.fuzz.reflector import TXID, attributes, step

KEY = bytes(range(32))
REFLECTOR = "192.0.2.1"
ELSEWHERE = ("198.51.100.66", 53)
RAW, SEALED, TIME = range(3)
STEPS = 16
LATEST = 16  # datagrams sent that an input may answer
TIMERS = 60  # that one step of time may see
CLASSES = (stun.SUCCESS, stun.INDICATION, stun.ERROR, stun.REQUEST)
MAPPED = (stun.XOR_MAPPED_ADDRESS, ("203.0.113.9", 40_000))
FRESH = attributes(
    MAPPED, (stun.NONCE, b"0000000000001000"), (stun.BOOT_ID, b"bootboot"),
    (stun.TIME, 1_700_000_000_000), (stun.RECEIVED, (62, 0)),
)  # fmt: skip
STALE = attributes((stun.ERROR_CODE, (438, "")), (stun.NONCE, b"0000000000001000"))
PUSH = attributes((stun.PUSH, stun.Pushed(TXID, 1, 3, 1_000)))
TOLD = attributes(
    MAPPED, (stun.RECORD, stun.Record(TXID, stun.PUSHED, 1, 1, 3, 1_000, MAPPED[1])),
    (stun.COPY, stun.Copy(0, 1)), (stun.FORWARDED, stun.Forwarded(stun.SILENT)),
)  # fmt: skip
BEGINNING = step(SEALED, FRESH) + step(TIME, (2_000).to_bytes(4, "big"))
SEEDS = [
    bytes([engine]) + BEGINNING + step(SEALED, attributes(MAPPED)) + end
    for engine in range(10)
    for end in (
        step(TIME, (4_000).to_bytes(4, "big"))
        + step(SEALED, PUSH, 1, 1)
        + step(SEALED, TOLD, 0, 0),
        step(SEALED, attributes((stun.WITNESS, stun.Pushed(TXID, 1, 3, 1_000))), 15, 1)
        + step(RAW, b"SIP/2.0 200 OK\r\nNatwatch: AAEA\r\n\r\n", 2, 4)
        + step(SEALED, STALE, 0, 2),
    )
]
WORDS = [number.to_bytes(2, "big") for number in stun.ATTRIBUTES]
WORDS += [b"\1\0\0\0", b"\1\1\1\4", b"\2\0\0\1", TXID, b"\xff\xff\xff\xff", b"SIP/2.0"]


class Draw:
    """Random bytes that are the same each time."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return (hashlib.sha256(b"%d" % self._count).digest() * (size // 32 + 1))[:size]


def engine(number: int, session: Session, draw: Draw) -> Any:
    key = ("udp/sip", ("oneway", "replied", "stream")[number % 3])
    return [
        lambda: Lifetime(session, key, 60_000, 8, 100),
        lambda: Watch(session, key, (8_000, 9_000), 4_000, 100),
        lambda: Resident(session, 5062, "stun", 5_000, 60_000),
        lambda: Keepalives(session),
        lambda: Filtering(session),
        lambda: Mapping(session.endpoint, random=draw),
        lambda: Media(session, 8642, 1),
        lambda: Alg(session, "192.168.1.20", 3478),
        lambda: Refreshed(session, "udp/sip", 60_000, 8, 100),
        lambda: Watch(session, ("udp/stun", "stream"), (8_000, None), 4_000, 100),
    ][number % 10]()


def one(data: bytes) -> None:
    draw = Draw()
    session = Session("box-1", KEY, REFLECTOR, draw)
    line = Line([session, engine(data[0] if data else 0, session, draw)])
    data = data[1:]
    for _ in range(STEPS):
        if len(data) < 4:
            break
        what, which, how, size = data[0] % 3, data[1], data[2], 4 * data[3]
        body, data = data[4 : 4 + size], data[4 + size :]
        if what == TIME:
            line.wait(int.from_bytes(body[:4], "big") % 100_000)
        else:
            line.answer(what == SEALED, which, how, body)


class Line:
    def __init__(self, engines: list[Any]) -> None:
        self.now = 1_000
        self.engines = engines
        self.sent: list[tuple[Any, int, bytes, tuple[str, int]]] = []
        for one in engines:
            one.start(self.now)
            self._drain()

    def wait(self, ms: int) -> None:
        until = self.now + ms
        for _ in range(TIMERS):
            timers = [one.next_timer() for one in self.engines]
            due = min([timer for timer in timers if timer is not None], default=until)
            if due > until:
                break
            self.now = max(self.now, due)
            for one, timer in zip(self.engines, timers, strict=True):
                if timer is not None and self.now >= timer:
                    one.handle_timer(self.now)
            self._drain()
        self.now = until

    def answer(self, sealed: bool, which: int, how: int, body: bytes) -> None:
        if not self.sent:
            return
        owner, flow, request, source = self.sent[-1 - which % len(self.sent)]
        answer = _sealed(request, CLASSES[how % 4], body) if sealed else body
        owner.receive(flow, answer, ELSEWHERE if how & 4 else source, self.now)
        self._drain()

    def _drain(self) -> None:
        for notice in self.engines[0].take_notices():
            self.engines[1].notice(notice, self.now)
        for one in self.engines:
            for send in one.take_sends():
                flow, data, destination = send[:3]
                if data is None:
                    self.sent = [kept for kept in self.sent if kept[:2] != (one, flow)]
                else:
                    self.sent.append((one, flow, data, destination))
                    if hasattr(one, "opened"):
                        one.opened(flow, 20_000 + flow)
            if hasattr(one, "take_results"):
                one.take_results()
        self.sent = self.sent[-LATEST:]


def _sealed(request: bytes, klass: int, body: bytes) -> bytes:
    """*body*, attributes of any kind, as a message of the reflector about *request*."""
    asked = None
    if sip.looks_like(request) and b"\r\nNatwatch: " in request:
        asked = sip.parse(request)
    inner = request if asked is None else asked.payload() or b""
    txid = inner[8:20] if len(inner) >= 20 else TXID
    head = stun.build(klass, txid, [], fingerprint=False)
    length = (len(body) + 4 + stun.SHORT_MAC).to_bytes(2, "big")
    proof = stun.hmac_sha256(KEY, head[:2] + length + head[4:] + body)[: stun.SHORT_MAC]
    mac = stun.MESSAGE_INTEGRITY_SHA256.to_bytes(2, "big") + stun.SHORT_MAC.to_bytes(2, "big")
    message = head[:2] + length + head[4:] + body + mac + proof
    return message if asked is None else sip.response(asked, message)

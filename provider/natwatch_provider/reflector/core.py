"""The reflector without sockets or clocks: datagrams in, datagrams out (docs/protocol.md).

`now` is an int of milliseconds that only goes forward; wall time is asked of a callable, since
only TIME needs it. Every datagram that comes in adds one to exactly one counter.
"""

import secrets
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from natwatch.wire import media, sip, stun
from natwatch.wire.auth import device_key, valid_device_id
from natwatch_provider.reflector import answers, envelope, holds, plain
from natwatch_provider.reflector.control import Controls, Siblings
from natwatch_provider.reflector.envelope import Request
from natwatch_provider.reflector.forwards import Forwards, Probe
from natwatch_provider.reflector.holds import Asked, Holds, Tooth
from natwatch_provider.reflector.layout import Arrival, Datagram, Endpoint, Layout
from natwatch_provider.reflector.limits import Limits
from natwatch_provider.reflector.nonce import GOOD, Nonces

_EXTENSION = {stun.HOLD, stun.CONTROL, stun.AUDIT, stun.CANCEL, stun.FETCH, stun.FORWARD}
_NEW_TOOTH = {stun.STALE_NONCE: "stale_nonce", stun.WRONG_ADDRESS: "wrong_address"}
_SOURCES = (0, stun.CHANGE_PORT, stun.ANY_PORT)  # each with CHANGE_IP or without


class Reflector:
    """One reflector.

    *master* is the reflector master key, *secret* and *boot_id* (8 bytes) are drawn at start,
    *wall* returns milliseconds since 1970, *draw*(n) a random number below n. *siblings* are the
    other processes behind the same ports, if there are any. *no_amplification*: a stranger gets no
    answer that is longer than the request, unless a device proved that address lately.
    """

    def __init__(
        self, layout: Layout, master: bytes, secret: bytes, boot_id: bytes,
        wall: Callable[[], int], *,
        siblings: Siblings | None = None, draw: Callable[[int], int] = secrets.randbelow,
        no_amplification: bool = False,
    ) -> None:  # fmt: skip
        self.counters: Counter[str] = Counter()
        self._layout = layout
        self._wall = wall
        self._draw = draw
        self._no_amplification = no_amplification
        self._nonces = Nonces(secret)
        self._holds = Holds()
        self._limits = Limits()
        self._forwards = Forwards(layout, draw)
        self._controls = Controls(
            self._holds, self._forwards, self._nonces, boot_id, wall, self.counters, siblings
        )
        self._key = lru_cache(maxsize=16_384)(lambda device: device_key(master, device))

    def receive(
        self, data: bytes, source: Endpoint, local: Endpoint, now: int,
        ttl: int = 0, dscp: int = 0,
    ) -> list[Datagram]:  # fmt: skip
        """What to send because *data* came from *source* to our endpoint *local*.

        *ttl* and *dscp* are those of its IP header as it arrived; 0 where the system did not say.
        """
        if source[1] == 0:
            return self._drop("source_port_0")
        if counter := self._forwards.receive(data, source, local):
            return self._drop(counter)
        arrival = Arrival(source, local, now, ttl, dscp)
        if local[1] in self._layout.media:
            voice = self._voice(data, arrival)
            if voice is not None:
                self.counters[voice[0]] += 1
                return voice[1]
        try:
            request = envelope.read(data, local[1] == self._layout.sip)
        except stun.StunError as error:
            counter, replies = self._collect(data, arrival)
            self.counters[counter or error.counter] += 1
            return replies
        if not _EXTENSION.isdisjoint([number for number, _, _ in request.message.spans]):
            try:
                return self._extension(request, arrival)
            except stun.StunError as error:
                return self._drop(error.counter)
        collected, _ = self._collect(data, arrival)
        counter, out = self._plain(data, request, arrival)
        self.counters[counter if out else collected or counter] += 1
        return out

    def next_timer(self) -> int | None:
        """When (ms) to call handle_timer() at the latest, or None."""
        parts = (self._holds, self._controls, self._forwards)
        timers = [part.next_timer() for part in parts]
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: int) -> list[Datagram]:
        """The pushes, witnesses, belated answers and OPTIONS that are due at *now*."""
        out = self._controls.handle_timer(now) + self._forwards.handle_timer(now)
        while tooth := self._holds.due(now):
            if tooth.wants_refresh():
                out += self._refresh(tooth)
            else:
                out += self._witness(tooth) if tooth.step % 2 else self._push(tooth, now)
            self._holds.done(tooth, now)
        return out

    def unsent(self, datagram: Datagram) -> None:
        """The system refused to send *datagram*: nobody must be told that it was sent.

        To be called before the next handle_timer().
        """
        self.counters["send_error"] += 1
        if isinstance(datagram.tooth, Tooth | Probe):
            datagram.tooth.refuse_copy()

    # For the siblings of this process (control.Siblings)

    def learn_control(
        self, name: str, tag: bytes, local: Endpoint, source: Endpoint, now: int
    ) -> None:
        """A sibling accepted a control request: witnesses of that tag go to *source*."""
        self._holds.control(name, self._key(name), tag, local=local, source=source, now=now)

    def records(
        self, name: str, txids: list[bytes], cancel: list[bytes], now: int
    ) -> dict[bytes, stun.Record]:
        """What a sibling asks about: the records known here, *cancel* being canceled first."""
        return self._controls.records(name, txids, cancel, now)

    def sibling_records(
        self, request_id: int, records: dict[bytes, stun.Record], now: int
    ) -> list[Datagram]:
        """A sibling's reply to ask(): the answer that waited for it, if it was the last one."""
        return self._controls.sibling_records(request_id, records, now)

    def _drop(self, counter: str) -> list[Datagram]:
        self.counters[counter] += 1
        return []

    def _voice(self, data: bytes, arrival: Arrival) -> tuple[str, list[Datagram]] | None:
        """A counter and the answer to a packet of a stream or of STAMP, None if it is neither."""
        source, local, now = arrival.source, arrival.local, arrival.now
        if media.looks_like_rtp(data) and (stream := self._holds.streams.find(source, local)):
            counter, answer = stream.reflect(data, now)
        elif not media.looks_like_stamp(data):
            return None
        elif self._limits.stranger(source[0], now):
            self._collect(data, arrival)
            counter, answer = "stamp", media.stamp_answer(data, self._wall(), arrival.ttl)
        else:
            return "limited_prefix", []
        return counter, [] if answer is None else [Datagram(local, source, answer)]

    def _collect(self, data: bytes, arrival: Arrival) -> tuple[str | None, list[Datagram]]:
        """A counter, if the datagram came on the binding of a tooth that collects; and the answer,
        if it is SIP and the tooth asked for replies: of that a copy is kept as well."""
        source, local = arrival.source, arrival.local
        tooth = self._holds.collecting(source, local)
        if tooth is None:
            return None, []
        if not tooth.copies.keep(data, arrival.ttl, arrival.dscp):
            return "collect_full", []
        reply = (
            answers.answer(data, source, local, self._layout.media[0])
            if tooth.asked.hold.reply
            else None
        )
        # What no copy proves is not sent: the device could not tell it from what a router made.
        if reply is None or not tooth.copies.keep(reply, 0, 0):
            return "collected", []
        return "collected", [Datagram(local, source, reply)]

    def _plain(self, data: bytes, request: Request, arrival: Arrival) -> tuple[str, list[Datagram]]:
        """A counter and the answer to what is not of our extension."""
        message, outer = request
        if message.klass != stun.REQUEST:
            return "not_a_request", []
        if message.method != stun.BINDING:
            return "method", []
        if outer and (message.has(stun.CHANGE_REQUEST) or message.has(stun.RESPONSE_PORT)):
            return "sip_elsewhere", []
        if not self._limits.stranger(arrival.source[0], arrival.now):
            return "limited_prefix", []
        try:
            counter, answer = plain.answer(message, arrival.source, arrival.local, self._layout)
        except stun.StunError as error:
            return error.counter, []
        if outer:
            answer = answer._replace(data=request.wrap(answer.data))
            if len(answer.data) > len(data):
                return "sip_short", []
        elif self._no_amplification and len(answer.data) > len(data):
            if not self._limits.is_proven(arrival.source[0], arrival.now):
                return "plain_short", []
        return counter, [answer]

    def _extension(self, request: Request, arrival: Arrival) -> list[Datagram]:
        message = request.message
        if message.klass != stun.REQUEST:
            return self._drop("not_a_request")
        if message.method != stun.BINDING:
            return self._drop("method")
        tooth, control = message.has(stun.HOLD), message.has(stun.CONTROL)
        if tooth == control or message.cookie != stun.MAGIC_COOKIE or (control and request.outer):
            return self._drop("malformed_extension")
        source, now = arrival.source, arrival.now
        good = self._nonces.check(message.get(stun.NONCE, b""), source[0], now) == GOOD
        if tooth and not good and not self._limits.unproven(now):
            return self._drop("limited_unproven")
        who = self._authenticate(message)
        if who is None:
            if not self._limits.intruder(arrival.source[0], arrival.now):
                return self._drop("limited_prefix")
            self.counters["wrong_key"] += 1
            return self._refuse(message, arrival) if control else []
        name, key = who
        if not self._limits.device(name, source[0], good, now):
            return self._drop("limited_device")
        if control:
            if good:
                self._limits.prove(source[0], name, now)
            return self._controls.receive(name, key, message, arrival)
        return self._tooth(name, key, request, arrival)

    def _authenticate(self, message: stun.Message) -> tuple[str, bytes] | None:
        name = message.get(stun.USERNAME, "")
        if valid_device_id(name):
            key = self._key(name)
            if message.authentic(key):
                return name, key
        return None

    def _refuse(self, message: stun.Message, arrival: Arrival) -> list[Datagram]:
        data = bytes(stun.build(stun.ERROR, message.txid, [(stun.ERROR_CODE, (401, ""))]))
        if len(data) > len(message.data):
            return []
        return [Datagram(arrival.local, arrival.source, data)]

    def _tooth(self, name: str, key: bytes, request: Request, arrival: Arrival) -> list[Datagram]:
        source, local, now = arrival.source, arrival.local, arrival.now
        message = request.message
        tooth = self._holds.find(name, message.txid)
        if tooth is not None:
            if not self._holds.repeat(tooth, source, local, now):
                return self._drop("repeated")
            self.counters["rearmed"] += 1
            return self._answer(tooth, request)
        hold, earlier = message.get(stun.HOLD), message.get(stun.EARLIER, [])
        refresh = message.get(stun.REFRESH)
        outcome, counter = self._judge(request, name, arrival)
        full = self._holds.no_room(name, outcome == stun.HELD)
        self.counters[full or counter] += 1
        if full:
            return []
        record = stun.Record(message.txid, outcome, requests=1, mapped=source)
        origin = self._layout.origin(local, hold.source, self._draw)
        sip = request.outer is not None
        asked = Asked(hold, earlier, source, local, origin, sip, refresh)
        tooth = self._holds.keep(name, key, record, asked, now)
        return self._answer(tooth, request) if outcome == stun.HELD else []

    def _judge(self, request: Request, name: str, arrival: Arrival) -> tuple[int, str]:
        """The outcome of a new tooth, and the counter for it."""
        message = request.message
        hold, earlier = message.get(stun.HOLD), message.get(stun.EARLIER, [])
        refresh = message.get(stun.REFRESH)
        first = [*earlier, hold.delay][0]
        # A SIP ALG may treat a datagram that is no SIP otherwise than the ones it stands for.
        refreshable = holds.possible_refresh(refresh, first) and not (refresh and request.outer)
        crowded = self._holds.refreshed(name) >= holds.MAX_REFRESHED_OF_ONE
        nonce = message.get(stun.NONCE, b"")
        verdict = self._nonces.check(nonce, arrival.source[0], arrival.now)
        if verdict != GOOD:
            return verdict, _NEW_TOOTH[verdict]
        for counter, wrong in (
            ("refused_attribute", bool(message.unknown)),
            ("refused_delay", hold.delay > holds.MAX_DELAY),
            ("refused_copies", not 1 <= hold.copies <= holds.MAX_COPIES),
            ("refused_source", hold.source & ~stun.CHANGE_IP not in _SOURCES),
            ("refused_earlier", not holds.possible_rounds(earlier, hold.delay)),
            ("refused_refresh", not refreshable or bool(refresh and crowded)),
            ("refused_port", hold.reflect and arrival.local[1] not in self._layout.media),
            ("refused_streams", hold.reflect and self._holds.streams.no_room(name)),
            ("refused_outstanding", self._holds.outstanding(name) >= holds.MAX_OUTSTANDING),
        ):
            if wrong:
                return stun.REFUSED, counter
        return stun.HELD, "held"

    def _answer(self, tooth: Tooth, request: Request) -> list[Datagram]:
        if not tooth.asked.hold.answer:
            return []
        tooth.record.answers += 1
        source = tooth.asked.source
        attributes = [(stun.XOR_MAPPED_ADDRESS, source)]
        data = stun.build(stun.SUCCESS, tooth.record.txid, attributes, tooth.device.key)
        return [Datagram(tooth.asked.local, source, request.wrap(bytes(data)))]

    def _push(self, tooth: Tooth, now: int) -> list[Datagram]:
        self.counters["pushed"] += 1
        asked, txid = tooth.asked, tooth.record.txid
        attributes = [(stun.PUSH, tooth.next_copy(now))]
        data = bytes(stun.build(stun.INDICATION, txid, attributes, tooth.device.key))
        if asked.sip:
            # A request of its own each time: a SIP ALG may drop what looks sent again.
            token = f"{txid.hex()}{tooth.round:02x}{tooth.step:02x}"
            data = sip.request(asked.source[0], data, token)
        return [Datagram(asked.origin, asked.source, data, tooth)]

    def _refresh(self, tooth: Tooth) -> list[Datagram]:
        refresh = tooth.asked.refresh
        if refresh is None:
            return []
        self.counters["refreshed"] += 1
        attributes = [(stun.REFRESH, refresh)]
        data = bytes(stun.build(stun.INDICATION, tooth.record.txid, attributes, tooth.device.key))
        return [Datagram(tooth.asked.local, tooth.asked.source, data, ttl=refresh.ttl)]

    def _witness(self, tooth: Tooth) -> list[Datagram]:
        if tooth.refused:
            return self._drop("witness_without_copy")
        control = tooth.device.controls.get(tooth.asked.hold.tag)
        if control is None:
            return self._drop("witness_without_control")
        self.counters["witnessed"] += 1
        attributes = [(stun.WITNESS, tooth.latest)]
        data = stun.build(stun.INDICATION, tooth.record.txid, attributes, tooth.device.key)
        return [Datagram(control.local, control.source, data)]

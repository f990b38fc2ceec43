"""The reflector without sockets or clocks: datagrams in, datagrams out (docs/protocol.md).

`now` is an int of milliseconds that only goes forward; wall time is asked of a callable, since
only TIME needs it. Every datagram that comes in adds one to exactly one counter.
"""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from natwatch.wire import stun
from natwatch.wire.auth import device_key, valid_device_id
from natwatch_provider.reflector import holds as limits
from natwatch_provider.reflector import plain
from natwatch_provider.reflector.holds import Holds, Tooth
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout
from natwatch_provider.reflector.nonce import GOOD, Nonces

MAX_IDS = 16  # transactions in one AUDIT and CANCEL together
_NEW_TOOTH = {stun.STALE_NONCE: "stale_nonce", stun.WRONG_ADDRESS: "wrong_address"}


class Reflector:
    """One reflector.

    *master* is the reflector master key, *secret* and *boot_id* (8 bytes) are drawn at start,
    *wall* returns milliseconds since 1970.
    """

    def __init__(
        self, layout: Layout, master: bytes, secret: bytes, boot_id: bytes,
        wall: Callable[[], int],
    ) -> None:  # fmt: skip
        self.counters: Counter[str] = Counter()
        self._layout = layout
        self._boot_id = boot_id
        self._wall = wall
        self._nonces = Nonces(secret)
        self._holds = Holds()
        self._key = lru_cache(maxsize=16_384)(lambda device: device_key(master, device))

    def receive(
        self, data: bytes, source: Endpoint, local: Endpoint, now: int,
        ttl: int = 0, dscp: int = 0,
    ) -> list[Datagram]:  # fmt: skip
        """What to send because *data* came from *source* to our endpoint *local*.

        *ttl* and *dscp* are those of its IP header as it arrived; 0 where the system did not say.
        """
        try:
            return self._receive(data, source, local, now)
        except stun.StunError as error:
            return self._drop(error.counter)

    def next_timer(self) -> int | None:
        """When (ms) to call handle_timer() at the latest, or None."""
        return self._holds.next_timer()

    def handle_timer(self, now: int) -> list[Datagram]:
        """The pushes and witnesses that are due at *now*."""
        out = []
        while tooth := self._holds.due(now):
            out += self._witness(tooth) if tooth.step % 2 else self._copy(tooth, now)
            self._holds.done(tooth, now)
        return out

    def unsent(self, datagram: Datagram) -> None:
        """The system refused to send *datagram*: an audit must not call it pushed."""
        self.counters["send_error"] += 1
        if isinstance(datagram.tooth, Tooth):
            datagram.tooth.record.copies -= 1

    def _drop(self, counter: str) -> list[Datagram]:
        self.counters[counter] += 1
        return []

    def _receive(self, data: bytes, source: Endpoint, local: Endpoint, now: int) -> list[Datagram]:
        if source[1] == 0:
            return self._drop("source_port_0")
        if local[1] == self._layout.sip and data and data[0] > 3:
            return self._drop("sip")  # its probes are not built yet
        message = stun.parse(data)
        if message.klass != stun.REQUEST:
            return self._drop("not_a_request")
        if message.method != stun.BINDING:
            return self._drop("method")
        tooth, control = message.has(stun.HOLD), message.has(stun.CONTROL)
        asks = message.has(stun.AUDIT) or message.has(stun.CANCEL)
        if not (tooth or control or asks):
            counter, datagram = plain.answer(message, source, local, self._layout)
            self.counters[counter] += 1
            return [datagram]
        if tooth == control or message.cookie != stun.MAGIC_COOKIE:
            return self._drop("malformed_extension")
        if tooth:
            return self._tooth(message, source, local, now)
        answer = self._control(message, source, local, now)
        return [Datagram(local, source, answer)] if answer else []

    def _authenticate(self, message: stun.Message) -> tuple[str, bytes] | None:
        name = message.get(stun.USERNAME, "")
        if valid_device_id(name):
            key = self._key(name)
            if message.authentic(key):
                return name, key
        self.counters["wrong_key"] += 1
        return None

    def _control(
        self, message: stun.Message, source: Endpoint, local: Endpoint, now: int
    ) -> bytes | None:
        who = self._authenticate(message)
        if who is None:
            refusal = bytes(stun.build(stun.ERROR, message.txid, [(stun.ERROR_CODE, (401, ""))]))
            return refusal if len(refusal) <= len(message.data) else None
        name, key = who
        fresh = [
            (stun.NONCE, self._nonces.issue(source[0], now)),
            (stun.BOOT_ID, self._boot_id),
            (stun.TIME, self._wall()),
        ]
        if self._nonces.check(message.get(stun.NONCE, b""), source[0], now) != GOOD:
            answer = self._error(message, key, 438, fresh)
            if len(answer) > len(message.data):
                self.counters["unpadded"] += 1
                return None
            self.counters["control_stale"] += 1
            return answer
        if message.unknown:
            self.counters["control_unknown_attribute"] += 1
            return self._error(message, key, 420, [(stun.UNKNOWN_ATTRIBUTES, message.unknown)])
        audit, cancel = message.get(stun.AUDIT, []), message.get(stun.CANCEL, [])
        if len(audit) + len(cancel) > MAX_IDS:
            self.counters["control_too_many_ids"] += 1
            return self._error(message, key, 400, [])
        tag = message.get(stun.CONTROL)[:4]
        known = self._holds.control(name, key, tag, local=local, source=source, now=now)
        self.counters["control" if known else "control_refused"] += 1
        for txid in cancel:
            self._holds.cancel(name, txid, now)
        attributes = [(stun.XOR_MAPPED_ADDRESS, source), *fresh]
        for txid in audit + cancel:
            tooth = self._holds.find(name, txid)
            record = tooth.record if tooth else stun.Record(txid, stun.UNSEEN)
            attributes.append((stun.RECORD, record))
        return bytes(stun.build(stun.SUCCESS, message.txid, attributes, key))

    def _error(
        self, message: stun.Message, key: bytes, code: int, attributes: list[tuple[int, object]]
    ) -> bytes:
        attributes = [(stun.ERROR_CODE, (code, "")), *attributes]
        return bytes(stun.build(stun.ERROR, message.txid, attributes, key))

    def _tooth(
        self, message: stun.Message, source: Endpoint, local: Endpoint, now: int
    ) -> list[Datagram]:
        who = self._authenticate(message)
        if who is None:
            return []
        name, key = who
        tooth = self._holds.find(name, message.txid)
        if tooth is not None:
            if not self._holds.repeat(tooth, source, local, now):
                return self._drop("repeated")
            self.counters["rearmed"] += 1
            return self._answer(tooth)
        hold = message.get(stun.HOLD)
        outcome, counter = self._judge(message, name, hold, source, now)
        full = self._holds.no_room(name, outcome == stun.HELD)
        self.counters[full or counter] += 1
        if full:
            return []
        record = stun.Record(message.txid, outcome, requests=1, mapped=source)
        tooth = self._holds.keep(name, key, record, hold, source=source, local=local, now=now)
        return self._answer(tooth) if outcome == stun.HELD else []

    def _judge(
        self, message: stun.Message, name: str, hold: stun.Hold, source: Endpoint, now: int
    ) -> tuple[int, str]:
        """The outcome of a new tooth, and the counter for it."""
        verdict = self._nonces.check(message.get(stun.NONCE, b""), source[0], now)
        if verdict != GOOD:
            return verdict, _NEW_TOOTH[verdict]
        for counter, wrong in (
            ("refused_attribute", bool(message.unknown)),
            ("refused_delay", hold.delay > limits.MAX_DELAY),
            ("refused_copies", not 1 <= hold.copies <= limits.MAX_COPIES),
            ("refused_source", bool(hold.source & ~(stun.CHANGE_IP | stun.CHANGE_PORT))),
            ("refused_outstanding", self._holds.outstanding(name) >= limits.MAX_OUTSTANDING),
        ):
            if wrong:
                return stun.REFUSED, counter
        return stun.HELD, "held"

    def _answer(self, tooth: Tooth) -> list[Datagram]:
        if not tooth.hold.answer:
            return []
        tooth.record.answers += 1
        attributes = [(stun.XOR_MAPPED_ADDRESS, tooth.source)]
        data = stun.build(stun.SUCCESS, tooth.record.txid, attributes, tooth.device.key)
        return [Datagram(tooth.local, tooth.source, data)]

    def _copy(self, tooth: Tooth, now: int) -> list[Datagram]:
        self.counters["pushed"] += 1
        attributes = [(stun.PUSH, tooth.next_copy(now))]
        data = stun.build(stun.INDICATION, tooth.record.txid, attributes, tooth.device.key)
        local = self._layout.other(tooth.local, tooth.hold.source)
        return [Datagram(local, tooth.source, data, tooth)]

    def _witness(self, tooth: Tooth) -> list[Datagram]:
        control = tooth.device.controls.get(tooth.hold.tag)
        if control is None:
            return self._drop("witness_without_control")
        self.counters["witnessed"] += 1
        attributes = [(stun.WITNESS, tooth.pushed())]
        data = stun.build(stun.INDICATION, tooth.record.txid, attributes, tooth.device.key)
        return [Datagram(control.local, control.source, data)]

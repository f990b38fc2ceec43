"""What a device asks over its control flow: audits, cancels, copies, forwards (docs/protocol.md).

Where several processes share the ports, a device behind an address pool may have its teeth at
another process than its control flow. An answer about transactions that are not known here waits
for the siblings then, at most SIBLINGS_WITHIN.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Protocol

from natwatch.wire import stun
from natwatch_provider.reflector.forwards import Forwards
from natwatch_provider.reflector.holds import Holds
from natwatch_provider.reflector.layout import Arrival, Datagram, Endpoint
from natwatch_provider.reflector.nonce import GOOD, Nonces

MAX_IDS = 16  # transactions in one AUDIT and CANCEL together
SIBLINGS_WITHIN = 50  # ms
MAX_WAITING = 4_096  # answers that wait for siblings

Attributes = list[tuple[int, object]]


class Siblings(Protocol):
    """The other processes behind the same ports."""

    @property
    def others(self) -> int:
        """How many there are: so many replies come to each ask()."""

    def announce(self, name: str, tag: bytes, local: Endpoint, source: Endpoint) -> None:
        """Tell them where the witnesses of this device's control flow go."""

    def ask(self, request_id: int, name: str, txids: list[bytes], cancel: list[bytes]) -> None:
        """Ask them for the records of *txids*; those of *cancel* are to be canceled first."""


class _Answer:
    """A successful answer in the making."""

    def __init__(self, name: str, key: bytes, message: stun.Message, arrival: Arrival) -> None:
        self.name = name
        self.key = key
        self.message = message
        self.arrival = arrival
        self.txids: list[bytes] = []  # one RECORD each
        self.records: dict[bytes, stun.Record] = {}
        self.forwarded: Attributes = []  # at most one FORWARDED
        self.replies = 0  # of siblings, still to come
        self.due = 0  # ms: it goes then, whatever is missing


class Controls:
    """Answers control requests, of which the MAC was right."""

    def __init__(
        self, holds: Holds, forwards: Forwards, nonces: Nonces, boot_id: bytes,
        wall: Callable[[], int], counters: Counter[str], siblings: Siblings | None,
    ) -> None:  # fmt: skip
        self._holds = holds
        self._forwards = forwards
        self._nonces = nonces
        self._boot_id = boot_id
        self._wall = wall
        self._counters = counters
        self._siblings = siblings
        self._waiting: dict[int, _Answer] = {}  # by request id, the first due first
        self._request_ids = count()

    def receive(
        self, name: str, key: bytes, message: stun.Message, arrival: Arrival
    ) -> list[Datagram]:
        """The answer to a request of the device *name*, if it can be given at once, and OPTIONS
        to a forward that it asks about."""
        source, now = arrival.source, arrival.now
        if self._nonces.check(message.get(stun.NONCE, b""), source[0], now) != GOOD:
            return self._stale(key, message, arrival)
        if message.unknown:
            unknown = (stun.UNKNOWN_ATTRIBUTES, message.unknown)
            return self._error("control_unknown_attribute", 420, [unknown], key, message, arrival)
        audit, cancel = message.get(stun.AUDIT, []), message.get(stun.CANCEL, [])
        singles = message.get_all(stun.FETCH) + message.get_all(stun.FORWARD)
        if len(audit) + len(cancel) > MAX_IDS:
            return self._error("control_too_many_ids", 400, [], key, message, arrival)
        if len(singles) > 1 or (singles and (audit or cancel)):
            # One copy's part is as much as fits into one answer that no router has to fragment.
            return self._error("control_not_alone", 400, [], key, message, arrival)
        counter = self._register(name, key, message.get(stun.CONTROL)[:4], arrival)
        answer = _Answer(name, key, message, arrival)
        answer.txids = audit + cancel
        answer.records = self.records(name, audit, cancel, now)
        forward, options = self._forward(answer)
        self._counters[forward or counter] += 1
        if self._ask_siblings(answer, audit, cancel):
            return []
        return [self._finish(answer, now), *options]

    def records(
        self, name: str, txids: list[bytes], cancel: list[bytes], now: int
    ) -> dict[bytes, stun.Record]:
        """The records of those transactions that are known here, *cancel* being canceled first."""
        for txid in cancel:
            self._holds.cancel(name, txid, now)
        teeth = {txid: self._holds.find(name, txid) for txid in txids + cancel}
        return {txid: tooth.record for txid, tooth in teeth.items() if tooth}

    def sibling_records(
        self, request_id: int, records: dict[bytes, stun.Record], now: int
    ) -> list[Datagram]:
        """A sibling's reply; the answer that waited for it, if it was the last."""
        answer = self._waiting.get(request_id)
        if answer is None:
            self._counters["sibling_late"] += 1
            return []
        answer.records.update(records)
        answer.replies -= 1
        if answer.replies:
            return []
        del self._waiting[request_id]
        return [self._finish(answer, now)]

    def next_timer(self) -> int | None:
        """When (ms) to call handle_timer() at the latest, or None."""
        return next((answer.due for answer in self._waiting.values()), None)

    def handle_timer(self, now: int) -> list[Datagram]:
        """The answers that waited long enough; what no sibling told is unseen."""
        late = [number for number, answer in self._waiting.items() if answer.due <= now]
        for _ in late:
            self._counters["sibling_missing"] += 1
        return [self._finish(self._waiting.pop(number), now) for number in late]

    def _register(self, name: str, key: bytes, tag: bytes, arrival: Arrival) -> str:
        """Where this device's witnesses go from now on; a counter for it."""
        source, local = arrival.source, arrival.local
        known = self._holds.control(name, key, tag, local=local, source=source, now=arrival.now)
        if known and self._siblings is not None:
            self._siblings.announce(name, tag, local, source)
        return "control" if known else "control_refused"

    def _ask_siblings(self, answer: _Answer, audit: list[bytes], cancel: list[bytes]) -> bool:
        """Whether the answer has to wait for what siblings know."""
        siblings = self._siblings
        if siblings is None or siblings.others == 0:
            return False
        audit = [txid for txid in audit if txid not in answer.records]
        cancel = [txid for txid in cancel if txid not in answer.records]
        if not audit and not cancel:
            return False
        if len(self._waiting) >= MAX_WAITING:
            self._counters["sibling_no_room"] += 1
            return False
        request_id = next(self._request_ids)
        answer.replies = siblings.others
        answer.due = answer.arrival.now + SIBLINGS_WITHIN
        self._waiting[request_id] = answer
        siblings.ask(request_id, answer.name, audit, cancel)
        return True

    def _forward(self, answer: _Answer) -> tuple[str | None, list[Datagram]]:
        """If it asks about a forward: a counter, and OPTIONS to the requester's own address, which
        its nonce has proven."""
        forward = answer.message.get(stun.FORWARD)
        if forward is None:
            return None, []
        counter, told, options = self._forwards.ask(answer.name, forward, answer.arrival)
        answer.forwarded = [(stun.FORWARDED, told)]
        return counter, options

    def _finish(self, answer: _Answer, now: int) -> Datagram:
        arrival, message = answer.arrival, answer.message
        attributes: Attributes = [(stun.XOR_MAPPED_ADDRESS, arrival.source)]
        attributes += self._fresh(arrival.source, now)
        attributes.append((stun.RECEIVED, (arrival.ttl, arrival.dscp)))
        for txid in answer.txids:
            record = answer.records.get(txid) or stun.Record(txid, stun.UNSEEN)
            attributes.append((stun.RECORD, record))
        attributes += self._copies(answer.name, message) + answer.forwarded
        data = stun.build(stun.SUCCESS, message.txid, attributes, answer.key)
        return Datagram(arrival.local, arrival.source, bytes(data))

    def _copies(self, name: str, message: stun.Message) -> Attributes:
        """At most one COPY: none where a sibling, that is not asked for copies, may have it."""
        for fetch in message.get_all(stun.FETCH):
            if tooth := self._holds.find(name, fetch.txid):
                return [(stun.COPY, tooth.copies.fetch(fetch))]
            if self._siblings is None or self._siblings.others == 0:
                return [(stun.COPY, stun.Copy(fetch.index, 0))]
        return []

    def _fresh(self, source: Endpoint, now: int) -> Attributes:
        return [
            (stun.NONCE, self._nonces.issue(source[0], now)),
            (stun.BOOT_ID, self._boot_id),
            (stun.TIME, self._wall()),
        ]

    def _stale(self, key: bytes, message: stun.Message, arrival: Arrival) -> list[Datagram]:
        """A nonce for whoever has none, never longer than the request: the address is unproven."""
        attributes = [(stun.ERROR_CODE, (438, "")), *self._fresh(arrival.source, arrival.now)]
        data = bytes(stun.build(stun.ERROR, message.txid, attributes, key))
        if len(data) > len(message.data):
            self._counters["unpadded"] += 1
            return []
        self._counters["control_stale"] += 1
        return [Datagram(arrival.local, arrival.source, data)]

    def _error(
        self, counter: str, code: int, attributes: Attributes,
        key: bytes, message: stun.Message, arrival: Arrival,
    ) -> list[Datagram]:  # fmt: skip
        self._counters[counter] += 1
        attributes = [(stun.ERROR_CODE, (code, "")), *attributes]
        data = stun.build(stun.ERROR, message.txid, attributes, key)
        return [Datagram(arrival.local, arrival.source, bytes(data))]

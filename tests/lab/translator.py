"""A NAT by the terms of RFC 4787: packets in, packets out, no clock and no socket.

A *binding* joins an inner endpoint to a public one. Whatever the mapping, a public endpoint
belongs to one binding at a time. Time is in milliseconds, handed in, and never runs back.
"""

import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.lab.nat import Binding
from tests.lab.packet import Dropped, Endpoint, Packet

# Kinds of mapping and of filtering (RFC 4787, 4.1 and 5).
INDEPENDENT = "endpoint-independent"
ADDRESS = "address-dependent"
ADDRESS_AND_PORT = "address-and-port-dependent"
KINDS = (INDEPENDENT, ADDRESS, ADDRESS_AND_PORT)

INNER = "inner"
OUTER = "outer"

# Linux (nf_conntrack_proto_udp.c): a replied flow with a packet this long after its first one
# is a stream.
_STREAM_AFTER = 2_000
_TCP_TIMER = 7_440_000  # RFC 5382, REQ-5: not below 2 hours 4 minutes; the lab closes none sooner
_PURGE_EVERY = 1_000  # so that a table of many dead bindings is not walked for each new one


class Timers(NamedTuple):
    """Milliseconds without a packet that counts, after which a UDP binding is gone."""

    unreplied: int
    stream: int


@dataclass(frozen=True)
class Behaviour:
    """What kind of NAT it is, for all its life."""

    mapping: str = ADDRESS_AND_PORT
    filtering: str = ADDRESS_AND_PORT
    preserve_ports: bool = True  # the inner port where it is free, else and otherwise a random one
    arbitrary_pooling: bool = False  # each new binding takes the pool's next address
    refresh_inbound: bool = True  # RFC 4787, REQ-6: what is sent outward always refreshes
    sessions: int | None = None  # UDP bindings at once
    evict: bool = True  # when *sessions* are there: the least recently used one goes; or refuse
    ttl_first: bool = False  # check the TTL before a packet refreshes its binding; Linux: after
    hairpin: bool = False
    sweep: int = 0  # ms between looks for expired bindings, which until then still work
    sip_answers: str = ""  # what its ALG does to answers from port 5060: "", "rewrite" or "drop"

    def __post_init__(self) -> None:
        for kind in (self.mapping, self.filtering):
            if kind not in KINDS:
                raise ValueError(f"expected a kind of {', '.join(KINDS)}, found {kind}")


@dataclass(eq=False)
class _Entry:
    key: tuple[object, ...]  # by which a packet from inside finds it
    protocol: str
    inner: Endpoint
    first_remote: Endpoint
    public: Endpoint
    made: int  # ms
    timers: Timers | None  # None: those of its public address, or of all
    deadline: int = 0  # ms
    replied: bool = False
    remotes: set[Endpoint] = field(default_factory=set)  # contacted, for as long as it lives
    addresses: set[str] = field(default_factory=set)


class Translator:
    """*pool* are its public addresses. *chance* draws ports and losses."""

    def __init__(
        self, behaviour: Behaviour, pool: tuple[str, ...], chance: random.Random, now: int
    ) -> None:
        self.behaviour = behaviour
        self.counters: Counter[str] = Counter()
        self._chance = chance
        self._pool = pool
        self._started = now
        self._purged = now
        self.restart()
        self.set_timers(Timers(30_000, 120_000))
        self.set_loss(now)

    # Live changes

    def set_timers(
        self,
        all_ports: Timers,
        ports: Mapping[int, Timers] | None = None,
        addresses: Mapping[str, Timers] | None = None,
    ) -> None:
        """*ports*: by the first destination's port, new bindings only. *addresses*: by the public
        address, where no timer of a port holds. Either counts from a binding's next packet."""
        self._timers = all_ports
        self._port_timers = dict(ports or {})
        self._address_timers = dict(addresses or {})

    def set_loss(
        self,
        now: int,
        outward: float = 0.0,
        inward: float = 0.0,
        burst: tuple[int, int] | None = None,
    ) -> None:
        """Shares lost on the line beyond the NAT. *burst*: (length, period) in ms; from now on,
        each period begins with a burst in which nothing passes either way."""
        self._loss = {OUTER: outward, INNER: inward}
        self._burst = burst
        self._burst_from = now

    def restart(self) -> None:
        """Forgets every binding."""
        # Least recently used first.
        self._by_key: OrderedDict[tuple[object, ...], _Entry] = OrderedDict()
        self._by_public: dict[tuple[str, Endpoint], _Entry] = {}
        self._paired: dict[str, str] = {}
        self._next_address = 0

    def change_address(self, pool: tuple[str, ...]) -> None:
        """Other public addresses; the bindings of the old ones are forgotten."""
        self._pool = pool
        self.restart()

    def bindings(self, now: int) -> list[Binding]:
        """The table; destinations are those that made the bindings."""
        self._purge(now)
        return [
            Binding(
                e.protocol,
                *e.inner,
                *e.first_remote,
                max(0, e.deadline - now) // 1000,
                e.replied,
                *e.public,
            )
            for e in self._by_key.values()
        ]

    # Packets

    def from_inside(self, data: bytes, now: int) -> tuple[str, bytes] | None:
        """The side that gets it, INNER if it is hairpinned, and how; None if nobody does."""
        return self._translate(self._outward, data, now)

    def from_outside(self, data: bytes, now: int) -> tuple[str, bytes] | None:
        """(INNER, what the inner side gets), or None."""
        return self._translate(self._inward, data, now)

    def _translate(
        self, way: Callable[[Packet, int], str], data: bytes, now: int
    ) -> tuple[str, bytes] | None:
        try:
            packet = Packet(data)
            side = way(packet, now)
        except Dropped as why:
            self.counters[str(why)] += 1
            return None
        packet.hop()
        self.counters[f"sent_{side}"] += 1
        return side, bytes(packet)

    def _outward(self, packet: Packet, now: int) -> str:
        entry = self._live(self._by_key.get(self._key(packet)), now)
        if packet.ttl <= 1 and (entry is None or self.behaviour.ttl_first):
            raise Dropped("ttl")  # Linux too makes no binding for a packet that goes nowhere
        if entry is None:
            entry = self._make(packet, now)
        entry.remotes.add(packet.destination)
        entry.addresses.add(packet.destination[0])
        self._refresh(entry, now)
        if packet.ttl <= 1:
            raise Dropped("ttl")
        packet.set_source(entry.public)
        if packet.destination[0] in self._pool:
            if not self.behaviour.hairpin:
                raise Dropped("hairpin_refused")
            return self._deliver(packet, now)
        if self._lost(OUTER, now):
            raise Dropped("lost_outward")
        return OUTER

    def _inward(self, packet: Packet, now: int) -> str:
        if self._lost(INNER, now):
            raise Dropped("lost_inward")
        return self._deliver(packet, now)

    def _deliver(self, packet: Packet, now: int) -> str:
        entry = self._live(self._by_public.get((packet.protocol, packet.destination)), now)
        if entry is None:
            raise Dropped("no_binding")
        if not self._lets_in(entry, packet.source):
            raise Dropped("filtered")
        if packet.ttl <= 1 and self.behaviour.ttl_first:
            raise Dropped("ttl")
        if self.behaviour.refresh_inbound or entry.protocol == "tcp":
            self._refresh(entry, now)
        entry.replied = True  # after the refresh, as in Linux: the first answer makes no stream
        if packet.ttl <= 1:
            raise Dropped("ttl")
        if self.behaviour.sip_answers:
            self._spoil_answer(packet)
        packet.set_destination(entry.inner)
        return INNER

    def _spoil_answer(self, packet: Packet) -> None:
        """An ALG that meddles with SIP responses alone: it names itself in the server's place."""
        address, port = packet.source
        if packet.protocol != "udp" or port != 5060 or not packet.payload.startswith(b"SIP/2.0 "):
            return
        if self.behaviour.sip_answers == "drop":
            raise Dropped("sip_answer")
        packet.set_payload(packet.payload.replace(address.encode(), b"192.168.1.1"))

    def _lets_in(self, entry: _Entry, source: Endpoint) -> bool:
        if self.behaviour.filtering == ADDRESS_AND_PORT:
            return source in entry.remotes
        if self.behaviour.filtering == ADDRESS:
            return source[0] in entry.addresses
        return True

    def _lost(self, toward: str, now: int) -> bool:
        if self._burst is not None:
            length, period = self._burst
            if (now - self._burst_from) % period < length:
                return True
        return self._chance.random() < self._loss[toward]

    # The table

    def _key(self, packet: Packet) -> tuple[object, ...]:
        key = (packet.protocol, packet.source)
        if self.behaviour.mapping == ADDRESS_AND_PORT:
            return *key, packet.destination
        if self.behaviour.mapping == ADDRESS:
            return *key, packet.destination[0]
        return key

    def _make(self, packet: Packet, now: int) -> _Entry:
        udp = packet.protocol == "udp"
        if now - self._purged >= _PURGE_EVERY:
            self._purge(now)
        if udp and self.behaviour.sessions is not None and not self._has_room(now):
            raise Dropped("refused")
        public = self._free_endpoint(packet, now)
        entry = _Entry(
            key=self._key(packet),
            protocol=packet.protocol,
            inner=packet.source,
            first_remote=packet.destination,
            public=public,
            made=now,
            timers=self._port_timers.get(packet.destination[1])
            if udp
            else Timers(_TCP_TIMER, _TCP_TIMER),
        )
        self._by_key[entry.key] = entry
        self._by_public[entry.protocol, public] = entry
        return entry

    def _has_room(self, now: int) -> bool:
        """After making room, if this NAT does that."""
        self._purge(now)
        held = [entry for entry in self._by_key.values() if entry.protocol == "udp"]
        if len(held) < (self.behaviour.sessions or 0):
            return True
        if not self.behaviour.evict or not held:
            return False
        self._forget(held[0])
        self.counters["evicted"] += 1
        return True

    def _free_endpoint(self, packet: Packet, now: int) -> Endpoint:
        inner_address, inner_port = packet.source
        if self.behaviour.arbitrary_pooling:
            address = self._take_address()
        else:
            if inner_address not in self._paired:
                self._paired[inner_address] = self._take_address()
            address = self._paired[inner_address]
        # Sixteen draws fail together only in a table that is nearly full.
        drawn = [self._chance.randrange(1024, 65536) for _ in range(16)]
        for port in ([inner_port] if self.behaviour.preserve_ports else []) + drawn:
            holder = self._by_public.get((packet.protocol, (address, port)))
            if self._live(holder, now) is None:
                return address, port
        raise Dropped("no_port")

    def _take_address(self) -> str:
        address = self._pool[self._next_address % len(self._pool)]
        self._next_address += 1
        return address

    def _refresh(self, entry: _Entry, now: int) -> None:
        timers = entry.timers or self._address_timers.get(entry.public[0], self._timers)
        streaming = entry.replied and now > entry.made + _STREAM_AFTER
        entry.deadline = now + (timers.stream if streaming else timers.unreplied)
        self._by_key.move_to_end(entry.key)

    def _live(self, entry: _Entry | None, now: int) -> _Entry | None:
        """*entry* itself; if its time is over, it is forgotten."""
        if entry is None or entry.deadline > self._last_look(now):
            return entry
        self._forget(entry)
        return None

    def _last_look(self, now: int) -> int:
        """When the NAT last looked for expired bindings: what is over since then still works."""
        sweep = self.behaviour.sweep
        return now - (now - self._started) % sweep if sweep else now

    def _forget(self, entry: _Entry) -> None:
        del self._by_key[entry.key]
        del self._by_public[entry.protocol, entry.public]

    def _purge(self, now: int) -> None:
        self._purged = now
        for entry in list(self._by_key.values()):
            self._live(entry, now)

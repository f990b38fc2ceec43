"""Whether a port of a customer's public address leads to a SIP device, asked from outside.

A router's forward points at the adapter, not at the probe, so its proof is the adapter's answer.
Asked over the control flow, the reflector sends OPTIONS (never INVITE: ghost calls ring) to the
address that the nonce has just proven to be the requester's, from an endpoint that it never
contacted. The answer must come from that address to that endpoint and repeat 96 random bits.

This must never become a port scanner, since a carrier's public address is other people's too:
one question an address and 10 s, two ports a device and hour. State is bounded, and what is full
refuses.

Several processes: each counts and remembers for itself. The control flow and the answer have the
same source address, by which datagrams are steered to a process (sockets.steering), so the answer
comes to the process that asked. Where a pool of addresses moves the control flow to another
process, that one knows of no question, and says so.
"""

import heapq
from collections.abc import Callable
from itertools import count

from natwatch.wire import sip_options
from natwatch.wire.sip import SipError
from natwatch.wire.stun import (
    ANSWERED,
    ANY_PORT,
    CHANGE_IP,
    NEVER_ASKED,
    REFUSED_FULL,
    REFUSED_PORT,
    REFUSED_PORTS,
    REFUSED_SOON,
    SILENT,
    UNDER_WAY,
    Forward,
    Forwarded,
)
from natwatch_provider.reflector.layout import Arrival, Datagram, Endpoint, Layout

COPIES = 3
GAP = 700  # ms from one copy to the next
PATIENCE = 2_600  # ms after the last. RFC 3261 (17.1.2.2) would go on for 32 s, with eleven copies
KEEP = 60_000  # ms from the first copy: so long the outcome is told, and nothing is asked again

ADDRESS_RESTS = 10_000  # ms between the questions to one address
PORTS_OF_ONE = 2  # different ports that one device may ask about in an hour
HOUR = 3_600_000
MAX_PROBES = 16_384
MAX_DEVICES = 65_536  # that have asked within an hour

_Key = tuple[str, str, int]  # device, public address, port


class Probe:
    """One question to one endpoint of a customer, and what came of it."""

    def __init__(self, key: _Key, origin: Endpoint, token: str, now: int) -> None:
        self.key = key
        self.target: Endpoint = key[1:]
        self.origin = origin
        self.token = token
        self.first = now  # ms
        self.copies = 0  # those that the system refused to send as well
        self.outcome = Forwarded(UNDER_WAY)

    def step(self, now: int) -> tuple[list[Datagram], int]:
        """What to send at *now*, and when (ms) to come back."""
        if self.outcome.state == UNDER_WAY and self.copies < COPIES:
            return [self._copy()], now + (GAP if self.copies < COPIES else PATIENCE)
        if self.outcome.state == UNDER_WAY:
            self.outcome.state = SILENT
        return [], self.first + KEEP

    def refuse_copy(self) -> None:
        """The system refused to send the latest copy: it does not count."""
        self.outcome.sent -= 1

    def _copy(self) -> Datagram:
        # All are alike, as retransmissions are (RFC 3261, 17.1.2).
        self.copies += 1
        self.outcome.sent += 1
        data = bytes(sip_options.request(self.target, self.origin, self.token))
        return Datagram(self.origin, self.target, data, self)


class Forwards:
    """The questions of one process. *draw*(n) is a random number below n."""

    def __init__(self, layout: Layout, draw: Callable[[int], int]) -> None:
        self._layout = layout
        self._draw = draw
        self._probes: dict[_Key, Probe] = {}
        self._latest: dict[str, Probe] = {}  # by public address
        # By device, the one that asked last at the end: when (ms) it last asked about each port.
        self._ports: dict[str, dict[int, int]] = {}
        self._heap: list[tuple[int, int, Probe]] = []
        self._serial = count()

    def ask(
        self, name: str, forward: Forward, arrival: Arrival
    ) -> tuple[str, Forwarded, list[Datagram]]:
        """A counter, what to tell the device *name*, and what to send for it.

        The caller has checked the MAC, and that the nonce is good for the address it came from.
        """
        address, now = arrival.source[0], arrival.now
        key = (name, address, forward.port)
        probe = self._probes.get(key)
        if probe is not None and now < probe.first + KEEP:
            return "forward_told", probe.outcome, []
        if not forward.ask:
            return "forward_told", Forwarded(NEVER_ASKED), []
        refused = self._refused(key, now)
        if refused is not None:
            return "forward_refused", Forwarded(refused), []
        origin = self._layout.origin(arrival.local, CHANGE_IP | ANY_PORT, self._draw)
        probe = Probe(key, origin, f"{self._draw(1 << 96):024x}", now)
        self._keep(probe, now)
        return "forward_asked", probe.outcome, self._step(probe, now)

    def receive(self, data: bytes, source: Endpoint, local: Endpoint) -> str | None:
        """A counter, if *data* is an answer to a question that was sent from *local*."""
        probe = self._latest.get(source[0])
        if probe is None or probe.origin != local or not data.startswith(b"SIP/2.0 "):
            return None
        try:
            answer = sip_options.answer(data, probe.token)
        except SipError:
            return None
        outcome = probe.outcome
        if outcome.state == ANSWERED:
            return "forward_repeated"
        outcome.state, outcome.status, outcome.agent = ANSWERED, answer.status, answer.agent
        outcome.source = source
        return "forward_answered"

    def next_timer(self) -> int | None:
        """When (ms) to call handle_timer() at the latest, or None."""
        return self._heap[0][0] if self._heap else None

    def handle_timer(self, now: int) -> list[Datagram]:
        """The copies that are due at *now*."""
        out: list[Datagram] = []
        while self._heap and self._heap[0][0] <= now:
            probe = heapq.heappop(self._heap)[2]
            if now < probe.first + KEEP:
                out += self._step(probe, now)
            else:
                self._forget(probe)
        return out

    def _refused(self, key: _Key, now: int) -> int | None:
        """Why this must not be asked now, or None."""
        name, address, port = key
        self._forget_ports(now)
        ports = {one: at for one, at in self._ports.get(name, {}).items() if now < at + HOUR}
        latest = self._latest.get(address)
        if port == 0:
            return REFUSED_PORT
        if port not in ports and len(ports) >= PORTS_OF_ONE:
            return REFUSED_PORTS
        if latest is not None and now < latest.first + ADDRESS_RESTS:
            return REFUSED_SOON
        if len(self._probes) >= MAX_PROBES:
            return REFUSED_FULL
        if name not in self._ports and len(self._ports) >= MAX_DEVICES:
            return REFUSED_FULL
        return None

    def _keep(self, probe: Probe, now: int) -> None:
        name, address, port = probe.key
        self._probes[probe.key] = probe
        self._latest[address] = probe
        asked = self._ports.pop(name, {})
        self._ports[name] = {one: at for one, at in asked.items() if now < at + HOUR} | {port: now}

    def _step(self, probe: Probe, now: int) -> list[Datagram]:
        out, due = probe.step(now)
        heapq.heappush(self._heap, (due, next(self._serial), probe))
        return out

    def _forget(self, probe: Probe) -> None:
        if self._probes.get(probe.key) is probe:
            del self._probes[probe.key]
        if self._latest.get(probe.target[0]) is probe:
            del self._latest[probe.target[0]]

    def _forget_ports(self, now: int) -> None:
        """Let go of the devices that asked nothing for an hour: they stand at the front."""
        while self._ports:
            name, ports = next(iter(self._ports.items()))
            if now < max(ports.values()) + HOUR:
                return
            del self._ports[name]

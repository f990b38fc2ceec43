"""Simulated NATs by the kinds of RFC 4787: mapping, filtering, ports, pooling, hairpin, timers."""

PUBLIC = "203.0.113.9"

# How finely a NAT tells destinations apart, for mapping and for filtering (RFC 4787, 4.1 and 5).
INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
PORT_DEPENDENT = "address-and-port-dependent"
KINDS = (INDEPENDENT, ADDRESS_DEPENDENT, PORT_DEPENDENT)
UNTRANSLATED = "none"  # no NAT: a firewall, that filters and has timers

EXTERNAL, INTERNAL = "external", "internal"  # the source that a hairpinned datagram shows


def _part(endpoint, kind):
    """What a NAT of this *kind* looks at of a remote *endpoint*."""
    if kind == PORT_DEPENDENT:
        return endpoint
    return endpoint[0] if kind == ADDRESS_DEPENDENT else None


class Binding:
    """One inner port's mapping to one public endpoint. Times are ms."""

    def __init__(self, inner, public, now):
        self.inner = inner
        self.public = public
        self.first = now
        self.until = 0
        self.used = now
        self.replied = False
        self.contacted = set()  # remote endpoints, as finely as the filter looks


class Nat:
    """A NAT with Linux's two timers; as made, one that maps and filters by endpoint.

    ``unreplied`` and ``stream`` are ms; a flow is a stream once it is active 2 s after its first
    packet. Every switch below may be changed at any time.
    """

    def __init__(self, unreplied, stream, mapping=PORT_DEPENDENT, filtering=PORT_DEPENDENT, seed=1):
        self.unreplied = unreplied
        self.stream = stream
        self.mapping = mapping
        self.filtering = filtering
        self.addresses = [PUBLIC]
        self.arbitrary = False  # of several addresses each new binding draws one
        self.preserves_ports = False  # Linux does
        self.random_ports = False
        self.hairpin = None  # or EXTERNAL, INTERNAL
        self.refresh_inbound = True  # Linux does
        self.checks_first = False  # in a Chain: looks at the TTL before it refreshes
        self.cap = None  # bindings at once; the least recently used makes room
        self.bindings = {}  # (inner port, part of the destination) -> Binding
        self.next_port = 40000
        self._drawn = seed

    def _timer(self, binding, replied, now):
        return self.stream if replied and now - binding.first >= 2000 else self.unreplied

    def _draw(self, bound):
        self._drawn = (self._drawn * 1103515245 + 12345) % (1 << 31)
        return (self._drawn >> 8) % bound

    def _public(self, inner):
        address = self.addresses[self._draw(len(self.addresses)) if self.arbitrary else 0]
        if self.preserves_ports or self.mapping == UNTRANSLATED:
            return address, inner
        if self.random_ports:
            return address, 1024 + self._draw(64512)
        taken = [one.public for one in self.bindings.values()]
        while True:
            self.next_port = self.next_port + 1 if self.next_port < 65535 else 1024
            if (address, self.next_port) not in taken:
                return address, self.next_port

    def _make_room(self, now):
        living = [entry for entry in self.bindings.items() if entry[1].until > now]
        if self.cap is not None and len(living) >= self.cap:
            living.sort(key=lambda entry: (entry[1].used, entry[1].public))
            living = living[len(living) - self.cap + 1 :]
        self.bindings = dict(living)

    def knows(self, inner, destination, now):
        """Whether a datagram from the inner port to *destination* finds a binding."""
        binding = self.bindings.get((inner, _part(destination, self.mapping)))
        return binding is not None and binding.until > now

    def outbound(self, inner, destination, now):
        """The public endpoint that the datagram leaves from."""
        key = (inner, _part(destination, self.mapping))
        binding = self.bindings.get(key)
        if binding is None or binding.until <= now:
            if self.cap is not None or len(self.bindings) > 200:
                self._make_room(now)
            binding = self.bindings[key] = Binding(inner, self._public(inner), now)
        binding.contacted.add(_part(destination, self.filtering))
        binding.used = now
        binding.until = now + self._timer(binding, binding.replied, now)
        return binding.public

    def inbound(self, source, public, now):
        """The inner port that a datagram from *source* to *public* reaches, or None: filtered."""
        for binding in self.bindings.values():
            if binding.public != public or binding.until <= now:
                continue
            # Where ports are preserved several bindings share one public endpoint.
            if _part(source, self.filtering) in binding.contacted:
                binding.replied = True
                if self.refresh_inbound:
                    binding.used = now
                    binding.until = now + self._timer(binding, True, now)
                return binding.inner
        return None

    def restart(self):
        self.bindings = {}

    def change_address(self, address):
        """The line comes up anew under another public address: every binding is gone."""
        self.addresses = [address]
        self.restart()


class Chain:
    """Boxes in a row, the first nearest to the device: each a Nat, or None for a plain router.

    Has a Nat's calls, and knows what an IP TTL is. A box of the kernel's kind refreshes what it
    knows and then drops what has no TTL left; it notes a new flow only once it has forwarded it.
    """

    def __init__(self, boxes):
        self.boxes = boxes
        nats = [box for box in boxes if box is not None]
        for number, nat in enumerate(nats[:-1]):
            nat.addresses = ["100.64.%d.2" % number]
        self.addresses = nats[-1].addresses
        self.hairpin = None

    def outbound(self, inner, destination, now, ttl=64):
        """The public endpoint that the datagram leaves from; None: it died on its way."""
        endpoint = (None, inner)
        for index, box in enumerate(self.boxes):
            last = ttl - index <= 1
            if box is not None and last:
                if box.checks_first or not box.knows(endpoint[1], destination, now):
                    return None
            if box is not None:
                endpoint = box.outbound(endpoint[1], destination, now)
            if last:
                return None
        return endpoint

    def inbound(self, source, public, now, ttl=64):
        """The inner port that a datagram reaches, or None: filtered, or it died on its way."""
        for index, box in enumerate(reversed(self.boxes)):
            last = ttl - index <= 1
            if box is not None:
                if last and box.checks_first:
                    return None
                port = box.inbound(source, public, now)
                if port is None:
                    return None
                inside = [b for b in self.boxes[: len(self.boxes) - 1 - index] if b is not None]
                public = (inside[-1].addresses[0] if inside else None, port)
            if last:
                return None
        return public[1]

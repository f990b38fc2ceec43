"""Indirect evidence of a second NAT: what the gateway and the routers on the way tell.

NAT-PMP and PCP are asked on either interpreter, UPnP and the hops by child processes on CPython.
None of it is a measurement of ours: each is a word of somebody else's, named as such.

Nothing is asked where the way to the reflector has no gateway: then there is no router of the
customer's to ask, and a probe that is tested on a machine's loopback sends nothing to its network.
"""

from natwatch.port import hops, network, upnp
from natwatch.probes import gateway

_POLL = 100  # ms between two looks at the children
_NO_GATEWAY = "there is no gateway on the way to the reflector: nothing was asked"
_NO_CHILDREN = "only CPython can ask this"
_NO_QUEUE = "only CPython on Linux can read ICMP errors"


class Evidence:
    """An engine. *reflector* is (address, port), *random* gives n random bytes.

    One result, after 12 s at most:

    {"gateway": address or None (none on the way, nothing was asked),
     "upnp": see port.upnp.verdict, "nat_pmp" and "pcp": see probes.gateway.verdict,
     "icmp": see port.hops.verdict}
    """

    def __init__(self, reflector, random):
        self.done = False
        self.counters = {}
        self._reflector = reflector
        self._random = random
        self._gateway = None  # the engine
        self._children = {}  # name -> Child
        self._found = {}
        self._due = None
        self._results = []

    @property
    def bytes(self):
        """Of NAT-PMP and PCP; a child's are not counted, and stay on the LAN but for 16 small
        datagrams."""
        return 0 if self._gateway is None else self._gateway.bytes

    # The loop's calls

    def start(self, now):
        self._due = now  # by the timer: a loop takes no result of what ends as it starts
        address = network.gateway_towards(self._reflector[0])
        self._found = {"gateway": address}
        if address is None:
            self._found["upnp"] = upnp.verdict("unsupported", _NO_GATEWAY)
            for name in ("nat_pmp", "pcp"):
                self._found[name] = gateway.verdict("unsupported", _NO_GATEWAY)
            self._found["icmp"] = hops.verdict("unsupported", reason=_NO_GATEWAY)
            return
        source = network.source_towards(self._reflector[0], address)
        self._gateway = gateway.Gateway(address, source, self._random)
        self.counters = self._gateway.counters
        self._gateway.start(now)
        self._children = {
            "upnp": upnp.start(address, source, now),
            "icmp": hops.start(self._reflector, source, now),
        }

    def receive(self, flow, data, source, now):
        self._gateway.receive(flow, data, source, now)
        self._progress()

    def notice(self, notice, now):
        """The control flow has nothing to say here."""

    def unsent(self, flow, errno):
        self._gateway.unsent(flow, errno)

    def next_timer(self):
        if self.done:
            return None
        timer = None if self._gateway is None else self._gateway.next_timer()
        return self._due if timer is None else min(self._due, timer)

    def handle_timer(self, now):
        if self.done:
            return
        if self._gateway is not None and not self._gateway.done:
            self._gateway.handle_timer(now)
        if now >= self._due:
            self._due = now + _POLL
            self._poll(now)
        self._progress()

    def take_sends(self):
        return [] if self._gateway is None else self._gateway.take_sends()

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result; no child is left behind."""
        self.done = True
        if self._gateway is not None:
            self._gateway.stop(now)
        for child in self._children.values():
            if child is not None:
                child.close()
        self._children.clear()

    # How it works

    def _poll(self, now):
        for name in sorted(self._children):
            child = self._children[name]
            polled = None if child is None else child.poll(now)
            if child is not None and polled is None:
                continue
            del self._children[name]
            if name == "upnp":
                unsupported = upnp.verdict("unsupported", _NO_CHILDREN)
                self._found[name] = unsupported if child is None else upnp.found_by(polled)
            else:
                unsupported = hops.verdict("unsupported", reason=_NO_QUEUE)
                self._found[name] = unsupported if child is None else hops.found_by(polled)

    def _progress(self):
        if self._gateway is not None:
            for result in self._gateway.take_results():
                self._found.update(result)
        if not self.done and len(self._found) == 5:
            self._results.append(self._found)
            self.done = True

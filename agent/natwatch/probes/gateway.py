"""The gateway's external address, as the gateway itself tells it by NAT-PMP and by PCP.

Compared with the mapped address, which the reflector sees, it shows whether a second NAT stands in
front of the router: where both are equal there is none, and a private or shared one there proves
it. Both protocols are asked at once, UDP port 5351 (RFC 6886, section 3.1; RFC 6887, section 8.1).
A refusal is evidence as well: some routers say NETWORK_FAILURE when their own outer address is
private, since a forward could not work there.

An answer counts only if the gateway's own address and port sent it. Off the gateway's segment
nobody can forge that, and on it PCP's nonce must be known.
"""

from natwatch.wire import nat_pmp, pcp

NAT_PMP, PCP = 0, 1  # flows
_NAMES = {NAT_PMP: "NAT-PMP", PCP: "PCP"}
# ms to wait after each try: both begin as their RFCs say (250 ms, doubled; 3 s) and end at 4 s.
_GAPS = {NAT_PMP: (250, 500, 1000, 2250), PCP: (3000, 1000)}
_RELEASE_GAPS = (250, 750)
_LIFETIME = 60  # s of the mapping, should its release be lost; many gateways make 120 of it
_HEADERS = 28  # bytes of IPv4 and UDP


def verdict(state, reason=None, external=None, code=None):
    """What one protocol told. ``state``: "answered", "silent", "refused" (with the ``code``),
    "unsupported" (cannot be asked from here) or "failed"; ``reason``: a sentence or None."""
    return {"state": state, "external": external, "code": code, "reason": reason}


class _Asking:
    """A request that is repeated until it is answered: *data*, and ms to wait after each try."""

    def __init__(self, data, gaps, now):
        self.data = data
        self._gaps = list(gaps)
        self.due = now

    def next(self, now):
        """The bytes to send now; None: the time for an answer is over."""
        if not self._gaps:
            return None
        self.due = now + self._gaps.pop(0)
        return self.data


class Gateway:
    """Ask *gateway*, an address. *local* is the probe's own toward it, None: unknown, and PCP
    cannot be asked. *random* gives n random bytes.

    One result: {"nat_pmp": …, "pcp": …}, each as verdict() makes it. About 4 s at most; the
    mapping that PCP needs is given back before the end.
    """

    def __init__(self, gateway, local, random):
        self.endpoint = (gateway, nat_pmp.PORT)
        self.done = False
        self.bytes = 0
        self.counters = {}
        self._local = local
        self._nonce = random(pcp.NONCE_BYTES)
        self._asking = {}  # flow -> _Asking
        self._found = {}  # flow -> verdict
        self._unsent = {}  # flow -> errno
        self._mapped = False  # whether the gateway has a mapping of ours
        self._sends = []
        self._results = []

    # The loop's calls

    def start(self, now):
        self._ask(NAT_PMP, nat_pmp.external_address_request(), _GAPS[NAT_PMP], now)
        if self._local is None:
            reason = "PCP needs the probe's own address, which is unknown here"
            self._found[PCP] = verdict("unsupported", reason)
        else:
            self._ask(PCP, self._map_request(_LIFETIME), _GAPS[PCP], now)

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + _HEADERS
        if self.done or flow not in _NAMES:
            self._count("unexpected")
        elif source != self.endpoint:
            self._count("wrong_source")
        elif flow == NAT_PMP:
            self._take_nat_pmp(data)
        else:
            self._take_pcp(data, now)
        self._progress()

    def notice(self, notice, now):
        """The control flow, if there is one, has nothing to say here."""

    def unsent(self, flow, errno):
        self._unsent[flow] = errno

    def next_timer(self):
        return min([asking.due for asking in self._asking.values()]) if self._asking else None

    def handle_timer(self, now):
        for flow in sorted(self._asking):
            if now >= self._asking[flow].due:
                self._try(flow, now)
        self._progress()

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result; a mapping is given back."""
        if self.done:
            return
        if self._mapped:
            self._send(PCP, self._map_request(0))
        self._end()

    # How it works

    def _map_request(self, lifetime):
        return pcp.map_request(self._nonce, self._local, lifetime)

    def _ask(self, flow, data, gaps, now):
        self._asking[flow] = _Asking(data, gaps, now)
        self._try(flow, now)

    def _try(self, flow, now):
        data = self._asking[flow].next(now)
        if data is not None:
            self._send(flow, data)
            return
        del self._asking[flow]
        if flow in self._found:
            self._count("unreleased")
        elif flow in self._unsent:
            reason = "%s to %s cannot be sent: error %s"
            reason = reason % (_NAMES[flow], self.endpoint[0], self._unsent[flow])
            self._found[flow] = verdict("failed", reason)
        else:
            reason = "%s does not answer %s" % (self.endpoint[0], _NAMES[flow])
            self._found[flow] = verdict("silent", reason)

    def _send(self, flow, data):
        self.bytes += len(data) + _HEADERS
        self._sends.append((flow, data, self.endpoint))

    def _take_nat_pmp(self, data):
        try:
            answer = nat_pmp.parse(data)
        except nat_pmp.NatPmpError as error:
            self._count("nat_pmp_" + error.counter)
            return
        if NAT_PMP in self._found:
            self._count("repeated")
            return
        del self._asking[NAT_PMP]
        self._found[NAT_PMP] = self._judge(NAT_PMP, answer, nat_pmp.result_text)

    def _take_pcp(self, data, now):
        try:
            answer = pcp.parse(data)
        except pcp.PcpError as error:
            self._count("pcp_" + error.counter)
            return
        if answer.nonce not in (None, self._nonce):
            self._count("wrong_nonce")
        elif PCP not in self._asking:
            self._count("unexpected")
        elif PCP not in self._found:
            self._found[PCP] = self._judge(PCP, answer, pcp.result_text)
            del self._asking[PCP]
            if answer.result == pcp.SUCCESS:
                self._mapped = True
                self._ask(PCP, self._map_request(0), _RELEASE_GAPS, now)
        elif answer.result == pcp.SUCCESS and answer.lifetime:
            self._count("repeated")  # of the mapping: its release is still to be answered
        else:
            self._mapped = False
            del self._asking[PCP]
            if answer.result != pcp.SUCCESS:
                self._count("unreleased")

    def _judge(self, flow, answer, result_text):
        if answer.result:
            reason = "%s answers %s with %d, %s"
            values = (self.endpoint[0], _NAMES[flow], answer.result, result_text(answer.result))
            return verdict("refused", reason % values, code=answer.result)
        if answer.external in (None, "0.0.0.0"):
            reason = "%s names no external IPv4 address by %s" % (self.endpoint[0], _NAMES[flow])
            return verdict("answered", reason, code=0)
        return verdict("answered", external=answer.external, code=0)

    def _progress(self):
        if self._asking or self.done:
            return
        self._results.append({"nat_pmp": self._found[NAT_PMP], "pcp": self._found[PCP]})
        self._end()

    def _end(self):
        self.done = True
        self._asking.clear()
        self._sends += [(flow, None, self.endpoint) for flow in (NAT_PMP, PCP)]

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

"""Where the registrar's name leads, asked of the customer's own resolver.

A phone looks up SRV of _sip._udp.NAME and A of what that names (RFC 3263, section 4.2), or just A
of NAME; which, depends on the phone, so both are asked. Every address must lie in the operator's
network: one that does not is a resolver that lies, or a record that is wrong, and nothing may be
sent there.

DNS over UDP is not authenticated. So each query has a fresh local port and a random id, and only
the resolver asked is believed, with the same question (RFC 5452, section 9.1). One who sits on the
way can answer all the same, and first; then two different answers come to one query. The first that
is no refusal is judged, since the phone takes that as well, and all are kept as evidence.
"""

from natwatch.wire import dns
from natwatch.wire.ipv4 import inside, number_of

PORT = 53
_RESOLVERS = 3  # as many as the system's own library asks (MAXNS)
_TARGETS = 4
_GAPS = (600, 900, 1400)  # ms to wait for an answer, try by try, at each resolver
_LONGEST = 10000  # ms for everything
_LINGER = 500  # ms after the last answer, for a second and different one
_NAMED = 16  # addresses of one name, and different answers, that a result names
_REASON = 400  # characters at most
_SERVICE = "_sip._udp."  # RFC 3263, 4.1: SIP over UDP
_HEADERS = 28  # bytes of IPv4 and UDP
_KINDS = {dns.A: "A", dns.SRV: "SRV"}


class _Question:
    """One name and type, asked of *resolvers* in turn, each three times, until answered.

    ``refusal`` is what one said that cannot or does not want to answer, ``refuser``.
    """

    def __init__(self, name, kind, resolvers):
        self.name = name
        self.kind = kind
        self.tries = [(resolver, gap) for resolver in resolvers for gap in _GAPS]
        self.asking = None  # the resolver of the present try
        self.timer = None  # when that is over; None: no more is asked
        self.resolver = None  # the one that answered
        self.answer = None
        self.refuser = None
        self.refusal = None
        self.rcode = None  # by name, of the answer or refusal
        self.cut = False  # whether an answer was truncated

    def values(self):
        """[(ttl, value)]; what stands beside an NXDOMAIN counts as little as for a phone."""
        answer = self.answer
        return [] if answer is None or answer.rcode != dns.NOERROR else answer.values()

    def state(self):
        if self.answer is not None:
            if self.values():
                return "ok"
            return "no such name" if self.answer.rcode == dns.NXDOMAIN else "no address"
        return "refused" if self.refusal is not None else "no answer"

    def trouble(self):
        """A sentence, or None if all is well."""
        state = self.state()
        if state == "ok":
            text = "only a part of the answer fitted into a datagram" if self.cut else None
        elif state == "refused":
            text = "%s answers %s" % (self.refuser, self.refusal)
        elif state == "no answer":
            text = "the answer did not fit into a datagram" if self.cut else "no answer"
        else:
            text = "%s knows %s" % (self.resolver, "no such name" if "name" in state else "none")
        return text and "%s of %s: %s" % (_KINDS[self.kind], self.name, text)


class _Query:
    """One datagram to one resolver, on a flow of its own. ``heard``: what its answers said."""

    def __init__(self, question, resolver, ident):
        self.question = question
        self.resolver = resolver
        self.ident = ident
        self.heard = []


class Dns:
    """Ask *resolvers*, addresses of which at most three are used, for *name*.

    *network* is the operator's, (first, last) as natwatch.wire.ipv4 has them; *random* gives n
    random bytes. One result: {"name", "resolver": the one that answered or None, "a": [address,
    …], "srv": [{"target", "port", "priority", "weight", "a": […]}, …] (at most 4, as a phone
    prefers them), "outside": addresses that are not in the network, "state", "rcode": of the
    answer about A, its name in RFC 1035, or None, "contradictions": the answers, as they came, of
    queries with different ones, [{"name", "type", "resolver", "rcode", "a", "srv"}, …], "ttl": the
    least, s, or None, "reason": None or what is not as it should be}.

    ``state``: "wrong" (some address is outside), "ok" (all are inside), "no such name", "no
    address", "refused" (or failed), "no answer", "not asked" (no resolver is known, or the name
    is none, or it is an address, in which case only "wrong" is said of it).
    """

    def __init__(self, resolvers, name, network, random):
        self.name = name[:-1].lower() if name.endswith(".") else name.lower()
        self.network = network
        self.done = False
        self.bytes = 0
        self.counters = {}
        self._random = random
        self._resolvers = usable(resolvers)
        self._address = _Question(self.name, dns.A, self._resolvers)
        self._service = _Question(_SERVICE + self.name, dns.SRV, self._resolvers)
        self._questions = [self._address, self._service]
        self._followed = False  # whether the SRV targets were asked for
        self._targets = {}  # SRV target -> ([(ttl, address)], the question or None)
        self._queries = {}  # flow -> _Query
        self._next_flow = 0
        self._contradictions = []
        self._unasked = None  # why nothing is asked
        self._deadline = None
        self._end_at = None
        self._sends = []
        self._results = []

    # The loop's calls

    def start(self, now):
        self._deadline = now + _LONGEST
        self._unasked = self._why_not()
        if self._unasked is not None:
            self._end_at = now  # by the timer: a loop takes no result of what ends as it starts
            return
        for question in self._questions:
            self._try(question, now)

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + _HEADERS
        query = self._queries.get(flow)
        if query is None:
            self._count("unexpected")
        elif source != (query.resolver, PORT):
            self._count("wrong_source")
        else:
            try:
                self._take(query, dns.parse(data), now)
            except dns.DnsError as error:
                self._count(error.counter)
            self._progress(now)

    def notice(self, notice, now):
        """The control flow, if there is one, has nothing to say here."""

    def next_timer(self):
        if self.done:
            return None
        timers = [question.timer for question in self._questions if question.timer is not None]
        return min(timers + [self._deadline]) if timers else self._end_at

    def handle_timer(self, now):
        if self.done:
            return
        for question in self._questions:
            if question.timer is not None and now >= question.timer:
                self._try(question, now)
        self._progress(now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        self.done = True
        for flow in sorted(self._queries):
            self._sends.append((flow, None, (self._queries[flow].resolver, PORT)))
        self._queries.clear()

    # How it works

    def _why_not(self):
        if number_of(self.name) is not None:
            return "%s is an address: there is nothing to look up" % self.name
        try:
            for question in self._questions:
                dns.query(0, question.name, question.kind)
        except dns.DnsError as error:
            return "%r cannot be looked up: %s" % (self.name[:70], error)
        return None if self._resolvers else "no resolver is known"

    def _try(self, question, now):
        """Send the next query of *question*, if there is one. Earlier ones may still be answered:
        a resolver that has to ask others takes its time."""
        if not question.tries:
            question.timer = None
            return
        resolver, gap = question.tries.pop(0)
        question.asking = resolver
        question.timer = now + gap
        query = _Query(question, resolver, int.from_bytes(self._random(2), "big"))
        data = dns.query(query.ident, question.name, question.kind)
        self.bytes += len(data) + _HEADERS
        self._queries[self._next_flow] = query
        self._sends.append((self._next_flow, data, (resolver, PORT)))
        self._next_flow += 1

    def _take(self, query, answer, now):
        question = query.question
        if answer.ident != query.ident:
            self._count("wrong_id")
        elif answer.question != (question.name, question.kind):
            self._count("wrong_question")
        elif answer.truncated and answer.rcode == dns.NOERROR and not answer.values():
            self._count("truncated")
            question.cut = question.cut or question.answer is None
        else:
            self._compare(query, answer)
            if question.answer is None:
                self._accept(query, answer, now)

    def _compare(self, query, answer):
        said = evidence(query.question, query.resolver, answer)
        if said in query.heard:
            self._count("repeated")
        elif not query.heard:
            query.heard.append(said)
        else:
            self._count("different")
            if len(self._contradictions) < _NAMED:
                if len(query.heard) == 1:
                    self._contradictions.append(query.heard[0])
                self._contradictions.append(said)
                query.heard.append(said)

    def _accept(self, query, answer, now):
        question = query.question
        question.rcode = dns.rcode_text(answer.rcode)
        self._end_at = now + _LINGER
        refusal = refused(answer)
        if refusal is None:
            question.answer = answer
            question.resolver = query.resolver
            question.cut = answer.truncated
            question.timer = None
            return
        question.refuser, question.refusal = query.resolver, refusal
        # A failure may pass, and this resolver is asked again. Others go on to the next at once.
        if answer.rcode != dns.SERVFAIL and question.asking == query.resolver:
            question.tries = [entry for entry in question.tries if entry[0] != query.resolver]
            self._try(question, now)

    def _progress(self, now):
        if self.done:
            return
        if self._service.answer is not None and not self._followed:
            self._ask_targets(self._service.answer, now)
        waiting = [question for question in self._questions if question.timer is not None]
        lingering = self._end_at is not None and now < self._end_at
        if now >= self._deadline or not (waiting or lingering):
            self._end(now)

    def _ask_targets(self, answer, now):
        """Ask the resolver that named the SRV targets first where they are."""
        first = self._service.resolver
        resolvers = [first] + [address for address in self._resolvers if address != first]
        self._followed = True
        for target in [entry[3] for entry in preferred(self._service.values())]:
            if target in self._targets or target == ".":
                continue
            known = answer.addresses(target)
            question = None
            if target == self.name:
                question = self._address
            elif not known:
                question = _Question(target, dns.A, resolvers)
                self._questions.append(question)
                self._try(question, now)
            self._targets[target] = (known, question)

    def _found(self, target):
        """[(ttl, address)] of an SRV *target*."""
        known, question = self._targets.get(target, ((), None))
        return known or ([] if question is None else question.values())

    def _end(self, now):
        if self._unasked is not None:
            found = [(None, self.name)] if number_of(self.name) is not None else []
            self._tell(found, [], [])
        else:
            services = self._service.values()
            self._tell(self._address.values(), preferred(services), [ttl for ttl, _ in services])
        self.stop(now)

    def _tell(self, found, services, ttls):
        """Put the result out: *found* [(ttl, address)], *services* as preferred() gives them,
        *ttls* of those."""
        srv = []
        everything = list(found)
        for priority, weight, port, target in services:
            there = self._found(target)
            everything += there
            entry = {"target": target, "port": port, "priority": priority, "weight": weight}
            entry["a"] = [address for _, address in there][:_NAMED]
            srv.append(entry)
        outside = []
        for _, address in everything:
            if address not in outside and not inside(address, self.network):
                outside.append(address)
        ttls = ttls + [ttl for ttl, _ in everything if ttl is not None]
        self._results.append(
            {
                "name": self.name,
                "resolver": self._who(),
                "a": [address for _, address in found][:_NAMED],
                "srv": srv,
                "outside": outside[:_NAMED],
                "state": "wrong" if outside else self._state(everything),
                "rcode": self._address.rcode,
                "contradictions": self._contradictions[:_NAMED],
                "ttl": min(ttls) if ttls else None,
                "reason": self._reason(services),
            }
        )

    def _who(self):
        who = self._address.resolver or self._service.resolver
        return who or self._address.refuser

    def _state(self, everything):
        if self._unasked is not None:
            return "not asked"
        if everything:
            return "ok"
        state = self._address.state()
        if state == "no address":
            # It may have one all the same, of an SRV target, where those questions stay open.
            others = [question.state() for question in self._questions]
            for unknown in ("no answer", "refused"):
                state = unknown if unknown in others else state
        return state

    def _reason(self, services):
        """Sentences on all that is not as it should be, or None."""
        if self._unasked is not None:
            return self._unasked
        said = [question.trouble() for question in self._questions if not self._usual(question)]
        if [target for _, _, _, target in services if target == "."]:
            said.append("SRV of %s: there is no such service (RFC 2782)" % self._service.name)
        all_services = set([value for _, value in self._service.values()])
        if len(all_services) > len(services):
            text = "only the first %d of %d SRV records were followed"
            said.append(text % (len(services), len(all_services)))
        if self._contradictions:
            said.append("different answers came to one query; the first that is one is judged")
        return "; ".join([sentence for sentence in said if sentence])[:_REASON] or None

    def _usual(self, question):
        """Most names have no SRV."""
        return question is self._service and question.state() in ("no such name", "no address")

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def usable(resolvers):
    """The first three different IPv4 addresses of *resolvers*."""
    found = []
    for address in resolvers:
        if number_of(address) is not None and address not in found:
            found.append(address)
    return found[:_RESOLVERS]


def preferred(services):
    """At most four SRV values of *services*, [(ttl, value)], as a phone prefers them: the lowest
    priority first, the heaviest of equal ones (RFC 2782 draws; over time those are drawn most)."""
    order = sorted([(v[0], -v[1], v[2], v[3]) for v in set([value for _, value in services])])
    return [(v[0], -v[1], v[2], v[3]) for v in order[:_TARGETS]]


def refused(answer):
    """What an *answer* says that is none, or None if it is one."""
    if answer.rcode not in (dns.NOERROR, dns.NXDOMAIN):
        return dns.rcode_text(answer.rcode)
    if answer.lame and answer.rcode == dns.NOERROR and not answer.values():
        return "that it looks nothing up for us"
    return None


def evidence(question, resolver, answer):
    """What an *answer* says, in a form that is the same for the same content."""
    values = sorted(set([value for _, value in answer.values()]))
    said = {"name": question.name, "type": _KINDS[question.kind], "resolver": resolver}
    said["rcode"] = dns.rcode_text(answer.rcode)
    said["a"] = values[:_NAMED] if question.kind == dns.A else []
    said["srv"] = []
    if question.kind == dns.SRV:
        for priority, weight, port, target in values:
            entry = {"target": target, "port": port, "priority": priority, "weight": weight}
            entry["a"] = sorted([address for _, address in answer.addresses(target)])[:_NAMED]
            said["srv"].append(entry)
        said["srv"] = said["srv"][:_NAMED]
    return said

"""How the NAT maps: RFC 5780, section 4.3, with controls; pooling, port preservation, hairpin.

Every socket is fresh and asks up to four endpoints of the server (two addresses, two ports each)
which mapped endpoint they see, and the first of them once more at the end: a mapping that changed
in the middle (a restart, a new public address) is no evidence. One socket, the scout, finds
out which endpoints answer at all; what does not answer proves nothing: the verdict is None then.

Eight sockets ask, since one may mislead: a NAT that preserves ports and draws an address of a pool
for each binding gives two destinations the same endpoint now and then. The most dependent
behaviour seen is the NAT's.
"""

from natwatch.probes.questions import Inquiry, other_of, text
from natwatch.wire import stun

INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
PORT_DEPENDENT = "address-and-port-dependent"
UNTRANSLATED = "none"
# With these all that one socket sends is one binding, wherever it goes.
ONE_BINDING = (INDEPENDENT, UNTRANSLATED)
PAIRED, ARBITRARY = "paired", "arbitrary"  # RFC 4787, section 4.1

SOCKETS = 8
SCOUT, ASKING, CONTROL, MEETING, LOOPING, PROVING, DONE = range(7)
_PACE = 30  # ms between the openings of two sockets
_LOOP_GAPS = (300, 400, 600, 1000)  # ms, for what is sent to ourselves
_CHANGED = "the mapping changed in the middle"


def kind_of(rows, endpoints):
    """(mapping behaviour or None, the reason or None) of what sockets saw.

    *endpoints* are four: both ports of the first address, both of the second, in one order.
    Each of *rows*, one a socket, is the mapped endpoint for each of them, None: no answer.
    """
    by_port, by_address, across = [], [], []
    for row in rows:
        _compare(by_port, row[0], row[1])
        _compare(by_port, row[2], row[3])
        _compare(by_address, row[0], row[2])
        _compare(by_address, row[1], row[3])
        _compare(across, row[0], row[3])
    if False in by_port:
        return PORT_DEPENDENT, None
    if False in by_address and by_port:
        return ADDRESS_DEPENDENT, None
    # An endpoint that differs in both and sees the same is enough; one that does not answer, never.
    if across and False not in by_address + across:
        return INDEPENDENT, None
    dead = [text(endpoints[i]) for i in range(4) if not [row for row in rows if row[i]]]
    verb = "do" if len(dead) > 1 else "does"
    return None, "of the server's endpoints %s %s not answer" % (" and ".join(dead), verb)


def _compare(results, one, other):
    if one is not None and other is not None:
        results.append(one == other)


class Mapping(Inquiry):
    """Ask *server*, (address, port), and its other endpoint, *alternate* or the one it names.

    *random* gives n random bytes; *own* are the machine's own addresses: mapped to one of
    them means no NAT. The one result is a dict, see docs/telemetry.md.
    """

    def __init__(self, server, random, alternate=None, own=()):
        Inquiry.__init__(self, server, random)
        self.alternate = alternate
        self.own = own
        self.phase = SCOUT
        self._endpoints = [server]  # the server's, as far as known, in the order of kind_of
        self._answering = []  # those that answered the scout
        self._missing = None  # why there are not four
        self._rows = []  # for each of the SOCKETS: {endpoint: Question}
        self._controls = []  # (first Question, the same asked again)
        self._next_opening = None
        self._pending = []
        self._verdict = {}
        self._ends = []  # the two sockets of the hairpin test: their first Question
        self._loops = []

    def start(self, now):
        self._started = now
        self._pending = [self.questions.ask(0, self.server, now)]

    def next_timer(self):
        timer = Inquiry.next_timer(self)
        if self._next_opening is None:
            return timer
        return self._next_opening if timer is None else min(timer, self._next_opening)

    def _progress(self, now):
        if self._next_opening is not None and now >= self._next_opening:
            self._open_socket(now)
        while not self.done and self._next_opening is None and self._all_over():
            self._step(now)

    def _all_over(self):
        return not [question for question in self._pending if not question.over]

    def _step(self, now):
        """All that the present phase asked is answered or given up: the next phase."""
        if self.phase == SCOUT:
            self._scouted(now)
        elif self.phase == ASKING:
            self._ask_again(now)
        elif self.phase == CONTROL:
            self._judge(now)
        elif self.phase == MEETING:
            self._throw(now)
        elif self.phase == LOOPING:
            self._prove(now)
        else:
            self._judge_hairpin(now)

    # Mapping

    def _scouted(self, now):
        first = self._pending[0]
        if first.answer is None:
            self._end_unknown(_silence(first), now)
        elif len(self._pending) == 1 and self._find_alternate(first):
            asked = [self.questions.ask(0, endpoint, now) for endpoint in self._endpoints[1:]]
            self._pending = [first] + asked
        else:
            self._answering = [q.destination for q in self._pending if q.answer is not None]
            self.questions.close(0, self.server)
            self.phase = ASKING
            self._open_socket(now)

    def _find_alternate(self, first):
        """Whether a second address is known; then ``_endpoints`` are four."""
        other = self.alternate
        if other is None:
            other, self._missing = other_of(self.server, first.answer)
        if other is None:
            return False
        here, there = self.server, tuple(other)
        self._endpoints = [here, (here[0], there[1]), (there[0], here[1]), there]
        return True

    def _open_socket(self, now):
        flow = len(self._rows) + 1
        row = {}
        for endpoint in self._answering:
            row[endpoint] = self.questions.ask(flow, endpoint, now)
        self._rows.append(row)
        self._pending = [question for row in self._rows for question in row.values()]
        self._next_opening = now + _PACE if flow < SOCKETS else None

    def _ask_again(self, now):
        self.phase = CONTROL
        for row in self._rows:
            first = row[self.server]
            if first.answer is not None:
                self._controls.append((first, self.questions.ask(first.flow, self.server, now)))
        self._pending = [again for _, again in self._controls]

    def _judge(self, now):
        kept = [pair for pair in self._controls if pair[1].answer is not None]
        if not kept:
            self._end_unknown("the server fell silent in the middle", now)
        elif [pair for pair in kept if pair[0].mapped != pair[1].mapped]:
            self._end_unknown(_CHANGED, now)
        else:
            flows = [first.flow for first, _ in kept]
            self._conclude([row for row in self._rows if row[self.server].flow in flows])
            self._begin_hairpin(now)

    def _conclude(self, rows):
        seen = [[_mapped(row.get(endpoint)) for endpoint in self._endpoints] for row in rows]
        firsts = [row[self.server] for row in rows]
        if len(self._endpoints) == 4:
            mapping, reason = kind_of(seen, self._endpoints)
        else:
            mapping, reason = None, self._missing
        if self._untranslated(firsts):
            mapping, reason = UNTRANSLATED, None
        self._verdict = {
            "mapping": mapping,
            "pooling": self._pooling(seen, mapping),
            "port_preservation": self._preservation(firsts),
            "mapped": self._evidence(seen),
            "local_ports": [self.local_ports.get(first.flow) for first in firsts],
        }
        if reason is not None:
            self._verdict["reason"] = reason
        if not firsts[0].answer.has(stun.XOR_MAPPED_ADDRESS):
            self._verdict["classic"] = True

    def _untranslated(self, firsts):
        """Whether what the server saw is the machine's own address, with the ports unchanged."""
        for question in firsts:
            port = self.local_ports.get(question.flow, question.mapped[1])
            if question.mapped[0] not in self.own or question.mapped[1] != port:
                return False
        return True

    def _pooling(self, seen, mapping):
        """From inside, one public address looks like a paired pool: the same for every binding."""
        addresses = set([mapped[0] for row in seen for mapped in row if mapped])
        if mapping == UNTRANSLATED or len(seen) < 2:
            return None
        return ARBITRARY if len(addresses) > 1 else PAIRED

    def _preservation(self, firsts):
        known = [question for question in firsts if question.flow in self.local_ports]
        kept = [q for q in known if q.mapped[1] == self.local_ports[q.flow]]
        return {"kept": len(kept), "of": len(known)} if known else None

    def _evidence(self, seen):
        """[server's endpoint, mapped endpoint] as the one socket saw it that tells most."""
        row = max(seen, key=lambda row: (len(set(row) - {None}), 4 - row.count(None)))
        return [
            [text(endpoint), text(mapped)]
            for endpoint, mapped in zip(self._endpoints, row)
            if mapped is not None
        ]

    # Hairpin (RFC 4787, section 6): two sockets send to each other's mapped endpoint, and to
    # nothing else. Both send: a filter lets in what answers.

    def _begin_hairpin(self, now):
        for flow in range(1, SOCKETS + 1):
            self.questions.close(flow, self.server)
        if self._verdict["mapping"] == UNTRANSLATED:
            self._finish(None, "there is no NAT", now)
            return
        self.phase = MEETING
        flows = (SOCKETS + 1, SOCKETS + 2)
        self._ends = self._pending = [self.questions.ask(flow, self.server, now) for flow in flows]

    def _throw(self, now):
        one, other = self._ends
        if one.mapped is None or other.mapped is None:
            self._finish(None, "the server fell silent in the middle", now)
            return
        self.phase = LOOPING
        self._loops = self._pending = [
            self.questions.ask(one.flow, other.mapped, now, gaps=_LOOP_GAPS),
            self.questions.ask(other.flow, one.mapped, now, gaps=_LOOP_GAPS),
        ]

    def _prove(self, now):
        looped = [question for question in self._loops if question.looped]
        if looped:
            _, source = looped[0].looped
            public = [end.mapped[0] for end in self._ends]
            self._verdict["hairpin_source"] = "external" if source[0] in public else "internal"
            self._finish(True, None, now)
            return
        self.phase = PROVING
        self._pending = [self.questions.ask(end.flow, self.server, now) for end in self._ends]

    def _judge_hairpin(self, now):
        mapping = self._verdict["mapping"]
        if [q for q, end in zip(self._pending, self._ends) if q.mapped != end.mapped]:
            self._finish(None, _CHANGED, now)
        elif mapping != INDEPENDENT:
            # Each mapping differs towards ourselves, so a filter may have dropped what came.
            self._finish(None, "nothing came back, which may be the filter's doing", now)
        else:
            self._finish(False, None, now)

    # Results

    def _finish(self, hairpin, reason, now):
        self.phase = DONE
        self._verdict["hairpin"] = hairpin
        if reason is not None:
            self._verdict["hairpin_reason"] = reason
        self._end(self._verdict, now)

    def _end_unknown(self, reason, now):
        self._verdict = {"mapping": None, "reason": reason, "pooling": None}
        self._verdict.update({"port_preservation": None, "mapped": [], "local_ports": []})
        self._finish(None, reason, now)


def _mapped(question):
    return None if question is None else question.mapped


def _silence(question):
    """Why *question* has no answer that counts."""
    asked = text(question.destination)
    if question.error is not None:
        return "the server %s answers with error %d" % (asked, question.error)
    if question.strays:
        return "asked %s, and %s answered" % (asked, text(question.strays[0][1]))
    return "the server %s does not answer" % asked

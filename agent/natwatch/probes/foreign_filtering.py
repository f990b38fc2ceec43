"""What the NAT lets in, asked of somebody else's server: CHANGE-REQUEST (RFC 5780, section 4.4).

Such a server says nothing of what it sent. So "filtered" needs a positive control: the server was
seen to answer from the changed endpoint, to a socket that had contacted that endpoint itself and so
had opened the filter. That control works where the mapping does not depend on the destination, or
ports are kept; elsewhere silence stays unknown. And the line must have been alive: each try goes
out together with a plain request on another socket.
"""

from natwatch.probes.filtering import ADDRESS, PASSES, PORT, kind_of
from natwatch.probes.questions import GAPS, ONCE, Inquiry, other_of, text
from natwatch.probes.trials import FILTERED
from natwatch.wire import stun

_CHANGES = ((ADDRESS, stun.CHANGE_IP | stun.CHANGE_PORT), (PORT, stun.CHANGE_PORT))
_CONTROLLED = 3  # tries at least whose neighbouring control requests were answered
_CONTROL_FLOW = 0
_TRUST = (
    "the server does not say what it sent: silence is called filtered only where it was seen to"
    " answer so to a socket that it could reach"
)
_UNPROVEN = (
    "nothing shows that this server can answer from its %s:"
    " behind this NAT that cannot be told from filtering"
)


class ForeignFiltering(Inquiry):
    """Ask *server*, (address, port). The one result is a dict, see docs/telemetry.md."""

    def __init__(self, server, random):
        Inquiry.__init__(self, server, random)
        self._step = self._learn
        self._pending = []
        self._expected = {}  # name -> the endpoint that a changed answer comes from
        self._contacts = {}  # name -> the plain question to that endpoint
        self._proofs = {}  # name -> a CHANGE-REQUEST from a socket that contacted that endpoint
        self._trials = {ADDRESS: [], PORT: []}  # from sockets that did not
        self._controlled = {ADDRESS: [], PORT: []}  # for each trial whether the line was alive
        self._controls = []  # of the present round, in the order of the tries
        self._flow = _CONTROL_FLOW

    def start(self, now):
        self._started = now
        self._pending = [self.questions.ask(_CONTROL_FLOW, self.server, now)]

    def _progress(self, now):
        while not self.done:
            self._control(now)
            if [question for question in self._pending if not question.over]:
                return
            self._step(now)

    def _control(self, now):
        """One plain request on another socket with each try of a round, and one after the last."""
        trials = [self._trials[name][-1] for name in self._asked()]
        if self._step != self._judge or not trials:
            return
        tries = max([question.sent for question in trials])
        ended = not [question for question in trials if not question.over]
        if len(self._controls) < (tries + 1 if ended else tries):
            control = self.questions.ask(_CONTROL_FLOW, self.server, now, gaps=ONCE)
            self._controls.append(control)
            self._pending.append(control)

    def _asked(self):
        """The names that the present round asks: the first asks all, the second what was silent."""
        rounds = max([len(trials) for trials in self._trials.values()])
        return [name for name in (ADDRESS, PORT) if len(self._trials[name]) == rounds > 0]

    # The steps

    def _learn(self, now):
        first = self._pending[0]
        if first.answer is None:
            reason = "the server %s does not answer" % text(self.server)
            if first.strays:
                where = text(first.strays[0][1])
                reason = "asked %s, and %s answered" % (text(self.server), where)
            self._tell(None, reason, now)
            return
        other, reason = other_of(self.server, first.answer)
        if other is None:
            self._tell(None, reason, now)
            return
        self._expected = {ADDRESS: other, PORT: (self.server[0], other[1])}
        self._pending = []
        for name, _ in _CHANGES:
            self._flow += 1
            contact = self.questions.ask(self._flow, self._expected[name], now)
            self._contacts[name] = contact
            self._pending += [contact, self.questions.ask(self._flow, self.server, now)]
        self._step = self._prove

    def _prove(self, now):
        """Ask for changed answers where the filter must be open."""
        self._pending = []
        for name, change in _CHANGES:
            contact = self._contacts[name]
            if contact.answer is not None:
                self._proofs[name] = self._change(contact.flow, name, change, now)
        self._step = self._try

    def _try(self, now):
        """A round of trials from fresh sockets."""
        self._controls, self._pending = [], []
        first = not self._trials[ADDRESS]
        for name, change in _CHANGES:
            if first or self._outcome(name)[0] == FILTERED:
                self._flow += 1
                self._trials[name].append(self._change(self._flow, name, change, now))
        self._step = self._judge

    def _change(self, flow, name, change, now):
        attributes = [(stun.CHANGE_REQUEST, change)]
        expect = self._expected[name]
        question = self.questions.ask(flow, self.server, now, attributes, GAPS, expect)
        self._pending.append(question)
        return question

    def _judge(self, now):
        alive = [control.answer is not None for control in self._controls]
        for name in self._asked():
            tries = self._trials[name][-1].sent
            around = [i for i in range(tries) if i + 1 < len(alive) and alive[i] and alive[i + 1]]
            self._controlled[name].append(len(around) >= _CONTROLLED)
        outcomes = [self._outcome(name)[0] for name in (ADDRESS, PORT)]
        if FILTERED in outcomes and len(self._trials[ADDRESS] + self._trials[PORT]) == 2:
            self._try(now)
        else:
            self._conclude(now)

    # The result

    def _outcome(self, name):
        """(PASSES, FILTERED or None, the reason) of the trials of one name."""
        trials = self._trials[name]
        if [trial for trial in trials if trial.answer is not None]:
            return PASSES, None
        proof = self._proofs.get(name)
        if proof is None:
            return None, "the server's %s does not answer" % text(self._expected[name])
        for question in trials + [proof]:
            if question.error is not None:
                return None, "the server answers CHANGE-REQUEST with error %d" % question.error
            sources = [source for _, source in question.strays]
            if self.server in sources:
                return None, "the server ignores CHANGE-REQUEST"
            if sources:
                wanted = text(self._expected[name])
                return None, "an answer came from %s instead of %s" % (text(sources[0]), wanted)
        if proof.answer is None:
            return None, _UNPROVEN % name
        if False in self._controlled[name]:
            return None, "the line itself was silent"
        return FILTERED, None

    def _conclude(self, now):
        address, why_address = self._outcome(ADDRESS)
        port, why_port = self._outcome(PORT)
        filtering, reason = kind_of(address, port)
        self._tell(filtering, reason or why_address or why_port, now)

    def _tell(self, filtering, reason, now):
        result = {"filtering": filtering, "method": "change-request", "trust": _TRUST}
        result["seen"] = {}
        if self._trials[ADDRESS]:
            result["seen"] = dict([(name, self._outcome(name)[0]) for name in (ADDRESS, PORT)])
        if filtering is None:
            result["reason"] = reason
        self._end(result, now)

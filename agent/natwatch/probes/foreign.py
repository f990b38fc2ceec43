"""Lifetimes against somebody else's server: RESPONSE-PORT (RFC 5780, section 4.6).

Such a server pushes nothing later. So a tooth is two sockets: A makes the binding and idles; then
B, a fresh one, asks the server to answer to A's mapped port. What arrives at A proves life. Silence
means death only if

* the server was seen to do so with this NAT before: a first tooth asks after one second,
* the plain requests that B sends between its tries are all answered (the line is up),
* and B has A's public address: else the answer went to somebody else's port.

No audit tells whether a try was lost on its way, so three are made. Time is the device's own,
from the answer to A's set-up, which passed the NAT up to a round trip sooner.
"""

from natwatch.probes.addresses import Addresses
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.questions import ONCE, Questions, text
from natwatch.probes.teeth import (
    ALIVE,
    ASKING,
    AUDITING,
    COPIES,
    EXPIRED,
    GREETING,
    PAUSE,
    PAUSING,
    REPLIED,
    STREAM,
    UNKNOWN,
    WAITING,
    Tooth,
    enqueue,
)
from natwatch.wire import stun

KEY_CLASS = "udp/stun"
_APART = 200  # ms between two tries, and 100 from each to its control request, as for a push
_LEAD = 700  # ms before the question by which B asks for its own mapped address
_LEAD_GAPS = (250, 350)
_SET_UPS = 3  # fresh sockets for one tooth: a repeated request would leave the zero of time open
_TOO_LATE = 1000  # ms by which the pause of a stream may be late
_PROOF_ASK = 1000  # ms of silence after which RESPONSE-PORT must work, or is not believed
_PROOFS = 3
_TRUST = (
    "asked by RESPONSE-PORT of a server that tells nothing of what it sent:"
    " three tries lost one by one, with the line up between them, would look like an expiry"
)
_UNSUPPORTED = "the server does not support RESPONSE-PORT"


class ForeignSession:
    """What an engine reads of a session, where there is no reflector of ours."""

    def __init__(self, server, random):
        self.endpoint = server
        self.random = random
        self.bytes = 0
        self.mapped = None
        self.trouble = None

    def ready(self, now):
        return True


class _ForeignTooth(Tooth):
    """A Tooth with its two sockets and what they asked."""

    def __init__(self, number, ask, comb, random):
        Tooth.__init__(self, number, ask, comb, random(12))
        self.flow = None  # A
        self.asker = None  # B
        self.set_ups = 0
        self.question = None  # the exchange that A awaits
        self.zero = None  # when the answer came from which on A is silent
        self.controls = []  # B's plain questions
        self.tries = []  # B's questions with RESPONSE-PORT


class ForeignTeeth:
    """Has the calls of teeth.Teeth, for *server*, (address, port); *state* is REPLIED or STREAM."""

    def __init__(self, server, state, pace, random):
        if state not in (REPLIED, STREAM):
            raise ValueError("expected state replied or stream, found %r" % (state,))
        self.endpoint = server
        self.state = state
        self.pace = pace
        self.bindings = 0
        self.most_at_once = 0
        self.proven = False
        self.unsupported = None  # why RESPONSE-PORT cannot be used
        self._random = random
        self._questions = Questions(random)
        self._addresses = Addresses()
        self._queue = []  # (not before, tooth), in order
        self._open = {}  # number -> tooth
        self._number = 0
        self._flow = 0
        self._next_opening = 0
        self._finished = []
        self._proof = None  # the tooth that shows that RESPONSE-PORT works
        self._proofs = 0

    @property
    def bytes(self):
        return self._questions.bytes

    @property
    def counters(self):
        return self._questions.counters

    # As in Teeth

    def add(self, ask, comb=0, not_before=0):
        """Queue a tooth that asks at *ask* ms of silence, opened at *not_before*. Returns it."""
        self._number += 1
        tooth = _ForeignTooth(self._number, ask, comb, self._random)
        enqueue(self._queue, not_before, tooth)
        return tooth

    def at_once(self):
        return len(self._open)

    def moved(self, since):
        return self._addresses.moved(since)

    def waiting(self, comb=None):
        teeth = [tooth for _, tooth in self._queue] + list(self._open.values())
        teeth = [tooth for tooth in teeth if tooth is not self._proof]
        return [tooth for tooth in teeth if comb is None or tooth.comb == comb]

    def cancel(self, now, reason):
        self._queue = []
        for tooth in list(self._open.values()):
            self._finish(tooth, UNKNOWN, now, reason)

    def take_finished(self):
        finished, self._finished = self._finished, []
        return finished

    def take_sends(self):
        return self._questions.take_sends()

    def notice(self, notice, now):
        """There is no control flow to hear from."""

    def receive(self, flow, data, source, now):
        question = self._questions.receive(flow, data, source, now)
        if question is not None and question.answered == now:
            self._addresses.seen(question.mapped[0], now)
        self._go_on(now)

    def next_timer(self):
        timers = [tooth.timer for tooth in self._open.values() if tooth.timer is not None]
        if self._questions.next_timer() is not None:
            timers.append(self._questions.next_timer())
        if self._queue and (self.proven or self.unsupported or self._proof is None):
            timers.append(max(self._next_opening, self._queue[0][0]))
        return min(timers) if timers else None

    def handle_timer(self, now):
        self._questions.handle_timer(now)
        self._go_on(now)
        if not self._queue or now < max(self._next_opening, self._queue[0][0]):
            return
        if self.unsupported:
            for _, tooth in self._queue:
                tooth.phase, tooth.reason, tooth.ended = UNKNOWN, self.unsupported, now
                self._finished.append(tooth)
            self._queue = []
        elif self.proven:
            self._begin(self._queue.pop(0)[1], now)
            self._next_opening = now + self.pace
        elif self._proof is None:
            self._proofs += 1
            self._proof = _ForeignTooth(-self._proofs, _PROOF_ASK, None, self._random)
            self._begin(self._proof, now)

    # One tooth

    def _begin(self, tooth, now):
        self._open[tooth.number] = tooth
        self.most_at_once = max(self.most_at_once, len(self._open))
        tooth.opened = now
        self._set_up(tooth, now)

    def _new_flow(self):
        self._flow += 1
        self.bindings += 1
        return self._flow

    def _set_up(self, tooth, now):
        tooth.set_ups += 1
        tooth.flow = self._new_flow()
        tooth.phase = GREETING if self.state == STREAM else ASKING
        self._ask(tooth, now)

    def _ask(self, tooth, now):
        tooth.timer = None
        tooth.question = self._questions.ask(tooth.flow, self.endpoint, now, gaps=ONCE)

    def _go_on(self, now):
        for tooth in list(self._open.values()):
            if tooth.phase in (GREETING, ASKING):
                self._await_answer(tooth, now)
            elif tooth.phase == PAUSING:
                self._pause(tooth, now)
            elif tooth.phase == WAITING:
                self._wait(tooth, now)
            else:
                self._spend(tooth, now)

    def _await_answer(self, tooth, now):
        question = tooth.question
        if not question.over:
            return
        if question.answer is None:
            self._questions.close(tooth.flow, self.endpoint)
            if tooth.set_ups < _SET_UPS:
                self._set_up(tooth, now)
                return
            reason = "no answer to the set-up"
            if question.strays:
                answerer = text(question.strays[0][1])
                reason = "asked %s, and %s answered" % (text(self.endpoint), answerer)
            self._finish(tooth, UNKNOWN, now, reason)
        elif tooth.phase == GREETING:
            tooth.mapped = question.mapped
            tooth.phase = PAUSING
            tooth.timer = question.answered + PAUSE
        elif tooth.mapped is not None and tooth.mapped != question.mapped:
            reason = "the mapped address changed during the set-up"
            self._finish(tooth, UNKNOWN, now, reason)
        else:
            tooth.mapped = question.mapped
            tooth.zero = question.answered
            tooth.slack = question.answered - question.first
            tooth.due = tooth.zero + tooth.ask
            tooth.phase = WAITING
            tooth.timer = tooth.due - _LEAD

    def _pause(self, tooth, now):
        if now - tooth.timer > _TOO_LATE:
            # A box that slept: the binding may have died and been made anew meanwhile.
            self._finish(tooth, UNKNOWN, now, "the pause took too long")
        elif now >= tooth.timer:
            tooth.phase = ASKING
            self._ask(tooth, now)

    def _wait(self, tooth, now):
        """Before the question B learns its own mapped address, and whether the line is up."""
        if tooth.asker is None:
            if now >= tooth.timer:
                tooth.asker = self._new_flow()
                control = self._questions.ask(tooth.asker, self.endpoint, now, gaps=_LEAD_GAPS)
                tooth.controls.append(control)
                tooth.timer = None
            return
        control = tooth.controls[0]
        if not control.over:
            return
        if control.answer is None:
            self._finish(tooth, UNKNOWN, now, "no answer to a control request: the line was silent")
        elif control.mapped[0] != tooth.mapped[0]:
            # An answer would go to a port of that address, which may be another customer's.
            reason = "two sockets have different public addresses, %s and %s"
            addresses = (tooth.mapped[0], control.mapped[0])
            self._finish(tooth, UNKNOWN, now, reason % addresses)
        else:
            tooth.phase = AUDITING
            tooth.timer = max(now, tooth.due)

    def _spend(self, tooth, now):
        """Tries and control requests in turn, then the verdict."""
        verdict = self._early_verdict(tooth)
        if verdict is not None:
            self._finish(tooth, verdict[0], now, verdict[1])
        elif tooth.timer is not None and now >= tooth.timer:
            if len(tooth.controls) > len(tooth.tries):
                value = bytes([tooth.mapped[1] >> 8, tooth.mapped[1] & 255])
                attributes = [(stun.RESPONSE_PORT, value)]
                question = self._questions.ask(
                    tooth.asker, self.endpoint, now, attributes, ONCE, back=tooth.flow
                )
                tooth.tries.append(question)
            else:
                control = self._questions.ask(tooth.asker, self.endpoint, now, gaps=ONCE)
                tooth.controls.append(control)
            done = len(tooth.controls) > COPIES
            tooth.timer = None if done else now + _APART // 2
        elif tooth.timer is None and not self._under_way(tooth):
            self._judge_silence(tooth, now)

    def _under_way(self, tooth):
        return [question for question in tooth.tries + tooth.controls if not question.over]

    def _early_verdict(self, tooth):
        for question in tooth.tries:
            if question.answer is not None:
                tooth.idle = question.first - tooth.zero
                return ALIVE, None
            if question.error is not None:
                self.unsupported = "%s: error %d" % (_UNSUPPORTED, question.error)
                return UNKNOWN, self.unsupported
            if (tooth.asker, self.endpoint) in question.strays:
                self.unsupported = _UNSUPPORTED + ": it answers to where the request came from"
                return UNKNOWN, self.unsupported
            if question.strays:
                source = text(question.strays[0][1])
                return UNKNOWN, "asked %s, and %s answered" % (text(self.endpoint), source)
        return None

    def _judge_silence(self, tooth, now):
        lost = [control for control in tooth.controls if control.answer is None]
        moved = [c for c in tooth.controls if c.answer and c.mapped != tooth.controls[0].mapped]
        if lost:
            self._finish(tooth, UNKNOWN, now, "no answer to a control request: the line was silent")
        elif moved:
            self._finish(tooth, UNKNOWN, now, "the mapped address changed during the question")
        else:
            # The NAT saw the last packet up to a round trip before zero, and the answer to the
            # last try up to a round trip after that was sent.
            trips = [control.answered - control.first for control in tooth.controls[1:]]
            tooth.idle = tooth.tries[-1].first - tooth.zero
            tooth.slack += max(trips)
            self._finish(tooth, EXPIRED, now)

    def _finish(self, tooth, phase, now, reason=None):
        tooth.phase, tooth.reason, tooth.ended, tooth.timer = phase, reason, now, None
        del self._open[tooth.number]
        for flow in (tooth.flow, tooth.asker):
            if flow is not None:
                self._questions.close(flow, self.endpoint)
        if tooth is self._proof:
            self._take_proof(tooth)
        else:
            self._finished.append(tooth)

    def _take_proof(self, tooth):
        self._proof = None
        if tooth.phase == ALIVE:
            self.proven = True
        elif self.unsupported is None and self._proofs >= _PROOFS:
            reason = tooth.reason
            if tooth.phase == EXPIRED:
                reason = _UNSUPPORTED + ": after a second of silence no answer came"
            self.unsupported = reason


class ForeignLifetime(Lifetime):
    """Measure the lifetime of bindings to *server*, (address, port), in *state*; see Lifetime."""

    def __init__(self, server, state, limit, bindings, pace, random):
        session = ForeignSession(server, random)
        teeth = ForeignTeeth(server, state, pace, random)
        Lifetime.__init__(self, session, (KEY_CLASS, state), limit, bindings, pace, teeth=teeth)

    def _tell(self, measurement, bracket, method, cost, reason=None, sip=()):
        Lifetime._tell(self, measurement, bracket, "response-port", cost, reason, sip)
        self._results[-1]["trust"] = _TRUST

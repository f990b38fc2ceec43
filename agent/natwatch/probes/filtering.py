"""What the NAT, or a firewall, lets in: RFC 4787, section 5, asked of our own reflector.

A fresh socket asks the reflector for one push from another endpoint, which this socket never
contacted. What arrives, from the right source, is proof. That nothing arrives is "filtered" only if

* the endpoint in question answered another socket of ours before (else it may be unreachable),
* the reflector says that it sent all copies, and a witness from between them came,
* a push from the endpoint that was asked came to a sibling socket (the binding lived so long),
* and a second fresh socket saw the same.

Anything else is unknown, with the reason.
"""

from natwatch.probes.questions import Inquiry, other_of, text
from natwatch.probes.teeth import ALIVE, ASKING, AUDITING, COPIES, COPY_SPAN, UNKNOWN, WAITING
from natwatch.wire import stun

INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
PORT_DEPENDENT = "address-and-port-dependent"
PASSES, FILTERED = "passes", "filtered"

# What is asked for, by the name that the result uses.
SAME, PORT, ADDRESS, MEDIA = "same endpoint", "other port", "other address", "media port"
SOURCES = (
    (SAME, 0),
    (PORT, stun.CHANGE_PORT),
    (ADDRESS, stun.CHANGE_IP | stun.CHANGE_PORT),
    (MEDIA, stun.CHANGE_IP | stun.ANY_PORT),
)

_DELAY = 1000  # ms from the answer to the push
_REPEATS = (500, 1000, 1800)  # ms after the first sending; then the set-up is given up
_GRACE = 250  # ms past the last copy before silence counts
_AUDIT_TIME = 8000  # ms to wait for the audit
_READY_TIME = 60000  # ms to wait for the control flow
_POLL = 200
_TRUST = "pushes that the reflector says it sent, with witnesses beside them"


def kind_of(address, port):
    """(filtering behaviour or None, the reason or None), from what became of datagrams from the
    other *address* and from the other *port* of the same: PASSES, FILTERED or None."""
    if address == PASSES and port == FILTERED:
        return None, "what comes from the other address passes, and from the other port it does not"
    if address == PASSES:
        return INDEPENDENT, None
    if address == FILTERED and port == PASSES:
        return ADDRESS_DEPENDENT, None
    if address == FILTERED and port == FILTERED:
        return PORT_DEPENDENT, None
    return None, None


class _Trial:
    """One socket and the push that it asked for. Times are ms."""

    def __init__(self, flow, name, source, expect, txid):
        self.flow = flow
        self.name = name
        self.source = source
        self.expect = expect  # (address, lowest port, highest port) that the push must come from
        self.txid = txid
        self.phase = ASKING
        self.first_sent = None
        self.sent = 0
        self.timer = None
        self.witnessed = False
        self.reason = None

    @property
    def over(self):
        return self.phase in (ALIVE, FILTERED, UNKNOWN)

    def finish(self, phase, reason=None):
        self.phase = phase
        self.reason = reason
        self.timer = None


class Filtering(Inquiry):
    """Ask the reflector of *session*. The one result is a dict, see docs/telemetry.md."""

    def __init__(self, session):
        Inquiry.__init__(self, session.endpoint, session.random)
        self.session = session
        self._step = self._learn
        self._pending = []
        self._other = ("", 0)
        self._reachable = {}  # name -> None, or the reason why it cannot be asked
        self._flow = 1
        self._trials = []  # of both rounds
        self._round = 0
        self._patience = None  # until when the control flow is waited for
        self._poll = None

    def start(self, now):
        self._started = now
        self._pending = [self.questions.ask(0, self.server, now)]

    # The loop's calls

    def receive(self, flow, data, source, now):
        trial = self._trial_of(flow)
        if trial is None:
            self.questions.receive(flow, data, source, now)
        else:
            self.questions.bytes += len(data) + 28
            self._take(trial, data, source, now)
        self._go_on(now)

    def next_timer(self):
        timers = [trial.timer for trial in self._trials if trial.timer is not None]
        timers += [timer for timer in (self._poll, Inquiry.next_timer(self)) if timer is not None]
        return min(timers) if timers else None

    def handle_timer(self, now):
        for trial in self._trials:
            if trial.timer is not None and now >= trial.timer:
                self._expire(trial, now)
        Inquiry.handle_timer(self, now)

    def notice(self, notice, now):
        kind = notice[0]
        if kind == "restarted":
            for trial in self._trials:
                if not trial.over:
                    trial.finish(UNKNOWN, "the reflector restarted")
        elif kind in ("witness", "record"):
            for trial in self._trials:
                if trial.txid == notice[1].txid and kind == "witness":
                    trial.witnessed = True
                elif trial.txid == notice[1].txid and trial.phase == AUDITING:
                    self._judge(trial, notice[1])
        self._go_on(now)

    def _trial_of(self, flow):
        for trial in self._trials:
            if trial.flow == flow:
                return trial
        return None

    def _progress(self, now):
        while not self.done and not [q for q in self._pending if not q.over]:
            if self._poll is not None and now < self._poll:
                return
            self._poll = None
            before = self._step
            self._step(now)
            if self._step == before:
                return

    # The steps

    def _learn(self, now):
        """The reflector's other endpoint, and whether a socket of ours can hear from it."""
        first = self._pending[0]
        if first.answer is None:
            self._tell(None, "the reflector %s does not answer" % text(self.server), now)
            return
        other, reason = other_of(self.server, first.answer)
        if other is None:
            self._tell(None, reason, now)
            return
        self._other = other
        media = (other[0], self.session.ports["udp/rtp"][0])
        endpoints = ((self.server[0], other[1]), other, media)
        self._pending = [self.questions.ask(1, endpoint, now) for endpoint in endpoints]
        self._step = self._control

    def _control(self, now):
        for name, question in zip((PORT, ADDRESS, MEDIA), self._pending):
            if question.answer is None:
                reason = "the reflector's %s does not answer" % text(question.destination)
                self._reachable[name] = reason
        self._pending = []
        self.questions.close(0, self.server)
        self.questions.close(1, self.server)
        self._patience = now + _READY_TIME
        self._step = self._open

    def _open(self, now):
        """A round of trials, once the control flow has a nonce."""
        if not self.session.ready(now):
            self._poll = now + _POLL
            if now >= self._patience:
                self._tell(None, self.session.trouble or "the control flow is silent", now)
            return
        self._round += 1
        for name, source in SOURCES:
            if name in self._reachable:
                continue
            if self._round == 2 and name != SAME and self._last(name).phase != FILTERED:
                continue
            self._flow += 1
            trial = _Trial(self._flow, name, source, self._expected(name), self.random(12))
            self._trials.append(trial)
            self._send(trial, now)
        self._step = self._wait

    def _wait(self, now):
        if [trial for trial in self._trials if not trial.over]:
            return
        filtered = [t for t in self._trials if t.phase == FILTERED and t.name != SAME]
        if self._round == 1 and filtered and self._last(SAME).phase == ALIVE:
            self._patience = now + _READY_TIME
            self._step = self._open
        else:
            self._conclude(now)

    # One trial

    def random(self, size):
        return self.session.random(size)

    def _last(self, name):
        return [trial for trial in self._trials if trial.name == name][-1]

    def _expected(self, name):
        here, there = self.server, self._other
        return {
            SAME: (here[0], here[1], here[1]),
            PORT: (here[0], there[1], there[1]),
            ADDRESS: (there[0], there[1], there[1]),
            MEDIA: (there[0],) + self.session.ports["udp/rtp"],
        }[name]

    def _send(self, trial, now):
        hold = stun.Hold(True, _DELAY, COPIES, trial.source, self.session.tag)
        data = self.session.hold_request(trial.txid, hold)
        self.questions.send(trial.flow, data, self.server)
        if trial.first_sent is None:
            trial.first_sent = now
        trial.timer = trial.first_sent + _REPEATS[trial.sent]
        trial.sent += 1

    def _expire(self, trial, now):
        if trial.phase == ASKING and trial.sent < len(_REPEATS):
            self._send(trial, now)
        elif trial.phase == ASKING:
            self.session.cancel(trial.txid)
            trial.finish(UNKNOWN, "no answer to the set-up")
        elif trial.phase == WAITING:
            trial.phase = AUDITING
            trial.timer = now + _AUDIT_TIME
            self.session.audit(trial.txid)
        else:
            trial.finish(UNKNOWN, "the reflector did not answer the audit")

    def _take(self, trial, data, source, now):
        try:
            message = stun.parse(data)
            if trial.over or message.txid != trial.txid or not message.authentic(self.session.key):
                return
            if message.klass == stun.SUCCESS and source == self.server:
                # The answer to a repeated request: the reflector counts from this one.
                if trial.phase in (ASKING, WAITING):
                    trial.phase = WAITING
                    due = now + _DELAY
                    trial.timer = due + COPY_SPAN + _GRACE + 2 * self.session.rtt
                    self.session.keep_fresh(due)
            elif message.klass == stun.INDICATION and message.has(stun.PUSH):
                address, lowest, highest = trial.expect
                if source[0] == address and lowest <= source[1] <= highest:
                    trial.finish(ALIVE)
                else:
                    wanted = text((address, lowest))
                    reason = "a push came from %s instead of %s" % (text(source), wanted)
                    trial.finish(UNKNOWN, reason)
        except stun.StunError:
            pass  # a stranger's; the trial's own answers still come

    def _judge(self, trial, record):
        if record.outcome != stun.PUSHED or record.copies < COPIES:
            outcome = stun.OUTCOMES[record.outcome]
            reason = "the reflector says: %s, %d copies" % (outcome, record.copies)
            trial.finish(UNKNOWN, reason)
        elif not trial.witnessed:
            trial.finish(UNKNOWN, "no witness: the line itself was silent")
        else:
            trial.finish(FILTERED)

    # The result

    def _outcome(self, name):
        """(PASSES, FILTERED or None, the reason) of all trials of one name."""
        if name in self._reachable:
            return None, self._reachable[name]
        trials = [trial for trial in self._trials if trial.name == name]
        if [trial for trial in trials if trial.phase == ALIVE]:
            return PASSES, None
        if [trial for trial in self._trials if trial.name == SAME and trial.phase != ALIVE]:
            return None, self._last(SAME).reason or "no push came even from the endpoint asked"
        if len(trials) == 2 and trials[0].phase == trials[1].phase == FILTERED:
            return FILTERED, None
        return None, trials[-1].reason

    def _conclude(self, now):
        address, why_address = self._outcome(ADDRESS)
        port, why_port = self._outcome(PORT)
        media, why_media = self._outcome(MEDIA)
        filtering, reason = kind_of(address, port)
        if PASSES in (address, media) and FILTERED in (address, media):
            filtering = None
            reason = "of two ports of the other address one passes and one does not"
        elif filtering is None and reason is None:
            reason = (address is None and why_address) or why_port or why_media
        self._tell(filtering, reason, now, {PORT: port, ADDRESS: address, MEDIA: media})

    def _tell(self, filtering, reason, now, seen=None):
        result = {"filtering": filtering, "method": "hold", "trust": _TRUST, "seen": seen or {}}
        if filtering is None:
            result["reason"] = reason
        self._end(result, now)

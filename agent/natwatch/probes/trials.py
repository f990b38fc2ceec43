"""Trials: fresh sockets that each ask the reflector for one push, and what becomes of it.

What arrives, from the right source, is proof. That nothing arrives is FILTERED only if the
reflector says that it sent all copies, and a witness from between them came; else it is UNKNOWN,
with the reason. Who asks what, and what follows, is the business of the engine made of them.
"""

from natwatch.probes.questions import Inquiry, text
from natwatch.probes.teeth import ALIVE, ASKING, AUDITING, COPIES, COPY_SPAN, UNKNOWN, WAITING
from natwatch.wire import stun

FILTERED = "filtered"

_DELAY = 1000  # ms from the answer to the push
_REPEATS = (500, 1000, 1800)  # ms after the first sending; then the set-up is given up
_GRACE = 250  # ms past the last copy before silence counts
_AUDIT_TIME = 8000  # ms to wait for the audit
_READY_TIME = 60000  # ms to wait for the control flow
_POLL = 200


class Trial:
    """One socket and the push that it asked for. Times are ms.

    *source*: as in stun.Hold. *expect*: (address, lowest port, highest port) that the push must
    come from.
    """

    def __init__(self, name, source, expect):
        self.name = name
        self.source = source
        self.expect = expect
        self.delay = _DELAY
        self.refresh = None  # a stun.Refresh: the reflector sends what may or may not come so far
        self.reached = False  # whether it came
        self.flow = None
        self.txid = None
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


class Trials(Inquiry):
    """An engine of plain questions and trials, step by step. *session*: the control flow.

    ``_step`` is what to do when no question of ``_pending`` is open, ``_learn`` to begin with. A
    step sets the next one, or leaves it as it is and is called again.
    """

    def __init__(self, session):
        Inquiry.__init__(self, session.endpoint, session.random)
        self.session = session
        self._step = self._learn
        self._pending = []
        self._trials = []
        self._flow = 1  # 0 and 1 are for plain questions
        self._patience = None  # until when the control flow is waited for
        self._poll = None

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

    def _progress(self, now):
        while not self.done and not [q for q in self._pending if not q.over]:
            if self._poll is not None and now < self._poll:
                return
            self._poll = None
            before = self._step
            self._step(now)
            if self._step == before:
                return

    # For the steps

    def _learn(self, now):
        """The first step: the first plain question was answered, or was not."""
        raise NotImplementedError

    def start(self, now):
        self._started = now
        self._pending = [self.questions.ask(0, self.server, now)]

    def _ready(self, now):
        """(whether trials may be opened, None), or (False, why they never will be)."""
        if self.session.ready(now):
            self._patience = None
            return True, None
        if self._patience is None:
            self._patience = now + _READY_TIME
        self._poll = now + _POLL
        reason = self.session.trouble or "the control flow is silent"
        return False, None if now < self._patience else reason

    def _open(self, trial, now):
        """Open *trial* on a socket of its own; only when _ready()."""
        self._flow += 1
        trial.flow, trial.txid = self._flow, self.random(12)
        self._trials.append(trial)
        self._send(trial, now)

    def _answered(self, trial, now):
        """*trial* was answered, and its push will come."""

    # One trial

    def random(self, size):
        return self.session.random(size)

    def _trial_of(self, flow):
        for trial in self._trials:
            if trial.flow == flow:
                return trial
        return None

    def _send(self, trial, now):
        hold = stun.Hold(True, trial.delay, COPIES, trial.source, self.session.tag)
        data = self.session.hold_request(trial.txid, hold, refresh=trial.refresh)
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
                    due = now + trial.delay
                    trial.timer = due + COPY_SPAN + _GRACE + 2 * self.session.rtt
                    self.session.keep_fresh(due)
                    self._answered(trial, now)
            elif message.klass == stun.INDICATION and message.has(stun.REFRESH):
                trial.reached = True
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

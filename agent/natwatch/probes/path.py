"""How many routers stand between here and the reflector, and at which hop the outermost box that
keeps state: what the engine ``layers`` has to know beforehand.

Hops are counted from here, the gateway is hop 1. Three questions, asked side by side:

* out: with which IP TTL our requests arrive at the reflector (it says so);
* back: the least TTL with which a datagram of the reflector's comes all the way;
* the outermost box that filters: hole punching with small TTLs. A socket asks for a push from the
  reflector's other endpoint, and sends something there which dies at hop k. Every box that filters
  and stands before hop k has then seen us talk to that endpoint, and lets the push in; a box
  further out has not. So the least k with which the push comes is one more than the hop of the
  outermost. (Linux notes a new flow only once it has forwarded it; where a box notes it on
  arrival, k is its hop: the answer is k - 1 or k.)

A box that filters nothing, as carriers' NATs need not, lets every push in and is not seen so.
Where filtering is endpoint-independent everywhere, or each destination gets another port, the last
question has no answer: then the lifetimes themselves must tell (natwatch.probes.layers).
"""

from natwatch.probes.questions import other_of, text
from natwatch.probes.teeth import ALIVE, UNKNOWN
from natwatch.probes.trials import Trial, Trials
from natwatch.wire import stun

FARTHEST = 16  # hops from here at which an outermost box is looked for
_SYSTEMS = (64, 128, 255)  # TTLs with which systems send
_AROUND = 4  # hops by which the way back may differ from the way out, to begin with
_ROUNDS = 3
_PUNCHES = (300, 600)  # ms after the answer; the push comes at 1,000
_REFRESH = 500  # ms
_LISTEN = 2200  # ms: four datagrams of the reflector's, of which one would do


def hops_out(ttl):
    """How many routers took one off a TTL that arrived as *ttl*; None if that is None."""
    if ttl is None:
        return None
    return min([system for system in _SYSTEMS if system >= ttl] or [255]) - ttl


def outermost(passed, routers):
    """((first, last) hop of the outermost box or None, the reason or None).

    *passed*: {k: True, False or None} for pushes after something was sent with TTL k, 0: nothing
    was sent. The largest k stands for a datagram that went all the way. *routers*: how many there
    are, None: not known.
    """
    most = max(passed)
    if passed[0]:
        return None, "what comes from endpoints that were never contacted passes as well"
    if not passed[most]:
        return None, "what comes from another endpoint does not pass even once it was contacted"
    if [k for k in passed if passed[k] is None]:
        return None, "some pushes have an unknown fate"
    least = min([k for k in passed if passed[k]])
    if [k for k in passed if k > least and not passed[k]]:
        return None, "pushes came and stayed away without order"
    if least == most and routers is None or least > FARTHEST:
        return None, "it stands farther away than %d hops" % (most - 2)
    last = least if routers is None else min(least, routers)
    return (max(1, least - 1), last), None


class Path(Trials):
    """Ask the reflector of *session*. The one result: {"hops": {"out", "back"}, each a count of
    routers or None; "outermost": [first, last] or None; "open": whether nothing filters; "reason"}.
    """

    def __init__(self, session):
        Trials.__init__(self, session)
        self._other = ("", 0)
        self._why = None  # the outermost box cannot be looked for, and why
        self._out = None
        self._tried = {}  # TTL of the reflector's -> [Trial, …]
        self._punched = {}  # TTL of ours -> [Trial, …]
        self._ttls = {}  # flow of a punch -> TTL, None: the system's
        self._planned = []  # (when, flow, TTL)
        self._rounds = 0

    def next_timer(self):
        timers = [Trials.next_timer(self)] + [when for when, _, _ in self._planned[:1]]
        timers = [timer for timer in timers if timer is not None]
        return min(timers) if timers else None

    def handle_timer(self, now):
        while self._planned and now >= self._planned[0][0]:
            _, flow, ttl = self._planned.pop(0)
            data = stun.build(stun.INDICATION, self.random(12), [], fingerprint=False)
            self.questions.send(flow, data, self._other, ttl)
        Trials.handle_timer(self, now)

    # The steps

    def _learn(self, now):
        """The reflector's other endpoint, and whether a socket of ours can hear from it."""
        first = self._pending[0]
        if first.answer is None:
            self._tell(now, "the reflector %s does not answer" % text(self.server))
            return
        self._pending = []
        self._step = self._ask
        other, self._why = other_of(self.server, first.answer)
        if other is not None:
            self._other = other
            self._pending = [self.questions.ask(1, other, now)]

    def _ask(self, now):
        """A round of trials, once the control flow has a nonce."""
        ready, reason = self._ready(now)
        if not ready:
            if reason is not None:
                self._tell(now, reason)
            return
        if self._pending and self._pending[0].answer is None:
            self._why = "the reflector's %s does not answer" % text(self._other)
        self._pending = []
        self.questions.close(0, self.server)
        self.questions.close(1, self.server)
        self._rounds += 1
        self._out = hops_out(self.session.ttl)
        for ttl in self._back_next():
            self._try_back(ttl, now)
        for ttl in self._punch_next():
            self._try_punch(ttl, now)
        self._step = self._wait

    def _wait(self, now):
        if [trial for trial in self._trials if not trial.over]:
            return
        if self._rounds < _ROUNDS and (self._back_next() or self._punch_next()):
            self._step = self._ask
        else:
            self._tell(now)

    # The way back

    def _try_back(self, ttl, now):
        trial = Trial("back", 0, (self.server[0], self.server[1], self.server[1]))
        trial.delay = _LISTEN
        trial.refresh = stun.Refresh(ttl, _REFRESH)
        self._tried.setdefault(ttl, []).append(trial)
        self._open(trial, now)

    def _back_next(self):
        """The TTLs to try now; none if the answer is known."""
        if not self._tried:
            middle = FARTHEST // 2 if self._out is None else self._out
            low, high = middle + 1 - _AROUND, middle + 1 + _AROUND
        elif self._back() is not None:
            # All that came with a TTL less may have been lost in one burst: a second one decides.
            below = self._back()
            return [below] if len(self._tried.get(below, [])) == 1 else []
        elif self._reached():
            low, high = min(self._tried) - 2 * _AROUND, min(self._tried) - 1
        else:
            low, high = max(self._tried) + 1, max(self._tried) + 2 * _AROUND
        return [ttl for ttl in range(max(1, low), high + 1) if ttl not in self._tried]

    def _reached(self):
        trials = self._tried
        return [ttl for ttl in trials if [trial for trial in trials[ttl] if trial.reached]]

    def _back(self):
        """Routers on the way back: of the reflector's TTLs the least that came, less one."""
        reached = self._reached()
        if not reached:
            return None
        least = min(reached)
        if least == 1:
            return 0
        # It would have come: the push on the same socket did.
        silent = [trial for trial in self._tried.get(least - 1, []) if trial.phase == ALIVE]
        return least - 1 if silent else None

    # The outermost box

    def _try_punch(self, ttl, now):
        address, number = self._other
        trial = Trial("punch", stun.CHANGE_IP | stun.CHANGE_PORT, (address, number, number))
        self._punched.setdefault(ttl, []).append(trial)
        self._open(trial, now)
        self._ttls[trial.flow] = None if ttl == self._most() else ttl

    def _most(self):
        """What stands for a datagram that goes all the way, among the TTLs of punches."""
        out = self._out
        return 1 + (FARTHEST if out is None else min(FARTHEST, out))

    def _punch_next(self):
        """The TTLs to try now: all at first, then those of which nothing is known."""
        if self._why is not None:
            return []
        if not self._punched:
            return range(self._most() + 1)
        passed = self._passed()
        came = [ttl for ttl in passed if passed[ttl]]
        least = min(came) if came else None
        again = [ttl for ttl in sorted(passed) if passed[ttl] is None]
        for ttl in sorted(passed):
            # Both datagrams that were to open the way may have been lost: a second socket decides.
            doubted = least is not None and passed[ttl] is False and ttl >= least - 1
            if doubted and len(self._punched[ttl]) == 1:
                again.append(ttl)
        return again

    def _answered(self, trial, now):
        if trial.name == "punch":
            ttl = self._ttls[trial.flow]
            if ttl != 0:
                self._planned += [(now + wait, trial.flow, ttl) for wait in _PUNCHES]
                self._planned.sort(key=lambda entry: entry[0])

    def _passed(self):
        """{TTL: whether the push came, None if nobody knows}. One that came is proof."""
        fates = {}
        for ttl in self._punched:
            phases = [trial.phase for trial in self._punched[ttl]]
            fates[ttl] = True if ALIVE in phases else None if phases[-1] == UNKNOWN else False
        return fates

    # The result

    def _tell(self, now, reason=None):
        found = None
        passed = self._passed() if self._punched else {}
        if passed:
            found, self._why = outermost(passed, self._out)
        result = {
            "hops": {"out": self._out, "back": self._back() if self._tried else None},
            "outermost": None if found is None else list(found),
            "open": passed.get(0) is True,
            "reason": reason or self._why,
        }
        self._end(result, now)

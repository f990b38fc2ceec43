"""How long the NAT keeps a binding of one port class and state: comb, then refine.

A doubling search with bisection costs about T·(4+log2(T/r)). This one asks many bindings at
once: a geometric comb ends at its first dead tooth (about 1.1 T), a linear comb inside that
bracket ends at its own (about T more).

To confirm a change, the first comb is a *twin*: two combs side by side, interleaved, on bindings
of their own, each with a result of its own. They are the two independent measurements that the
collector asks for.
"""

from natwatch.probes.bracket import FLOOR, confirming, geometric, linear, weigh
from natwatch.probes.teeth import COPY_SPAN, Teeth

CLASSES = {"udp/sip": 5060, "udp/stun": 3478}

COMB, REFINE, DONE = "comb", "refine", "done"

_STEP = 500  # ms between refining teeth: with the copies' 400 ms a bracket stays under 1 s
_NARROW = 1000  # ms
_PASSES = 4  # refining combs before the bracket is taken as it is
_REFUTED_COMBS = 2  # how often a bracket may be contradicted before the answer is "unknown"


class Lifetime:
    """Measure one key. *key* is (class, state).

    *limit* is the search limit in ms, *bindings* how many may be open at once, *pace* the ms
    between two openings. *below* (ms) asks for a confirmation: the lifetime is now thought to
    lie below it. Results are dicts as in docs/telemetry.md, times in seconds.
    """

    def __init__(self, session, key, limit, bindings, pace, below=None):
        self.session = session
        self.key = key
        self.limit = limit
        self.bindings = bindings
        self.below = below
        self.teeth = Teeth(session, CLASSES[key[0]], key[1], pace)
        self.phase = None
        self.bracket = None
        self.done = False
        self._spent = []
        self._confirmed = []
        self._passes = 0
        self._refuted = 0
        self._started = None
        self._bytes_before = None
        self._results = []

    # The engine's calls

    def start(self, now):
        self._started = now
        self._bytes_before = self.session.bytes
        self._comb(FLOOR)

    def receive(self, flow, data, source, now):
        self.teeth.receive(flow, data, source, now)
        self._progress(now)

    def notice(self, notice, now):
        self.teeth.notice(notice, now)
        self._progress(now)

    def next_timer(self):
        return self.teeth.next_timer()

    def handle_timer(self, now):
        self.teeth.handle_timer(now)
        self._progress(now)

    def take_sends(self):
        return self.teeth.take_sends()

    def take_results(self):
        results, self._results = self._results, []
        return results

    def progress(self, now):
        """What goes on: phase, longest silence survived (ms), open teeth, ms left at most."""
        bracket = weigh(self._spent)
        waiting = self.teeth.waiting()
        ends = [tooth.due - now for tooth in waiting if tooth.due is not None]
        left = max(ends) + COPY_SPAN if ends else 0
        if self.phase == COMB:
            left += left  # refining takes about as long again
        return {"phase": self.phase, "alive": bracket.lo, "open": len(waiting), "left": left}

    # The search

    def _comb(self, low):
        self.phase = COMB
        if self.below is not None:
            for index, ask in enumerate(confirming(low, self.below, self.bindings)):
                self.teeth.add(ask, 1 + index % 2)
        else:
            for ask in geometric(low, self.limit, self.bindings):
                self.teeth.add(ask)

    def _refine(self, bracket):
        self.phase = REFINE
        self._passes += 1
        # A step beyond hi as well: where hi was true this costs no time, since the comb ends at
        # the first dead tooth; where it was not, the search goes on at once.
        for ask in linear(bracket.lo, bracket.hi, _STEP, self.bindings):
            self.teeth.add(ask)

    def _progress(self, now):
        finished = self.teeth.take_finished()
        if not finished or self.done:
            return
        self._spent += finished
        if self.phase == COMB and self.below is not None:
            self._twin_progress(now)
        elif self._decided(self._spent):
            self._next_step(now)

    def _decided(self, spent, comb=None):
        """Whether waiting longer cannot change what *spent* says.

        So it is once a tooth has died and no shorter question is open, or all are spent.
        """
        waiting = self.teeth.waiting(comb)
        bracket = weigh(spent)
        if bracket.hi is None:
            return not waiting
        return not [tooth for tooth in waiting if tooth.ask < bracket.hi - COPY_SPAN]

    def _next_step(self, now):
        bracket = weigh(self._spent)
        self._give_up_rest(now)
        if bracket.hi is None:
            self._nothing_died(bracket, now)
            return
        settled = bracket.expired >= 2 and bracket.width <= _NARROW
        if settled or self._passes >= _PASSES:
            self._finish(bracket, now)
        else:
            self._refine(bracket)

    def _nothing_died(self, bracket, now):
        top = self.below if self.below is not None else self.limit
        if bracket.lo >= top:
            self._finish(bracket, now)
        elif bracket.alive == 0:
            self._unknown(self._reasons(), now)
        elif self._refuted >= _REFUTED_COMBS:
            self._unknown("answers contradict each other", now)
        else:
            # A dead tooth was refuted, or the topmost are unknown: search on from what lives.
            self._refuted += 1
            self.below = None
            self._comb(max(FLOOR, bracket.lo))

    def _twin_progress(self, now):
        """Each of the twin combs has a bracket of its own, from its own bindings."""
        deaths = sum([weigh(self._of(comb)).expired for comb in (1, 2)])
        for comb in (1, 2):
            mine = self._of(comb)
            if comb in self._confirmed or not mine or not self._decided(mine, comb):
                continue
            bracket = weigh(mine)
            # One death may be three lost copies (at 5 % loss, one tooth in 8,000): wait for
            # another, in either comb.
            if bracket.expired and deaths < 2 and self.teeth.waiting():
                continue
            self._confirmed.append(comb)
            if bracket.hi is not None:
                self._results.append(self._result(bracket, "confirm", now))
        if len(self._confirmed) == 2:
            self._next_step(now)

    def _of(self, comb):
        return [tooth for tooth in self._spent if tooth.comb == comb]

    def _give_up_rest(self, now):
        self.teeth.cancel(now, "not needed any more")
        self.teeth.take_finished()

    # Results

    def _reasons(self):
        reasons = sorted(set([tooth.reason for tooth in self._spent if tooth.reason]))
        return "; ".join(reasons) or "no tooth was answered"

    def _unknown(self, reason, now):
        bracket = weigh(self._spent)
        self.phase, self.done = DONE, True
        result = self._result(bracket, "comb", now)
        result["lo"] = result["hi"] = None
        result["reason"] = reason
        self._results.append(result)

    def _finish(self, bracket, now):
        self.phase, self.done = DONE, True
        self.bracket = bracket
        method = "refined" if self._passes else "comb"
        self._results.append(self._result(bracket, method, now))

    def _result(self, bracket, method, now):
        return {
            "class": self.key[0],
            "state": self.key[1],
            "lo": bracket.lo / 1000,
            "hi": None if bracket.hi is None else bracket.hi / 1000,
            "method": method,
            "alive": bracket.alive,
            "expired": bracket.expired,
            "unknown": bracket.unknown,
            "refuted": bracket.refuted,
            "seconds": (now - self._started) / 1000,
            "bindings": self.teeth.bindings,
            "at_once": self.teeth.most_at_once,
            "bytes": self.teeth.bytes + self.session.bytes - self._bytes_before,
        }

"""How long the NAT keeps a binding of one port class and state: comb, then refine.

A doubling search with bisection costs about T·(4+log2(T/r)). This one asks many bindings at
once: a geometric comb ends at its first dead tooth (about 1.1 T), a linear comb inside that
bracket ends at its own (about T more).

To confirm a change, the first comb is a *twin*: two combs side by side, interleaved, on bindings
of their own, each with a result of its own. They are the two independent measurements that the
collector asks for.

A router that restarts kills every binding at one instant, which looks like a timer to bindings
that were all opened at one instant. So one of the twins is opened later than the other: a timer
gives both the same answer, a restart does not. And a refining comb has *sentinels*, opened one
after another, that ask a silence known to be survived: a death counts only if some sentinel
idled through it and lived. What contradicts itself is thrown away and measured anew, never
averaged.

So it is with a public address that changes meanwhile: what was known under the former address is
thrown away, and no bracket mixes both.

On port 5060 a router may treat SIP otherwise than STUN. So a few teeth of the refining comb speak
SIP; they are compared with the bracket and never enter it.
"""

from natwatch.probes.bracket import FLOOR, Bracket, confirming, geometric, linear, weigh
from natwatch.probes.engine import Engine
from natwatch.probes.teeth import ALIVE, COPY_SPAN, EXPIRED, PAUSE, STREAM, UNKNOWN

COMB, REFINE, DONE = "comb", "refine", "done"

_STEP = 500  # ms between refining teeth: with the copies' 400 ms a bracket stays under 1 s
_NARROW = 1000  # ms
_PASSES = 4  # refining combs before the bracket is taken as it is
_CONTRADICTION = "answers contradict each other"
_ATTEMPTS = 3  # after which the answer is "unknown"
_BLIND = 8  # teeth without one known answer: a blocked port, or a line that is down
_TWIN_LATER = 3000  # ms at least, between the openings of the twin combs
_SENTINEL_LATER = 1500  # ms at least, between the openings of two sentinels
_SENTINELS = 4  # beside the first two, at most, in one refining comb
# Numbers of combs; the refining ones count from 1.
SENTINEL = -1
TWINS = (-2, -3)
SIP = -4
_SIP_LOW, _SIP_HIGH = 2, 5  # teeth
_SIP_BEYOND = 1500  # ms past the bracket: so long may a search need after its first death


class Lifetime(Engine):
    """Measure one key, (class, state).

    *limit* is the search limit in ms, *bindings* how many may be open at once, *pace* the ms
    between two openings. *below* (ms) asks for a confirmation: the lifetime is now thought to
    lie below it. ``bracket`` is what was found; its ``hi`` is None above the limit, or where a
    confirmation found nothing dead, and then there is no result: it was a false alarm. A bracket is
    narrow enough below 1 s, or below the share *tolerance* of its lower edge: where few bindings
    are to be had, each further refining takes as long as the lifetime. *teeth*: see Engine.
    """

    def __init__(self, session, key, limit, bindings, pace, below=None, teeth=None, tolerance=0):
        Engine.__init__(self, session, key, pace, teeth)
        self.limit = limit
        self.bindings = bindings
        self.below = below
        self.tolerance = tolerance
        self.phase = None
        self.bracket = None
        self._spent = []
        self._sip = []  # spent teeth that spoke SIP
        self._speaks_sip = key[0] == "udp/sip" and teeth is None
        self._since = None  # ms at which the present attempt began
        self._combs = {}  # number of a twin comb -> its Bracket, decided and not yet told
        self._later = 0  # ms between the openings of the twin combs
        self._passes = 0
        self._sentinels = 0  # asked in the present pass
        self._attempts = 0
        self._thrown = []  # teeth of attempts that contradicted themselves
        self._started = None
        self._bytes_before = None

    def start(self, now):
        self._started = self._since = now
        self._bytes_before = self.session.bytes
        self._comb(FLOOR, now)

    def progress(self, now):
        """What goes on: phase, longest silence survived (ms), open teeth, ms left at most."""
        bracket = weigh(self._spent)
        waiting = self.teeth.waiting()
        set_up = PAUSE if self.key[1] == STREAM else 0
        ends = [(now + set_up + t.ask if t.due is None else t.due) - now for t in waiting]
        left = max([0] + ends) + COPY_SPAN
        if self.phase == COMB:  # refining takes as long again as the lifetime that is found
            left += max([bracket.lo] + [tooth.ask for tooth in waiting])
        return {"phase": self.phase, "alive": bracket.lo, "open": len(waiting), "left": left}

    # The search

    def _comb(self, low, now):
        self.phase = COMB
        self._combs = {}
        if self.below is None:
            for ask in geometric(low, self.limit, self.bindings):
                self.teeth.add(ask)
            return
        asks = confirming(low, self.below, self.bindings)
        # So much later that the two brackets of a restart cannot overlap, if they are of the
        # dense part of the combs.
        self._later = max(_TWIN_LATER, 2 * (asks[-1] - asks[max(0, len(asks) - 3)] + 2 * COPY_SPAN))
        for index, ask in enumerate(asks):
            self.teeth.add(ask, TWINS[index % 2], now + self._later * (index % 2))

    def _refine(self, bracket, now):
        self.phase = REFINE
        self._passes += 1
        self._spent = [tooth for tooth in self._spent if tooth.comb != SENTINEL]
        later = max(_SENTINEL_LATER, bracket.width // _SENTINELS)
        count = 2 + bracket.width // later if bracket.lo else 0
        self._sentinels = count
        room = self.bindings - count
        if self._speaks_sip and bracket.lo:
            room -= _SIP_LOW + _SIP_HIGH
            self._ask_sip(bracket, now)
        for index in range(count):
            self.teeth.add(bracket.lo, SENTINEL, now + index * later)
        for ask in linear(bracket.lo, bracket.hi, _STEP, room):
            self.teeth.add(ask, self._passes, now)

    def _ask_sip(self, bracket, now):
        """Some that are to live, with room for a NAT that is not exact, and some of which those
        beyond the lifetime are to die. Nobody waits for them."""
        low = [max(FLOOR, bracket.lo - COPY_SPAN)] * _SIP_LOW
        high = bracket.hi + _SIP_BEYOND
        for ask in low + linear(bracket.lo, high, _STEP, _SIP_HIGH):
            self.teeth.add(ask, SIP, now, sip=True)

    def _progress(self, now):
        finished = self.teeth.take_finished()
        if not finished or self.done:
            return
        self._sip += [tooth for tooth in finished if tooth.comb == SIP]
        self._spent += [tooth for tooth in finished if tooth.comb != SIP]
        moved = self.teeth.moved(self._since)
        if moved is not None:
            self._spent, self._thrown = [], []  # they speak of the former address
            self._anew(moved, now)
        elif self.phase == REFINE:
            self._refine_progress(now)
        elif len(self._spent) >= _BLIND and not [t for t in self._spent if t.phase != UNKNOWN]:
            self._anew(self._reasons(), now)
        elif self.below is not None:
            self._twin_progress(now)
        elif self._decided(self._spent):
            self._give_up_rest(now)
            self._comb_ended(now)

    def _decided(self, spent, comb=None):
        """Whether waiting longer for *comb* cannot change what *spent* says.

        So it is once a tooth has died and no shorter question is open, or all are spent.
        """
        waiting = self.teeth.waiting(comb)
        bracket = weigh(spent)
        if bracket.hi is None:
            return not waiting
        return not [tooth for tooth in waiting if tooth.ask < bracket.hi - COPY_SPAN]

    def _comb_ended(self, now):
        bracket = weigh(self._spent)
        if bracket.hi is None:
            self._nothing_died(bracket, now)
        else:
            self._refine(bracket, now)

    def _refine_progress(self, now):
        mine = self._of(self._passes)
        deaths = [tooth for tooth in mine if tooth.phase == EXPIRED]
        lives = [tooth for tooth in self._spent if tooth.phase != EXPIRED]
        guarded = self._guarded(deaths)
        waiting = [tooth for tooth in self.teeth.waiting() if tooth.comb != SIP]
        if waiting:
            if not deaths or not guarded or not self._decided(lives + deaths, self._passes):
                return
        self._give_up_rest(now)
        # The first comb's deaths had no sentinel: they count only where this comb saw none.
        bracket = weigh(lives + deaths) if deaths else weigh(self._spent)
        if self._contradicted(deaths):
            self._anew(_CONTRADICTION, now)
        elif bracket.hi is None:
            self._nothing_died(bracket, now)
        elif deaths and guarded and bracket.width <= self._narrow(bracket, deaths):
            self._finish(bracket, now)
        elif self._passes < _PASSES:
            self._refine(bracket, now)
        elif deaths and guarded:
            self._finish(bracket, now)
        else:
            self._unknown(self._reasons(), now)

    def _narrow(self, bracket, deaths):
        width = max(_NARROW, int(self.tolerance * bracket.lo))
        return width + max([tooth.slack for tooth in deaths])

    def _guarded(self, deaths):
        """Whether something lived through all the time in which the first of *deaths* idled.

        One living tooth must have begun to idle no later than it, and a living sentinel must
        have been pushed to no earlier than it.
        """
        if not deaths or not self._sentinels:
            return True  # below the shortest silence that can be asked there is no sentinel
        end = min([tooth.due for tooth in deaths])
        begin = min([tooth.due - tooth.ask for tooth in deaths if tooth.due == end])
        lived = [t for t in self._of(SENTINEL) + self._of(self._passes) if t.phase == ALIVE]
        early = [tooth for tooth in lived if tooth.due - tooth.ask <= begin]
        late = [t for t in lived if t.comb == SENTINEL and t.ended >= end + COPY_SPAN]
        return bool(early and late)

    def _contradicted(self, deaths):
        """Whether a silence that was survived also killed: one of *deaths*, or a sentinel."""
        longest = weigh(self._spent).lo
        dead = [tooth for tooth in deaths if tooth.idle + tooth.slack <= longest]
        return bool(dead + [t for t in self._of(SENTINEL) if t.phase == EXPIRED])

    def _anew(self, reason, now):
        """Throw all away and begin anew: the answers contradict each other, since the NAT
        restarted or changed meanwhile or three copies were lost, or there are none."""
        self._give_up_rest(now)
        self._attempts += 1
        self._thrown += [tooth for tooth in self._spent if tooth.phase != UNKNOWN]
        if self._attempts >= _ATTEMPTS:
            self._waver(reason, now)
            return
        self._spent = []
        self._sip = []
        self._since = now
        self._passes = 0
        self._comb(FLOOR, now)

    def _waver(self, reason, now):
        """The last attempt contradicted itself as well: say only what none of them denies.

        So it is with a NAT that looks for old bindings every few seconds: the same silence is
        survived or not, depending on the moment. Every binding lived up to ``lo``, none beyond
        ``hi``.
        """
        alive = [tooth.idle for tooth in self._thrown if tooth.phase == ALIVE]
        ends = [tooth.idle + tooth.slack for tooth in self._thrown if tooth.phase == EXPIRED]
        longest = max([0] + alive)
        above = [end for end in ends if end > longest]
        if not alive or not above:
            self._unknown(reason, now)
            return
        lo = max([0] + [idle for idle in alive if idle < min(ends)])
        counts = (len(alive), len(above), 0, len(ends) - len(above))
        self._passes = 0
        self._combs = {}
        self._sip = []  # where STUN contradicts itself there is nothing to compare with
        self._finish(Bracket(lo, min(above), *counts), now)

    def _nothing_died(self, bracket, now):
        top = self.below if self.below is not None else self.limit
        if bracket.lo >= top:
            self._finish(bracket, now)
        elif bracket.alive == 0:
            self._unknown(self._reasons(), now)
        elif self._attempts >= _ATTEMPTS:
            self._unknown(self._reasons(), now)
        else:
            # A dead tooth was refuted, or the topmost are unknown: search on from what lives.
            # The refuted deaths are not forgotten: a NAT that sweeps makes them by the dozen.
            self._thrown += [tooth for tooth in self._spent if tooth.phase == EXPIRED]
            self._spent = [tooth for tooth in self._spent if tooth.phase != EXPIRED]
            self._attempts += 1
            self.below = None
            self._passes = 0
            self._comb(max(FLOOR, bracket.lo), now)

    def _twin_progress(self, now):
        """Each of the twin combs has a bracket of its own, from its own bindings."""
        deaths = sum([weigh(self._of(comb)).expired for comb in TWINS])
        for comb in TWINS:
            mine = self._of(comb)
            if comb in self._combs or not mine or not self._decided(mine, comb):
                continue
            bracket = weigh(mine)
            # One death may be three lost copies (at 5 % loss, one tooth in 8,000): wait for
            # another, in either comb.
            if bracket.expired and deaths < 2 and self.teeth.waiting():
                continue
            self._combs[comb] = bracket
        if len(self._combs) == 2:
            self._compare_twins(now)

    def _compare_twins(self, now):
        one, other = [self._combs[comb] for comb in TWINS]
        if one.hi is not None and other.hi is not None:
            if max(one.lo, other.lo) >= min(one.hi, other.hi):
                self._anew(_CONTRADICTION, now)
                return
            if one.width + other.width < self._later:
                self._tell_twins(now)
        self._give_up_rest(now)
        self._comb_ended(now)

    def _tell_twins(self, now):
        for number, comb in enumerate(TWINS):
            bracket = self._combs.get(comb)
            if bracket is not None and bracket.hi is not None:
                self._tell(1 + number, bracket, "confirm", self._cost(now))
        self._combs = {}

    def _of(self, comb):
        return [tooth for tooth in self._spent if tooth.comb == comb]

    def _give_up_rest(self, now):
        self.teeth.cancel(now, "not needed any more")
        self.teeth.take_finished()

    # Results

    def _reasons(self):
        reasons = sorted(set([tooth.reason for tooth in self._spent if tooth.reason]))
        known = [tooth for tooth in self._spent if tooth.phase != UNKNOWN]
        return "; ".join(reasons) or (_CONTRADICTION if known else "no tooth was answered")

    def _unknown(self, reason, now):
        self.phase, self.done = DONE, True
        self._tell(1, weigh(self._spent), "comb", self._cost(now), reason)

    def _finish(self, bracket, now):
        self.phase, self.done = DONE, True
        self.bracket = bracket
        if self.below is not None and bracket.hi is None:
            return
        self._tell_twins(now)  # those whose brackets were too wide to tell a restart from a timer
        # After a confirmation this result uses the bindings of both combs: it is no third
        # measurement, and bears the number of the first.
        method = "refined" if self._passes else "comb"
        self._tell(1, bracket, method, self._cost(now), sip=self._sip)

    def _cost(self, now):
        return {
            "seconds": (now - self._started) / 1000,
            "bindings": self.teeth.bindings,
            "bytes": self.teeth.bytes + self.session.bytes - self._bytes_before,
        }

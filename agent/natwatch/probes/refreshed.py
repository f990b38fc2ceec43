"""Do packets from outside extend a binding (RFC 4787, section 6, REQ-6), and what lifetime follows?

Bindings are made as in state ``stream``. A first comb finds the lifetime roughly. A second asks
four groups of bindings side by side; half-way through the lifetime, at p, the reflector pushes to
three of them:

* *plain* ones, never pushed to, a little above the lifetime: they must die, or the first comb was
  wrong;
* *beyond*: pushed to at p, asked at the same silence as the plain ones. If packets from outside
  extend the binding these live, and the plain ones' death beside them is the proof;
* *total*: pushed to at p, asked around the lifetime. If nothing is extended, the lifetime counted
  from the device's own last packet lies between them;
* *after*: asked around the lifetime after p. If it is extended, the lifetime counted from the
  push lies between these.

A restart of the NAT kills what was open, which looks like "does not extend". So *sentinels*,
opened one after another, ask a silence known to be survived: a death counts only if living teeth
idled through all of it, one after another.

The whole costs less than five lifetimes, which is why the push comes half-way and no later.
"""

from natwatch.probes.bracket import FLOOR, geometric, linear, weigh
from natwatch.probes.engine import Engine
from natwatch.probes.teeth import ALIVE, COPY_SPAN, EXPIRED, STREAM, UNKNOWN, Teeth

REFRESHED = "refreshed"
LONGEST = 890000  # ms: the reflector pushes after 900 s at the latest
COMB, PROBE, REFINE, DONE = "comb", "probe", "refine", "done"
COARSE, SENTINEL, PLAIN, BEYOND, TOTAL, AFTER = range(6)  # groups of teeth

_STEP = 500  # ms
_MARGIN = 500  # ms above the rough lifetime
_NARROW = 1400  # ms
_EACH = 3  # plain teeth, and as many beyond
_SENTINEL_LATER = 500  # ms at least, between the openings of two sentinels
_SENTINELS = 4  # at most, beside the first two of a row
_BLIND = 8  # teeth without one known answer
_ATTEMPTS = 2
_CONTRADICTION = "answers contradict each other"


class _Silence:
    """A spent tooth, seen as a silence after the last packet that refreshed it."""

    def __init__(self, tooth, idle, slack):
        self.comb = tooth.comb
        self.phase = tooth.phase
        self.reason = tooth.reason
        self.idle = idle
        self.slack = slack


def after_push(tooth):
    """For a binding that the push extended. Of the push's copies all may have reached the NAT;
    the last one that came through certainly did."""
    last = tooth.refreshed
    if tooth.phase == ALIVE:
        last = max(last, tooth.earlier + COPY_SPAN)
    return _Silence(tooth, tooth.idle - last, 0)


def _since_own(tooth):
    """For a binding that nothing extends: the NAT counts from the device's own last packet."""
    return _Silence(tooth, tooth.idle, tooth.slack)


def covered(living, begin, end):
    """Whether the *living* teeth idled, one after another, through all of *begin* to *end*."""
    reach = begin
    for start, stop in sorted([(tooth.began, tooth.ended) for tooth in living]):
        if start <= reach:
            reach = max(reach, stop)
    return reach >= end


class Refreshed(Engine):
    """Measure state ``refreshed`` of *port_class*; the arguments are Lifetime's.

    The one result is a lifetime's, with "extends": True, False or None. ``lo`` and ``hi`` are the
    silence after the last packet that refreshed the binding.
    """

    def __init__(self, session, port_class, limit, bindings, pace):
        teeth = Teeth(session, session.port_of(port_class), STREAM, pace)
        Engine.__init__(self, session, (port_class, REFRESHED), pace, teeth)
        self.limit = limit
        self.bindings = bindings
        self.phase = None
        self.bracket = None
        self.extends = None
        self._spent = []  # of the present comb
        self._attempts = 0
        self._started = self._since = None
        self._bytes_before = None

    def start(self, now):
        self._started = now
        self._bytes_before = self.session.bytes
        self._comb(now)

    def progress(self, now):
        """What goes on: phase, longest silence survived (ms), open teeth, ms left at most."""
        waiting = self.teeth.waiting()
        left = self._left(now)
        alive = weigh(self._spent).lo
        if self.phase == COMB:  # two combs may follow, of half as long again as the lifetime
            left += 3 * max([alive] + [tooth.ask for tooth in waiting])
        elif self.phase == PROBE:
            left *= 2
        return {"phase": self.phase, "alive": alive, "open": len(waiting), "left": left}

    # The combs

    def _comb(self, now):
        self.phase = COMB
        self._since = now
        self._spent = []
        self.extends = None
        for ask in geometric(FLOOR, self.limit, self.bindings):
            self.teeth.add(ask, COARSE)

    def _probe(self, bracket, now):
        """Ask around *bracket*: all groups, or the one that matters once that is known."""
        self.phase = PROBE if self.extends is None else REFINE
        self._spent = []
        low, high = bracket.lo, bracket.hi
        push = max(1000, min(low // 2, LONGEST - high - 2 * COPY_SPAN))
        above = high + _MARGIN
        after = push + COPY_SPAN  # the last copy of the push
        if after + low <= above + COPY_SPAN or push > low - 1000:
            text = "no push fits into a lifetime of %.1f to %.1f s"
            self._unknown(text % (low / 1000, high / 1000), now)
            return
        later = max(_SENTINEL_LATER, bracket.width // _SENTINELS)
        rows = [now] if self.extends is False else [now, now + after]
        count = 2 + -(-(bracket.width + _MARGIN) // later)
        for begin in rows:
            for index in range(count):
                self.teeth.add(low, SENTINEL, begin + index * later)
        room = self.bindings - len(rows) * count
        if self.extends is None:
            for _ in range(_EACH):
                self.teeth.add(above, PLAIN, now)
                self.teeth.add(above, BEYOND, now, earlier=push)
            room = (room - 2 * _EACH) // 2
        asks = [low] + linear(low, high, _STEP, max(1, room - 1))
        if self.extends is not True:
            for ask in asks:
                self.teeth.add(ask, TOTAL, now, earlier=push)
        if self.extends is not False:
            for ask in asks:
                self.teeth.add(after + ask, AFTER, now, earlier=push)

    def _progress(self, now):
        finished = self.teeth.take_finished()
        if not finished or self.done:
            return
        self._spent += finished
        moved = self.teeth.moved(self._since)
        if moved is not None:
            self._anew(moved, now)
        elif len(self._spent) >= _BLIND and not [t for t in self._spent if t.phase != UNKNOWN]:
            self._anew(self._reasons(), now)
        elif self.phase == COMB:
            self._comb_progress(now)
        else:
            self._probe_progress(now)

    def _comb_progress(self, now):
        bracket = weigh(self._spent)
        shorter = [t for t in self.teeth.waiting() if bracket.hi is None or t.ask < bracket.hi]
        if shorter:
            return
        self._give_up_rest(now)
        if bracket.hi is not None and bracket.lo:
            self._probe(bracket, now)
        elif bracket.hi is not None:
            self._unknown("the binding dies within %.1f s" % (bracket.hi / 1000), now)
        elif bracket.lo >= self.limit:
            self._finish(bracket, now)
        else:
            self._anew(self._reasons(), now)

    def _probe_progress(self, now):
        plain, beyond = self._of(PLAIN), self._of(BEYOND)
        dead = [tooth for tooth in plain if self._proven(tooth)]
        killed = [tooth for tooth in self._of(SENTINEL) if tooth.phase == EXPIRED]
        if killed or [tooth for tooth in plain if tooth.phase == ALIVE]:
            self._anew(_CONTRADICTION, now)
            return
        if self.extends is None and len(dead) >= 2:
            self._decide(dead, beyond)
        if self.extends is not None:
            self._measure(now)
        elif not self.teeth.waiting():
            self._anew(self._reasons(), now)

    def _decide(self, dead, beyond):
        """The plain teeth *dead* died above the lifetime: what became of those pushed to?"""
        longest = max([tooth.idle for tooth in dead])
        lived = [t for t in beyond + self._of(AFTER) if t.phase == ALIVE]
        if [tooth for tooth in lived if tooth.ask + COPY_SPAN >= longest]:
            self.extends = True
        elif not lived and len([t for t in beyond if self._proven(t)]) >= 2:
            self.extends = False

    def _measure(self, now):
        """The bracket of the group that is asked in the case that was found."""
        group, view = (AFTER, after_push) if self.extends else (TOTAL, _since_own)
        spent = [tooth for tooth in self._of(group) if tooth.phase != UNKNOWN]
        if not self.extends:
            spent += self._of(BEYOND)
        deaths = [tooth for tooth in spent if tooth.phase == EXPIRED]
        counted = [t for t in spent if t.phase == ALIVE] + [t for t in deaths if self._proven(t)]
        bracket = weigh([view(tooth) for tooth in counted])
        if bracket.refuted:
            self._anew(_CONTRADICTION, now)
            return
        first = min([tooth.due for tooth in deaths]) if deaths else None
        proven = first is not None and first in [t.due for t in counted if t.phase == EXPIRED]
        waiting = self.teeth.waiting()
        shorter = [t for t in self.teeth.waiting(group) if t.due is None or t.due < (first or 0)]
        if waiting and (not proven or shorter):
            return
        self._give_up_rest(now)
        narrow = _NARROW + max([0] + [tooth.slack for tooth in counted])
        if bracket.hi is None or not bracket.lo or not proven:
            self._anew(self._reasons(), now)
        elif bracket.width > narrow and self.phase == PROBE:
            self._probe(bracket, now)
        else:
            self._finish(bracket, now)

    # What teeth say

    def _of(self, group):
        return [tooth for tooth in self._spent if tooth.comb == group]

    def _proven(self, tooth):
        """Whether *tooth* died, and no restart of the NAT can have killed it."""
        living = [other for other in self._spent if other.phase == ALIVE]
        return tooth.phase == EXPIRED and covered(living, tooth.began, tooth.due + COPY_SPAN)

    # Results

    def _anew(self, reason, now):
        """Begin anew: answers contradict each other, or there are none."""
        self._give_up_rest(now)
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            self._unknown(reason, now)
        else:
            self._comb(now)

    def _give_up_rest(self, now):
        self.teeth.cancel(now, "not needed any more")
        self.teeth.take_finished()

    def _reasons(self):
        reasons = sorted(set([tooth.reason for tooth in self._spent if tooth.reason]))
        return "; ".join(reasons) or "no tooth was answered"

    def _unknown(self, reason, now):
        self._tell_all(weigh(self._spent), now, reason)

    def _finish(self, bracket, now):
        self.bracket = bracket
        self._tell_all(bracket, now)

    def _tell_all(self, bracket, now, reason=None):
        self.phase, self.done = DONE, True
        cost = {
            "extends": self.extends,
            "seconds": (now - self._started) / 1000,
            "bindings": self.teeth.bindings,
            "bytes": self.teeth.bytes + self.session.bytes - self._bytes_before,
        }
        method = "comb" if self.bracket is not None and bracket.hi is None else "refined"
        self._tell(1, bracket, method, cost, reason)

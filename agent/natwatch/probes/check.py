"""Does a known lifetime still hold? Three teeth, now and then, for a key that is not watched.

Two ask a silence just below the bracket, one a silence just above it. A living one below and a
dead one above confirm it. Dead below, it shrank; alive above, it grew: what it is now, a search
must say. Where the teeth give no answer, or two, nothing is said but that.
"""

from natwatch.probes.bracket import FLOOR, weigh
from natwatch.probes.engine import Engine
from natwatch.probes.refreshed import LONGEST, REFRESHED, after_push
from natwatch.probes.teeth import ALIVE, EXPIRED, STREAM, Teeth

_MARGIN = 200  # ms beside the bracket: timers of NATs are coarse, the answer must not waver
_PUSHED_AT = 0.7  # of lo: when a tooth of state ``refreshed`` is pushed to for the first time
_LEAST = 1000  # ms before that push, and from it to the question
_CONTRADICTION = "answers contradict each other"
_BELOW, _ABOVE = 0, 1


class Check(Engine):
    """Look once at *bracket* (lo, hi in ms; hi None: nothing above to ask) of *key*.

    *extends* is what is known of the state ``refreshed``: its silence counts from the push if
    packets from outside extend the binding. ``change`` is then None, "shrunk" (``suspect`` is
    the silence in ms that killed), "grown" or "unknown".
    """

    def __init__(self, session, key, bracket, pace, extends=None):
        teeth = None
        if key[1] == REFRESHED:
            teeth = Teeth(session, session.port_of(key[0]), STREAM, pace)
        Engine.__init__(self, session, key, pace, teeth)
        self.bracket = bracket
        self.extends = extends
        self.change = None
        self.suspect = None
        self._spent = []
        self._started = None
        self._bytes_before = 0

    def start(self, now):
        self._started = now
        self._bytes_before = self.session.bytes
        lo, hi = self.bracket
        for _ in range(2):
            self._ask(max(FLOOR, lo - _MARGIN), _BELOW)
        if hi is not None:
            self._ask(hi + _MARGIN, _ABOVE)

    def _ask(self, silence, side):
        if self.key[1] != REFRESHED:
            self.teeth.add(silence, side)
            return
        first = min(int(self.bracket[0] * _PUSHED_AT), LONGEST - silence)
        if not self.extends:
            self.teeth.add(silence, side, earlier=max(_LEAST, min(first, silence - _LEAST)))
        else:
            self.teeth.add(max(_LEAST, first) + silence, side, earlier=max(_LEAST, first))

    def _progress(self, now):
        for tooth in self.teeth.take_finished():
            known = tooth.phase in (ALIVE, EXPIRED)
            self._spent.append(after_push(tooth) if self.extends and known else tooth)
        if self.done or self.teeth.waiting():
            return
        self.done = True
        below = [tooth.phase for tooth in self._spent if tooth.comb == _BELOW]
        above = [tooth.phase for tooth in self._spent if tooth.comb == _ABOVE]
        if ALIVE in above:
            self.change = "grown"
        elif ALIVE in below and EXPIRED in below:
            # One silence, survived and not: three lost copies, or a NAT that wavers. As a bracket
            # it would end where it begins.
            self.change = "unknown"
            self._report(now, _CONTRADICTION)
        elif ALIVE in below and (EXPIRED in above or not above):
            self._report(now)
        elif EXPIRED in below:
            self.change = "shrunk"
            dead = [tooth for tooth in self._spent if tooth.phase == EXPIRED]
            self.suspect = min([tooth.idle + tooth.slack for tooth in dead])
        else:
            self.change = "unknown"
            reasons = [tooth.reason for tooth in self._spent if tooth.reason]
            self._report(now, (reasons + ["no tooth was answered"])[0])

    def _report(self, now, reason=None):
        cost = {
            "seconds": (now - self._started) / 1000,
            "bindings": self.teeth.bindings,
            "bytes": self.teeth.bytes + self.session.bytes - self._bytes_before,
        }
        if self.key[1] == REFRESHED:
            cost["extends"] = self.extends
        self._tell(1, weigh(self._spent), "check", cost, reason)

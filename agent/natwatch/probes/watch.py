"""Watch a known lifetime for ever: does a tooth just below still live, one just above still die?

Each period one tooth asks at 0.82 of the known lifetime: it dies of every shrink that the
collector calls one (below 0.8), and sooner than a tooth just below could. Beside it one asks, in
turn, just below the bracket, just above it, or far below, which tells a large shrink sooner still.
A dead tooth below, or a living one above, ends the watch: the lifetime must be measured anew.

Of class udp/sip every tenth tooth has one beside it that asks the same and speaks SIP, as a phone
does. It never gives the alarm; if it fares otherwise than STUN, the report says so.
"""

from natwatch.probes.bracket import FLOOR, weigh
from natwatch.probes.engine import Engine
from natwatch.probes.teeth import ALIVE, COPY_SPAN, EXPIRED, UNKNOWN

_MARGIN = 200  # ms beside the bracket: timers of NATs are coarse, the answer must not waver
_ALARM = 0.82  # of lo
_GUARDS = (0.5, 0.3)  # of lo
_SOONEST = 10000  # ms between two reports, however short the period
_MEMORY = 100  # spent teeth that are remembered between two reports
_BLIND = 2.5  # lifetimes without one known answer, after which the watch says so

_SIP_EVERY = 10  # teeth
_SIP_MEMORY = 6  # spent teeth that spoke SIP: one of each kind

BELOW, ABOVE, GUARD, SIP = 0, 1, 2, 3


class Watch(Engine):
    """Watch *bracket* (lo, hi in ms; hi None: nothing above to ask) of *key*.

    *period* is the ms between two rounds, of two teeth each. ``change`` is None, "shrunk" or
    "grown"; then ``suspect`` is the silence (ms) that was answered otherwise than expected.
    """

    def __init__(self, session, key, bracket, period, pace):
        Engine.__init__(self, session, key, pace)
        self.period = period
        self.below = max(FLOOR, bracket[0] - _MARGIN)
        self.above = None if bracket[1] is None else bracket[1] + _MARGIN
        self.change = None
        self.suspect = None
        self._turn = 0
        self._next_round = None
        self._recent = []  # spent teeth since the last report
        self._asked = 0
        self._sip = []  # the latest spent teeth that spoke SIP
        self._since = None  # ms since which the public address is known to be the same
        self._reported = None
        self._seen = None  # when a tooth last gave a known answer
        self._blind = False
        self._bytes_before = 0
        self._measurements = 0

    def start(self, now):
        self._next_round = self._since = now
        self._reported = self._seen = now

    def next_timer(self):
        timer = Engine.next_timer(self)
        if self._next_round is None:
            return timer
        return self._next_round if timer is None else min(timer, self._next_round)

    def handle_timer(self, now):
        if self._next_round is not None and now >= self._next_round:
            self._round(now)
            self._next_round = now + self.period
        Engine.handle_timer(self, now)

    def stop(self, now):
        Engine.stop(self, now)
        self._next_round = None

    # One round

    def _round(self, now):
        """The tooth that gives the alarm, and one of the others."""
        if not self._blind and now - self._seen > _BLIND * max(self.period, self.below):
            self._say_blind(now)
        if not self.session.ready(now) and self.teeth.waiting():
            return  # the reflector is away: no use in a queue that grows
        self._ask(int(self.below * _ALARM), GUARD)
        others = [(int(self.below * share), GUARD) for share in _GUARDS]
        if self.above is not None:
            others.append((self.above, ABOVE))
        # Every other turn belongs to the tooth just below.
        turn = self._turn % (2 * len(others))
        ask, kind = others[turn // 2] if turn % 2 else (self.below, BELOW)
        self._ask(ask, kind)
        self._turn += 1

    def _ask(self, ask, kind):
        if ask < FLOOR:
            return
        self.teeth.add(ask, kind)
        self._asked += 1
        if self.key[0] == "udp/sip" and self._asked % _SIP_EVERY == 0:
            if kind == ABOVE:
                # Its first copy is to come no sooner than the last one of the dead STUN tooth.
                ask += COPY_SPAN + 2 * self.session.rtt + _MARGIN
            self.teeth.add(ask, SIP, sip=True)

    def _progress(self, now):
        finished = self.teeth.take_finished()
        if finished and self.teeth.moved(self._since) is not None:
            # Another address may mean another NAT: no report mixes what both did.
            self._recent, self._sip = [], []
            self._since = now
        for tooth in finished:
            if self.done:
                return
            if tooth.comb == SIP:
                self._sip = self._sip[1 - _SIP_MEMORY :] + [tooth]
                continue
            self._recent = self._recent[-_MEMORY:] + [tooth]
            if tooth.phase == UNKNOWN:
                continue
            self._seen, self._blind = now, False
            if tooth.phase == EXPIRED and tooth.comb != ABOVE:
                self._changed("shrunk", tooth, now)
            elif tooth.phase == ALIVE and tooth.comb == ABOVE:
                self._changed("grown", tooth, now)
            else:
                self._confirm(now)

    def _say_blind(self, now):
        self._blind = True
        reasons = [tooth.reason for tooth in self._recent if tooth.reason]
        reason = self.session.trouble or (reasons + ["no tooth was answered"])[0]
        self._report(weigh(self._recent), now, reason)

    def _confirm(self, now):
        """Report the bracket once both its sides were seen again, at most once a period."""
        if now - self._reported < max(self.period, _SOONEST):
            return
        kinds = [tooth.comb for tooth in self._recent if tooth.phase != UNKNOWN]
        if BELOW in kinds and (ABOVE in kinds or self.above is None):
            self._report(weigh(self._recent), now)

    def _changed(self, change, tooth, now):
        self.change = change
        self.suspect = tooth.idle + tooth.slack if change == "shrunk" else tooth.idle
        # What lived before this tooth was opened may have lived under the former timer.
        later = [other for other in self._recent if other.opened >= tooth.opened]
        bracket = weigh(later)
        if change == "shrunk" and bracket.lo >= self.suspect:
            # A longer silence was survived by a younger binding: this tooth was an accident.
            self.change = self.suspect = None
            return
        if change == "grown":
            self._report(bracket, now)
        # One death may be three lost copies: it starts a confirmation, but is no bracket.
        self.stop(now)

    def _report(self, bracket, now, reason=None):
        cost = {
            "seconds": (now - self._reported) / 1000,
            "bindings": bracket.alive + bracket.expired + bracket.unknown,
            "bytes": self.teeth.bytes - self._bytes_before,
            "period": self.period / 1000,
        }
        self._measurements += 1
        self._tell(self._measurements, bracket, "watch", cost, reason, self._sip)
        self._reported = now
        self._bytes_before = self.teeth.bytes
        self._recent = []

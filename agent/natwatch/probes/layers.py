"""Which of several NATs in a row forgets after which silence: the engine for "whom do I call?".

A datagram with a small IP TTL refreshes the boxes that it passes and dies before the others. So a
*stretch* of hops, first to last, is **isolated**: while a binding idles, datagrams from here with
TTL first - 1 keep every box nearer than it open, and the reflector's every box farther away. What
the binding then lives is the stretch's own lifetime. If nothing there keeps state, it lives on.

A death counts for the stretch only if a binding lives once the stretch is refreshed as well, from
either side. These are its two **controls**: datagrams of both sides that meet at the *boundary*
before its first hop, and others that meet at that behind its last, asked side by side with it and a
little longer. (So no restart of a router is taken for a timer.) Two kinds of box make controls die,
and stand where the boundaries that die say:

* one that looks at the TTL before it refreshes: at hop h, boundaries h - 1 and h;
* one that packets from outside do not refresh (RFC 4787, REQ-6): boundaries 0 to h - 1.

At hop 1 or 2 these look alike, and the answer is "hop 1 or 2". What stands beside such a box is
hidden. Idea of TTL-limited refreshes: Netalyzr; Richter et al., IMC 2016, from one side; an inner
timer above an outer one shows from the reflector's side only (docs/method.md).
"""

from natwatch.probes.bracket import FLOOR, geometric, linear, weigh
from natwatch.probes.engine import Engine
from natwatch.probes.teeth import ALIVE, EXPIRED, UNKNOWN, Partly

COMB, ISOLATE, TRACE, DONE = "comb", "layers", "trace", "done"
OPEN, FOUND, CLEAR, ODD, SPENT = "open", "found", "clear", "odd", "spent"  # states of a stretch

_LINE = 0  # comb of the teeth that nothing refreshes
_STEPS = (1.41, 2.0)  # from one longest silence asked to the next
_STEP = 1200  # ms between the teeth that refine
_NARROW = 1900  # ms: its middle is less than a second off
_FINE = 4  # teeth inside the line's own bracket, of each stretch
_CONTROL = 500  # ms by which a control is asked longer than what it controls
_TOGETHER = 500  # ms by which it may begin later
_PASSES = 2
_ATTEMPTS = 2
_SHARE = 4  # refreshes in the line's lifetime: two may be lost
_SLOWEST = 20000  # ms between two refreshes
# A hop where nothing died may be a plain router, or a box with a longer timer than those found: it
# is asked for so long, just above the timers that are usual (medians of home gateways 90 to 181 s,
# Haetoenen, IMC 2010; Linux 120 and 180 s), and as long as the longest that was found.
_PATIENCE = 185000  # ms
_NEARLY = 0.95
_CONTRADICTION = "answers contradict each other"
_NOT_NEEDED = "not needed any more"


class Row:
    """The teeth that are refreshed in one way: TTL *out* from here, *back* from the reflector."""

    def __init__(self, comb, out, back):
        self.comb = comb
        self.out = out
        self.back = back
        self.spent = []
        self.asked_again = 0

    def deaths(self):
        return [tooth for tooth in self.spent if tooth.phase == EXPIRED]


class Stretch:
    """Hops *first* to *last*, isolated. *low*: ms known to be survived."""

    def __init__(self, first, last, row, low):
        self.first = first
        self.last = last
        self.row = row
        self.low = low
        self.top = low  # the longest silence asked, ms
        self.state = OPEN
        self.passes = 0

    @property
    def bracket(self):
        bracket = weigh(self.row.spent)
        if bracket.lo < self.low and (bracket.hi is None or self.low < bracket.hi):
            bracket.lo = self.low
        return bracket

    def boundaries(self):
        return self.first - 1, self.last


def traced(dead, asked, stretches, hops, known=()):
    """((first, last) hop of the one box on whose account the boundaries *dead*, of those *asked*,
    die; all boundaries that may die of it).

    *stretches*: (first, last) of those that it made die; *hops*: where it may stand; *known*:
    boundaries that may die of boxes that were found before.
    """
    places, boundaries = [], []
    for hop in hops:
        near = [low <= hop + 1 and hop - 1 <= high for low, high in stretches]
        looks_first = [hop - 1, hop], near
        not_refreshed = list(range(hop)), [low <= hop for low, _ in stretches]
        for dies, fits in (looks_first, not_refreshed):
            seen = [one for one in asked if one in dies]
            lived = [one for one in seen if one not in dead]
            others = [one for one in dead if one not in seen and one not in known]
            if not lived and not others and False not in fits:
                places.append(hop)
                boundaries += dies
    if not places:  # no one box does that: one of them stands somewhere there
        places, boundaries = [max(1, dead[0]), dead[-1] + 1], dead
    return (min(places), max(places)), boundaries


class Layers(Engine):
    """Measure the boxes on the way to the SIP port, for bindings of *state*, replied or stream.

    *limit* (ms), *bindings* and *pace* are Lifetime's. *path* is the result of probes.path.Path.
    *bracket*: the line's own lifetime, (lo, hi) ms, if it is known. *shortest*: stop as soon as it
    is known which box has that.

    The one result is a dict: ``class``, ``state``, ``port``; ``line``: [lo, hi] in s of the binding
    that nothing refreshes, hi None: nothing died, or None: not known; ``nats``: boxes that forget,
    from here outward, {"first", "last": hops; "lo", "hi": s; "alive", "expired", "refuted": teeth};
    ``clear``: stretches where nothing died, {"first", "last", "beyond": s survived};
    ``hidden``: those of which nothing can be known; ``outermost`` and ``hops`` as in *path*;
    ``complete``: every hop up to the outermost box is accounted for; ``reason`` or None; what it
    cost: ``seconds``, ``bindings``, ``at_once``, ``bytes``. Which boxes those are, and what else is
    known of them, is diagnosis.layers' to say.
    """

    def __init__(self, session, state, limit, bindings, pace, path, bracket=None, shortest=False):
        Engine.__init__(self, session, ("udp/sip", state), pace)
        self.teeth.most = bindings
        self.limit = limit
        self.bindings = bindings
        self.path = path
        self.shortest = shortest
        self.phase = None
        usable = bracket is not None and bracket[1] is not None and FLOOR <= bracket[0] < bracket[1]
        self._known = bracket if usable else None
        self._line = bracket
        self._rows = {}  # comb -> Row
        self._bounds = {}  # boundary -> Row
        self._stretches = []
        self._nats = []  # (first, last, Bracket)
        self._hidden = []  # (first, last)
        self._trace = {}  # boundary -> Row
        self._explained = []  # boundaries that may die of boxes that were traced
        self._group = []  # the stretches that it is about
        self._attempts = 0
        self._started = self._since = None
        self._bytes_before = None

    def start(self, now):
        self._started = now
        self._bytes_before = self.session.bytes
        self._begin(now)

    def progress(self, now):
        """What goes on: phase, longest silence survived (ms), open teeth, ms left at most."""
        waiting = self.teeth.waiting()
        left = self._left(now)
        alive = max([0] + [weigh(row.spent).lo for row in self._rows.values()])
        if self.phase == COMB:
            left += 2 * max([alive] + [tooth.ask for tooth in waiting])
        return {"phase": self.phase, "alive": alive, "open": len(waiting), "left": left}

    # The line as a whole

    def _begin(self, now):
        self._since = now
        self._line = self._known
        self._rows = {}
        self._bounds = {}
        self._stretches, self._nats, self._hidden = [], [], []
        self._trace = {}
        self._explained = []
        line = self._row(0, 0)  # comb _LINE
        if self.path["hops"]["back"] is None:
            self._tell_layers(now, "how far away the reflector is could not be measured")
        elif self._known is not None:
            self._isolate(self._known, now)
        else:
            self.phase = COMB
            for ask in geometric(FLOOR, self.limit, self.bindings):
                self.teeth.add(ask, line.comb)

    def _row(self, out, back):
        row = Row(len(self._rows), out, back)
        self._rows[row.comb] = row
        return row

    def _progress(self, now):
        finished = self.teeth.take_finished()
        if not finished or self.done:
            return
        for tooth in finished:
            if tooth.comb in self._rows and tooth.reason != _NOT_NEEDED:
                self._rows[tooth.comb].spent.append(tooth)
        moved = self.teeth.moved(self._since)
        if moved is not None:
            self._anew(moved, now)
        elif self.phase == COMB:
            self._comb_progress(now)
        elif self.phase == TRACE:
            self._trace_progress(now)
        else:
            self._look_at_all(now)

    def _comb_progress(self, now):
        row = self._rows[_LINE]
        bracket = weigh(row.spent)
        waiting = self.teeth.waiting()
        if [t for t in waiting if bracket.hi is None or t.ask < bracket.hi]:
            return
        self._give_up_rest(now)
        if bracket.hi is not None and bracket.lo:
            self._isolate((bracket.lo, bracket.hi), now)
        elif bracket.hi is not None:
            self._tell_layers(now, "the binding dies within %.1f s" % (bracket.hi / 1000))
        elif bracket.lo >= self.limit:
            self._line = (bracket.lo, None)
            self._tell_layers(now, "nothing was forgotten within %.0f s" % (bracket.lo / 1000))
        else:
            self._anew(self._reasons(row), now)

    # Isolation

    def _isolate(self, line, now):
        """Ask every stretch: the first hop, the outermost box's, between them, and beyond."""
        self.phase = ISOLATE
        self._line = line
        farthest = self._outermost()[1]
        if farthest < 1:
            self._tell_layers(now, "no router stands between")
            return
        self._open(self._cuts(), line)

    def _outermost(self):
        """(first, last) hop at which the outermost box may stand."""
        outermost, back = self.path["outermost"], self.path["hops"]["back"]
        if outermost is None:
            return min(1, back), back
        return min(outermost[0], back), min(outermost[1], back)

    def _cuts(self):
        first, last = self._outermost()
        if self.path["outermost"] is None:
            return [(1, 1)] + [(2, last)] * (last > 1)
        cuts = [(1, 1)] + [(2, first - 1)] * (first > 2) + [(first, first)] * (first > 1)
        # Beyond stands what does not filter, as carriers' NATs need not (RFC 6888, REQ-7).
        back = self.path["hops"]["back"]
        return cuts + [(last, last)] * (last > first) + [(last + 1, back)] * (last < back)

    def _open(self, cuts, line):
        """Isolate the stretches *cuts*, each known to live as long as *line*, (lo, hi), says."""
        low, high = line
        made = [Stretch(first, last, self._isolated(first, last), low) for first, last in cuts]
        self._stretches += made
        steps = _STEPS[: 1 if self.shortest else None]
        while steps and self._room(made, 1 + len(steps)) < 0:
            steps = steps[:-1]
        longer = [int(high * step) for step in steps]
        room = self._room(made, 1 + len(longer))
        patient = not self.shortest and room >= len(made)
        fine = 1 + (room - len(made) * patient) // len(made)
        asks = linear(low, high, _CONTROL, max(1, min(_FINE, fine)))
        if line == self._known:
            asks = [low] + asks  # it was told, and may be no more so
        self._ask(made, asks, [high] + longer, longer)
        if patient:
            for stretch in made:  # if it lives, none of its other answers need be awaited
                self._add(stretch.row, min(_PATIENCE, self.limit))

    def _room(self, stretches, times):
        """How many bindings are left beside *times* each of *stretches* and its controls."""
        hops = set([hop for stretch in stretches for hop in stretch.boundaries()])
        needed = times * (len(hops) + len(stretches))
        return self.bindings - len(self.teeth.waiting()) - needed

    def _isolated(self, first, last):
        return self._row(first - 1, max(0, self.path["hops"]["back"] - last))

    def _row_at(self, hop):
        """The row of the boundary behind *hop*: everything is refreshed, and nothing twice."""
        if hop not in self._bounds:
            back = max(0, self.path["hops"]["back"] - hop)
            self._bounds[hop] = self._row(hop, back)
        return self._bounds[hop]

    def _ask(self, stretches, asks, controls, longer=()):
        """Ask *stretches* at *asks* and *longer*, and their boundaries a little beyond *controls*.

        The controls come first: they must idle through all of what they control.
        """
        hops = sorted(set([hop for stretch in stretches for hop in stretch.boundaries()]))
        for hop in hops:
            for ask in controls:
                self._add(self._row_at(hop), ask + _CONTROL)
        for stretch in stretches:
            for ask in list(asks) + list(longer):
                self._add(stretch.row, ask)
                stretch.top = max(stretch.top, min(ask, self.limit))

    def _add(self, row, ask):
        every = max(1000, min(_SLOWEST, self._line[0] // _SHARE))
        self.teeth.add(
            min(ask, self.limit + _CONTROL), row.comb, partly=Partly(row.out, row.back, every)
        )

    def _look_at_all(self, now):
        for stretch in list(self._stretches):
            if stretch.state == OPEN:
                self._look(stretch, now)
            if self.done or self.phase != ISOLATE:
                return
        self._settle(now)

    def _doubt(self, now):
        """What was told of the line is not so: it is measured here."""
        self._give_up_rest(now)
        self._known = None
        self._begin(now)

    def _look(self, stretch, now):
        """What the answers so far say of one *stretch*, and what to ask next."""
        bracket = stretch.bracket
        waiting = self.teeth.waiting(stretch.row.comb)
        if bracket.hi is None:
            if not self._busy(stretch):
                self._nothing_died(stretch, bracket)
            return
        if [tooth for tooth in waiting if tooth.ask < bracket.hi]:
            return
        if waiting:
            self.teeth.cancel(now, _NOT_NEEDED, stretch.row.comb)
        lived = [t for t in stretch.row.spent if t.phase == ALIVE and t.idle >= stretch.low]
        if self._known and stretch.low == self._known[0] and not lived:
            self._doubt(now)
            return
        dead = [t for t in stretch.row.deaths() if t.idle + t.slack == bracket.hi][0]
        proof = self._proof(stretch, dead)
        awaited = [
            hop for hop in stretch.boundaries() if self.teeth.waiting(self._row_at(hop).comb)
        ]
        if proof is None and awaited:
            return
        single = stretch.first == stretch.last
        wide = bracket.width > _NARROW + dead.slack and (single or proof is False)
        if (wide or proof is None) and stretch.passes < _PASSES:
            stretch.passes += 1
            room = max(2, self.bindings - len(self.teeth.waiting()) - 2)
            asks = linear(bracket.lo, dead.ask, _STEP, room)
            self._ask([stretch], asks, asks[-1:])
        elif proof is None:
            self._hide(stretch)
        elif not proof:
            stretch.state = ODD
        elif single:
            stretch.state = FOUND
            self._nats.append((stretch.first, stretch.last, bracket))
        else:
            stretch.state = SPENT
            middle = (stretch.first + stretch.last) // 2
            cuts = [(stretch.first, middle), (middle + 1, stretch.last)]
            self._open(cuts, (bracket.lo, bracket.hi))

    def _proof(self, stretch, dead):
        """Whether *stretch* is why *dead* died: both its controls lived. None: not known yet."""
        fates = [self._control(hop, dead) for hop in stretch.boundaries()]
        if False in fates:
            return False
        return None if None in fates else True

    def _control(self, hop, dead):
        """Whether the binding lives once the stretch beside boundary *hop* is refreshed as well."""
        row = self._row_at(hop)
        living = [t for t in row.spent if t.phase == ALIVE and t.idle >= dead.idle]
        if [t for t in living if t.began - dead.began <= _TOGETHER and t.due >= dead.due]:
            return True
        # One that died beside it, also if it was asked a shorter silence.
        return False if [t for t in row.deaths() if t.due >= dead.began] else None

    def _ask_again(self, row, ask):
        row.asked_again += 1
        if row.asked_again <= _PASSES:
            self._add(row, ask)

    def _nothing_died(self, stretch, bracket):
        """All that was asked of *stretch* lived, or is unknown."""
        if bracket.lo >= stretch.top:
            return
        if stretch.row.asked_again < _PASSES:
            self._ask_again(stretch.row, stretch.top)
        else:
            self._hide(stretch)

    def _hide(self, stretch):
        """What stands in *stretch* cannot be known."""
        stretch.state = SPENT
        self._hidden.append((stretch.first, stretch.last))

    def _patience(self, stretch):
        """The silence, ms, up to which *stretch* is asked though nothing died there."""
        if self.shortest:
            return min(self.limit, self._line[1] + _CONTROL)
        if self._expected(stretch):
            return self.limit
        odd = [other.bracket.hi for other in self._stretches if other.state == ODD]
        longest = max([self._line[1]] + [found[2].hi for found in self._nats] + odd)
        return min(self.limit, max(int(_NEARLY * longest), _PATIENCE))

    def _expected(self, stretch):
        """Whether a box must still be found that hole punching has shown, maybe in *stretch*."""
        first, last = self._outermost()
        met = [found for found in self._nats if found[0] <= last and first <= found[1]]
        if self.path["outermost"] is None or met:
            return False
        return first <= stretch.last and stretch.first <= last

    def _settle(self, now):
        """End, or go on, once it is clear of every stretch what it is."""
        undecided = [stretch for stretch in self._stretches if stretch.state == OPEN]
        needy = [s for s in undecided if s.bracket.hi is None and s.bracket.lo < self._patience(s)]
        idle = [s for s in undecided if not self._busy(s)]
        if [stretch for stretch in needy if stretch in idle]:
            # Those that need not be asked any more go along: it costs no time.
            living = [stretch for stretch in idle if stretch.bracket.hi is None]
            living.sort(key=lambda stretch: stretch.top)
            while len(living) > 1 and self._room(living, 1) < 0:
                living.pop()
            top = max([stretch.top for stretch in living])
            asks = [int(top * step) for step in _STEPS]
            asks = [ask for ask in asks if ask < self.limit] or [self.limit]
            if self._room(living, len(asks)) < 0:
                asks = asks[-1:]
            self._ask(living, asks, asks)
            return
        if needy or [stretch for stretch in undecided if stretch.bracket.hi is not None]:
            return
        for stretch in undecided:
            stretch.state = CLEAR
        self._give_up_rest(now)
        if [stretch for stretch in self._stretches if stretch.state == ODD]:
            self._begin_trace(now)
        else:
            self._conclude(now)

    def _busy(self, stretch):
        """Whether a tooth of *stretch* is awaited, other than the one that only patience asks."""
        waiting = self.teeth.waiting(stretch.row.comb)
        return bool([tooth for tooth in waiting if tooth.ask <= stretch.top])

    def _conclude(self, now):
        reason = None
        if not self._nats:
            reason = "no box could be told to be the one that forgets"
        elif min([found[2].lo for found in self._nats]) > self._line[1] + _CONTROL:
            reason = "no box that was found forgets as soon as the line did"
        if reason is None:
            self._tell_layers(now)
        else:
            self._known = None  # what was told of the line may be no more true
            self._anew(reason, now)

    # What controls that die say

    def _begin_trace(self, now):
        """Ask every boundary up to the odd stretches of the shortest lifetime."""
        self.phase = TRACE
        odd = [stretch for stretch in self._stretches if stretch.state == ODD]
        ends = sorted([stretch.bracket.hi for stretch in odd])
        self._group = [stretch for stretch in odd if stretch.bracket.lo < ends[0]]
        last = max([stretch.last for stretch in self._group])
        ask = max([stretch.bracket.hi for stretch in self._group])
        back = self.path["hops"]["back"]
        hops = range(min(last + 1, back) + 1)
        self._trace = dict([(hop, self._row(hop, max(0, back - hop))) for hop in hops])
        for hop in sorted(self._trace):
            self._add(self._trace[hop], ask)

    def _trace_progress(self, now):
        rows = [self._trace[hop] for hop in sorted(self._trace)]
        for row in rows:
            known = [tooth for tooth in row.spent if tooth.phase != UNKNOWN]
            if known or self.teeth.waiting(row.comb):
                continue
            if row.asked_again >= _PASSES:
                self._anew(self._reasons(row), now)
                return
            self._ask_again(row, row.spent[-1].ask)
        if self.teeth.waiting():
            return
        dead = [hop for hop in sorted(self._trace) if self._trace[hop].deaths()]
        if not dead:
            self._anew(_CONTRADICTION, now)
            return
        if not [hop for hop in dead if hop not in self._explained]:
            # They die of a box that was found before: a restart may be why this one seemed odd.
            for stretch in self._group:
                self._hide(stretch)
            self._resume(now)
            return
        narrowest = min(self._group, key=lambda stretch: stretch.bracket.width)
        stretches = [(stretch.first, stretch.last) for stretch in self._group]
        hops = self._unexplained(narrowest.bracket.hi)
        found = traced(dead, sorted(self._trace), stretches, hops, self._explained)
        (first, last), boundaries = found
        self._explained += boundaries
        self._nats.append((first, last, narrowest.bracket))
        for stretch in self._group:
            stretch.state = SPENT
            hops = [hop for hop in (stretch.first, stretch.last) if not first <= hop <= last]
            if hops:
                self._hidden.append((min(hops), max(hops)))
        self._resume(now)

    def _resume(self, now):
        self.phase = ISOLATE
        self._trace = {}
        self._settle(now)

    def _unexplained(self, lifetime):
        """The hops at which a box with that *lifetime*, ms, may stand that was not found yet."""
        taken = [found[0] for found in self._nats if found[0] == found[1]]
        for stretch in self._stretches:
            if stretch.state == CLEAR and stretch.bracket.lo >= lifetime:
                taken += range(stretch.first, stretch.last + 1)
        return [hop for hop in range(1, self.path["hops"]["back"] + 1) if hop not in taken]

    # Results

    def _anew(self, reason, now):
        self._give_up_rest(now)
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            self._tell_layers(now, reason)
        else:
            self._begin(now)

    def _give_up_rest(self, now):
        self.teeth.cancel(now, _NOT_NEEDED)
        self.teeth.take_finished()

    def _reasons(self, row):
        reasons = sorted(set([tooth.reason for tooth in row.spent if tooth.reason]))
        text = "; ".join(reasons) or "no tooth was answered"
        if [tooth for tooth in row.spent if not tooth.mute] or not row.spent:
            return text
        return "%s at port %d; a firewall may block it" % (text, self.teeth.endpoint[1])

    def _tell_layers(self, now, reason=None):
        self._give_up_rest(now)
        self.phase, self.done = DONE, True
        nats = sorted(self._nats, key=lambda found: (found[0], found[1]))
        # A line that forgets, and no box that does: then what lived proves nothing either.
        clear = [s for s in self._stretches if s.state == CLEAR and reason is None]
        clear.sort(key=lambda stretch: stretch.first)
        unsure = [found for found in nats if found[0] < found[1]]
        shown = self.path["outermost"] is not None and not self.shortest
        known = shown and bool(nats) and reason is None
        self._results.append(
            {
                "class": self.key[0],
                "state": self.key[1],
                "port": self.teeth.endpoint[1],
                "line": None if self._line is None else _seconds(self._line[0], self._line[1]),
                "nats": [_box(first, last, bracket) for first, last, bracket in nats],
                "clear": [
                    {"first": s.first, "last": s.last, "beyond": s.bracket.lo / 1000} for s in clear
                ],
                "hidden": [{"first": first, "last": last} for first, last in self._hidden],
                "outermost": self.path["outermost"],
                "hops": self.path["hops"],
                "complete": known and not self._hidden and not unsure,
                "reason": reason,
                "seconds": (now - self._started) / 1000,
                "bindings": self.teeth.bindings,
                "at_once": self.teeth.most_at_once,
                "bytes": self.teeth.bytes + self.session.bytes - self._bytes_before,
            }
        )


def _seconds(low, high):
    return [low / 1000, None if high is None else high / 1000]


def _box(first, last, bracket):
    """A box that keeps state at a hop *first* to *last*, and its lifetime."""
    low, high = _seconds(bracket.lo, bracket.hi)
    return {
        "first": first,
        "last": last,
        "lo": low,
        "hi": high,
        "alive": bracket.alive,
        "expired": bracket.expired,
        "refuted": bracket.refuted,
    }

"""What a set of spent teeth says of the lifetime: pure functions, times in ms.

An alive tooth is proof (the reflector's push came in); an expired one is an inference, however
well witnessed. So where answers are not monotonic, life refutes death, never the reverse, and
the refuted tooth is counted.
"""

from natwatch.probes.teeth import ALIVE, EXPIRED, UNKNOWN

COMB_RATIO = 1.1  # from one tooth of the first comb to the next
FLOOR = 2000  # ms: below this a set-up could not be repeated in time


class Bracket:
    """Alive at *lo*, dead at *hi* (None: nothing died), and the counts behind it."""

    def __init__(self, lo, hi, alive, expired, unknown, refuted):
        self.lo = lo
        self.hi = hi
        self.alive = alive
        self.expired = expired
        self.unknown = unknown
        self.refuted = refuted

    @property
    def width(self):
        return None if self.hi is None else self.hi - self.lo


def seconds(bracket):
    """(lo, hi) in seconds of a *bracket* (lo, hi) in ms, hi None where open."""
    lo, hi = bracket
    return lo / 1000, None if hi is None else hi / 1000


def weigh(teeth):
    """The Bracket that the spent *teeth* support, all of one regime of the NAT.

    ``lo`` is the longest silence survived (0 if none was), ``hi`` the shortest that was not and
    lies above it. The NAT may have idled up to ``slack`` longer than the reflector counted.
    """
    alive = [tooth for tooth in teeth if tooth.phase == ALIVE]
    expired = [tooth for tooth in teeth if tooth.phase == EXPIRED]
    lo = max([tooth.idle for tooth in alive]) if alive else 0
    ends = [tooth.idle + tooth.slack for tooth in expired]
    above = [end for end in ends if end > lo]
    unknown = len([tooth for tooth in teeth if tooth.phase == UNKNOWN])
    return Bracket(
        lo,
        min(above) if above else None,
        len(alive),
        len(above),
        unknown,
        len(ends) - len(above),
    )


def difference(sip, bracket, stun_answered):
    """What is otherwise for the spent teeth *sip*, oldest first, than for STUN on the same port.

    A sentence, or None. One dead tooth may be lost packets: it takes two in a row. One living
    tooth is proof. *stun_answered*: whether any STUN tooth's set-up was answered.
    """
    if stun_answered and len(sip) >= 2 and not [tooth for tooth in sip[-2:] if not tooth.mute]:
        return "SIP is not answered, STUN to the same port is"
    if bracket.hi is not None:
        longer = [t.idle for t in sip if t.phase == ALIVE and t.idle >= bracket.hi]
        if longer:
            text = "a binding made by SIP lived %.1f s, by STUN to the same port it dies at %.1f s"
            return text % (max(longer) / 1000, bracket.hi / 1000)
    known = [t for t in sip if t.phase in (ALIVE, EXPIRED) and t.ask <= bracket.lo]
    if len(known) >= 2 and known[-1].phase == known[-2].phase == EXPIRED:
        text = (
            "a binding made by SIP was dead after %.1f s, by STUN to the same port it lives %.1f s"
        )
        return text % (known[-1].ask / 1000, bracket.lo / 1000)
    return None


def counts(teeth):
    """{"alive": n, "expired": n, "unknown": n} of spent *teeth*."""
    return dict([(p, len([t for t in teeth if t.phase == p])) for p in (ALIVE, EXPIRED, UNKNOWN)])


def geometric(low, high, most):
    """At most *most* silences from *low* to *high*, each COMB_RATIO or more above the last."""
    if high <= low or most < 2:
        return [high]
    ratio = COMB_RATIO
    while _reach(low, ratio, most) < high:
        ratio *= 1.01
    asks, ask = [], float(low)
    while ask < high:
        asks.append(int(ask))
        ask *= ratio
    asks.append(high)
    return asks


def _reach(low, ratio, most):
    return low * ratio ** (most - 1)


def linear(lo, hi, step, most):
    """Silences that divide (lo, hi] in equal steps of about *step*, at most *most* of them."""
    count = max(1, min(most, -(-(hi - lo) // step)))
    return [lo + (hi - lo) * (index + 1) // count for index in range(count)]


def confirming(low, high, most):
    """Silences that look for a new lifetime below an old one: dense in the upper half.

    Most shrinks that matter halve the timer or more, but then a guard tooth has named a lower
    *high*; what is left is most likely near it.
    """
    middle = max(low, high // 2)
    dense = most * 3 // 5
    upper = linear(middle, high, 500, dense)
    if middle == low:
        return [low] + upper
    return geometric(low, middle, most - len(upper)) + upper

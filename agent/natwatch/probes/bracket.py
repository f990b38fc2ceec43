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


def weigh(teeth):
    """The Bracket that the spent *teeth* support, all of one regime of the NAT.

    ``lo`` is the longest silence survived (0 if none was), ``hi`` the shortest that was not and
    lies above it. For a tooth without answer the NAT may have idled up to ``slack`` longer.
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

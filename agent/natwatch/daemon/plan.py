"""What is due: pure data and pure functions, no engine and no clock.

A key is (class, state). Cold searches and confirmations open many bindings, so one runs at a
time; watches run side by side on the rest of the budget.
"""

SEARCH, CONFIRM, WATCH = "search", "confirm", "watch"

# What one watched period costs on the wire: two teeth, each with its set-up, up to three pushes,
# two witnesses and their share of control requests. Counted in the lab (docs/benchmarks.md).
ROUND_BYTES = 2000
_WATCHING = 0.5  # share of the bindings that all watches together may hold
_RETRY = 30000  # ms after a search that found nothing
_SHORTEST = 1000  # ms


class Key:
    """One key's place in the plan. ``bracket`` is (lo, hi) in ms, hi None above the limit."""

    def __init__(self, key):
        self.key = key
        self.bracket = None
        self.suspect = None  # ms: the lifetime is thought to lie below
        self.doing = None
        self.not_before = 0


def due(keys, now):
    """[(Key, SEARCH | CONFIRM | WATCH), …] to begin now: confirmations first, then new keys."""
    idle = [key for key in keys if key.doing is None and now >= key.not_before]
    actions = [(key, WATCH) for key in idle if key.bracket is not None and key.suspect is None]
    if not [key for key in keys if key.doing in (SEARCH, CONFIRM)]:
        suspects = [(key, CONFIRM) for key in idle if key.suspect is not None]
        new = [(key, SEARCH) for key in idle if key.bracket is None and key.suspect is None]
        actions += (suspects + new)[:1]
    return actions


def watch_bindings(bindings, watched):
    """How many bindings the watch of one of *watched* keys may hold, of *bindings* in all."""
    return max(2, int(bindings * _WATCHING) // watched)


def search_bindings(bindings, watched, watching):
    """How many bindings a search may open while *watching* of the *watched* keys are watched."""
    return bindings - watching * watch_bindings(bindings, watched)


def period(bracket, watched, bindings, bytes_per_day):
    """The ms between two rounds of a watch of *bracket*, one of *watched* keys.

    The larger of the lifetime and of what the byte budget allows; without a byte budget
    (*bytes_per_day* 0) as often as the bindings allow.
    """
    lo, hi = bracket
    # The two teeth of a round idle, on average, for about 5/3 of lo together.
    by_bindings = lo * 5 // (3 * watch_bindings(bindings, watched))
    if bytes_per_day == 0:
        return max(_SHORTEST, by_bindings)
    by_bytes = watched * ROUND_BYTES * 86400000 // bytes_per_day
    return max(_SHORTEST, by_bindings, by_bytes, lo if hi is None else hi)


def ended(key, change, bracket, now):
    """Note in *key* how what it did ended: a watch's *change*, a search's *bracket* (or None)."""
    if key.doing == WATCH:
        if change == "grown":
            key.bracket = None
    elif bracket is not None:
        key.bracket, key.suspect = bracket, None
    else:
        key.bracket, key.suspect = None, None
        key.not_before = now + _RETRY
    key.doing = None

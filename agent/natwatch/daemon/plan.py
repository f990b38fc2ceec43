"""What is due: pure data and pure functions, no engine and no clock.

A key is (class, state). Cold searches and confirmations open many bindings, so one runs at a
time; watches run side by side on the rest of the budget.
"""

SEARCH, CONFIRM, WATCH = "search", "confirm", "watch"

# What one watched period costs on the wire, at most: two teeth, each with its set-up, up to three
# pushes, two witnesses and their share of control requests (docs/benchmarks.md, "a round").
ROUND_BYTES = 3700
_WATCHING = 0.5  # share of the bindings that all watches together may hold
_RETRY = 30000  # ms after a search that found nothing; twice as long after each further one
_RETRY_MOST = 3600000
_SHORTEST = 1000  # ms


class Key:
    """One key's place in the plan. ``bracket`` is (lo, hi) in ms, hi None above the limit."""

    def __init__(self, key):
        self.key = key
        self.bracket = None
        self.suspect = None  # ms: the lifetime is thought to lie below
        self.doing = None
        self.not_before = 0
        self.failures = 0  # searches in a row that found nothing


def due(keys, now):
    """[(Key, SEARCH | CONFIRM | WATCH), …] to begin now.

    One search or confirmation runs at a time; a confirmation is due beside a search, which then
    has to end.
    """
    idle = [key for key in keys if key.doing is None and now >= key.not_before]
    actions = [(key, WATCH) for key in idle if key.bracket is not None and key.suspect is None]
    running = [key.doing for key in keys]
    suspects = [(key, CONFIRM) for key in idle if key.suspect is not None]
    new = [(key, SEARCH) for key in idle if key.bracket is None and key.suspect is None]
    if CONFIRM in running:
        return actions
    if suspects or SEARCH in running:
        return actions + suspects[:1]
    return actions + new[:1]


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
        key.failures = 0
    else:
        key.bracket, key.suspect = None, None
        # Where a port is blocked, a search costs 30 kB each time and never finds anything.
        key.not_before = now + min(_RETRY_MOST, _RETRY << min(key.failures, 10))
        key.failures += 1
    key.doing = None

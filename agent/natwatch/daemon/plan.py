"""What is due: pure data and pure functions, no engine and no clock.

A key is (class, state). Some keys are watched without pause, the others are looked at every few
hours; surveys (the NAT's behaviour, the kinds of keepalive, which box is short) as well. Searches,
confirmations, looks and surveys open bindings by the dozen, so one of them runs at a time; watches
run side by side on the rest of the budget.
"""

SEARCH, CONFIRM, WATCH, CHECK = "search", "confirm", "watch", "check"
SURVEY = "survey"
SURVEYS = ("nat", "keepalives")
LAYERS = "layers"  # the survey of the boxes on the way (daemon/boxes.py)
OF_PROFILE = ("reach", "sweep", "media")  # surveys of what the operator's profile names

# What things cost on the wire, IP and UDP headers included (docs/benchmarks.md, "watching").
# A round of a watch is two teeth, each with its set-up, up to three pushes, two witnesses and
# their share of control requests; on 5060 every tenth tooth has a SIP one beside it.
ROUND_BYTES = 3700
SIP_ROUND_BYTES = 4500
CHECK_BYTES = 6000  # three teeth
SURVEY_BYTES = {
    "nat": 10000,  # with the classic test
    "keepalives": 10000,
    LAYERS: 150000,  # both states, two boxes
    "reach": 4000,  # 24 ports at 132 bytes (144 a blocked one), and the report
    "sweep": 270000,  # 2,004 ports
    "media": 66000,  # 3 s: 160 packets of 200 bytes each way, set up and counted
}
KEEPALIVE_BYTES = 36  # of the resident flow, with what now and then answers
PUSH_ROUND_BYTES = 1100  # of the resident flow: copies, witnesses, and its share of the rest
PUSH_ROUND_EVERY = 300  # s
DAY = 86400

_WATCHING = 0.5  # share of the bindings that all watches together may hold
_LEAST_SHARE = 0.1  # of the bytes that the watches keep, whatever else was configured
_RETRY = 30000  # ms after a search that found nothing; twice as long after each further one
_RETRY_MOST = 3600000
_SHORTEST = 1000  # ms


class Item:
    """One thing that is done again and again. *every*: ms between two beginnings."""

    def __init__(self, every):
        self.every = every
        self.doing = None
        self.not_before = 0
        self.failures = 0  # in a row

    def failed(self, now):
        """It found nothing: try again later, and later still the next time."""
        # Where a port is blocked, a search costs 30 kB each time and never finds anything.
        self.not_before = now + min(_RETRY_MOST, _RETRY << min(self.failures, 10))
        self.failures += 1


class Key(Item):
    """One key's place in the plan. ``bracket`` is (lo, hi) in ms, hi None above the limit.

    *every* None: watched without pause. ``extends`` is of the state ``refreshed`` alone.
    """

    def __init__(self, key, every=None):
        Item.__init__(self, every)
        self.key = key
        self.bracket = None
        self.extends = None
        self.suspect = None  # ms: the lifetime is thought to lie below

    def ended(self, change, bracket, now):
        """Note how what it did ended: *change* of a watch or a look, *bracket* of a search.

        *change* is None, "shrunk" (then ``suspect`` was set), "grown" or "unknown".
        """
        if self.doing in (WATCH, CHECK):
            if change == "grown":
                self.bracket = None
            elif change == "unknown":
                self.failed(now)
            elif change is None and self.every:
                self.failures = 0
                self.not_before = now + self.every
        elif bracket is not None:
            self.bracket, self.suspect = bracket, None
            self.failures = 0
            self.not_before = now + (self.every or 0)
        else:
            self.bracket, self.suspect = None, None
            self.failed(now)
        self.doing = None


class Survey(Item):
    """One survey's place in the plan; *name* is LAYERS or one of SURVEYS or OF_PROFILE."""

    def __init__(self, name, every):
        Item.__init__(self, every)
        self.name = name
        self.found = True  # whether the latest one found anything
        self.off = False  # not to be begun as things are
        self.urgent = False  # before everything but a confirmation

    def ended(self, found, now):
        """Note that it ended, and whether it *found* anything."""
        self.found = True
        if found:
            self.failures = 0
            # Counted from when it was due, else 96 samples would take longer than a day.
            late = now - self.not_before
            self.not_before = now + self.every - (late if late < self.every else 0)
        else:
            self.failed(now)
        self.doing = None


def surveys(config, profiled):
    """A Survey of each kind that *config* wants; *profiled*: whether there is a profile."""
    every = {name: config["survey_every_s"] for name in SURVEYS}
    every[LAYERS] = config["layers_every_s"]
    if profiled:
        every.update({name: config[name + "_every_s"] for name in OF_PROFILE})
    # In this order, since a dict has none on MicroPython: what the NAT does decides on the sweep.
    names = [name for name in SURVEYS + (LAYERS,) + OF_PROFILE if every.get(name)]
    return [Survey(name, every[name] * 1000) for name in names]


def due(keys, surveys, now):
    """[(Item, action), …] to begin now.

    One action but a watch runs at a time; a confirmation is due beside another, which then has
    to end. An urgent survey comes first, then what is watched without pause, then what has been due
    for longest (surveys before keys): in a fixed order, keys that are due often would starve those
    behind them.
    """
    idle = [key for key in keys if key.doing is None and now >= key.not_before]
    watched = [key for key in idle if key.every is None]
    actions = [(key, WATCH) for key in watched if key.bracket and key.suspect is None]
    running = [item.doing for item in keys + surveys if item.doing not in (None, WATCH)]
    suspects = [(key, CONFIRM) for key in idle if key.suspect is not None]
    if CONFIRM in running:
        return actions
    if suspects or running:
        return actions + suspects[:1]
    ready = [s for s in surveys if s.doing is None and not s.off and now >= s.not_before]
    one = [(survey, SURVEY) for survey in ready if survey.urgent]
    one += [(key, SEARCH) for key in watched if not key.bracket]
    others = [(s, SURVEY) for s in ready]
    others += [(key, CHECK if key.bracket else SEARCH) for key in idle if key.every is not None]
    if others and not one:
        one.append(min(others, key=lambda entry: entry[0].not_before))
    return actions + one[:1]


def watch_bindings(bindings, watched):
    """How many bindings the watch of one of *watched* keys may hold, of *bindings* in all."""
    return max(2, int(bindings * _WATCHING) // watched)


def search_bindings(bindings, watched, watching):
    """How many bindings a search may open while *watching* of the *watched* keys are watched."""
    return bindings - watching * watch_bindings(bindings, watched)


def pace(packets_per_second):
    """The ms between the openings of two bindings, each of which sends at most two packets."""
    return max(1, 2000 // packets_per_second)


def reserved(keys, surveys, resident_interval):
    """Bytes a day for everything but the watches.

    *resident_interval* is the resident flow's keepalive in seconds, None without that flow.
    """
    total = 0
    for key in keys:
        if key.every:
            total += CHECK_BYTES * DAY * 1000 // key.every
    for survey in surveys:
        total += SURVEY_BYTES[survey.name] * DAY * 1000 // survey.every
    if resident_interval:
        total += KEEPALIVE_BYTES * DAY // resident_interval
        total += PUSH_ROUND_BYTES * DAY // PUSH_ROUND_EVERY
    return total


def period(key, bracket, keys, budget, taken):
    """The ms between two rounds of the watch of *key*, (class, state), with that *bracket*.

    *keys* are those watched, each (class, state); *taken* is ``reserved()``. The larger of the
    lifetime and of what the byte budget allows; without a byte budget (0) as often as the
    bindings allow.
    """
    lo, hi = bracket
    # The two teeth of a round idle, on average, for about 5/3 of lo together.
    by_bindings = lo * 5 // (3 * watch_bindings(budget["bindings"], len(keys)))
    if budget["bytes_per_day"] == 0:
        return max(_SHORTEST, by_bindings)
    most = budget["bytes_per_day"]
    left = max(1, int(most * _LEAST_SHARE), most - taken)
    by_bytes = len(keys) * round_bytes(key) * DAY * 1000 // left + 1
    return max(_SHORTEST, by_bindings, by_bytes, lo if hi is None else hi)


def round_bytes(key):
    """What a round of the watch of *key* costs."""
    return SIP_ROUND_BYTES if key[0] == "udp/sip" else ROUND_BYTES


def describe(keys, surveys, budget, resident_interval):
    """The plan as it is reported (docs/telemetry.md, kind ``plan``)."""
    taken = reserved(keys, surveys, resident_interval)
    watched = [key.key for key in keys if key.every is None]
    total = taken
    rows = []
    for key in keys:
        row = {"class": key.key[0], "state": key.key[1], "period": None, "bytes_per_day": 0}
        if key.every:
            row["every"] = key.every / 1000
            row["bytes_per_day"] = CHECK_BYTES * DAY * 1000 // key.every
        elif not key.bracket:
            row["every"] = 0.0  # not known yet: it is being searched for
        else:
            ms = period(key.key, key.bracket, watched, budget, taken)
            row["period"] = row["every"] = ms / 1000
            row["bytes_per_day"] = round_bytes(key.key) * DAY * 1000 // ms
            total += row["bytes_per_day"]
        rows.append(row)
    return {"budget": dict(budget), "keys": rows, "bytes_per_day": total}

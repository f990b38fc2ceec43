"""The daemon: engines run as the plan says, their results go through the spool to the broker."""

import json

from natwatch import VERSION, port
from natwatch.daemon import plan
from natwatch.daemon.loop import Loop
from natwatch.port import network
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.session import Session
from natwatch.probes.watch import Watch

_PROGRESS = 15000  # ms between two lines while a search is under way


class Service:
    """One device. *link* is None where no broker is configured; *say* takes log lines."""

    def __init__(self, config, spool, link, say):
        self.config = config
        self.spool = spool
        self.link = link
        self.say = say
        reflector = config["reflector"]
        self.session = Session(
            config["device"], bytes.fromhex(reflector["key"]), reflector["address"], port.random
        )
        self.loop = Loop(self.session)
        self.keys = [plan.Key(tuple(entry)) for entry in config["watch"]]
        self.pace = max(1, 1000 // config["budget"]["bindings_per_second"])
        self._running = []  # (Key, engine)
        self._measurements = 0
        self._numbers = {}  # (id of an engine, its number of a measurement) -> ours
        self._counters = {}  # of teeth that are no more
        self._trouble = None
        self._progress_at = 0

    def start(self):
        now = port.now()
        self.say(
            "natwatch %s on %s: device %s, reflector %s"
            % (VERSION, port.interpreter, self.config["device"], self.session.endpoint[0])
        )
        self.loop.start(self.session, now)
        if self.link is not None:
            self.loop.streams.append(self.link)
            self.link.start(now)

    def turn(self):
        """One turn of the loop and what follows from it."""
        now = port.now()
        for key, action in plan.due(self.keys, now):
            self._begin(key, action, now)
        self.loop.turn()
        now = port.now()
        for key, engine in list(self._running):
            for result in engine.take_results():
                self._report(engine, result, now)
            if engine.done:
                self._end(key, engine, now)
        self._say_trouble()
        self._say_progress(now)
        if self.link is not None:
            for event in self.link.take_events():
                if event[0] == "say":
                    self.say(event[1])

    def counters(self):
        """{name: count} of all that was dropped or went wrong so far."""
        counters = dict(self._counters)
        counted = [self.loop.counters, self.session.counters]
        counted += [engine.teeth.counters for _, engine in self._running]
        if self.link is not None:
            counted.append(self.link.dropped)
            spooled = self.spool.dropped
            counted.append({"spool_full_" + kind: spooled[kind] for kind in spooled})
        for part in counted:
            add_counts(counters, part)
        return counters

    def close(self):
        self.say("counters: %s" % json.dumps(self.counters()))
        if self.link is not None:
            self.link.close()
        self.loop.close()

    # What runs

    def _begin(self, key, action, now):
        if action == plan.CONFIRM:
            # A suspicion cannot wait for the minutes of a search, and has use for its bindings.
            for other, engine in list(self._running):
                if other.doing == plan.SEARCH:
                    engine.stop(now)
                    self._forget(other, engine)
                    other.doing = None
        key.doing = action
        engine = self._watch(key) if action == plan.WATCH else self._search(key, now)
        self._running.append((key, engine))
        self.loop.start(engine, now)

    def _watch(self, key):
        budget = self.config["budget"]
        period = plan.period(
            key.bracket, len(self.keys), budget["bindings"], budget["bytes_per_day"]
        )
        self.say("%s %s: watching, one round every %.1f s" % (key.key + (period / 1000,)))
        return Watch(self.session, key.key, key.bracket, period, self.pace)

    def _search(self, key, now):
        watching = len([other for other in self.keys if other.doing == plan.WATCH])
        bindings = plan.search_bindings(self.config["budget"]["bindings"], len(self.keys), watching)
        limit = self.config["search_limit_s"] * 1000
        text = "searching for the lifetime" if key.suspect is None else "confirming the change"
        self.say("%s %s: %s" % (key.key + (text,)))
        self._progress_at = now + _PROGRESS
        return Lifetime(self.session, key.key, limit, bindings, self.pace, key.suspect)

    def _forget(self, key, engine):
        self.loop.remove(engine)
        self._running.remove((key, engine))
        add_counts(self._counters, engine.teeth.counters)
        owner = id(engine)
        self._numbers = {n: self._numbers[n] for n in self._numbers if n[0] != owner}

    def _end(self, key, engine, now):
        self._forget(key, engine)
        if key.doing == plan.WATCH:
            key.suspect = engine.suspect if engine.change == "shrunk" else None
            plan.ended(key, engine.change, None, now)
            return
        bracket = engine.bracket
        found = None if bracket is None else (bracket.lo, bracket.hi)
        if found is not None and found[1] is None and key.suspect is not None:
            self.say(
                "%s %s: a false alarm, nothing died up to %.1f s" % (key.key + (found[0] / 1000,))
            )
            found = key.bracket  # what was known still holds
        plan.ended(key, None, found, now)

    # What is told

    def _report(self, engine, result, now):
        result["id"] = self._number(engine, result.pop("measurement"))
        result["reflector"] = self.session.endpoint[0]
        public = self.session.mapped
        result["context"] = {
            "gateway": network.gateway(),
            "public": None if public is None else public[0],
            "local": network.local_address(self.session.endpoint[0]),
        }
        self.say(sentence(result))
        t, quality = self._time(now)
        self.spool.append("lifetime", result, t, quality, now / 1000)

    def _number(self, engine, measurement):
        """The id of an engine's measurement: one number for all results that share bindings."""
        name = (id(engine), measurement)
        if name not in self._numbers:
            self._measurements += 1
            self._numbers[name] = self._measurements
        return self._numbers[name]

    def _time(self, now):
        """(seconds since 1970 or None, where it comes from), as the envelope wants it."""
        wall = port.wall()
        if self.session.wall is None:
            return (None, "none") if wall is None else (wall, "est")
        reflector = (self.session.wall[0] + now - self.session.wall[1]) / 1000
        if wall is not None and abs(wall - reflector) < 2:
            return wall, "ntp"
        return reflector, "reflector"

    def _say_progress(self, now):
        """A line now and then while a search is under way; it may take minutes."""
        for key, engine in self._running:
            if key.doing != plan.WATCH and now >= self._progress_at:
                self._progress_at = now + _PROGRESS
                self.say("%s %s: %s" % (key.key + (progress(engine.progress(now)),)))

    def _say_trouble(self):
        """Each trouble with the reflector once, and once that it is over."""
        trouble = self.session.trouble
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            self.say("the reflector answers again")
        elif self.loop.send_error is None:
            self.say(trouble)
        else:
            self.say("%s (sending fails with error %s)" % (trouble, self.loop.send_error))


def add_counts(total, part):
    """Add the counts of *part* to those of *total*, both {name: count}."""
    for name in part:
        if part[name]:
            total[name] = total.get(name, 0) + part[name]


def progress(state):
    """One plain line from a search's progress()."""
    return "%s: alive at %.1f s so far, %d bindings waiting, at most %d s left" % (
        state["phase"],
        state["alive"] / 1000,
        state["open"],
        state["left"] // 1000,
    )


def sentence(result):
    """One plain line for people from one result."""
    subject = "%s %s: " % (result["class"], result["state"])
    if result["lo"] is None:
        return subject + "unknown, because: %s" % result["reason"]
    if result["hi"] is None:
        return (
            subject + "alive at %.1f s, and nothing longer was found dead or asked" % result["lo"]
        )
    text = "alive at %.1f s, dead at %.1f s (%s; teeth: %d alive, %d expired, %d unknown)"
    return subject + text % (
        result["lo"],
        result["hi"],
        result["method"],
        result["alive"],
        result["expired"],
        result["unknown"],
    )

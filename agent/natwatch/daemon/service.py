"""The daemon: engines run as the plan says, their results go through the spool to the broker.

Whatever one of them raises is caught in _guard() or at the border of the loop, and ends in
_raised(): that engine is gone, its item of the plan waits, the others go on.
"""

import json

from natwatch import VERSION, port
from natwatch.daemon import plan, telling
from natwatch.daemon.clock import Clock
from natwatch.daemon.findings import Findings
from natwatch.daemon.health import Health
from natwatch.daemon.loop import Loop
from natwatch.daemon.supervision import GaveUp, Supervision, part_of
from natwatch.daemon.surveys import Surveys
from natwatch.diagnosis import keepalive
from natwatch.diagnosis.profile import classes
from natwatch.probes.bracket import seconds
from natwatch.probes.check import Check
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.refreshed import REFRESHED, Refreshed
from natwatch.probes.resident import Resident
from natwatch.probes.session import CLASSES, Session
from natwatch.probes.watch import Watch

_PROGRESS = 15000  # ms between two lines while a search is under way


class Service:
    """One device. *link* is None where no broker is configured; *say* takes log lines; *profile*
    is the operator's (natwatch.diagnosis.profile), None where none is configured.
    """

    def __init__(self, config, spool, link, say, profile=None):
        self.config = config
        self.link = link
        self.say = say
        reflector = config["reflector"]
        self.session = Session(
            config["device"],
            bytes.fromhex(reflector["key"]),
            reflector["address"],
            port.random,
            ports=CLASSES if profile is None else classes(profile),
        )
        self.supervision = Supervision(say)
        self.loop = Loop(self.session, self._raised)
        self.clock = Clock(self.session)
        self.findings = Findings(self.session, spool, self.clock)
        self.health = None  # until the start
        self.keys = [plan.Key(tuple(entry)) for entry in config["watch"]]
        every = config["check_every_s"] * 1000
        self.keys += [plan.Key(tuple(entry), every) for entry in config["check"]]
        self.surveys = Surveys(
            config, profile, self.keys, self.session, self.findings, say, self._guard
        )
        self.pace = plan.pace(config["budget"]["packets_per_second"])
        self.resident = None
        self._resident_item = plan.Item(None)  # when it may begin again
        # What the operator allows, for the advice; its profile knows better than the configuration.
        self._allowed = {
            "least": config["keepalive"]["least_s"],
            "most": config["keepalive"]["most_s"],
        }
        if profile is not None:
            limits = profile["keepalive_s"]
            self._allowed = {"least": limits["min"], "most": limits["max"]}
            self._allowed["register_least"] = profile["register_least_s"]
        self._running = []  # (Item, engine)
        self._counters = {}  # of engines that are no more
        self._trouble = None
        self._progress_at = 0
        self._told = {}  # kind -> data as it was last reported, for what is told when it changes

    def start(self):
        now = port.now()
        self.say(
            "natwatch %s on %s: device %s, reflector %s"
            % (VERSION, port.interpreter, self.config["device"], self.session.endpoint[0])
        )
        every = self.config["health_every_s"] * 1000
        kept = self.config.get("spool") or {"path": "."}
        self.health = Health(every, kept["path"], now)
        self.loop.start(self.session, now)
        self._begin_resident(now)
        if self.link is not None:
            self.loop.streams.append(self.link)
            self._guard(self.link, self.link.start, now)

    def turn(self):
        """One turn of the loop and what follows from it. Raises GaveUp."""
        now = port.now()
        self._guard("service", self._begin_what_is_due, now)
        self._guard("loop", self.loop.turn)
        now = port.now()
        for item, engine in list(self._running):
            self._guard(engine, self._look_after, item, engine, now)
        if self.resident is not None:
            self._guard(self.resident, self._look_after_resident, self.resident, now)
        self.surveys.turn(now)
        self._guard("clock", self.clock.look, now)
        self._guard("health", self._tell_health, now)
        self._guard("service", self._say_trouble)
        for item, engine in list(self._running):
            self._guard(engine, self._say_progress, item, engine, now)
        self._guard("spool", self.findings.spool.turn, now)
        if self.link is not None:
            self._guard(self.link, self._hear_link)
        if self.supervision.gave_up is not None:
            raise GaveUp(self.supervision.gave_up)

    def counters(self):
        """{name: count} of all that was dropped or went wrong so far."""
        counters = dict(self._counters)
        counted = [self.supervision.counters, self.loop.counters, self.session.counters]
        counted += [engine.counters for _, engine in self._running]
        if self.resident is not None:
            counted.append(self.resident.counters)
        if self.link is not None:
            counted.append(self.link.dropped)
            counted.append(self.findings.dropped())
        for part in counted:
            add_counts(counters, part)
        return counters

    def close(self):
        self.say("counters: %s" % json.dumps(self.counters()))
        self._guard("classic", self.surveys.close)
        if self.link is not None:
            self._guard(self.link, self.link.close)
        self._guard("spool", self.findings.spool.close, port.now())
        self.loop.close()

    # What raises

    def _guard(self, part, step, *arguments):
        """Run *step*, and whether it raised nothing. *part*: an engine, the link, or a name."""
        try:
            step(*arguments)
            return True
        except Exception as error:  # not KeyboardInterrupt, which is none
            self._raised(part, error)
            return False

    def _raised(self, part, error):
        """*part* raised *error*: count it, and go on without that engine or connection."""
        now = port.now()
        name = part if isinstance(part, str) else part_of(part)
        self.supervision.raised(name, error, now)
        if part is self.resident:
            self.resident = None
            self._resident_item.failed(now)
            self._retire(part)
        elif part is self.link:
            self._guard("connection", self.link.abandon, "internal error", now)
        for item, engine in list(self._running):
            if engine is part:
                self._running.remove((item, engine))
                self._retire(engine)
                self._failed(item, now)

    def _retire(self, engine):
        """*engine* is broken: nothing of it is called any more."""
        self.loop.drop(engine)
        self._guard("counters", self._keep_counters, engine)
        self.findings.forget(engine)

    def _keep_counters(self, engine):
        add_counts(self._counters, engine.counters)

    def _failed(self, item, now):
        item.doing = None
        item.failed(now)

    # What runs

    def _begin_what_is_due(self, now):
        for item, action in plan.due(self.keys, self.surveys.items, now):
            name = getattr(item, "name", action)
            if not self._guard(name, self._begin, item, action, now) and item.doing is not None:
                self._failed(item, now)
        self._begin_resident(now)

    def _begin_resident(self, now):
        item = self._resident_item
        if self.config["resident"] is None or self.resident is not None or now < item.not_before:
            return
        if not self._guard("resident", self._start_resident, now) and self.resident is None:
            item.failed(now)

    def _start_resident(self, now):
        flow = self.config["resident"]
        self.resident = Resident(
            self.session,
            flow["port"],
            flow["keepalive"],
            flow["interval_s"] * 1000,
            flow["expires_s"] * 1000,
        )
        self.loop.start(self.resident, now)

    def _look_after(self, item, engine, now):
        for result in engine.take_results():
            self._take(item, engine, result, now)
        if engine.done:
            self._end(item, engine, now)

    def _look_after_resident(self, resident, now):
        for result in resident.take_results():
            self._resident_item.failures = 0
            self._guard("report", self._tell_resident, result, now)

    def _hear_link(self):
        for event in self.link.take_events():
            if event[0] == "say":
                self.say(event[1])

    def _begin(self, item, action, now):
        if action == plan.CONFIRM:
            # A suspicion cannot wait for the minutes of a search, and has use for its bindings.
            for other, engine in list(self._running):
                if other.doing != plan.WATCH and self._guard(engine, engine.stop, now):
                    self._forget(other, engine)
                    other.doing = None
        item.doing = action
        make = {
            plan.WATCH: self._watch,
            plan.CHECK: self._check,
            plan.SURVEY: self._survey,
        }.get(action, self._search)
        engine = make(item, now)
        self._running.append((item, engine))
        self.loop.start(engine, now)

    def _watched(self):
        return [key.key for key in self.keys if key.every is None]

    def _resident_interval(self):
        flow = self.config["resident"]
        return None if flow is None else flow["interval_s"]

    def _watch(self, key, now):
        budget = self.config["budget"]
        taken = plan.reserved(self.keys, self.surveys.items, self._resident_interval())
        period = plan.period(key.key, key.bracket, self._watched(), budget, taken)
        self.say("%s %s: watching, one round every %.1f s" % (key.key + (period / 1000,)))
        self._tell_plan(now)
        return Watch(self.session, key.key, key.bracket, period, self.pace)

    def _check(self, key, _now):
        return Check(self.session, key.key, key.bracket, self.pace, key.extends)

    def _survey(self, survey, now):
        return self.surveys.engine(survey, self._room(), now)

    def _room(self):
        """How many bindings may be opened beside those of the watches."""
        watching = len([key for key in self.keys if key.doing == plan.WATCH])
        bindings = self.config["budget"]["bindings"]
        return plan.search_bindings(bindings, len(self._watched()), watching)

    def _search(self, key, now):
        bindings = self._room()
        limit = self.config["search_limit_s"] * 1000
        text = "searching for the lifetime" if key.suspect is None else "confirming the change"
        self.say("%s %s: %s" % (key.key + (text,)))
        self._progress_at = now + _PROGRESS
        if key.key[1] == REFRESHED:
            return Refreshed(self.session, key.key[0], limit, bindings, self.pace)
        return Lifetime(self.session, key.key, limit, bindings, self.pace, key.suspect)

    def _forget(self, item, engine):
        self.loop.remove(engine)
        if (item, engine) not in self._running:
            return  # its last words raised something
        self._keep_counters(engine)
        self.findings.forget(engine)
        self._running.remove((item, engine))

    def _end(self, item, engine, now):
        self._forget(item, engine)
        if item.doing is None:
            return
        self._guard(part_of(engine), self._note_end, item, engine, now)
        if item.doing is not None:
            self._failed(item, now)

    def _note_end(self, item, engine, now):
        if item.doing == plan.SURVEY:
            self.surveys.ended(item, now)
            return
        if item.doing in (plan.WATCH, plan.CHECK):
            item.suspect = engine.suspect if engine.change == "shrunk" else None
            item.ended(engine.change, None, now)
            return
        bracket = engine.bracket
        found = None if bracket is None else (bracket.lo, bracket.hi)
        confirmed = item.suspect is not None and item.key[1] != REFRESHED
        if found is not None and found[1] is None and confirmed:
            # Nothing died up to the suspected silence, and nothing longer was asked.
            self.say(
                "%s %s: a false alarm, nothing died up to %.1f s" % (item.key + (found[0] / 1000,))
            )
            found = item.bracket  # what was known still holds
        shrunk = confirmed and _below(found, item.bracket)
        item.ended(None, found, now)
        if shrunk:
            self.surveys.shrunk(item, now)
        self._tell_advice(now)
        self.surveys.tell_standing(now)

    # What is told

    def _take(self, item, engine, result, now):
        """One *result* of an engine that runs for *item*."""
        if item.doing == plan.SURVEY:
            if not self._guard(item.name, self.surveys.take, item, result, now):
                item.found = False
            return
        self._guard("report", self._tell_lifetime, engine, result, now)
        self.surveys.lifetime(result, now)
        if "extends" in result and result["lo"] is not None:
            item.extends = result["extends"]

    def _tell_lifetime(self, engine, result, now):
        self.findings.lifetime(engine, result, now)
        self.say(telling.lifetime(result))

    def _tell_resident(self, result, now):
        self.say(telling.resident(result))
        self.findings.report("resident", result, now)

    def _tell_health(self, now):
        if self.health is not None and self.health.due(now):
            spool = self.findings.spool
            data = self.health.data(self.clock, spool, self.counters(), now)
            self.findings.report("health", data, now)

    def _tell_plan(self, now):
        data = plan.describe(
            self.keys, self.surveys.items, self.config["budget"], self._resident_interval()
        )
        self._tell_if_new("plan", data, now)

    def _tell_advice(self, now):
        known = {key.key[1]: key for key in self.keys if key.key[0] == "udp/sip" and key.bracket}
        brackets = {state: seconds(known[state].bracket) for state in known}
        extends = known["refreshed"].extends if "refreshed" in known else None
        data = keepalive.advise(
            brackets.get("replied"),
            brackets.get("oneway"),
            answered=self.config["keepalive"]["answered"],
            extends=extends,
            in_use=self._resident_interval(),
            **self._allowed,
        )
        if self._tell_if_new("advice", data, now):
            self.say(telling.advice(data))

    def _tell_if_new(self, kind, data, now):
        """Report *data* unless it says what was said before. Whether it was reported."""
        text = json.dumps(data)
        if self._told.get(kind) == text:
            return False
        self._told[kind] = text
        self.findings.report(kind, data, now)
        return True

    def _say_progress(self, item, engine, now):
        """A line now and then while a search is under way; it may take minutes."""
        if item.doing in (plan.SEARCH, plan.CONFIRM) and now >= self._progress_at:
            self._progress_at = now + _PROGRESS
            text = telling.progress(engine.progress(now))
            self.say("%s %s: %s" % (item.key + (text,)))

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


def _below(bracket, old):
    """Whether a *bracket*, (lo, hi) in ms or None, lies wholly below the *old* one."""
    return bracket is not None and bracket[1] is not None and bracket[1] < old[0]


def add_counts(total, part):
    """Add the counts of *part* to those of *total*, both {name: count}."""
    for name in part:
        if part[name]:
            total[name] = total.get(name, 0) + part[name]

"""The surveys: what is asked of the line beside lifetimes, and what follows from the answers."""

from natwatch import port
from natwatch.daemon import plan, telling
from natwatch.daemon.boxes import Boxes
from natwatch.daemon.sampling import SAMPLE, Sampling
from natwatch.daemon.standing import Standing
from natwatch.diagnosis.classic import set_beside
from natwatch.port import classic, kernel, network
from natwatch.probes.addressing import PRIVATE
from natwatch.probes.behaviour import Behaviour
from natwatch.probes.filtering import Filtering
from natwatch.probes.keepalives import UNKNOWN, Keepalives
from natwatch.probes.mapping import ONE_BINDING, Mapping
from natwatch.probes.media import Media
from natwatch.probes.reach import Reach

_AGAIN = 30000  # ms until ports that a sweep found silent are asked a second time
_MEDIA = 3  # s; an hour's stream of the day's bytes


class Surveys:
    """``items`` are their places in the plan. *profile* None: nothing of what it names is asked.
    *keys* are those of the plan.

    *guard(name, step, …)* runs a step, catches what it raises and says whether it raised nothing:
    what follows from an answer must not end the engine that found it.

    ``standing`` is the Standing, None without a profile.
    """

    def __init__(self, config, profile, keys, session, findings, say, guard):
        self._guard = guard
        self.session = session
        self.findings = findings
        self.say = say
        self.items = plan.surveys(config, profile is not None)
        self.standing = self.sampling = None
        if profile is not None:
            self.sampling = Sampling(profile["ports"], port.random)
            self.standing = Standing(profile, self.sampling)
        packets = config["budget"]["packets_per_second"]
        self._pace = 1000 // packets
        self.boxes = None  # where the boxes on the way are never looked at
        for item in self.items:
            if item.name == plan.LAYERS:
                limits = (config["search_limit_s"] * 1000, plan.pace(packets))
                inner = PRIVATE if profile is None else profile["inner"]
                self.boxes = Boxes(item, keys, session, findings, say, limits, inner)
        self._mapping = None  # as the latest survey found it
        self._asked = []  # the ports of the sample or sweep that runs
        self._classic = None  # (what our own engines found, child) while the child is awaited
        self._decide_on_sweep()

    def engine(self, item, room, now):
        """The engine for *item*, which may open *room* bindings."""
        if item.name == "nat":
            mapping = Mapping(self.session.endpoint, port.random, own=network.own_addresses())
            return Behaviour(Filtering(self.session), mapping)
        if item.name == plan.LAYERS:
            return self.boxes.engine(room)
        if item.name == "keepalives":
            return Keepalives(self.session)
        if item.name == "media":
            chosen = self.sampling.open_voice_port(port.random, now)
            return Media(self.session, chosen, _MEDIA)
        if item.name == "reach":
            room = max(1, min(SAMPLE, room - len(self.sampling.single)))
            self._asked = self.sampling.sample(room)
        else:
            self._asked = self.sampling.sweep()
        ports = [(one, one) for one in self._asked]
        return Reach(self.session.endpoint[0], ports, port.random, pace=self._pace)

    def take(self, item, result, now):
        """One *result* of the engine for *item*; ``item.found`` says whether it is an answer."""
        take = {
            "nat": self._take_nat,
            "keepalives": self._take_keepalives,
            "media": self._take_media,
            plan.LAYERS: self._take_layers,
        }.get(item.name, self._take_reach)
        take(item, result, now)
        self.tell_standing(now)

    def turn(self, now):
        """Look after what is under way."""
        if not self._guard("classic", self._take_classic, now):
            self._guard("classic", self.close)
            self._classic = None
        if self.boxes is not None:
            self._guard("boxes", self.boxes.turn, now)
        if self.standing is not None:
            self._guard("standing", self._tell_if_due, now)

    def ended(self, item, now):
        """The engine for *item* has ended."""
        item.ended(item.found, now)
        if item.name == plan.LAYERS:
            self.boxes.ended(now)

    def shrunk(self, key, now):
        """The shrink of *key*, of the plan, was confirmed."""
        if self.boxes is not None:
            self._guard("boxes", self.boxes.shrunk, key, now)

    def close(self):
        """A child takes up to a minute: the next survey, or the end, may come sooner."""
        if self._classic is not None and self._classic[1] is not None:
            self._classic[1].close()

    def lifetime(self, result, now):
        """One *result* of kind "lifetime", on which the verdict depends as well."""
        if self.boxes is not None:
            self._guard("boxes", self.boxes.lifetime, now)
        if self.standing is not None:
            self._guard("standing", self.standing.lifetime, result, now)

    def tell_standing(self, now):
        """Report the verdict, if it is another one or is due."""
        if self.standing is not None:
            self._guard("standing", self._tell_standing, now)

    def _tell_if_due(self, now):
        if self.standing.due(now):
            self._tell_standing(now)

    def _tell_standing(self, now):
        local = network.address_towards(self.session.endpoint[0])
        mapped = None if self.session.mapped is None else self.session.mapped[0]
        self.standing.place(local, network.gateway(), mapped, now)
        configured = kernel.of_this_router(False)
        if configured is not None:
            configured["helpers"] = None  # R5 is for the check, which lists the rules
        self.standing.keep("configured", configured, now)
        news = self.standing.news(now)
        if news is not None:
            self.say(telling.check(news))
            self.findings.report("check", news, now)

    # What each found

    def _take_nat(self, item, result, now):
        item.found = result["mapping"] is not None
        if item.found:  # one look that found nothing takes nothing back
            self._mapping = result["mapping"]
            self._keep("nat", result, now)
            self._decide_on_sweep()
        # The classic test is made beside ours, where this interpreter can.
        local = network.local_address(self.session.endpoint[0])
        self.close()
        self._classic = (result, classic.start(self.session.endpoint, local, now))

    def _take_classic(self, now):
        if self._classic is None:
            return
        result, child = self._classic
        theirs = None if child is None else child.poll(now)
        if child is not None and theirs is None:
            return
        self._classic = None
        set_beside(result, theirs)
        for line in telling.behaviour(result):
            self.say(line)
        self.findings.report("nat", result, now)

    def _take_keepalives(self, item, result, now):
        item.found = set(result["kinds"].values()) != {UNKNOWN}
        if item.found:
            self._keep("keepalives", result, now)
        self.say(telling.keepalives(result))
        self.findings.report("keepalives", result, now)

    def _take_media(self, item, result, now):
        item.found = result["out"] is not None or result["in"] is not None
        if item.found:
            self._keep("media", result, now)
        self.say(telling.media(result))
        self.findings.report("media", result, now)

    def _take_layers(self, item, result, now):
        value = self.boxes.take(result, now)
        if value is not None:
            self._keep(item.name, value, now)

    def _take_reach(self, item, result, now):
        to_tell = self.sampling.take(self._asked, result, now)
        doubted = self.sampling.doubted
        item.found = self.sampling.answered and (item.name == "sweep" or not doubted)
        self._decide_on_sweep()
        if not to_tell:
            self.say(telling.doubted(doubted))
            # A second sweep would cost as much as a day's samples: the next sample asks instead.
            for other in self.items:
                if other.name == "reach":
                    other.not_before = min(other.not_before, now + _AGAIN)
            return
        data = self.sampling.told(result, self._asked, now)
        self.say(telling.reach(data))
        self.findings.report("reach", data, now)

    def _keep(self, name, result, now):
        if self.standing is not None:
            self.standing.keep(name, result, now)

    def _decide_on_sweep(self):
        """2,001 ports at once only where they are one binding, and where anything answers."""
        for item in self.items:
            if item.name == "sweep":
                item.off = self._mapping not in ONE_BINDING or not self.sampling.answered

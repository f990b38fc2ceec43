"""natwatch check: every engine that answers a requirement, in order, and one report of it all.

The ports come first and need no key: a customer whose firewall blocks 3478 needs a report most,
so the control flow goes to whichever port answers. Then what the NAT does, since that decides how
many ports may be asked at once, and who stands where: the adapter, the registrar's name. Then the
sweep of the voice ports, a voice stream, the kinds of keepalive, the account, the forward, and the
lifetimes, which take as long as the NAT's timer. Where bindings die it asks at last which of the
boxes on the way forgets, which takes as long again.
"""

from natwatch import VERSION, port
from natwatch.commands import Outcome
from natwatch.daemon import telling
from natwatch.diagnosis.findings import ENGINES
from natwatch.diagnosis.layers import combine
from natwatch.diagnosis.page import page
from natwatch.diagnosis.profile import classes
from natwatch.diagnosis.report import lines, report
from natwatch.evidence import Evidence
from natwatch.oneshot import Found, measure, write_log
from natwatch.port import kernel, network
from natwatch.probes.adapter import Adapter
from natwatch.probes.addressing import addressing, kind_of
from natwatch.probes.alg import Alg
from natwatch.probes.behaviour import Behaviour
from natwatch.probes.dns import Dns
from natwatch.probes.filtering import Filtering
from natwatch.probes.forward import Forward
from natwatch.probes.keepalives import Keepalives
from natwatch.probes.layers import Layers
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.mapping import ONE_BINDING, Mapping
from natwatch.probes.media import Media
from natwatch.probes.path import Path
from natwatch.probes.reach import Reach, count, ports_of
from natwatch.probes.registration import Registration
from natwatch.probes.session import Session
from natwatch.probes.size import Size
from natwatch.probes.teeth import ONEWAY, REPLIED, STREAM

KEYS = (("udp/sip", REPLIED), ("udp/sip", ONEWAY), ("udp/stun", REPLIED))
# Bindings at once of each of the three searches, and voice ports asked: where one socket is one
# binding (or the ports are but a quick sample), and where each port is a binding of its own. With
# the control flow, the voice stream, the kinds of keepalive and the account these are never more
# than 64: a carrier may allow a customer few.
_BINDINGS, _SAMPLE = 20, 40
_BINDINGS_EACH, _SAMPLE_EACH = 12, 23
_PACE = 10  # ms between the openings of two bindings
_TOLERANCE = 0.05  # of a lifetime: no advice needs it closer, and a person waits
_CANDIDATES = 4  # voice ports, of which the first that is open gets the voice stream
_TALK, _TALK_QUICK = 30, 10  # s of the voice stream
_SWEEP = 4096  # ports; of a larger range as many are drawn: 41 s of asking
_ELSEWHERE = ("adapter", "dns", "registration", "gateway")  # the reflector has no part in these
_NAT_TAKES = 12  # s, where nothing is lost
_LONGEST = 890  # s; the reflector holds no push longer than 900
_LONGEST_QUICK = 32  # s
_QUICK = 50000  # ms after which --quick stops measuring; the rest is for the report


class Checkup:
    """One check of *target*, (address, device, key), against *profile*.

    *site* is what is known of the customer's line: {"adapter", "account", "resolvers"} as in the
    configuration, each None where it is not, and "refusal", the port.refusal.Refusal of the
    account. ``measured`` fills as it goes on, in the form of diagnosis.findings.
    """

    def __init__(self, target, profile, site, quick):
        self.address, self.device, self.key = target
        self.profile = profile
        self.site = site
        self.quick = quick
        self.trouble = None
        self.until = port.now() + _QUICK if quick else None
        self.measured = dict([(name, None) for name in ENGINES])
        self.measured.update({"lifetimes": {}, "left_out": [], "cut_short": False})
        # Of the boxes on the way: where they may stand, their timers, what the router tells.
        self.boxes = {"path": None, "boxes": None, "gateway": None}

    def run(self):
        """Measure everything. False, with ``trouble``, if nothing of the far end answers."""
        reached = self._ask_ports()
        if reached is None:
            return False
        first, mapped = reached
        self.measured["addressing"] = self._addressing(mapped)
        self.measured["configured"] = kernel.of_this_router(True)
        ports = classes(self.profile)
        session = Session(self.device, self.key, self.address, port.random, first, ports)
        voice = self._ask_nat(session)
        self._ask_rest(session, voice)
        self._ask_boxes(session)
        return True

    def _ask_ports(self):
        """(a port of the first address that answers, what it sees of us), None if none does."""
        ports = self.profile["ports"]
        single = [(one, one) for one in ports["stun"] + [ports["sip"]]]
        here = Reach(self.address, single, port.random, long=True)
        found = measure(None, [here], lambda now: "asking %s which ports answer" % self.address)
        if not found[0]["open"]:
            text = "no answer from %s at ports %s"
            shown = ", ".join(["%d" % low for low, _ in single])
            self.trouble = text % (self.address, shown)
            return None
        self.measured["ports"] = found
        if here.other is not None and here.other[0] != self.address:
            there = Reach(here.other[0], single, port.random, long=True)
            text = "asking %s which ports answer" % here.other[0]
            found = found + measure(None, [there], lambda now: text)
            self.measured["ports"] = found
        blocked = ports_of(found[0]["blocked"])
        return [low for low, _ in single if low not in blocked][0], here.mapped

    def _addressing(self, mapped):
        local = network.address_towards(self.address)
        public = None if mapped is None else mapped[0]
        return addressing(local, network.gateway(), public, self.profile["inner"])

    def _ask_nat(self, session):
        own = network.own_addresses()
        mapping = Mapping(session.endpoint, port.random, own=own)
        candidates = self._voice_ports()
        voice = Reach(self.address, [(one, one) for one in candidates], port.random)
        asked = [
            ("nat", Behaviour(Filtering(session), mapping)),
            ("alg", Alg(session, self.measured["addressing"]["local"], candidates[0])),
            ("size", Size(session)),
            ("voice", voice),
            ("path", Path(session)),
        ]
        if self.measured["configured"] is None:  # else the router is this machine
            asked.append(("gateway", Evidence(session.endpoint, port.random)))
        adapter, account = self.site["adapter"], self.site["account"]
        if adapter is not None:
            asked.append(("adapter", Adapter((adapter["address"], adapter["port"]), port.random)))
        if account is not None:
            resolvers = self.site["resolvers"] or network.resolvers()
            names = (account["registrar"], self.profile["network"])
            asked.append(("dns", Dns(resolvers, names[0], names[1], port.random)))
        began = port.now()

        def describe(now):
            left = max(1, _NAT_TAKES - (now - began) // 1000)
            return "asking about the NAT and SIP, about %d s left" % left

        found = self._measure(session, asked, describe)
        blocked = candidates if found["voice"] is None else ports_of(found["voice"]["blocked"])
        return [one for one in candidates if one not in blocked][:1]

    def _voice_ports(self):
        """A few ports of the profile's range, even ones, as RTP takes them (RFC 3550, 11)."""
        low, high = self.profile["ports"]["rtp"]
        low += low % 2
        drawn = [int.from_bytes(port.random(2), "big") for _ in range(_CANDIDATES)]
        return sorted(set([low + 2 * (number % ((high - low) // 2 + 1)) for number in drawn]))

    def _placed(self, adapter):
        """The *adapter*'s result, with what kind of address it has and whether it is near."""
        adapter["kind"] = kind_of(adapter["address"], self.profile["inner"])
        adapter["on_segment"] = network.on_segment(adapter["address"])
        return adapter

    def _ask_rest(self, session, voice):
        """*voice*: the port for the voice stream, in a list, empty where none is open."""
        nat = self.measured["nat"] or {"mapping": None}
        one = nat["mapping"] in ONE_BINDING
        bindings = _BINDINGS if one else _BINDINGS_EACH
        voice_ports = [self.profile["ports"]["rtp"]]
        most = (_SAMPLE if self.quick else _SWEEP) if one else _SAMPLE_EACH
        sweep = Reach(self.address, voice_ports, port.random, most)
        if count(voice_ports) > most:
            self._leave_out("ports", asked=most)
        limit = self._limit()
        if self.quick:
            self._leave_out("lifetimes", seconds=limit)
        keys = self._keys(session.ports)
        searches = [
            Lifetime(session, key, limit * 1000, bindings, _PACE, tolerance=_TOLERANCE)
            for key in keys
        ]
        asked = [("rtp", sweep), ("keepalives", Keepalives(session))]
        asked += [
            ("media", Media(session, one, _TALK_QUICK if self.quick else _TALK)) for one in voice
        ]
        asked += self._of_account() + self._of_forward(session)
        asked += [(engine.key, engine) for engine in searches]

        def describe(now):
            running = [engine for engine in searches if not engine.done]
            told = [telling.progress(engine.progress(now)) for engine in _slowest(running, now)]
            if not sweep.done:
                told.append("voice ports: %d of %d answer (pass %d)" % sweep.progress(now))
            told = told or ["waiting for the last answers"]
            # The time left is that of this part alone: nobody is to wait for its end in vain.
            return "; ".join(told + ([] if self.quick else ["then, if one forgets, which box"]))

        try:
            self._measure(session, asked, describe)
        finally:  # also when Ctrl-C cuts it short
            if [engine for name, engine in asked if name == "registration" and engine.failed]:
                self.site["refusal"].remember(self.site["account"], port.now())

    def _limit(self):
        """The silence, s, up to which lifetimes are searched: no advice needs longer ones."""
        limits = self.profile["keepalive_s"]
        if self.quick:
            return min(limits["default"] + 2, _LONGEST_QUICK)
        return min(2 * limits["max"] + 2, _LONGEST)

    def _ask_boxes(self, session):
        """Which box on the way forgets, where a lifetime was found that some box must have."""
        found, path = self.measured["lifetimes"].get(KEYS[0]), self.boxes["path"]
        if found is None or found["lo"] is None or found["hi"] is None or path is None:
            return
        if self.quick:
            self._leave_out("layers")
            return
        bracket = int(found["lo"] * 1000), int(found["hi"] * 1000)
        nat = self.measured["nat"] or {"mapping": None}
        bindings = 3 * (_BINDINGS if nat["mapping"] in ONE_BINDING else _BINDINGS_EACH)
        limit = self._limit() * 1000
        engine = Layers(session, REPLIED, limit, bindings, _PACE, path, bracket)

        def describe(now):
            return "which box forgets: " + telling.progress(engine.progress(now))

        self._measure(session, [("boxes", engine)], describe)

    def _of_account(self):
        """[("registration", engine)], if there is an account whose registrar may be asked."""
        account, dns = self.site["account"], self.measured["dns"]
        registrar = None if account is None or dns is None else found_by(dns, account["port"])
        if registrar is None:
            return []
        not_before = self.site["refusal"].not_before(account, port.now())
        return [("registration", Registration(registrar, account, port.random, not_before))]

    def _of_forward(self, session):
        """[("forward", engine)], if it is known which port of which adapter it would lead to."""
        adapter, known = self.site["adapter"], self.measured["adapter"]
        if adapter is None:
            return []
        agent = None if known is None else known["agent"]
        return [("forward", Forward(session, adapter["port"], agent))]

    def _measure(self, session, asked, describe):
        """{name: result} of the engines *asked*, [(name, engine), …]; None where there is none.

        What they told stands in ``measured`` then, also if Ctrl-C ends it or the reflector dies.
        """
        found = Found(len(asked))
        try:
            measure(session, [engine for _, engine in asked], describe, self.until, found)
        finally:
            told = self._believed(session, [name for name, _ in asked], found)
            for name in told:
                self._note(name, told[name])
        if session.trouble is not None:
            known = [part for part in self.measured["left_out"] if part["what"] == "reflector"]
            if not known:
                self._leave_out("reflector", trouble=session.trouble)
        return told

    def _believed(self, session, names, found):
        """{name: result}. A reflector that has died looks like a firewall that blocks every port:
        what came after its last answer is not believed."""
        told = dict([(name, found.results[index]) for index, name in enumerate(names)])
        for index, name in enumerate(names):
            came, heard = found.times[index], session.answered_at
            if session.trouble is None or name in _ELSEWHERE or came is None:
                continue
            if heard is None or came > heard:
                told[name] = None
        return told

    def _note(self, name, result):
        if result is None:
            return
        if name == "adapter":
            result = self._placed(result)
        if name in ENGINES:
            self.measured[name] = result
        elif name in self.boxes:
            self.boxes[name] = result
        elif name in KEYS:
            self.measured["lifetimes"][name] = result

    def _keys(self, ports):
        """The keys whose port is open: a blocked one would be searched for without end."""
        blocked = ports_of(self.measured["ports"][0]["blocked"])
        return [key for key in KEYS if ports[key[0]][0] not in blocked]

    def finished(self):
        """What was measured. Lifetimes that were found left nothing out."""
        lifetimes = self.measured["lifetimes"].values()
        if lifetimes and not [one for one in lifetimes if one is None or one["hi"] is None]:
            parts = self.measured["left_out"]
            self.measured["left_out"] = [one for one in parts if one["what"] != "lifetimes"]
        if self.boxes["boxes"] is not None or self.boxes["gateway"] is not None:
            timers = {REPLIED: self.boxes["boxes"], STREAM: None}
            where, configured = self.measured["addressing"], self.measured["configured"]
            self.measured["layers"] = combine(timers, self.boxes["gateway"], where, configured)
        return self.measured

    def _leave_out(self, what, **values):
        """Note that something was not asked; *what* is a name of diagnosis.texts.LEFT_OUT."""
        self.measured["left_out"].append({"what": what, "values": values})


def _slowest(searches, now):
    """Of *searches* the one that will end last, in a list, empty where there is none."""
    return sorted(searches, key=lambda engine: -engine.progress(now)["left"])[:1]


def found_by(dns, number):
    """(address, port) of the registrar in the result of Dns: of its A, and port *number*, or of its
    SRV. None where there is none, or one that is not the operator's: it would get the user's name
    and digest."""
    if dns["outside"]:
        return None
    found = [(address, number) for address in dns["a"]]
    found += [(address, one["port"]) for one in dns["srv"] for address in one["a"]]
    return found[0] if found else None


def check(target, profile, site, quick, language, colour, html=None):
    """The Outcome of one check, also written to the file *html*.

    Ctrl-C ends it early: what it has is told, and that it was cut.
    """
    checkup = Checkup(target, profile, site, quick)
    try:
        if not checkup.run():
            return Outcome(None, trouble=checkup.trouble)
    except KeyboardInterrupt:
        checkup.measured["cut_short"] = True
    about = {"device": target[1], "time": port.wall(), "program": VERSION, "quick": quick}
    result = report(checkup.finished(), profile, about)
    told = lines(result, profile, language, colour)
    if html is not None:
        try:
            with open(html, "wb") as file:  # UTF-8, whatever the locale
                file.write(page(result, profile, language).encode())
        except OSError as error:
            # What was measured for minutes is still printed.
            write_log("natwatch: %s: cannot be written: error %s\n" % (html, error.errno))
    return Outcome(result, told, result["verdict"] == "ready")

"""The loop and the daemon's bookkeeping: descriptors, numbers of measurements, preemption."""

import socket

from test_findings import media
from test_standing import PROFILE
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch import port
from natwatch.daemon import plan
from natwatch.daemon.loop import Loop
from natwatch.daemon.service import Service
from natwatch.daemon.spool import Spool
from natwatch.probes.bracket import Bracket
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.session import Session
from natwatch.probes.watch import Watch
from natwatch.wire import telemetry

HERE = "127.0.0.1"


class Quiet:
    """An engine that does what its list says, once, and remembers what it received."""

    done = False

    def __init__(self, sends=()):
        self.sends = list(sends)
        self.received = []

    def start(self, now):
        pass

    def receive(self, flow, data, source, now):
        self.received.append((flow, data, source))

    def notice(self, notice, now):
        pass

    def next_timer(self):
        return None

    def handle_timer(self, now):
        pass

    def take_sends(self):
        sends, self.sends = self.sends, []
        return sends

    def take_notices(self):
        return []


class Stream:
    """A stream that owns a descriptor and may close it at any time."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.descriptor = self.socket.fileno()

    def fileno(self):
        return self.descriptor

    def interest(self):
        return 1

    def next_timer(self):
        return None

    def close(self):
        self.socket.close()
        self.descriptor = -1


def echo_to(loop, engine, flow):
    """Send one datagram from elsewhere to *flow*, and turn until it was received."""
    udp = loop._flows[(id(engine), flow)]
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.sendto(b"hello", port.pack_address(HERE, udp.number))
    for _ in range(50):
        loop.turn(20)
        if engine.received:
            break
    other.close()
    return engine.received


def test_a_socket_that_gets_the_number_of_a_closed_stream_is_still_heard():
    loop = Loop(Quiet())
    stream = Stream()
    loop.streams.append(stream)
    loop.turn(0)
    number = stream.descriptor
    stream.close()
    engine = Quiet([(1, b"x", (HERE, 9))])
    loop.start(engine, 0)
    assert loop._flows[(id(engine), 1)].fileno() == number, "the kernel gives the lowest number"
    loop.turn(0)
    assert [data for _, data, _ in echo_to(loop, engine, 1)] == [b"hello"]
    loop.close()


def test_removing_an_engine_closes_its_sockets_and_nobody_elses():
    loop = Loop(Quiet())
    one, other = Quiet([(1, b"x", (HERE, 9))]), Quiet([(1, b"x", (HERE, 9))])
    loop.start(one, 0)
    loop.start(other, 0)
    loop.remove(one)
    assert list(loop._flows) == [(id(other), 1)]
    assert len(echo_to(loop, other, 1)) == 1
    loop.close()


def test_every_flow_has_a_port_of_its_own_that_is_not_used_again():
    loop = Loop(Quiet())
    engine = Quiet([(flow, b"x", (HERE, 9)) for flow in range(1, 20)])
    engine.sends += [(flow, None, (HERE, 9)) for flow in range(1, 10)]
    loop.start(engine, 0)
    first = set([udp.number for udp in loop._flows.values()])
    engine.sends = [(flow, b"x", (HERE, 9)) for flow in range(20, 40)]
    loop.turn(0)
    assert len(loop._flows) == 30
    later = [udp.number for (_, flow), udp in loop._flows.items() if flow >= 20]
    assert not first.intersection(later) and len(set(later)) == 20
    loop.close()


def service(profile=None, **changes):
    lines = []
    config = {
        "device": DEVICE,
        "reflector": {"address": HERE, "key": "0f" * 32},
        "watch": [["udp/sip", "stream"], ["udp/sip", "replied"]],
        "search_limit_s": 600,
        "budget": {"bindings": 64, "bytes_per_day": 0, "packets_per_second": 200},
        "check": [["udp/stun", "stream"]],
        "check_every_s": 21600,
        "survey_every_s": 21600,
        "layers_every_s": 86400,
        "reach_every_s": 900,
        "sweep_every_s": 86400,
        "media_every_s": 3600,
        "health_every_s": 3600,
        "resident": None,
        "keepalive": {"least_s": 20, "most_s": 170, "answered": None},
    }
    config.update(changes)
    return Service(config, Spool("0" * 16), None, lines.append, profile), lines


def test_results_that_share_bindings_share_a_number():
    made, _ = service()
    one, other = object(), object()
    numbers = [
        made.findings._number(one, 1),
        made.findings._number(one, 2),
        made.findings._number(one, 1),
    ]
    assert numbers == [1, 2, 1]
    assert made.findings._number(other, 1) == 3
    made.loop.close()


def test_a_watch_that_reports_for_ever_leaves_no_more_numbers_behind():
    made, _ = service()
    watch, other = object(), object()
    made.findings._number(other, 1)
    for report in range(1, 1000):
        assert made.findings._number(watch, report) == 1 + report
    assert made.findings._number(other, 1) == 1
    assert len(made.findings._numbers) <= 3
    made.loop.close()


def test_a_survey_of_keepalives_that_learned_nothing_is_made_again_soon():
    made, _ = service()
    survey = made.surveys.items[1]
    for verdict, found in (("unknown", False), ("lost", True), ("arrives", True)):
        survey.doing = plan.SURVEY
        kinds = {"stun": verdict, "crlf": "unknown"}
        result = {"kinds": kinds, "reason": None, "sent": 0, "came": 0}
        made._take(survey, None, result, port.now())
        assert survey.found is found
    made.loop.close()


def test_a_suspicion_ends_a_search_and_is_confirmed_at_once():
    made, _ = service()
    stream, replied = made.keys[:2]
    made._begin(replied, plan.SEARCH, port.now())
    stream.bracket, stream.suspect = (39000, 40000), 20000
    actions = plan.due(made.keys, made.surveys.items, port.now())
    assert actions == [(stream, plan.CONFIRM)]
    made._begin(stream, plan.CONFIRM, port.now())
    assert replied.doing is None and stream.doing == plan.CONFIRM
    assert [key for key, _ in made._running] == [stream]
    made.loop.close()


class Searched:
    """An engine whose search is over: the bracket, (lo, hi) in ms, that it found."""

    counters = {}

    def __init__(self, lo, hi):
        self.bracket = Bracket(lo, hi, 5, 1, 0, 0)

    def start(self, now):
        pass

    def take_sends(self):
        return []


def test_a_confirmed_shrink_has_its_box_looked_for_before_anything_else():
    for suspect, found, urgent in (
        (20000, (14400, 15600), True),
        (20000, (38800, 39600), False),  # the lifetime that was known: a router's restart
        (20000, (19000, None), False),  # nothing died: a false alarm
        (None, (14400, 15600), False),  # searched for anew, since it had grown
    ):
        made, _ = service()
        stream = made.keys[0]
        stream.bracket, stream.suspect, stream.doing = (39000, 40000), suspect, plan.CONFIRM
        engine = Searched(found[0], found[1])
        made._running.append((stream, engine))
        made.loop.start(engine, 0)
        made._end(stream, engine, 1000)
        made.surveys.turn(1000)
        layers = survey_of(made, "layers")
        assert layers.urgent is urgent and not layers.off, found
        actions = plan.due(made.keys, made.surveys.items, 1000)
        assert ((layers, plan.SURVEY) in actions) is urgent, found
        made.loop.close()


def test_boxes_are_never_looked_at_where_that_is_switched_off():
    made, _ = service(layers_every_s=0)
    made.keys[0].bracket = (14400, 15600)
    made.surveys.shrunk(made.keys[0], 0)
    made.surveys.turn(0)
    made.surveys.lifetime({"class": "udp/sip", "state": "stream", "lo": 14.4, "hi": 15.6}, 0)
    assert [item.name for item in made.surveys.items] == ["nat", "keepalives"]
    made.loop.close()


def test_what_was_dropped_is_summed_and_said_at_the_end():
    made, lines = service()
    made.session.counters["not_stun"] = 2
    made.findings.spool.dropped["lifetime"] = 3
    made.link = None
    made._begin(made.keys[0], plan.SEARCH, port.now())
    made._running[0][1].teeth.counters["wrong_source"] = 1
    assert made.counters() == {"not_stun": 2, "wrong_source": 1}
    made.close()
    assert "not_stun" in lines[-1]


def test_a_report_is_one_envelope_with_the_context():
    made, _ = service()
    made.session.mapped = ("203.0.113.9", 4711)
    engine = object()
    result = {"measurement": 1, "class": "udp/sip", "state": "stream", "lo": None, "hi": None}
    result["reason"] = "no answer"
    made.findings.lifetime(engine, result, port.now())
    data = telemetry.decode(made.findings.spool.next(0)).data
    assert data["id"] == 1 and "measurement" not in data
    assert data["context"]["public"] == "203.0.113.9"
    made.loop.close()


def look_after(world, key, seconds):
    """Watch and confirm *key* as the daemon does, for *seconds*; all results."""
    session = world.engines[0]
    results, running = [], []
    end = world.now + seconds * 1000
    while world.now < end:
        for _, action in plan.due([key], [], world.now):
            key.doing = action
            if action == plan.WATCH:
                engine = Watch(session, key.key, key.bracket, 4000, 10)
            else:
                engine = Lifetime(session, key.key, 600000, 64, 10, key.suspect)
            running.append(engine)
            world.add(engine)

        def done():
            for engine in running:
                results.extend(engine.take_results())
            return bool([engine for engine in running if engine.done])

        world.run(end, done)
        for engine in [engine for engine in running if engine.done]:
            world.remove(engine)
            running.remove(engine)
            if key.doing == plan.WATCH:
                key.suspect = engine.suspect if engine.change == "shrunk" else None
                key.ended(engine.change, None, world.now)
            else:
                found = engine.bracket and (engine.bracket.lo, engine.bracket.hi)
                if found and found[1] is None and key.suspect:
                    found = key.bracket
                key.ended(None, found, world.now)
    return results


def test_a_router_that_restarts_again_and_again_gives_no_false_bracket():
    for first in range(0, 20000, 3300):
        for apart in (9000, 23000, 41000):
            world = World(Nat(40000, 40000))
            world.add(Session(DEVICE, KEY, ADDRESS, world.random))
            for number in range(3):
                world.at(world.now + 60000 + first + number * apart, world.nat.restart)
            key = plan.Key(("udp/sip", "stream"))
            key.bracket = (39600, 40400)
            for result in look_after(world, key, 300):
                evidence = (first, apart, result)
                assert result["lo"] is None or result["lo"] <= 40, evidence
                assert result["hi"] is None or result["hi"] >= 40, evidence


def told_of(made, kind):
    """The data of the latest report of *kind* in the spool, None if there is none."""
    found = None
    while True:
        payload = made.findings.spool.next(0)
        if payload is None:
            return found
        report = telemetry.decode(payload)
        if report.kind == kind:
            found = report.data


def survey_of(made, name):
    return [item for item in made.surveys.items if item.name == name][0]


def reached(asked, blocked=()):
    silent = sorted([port for port in asked if port in blocked])
    result = {"address": HERE, "asked": len(asked), "open": len(asked) - len(silent)}
    result.update({"blocked": [[port, port] for port in silent], "sampled": False})
    result.update({"tries": result["open"], "lost": 0, "passes": 3, "seconds": 4.6, "bytes": 3168})
    return result


def test_without_a_profile_nothing_of_it_is_asked_and_no_verdict_is_told():
    made, _ = service()
    assert [item.name for item in made.surveys.items] == ["nat", "keepalives", "layers"]
    made.surveys.tell_standing(port.now())
    assert told_of(made, "check") is None
    made.loop.close()


def test_a_sample_asks_single_ports_and_as_many_others_as_bindings_are_left():
    for bindings, asked in ((64, 24), (20, 20), (2, 4)):
        budget = {"bindings": bindings, "bytes_per_day": 0, "packets_per_second": 200}
        made, _ = service(PROFILE, budget=budget)
        made._begin(survey_of(made, "reach"), plan.SURVEY, port.now())
        assert made._running[0][1].progress(port.now())[1] == asked, bindings
        made.loop.close()


def test_ports_that_are_silent_twice_are_told_and_change_the_verdict():
    made, lines = service(PROFILE)
    survey = survey_of(made, "reach")
    survey.doing = plan.SURVEY
    made.surveys.engine(survey, 64, 0)
    closed = made.surveys._asked[5:7]
    made._take(survey, None, reached(made.surveys._asked, closed), 0)
    assert survey.found is False and told_of(made, "reach") is None, "asked again soon"
    made.surveys.engine(survey, 64, 30000)
    made._take(survey, None, reached(made.surveys._asked, closed), 30000)
    assert survey.found is True
    data = told_of(made, "reach")
    assert (data["blocked"][0][0], data["blocked"][-1][1]) == (min(closed), max(closed)), data
    assert (data["known"], data["known_open"], data["asked"]) == (24 + 19, 41, 24), data
    verdicts = [line for line in lines if line.startswith("verdict: ")]
    assert "reach.blocked.rtp" in verdicts[-1] and "reach" not in verdicts[0], verdicts
    made.loop.close()


def test_a_sweep_waits_for_a_nat_that_maps_by_endpoint_alone_and_for_any_answer():
    made, _ = service(PROFILE)
    sweep, survey = survey_of(made, "sweep"), survey_of(made, "reach")
    assert sweep.off, "nobody knows yet"
    for mapping, off in (
        ("endpoint-independent", False),
        ("address-dependent", True),
        ("none", False),
        (None, True),
        ("endpoint-independent", False),
    ):
        made.surveys._mapping = mapping
        made.surveys._decide_on_sweep()
        assert sweep.off is off, mapping
    survey.doing = plan.SURVEY
    made.surveys.engine(survey, 64, 0)
    asked = made.surveys._asked
    made._take(survey, None, reached(asked, asked), 0)
    assert sweep.off and survey.found is False
    assert "nothing answered" in told_of(made, "reach")["reason"]
    made.loop.close()


def test_what_a_sweep_finds_silent_the_next_sample_asks_soon():
    made, _ = service(PROFILE)
    sweep, survey = survey_of(made, "sweep"), survey_of(made, "reach")
    survey.not_before = 900000
    sweep.doing = plan.SURVEY
    made.surveys.engine(sweep, 64, 0)
    made._take(sweep, None, reached(made.surveys._asked, range(8500, 8600)), 1000)
    assert sweep.found is True and survey.not_before == 31000
    made.surveys.engine(survey, 64, 31000)
    assert set(made.surveys._asked[3:20]).issubset(set(range(8500, 8600)))
    made.loop.close()


def test_the_voice_stream_of_the_cycle_is_short_and_goes_to_a_voice_port():
    made, _ = service(PROFILE)
    engine = made.surveys.engine(survey_of(made, "media"), 64, 0)
    assert engine.ports[0] % 2 == 0 and 8000 <= engine.ports[0] <= 10000
    assert engine._seconds == 3
    made.loop.close()


def test_a_voice_stream_that_told_nothing_is_made_again_and_one_that_did_is_kept():
    made, lines = service(PROFILE)
    survey = survey_of(made, "media")
    survey.doing = plan.SURVEY
    nothing = {"port": 8000, "sent": 0, "seconds": 1.0, "rtt": None, "out": None, "in": None}
    made._take(survey, None, dict(nothing, reason="no answer"), 0)
    assert survey.found is False and "no answer" in lines[-2] + lines[-1]
    made._take(survey, None, dict(media(), port=8000, sent=150, seconds=3.1, reason=None), 1)
    assert survey.found is True
    assert told_of(made, "check")["requirements"]["R0"] == "met"
    made.loop.close()

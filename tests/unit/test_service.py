"""The loop and the daemon's bookkeeping: descriptors, numbers of measurements, preemption."""

import socket

from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch import port
from natwatch.daemon import plan
from natwatch.daemon.loop import Loop
from natwatch.daemon.service import Service
from natwatch.daemon.spool import Spool
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


def service():
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
        "resident": None,
        "keepalive": {"least_s": 20, "most_s": 170, "answered": None},
    }
    return Service(config, Spool("0" * 16), None, lines.append), lines


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
    survey = made.surveys[1]
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
    actions = plan.due(made.keys, made.surveys, port.now())
    assert actions == [(stream, plan.CONFIRM)]
    made._begin(stream, plan.CONFIRM, port.now())
    assert replied.doing is None and stream.doing == plan.CONFIRM
    assert [key for key, _ in made._running] == [stream]
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

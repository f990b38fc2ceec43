"""Whatever a part of the daemon raises, in whatever call: the others go on measuring."""

import socket

from test_service import HERE, service
from test_standing import PROFILE
from world import DEVICE

from natwatch import port
from natwatch.daemon import plan, supervision
from natwatch.daemon.connection import Connection
from natwatch.daemon.link import Link
from natwatch.daemon.loop import Loop
from natwatch.daemon.service import Service
from natwatch.daemon.spool import Spool
from natwatch.daemon.supervision import MOST, WINDOW, GaveUp, Supervision
from natwatch.port.stream import Endpoint

RESIDENT = {"port": 5062, "keepalive": "crlf", "interval_s": 20, "expires_s": 600}
CALLS = ("start", "take_sends", "next_timer", "handle_timer", "receive", "notice", "take_results")


class Broken:
    """The part *inner*, of which the call *name* raises."""

    def __init__(self, inner, name, error=ValueError):
        self._inner = inner
        self._name = name
        self._error = error

    def __getattr__(self, name):
        if name == self._name:
            if name in ("done", "counters"):
                self._break()
            return self._break
        if name == "local_port" and self._name == "receive":
            return lambda flow: None
        if name == "opened" and self._name == "receive":
            return lambda flow, port: None
        if name == "next_timer" and self._name == "handle_timer":
            return lambda: 0
        return getattr(self._inner, name)

    def _break(self, *_arguments):
        raise self._error("broken on purpose")


def quick(made):
    """*made*, a Service, whose turns do not wait."""
    turn = made.loop.turn
    made.loop.turn = lambda: turn(0)
    return made


def provoke(made, engine):
    """Let everything happen to *engine* that may: two turns, a notice and a datagram."""
    made.turn()
    made.session._notices.append(("restarted",))
    flows = [made.loop._flows[one] for one in made.loop._flows if one[0] == id(engine)]
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if not flows and engine in made.loop.engines:
        # Without an answer of the reflector it has sent nothing yet.
        flows = [made.loop._open(engine, 99)]
    for udp in flows[:1]:
        other.sendto(b"hello", port.pack_address(HERE, udp.number))
    other.close()
    made._progress_at = 0
    made.turn()


def leftovers(made, engine):
    """What the loop still knows of *engine*."""
    known = [one for one in made.loop._flows if one[0] == id(engine)]
    return known + [one for one in made.loop._sockets.values() if one[0] is engine]


def begin_broken(made, item, action, call):
    """Begin *action* for *item* with an engine whose *call* raises; that engine."""
    makers = {plan.WATCH: "_watch", plan.CHECK: "_check", plan.SURVEY: "_survey"}
    name = makers.get(action, "_search")
    make, engines = getattr(made, name), []

    def broken(*arguments):
        engines.append(Broken(make(*arguments), call))
        return engines[-1]

    setattr(made, name, broken)
    made._guard(action, made._begin, item, action, port.now())
    setattr(made, name, make)
    return engines[0]


def kinds(made):
    """(item, action) of every kind of engine that the plan may begin."""
    for key in made.keys:
        yield key, plan.SEARCH
        if key.key[1] != "refreshed":
            yield key, plan.WATCH if key.every is None else plan.CHECK
    for item in made.surveys.items:
        yield item, plan.SURVEY


def test_an_engine_that_raises_in_any_call_is_gone_and_its_item_waits():
    changes = {"check": [["udp/stun", "stream"], ["udp/sip", "refreshed"]]}
    made, _ = service(PROFILE, **changes)
    number = len(list(kinds(made)))
    made.loop.close()
    assert number == 13
    for index in range(number):
        for call in CALLS + ("done", "counters"):
            made, lines = service(PROFILE, **changes)
            quick(made)
            made.loop.start(made.session, port.now())
            for key in made.keys:
                key.bracket = (39000, 40000)
            item, action = list(kinds(made))[index]
            for other in made.keys + made.surveys.items:
                other.not_before = port.now() + 10**9
            engine = begin_broken(made, item, action, call)
            provoke(made, engine)
            if call == "counters":
                made._guard(engine, made._forget, item, engine)
            evidence = (action, getattr(item, "name", None), call, lines)
            assert item.doing is None and item.failures == 1, evidence
            assert item.not_before > port.now() and made._running == [], evidence
            assert leftovers(made, engine) == [] and engine not in made.loop.engines, evidence
            assert made.counters().get("raised_broken") >= 1, evidence
            told = [line for line in lines if "internal error" in line]
            assert "broken on purpose" in told[0] and "ValueError" in told[0], evidence
            assert "test_supervision.py:" in told[0], evidence
            assert made.session in made.loop.engines
            made.turn()
            made.loop.close()


def test_the_others_are_measured_on_and_what_raised_is_tried_again_later():
    made, lines = service(PROFILE)
    quick(made)
    made.start()
    made.turn()
    assert [item for item, _ in made._running] == [made.keys[0]], "a search is due first"
    engine = made._running[0][1]
    made.loop.engines.remove(engine)
    broken = Broken(engine, "next_timer")
    made.loop.engines.append(broken)
    made._running = [(made.keys[0], broken)]
    made.turn()
    made.turn()
    assert made.keys[0].doing is None and made.keys[0].failures == 1
    assert [item for item, _ in made._running] == [made.keys[1]], lines
    made.keys[0].not_before = 0
    made.keys[1].not_before = port.now() + 10**9
    made._forget(*made._running[0])
    made.keys[1].doing = None
    made.turn()
    assert [item for item, _ in made._running] == [made.keys[0]], lines
    made.close()


def test_an_engine_that_cannot_even_be_made_waits_as_one_that_raises():
    made, lines = service()
    quick(made)

    def search(key, now):
        raise MemoryError("none left")

    made._search = search
    made.turn()
    made.turn()
    assert [key.failures for key in made.keys[:2]] == [1, 1], lines
    assert made.counters()["raised_search"] == 2
    assert len([line for line in lines if "none left" in line]) == 1, "said once"
    made.close()


def test_a_search_that_raises_when_it_is_to_end_makes_room_for_the_confirmation():
    made, _ = service()
    stream, replied = made.keys[:2]
    engine = begin_broken(made, replied, plan.SEARCH, "stop")
    stream.bracket, stream.suspect = (39000, 40000), 20000
    made._begin(stream, plan.CONFIRM, port.now())
    assert replied.doing is None and replied.failures == 1 and leftovers(made, engine) == []
    assert [item for item, _ in made._running] == [stream]
    made.loop.close()


def test_what_a_search_says_of_its_progress_may_raise():
    made, _ = service()
    quick(made)
    engine = begin_broken(made, made.keys[0], plan.SEARCH, "progress")
    provoke(made, engine)
    assert made.keys[0].failures == 1 and leftovers(made, engine) == []
    made.loop.close()


def test_the_flow_of_the_phone_raises_and_begins_again_on_its_port():
    for call in CALLS + ("counters",):
        made, lines = service(resident=RESIDENT)
        quick(made)
        for key in made.keys + made.surveys.items:
            key.not_before = port.now() + 10**9
        made.start()
        whole = made.resident
        made.loop.drop(whole)
        made.resident = Broken(whole, call)
        made.loop.start(made.resident, port.now())
        engine = made.resident
        if engine is not None:
            provoke(made, engine)
            made._guard(engine, made.counters)
        assert made.resident is None, (call, lines)
        assert made._resident_item.failures == 1
        made._resident_item.not_before = 0
        made.turn()
        assert made.resident in made.loop.engines, (call, lines)
        assert [udp.number for udp in made.loop._flows.values()].count(5062) == 1
        made.close()


class Raising(Connection):
    """A driver that raises where its class attribute says so."""

    where = None
    alive = []

    def __init__(self, endpoint, client_id, keepalive, will):
        Connection.__init__(self, endpoint, client_id, keepalive, will)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.open = True
        Raising.alive.append(self)
        self._trip("__init__")

    def _trip(self, name):
        if name == Raising.where:
            raise RuntimeError("in " + name)

    def connect(self, now):
        self._trip("connect")

    def fileno(self):
        self._trip("fileno")
        return self.socket.fileno() if self.open else -1

    def interest(self):
        self._trip("interest")
        return 1

    def next_timer(self):
        self._trip("next_timer")
        return 0

    def handle_timer(self, now):
        self._trip("handle_timer")

    def take_events(self):
        self._trip("take_events")
        return []

    def abort(self):
        self.open = False
        self.socket.close()

    def close(self):
        self.abort()


def linked(where):
    """A Service whose link's driver raises in *where*."""
    Raising.where, Raising.alive = where, []
    lines = []
    spool = Spool("0" * 16)
    endpoints = [Endpoint(HERE, 1)]
    made = Link(DEVICE, endpoints, spool, Raising, lambda: 0.5, lambda now: {})
    config = service()[0].config
    return quick(Service(config, spool, made, lines.append)), lines


def test_a_link_that_raises_ends_its_connection_and_comes_again_after_a_pause():
    for where in ("connect", "fileno", "interest", "next_timer", "handle_timer", "take_events"):
        made, lines = linked(where)
        made.start()
        made.turn()
        assert made.counters().get("raised_link") == 1, (where, lines)
        assert [driver.open for driver in Raising.alive] == [False], where
        assert made.link._retry_at > port.now(), where
        Raising.where = None
        made.link._retry_at = 0
        made.turn()
        assert [driver.open for driver in Raising.alive] == [False, True], (where, lines)
        assert len([line for line in lines if "RuntimeError" in line]) == 1
        assert made._running, "it goes on measuring"
        made.close()


def boom(*_arguments):
    raise KeyError("boom")


def test_what_follows_from_an_answer_may_raise_and_the_answer_counts_all_the_same():
    for part, name in (("standing", "due"), ("boxes", "turn"), ("standing", "place")):
        made, lines = service(PROFILE)
        quick(made)
        setattr(getattr(made.surveys, part), name, boom)
        made.surveys.tell_standing(port.now())
        made.turn()
        made.turn()
        assert made.counters()["raised_" + part] >= 1, (part, lines)
        assert made._running, (part, lines)
        assert len([line for line in lines if "KeyError" in line]) == 1, lines
        made.close()


def test_an_answer_to_a_survey_that_cannot_be_used_makes_it_wait():
    made, lines = service(PROFILE)
    survey = made.surveys.items[1]
    survey.doing = plan.SURVEY
    made._take(survey, None, {"nonsense": 1}, port.now())
    assert survey.found is False and made.counters()["raised_keepalives"] == 1, lines
    made.loop.close()


def test_a_classic_test_that_raises_is_not_asked_again():
    class Child:
        closed = False

        def poll(self, now):
            raise OSError(9)

        def close(self):
            self.closed = True

    made, _ = service()
    child = Child()
    made.surveys._classic = ({}, child)
    made.surveys.turn(port.now())
    made.surveys.turn(port.now())
    assert made.counters()["raised_classic"] == 1 and child.closed
    made.loop.close()


def test_a_full_spool_that_raises_loses_the_report_and_no_engine():
    made, lines = service(resident=RESIDENT)
    made.findings.spool.append = boom
    result = {"class": "udp/sip", "state": "stream", "measurement": 1, "lo": None, "hi": None}
    result.update({"reason": "x", "method": "watch"})
    made._take(made.keys[0], made, result, port.now())
    assert made.counters()["raised_report"] == 1, lines
    made.loop.close()


def test_a_session_or_loop_that_goes_on_raising_ends_the_program():
    for part in ("session", "loop"):
        made, lines = service()
        quick(made)
        made.start()
        if part == "session":
            made.session.next_timer = boom
        else:
            made.loop.turn = boom
        turns = 0
        try:
            while turns < 50:
                turns += 1
                made.turn()
        except GaveUp as error:
            assert "10 internal errors within 10 minutes" in error.args[0], error
            assert part in error.args[0] and "KeyError" in error.args[0], error
        assert turns <= MOST, (part, turns)
        assert made.counters()["raised_" + part] >= MOST, lines
        made.close()


def test_now_and_then_an_error_in_the_session_ends_nothing():
    made = Supervision(lambda line: None)
    for number in range(1000):
        made.raised("session", ValueError("x"), number * WINDOW // (MOST - 2))
    assert made.gave_up is None and made.counters == {"raised_session": 1000}


def test_troubles_without_number_get_so_many_lines_and_a_log_that_raises_none():
    lines = []
    made = Supervision(lines.append)
    for number in range(1000):
        made.raised("search", ValueError("trouble %d" % number + "x" * 1000), 0)
    assert len(lines) == supervision._TOLD and max([len(line) for line in lines]) < 250
    made = Supervision(boom)
    made.raised("search", ValueError("x"), 0)
    assert made.counters == {"raised_search": 1}


def test_ctrl_c_passes_through_every_border():
    made, _ = service()
    quick(made)
    engine = begin_broken(made, made.keys[0], plan.SEARCH, None)
    engine._name, engine._error = "next_timer", KeyboardInterrupt
    try:
        made.turn()
        raise AssertionError("it was swallowed")
    except KeyboardInterrupt:
        pass
    made.close()


def test_without_a_supervisor_what_an_engine_raises_reaches_the_caller():
    loop = Loop(None)
    engine = Broken(None, "start")
    try:
        loop.start(engine, 0)
        raise AssertionError("it was swallowed")
    except ValueError:
        pass

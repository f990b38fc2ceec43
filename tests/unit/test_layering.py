"""When the daemon looks which box is short, what it keeps of that and what it tells."""

import json

from test_combine import told as heard
from test_layers import Line, box

import natwatch.probes.layering as layering
from natwatch.daemon import boxes, plan, telling
from natwatch.daemon.boxes import Boxes
from natwatch.diagnosis import attribution
from natwatch.diagnosis.attribution import attribute
from natwatch.diagnosis.layers import combine
from natwatch.probes.addressing import PRIVATE, addressing

HOME = ("192.168.1.1", ["203", "0", "113"])
MOBILE = ("192.168.8.1", ["198", "51", "100"])
DAY = 86400000
FORTY, FIFTEEN, LONG = [39.4, 40.6], [14.4, 15.6], [119.0, 120.2]


def value(router, carrier, short=0, **more):
    """A value as combine() gives it: two boxes with lifetimes of the state stream."""
    found = {"class": "udp/sip", "short": {"stream": short, "replied": None}, "agree": True}
    found["boxes"] = [
        {"first": 1, "last": 1, "owner": "router", "model": "ACME X1", "address": None},
        {"first": 2, "last": 2, "owner": "carrier", "model": None, "address": None},
    ]
    for one, bracket in zip(found["boxes"], (router, carrier)):
        one["stream"], one["replied"] = bracket, None
    found.update({"clear": [], "complete": True, "count": 2, "evidence": [], "reason": None})
    found.update(more)
    return found


def measured(stream=True, replied=False):
    """What Layering found: whether of each state any box was."""
    layers = {"stream": None, "replied": None}
    for state, found in (("stream", stream), ("replied", replied)):
        layers[state] = {"nats": [{}] if found else []}
    return {"layers": layers, "evidence": None}


class Session:
    mapped = ("203.0.113.9", 4711)
    endpoint = ("192.0.2.1", 3478)
    random = None


class Told:
    """Reports of a Boxes, as Findings takes them."""

    def __init__(self):
        self.reports = []

    def report(self, kind, data, now):
        self.reports.append((kind, json.loads(json.dumps(data)), now))


class Known(Boxes):
    """A Boxes at ``place``, whose next look comes to ``value``."""

    place = HOME
    value = None

    def _where(self):
        return self.place

    def _combined(self, result):
        return self.value


def known(states=("stream", "replied")):
    """(a Known, the plan's keys, what it told, its lines); no lifetime is known yet."""
    keys = [plan.Key(("udp/sip", state)) for state in states] + [plan.Key(("udp/stun", "stream"))]
    item, told, lines = plan.Survey("layers", DAY), Told(), []
    limits = (600000, 10)
    return (
        Known(item, keys, Session(), told, lines.append, limits),
        keys,
        told,
        lines,
    )


def begin(made, now=0):
    """Begin a look as the daemon does."""
    made.item.doing = plan.SURVEY
    return made.engine(32)


def end(made, found, result=None, now=1000):
    """The look that was begun comes to the value *found*."""
    made.value = found
    made.take(result or measured(found is not None), now)
    made.item.ended(made.item.found, now)
    made.ended(now)


def shrunk(made, key, lo=14400, hi=15600, now=5000):
    key.bracket = (lo, hi)
    made.shrunk(key, now)


def test_nothing_is_looked_for_until_a_lifetime_is_known_and_ends():
    made, keys, _, _ = known()
    assert made.item.off and not made.item.urgent
    for bracket, off in (((600000, None), True), ((39400, 40600), False), (None, True)):
        keys[1].bracket = bracket
        made.turn(0)
        assert made.item.off is off, bracket
    keys[2].bracket = (39400, 40600)
    made.turn(0)
    assert made.item.off, "another port's lifetime is no reason"


def test_all_states_that_are_known_are_looked_at_with_their_own_lifetimes():
    made, keys, _, _ = known()
    keys[0].bracket = (39400, 40600)
    engine = begin(made)
    assert engine._brackets == {"stream": (39400, 40600)} and not engine._shortest
    keys[1].bracket = (29400, 30600)
    engine = begin(made)
    assert engine._states == ["stream", "replied"] and engine._limits == (600000, 32, 10)


def test_a_look_is_told_once_a_day_and_without_a_shrink():
    made, keys, told, lines = known()
    keys[0].bracket = (39400, 40600)
    begin(made)
    end(made, value(FORTY, LONG))
    ((kind, data, now),) = told.reports
    assert (kind, now, data["after"]) == ("layers", 1000, None)
    assert data["boxes"][0]["stream"] == FORTY
    assert made.item.not_before == DAY and not made.item.urgent
    assert lines == [
        "the customer's router (hop 1, ACME X1): stream 39.4 to 40.6 s, the first to forget",
        "the carrier's NAT (hop 2): stream 119.0 to 120.2 s",
    ]


def test_after_a_confirmed_shrink_the_shortest_box_is_looked_for_at_once_then_all():
    made, keys, told, lines = known()
    keys[0].bracket, keys[1].bracket = (39400, 40600), (29400, 30600)
    begin(made)
    end(made, value(FORTY, LONG))
    shrunk(made, keys[0])
    assert made.item.urgent and made.item.not_before == 5000
    engine = begin(made)
    assert engine._shortest and engine._brackets == {"stream": (14400, 15600)}
    end(made, value(FIFTEEN, None), now=30000)
    after = {"class": "udp/sip", "state": "stream", "lo": 14.4, "hi": 15.6}
    assert told.reports[-1][1]["after"] == after
    assert lines[-1] == (
        "udp/sip stream: the customer's router (hop 1, ACME X1) forgets sooner: "
        "39.4 to 40.6 s before, 14.4 to 15.6 s now"
    )
    assert not made.item.urgent and made.item.not_before == 30000, "all of them, as they are now"
    engine = begin(made)
    assert not engine._shortest and engine._states == ["stream", "replied"]
    end(made, value(FIFTEEN, LONG), now=60000)
    assert told.reports[-1][1]["after"] is None and made.item.not_before > DAY


def test_what_was_known_of_a_box_before_one_shrink_is_still_known_at_the_next():
    made, keys, _, lines = known()
    keys[0].bracket = (39400, 40600)
    begin(made)
    end(made, value(FORTY, LONG))
    shrunk(made, keys[0])
    begin(made)
    end(made, value(FIFTEEN, None))
    shrunk(made, keys[0], 5000, 6000)
    begin(made)
    end(made, value(None, [5.0, 6.0], 1))
    assert lines[-1] == (
        "udp/sip stream: the carrier's NAT (hop 2) forgets sooner: "
        "119.0 to 120.2 s before, 5.0 to 6.0 s now"
    )


def test_two_states_that_shrank_are_looked_at_one_after_the_other():
    made, keys, told, _ = known()
    keys[0].bracket, keys[1].bracket = (39400, 40600), (29400, 30600)
    shrunk(made, keys[0])
    begin(made)
    shrunk(made, keys[1], now=6000)  # which ends the look: its state is still to be found
    assert begin(made)._states == ["stream"]
    end(made, value(FIFTEEN, None), now=30000)
    assert made.item.urgent and begin(made)._states == ["replied"]
    end(made, value(None, None, None), measured(False, True), now=50000)
    assert not made.item.urgent
    assert [data["after"]["state"] for _, data, _ in told.reports] == ["stream", "replied"]


def test_a_shrink_of_another_port_or_state_is_not_asked_about():
    made, keys, _, _ = known()
    other = plan.Key(("udp/sip", "oneway"), DAY)
    for key in (keys[2], other):
        shrunk(made, key)
    assert not made.item.urgent and made.item.off


def test_a_look_that_finds_nothing_is_made_again_and_told_after_the_third():
    made, keys, told, lines = known()
    keys[0].bracket = (39400, 40600)
    begin(made)
    end(made, value(FORTY, LONG))
    shrunk(made, keys[0])
    for failures in (1, 2):
        begin(made)
        end(made, None)
        assert made.item.failures == failures and made.item.urgent and len(told.reports) == 1
    begin(made)
    end(made, value(None, None, None, reason="no answer"), measured(False))
    assert not made.item.urgent and told.reports[-1][1]["reason"] == "no answer"
    assert lines[-2:] == [
        "boxes: unknown, because: no answer",
        "udp/sip stream: which box forgets sooner is unknown",
    ]


def test_what_was_measured_across_two_lines_is_not_told():
    made, keys, told, _ = known()
    keys[0].bracket = (39400, 40600)
    begin(made)
    made.place = MOBILE
    end(made, value(FORTY, LONG))
    assert told.reports == [] and made.item.failures == 1


def test_on_another_line_nothing_is_known_and_all_is_looked_at_soon():
    made, keys, told, lines = known()
    keys[0].bracket = (39400, 40600)
    begin(made)
    end(made, value(FORTY, LONG))
    made.place = (None, HOME[1])
    made.lifetime(2000)
    assert made.item.not_before == DAY, "what is unknown is no other line"
    made.place = MOBILE
    made.lifetime(2000)
    assert made.item.not_before == 2000
    made.lifetime(3000)
    assert made.item.not_before == 2000, "once"
    shrunk(made, keys[0])
    begin(made)
    end(made, value(FIFTEEN, None), now=9000)
    assert lines[-1] == (
        "udp/sip stream: the first to forget now is the customer's router (hop 1, ACME X1)"
    )


def test_a_lifetime_that_is_searched_for_again_takes_the_shrink_back():
    made, keys, _, _ = known()
    shrunk(made, keys[0])
    keys[0].bracket = None  # it has grown
    made.turn(6000)
    assert not made.item.urgent and made.item.off


def test_a_report_stays_within_two_kibibytes():
    long = value(FORTY, LONG)
    long["boxes"][0]["model"] = "x" * 64
    long["evidence"] = [
        {"source": "upnp", "says": "at least two", "name": "n", "values": {"external": "y" * 300}}
    ] * 7
    assert len(json.dumps(long)) > boxes.LONGEST
    short = boxes.shortened(long)
    assert len(json.dumps(short)) <= boxes.LONGEST - 300
    assert short["evidence"] == [{"source": "upnp", "says": "at least two"}] * 7
    assert boxes.shortened(value(FORTY, LONG)) == value(FORTY, LONG)


# Of what is known now and before, with the line's lifetime: whose it is, and what it was.
WHOSE = (
    (value(FIFTEEN, LONG), [value(FORTY, LONG)], ("router", FORTY)),
    (value(FORTY, FIFTEEN, 1), [value(FORTY, LONG)], ("carrier", LONG)),
    (value(FIFTEEN, None), [], ("router", None)),
    (value(FIFTEEN, None), [value(None, LONG, 1), value(FORTY, None)], ("router", FORTY)),
    (value(FIFTEEN, None), [value(FIFTEEN, LONG), value(FORTY, LONG)], ("router", None)),
    (value(FIFTEEN, None), [value(FORTY, LONG, agree=False)], ("router", None)),
    (value(FIFTEEN, LONG, agree=None), [], ("router", None)),
    (value(FIFTEEN, LONG, agree=False), [value(FORTY, LONG)], None),
    (value(FIFTEEN, FIFTEEN, None), [value(FORTY, LONG)], None),
    (value(FORTY, LONG), [value(FORTY, LONG)], None),
    (value(None, LONG), [value(FORTY, LONG)], None),
    (value([600, None], None), [], None),
)


def test_who_shrank_is_who_is_short_now_and_was_not_and_else_nobody():
    for after, earlier, expected in WHOSE:
        one = attribute(after, earlier, "stream", (14.6, 15.4))
        found = None if one is None else (one["owner"], one["was"])
        assert found == expected, (after, earlier)
        said = telling.shrunk({"class": "udp/sip", "state": "stream"}, one)
        words = "first to forget now is" if found and found[1] is None else "forgets sooner"
        assert words in said and (found is not None) == (" (hop " in said), said


def test_a_nat_that_is_neither_the_routers_nor_known_to_be_the_carriers_has_no_number():
    """It may be the third in a row, or the only one behind a router that translates nothing."""
    box = {"owner": "outer", "first": 3, "last": 3, "model": None}
    assert attribution.name(box) == "a NAT of unknown owner (hop 3)"


class Quiet:
    """An engine that ends when it is told to, and remembers what it was asked."""

    def __init__(self, name, counters=None):
        self.name = name
        self.done = False
        self.counters = counters or {}
        self.heard = []
        self.sends = [(3, b"x", ("192.0.2.1", 9)), (4, b"y", ("192.0.2.1", 9), 2)]
        self.results = []

    def start(self, now):
        self.heard.append(("start", now))

    def receive(self, flow, data, source, now):
        self.heard.append(("receive", flow))

    def notice(self, notice, now):
        self.heard.append(("notice", notice))

    def next_timer(self):
        return 50

    def handle_timer(self, now):
        self.heard.append(("timer", now))

    def take_sends(self):
        sends, self.sends = self.sends, []
        return sends

    def take_results(self):
        results, self.results = self.results, []
        return results

    def stop(self, now):
        self.done = True

    def end(self, result):
        self.results, self.done = [result], True


class Standins:
    """Takes the places of Path and Layers while it is entered; ``made`` are the engines."""

    def __enter__(self):
        self._real = (layering.Path, layering.Layers)
        self.made, self.asked = [], []
        layering.Path = lambda session: self._make(Quiet("path", {"odd": 1}))
        layering.Layers = self._layers
        return self

    def __exit__(self, *_):
        layering.Path, layering.Layers = self._real

    def _make(self, engine):
        self.made.append(engine)
        return engine

    def _layers(self, session, state, limit, bindings, pace, path, bracket, shortest):
        self.asked.append((state, limit, bindings, pace, path, bracket, shortest))
        return self._make(Quiet(state, {"odd": 2}))


BOTH = {"replied": (1, 2), "stream": (3, 4)}


def test_path_then_each_state_and_evidence_beside_them_make_one_result():
    with Standins() as standins:
        aside = Quiet("aside")
        engine = layering.Layering(Session(), BOTH, 9, 8, 7, True, aside)
        engine.start(0)
        path = standins.made[0]
        assert path.heard == aside.heard == [("start", 0)] and not standins.asked
        path.end({"hops": "…"})
        engine.handle_timer(60)
        assert standins.asked == [("stream", 9, 8, 7, {"hops": "…"}, (3, 4), True)]
        stream = standins.made[1]
        assert stream.heard == [("start", 60)] and aside.heard[-1] == ("timer", 60)
        engine.notice(("ready",), 61)
        assert stream.heard[-1] == aside.heard[-1] == ("notice", ("ready",))
        assert ("notice", ("ready",)) not in path.heard, "it has ended"
        stream.end({"state": "stream"})
        engine.notice(("ready",), 62)
        assert standins.asked[1][0] == "replied" and standins.asked[1][5] == (1, 2)
        standins.made[2].end({"state": "replied"})
        engine.handle_timer(63)
        assert not engine.done, "the other engine has not ended"
        aside.results = [{"gateway": None}]
        engine.handle_timer(64)
        aside.end({"gateway": "192.168.1.1"})
        engine.handle_timer(65)
        layers = {"stream": {"state": "stream"}, "replied": {"state": "replied"}}
        assert engine.done and engine.take_results() == [
            {"layers": layers, "evidence": {"gateway": "192.168.1.1"}}
        ]
        assert engine.counters == {"odd": 5} and engine.next_timer() is None


def test_flows_of_the_engines_are_told_apart_and_each_keeps_its_ttl():
    with Standins() as standins:
        engine = layering.Layering(Session(), {"stream": (3, 4)}, 9, 8, 7)
        engine.start(0)
        sends = engine.take_sends()
        standins.made[0].end({})
        engine.handle_timer(60)
        sends += engine.take_sends()
        assert [send[2:] for send in sends] == [
            (("192.0.2.1", 9),),
            (("192.0.2.1", 9), 2),
        ] * 2
        flows = [send[0] for send in sends]
        assert len(set(flows)) == 4
        engine.opened(flows[0], 1), engine.unsent(flows[0], 101)
        assert engine.local_port(flows[0]) is None
        engine.receive(flows[2], b"", None, 70)
        engine.receive(flows[0], b"", None, 70)
        path, stream = standins.made
        assert stream.heard[-1] == ("receive", 3) and ("receive", 3) not in path.heard


def test_a_look_that_is_stopped_has_no_result():
    with Standins() as standins:
        engine = layering.Layering(Session(), BOTH, 9, 8, 7, False, Quiet("aside"))
        engine.start(0)
        engine.stop(1)
        assert engine.done and engine.take_results() == [] and len(standins.made) == 1


def look(line, lifetime, shortest=False):
    """What a look at *line* comes to, whose lifetime in state stream is *lifetime* s."""
    bracket = (1000 * lifetime - 400, 1000 * lifetime + 400)
    result = line.run(
        layering.Layering(line.session, {"stream": bracket}, 600000, 32, 10, shortest)
    )
    place = addressing("192.168.1.20", "192.168.1.1", "203.0.113.9", PRIVATE)
    return combine(result["layers"], heard(upnp="100.64.7.2"), place)


def test_on_a_line_with_two_nats_the_one_that_shrinks_is_found_whichever_it_is():
    for number, owner, kept in ((0, "router", 40), (1, "carrier", 60)):
        line = Line([box(40), box(60)])
        before = look(line, 40)
        line.boxes[number].stream = line.boxes[number].unreplied = 15000
        after = look(line, 15, True)
        found = attribute(after, [before], "stream", (14.6, 15.4))
        assert (found["owner"], found["first"], found["last"]) == (owner, number + 1, number + 1)
        assert found["was"][0] <= kept <= found["was"][1], found
        assert found["now"][0] <= 15 <= found["now"][1], found
        again = look(line, 15)
        assert attribute(again, [before], "stream", (14.6, 15.4))["was"] == found["was"]


def test_what_a_box_kept_is_not_said_of_one_that_may_be_any_of_many():
    before, after = value([119.0, 120.2], [59.0, 60.2], 1), value(FIFTEEN, None)
    before["boxes"] = before["boxes"][:1]
    after["boxes"] = after["boxes"][:1]
    for last, was in ((1, [119.0, 120.2]), (2, [119.0, 120.2]), (4, None)):
        after["boxes"][0]["last"] = last
        assert attribute(after, [before], "stream", (14.6, 15.4))["was"] == was

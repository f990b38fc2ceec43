"""The engine layers on simulated boxes in a row: which stands where, and what it forgets after."""

from nats import INDEPENDENT, Chain
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes.layers import Layers, traced
from natwatch.probes.path import Path
from natwatch.probes.session import Session


def box(stream, unreplied=None, **changes):
    """A kernel's NAT with these timers, s."""
    nat = Nat(1000 * (unreplied or stream), 1000 * stream)
    nat.preserves_ports = True
    for name in changes:
        setattr(nat, name, changes[name])
    return nat


class Line:
    """A line with *boxes*, its path known."""

    def __init__(self, boxes, loss=0, seed=1):
        self.boxes = boxes
        self.world = World(Chain(boxes), loss=loss, seed=seed)
        self.session = Session(DEVICE, KEY, ADDRESS, self.world.random)
        self.world.add(self.session)
        self.path = self.run(Path(self.session))

    def run(self, engine):
        self.world.add(engine)
        self.world.run(self.world.now + 4000000, lambda: engine.done)
        self.world.remove(engine)
        results = engine.take_results()
        assert len(results) == 1, results
        return results[0]

    def layers(self, state="stream", limit=600000, **more):
        return self.run(Layers(self.session, state, limit, 32, 10, self.path, **more))


def found(result):
    """[(first, last, its lifetime to the second), …]."""
    told = []
    for nat in result["nats"]:
        assert nat["hi"] - nat["lo"] < 2.2, nat
        told.append((nat["first"], nat["last"], round((nat["lo"] + nat["hi"]) / 2)))
    return told


def right(result, *expected):
    """Whether every box was found at its hop, its lifetime inside the bracket."""
    told = [(nat["first"], nat["last"]) for nat in result["nats"]]
    assert told == [(hop, hop) for hop, _ in expected], result
    for nat, (_, lifetime) in zip(result["nats"], expected):
        assert nat["lo"] <= lifetime <= nat["hi"] <= nat["lo"] + 2.2, nat


def test_one_box_is_found_where_it_stands():
    result = Line([box(30)]).layers()
    right(result, (1, 30))
    assert result["complete"] and result["clear"] == [] and result["reason"] is None
    assert result["line"][0] <= 30 <= result["line"][1]
    assert result["seconds"] < 4 * 30 and result["at_once"] <= 33


def test_two_boxes_whichever_is_shorter():
    for inner, outer in ((15, 60), (60, 15), (15, 120), (120, 15), (30, 60), (60, 30), (30, 30)):
        result = Line([box(inner), box(outer)]).layers()
        right(result, (1, inner), (2, outer))
        assert result["complete"] and result["seconds"] < 4 * max(inner, outer), result


def test_three_boxes_whichever_is_shortest():
    for lifetimes in ((15, 30, 60), (60, 30, 15), (15, 60, 30), (60, 15, 120), (30, 120, 30)):
        result = Line([box(lifetime) for lifetime in lifetimes]).layers()
        right(result, *[(hop + 1, lifetimes[hop]) for hop in range(3)])
        assert result["seconds"] < 4 * max(lifetimes), (lifetimes, result["seconds"])


def test_plain_routers_are_not_counted():
    for boxes, expected in (
        ([box(30), None, box(15)], [(1, 30), (3, 15)]),
        ([box(15), None, box(60)], [(1, 15), (3, 60)]),
        ([box(30), None, None, None, box(60), None, None], [(1, 30), (5, 60)]),
        ([box(60), None, box(20), None, box(30), None], [(1, 60), (3, 20), (5, 30)]),
    ):
        result = Line(boxes).layers()
        right(result, *expected)
        longest = max([lifetime for _, lifetime in expected])
        for clear in result["clear"]:
            assert clear["beyond"] >= 0.94 * longest, result
        counted = [nat["first"] for nat in result["nats"]]
        told = [h for c in result["clear"] for h in range(c["first"], c["last"] + 1)]
        wanted = range(1, max(counted) + 1)
        assert [hop for hop in wanted if hop not in counted and hop not in told] == []


def test_a_hop_where_nothing_dies_is_asked_for_as_long_as_home_gateways_keep():
    result = Line([None, box(15), None]).layers()
    right(result, (2, 15))
    assert [(c["first"], c["last"], c["beyond"]) for c in result["clear"]] == [
        (1, 1, 185.0),
        (3, 3, 185.0),
    ]
    assert result["seconds"] < 185 + 2 * 15


def test_a_longer_timer_between_two_shorter_ones_is_found():
    for longest in (150, 180, 240):
        result = Line([box(15), box(longest), box(30)]).layers()
        assert [(nat["first"], nat["last"]) for nat in result["nats"]][:2] == [(1, 1), (2, 2)] or (
            longest > 185
        ), result
        for nat, lifetime in zip(result["nats"], (15, longest, 30)):
            assert nat["last"] == 3 or nat["lo"] <= lifetime <= nat["hi"], result


def test_replied_is_another_timer_of_the_same_boxes():
    line = Line([box(120, 30), box(60, 20)])
    right(line.layers("replied"), (1, 30), (2, 20))
    right(line.layers("stream"), (1, 120), (2, 60))


def test_a_known_lifetime_of_the_line_saves_the_first_search():
    line = Line([box(30), box(60)])
    result = line.layers(bracket=(29000, 30500))
    right(result, (1, 30), (2, 60))
    assert result["line"] == [29.0, 30.5]
    assert result["seconds"] < 150


def test_the_shortest_alone_is_known_soon():
    for lifetimes, hop in (((30, 120), 1), ((120, 30), 2), ((120, 30, 60), 2)):
        line = Line([box(lifetime) for lifetime in lifetimes])
        result = line.layers(bracket=(29000, 30500), shortest=True)
        right(result, (hop, 30))
        assert result["seconds"] < 2.0 * 30 and not result["complete"]
        others = [h for clear in result["clear"] for h in range(clear["first"], clear["last"] + 1)]
        assert others == [h for h in range(1, len(lifetimes) + 1) if h != hop]


def test_equal_boxes_both_share_the_shortest():
    result = Line([box(30), box(30)]).layers(bracket=(29000, 30500), shortest=True)
    right(result, (1, 30), (2, 30))


def may_stand(result, hops, lifetime):
    """Whether some box of the *result* may stand at one of *hops* and has that lifetime."""
    for nat in result["nats"]:
        here = [hop for hop in hops if nat["first"] <= hop <= nat["last"]]
        if here and nat["lo"] <= lifetime <= nat["hi"]:
            return True
    return False


def test_a_box_that_looks_at_the_ttl_first_is_one_box_at_worst_at_hop_n_or_n_plus_1():
    for boxes, expected in (
        ([box(30, checks_first=True), None, None], [(1, 30)]),
        ([None, box(30, checks_first=True), None, None], [(2, 30)]),
        ([box(15), box(60, checks_first=True), None], [(1, 15), (2, 60)]),
        ([box(15), None, None, box(60, checks_first=True), None], [(1, 15), (4, 60)]),
        ([box(60), box(15, checks_first=True), None], [(2, 15)]),
        ([box(60), None, None, box(15, checks_first=True), None], [(1, 60), (4, 15)]),
    ):
        result = Line(boxes).layers()
        assert len(result["nats"]) == len(expected), (boxes, result)
        for nat, (hop, lifetime) in zip(result["nats"], expected):
            assert nat["last"] - nat["first"] <= 1 and nat["first"] <= hop <= nat["last"], result
            assert nat["lo"] <= lifetime <= nat["hi"], result


def test_what_such_a_box_hides_is_said_to_be_hidden():
    result = Line([box(60), box(15, checks_first=True), None]).layers()
    assert result["hidden"] and not result["complete"]


def test_a_box_that_packets_from_outside_do_not_refresh():
    result = Line([box(15), box(60, refresh_inbound=False)]).layers()
    assert may_stand(result, [1], 15) and may_stand(result, [2], 60), result
    result = Line([box(60), box(15, refresh_inbound=False)]).layers()
    assert may_stand(result, [2], 15), result
    # The inner one's 60 s cannot be known, and nothing else is said of it.
    assert len(result["nats"]) == 1 and not result["complete"]
    result = Line([box(60), box(30), None, box(15, refresh_inbound=False), None]).layers()
    assert may_stand(result, [4], 15) and not result["complete"], result
    assert not [nat for nat in result["nats"] if nat["hi"] < 14 or nat["lo"] > 61]


def test_where_filtering_shows_nothing_the_lifetimes_do():
    boxes = [box(60), None, box(15, mapping=INDEPENDENT, filtering=INDEPENDENT), None]
    boxes[0].filtering = boxes[0].mapping = INDEPENDENT
    line = Line(boxes)
    assert line.path["outermost"] is None
    result = line.layers()
    right(result, (1, 60), (3, 15))
    assert not result["complete"]


def test_a_restart_of_a_router_is_no_timer():
    """All of its bindings die at once, those of the controls as well."""
    line = Line([box(60), box(120)])
    for when in (20000, 150000):
        line.world.at(line.world.now + when, line.boxes[0].restart)
    right(line.layers(), (1, 60), (2, 120))


def test_on_a_lossy_line_no_answer_is_wrong():
    whole = 0
    for seed in range(6):
        line = Line([box(20), box(40)], loss=20, seed=seed)
        if line.path["hops"]["back"] is None:
            continue
        result = line.layers()
        for nat in result["nats"]:
            lifetime = {1: 20, 2: 40}[nat["first"]]
            assert nat["first"] == nat["last"], result
            assert nat["lo"] <= lifetime <= nat["hi"], result
        whole += len(result["nats"]) == 2
    assert whole >= 3


def test_a_lifetime_above_the_limit_is_no_box_but_a_line_that_keeps():
    result = Line([box(600), box(700)]).layers(limit=60000)
    assert result["line"] == [60.0, None] and result["nats"] == []
    assert result["reason"] == "nothing was forgotten within 60 s"


def test_an_outer_box_above_the_limit_is_told_as_beyond_it():
    result = Line([box(15), box(600)]).layers(limit=60000)
    assert found(result) == [(1, 1, 15)]
    assert [(c["first"], c["last"]) for c in result["clear"]] == [(2, 2)]
    assert result["clear"][0]["beyond"] >= 60


def test_without_the_way_back_nothing_is_claimed():
    line = Line([box(30)])
    line.path["hops"]["back"] = None
    result = line.layers()
    assert result["nats"] == [] and result["line"] is None and not result["complete"]
    assert result["reason"] == "how far away the reflector is could not be measured"


def test_a_blocked_sip_port_is_named_as_what_hides_the_boxes():
    line = Line([box(30), box(60)])
    outbound = line.world.nat.outbound
    line.world.nat.outbound = lambda inner, destination, now, ttl=64: (
        None if destination[1] == 5060 else outbound(inner, destination, now, ttl)
    )
    result = line.layers()
    assert result["nats"] == [] and result["line"] is None and not result["complete"]
    assert "no answer to the set-up at port 5060; a firewall may block it" in result["reason"]


def test_the_reflector_that_restarts_costs_teeth_but_no_truth():
    line = Line([box(30), box(60)])

    def restart():
        line.world.reflector.boot = b"anotherb"
        line.world.reflector.holds = {}

    line.world.at(line.world.now + 50000, restart)
    right(line.layers(), (1, 30), (2, 60))


def test_boundaries_that_die_say_where_the_box_stands():
    def place(dead, stretches, hops=(1, 2, 3, 4), known=()):
        return traced(dead, [0, 1, 2, 3, 4], stretches, hops, known)[0]

    assert place([1, 2], [(2, 2)]) == (2, 2)  # looks at the TTL first
    assert place([0, 1], [(1, 1)]) == (1, 2)
    assert place([0], [(1, 1)]) == (1, 1)
    assert place([0, 1, 2], [(2, 3)]) == (3, 3)  # packets from outside do not refresh it
    assert place([2], [(2, 2)]) == (2, 3)
    assert place([0, 1], [(1, 1)], [2, 3]) == (2, 2)  # at hop 1 another box was found
    # Of [0, 1] a box that was found before may be the reason.
    assert place([0, 1, 2], [(3, 3)], known=[0, 1]) == (2, 3)
    assert place([0, 1, 3, 4], [(4, 4)], known=[0, 1]) == (4, 4)
    assert place([1, 2, 4], [(1, 2), (4, 4)]) == (1, 5)


def test_two_boxes_that_packets_from_outside_do_not_refresh():
    """The boundaries that one of them lets die are dead for the other as well."""
    for boxes, hop, lifetime in (
        ([None, None, box(42), None, None, box(285)], 6, 285),
        ([box(37), box(27), box(162)], 3, 162),
        ([box(20), box(100)], 2, 100),
    ):
        for one in [one for one in boxes if one is not None and one.stream != 37000]:
            one.refresh_inbound = False
        result = Line(boxes).layers()
        for nat in result["nats"]:
            lifetimes = [one.stream / 1000 for one in boxes[nat["first"] - 1 : nat["last"]] if one]
            assert [one for one in lifetimes if nat["lo"] <= one <= nat["hi"]], result
        assert may_stand(result, [hop], lifetime), result


def test_a_nat_that_does_not_filter_is_found_beyond_the_one_that_hole_punching_shows():
    for inner, outer in ((20, 60), (60, 20), (49, 120)):
        boxes = [box(inner), None, box(outer, mapping=INDEPENDENT, filtering=INDEPENDENT), None]
        line = Line(boxes)
        assert line.path["outermost"] == [1, 2]
        result = line.layers()
        right(result, (1, inner), (3, outer))
        assert result["complete"]
    line = Line([box(240), None, box(40, mapping=INDEPENDENT, filtering=INDEPENDENT)])
    right(line.layers(), (1, 240), (3, 40))


def test_with_a_reason_nothing_is_complete():
    """Two boxes whose timers are alike make the boundaries of each other's die."""
    boxes = [box(126), None, None, box(39, checks_first=True), box(35)]
    result = Line(boxes).layers()
    assert result["reason"] is not None and result["nats"] and not result["complete"], result


def test_it_can_be_stopped():
    line = Line([box(30)])
    engine = Layers(line.session, "stream", 600000, 32, 10, line.path)
    line.world.add(engine)
    line.world.run(line.world.now + 20000, lambda: engine.done)
    state = engine.progress(line.world.now)
    assert state["phase"] == "comb" and state["open"] and state["left"] > 0
    engine.stop(line.world.now)
    assert engine.done and engine.take_results() == []


def test_a_control_whose_set_up_was_lost_does_not_end_the_search():
    for seed in (16, 18):
        result = Line([box(15), box(40)], loss=50, seed=seed).layers()
        assert result["nats"] or result["reason"]
        for nat in result["nats"]:
            assert nat["lo"] <= {1: 15, 2: 40}[nat["first"]] <= nat["hi"], result


def test_never_more_bindings_are_open_than_were_allowed():
    for most in (8, 16, 32):
        boxes = [box(15), None, box(60), None, None, box(20), box(40), None, None]
        line = Line(boxes)
        result = line.run(Layers(line.session, "stream", 600000, most, 10, line.path))
        assert result["at_once"] <= most and result["nats"], result
        for nat in result["nats"]:
            lifetime = {1: 15, 3: 60, 6: 20, 7: 40}[nat["first"]]
            assert nat["lo"] <= lifetime <= nat["hi"], result


def test_a_lifetime_handed_in_that_is_no_more_true_is_no_lifetime_of_a_box():
    for known in ((40000, 41000), (8000, 9000), (20000, 40000), (0, 2000), (30000, None)):
        for shortest in (False, True):
            result = Line([box(15), box(60)]).layers(bracket=known, shortest=shortest)
            for nat in result["nats"]:
                assert nat["lo"] <= {1: 15, 2: 60}[nat["first"]] <= nat["hi"], (known, result)
            assert result["line"] is None or result["line"][0] <= 15 <= result["line"][1], result
            assert [nat for nat in result["nats"] if nat["first"] == 1], (known, result)


def test_a_line_that_no_box_explains_is_measured_anew():
    """The router restarted while the line's own lifetime was looked for."""
    line = Line([box(120)])
    line.world.at(line.world.now + 99768, line.boxes[0].restart)
    result = line.layers()
    right(result, (1, 120))
    assert result["line"][0] <= 120 <= result["line"][1], result


def test_a_restart_beside_a_box_that_lets_boundaries_die_is_no_second_box():
    for when in range(8000, 60000, 4000):
        boxes = [None, box(5, refresh_inbound=False), None, None, box(30)]
        line = Line(boxes)
        line.world.at(line.world.now + when, boxes[4].restart)
        result = line.layers()
        for nat in result["nats"]:
            assert nat["lo"] <= (5 if nat["first"] <= 2 else 30) <= nat["hi"], (when, result)


def test_where_the_reflector_seems_farther_away_than_it_is_nothing_is_told_to_live():
    line = Line([box(40), box(20)])
    line.path["hops"]["back"] = 3
    result = line.layers()
    assert result["nats"] == result["clear"] == [] and result["reason"] is not None, result


def test_a_line_that_lives_as_long_as_is_searched_is_not_asked_for_ever():
    for known in ((56000, 61200), (21000, 84000)):
        line = Line([box(59), box(200)])
        result = line.layers(limit=60000, bracket=known, shortest=True)
        assert result["seconds"] < 600 and result["bytes"] < 100000, result


def test_a_lower_edge_handed_in_counts_once_a_tooth_lived_as_long():
    """The reflector restarts twice: of the teeth that were to prove it nothing is known."""
    line = Line([box(286), box(114)])

    def restart():
        line.world.reflector.boot = line.world.random(8)
        line.world.reflector.holds = {}

    for when in (155214, 313956):
        line.world.at(line.world.now + when, restart)
    result = line.layers("replied", bracket=(171000, 182400), shortest=True)
    for nat in result["nats"]:
        assert nat["lo"] <= {1: 286, 2: 114}[nat["first"]] <= nat["hi"], result

"""What is said of the boxes on the way, from timers and everything else: tables."""

import json

from test_layers import Line
from test_layers import box as simulated

from natwatch.diagnosis import layers, sources
from natwatch.diagnosis.boxes import merged
from natwatch.diagnosis.layers import combine, judge, nats
from natwatch.diagnosis.layers_lines import lines
from natwatch.diagnosis.layers_texts import EVIDENCE, LAYERS
from natwatch.probes.addressing import addressing

LOCAL, GATEWAY, PUBLIC, SHARED = "192.168.1.30", "192.168.1.1", "203.0.113.9", "100.64.7.2"
HOME = addressing(LOCAL, GATEWAY, PUBLIC, ((0xC0A80000, 0xC0A8FFFF),))
BARE = addressing(PUBLIC, "203.0.113.1", PUBLIC, ())
BEHIND_CARRIER = addressing("100.64.7.2", "100.64.7.1", PUBLIC, ())
ADVICE = {"lo": 14.4, "hi": 15.5}


def box(first, last, lo, hi):
    return {"first": first, "last": last, "lo": lo, "hi": hi}


def clear(first, last, beyond):
    return {"first": first, "last": last, "beyond": beyond}


def result(nats_there, line=None, clear_there=(), hidden=(), outermost=None, complete=True):
    ends = [nat["hi"] for nat in nats_there if nat["hi"] is not None]
    known = [min([nat["lo"] for nat in nats_there]), min(ends) if ends else None]
    return {
        "class": "udp/sip",
        "state": "stream",
        "line": line or known,
        "nats": list(nats_there),
        "clear": list(clear_there),
        "hidden": list(hidden),
        "outermost": outermost,
        "complete": complete,
        "reason": None if complete else "too few answers came",
    }


def both(stream, replied=None):
    return {"stream": stream, "replied": replied}


def told(upnp=None, nat_pmp=None, pcp=None, hops=(), model=None, maker=None):
    def answer(external):
        state = "silent" if external is None else "answered"
        return {"state": state, "external": external, "reason": None}

    return {
        "gateway": GATEWAY,
        "upnp": dict(answer(upnp), manufacturer=maker, model=model),
        "nat_pmp": dict(answer(nat_pmp), code=None),
        "pcp": dict(answer(pcp), code=None),
        "icmp": {
            "state": "answered" if hops else "silent",
            "hops": [{"hop": hop, "address": address} for hop, address in hops],
            "reason": None,
        },
    }


def says(found):
    return dict([(piece["source"], piece["says"]) for piece in found["evidence"]])


def names(found):
    return dict([(piece["source"], piece["name"]) for piece in found["evidence"]])


ONE = both(result([box(1, 1, 14.4, 15.4)], outermost=[1, 1]))
INNER_SHORT = both(
    result([box(1, 1, 29.4, 30.6), box(2, 2, 119.0, 120.3)], outermost=[2, 2]),
    result([box(1, 1, 14.4, 15.4), box(2, 2, 59.5, 60.6)], outermost=[2, 2]),
)
OUTER_SHORT = both(
    result([box(1, 1, 119.0, 120.3), box(2, 2, 29.4, 30.6)], outermost=[2, 2]),
    result([box(1, 1, 59.5, 60.6), box(2, 2, 14.4, 15.4)], outermost=[2, 2]),
)


def test_each_line_is_told_as_it_is():
    inner_short, outer_short = {"stream": 0, "replied": 0}, {"stream": 1, "replied": 1}
    equal = both(result([box(1, 1, 29.4, 30.6), box(2, 2, 29.9, 31.0)]))
    three = both(result([box(1, 1, 59.0, 60.2), box(2, 2, 14.5, 15.5), box(4, 4, 29.4, 30.5)]))
    plain = both(
        result([box(1, 1, 29.4, 30.6), box(3, 3, 14.4, 15.4)], clear_there=[clear(2, 2, 47)])
    )
    outside = both(result([box(2, 2, 29.4, 30.6)], clear_there=[clear(1, 1, 47)]))
    no_limit = both(result([box(1, 1, 29.4, 30.6), box(2, 2, 180.0, None)]))
    shared = told(upnp=SHARED)
    for name, layer, heard, place, owners, short in (
        ("one NAT", ONE, told(upnp=PUBLIC), HOME, ["router"], 0),
        ("inner < outer", INNER_SHORT, shared, HOME, ["router", "carrier"], inner_short),
        ("inner > outer", OUTER_SHORT, shared, HOME, ["router", "carrier"], outer_short),
        ("nobody else tells", INNER_SHORT, None, HOME, ["router", "outer"], inner_short),
        ("two routers of the customer's", INNER_SHORT, told(upnp="192.168.0.7"), HOME,
         ["router", "outer"], inner_short),
        ("equal", equal, shared, HOME, ["router", "carrier"], None),
        ("above the limit", no_limit, shared, HOME, ["router", "carrier"], 0),
        ("three", three, None, HOME, ["router", "outer", "outer"], 1),
        ("three, by ICMP the last is a carrier's", three, told(hops=[(4, "100.64.0.1")]), HOME,
         ["router", "outer", "carrier"], 1),
        ("a plain router between", plain, None, HOME, ["router", "outer"], 1),
        ("a plain router before", outside, None, HOME, ["outer"], 0),
        ("the probe has a carrier's address", ONE, None, BEHIND_CARRIER, ["carrier"], 0),
        ("a router that deals such addresses", ONE, told(upnp=PUBLIC), BEHIND_CARRIER,
         ["router"], 0),
        ("a carrier that speaks PCP", ONE, told(pcp=PUBLIC), BEHIND_CARRIER, ["carrier"], 0),
        ("a firewall", ONE, None, BARE, ["firewall"], 0),
        ("two firewalls", INNER_SHORT, None, BARE, ["firewall", "firewall"], inner_short),
    ):  # fmt: skip
        found = combine(layer, heard, place)
        assert [one["owner"] for one in found["boxes"]] == owners, (name, found)
        expected = short if isinstance(short, dict) else {"stream": short, "replied": None}
        assert found["short"] == expected, (name, found["short"])
        assert found["count"] == len(owners) and found["complete"] is True, (name, found)
        assert found["agree"] is not False and found["reason"] is None, (name, found)
        assert "differ" not in "\n".join(lines(found, "en")), (name, lines(found, "en"))


def test_a_probe_on_the_router_has_the_next_box_at_hop_one():
    found = combine(ONE, None, HOME, {"router": True})
    assert found["boxes"][0]["owner"] == "outer", found
    assert combine(ONE, None, HOME, {"router": None})["boxes"][0]["owner"] == "router"


def test_the_states_boxes_at_one_hop_are_one():
    for stream, replied, expected, doubtful in (
        ([(1, 1)], [(1, 1)], [(1, 1, True, True)], 0),
        ([(1, 2)], [(2, 3)], [(2, 2, True, True)], 0),
        # A router that checks the TTL first seems one hop further.
        ([(1, 1)], [(2, 2)], [(1, 2, True, True)], 0),
        ([(1, 1), (2, 2)], [(2, 2), (3, 3)], [(1, 2, True, True), (2, 3, True, True)], 0),
        ([(1, 1)], [(3, 3)], [(1, 1, True, False), (3, 3, False, True)], 0),
        ([(1, 1), (2, 2)], [(1, 1)], [(1, 1, True, True), (2, 2, True, False)], 0),
        ([(2, 2)], [(1, 1), (2, 2)], [(1, 1, False, True), (2, 2, True, True)], 0),
        # It is one of two, and nobody knows which.
        ([(1, 1), (2, 2)], [(1, 2)], [(1, 1, True, False), (2, 2, True, False)], 1),
        ([(1, 3)], [(1, 1), (3, 3)], [(1, 1, False, True), (3, 3, False, True)], 1),
        ([(1, 1), (3, 3)], [(2, 2)], [(1, 1, True, False), (3, 3, True, False)], 1),
        ([], [], [], 0),
    ):
        layer = {}
        for state, hops in (("stream", stream), ("replied", replied)):
            layer[state] = {"nats": [box(first, last, 29.0, 30.0) for first, last in hops]}
        boxes, spare = merged(layer)
        shape = [
            (one["first"], one["last"], one["stream"] is not None, one["replied"] is not None)
            for one in boxes
        ]
        assert (shape, spare) == (expected, doubtful), (stream, replied, shape, spare)


def test_states_that_differ_in_number_are_told_and_the_boxes_of_both_counted():
    layer = both(
        result([box(1, 1, 29.4, 30.6)], clear_there=[clear(2, 2, 181.0)]),
        result([box(1, 1, 14.4, 15.4), box(2, 2, 59.5, 60.6)]),
    )
    found = combine(layer, None, HOME)
    assert found["count"] == 2 and found["complete"] is True and found["clear"] == [], found
    assert names(found)["timers"] == "timers differ" and says(found)["timers"] == "two"
    assert "stream 1, replied 2" in "\n".join(lines(found, "en"))


def test_a_state_that_ended_early_with_more_boxes_leaves_their_number_open():
    layer = both(
        result([box(1, 1, 29.4, 30.6)]),
        result([box(1, 1, 14.4, 15.4), box(2, 2, 59.5, 60.6)], complete=False),
    )
    found = combine(layer, None, HOME)
    assert found["complete"] is False and says(found)["timers"] == "at least two", found


def test_a_box_that_may_be_either_of_two_leaves_it_open():
    layer = both(
        result([box(1, 1, 29.4, 30.6), box(2, 2, 60, 61)]), result([box(1, 2, 14.4, 15.4)])
    )
    found = combine(layer, None, HOME)
    assert found["complete"] is False and "cannot be told" in found["reason"], found
    assert found["short"] == {"stream": 0, "replied": None}, found
    assert says(found)["timers"] == "at least two", found["evidence"]


def test_hops_without_a_box_and_those_that_nobody_knows():
    layer = both(
        result(
            [box(2, 2, 29.4, 30.6)],
            clear_there=[clear(1, 1, 181), clear(3, 4, 47)],
            hidden=[{"first": 5, "last": 6}],
            outermost=[8, 8],
            complete=False,
        ),
        result([box(2, 2, 14.4, 15.4)], clear_there=[clear(1, 1, 33), clear(3, 3, 47)]),
    )
    found = combine(layer, None, HOME)
    assert found["clear"] == [clear(1, 1, 33), clear(3, 4, 47)], found["clear"]
    assert found["hidden"] == [{"first": 5, "last": 8}], found["hidden"]
    text = "\n".join(lines(found, "en"))
    assert "5-8  could not be known" in text and "too few answers came" in text, text


def test_a_line_that_dies_before_its_boxes_has_another_one():
    hidden = result([box(3, 3, 59.4, 60.6)], line=[14.5, 15.5], complete=False)
    assert combine(both(hidden), None, HOME)["short"]["stream"] is None
    shown = result([box(3, 3, 14.4, 15.6)], line=[14.5, 15.5], complete=False)
    assert combine(both(shown), None, HOME)["short"]["stream"] == 0


def test_what_each_source_says_and_whether_they_agree():
    two = INNER_SHORT
    for layer, heard, place, expected, agree, number in (
        (two, told(upnp=SHARED), HOME, {"timers": "two", "upnp": "at least two"}, True, (2, 2)),
        (two, told(pcp="10.1.2.3"), HOME, {"pcp": "at least two"}, True, (2, 2)),
        (ONE, told(nat_pmp=PUBLIC), HOME, {"timers": "one", "nat_pmp": "one"}, True, (1, 1)),
        (ONE, told(upnp="10.1.2.3"), HOME, {"timers": "one", "upnp": "at least two"}, False, None),
        (two, told(upnp=PUBLIC), HOME, {"timers": "two", "upnp": "one"}, False, None),
        (ONE, told(upnp=PUBLIC, pcp=SHARED), HOME, {"upnp": "one", "pcp": "at least two"}, False,
         None),
        # Public but different: asserted is nothing.
        (ONE, told(upnp="198.51.100.7"), HOME, {"timers": "one", "upnp": "nothing"}, True, (1, 1)),
        (ONE, told(upnp="0.0.0.0"), HOME, {"upnp": "nothing"}, True, (1, 1)),
        (ONE, told(upnp="169.254.3.4"), HOME, {"upnp": "nothing"}, True, (1, 1)),
        (ONE, told(upnp="<no address>"), HOME, {"upnp": "nothing"}, True, (1, 1)),
        (both(None), told(upnp=SHARED), HOME, {"addresses": "at least one", "upnp": "at least two"},
         True, (2, None)),
        (both(None), None, HOME, {"addresses": "at least one"}, None, (1, None)),
        (both(None), None, None, {}, None, None),
        (ONE, None, None, {"timers": "one", "punch": "at least one"}, True, (1, 1)),
        # Boxes that keep state and translate nothing are no NATs.
        (two, None, BARE, {"timers": "two", "addresses": "none"}, True, (0, 0)),
    ):  # fmt: skip
        found = combine(layer, heard, place)
        seen = says(found)
        assert dict([(name, seen.get(name)) for name in expected]) == expected, (expected, seen)
        assert found["agree"] is agree, (expected, found)
        assert nats(found) == number, (expected, nats(found))
    different = combine(ONE, told(upnp="198.51.100.7"), HOME)
    assert "to be verified" in "\n".join(lines(different, "en"))
    assert different["boxes"][0]["address"] == "198.51.100.7"


def test_a_router_that_refuses_is_evidence_and_a_silent_one_none():
    heard = told()
    heard["nat_pmp"] = {
        "state": "refused",
        "external": None,
        "code": 3,
        "reason": "code 3: no line",
    }
    found = combine(ONE, heard, HOME)
    assert says(found)["nat_pmp"] == "nothing" and "upnp" not in says(found), found["evidence"]
    assert "NAT-PMP: it tells no outer address: code 3: no line" in "\n".join(lines(found, "en"))
    assert combine(ONE, heard, BEHIND_CARRIER)["boxes"][0]["owner"] == "router"
    assert combine(ONE, told(), BEHIND_CARRIER)["boxes"][0]["owner"] == "carrier"


def test_hole_punching_is_held_against_the_timers():
    for outermost, said, agree in (
        ([1, 1], "at least one", True),
        ([1, 2], "at least one", True),  # it noted the flow on arrival, or looks at the TTL first
        ([2, 2], "at least two", False),
        (None, None, None),
    ):
        layer = both(result([box(1, 1, 29.4, 30.6)], outermost=outermost))
        found = combine(layer, None, None)
        assert (says(found).get("punch"), found["agree"]) == (said, agree), (outermost, found)
    # A NAT that filters nothing is not seen so: it may stand farther out.
    layer = both(result([box(1, 1, 29.4, 30.6), box(4, 4, 60, 61)], outermost=[1, 1]))
    found = combine(layer, None, None)
    assert (says(found)["punch"], found["agree"]) == ("at least one", True), found


def test_a_box_that_outlasts_the_search_is_told_though_another_stands_beyond_it():
    there = [clear(1, 1, 185.0)]
    layer = both(result([box(3, 3, 42, 43)], outermost=[1, 1], clear_there=there))
    found = combine(layer, None, None)
    assert [(one["first"], one["stream"]) for one in found["boxes"]] == [
        (1, [185.0, None]),
        (3, [42, 43]),
    ]
    assert found["short"]["stream"] == 1 and says(found)["punch"] == "at least two"


def test_a_hop_within_where_nothing_died_may_be_a_nat_that_outlasts_the_search():
    for layer, said in (
        (both(result([box(2, 2, 14.4, 15.4)], clear_there=[clear(1, 1, 185.0)])), "at least one"),
        (both(result([box(1, 1, 14.4, 15.4)], clear_there=[clear(2, 2, 185.0)])), "one"),
    ):
        found = combine(layer, None, HOME)
        assert says(found)["timers"] == said and found["count"] == 1, found
    outer = both(result([box(2, 2, 14.4, 15.4)], clear_there=[clear(1, 1, 185.0)]))
    found = combine(outer, told(upnp=SHARED), HOME)
    assert found["agree"] is True and nats(found) == (2, None), found


def test_an_outermost_box_that_outlasts_the_search_is_a_box_all_the_same():
    short = box(1, 1, 29.4, 30.6)
    for outermost, clear_there, expected in (
        ([2, 2], [clear(2, 2, 185.0)], [(1, 1), (2, 2)]),
        ([3, 4], [clear(2, 3, 185.0), clear(4, 4, 90.0)], [(1, 1), (3, 4)]),
        ([1, 2], [clear(2, 2, 185.0)], [(1, 1)]),
        ([3, 4], [clear(2, 3, 185.0)], [(1, 1)]),  # one of its hops is unknown
        (None, [clear(2, 2, 185.0)], [(1, 1)]),
    ):
        layer = both(result([short], clear_there=clear_there, outermost=outermost))
        found = combine(layer, told(upnp=SHARED), HOME)
        there = [(one["first"], one["last"]) for one in found["boxes"]]
        assert there == expected and found["count"] == len(expected), (outermost, found)
        if len(there) > 1:
            outer = found["boxes"][1]
            lived = min([one["beyond"] for one in clear_there if one["last"] >= outer["first"]])
            assert outer["stream"] == [lived, None] and outer["replied"] is None, found
            assert outer["owner"] == "carrier" and outer["address"] == PUBLIC
            assert found["short"]["stream"] == 0 and found["agree"] is True, found
            assert nats(found) == (2, None) and says(found)["timers"] == "at least one", found


def test_carrier_addresses_of_mere_hops_prove_no_nat():
    found = combine(ONE, told(hops=[(1, GATEWAY), (2, "100.64.0.1")]), HOME)
    assert says(found)["icmp"] == "nothing" and nats(found) == (1, 1), found
    assert "1: 192.168.1.1, 2: 100.64.0.1; addresses of 100.64/10" in "\n".join(lines(found, "en"))


def test_what_was_not_measured_is_none_and_has_a_reason():
    unknown = dict(result([box(1, 1, 1, 2)], complete=False), line=None, nats=[])
    for layer in (both(None), both(unknown), both(unknown, unknown)):
        found = combine(layer, None, HOME)
        assert found["count"] is None and found["boxes"] == [] and found["reason"], found
        assert found["short"] == {"stream": None, "replied": None} and found["agree"] is None
        for language in ("en", "ru"):
            assert lines(found, language), found


def test_words_for_numbers_lead_there_and_back():
    for least, most, text in (
        (0, 0, "none"),
        (1, 1, "one"),
        (2, None, "at least two"),
        (0, 3, "at most three"),
        (12, 12, "12"),
        (12, None, "at least 12"),
    ):
        assert sources.says(least, most) == text
        assert sources.span(text) == (least, most)


def test_model_and_outer_addresses_are_the_boxes_own():
    heard = told(upnp=SHARED, maker="ACME", model="ACME X1")
    inner, outer = combine(INNER_SHORT, heard, HOME)["boxes"]
    assert (inner["model"], inner["address"]) == ("ACME X1", SHARED)
    assert (outer["model"], outer["address"]) == (None, PUBLIC)
    for maker, model, expected in (
        ("ACME", "X1", "ACME X1"),
        (None, "X1", "X1"),
        ("ACME", None, "ACME"),
        (None, None, None),
        ("A" * 50, "B" * 50, "A" * 50 + " " + "B" * 13),
    ):
        found = combine(ONE, told(upnp=PUBLIC, maker=maker, model=model), HOME)
        assert found["boxes"][0]["model"] == expected, found["boxes"]
    differing = combine(ONE, told(upnp="10.1.2.3", pcp=SHARED), HOME)
    assert differing["boxes"][0]["address"] == PUBLIC  # the reflector's, since the router's differ
    open_end = both(result([box(1, 1, 29.4, 30.6)], complete=False))
    for layer, place in ((open_end, HOME), (ONE, BARE), (ONE, None)):
        assert combine(layer, None, place)["boxes"][0]["address"] is None, (layer, place)


def test_findings_name_the_box_that_the_keepalive_is_lost_to():
    for layer, heard, lost, expected in (
        (ONE, None, True, ["layers.router.short"]),
        (ONE, None, False, []),
        (INNER_SHORT, told(upnp=SHARED), True, ["layers.router.short", "layers.several"]),
        (OUTER_SHORT, told(upnp=SHARED), True, ["layers.carrier.short", "layers.several"]),
        (OUTER_SHORT, None, True, ["layers.outer.short", "layers.several"]),
        (OUTER_SHORT, None, False, ["layers.shorter", "layers.several"]),
        (ONE, told(upnp=SHARED), False, ["layers.disagree"]),
        (both(None), told(upnp=SHARED), False, ["layers.several"]),
        (both(None), None, True, []),
    ):
        found = judge(combine(layer, heard, HOME), ADVICE, lost)
        assert [code for code, _ in found] == expected, (expected, found)
    assert judge(None, ADVICE, True) == []


def test_a_box_that_outlives_the_line_is_not_blamed_for_it():
    # State oneway decides there, of which no layer is known.
    found = judge(combine(OUTER_SHORT, None, HOME), {"lo": 9.0, "hi": 10.0}, True)
    assert [code for code, _ in found] == ["layers.shorter", "layers.several"], found
    unknown = judge(combine(OUTER_SHORT, None, HOME), {"lo": None, "hi": None}, True)
    assert [code for code, _ in unknown] == ["layers.shorter", "layers.several"], unknown


def test_states_with_different_short_boxes_are_both_told():
    both_guilty = both(INNER_SHORT["replied"], OUTER_SHORT["replied"])
    found = judge(combine(both_guilty, None, HOME), ADVICE, True)
    codes = [code for code, _ in found]
    assert codes == ["layers.outer.short", "layers.router.short", "layers.several"], codes
    layer = both(INNER_SHORT["stream"], OUTER_SHORT["replied"])
    found = judge(combine(layer, None, HOME), ADVICE, False)
    shorter = [(e["state"], e["box"]["first"]) for code, e in found if code == "layers.shorter"]
    assert shorter == [("replied", 2), ("stream", 1)], found


def test_the_whole_reads_well_in_both_languages():
    found = combine(INNER_SHORT, told(upnp=SHARED, model="X1", maker="ACME"), HOME)
    english = lines(found, "en")
    assert english[0] == "NATs on the way: two", english
    assert english[2].split("  ")[0] == "1" and "router ACME X1  " in english[2], english
    assert english[2].endswith("14.4-15.4   100.64.7.2"), english
    assert "29.4-30.6" in english[2] and english[3].endswith(PUBLIC), english
    columns = [line.index(text) for line, text in zip(english[1:4], ("stream", "29.4", "119.0"))]
    assert len(set(columns)) == 1, english
    russian = "\n".join(lines(found, "ru"))
    assert "NAT на пути: 2" in russian and "Тайм-ауты: 2" in russian, russian
    assert "не менее 2" in russian and "(узел 2): 59.5-60.6 с" in russian, russian
    several = combine(both(None), told(upnp=SHARED), HOME)
    assert "NATs on the way: at least two" in lines(several, "en")
    alike = combine(both(result([box(1, 1, 29.4, 30.6), box(2, 2, 29.9, 31.0)])), None, HOME)
    assert "In state stream no box forgets before the others." in lines(alike, "en")


def test_what_a_router_put_into_its_model_gives_the_terminal_no_orders():
    found = combine(ONE, told(upnp=PUBLIC, model="\x1b[2JX"), HOME)
    assert "\x1b" not in "\n".join(lines(found, "en"))


def test_it_fits_into_a_report():
    heard = told(SHARED, SHARED, SHARED, [(n, "100.64.0.%d" % n) for n in range(1, 9)], "B" * 80)
    two = combine(both(INNER_SHORT["stream"], INNER_SHORT["replied"]), heard, HOME)
    assert len(json.dumps(two)) < 2048, len(json.dumps(two))
    assert json.loads(json.dumps(two)) == two


def test_every_word_has_both_languages():
    for table in (LAYERS, EVIDENCE):
        for name in table:
            assert len(table[name]) == 2 and all(table[name]), name
    owners = (layers.ROUTER, layers.CARRIERS, layers.OUTER, layers.FIREWALL)
    assert not [owner for owner in owners if owner not in LAYERS]


def test_what_the_engine_tells_of_boxes_in_a_row_is_put_together():
    line = Line([simulated(60, 15), None, simulated(30, 20)])
    layer = {"stream": line.layers("stream"), "replied": line.layers("replied")}
    found = combine(layer, told(upnp=SHARED, hops=[(1, GATEWAY), (3, "100.64.0.1")]), HOME)
    assert [(one["first"], one["last"]) for one in found["boxes"]] == [(1, 1), (3, 3)], found
    for one, stream, replied in zip(found["boxes"], (60, 30), (15, 20)):
        assert one["stream"][0] <= stream <= one["stream"][1], one
        assert one["replied"][0] <= replied <= one["replied"][1], one
    assert found["short"] == {"stream": 1, "replied": 0}, found["short"]
    assert [(one["first"], one["last"]) for one in found["clear"]] == [(2, 2)], found["clear"]
    assert found["hidden"] == [] and found["complete"] and found["agree"] is True, found
    patient = Line([simulated(15), None, simulated(600)])
    found = combine(both(patient.layers("stream", limit=60000)), None, HOME)
    assert [(one["first"], one["last"]) for one in found["boxes"]] == [(1, 1), (3, 3)], found
    assert found["boxes"][1]["stream"] == [60.0, None] and found["agree"] is True, found
    alike = Line([simulated(30), simulated(30)])
    found = combine(both(alike.layers("stream")), None, HOME)
    assert found["short"] == {"stream": None, "replied": None} and found["count"] == 2, found


def test_a_reason_is_no_longer_than_a_report_may_carry():
    layer = {"stream": result([box(1, 1, 29.4, 30.6)]), "replied": result([box(1, 1, 29.4, 30.6)])}
    layer["stream"]["reason"], layer["replied"]["reason"] = "a" * 400, "b" * 400
    assert len(combine(layer, None, None)["reason"]) <= 512

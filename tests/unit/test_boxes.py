"""The boxes on the way in the check's report: findings, advice, facts and the picture."""

from test_combine import BARE, BEHIND_CARRIER, INNER_SHORT, ONE, OUTER_SHORT, both, box
from test_combine import result as heard_of
from test_combine import told as heard
from test_findings import PROFILE, alg, codes, media, of_layers, state, told, way

from natwatch.diagnosis.page import page
from natwatch.diagnosis.report import lines


def steps(result):
    return [step["step"] for step in result["advice"]]


def test_the_short_box_is_named_and_only_its_owner_is_sent_for():
    shared = heard(upnp="100.64.7.2", model="X1", maker="ACME")
    for layer, evidence, code, expected, words in (
        (ONE, None, "layers.router.short", ["router timer", "forwarding one", "forward all"],
         "(RFC 4787), update or replace it: router (hop 1) forgets after 14.4-15.4 s."),
        (INNER_SHORT, shared, "layers.router.short",
         ["router timer", "forwarding carrier", "forward all carrier"],
         "router ACME X1 (hop 1) forgets after 14.4-15.4 s; carrier's NAT (hop 2): 59.5-60.6 s."),
        (OUTER_SHORT, shared, "layers.carrier.short",
         ["carrier timer", "forwarding carrier", "forward all carrier"],
         "tell the access provider: carrier's NAT (hop 2) forgets after 14.4-15.4 s; router ACME"),
        (OUTER_SHORT, None, "layers.outer.short",
         ["outer timer", "forwarding outer", "forward all several"],
         "another NAT (hop 2) forgets after 14.4-15.4 s; router (hop 1): 59.5-60.6 s."),
    ):  # fmt: skip
        result = of_layers(layer, evidence, short=True)
        assert code in codes(result) and "nat.binding.short" in codes(result), codes(result)
        assert steps(result) == expected, (code, steps(result))
        assert state(result, "R6") == "not met" and result["verdict"] == "findings"
        text = "\n".join(lines(result, PROFILE, "en"))
        assert words in text, text
        assert "%(" not in text + "\n".join(lines(result, PROFILE, "ru"))
    result = of_layers(ONE, None, short=True, place=BEHIND_CARRIER)
    assert "carrier timer" in steps(result), steps(result)


def test_every_box_that_is_too_short_is_to_be_mended():
    """With the first alone, or one of two that are alike, the line stays as short."""
    shared = heard(upnp="100.64.7.2")
    for carrier, guilty in ((box(2, 2, 14.5, 15.5), 2), (box(2, 2, 17.5, 18.5), 2),
                            (box(2, 2, 59.5, 60.5), 1)):  # fmt: skip
        found = of_layers(both(heard_of([box(1, 1, 14.4, 15.4), carrier])), shared, short=True)
        expected = ["layers.router.short", "layers.carrier.short"][:guilty]
        assert [c for c in codes(found) if "layers" in c and "short" in c] == expected, codes(found)
        assert steps(found)[:guilty] == ["router timer", "carrier timer too"][:guilty]
        text = "\n".join(lines(found, PROFILE, "en"))
        assert "as it is" not in text, text
        assert page(found, PROFILE, "ru").count("<code>layers.carrier.short</code>") == guilty - 1


def test_two_nats_that_keep_bindings_long_enough_are_left_alone():
    result = of_layers(INNER_SHORT, heard(upnp="100.64.7.2"))
    assert codes(result) == ["layers.shorter", "layers.several"], codes(result)
    assert result["verdict"] == "ready" and result["advice"] == [], result["advice"]
    assert state(result, "R6") == "noted"
    assert codes(of_layers(ONE, None)) == []


def test_of_two_firewalls_the_short_one_is_told_and_no_nat_is_blamed():
    result = of_layers(INNER_SHORT, None, short=True, place=BARE)
    assert codes(result) == ["nat.binding.short", "layers.shorter"], codes(result)
    assert steps(result) == ["forwarding", "forward all"], steps(result)
    assert "Boxes that keep state: two" in lines(result, PROFILE, "en")


def test_where_sources_differ_no_number_of_nats_is_advised_from():
    result = of_layers(OUTER_SHORT, heard(upnp="203.0.113.9"), short=True)
    assert "layers.disagree" in codes(result) and "layers.several" not in codes(result)
    assert "forwarding" in steps(result) and "forward all" in steps(result), steps(result)
    text = "\n".join(lines(result, PROFILE, "en"))
    assert "Timers: two" in text and "The router by UPnP: one" in text, text


def test_a_router_that_tells_of_an_outer_nat_is_enough_for_the_advice_on_forwards():
    for external, step in (("100.64.7.2", "forwarding carrier"), ("10.1.2.3", "forwarding outer")):
        result = of_layers(both(None), heard(upnp=external), short=True)
        assert step in steps(result) and "router timer" not in steps(result), steps(result)


def test_the_boxes_and_the_evidence_are_among_the_facts():
    result = of_layers(INNER_SHORT, heard(upnp="100.64.7.2"))
    for text in ("\n".join(lines(result, PROFILE, "en")), page(result, PROFILE, "en")):
        for words in (
            "NATs on the way: two",
            "router (hop 1): forgets after 29.4-30.6 s (stream), forgets after 14.4-15.4 s"
            " (replied), outer address 100.64.7.2",
            "The router by UPnP: at least two; its outer address 100.64.7.2",
        ):
            assert words in text, text


def test_what_several_protocols_of_the_router_say_alike_is_told_once():
    both_say = heard(upnp="100.64.7.2", nat_pmp="100.64.7.2")
    text = "\n".join(lines(of_layers(INNER_SHORT, both_say), PROFILE, "en"))
    assert "The router by UPnP, NAT-PMP: at least two; its outer" in text, text
    assert text.count("its outer address") == 1
    they_differ = heard(upnp="100.64.7.2", pcp="10.1.2.3")
    text = "\n".join(lines(of_layers(INNER_SHORT, they_differ), PROFILE, "en"))
    assert "The router by UPnP: at" in text and "The router by PCP: at" in text, text


def test_a_box_that_outlasts_the_search_is_not_said_to_forget():
    stream = dict(INNER_SHORT["stream"])
    stream["nats"] = [stream["nats"][0], dict(stream["nats"][1], lo=170.0, hi=None)]
    text = page(of_layers(both(stream), None), PROFILE, "en")
    assert "keeps for ≥ 170.0 s (stream)" in text and "after ≥" not in text


def test_a_public_address_is_not_called_outer_in_russian():
    """Each box has an outer address: behind a carrier's NAT that is what is lacking."""
    result = of_layers(OUTER_SHORT, heard(upnp="100.64.7.2"), short=True)
    steps_told = "\n".join(lines(result, PROFILE, "ru")).split("Измерено")[0]
    assert "публичный («белый») адрес" in steps_told and "внешний адрес" not in steps_told


def test_the_figures_beside_the_bars_are_larger_on_a_telephone():
    """The drawing shrinks to its width: 14 px were 8 there."""
    text = page(of_layers(ONE, None), PROFILE, "en")
    assert '<svg class="bars"' in text and ".bars text { font-size: 16px }" in text


def places(text):
    """The picture's places and links, [(class, what is in it), …], from the page's *text*."""
    parts = text.split('<div class="')[1:]
    return [(part.split('"')[0], part.split(">", 1)[1].split("</div>")[0]) for part in parts]


def test_the_path_shows_each_box_with_what_was_found_there():
    shared = heard(upnp="100.64.7.2", model="<X1>")
    result = of_layers(
        OUTER_SHORT, shared, short=True, alg=alg("rewritten", "untouched"), media=media(way(150))
    )
    drawn = places(page(result, PROFILE, "en"))
    kinds = [kind for kind, _ in drawn if not kind.startswith("link")]
    assert kinds == ["place", "place", "place first", "place", "place"], kinds
    phone, router, carrier, line, operator = [part for kind, part in drawn if "place" in kind]
    assert "phone and probe" in phone and "Any Phone" in operator and "line.loss" in line
    assert "router &lt;X1&gt;" in router and "sip.alg.rewrites" in router and "short" not in router
    for words in ("carrier's NAT", "hop 2", "forgets after 14.4-15.4 s (replied)", "forgets first"):
        assert words in carrier, carrier
    for code in ("nat.binding.short", "layers.carrier.short"):
        assert code in carrier and "<code>%s</code>" % code in page(result, PROFILE, "ru")
    assert "layers.several" not in router + carrier, "notes are told below"


def test_the_path_is_dotted_where_nothing_is_known():
    stream = dict(INNER_SHORT["stream"], complete=False, outermost=[6, 6])
    stream["nats"] = [stream["nats"][0], dict(stream["nats"][1], first=4, last=4)]
    stream["clear"] = [{"first": 2, "last": 2, "beyond": 47.0}]
    drawn = places(page(of_layers(both(stream), None), PROFILE, "en"))
    links = [(kind, text) for kind, text in drawn if kind.startswith("link")]
    assert links == [
        ("link", ""),
        ("link", "hop 2: no box that forgets within 47 s"),
        ("link unknown", "hop 3: could not be known"),
        ("link unknown", "hop 5-6: could not be known"),
        ("link", ""),
    ], links
    stream["outermost"] = None
    links = places(page(of_layers(both(stream), None), PROFILE, "en"))
    assert links[-4][0] == "link unknown" and links[-3][0] == "place", links


def test_without_boxes_the_path_has_its_four_places():
    for result in (told(), of_layers(both(None), heard(upnp="100.64.7.2"))):
        text = page(result, PROFILE, "en")
        assert "router, NAT" in text and not places(text), text

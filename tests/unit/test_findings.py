"""Results into findings, requirements, a verdict and words: tables, on both interpreters."""

from test_combine import HOME, INNER_SHORT, OUTER_SHORT
from test_combine import told as heard
from test_profile import GOOD

from natwatch.diagnosis import findings, service, texts
from natwatch.diagnosis.layers import combine
from natwatch.diagnosis.page import page
from natwatch.diagnosis.profile import check
from natwatch.diagnosis.report import lines, ranges_text, report
from natwatch.diagnosis.service import registered
from natwatch.probes.addressing import CARRIER, LINK_LOCAL, LOOPBACK, PUBLIC, addressing

# Not the first operator: other ports, other limits. No code knows either.
PROFILE = check(GOOD)
ABOUT = {"device": "nw-7", "time": 1764066600.5, "program": "0.1.0", "quick": True}
SIP, STUN = ("udp/sip", "replied"), ("udp/stun", "replied")
ONEWAY = ("udp/sip", "oneway")
HERE, THERE = "192.0.2.10", "192.0.2.200"


def reach(address, blocked=(), asked=2, tries=2, lost=0, sampled=False):
    shut = sum([high - low + 1 for low, high in blocked])
    result = {"address": address, "asked": asked, "open": asked - shut, "tries": tries}
    result.update({"blocked": list(blocked), "sampled": sampled, "lost": lost})
    return result


def lifetime(lo, hi, difference=None):
    return {"class": "udp/x", "state": "y", "lo": lo, "hi": hi, "difference": difference}


def alg(register, invite, back="untouched"):
    changes = [["Via: 10.0.0.5", "Via: 203.0.113.9"], ["Contact: 10.0.0.5", ""]]
    table = {}
    for method, verdict in (("REGISTER", register), ("INVITE", invite)):
        table[method] = {"verdict": verdict, "changes": changes if verdict == "rewritten" else []}
        table[method].update({"back": back, "back_changes": changes if back == "rewritten" else []})
    clean = {"verdict": "untouched", "changes": [], "back": "untouched", "back_changes": []}
    return {"sip": table, "control": {"REGISTER": clean, "INVITE": clean}, "reason": None}


def way(lost=0, packets=1500, jitter=1.0, queue=2, mos=4.4):
    return {
        "packets": packets,
        "lost": lost,
        "loss_percent": round(100 * lost / packets, 2),
        "jitter": jitter,
        "delay_above_least": {"median": 1, "p95": queue, "most": queue},
        "mos": {"g711": mos, "g729": mos - 0.3},
    }


def unanswered():
    """A way of which nothing came, though the reflector had something to send."""
    return dict(way(lost=1500, mos=1.2), jitter=None, delay_above_least=None)


VOICELESS = ["line.loss", "voice.poor"]
PROVEN = ["nat.filtering.inbound", "forward.works"]


def untimed():
    """Of a way on which all was lost."""
    return dict(way(lost=1500), jitter=None, delay_above_least=None)


def media(out=None, into=None, rtt=20):
    return {"out": out or way(), "in": into or way(), "rtt": {"median": rtt}}


def registration(state="ok", bindings=None, options=200, status=200):
    return {
        "registrar": ["192.0.2.50", 5070],
        "options": {"status": options, "agent": "any"},
        "register": {"state": state, "status": status, "algorithm": "MD5"},
        "bindings": bindings,
    }


def binding(address, received=None):
    contact = "sip:7495@%s:5060" % address
    return {"contact": contact, "address": address, "received": received, "expires": 300}


def forward(answered, same=True):
    return {
        "port": 5060,
        "public": "203.0.113.9",
        "answered": answered,
        "same_agent": same if answered else None,
        "agent": "Phone 1.0" if answered else None,
    }


def dns(state, outside=()):
    result = {"name": "7495.operator.example", "resolver": "10.0.0.1", "state": state}
    return dict(result, outside=list(outside))


def adapter(kind="inner", on_segment=True, answered=True):
    result = {"address": "10.0.0.6", "port": 5060, "kind": kind, "on_segment": on_segment}
    return dict(result, answered=answered)


def configured(replied=180, helpers=("sip",)):
    timers = {"oneway": replied, "replied": replied, "stream": 180}
    forwards = [{"ports": [5000, 5100], "to": "10.0.0.6", "to_port": None}]
    known = {"router": True, "timers": timers, "helpers": list(helpers), "forwards": forwards}
    return dict(known, notes=["Something could not be read."])


def healthy():
    return {
        "addressing": addressing("10.0.0.5", "10.0.0.1", "203.0.113.9", PROFILE["inner"]),
        "ports": [reach(HERE), reach(THERE)],
        "rtp": reach(HERE, asked=101, tries=101),
        "nat": {
            "mapping": "endpoint-independent",
            "filtering": "endpoint-independent",
            "port_preservation": {"kept": 8, "of": 8},
        },
        "alg": alg("untouched", "untouched"),
        "size": {"out": 1900, "in": 1936, "fragments_out": True, "fragments_in": True},
        "lifetimes": {
            SIP: lifetime(179.8, 180.6),
            ONEWAY: lifetime(179.8, 180.6),
            STUN: lifetime(179.8, 180.6),
        },
        "keepalives": {"kinds": {"crlf": "arrives", "nul": "arrives"}},
        "media": media(),
        "adapter": None,
        "forward": None,
        "dns": None,
        "registration": None,
        "layers": None,
        "configured": None,
        "left_out": [],
        "cut_short": False,
    }


def told(**changes):
    measured = healthy()
    measured.update(changes)
    return report(measured, PROFILE, ABOUT)


def codes(result):
    return [finding["code"] for finding in result["findings"]]


def state(result, name):
    return [row["state"] for row in result["requirements"] if row["id"] == name][0]


def test_a_healthy_line_is_ready_and_what_nobody_measured_is_not_called_met():
    result = told()
    assert result["verdict"] == "ready" and codes(result) == [], result["findings"]
    for name in ("R0", "R1", "R2", "R3", "R4", "R5", "R6"):
        assert state(result, name) == "met", name
    for name in ("R7", "R8", "R9"):
        assert state(result, name) == "not measured", name
    assert result["keepalive"]["interval_s"] == 89


def test_each_trouble_is_its_own_finding_and_no_other():
    nat = dict(healthy()["nat"])

    def of_nat(**changes):
        changed = dict(nat)
        changed.update(changes)
        return {"nat": changed}

    def of_lifetimes(sip, stun=None, oneway=None):
        table = {SIP: sip, STUN: stun or sip, ONEWAY: oneway or sip}
        return {"lifetimes": table}

    for changes, found, verdict in (
        ({"rtp": reach(HERE, [[20010, 20019]], 101)}, ["reach.blocked.rtp"], "findings"),
        ({"ports": [reach(HERE, [[5070, 5070]])]}, ["reach.blocked.sip"], "findings"),
        ({"ports": [reach(HERE, [[3400, 3400]])]}, ["reach.blocked.stun"], "findings"),
        (
            {"ports": [reach(HERE), reach(THERE, [[3400, 3400], [5070, 5070]])]},
            ["reach.blocked.address"],
            "findings",
        ),
        ({"rtp": reach(HERE, asked=101, tries=2000, lost=150)}, ["line.loss"], "findings"),
        ({"rtp": reach(HERE, asked=101, tries=2000, lost=20)}, [], "ready"),
        ({"rtp": reach(HERE, asked=101, tries=100, lost=10)}, [], "ready"),
        ({"media": media(out=way(lost=150))}, ["line.loss"], "findings"),
        ({"media": media(into=way(lost=60))}, ["line.loss"], "findings"),
        ({"media": media(out=way(lost=30))}, [], "ready"),  # 2 % are this operator's limit
        ({"media": media(out=way(jitter=25.0))}, ["line.jitter"], "findings"),
        ({"media": media(into=untimed())}, ["line.loss"], "findings"),
        ({"media": media(rtt=240)}, ["line.delay"], "findings"),
        ({"media": media(into=way(queue=180))}, ["line.delay"], "findings"),
        ({"media": media(out=way(mos=3.1))}, ["voice.poor"], "findings"),
        ({"media": {"out": None, "in": None, "rtt": None}}, [], "ready"),
        ({"media": {"out": way(), "in": unanswered(), "rtt": None}}, VOICELESS, "findings"),
        (of_nat(filtering="address-dependent"), ["nat.filtering.inbound"], "ready"),
        (of_nat(mapping="address-dependent"), ["nat.mapping.dependent"], "ready"),
        (of_nat(port_preservation={"kept": 0, "of": 8}), ["nat.ports.changed"], "ready"),
        (of_lifetimes(lifetime(14.6, 15.4)), ["nat.binding.short"], "findings"),
        (of_lifetimes(lifetime(0.0, 2.4)), ["nat.binding.short"], "findings"),
        (of_lifetimes(lifetime(28.6, 29.4)), ["nat.binding.short"], "findings"),  # default 30 s
        (of_lifetimes(lifetime(30.2, 30.9)), ["nat.binding.thin"], "ready"),
        (of_lifetimes(lifetime(32.0, None)), [], "ready"),
        (of_lifetimes(lifetime(180, None), lifetime(60, 61)), ["sip.alg.timer"], "findings"),
        (of_lifetimes(lifetime(100, 101), lifetime(60, 61)), [], "ready"),
        (of_lifetimes(lifetime(179.8, 180.6, "SIP lost")), ["sip.differs"] * 3, "findings"),
        (
            {"keepalives": {"kinds": {"nul": "lost", "crlf": "arrives"}}},
            ["keepalive.lost"],
            "ready",
        ),
        ({"keepalives": {"kinds": {"nul": "unknown"}}}, [], "ready"),
        ({"alg": alg("rewritten", "untouched")}, ["sip.alg.rewrites"], "findings"),
        ({"alg": alg("untouched", "dropped")}, ["sip.alg.drops"], "findings"),
        ({"alg": alg("unknown", "untouched")}, [], "ready"),
        ({"alg": alg("untouched", "untouched", "rewritten")}, ["sip.alg.answers"], "findings"),
        ({"alg": alg("untouched", "untouched", "dropped")}, ["sip.alg.answers"], "findings"),
        ({"alg": alg("rewritten", "rewritten", "rewritten")}, ["sip.alg.rewrites"], "findings"),
        (
            {"size": {"out": 1472, "in": 1508, "fragments_out": False, "fragments_in": True}},
            ["line.fragments"],
            "findings",
        ),
        (
            {"size": {"out": None, "in": None, "fragments_out": None, "fragments_in": None}},
            [],
            "ready",
        ),
        (
            {"addressing": addressing("100.64.3.4", None, "203.0.113.9", PROFILE["inner"])},
            ["address.outside"],
            "findings",
        ),
        (
            {"addressing": addressing("192.168.0.4", None, "203.0.113.9", PROFILE["inner"])},
            ["address.outside"],  # this operator wants 10/8
            "findings",
        ),
        (
            {"addressing": addressing("203.0.113.9", None, "203.0.113.9", PROFILE["inner"])},
            ["address.outside", "nat.none"],
            "findings",
        ),
        ({"adapter": adapter()}, [], "ready"),
        ({"adapter": adapter(kind="carrier")}, ["adapter.outside"], "findings"),
        ({"adapter": adapter(on_segment=False)}, ["adapter.elsewhere"], "findings"),
        ({"adapter": adapter(answered=None)}, ["adapter.silent"], "ready"),
        (dict(of_nat(filtering="address-dependent"), forward=forward(True)), PROVEN, "ready"),
        ({"forward": forward(True)}, ["forward.unproven"], "ready"),  # a full cone lets all in
        (dict(of_nat(filtering=None), forward=forward(True)), ["forward.unproven"], "ready"),
        ({"forward": forward(False)}, ["forward.none"], "ready"),
        ({"forward": forward(None)}, [], "ready"),
        ({"forward": forward(True, None)}, ["forward.unproven"], "ready"),
        ({"forward": forward(True, False)}, ["forward.other"], "findings"),
        ({"dns": dns("ok")}, [], "ready"),
        ({"dns": dns("wrong", ["198.51.100.9"])}, ["dns.wrong"], "findings"),
        ({"dns": dns("no such name")}, ["dns.none"], "findings"),
        ({"dns": dns("no answer")}, ["dns.silent"], "findings"),
        ({"registration": registration(bindings=[binding("203.0.113.9")])}, [], "ready"),
        ({"registration": registration(bindings=[])}, ["sip.unregistered"], "findings"),
        (
            {"registration": registration(bindings=[binding("198.51.100.7")])},
            ["sip.registered.elsewhere"],
            "findings",
        ),
        ({"registration": registration(bindings=[binding("10.0.0.6")])}, [], "ready"),
        ({"registration": registration("not asked", options=401)}, [], "ready"),
        (
            {"registration": registration("wrong password", status=401)},
            ["sip.account.refused"],
            "findings",
        ),
        (
            {"registration": registration("resting", options=401, status=None)},
            ["sip.account.refused"],  # nothing was sent, but nobody has mended it either
            "findings",
        ),
        (
            {"registration": registration("resting", options=None, status=None)},
            ["sip.registrar.silent"],
            "findings",
        ),
        ({"registration": registration("redirected")}, ["sip.account.failed"], "findings"),
        ({"registration": registration("no answer")}, ["sip.account.failed"], "findings"),
        (
            {"registration": registration("no answer", options=None)},
            ["sip.registrar.silent"],
            "findings",
        ),
    ):
        result = told(**changes)
        assert codes(result) == found and result["verdict"] == verdict, (changes, result)
        assert result["advice"] or verdict == "ready", "somebody has to do something"


def test_a_finding_changes_the_state_of_its_own_requirement_alone():
    short = lifetime(14.6, 15.4)
    for name, expected, changes in (
        ("R0", "not met", {"media": media(out=way(lost=150))}),
        ("R1", "noted", {"nat": dict(healthy()["nat"], filtering="address-dependent")}),
        ("R2", "not met", {"rtp": reach(HERE, [[20010, 20019]], 101)}),
        ("R5", "not met", {"alg": alg("untouched", "dropped")}),
        ("R6", "not met", {"lifetimes": {SIP: short, ONEWAY: short, STUN: short}}),
    ):
        before, after = told(), told(**changes)
        for row in before["requirements"]:
            now = expected if row["id"] == name else row["state"]
            assert state(after, row["id"]) == now, (name, row, after["requirements"])


def test_of_an_alg_answers_count_where_the_request_came_untouched():
    result = told(alg=alg("untouched", "untouched", "unknown"))
    assert state(result, "R5") == "not measured", result["requirements"]
    there = alg("untouched", "dropped")
    there["control"]["INVITE"] = {"verdict": "dropped", "back": "unknown"}
    for found, also in ((there, ["INVITE"]), (alg("untouched", "dropped"), [])):
        evidence = told(alg=found)["findings"][0]["evidence"]
        assert evidence == {"methods": ["INVITE"], "also_elsewhere": also}, evidence


def test_loss_of_requests_alone_is_told_with_what_is_not_known():
    lossy = reach(HERE, asked=101, tries=2000, lost=150)
    text = "\n".join(lines(told(rtp=lossy, media=None), PROFILE, "en"))
    assert "Packets are lost: ? % of a voice stream on the way out, ? %" in text, text
    assert "7.5 % of 2004 requests" in text, text


def test_a_registration_is_this_lines_only_where_both_addresses_are_known():
    for public, bindings, expected in (
        ("203.0.113.9", [], False),
        (None, [], False),
        ("203.0.113.9", ["198.51.100.7", "203.0.113.9"], True),
        ("203.0.113.9", ["198.51.100.7"], False),
        ("203.0.113.9", ["198.51.100.7", "10.0.0.6"], None),
        (None, ["203.0.113.9"], None),
        (None, ["10.0.0.6"], None),
    ):
        measured = {
            "registration": registration(bindings=[binding(one) for one in bindings]),
            "addressing": addressing("10.0.0.4", None, public, PROFILE["inner"]),
        }
        assert registered(measured) is expected, (public, bindings)
        # One line has several addresses then.
        measured["nat"] = {"pooling": "arbitrary"}
        pooled = None if bindings and not expected else expected
        assert registered(measured) is pooled, (public, bindings)


def test_what_was_not_measured_is_unknown_and_never_ready():
    for changes in (
        {"rtp": None},
        {"ports": None, "rtp": None},
        {"lifetimes": {}},
        {"lifetimes": {SIP: lifetime(None, None), ONEWAY: None}},
    ):
        result = told(**changes)
        assert result["verdict"] == "unknown" and codes(result) == [], (changes, result)
    nothing = dict([(name, None) for name in healthy()])
    nothing.update({"lifetimes": {}, "left_out": [], "cut_short": True})
    result = report(nothing, PROFILE, ABOUT)
    assert result["verdict"] == "unknown"
    states = [row["state"] for row in result["requirements"]]
    assert states == ["not measured"] * 10, states


def test_a_registration_of_this_line_meets_r7_and_one_of_an_inner_contact_is_unknown():
    for bindings, expected in (
        ([binding("10.0.0.6", "203.0.113.9")], "met"),
        ([binding("198.51.100.7"), binding("203.0.113.9")], "met"),
        ([binding("10.0.0.6")], "not measured"),
        (None, "not measured"),
    ):
        result = told(registration=registration(bindings=bindings))
        assert state(result, "R7") == expected and state(result, "R9") == "met", bindings


def test_a_forward_that_works_carries_calls_whatever_the_nat_forgets():
    short = lifetime(14.6, 15.4)
    table = {SIP: short, ONEWAY: short, STUN: short}
    closed = dict(healthy()["nat"], filtering="address-dependent")
    result = told(lifetimes=table, nat=closed, forward=forward(True))
    found = ["nat.filtering.inbound", "nat.binding.forwarded", "forward.works"]
    assert codes(result) == found, result["findings"]
    assert result["verdict"] == "ready" and result["advice"] == [], result["advice"]
    for nat, doubtful in (
        (closed, forward(True, None)),
        (closed, forward(False)),
        (closed, None),
        # The adapter's own binding let it in, while that lived.
        (healthy()["nat"], forward(True)),
        (None, forward(True)),
    ):
        result = told(lifetimes=table, nat=nat, forward=doubtful)
        assert "nat.binding.short" in codes(result), doubtful
        steps = [step["step"] for step in result["advice"]]
        assert steps == ["forwarding", "forward all"], steps


def test_no_forward_is_missed_where_a_shorter_keepalive_holds_the_binding():
    short = lifetime(28.6, 29.4)  # below the default of 30 s, above the least of 15 s
    table = {SIP: short, ONEWAY: short, STUN: short}
    result = told(lifetimes=table, forward=forward(False))
    assert codes(result) == ["nat.binding.short", "forward.none"], result["findings"]
    text = "\n".join(lines(result, PROFILE, "en"))
    assert "usual keepalive of 30 s" in text and "Let it send every 22 s" in text, text


def test_a_keepalive_is_never_taken_from_an_algs_timer():
    table = {SIP: lifetime(180, None), ONEWAY: lifetime(180, None), STUN: lifetime(60, 60.8)}
    result = told(lifetimes=table)
    assert result["keepalive"]["lo"] == 60 and result["keepalive"]["interval_s"] == 29, result


def test_what_was_tried_in_vain_says_why():
    taken = dict(alg("unknown", "unknown"), reason="local port 5060 is <taken>")
    result = told(alg=taken)
    text = "\n".join(lines(result, PROFILE, "ru"))
    assert "R5  отсутствие SIP ALG: не измерено (local port 5060 is <taken>)\n" in text, text
    assert "R7  регистрация на сервере: не измерено\n" in text, text
    assert "(local port 5060 is &lt;taken&gt;)" in page(result, PROFILE, "ru")
    untouched = dict(alg("untouched", "untouched"), reason="control: nothing came")
    assert "nothing came" not in "\n".join(lines(told(alg=untouched), PROFILE, "en"))


def test_no_registration_is_advised_that_this_operator_refuses():
    for lo, steps in ((110.0, ["forwarding", "forward all"]), (200.0, ["expires", "forwarding"])):
        table = {SIP: lifetime(lo, lo + 1), ONEWAY: lifetime(10, 11), STUN: None}
        advice = told(lifetimes=table)["advice"]  # at least 120 s there
        assert [step["step"] for step in advice][:2] == steps, advice


def test_what_to_do_comes_in_the_operators_order():
    short = lifetime(14.6, 15.4)
    result = told(
        lifetimes={SIP: short, ONEWAY: short, STUN: lifetime(5, 6)},
        rtp=reach(HERE, [[20010, 20019]], 101),
    )
    steps = [step["step"] for step in result["advice"]]
    assert steps == ["forwarding", "firewall", "alg", "forward all"], steps
    assert [step["requirement"] for step in result["advice"]] == ["R7d", "R7e", "R5", "R8"]
    result = told(registration=registration(bindings=[]), dns=dns("wrong", ["198.51.100.9"]))
    steps = [step["step"] for step in result["advice"]]
    assert steps == ["register", "resolver"], steps
    thin = lifetime(28.6, 29.4)  # phones there use 30 s
    result = told(lifetimes={SIP: thin, ONEWAY: thin, STUN: thin})
    assert [step["step"] for step in result["advice"]] == ["keepalive on", "keepalive"], result


def test_a_phone_that_is_ready_is_left_as_it_is():
    result = told()
    assert result["verdict"] == "ready" and result["advice"] == []
    assert "A keepalive every 89 s or sooner" in "\n".join(lines(result, PROFILE, "en"))


def test_of_a_blocked_sample_the_whole_range_is_to_be_opened():
    result = told(rtp=reach(HERE, [[20014, 20014]], 40, sampled=True))
    assert result["advice"][0]["values"] == {"ports": "20000-20100"}, result["advice"]
    assert "20014 (39 of 40" in "\n".join(lines(result, PROFILE, "en"))


def test_a_report_says_whose_it_is_and_when_it_was_made():
    result = told()
    for text in ("\n".join(lines(result, PROFILE, "en")), page(result, PROFILE, "en")):
        assert "nw-7, 2025-11-25 10:30 UTC, natwatch 0.1.0, quick check" in text, text
    result["about"] = dict(ABOUT, time=None, quick=False)
    assert "nw-7, clock not set, natwatch 0.1.0, full check" in "\n".join(
        lines(result, PROFILE, "en")
    )


def test_a_search_that_ended_early_advises_no_interval():
    table = {SIP: lifetime(32, None), ONEWAY: lifetime(32, None), STUN: lifetime(32, None)}
    result = told(lifetimes=table)
    assert result["advice"] == [] and result["verdict"] == "ready", result["advice"]


def test_every_code_and_step_has_words_in_every_language_that_take_its_evidence():
    assert sorted(texts.FINDINGS) == sorted(findings.CODES)
    short = lifetime(14.6, 15.4, "SIP lost")
    worst = [
        told(
            lifetimes={SIP: lifetime(180, None, "SIP lost"), ONEWAY: None, STUN: short},
            ports=[reach(HERE, [[3400, 3400], [5070, 5070]], 3), reach(THERE, [[1, 2]])],
            rtp=reach(HERE, [[20010, 20019], [20050, 20050]], 101, 1000, 150),
            nat={
                "mapping": "address-dependent",
                "filtering": "address-dependent",
                "port_preservation": {"kept": 0, "of": 8},
            },
            addressing=addressing("203.0.113.9", None, "203.0.113.9", PROFILE["inner"]),
            keepalives={"kinds": {"nul": "lost"}},
            alg=alg("rewritten", "dropped"),
            size={"out": 1472, "in": 1436, "fragments_out": False, "fragments_in": False},
            left_out=[{"what": "ports", "values": {"asked": 40}}],
            cut_short=True,
        ),
        told(
            lifetimes={SIP: lifetime(30.2, 30.9), ONEWAY: None, STUN: None},
            media=media(way(300, jitter=25.0, queue=180, mos=2.1), rtt=500),
            adapter=adapter("carrier", False, None),
            forward=forward(False),
            alg=alg("untouched", "untouched", "rewritten"),
            dns=dns("wrong", ["198.51.100.9"]),
            registration=registration(bindings=[]),
        ),
        told(
            lifetimes={SIP: lifetime(80, 81), ONEWAY: lifetime(10, 11), STUN: None},
            nat=dict(healthy()["nat"], filtering="address-dependent"),
            forward=forward(True),
            dns=dns("no such name"),
            registration=registration(bindings=[binding("198.51.100.7")]),
        ),
        told(
            lifetimes={SIP: lifetime(10, 11), ONEWAY: None, STUN: None},
            alg=alg("untouched", "untouched", "dropped"),
            forward=forward(True, False),
            dns=dns("no answer"),
            registration=registration("wrong password", status=403),
        ),
        told(lifetimes={SIP: lifetime(10, 11), ONEWAY: None, STUN: None}, forward=forward(False)),
        told(forward=forward(True, None), registration=registration("no answer", options=None)),
        told(registration=registration("refused", status=503)),
        of_layers(INNER_SHORT, heard(upnp="100.64.7.2"), short=True),
        of_layers(OUTER_SHORT, heard(upnp="100.64.7.2"), short=True),
        of_layers(OUTER_SHORT, None, short=True),
        of_layers(OUTER_SHORT, heard(upnp="203.0.113.9")),
        told(configured=configured(replied=90)),
        told(configured=configured(replied=300)),
    ]
    seen = set()
    for result in worst:
        seen |= set(codes(result))
        for language in texts.LANGUAGES:
            for colour in (False, True):
                text = "\n".join(lines(result, PROFILE, language, colour))
                assert "%(" not in text and "help@operator.example" in text, text
            text = page(result, PROFILE, language)
            assert "%(" not in text and "<script" not in text and "src=" not in text, text
            for code in codes(result):
                assert code in text, code
    assert seen == set(findings.CODES), set(findings.CODES) - seen


def test_words_of_the_evidence_are_in_the_language_of_the_report():
    for changes, words in (
        ({"registration": registration("no answer", status=None)}, "запись: нет ответа."),
        ({"registration": registration("resting", status=None)}, "записи (так было в течение"),
        ({"registration": registration("redirected", status=302)}, "на другой сервер (302)."),
        ({"registration": registration("wrong password", status=401)}, "записи (401)."),
        ({"dns": dns("no such name")}, "10.0.0.1: такого имени нет)."),
        ({"dns": dict(dns("wrong", ["1.2.3.4"]), resolver=None)}, "(сервер DNS не спрашивали)."),
        ({"adapter": adapter(kind="carrier")}, "10.0.0.6 (NAT провайдера)"),
    ):
        text = "\n".join(lines(told(**changes), PROFILE, "ru"))
        assert words in text, text
    known = service._REFUSED + ("no answer", "no such name", "no address")
    known += (CARRIER, LINK_LOCAL, LOOPBACK, PUBLIC)
    assert sorted(texts.TERMS) == sorted(known)


def test_what_a_router_put_into_a_message_is_text_in_the_page():
    table = alg("rewritten", "untouched")
    table["sip"]["REGISTER"]["changes"] = [["Via: <script>alert(1)</script>", '"&']]
    text = page(told(alg=table), PROFILE, "en")
    assert "<script" not in text and "&lt;script&gt;" in text


def test_what_a_router_put_into_a_message_gives_the_terminal_no_orders():
    # An ALG's copy holds what it likes; C1 controls and turned text pass a SIP parser as well.
    table = alg("rewritten", "untouched")
    table["sip"]["REGISTER"]["changes"] = [["Via: a", "\x1b[2J\x9b31m\u202eb\r\n\x07"]]
    operator = dict(PROFILE)
    operator["name"] = "Any\x1b]0;Phone"
    for text in (
        "\n".join(lines(told(alg=table), operator, "en")),
        page(told(alg=table), operator, "en"),
    ):
        assert not [one for one in text.replace("\n", "") if one in "\x1b\x9b\u202e\r\x07"], text
        assert "?[2J?31m?b???" in text, text
    assert "\n".join(lines(told(alg=table), operator, "en", True)).count("\x1b") == 2


def test_many_ranges_are_cut_for_people():
    assert ranges_text([[1, 1], [3, 5]]) == "1, 3-5"
    assert ranges_text([[n, n] for n in range(0, 24, 2)]).endswith("18, …")


def test_the_figures_behind_the_verdict_are_told_and_nothing_of_what_was_not_measured():
    known = registration(bindings=[binding("203.0.113.9")])
    text = "\n".join(lines(told(registration=known), PROFILE, "en"))
    for words in (
        "Public address: 203.0.113.9",
        "udp/x y 179.8-180.6",
        "Voice ports: 101 of 101",
        "Voice, outward: 0.0 % lost, jitter 1.0 ms, MOS 4.40",
        "sip:7495@203.0.113.9:5060 for 300 s more",
    ):
        assert words in text and words in page(told(registration=known), PROFILE, "en"), words
    nothing = told(media=None, nat=None, rtp=None, lifetimes={}, addressing=None)
    text = "\n".join(lines(nothing, PROFILE, "en"))
    assert "Measured" not in text, text


def test_a_search_that_ended_below_the_shortest_keepalive_says_nothing_of_r6():
    table = {SIP: lifetime(12, None), ONEWAY: lifetime(12, None), STUN: None}
    result = told(lifetimes=table)  # this operator's keepalives begin at 15 s
    assert codes(result) == [] and state(result, "R6") == "not measured", result["findings"]
    assert result["verdict"] == "unknown"


def of_layers(layer, evidence, short=False, place=HOME, **changes):
    """A line with these boxes; *short*: it keeps a binding for 15 s only."""
    if short:
        changes["lifetimes"] = {key: lifetime(14.5, 15.4) for key in (SIP, ONEWAY, STUN)}
    return told(layers=combine(layer, evidence, place), **changes)

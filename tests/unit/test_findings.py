"""Results into findings, requirements, a verdict and words: tables, on both interpreters."""

from test_profile import GOOD

from natwatch.diagnosis import findings, texts
from natwatch.diagnosis.page import page
from natwatch.diagnosis.profile import check
from natwatch.diagnosis.report import lines, ranges_text, report
from natwatch.probes.addressing import addressing

# Not the first operator: other ports, other limits. No code knows either.
PROFILE = check(GOOD)
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


def alg(register, invite):
    changes = [["Via: 10.0.0.5", "Via: 203.0.113.9"], ["Contact: 10.0.0.5", ""]]
    table = {}
    for method, verdict in (("REGISTER", register), ("INVITE", invite)):
        table[method] = {"verdict": verdict, "changes": changes if verdict == "rewritten" else []}
    clean = {"verdict": "untouched", "changes": []}
    return {"sip": table, "control": {"REGISTER": clean, "INVITE": clean}, "reason": None}


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
        "left_out": [],
        "cut_short": False,
    }


def told(**changes):
    measured = healthy()
    measured.update(changes)
    return report(measured, PROFILE)


def codes(result):
    return [finding["code"] for finding in result["findings"]]


def state(result, name):
    return [row["state"] for row in result["requirements"] if row["id"] == name][0]


def test_a_healthy_line_is_ready_and_what_nobody_measured_is_not_called_met():
    result = told()
    assert result["verdict"] == "ready" and codes(result) == [], result["findings"]
    for name in ("R1", "R2", "R3", "R4", "R5", "R6"):
        assert state(result, name) == "met", name
    for name in ("R0", "R7", "R8", "R9"):
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
        ({"rtp": reach(HERE, asked=101, tries=2000, lost=100)}, ["line.loss"], "findings"),
        ({"rtp": reach(HERE, asked=101, tries=100, lost=10)}, [], "ready"),
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
    ):
        result = told(**changes)
        assert codes(result) == found and result["verdict"] == verdict, (changes, result)


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
    result = report(nothing, PROFILE)
    assert result["verdict"] == "unknown"
    states = [row["state"] for row in result["requirements"]]
    assert states == ["not measured"] * 10, states


def test_a_keepalive_is_never_taken_from_an_algs_timer():
    table = {SIP: lifetime(180, None), ONEWAY: lifetime(180, None), STUN: lifetime(60, 60.8)}
    result = told(lifetimes=table)
    assert result["keepalive"]["lo"] == 60 and result["keepalive"]["interval_s"] == 29, result


def test_what_to_do_comes_in_the_operators_order():
    short = lifetime(14.6, 15.4)
    result = told(
        lifetimes={SIP: short, ONEWAY: short, STUN: lifetime(5, 6)},
        rtp=reach(HERE, [[20010, 20019]], 101),
    )
    steps = [step["step"] for step in result["advice"]]
    assert steps == ["firewall", "forwarding", "alg"], steps
    result = told()
    assert [step["step"] for step in result["advice"]] == ["keepalive"]


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
            rtp=reach(HERE, [[20010, 20019], [20050, 20050]], 101, 1000, 100),
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
        told(lifetimes={SIP: lifetime(30.2, 30.9), ONEWAY: None, STUN: None}),
        told(lifetimes={SIP: lifetime(80, 81), ONEWAY: lifetime(10, 11), STUN: None}),
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


def test_what_a_router_put_into_a_message_is_text_in_the_page():
    table = alg("rewritten", "untouched")
    table["sip"]["REGISTER"]["changes"] = [["Via: <script>alert(1)</script>", '"&']]
    text = page(told(alg=table), PROFILE, "en")
    assert "<script" not in text and "&lt;script&gt;" in text


def test_many_ranges_are_cut_for_people():
    assert ranges_text([[1, 1], [3, 5]]) == "1, 3-5"
    assert ranges_text([[n, n] for n in range(0, 24, 2)]).endswith("18, …")

"""A probe that is the router: what is configured there is told beside what was measured."""

from test_findings import (
    ONEWAY,
    PROFILE,
    SIP,
    STUN,
    adapter,
    alg,
    codes,
    configured,
    lifetime,
    state,
    told,
)

from natwatch.diagnosis.page import page
from natwatch.diagnosis.report import lines
from natwatch.probes.addressing import addressing

PLAIN = configured(helpers=())


def evidence(result, code):
    return [one["evidence"] for one in result["findings"] if one["code"] == code]


def test_what_is_configured_is_found_and_is_nothing_where_the_probe_is_no_router():
    result = told(configured=configured())
    assert codes(result) == ["router.helper.sip", "router.forward"], result["findings"]
    assert result["verdict"] == "findings" and state(result, "R5") == "not met"
    assert [step["step"] for step in result["advice"]] == ["alg"], result["advice"]
    assert codes(told(configured=PLAIN)) == ["router.forward"]
    assert told(configured=PLAIN)["verdict"] == "ready"
    for nobodys in (None, dict(configured(), router=False), dict(configured(), router=None)):
        assert codes(told(configured=nobodys)) == [], nobodys


def test_a_timer_differs_where_the_bracket_leaves_it_out_by_more_than_a_second():
    differs, outlived = "router.timer.differs", "router.timer.outlived"
    for timer, lo, hi, code in (
        (180, 179.4, 180.6, None),
        (180, 180.9, 181.5, None),
        (180, 181.2, 182.0, outlived),
        (180, 178.0, 179.1, None),
        (180, 177.0, 178.9, differs),
        (180, 342.0, None, outlived),
        (400, 342.0, None, None),
        (120, 59.4, 60.6, differs),
        (None, 59.4, 60.6, None),
    ):
        table = {SIP: lifetime(lo, hi), STUN: lifetime(lo, hi)}
        result = told(lifetimes=table, configured=configured(timer, ()))
        expected = [{"state": "replied", "configured": timer, "measured": [lo, hi]}]
        for one in (differs, outlived):
            assert evidence(result, one) == (expected if one == code else []), (timer, lo, hi)
    for nothing in (
        {"lifetimes": {}, "configured": PLAIN},
        {"configured": dict(PLAIN, timers=None)},
    ):
        assert codes(told(**nothing)) == ["router.forward"], nothing


def test_a_lifetime_beyond_the_routers_timer_is_no_phones_and_no_advice():
    both = {SIP: lifetime(59.5, 60.5), ONEWAY: lifetime(59.5, 60.5), STUN: lifetime(59.5, 60.5)}
    held, outlived = configured(60, ()), configured(15, ())
    result = told(lifetimes=both, configured=held)
    assert state(result, "R6") == "met" and result["keepalive"]["interval_s"] == 29
    result = told(lifetimes=both, configured=outlived)
    assert state(result, "R6") == "not measured" and result["verdict"] == "unknown"
    assert result["keepalive"]["interval_s"] is None and result["advice"] == [], result
    # Of what died sooner than it was set to, the line is known.
    result = told(lifetimes=both, configured=configured(90, ()))
    assert state(result, "R6") == "noted" and result["keepalive"]["interval_s"] == 29
    assert told(lifetimes=both)["keepalive"]["interval_s"] == 29


def test_the_first_forward_of_the_operators_and_of_the_adapters_port_is_told():
    def one(low, high, to, to_port):
        return {"ports": [low, high], "to": to, "to_port": to_port}

    several = [one(80, 80, "10.0.0.2", 80), one(5070, 5070, "10.0.0.6", 5060)]
    several += [one(5000, 6000, "10.0.0.7", None)]
    result = told(configured=dict(PLAIN, forwards=several), adapter=adapter())
    assert evidence(result, "router.forward") == [
        {"port": 5060, "to": "10.0.0.7", "to_port": 5060},  # the adapter's
        {"port": 5070, "to": "10.0.0.6", "to_port": 5060},  # this operator's
    ]
    for forwards in ([], None, several[:1]):
        result = told(configured=dict(PLAIN, forwards=forwards), adapter=adapter())
        assert not evidence(result, "router.forward"), forwards


def test_the_routers_own_address_is_no_phones():
    public = addressing("203.0.113.9", None, "203.0.113.9", PROFILE["inner"])
    result = told(addressing=public, configured=PLAIN)
    assert "nat.none" not in codes(result) and "address.outside" not in codes(result)
    assert state(result, "R3") == "not measured"
    assert state(told(addressing=public, configured=PLAIN, adapter=adapter()), "R3") == "met"
    outside = told(addressing=public, configured=PLAIN, adapter=adapter("public"))
    assert state(outside, "R3") == "not met"


def test_no_alg_on_the_routers_own_packets_says_nothing_of_phones():
    untouched = alg("untouched", "untouched")
    for helpers, expected in ((None, "not measured"), ([], "met"), (["sip"], "not met")):
        result = told(alg=untouched, configured=dict(PLAIN, helpers=helpers))
        assert state(result, "R5") == expected, helpers


def test_the_report_says_whose_line_it_is_and_what_is_configured_beside_measured():
    measured = lifetime(59.5, 60.5)
    measured.update({"class": "udp/sip", "state": "replied"})
    result = told(lifetimes={SIP: measured}, configured=configured())
    text = "\n".join(lines(result, PROFILE, "en"))
    for words in (
        "The probe is the router itself",
        "oneway 180, replied 180, stream 180; beside measured (udp/sip): replied 59.5-60.5",
        "for 180 s (replied), but 59.5-60.5 s were measured",
        "a SIP helper",
        "forwards of UDP: 5000-5100 -> 10.0.0.6",
        "forward port 5070 to 10.0.0.6 port 5070",
        "Something could not be read.",
    ):
        assert words in text, (words, text)
        assert words.replace(">", "&gt;") in page(result, PROFILE, "en"), words
    russian = "\n".join(lines(result, PROFILE, "ru"))
    assert "Зонд — сам маршрутизатор" in russian and "5000-5100 -> 10.0.0.6" in russian


def test_what_is_not_known_is_not_told_as_nothing():
    unknown = dict(PLAIN, timers=None, helpers=None, forwards=None)
    text = "\n".join(lines(told(configured=unknown), PROFILE, "en"))
    assert "The probe is the router" in text and "Configured" not in text, text
    text = "\n".join(lines(told(configured=dict(PLAIN, forwards=[])), PROFILE, "en"))
    assert "no SIP helper in use" in text and "no forwards of UDP" in text, text
    old = dict(PLAIN, timers={"oneway": 30, "replied": None, "stream": 180})
    text = "\n".join(lines(told(configured=old, lifetimes={}), PROFILE, "en"))
    assert "oneway 30, stream 180; beside measured (udp/sip): -" in text, text
    many = [{"ports": [n, n], "to": "10.0.0.6", "to_port": n} for n in range(1, 20)]
    text = "\n".join(lines(told(configured=dict(PLAIN, forwards=many)), PROFILE, "en"))
    assert "8 -> 10.0.0.6:8, …" in text and "9 ->" not in text, text

"""The verdict that the daemon tells: of what is known, and of nothing else."""

import json

from test_findings import PROFILE as OTHER
from test_findings import configured, media
from test_sampling import PORTS, SINGLE, ask, sampling, sweep

from natwatch.daemon.standing import Standing
from natwatch.diagnosis.findings import CODES
from natwatch.wire import telemetry

DAY = 86400000
PROFILE = dict(OTHER, ports=PORTS)
NAT = {
    "mapping": "endpoint-independent",
    "filtering": "endpoint-independent",
    "port_preservation": {"kept": 8, "of": 8},
}


def lifetime(lo, hi, state="replied"):
    return {"class": "udp/sip", "state": state, "lo": lo, "hi": hi}


def healthy(now=0):
    """A Standing that knows all that the daemon asks, of a line without a fault."""
    known = Standing(PROFILE, sampling())
    known.place("10.0.0.5", "10.0.0.1", "203.0.113.9", now)
    sweep(known.sampling, now)
    ask(known.sampling, now)
    known.keep("nat", NAT, now)
    known.keep("keepalives", {"kinds": {"crlf": "arrives"}}, now)
    known.keep("media", media(), now)
    known.lifetime(lifetime(179.6, 180.4), now)
    return known


def test_what_the_daemon_asks_is_met_and_the_rest_is_not_measured():
    told = healthy().verdict(0)
    assert told["verdict"] == "ready" and told["codes"] == [], told
    for name in ("R0", "R1", "R2", "R3", "R4", "R6"):
        assert told["requirements"][name] == "met", name
    for name in ("R5", "R7", "R8", "R9"):
        assert told["requirements"][name] == "not measured", name


def test_on_a_router_its_own_address_is_no_phones_and_its_timer_counts():
    for replied, r6, verdict in ((180, "met", "ready"), (30, "not measured", "unknown")):
        known = healthy()
        known.place("203.0.113.9", "10.0.0.1", "203.0.113.9", 0)
        assert "nat.none" in known.verdict(0)["codes"]
        known.keep("configured", dict(configured(replied), helpers=None), 0)
        told = known.verdict(0)
        assert (told["requirements"]["R6"], told["verdict"]) == (r6, verdict), told
        assert told["requirements"]["R3"] == "not measured", told


def test_at_the_start_everything_is_not_measured_and_the_verdict_unknown():
    told = Standing(PROFILE, sampling()).verdict(0)
    assert told["verdict"] == "unknown" and told["codes"] == []
    assert set(told["requirements"].values()) == set(["not measured"])


def test_blocked_ports_are_a_finding_as_long_as_they_are():
    known = healthy()
    assert known.news(0)["verdict"] == "ready"
    closed = range(8500, 8600)
    sweep(known.sampling, 1, closed)
    assert known.news(1) is None, "silent once is no finding"
    ask(known.sampling, 2, closed)
    told = known.news(2)
    assert (told["verdict"], told["codes"]) == ("findings", ["reach.blocked.rtp"]), told
    assert told["requirements"]["R2"] == "not met"
    assert known.news(3) is None
    sweep(known.sampling, 4)
    assert known.news(4)["verdict"] == "ready"


def test_a_short_binding_is_a_finding_and_an_unknown_one_leaves_what_was_known():
    known = healthy()
    known.lifetime(lifetime(14.6, 15.4), 1)
    assert "nat.binding.short" in known.verdict(1)["codes"]
    known.lifetime({"class": "udp/sip", "state": "replied", "lo": None, "hi": None}, 2)
    assert "nat.binding.short" in known.verdict(2)["codes"]


def test_the_same_verdict_is_told_once_a_day_and_another_at_once():
    known = healthy()
    assert not known.due(0), "nothing was told yet: what is found first says when"
    assert known.news(1000) is not None
    for hours in range(1, 24):
        assert known.news(1000 + hours * 3600000) is None and not known.due(hours * 3600000)
    assert known.due(1000 + DAY) and known.news(1000 + DAY) is not None
    assert known.news(2000 + DAY) is None
    known.keep("nat", dict(NAT, mapping="address-dependent"), 3000 + DAY)
    assert known.news(3000 + DAY)["codes"] == ["nat.mapping.dependent"]


def test_what_is_two_days_old_is_not_measured():
    known = healthy()
    known.place("10.0.0.5", "10.0.0.1", "203.0.113.9", 2 * DAY)
    told = known.verdict(2 * DAY)
    assert told["verdict"] == "unknown", told
    assert told["requirements"]["R3"] == "met" and told["requirements"]["R2"] == "not measured"


def test_another_gateway_is_another_line_of_which_nothing_is_known():
    known = healthy()
    known.place("10.0.0.5", None, "203.0.113.9", 1)
    assert known.verdict(1)["requirements"]["R6"] == "met", "one that nobody can tell is no other"
    known.place("10.0.8.5", "10.0.8.1", "198.51.100.7", 2)
    told = known.verdict(2)
    for name in ("R0", "R1", "R2", "R4", "R6"):
        assert told["requirements"][name] == "not measured", name
    assert told["verdict"] == "unknown" and told["requirements"]["R3"] == "met"


def test_a_dead_single_port_is_a_finding_of_its_own():
    known = healthy()
    ask(known.sampling, 1, [5060])
    ask(known.sampling, 2, [5060])
    assert known.verdict(2)["codes"] == ["reach.blocked.sip"]
    ask(known.sampling, 3, SINGLE)
    ask(known.sampling, 4, SINGLE)
    assert known.verdict(4)["codes"] == ["reach.blocked.address"]


def test_a_verdict_is_no_longer_than_a_kibibyte_whatever_is_found():
    told = healthy().verdict(0)
    asked = ("R0", "R1", "R2", "R3", "R4", "R6")
    # One box is short, one timer is another's: of these no two are told together.
    alternatives = ("layers.carrier.short", "layers.outer.short", "router.timer.outlived")
    codes = [code for code in CODES if CODES[code][0] in asked and code not in alternatives]
    told["codes"] = sorted(codes)
    for name in told["requirements"]:
        told["requirements"][name] = "not measured"
    told["context"] = {"gateway": "192.168.100.100", "public": "203.0.113.100", "local": None}
    report = telemetry.Envelope("0" * 16, 10**6, 1700000000.123456, "ntp", 1e6, "check", told)
    assert len(telemetry.encode(report)) <= 1024, len(json.dumps(told))

"""The check on the router itself: what its kernel is set to, beside what was measured there."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from tests.lab import ADAPTER, CARRIER, HOME, Lab
from tests.lab.stage import INTERPRETERS, ROOT, Stage

SCHEMA = json.loads((ROOT / "docs/check.schema.json").read_text())
BOTH = pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
SIP = {"ports": [5060, 5060], "to": ADAPTER, "to_port": 5060}
FIREWALL = f"""
config zone
\toption name 'lan'

config redirect
\toption src 'wan'
\toption proto 'udp'
\toption src_dport '5060'
\toption dest_ip '{ADAPTER}'
"""


def check(topology: Any, interpreter: str, prepare: Callable[[Lab], None]) -> dict[str, Any]:
    """The report of a quick check that runs on the customer's router, which *prepare* has set."""
    with Lab(topology) as lab:
        stage = Stage(lab)
        prepare(lab)
        stage.start_reflector()
        out, _ = stage.check("box", interpreter, "--quick", host="router").communicate(timeout=120)
        assert out, stage.log("box")
        report: dict[str, Any] = json.loads(out)
        jsonschema.validate(report, SCHEMA)
        return report


def close(lab: Lab) -> None:
    """Lets in to the router itself only what it has asked for, as routers do."""
    rules = f"ct state established,related accept\niifname {lab.router.outer} drop\n"
    chain = f"chain inward {{ type filter hook input priority 0;\n{rules} }}"
    lab.nft("router", "own", chain)


def ask(lab: Lab, host: str, interpreter: str, expression: str) -> Any:
    """The value of *expression* of port.kernel on *host*, through JSON."""
    program = f"import json; from natwatch.port import kernel; print(json.dumps({expression}))"
    environment = ["env", f"MICROPYPATH={ROOT / 'agent'}"]
    return json.loads(lab.run(host, [*environment, *INTERPRETERS[interpreter], "-c", program]))


def codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def of_replied(report: dict[str, Any]) -> tuple[float, Any]:
    rows = [(one["class"], one["state"], one["lo"], one["hi"]) for one in report["lifetimes"]]
    ((lo, hi),) = [row[2:] for row in rows if row[:2] == ("udp/sip", "replied")]
    return lo, hi


@BOTH
@pytest.mark.lab
def test_the_routers_own_timer_is_configured_and_measured(interpreter: str) -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=15, stream=60)
        lab.router.set_sip_alg(True)
        lab.router.set_mapping("", [("udp", 5060, ADAPTER, 5060)])
        close(lab)

    report = check(HOME, interpreter, prepare)
    configured = report["configured"]
    assert configured["timers"] == {"oneway": 15, "replied": 15, "stream": 60}, configured
    lo, hi = of_replied(report)
    assert 13 < lo <= 15.5 and 14.5 < hi < 17, report["lifetimes"]
    assert "router.timer.differs" not in codes(report), report["findings"]
    # Its own address is public, and no phone's.
    assert not codes(report) & {"nat.none", "address.outside"}, report["findings"]
    state = {row["id"]: row["state"] for row in report["requirements"]}
    if interpreter == "cpython":
        # The helper is on for what comes from the LAN: the probe's own messages pass untouched.
        verdicts = {row["verdict"] for row in report["alg"]["sip"].values()}
        assert verdicts == {"untouched"}, report["alg"]
        assert (configured["helpers"], configured["forwards"]) == (["sip"], [SIP]), configured
        assert configured["notes"] == [], configured
        assert {"router.helper.sip", "router.forward"} <= codes(report), report["findings"]
        assert state["R5"] == "not met", report["requirements"]
    else:
        assert configured["helpers"] is configured["forwards"] is None, configured
        assert len(configured["notes"]) == 3, configured
        assert state["R5"] == "not measured", report["requirements"]


@BOTH
@pytest.mark.lab
def test_a_router_open_to_everybody_says_nothing_of_its_phones(interpreter: str) -> None:
    report = check(HOME, interpreter, lambda lab: lab.router.set_timers(udp=15, stream=60))
    lo, hi = of_replied(report)
    assert lo > 20 and hi is None, report["lifetimes"]
    assert "router.timer.outlived" in codes(report), report["findings"]
    assert report["verdict"] == "unknown", report["requirements"]
    assert report["keepalive"]["interval_s"] is None, report["keepalive"]


@BOTH
@pytest.mark.lab
def test_where_the_carrier_forgets_sooner_the_two_differ(interpreter: str) -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=40, stream=120)
        lab.carrier.set_timers(udp=10, stream=120)

    report = check(CARRIER, interpreter, prepare)
    assert report["configured"]["timers"] == {"oneway": 40, "replied": 40, "stream": 120}
    lo, hi = of_replied(report)
    assert 8.5 < lo <= 10.5 and 9.5 < hi < 12, report["lifetimes"]
    (found,) = [one for one in report["findings"] if one["code"] == "router.timer.differs"]
    assert found["evidence"] == {"state": "replied", "configured": 40, "measured": [lo, hi]}
    if interpreter == "cpython":
        assert report["configured"]["helpers"] == report["configured"]["forwards"] == []


@BOTH
@pytest.mark.lab
def test_who_is_the_router_and_who_is_not(interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        for host, router in (("phone", False), ("router", True), ("carrier", True)):
            assert ask(lab, host, interpreter, 'kernel.is_router("/")') is router, host
        assert ask(lab, "phone", interpreter, "kernel.of_this_router(True)") is None
        lab.carrier.set_timers(udp=21, stream=77, ports={5060: (11, 22)})
        told = ask(lab, "carrier", interpreter, "kernel.of_this_router(True)")
        assert told["timers"] == {"oneway": 21, "replied": 21, "stream": 77}, told
        words = "port5060, 11 and 22 s" if interpreter == "cpython" else "cannot be seen"
        assert [note for note in told["notes"] if words in note], told


@BOTH
@pytest.mark.lab
def test_openwrts_configuration_tells_what_rules_that_cannot_be_listed_do_not(
    interpreter: str,
) -> None:
    with Lab(HOME) as lab:
        # The kernel's own files, beside a configuration of OpenWrt's.
        root = lab.scratch / "openwrt"
        (root / "etc/config").mkdir(parents=True)
        (root / "etc/config/firewall").write_text(FIREWALL)
        for name in ("proc", "sys"):
            (root / name).symlink_to(f"/{name}")
        told = ask(lab, "router", interpreter, f'kernel.configured("{root}/")')
        assert told["router"] is True and told["timers"]["stream"] == 120, told
        # This kernel has the helper, and fw4 gives it to the zone lan.
        assert (told["helpers"], told["forwards"]) == (["sip"], [SIP]), told

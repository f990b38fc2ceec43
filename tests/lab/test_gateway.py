"""What a router tells by UPnP, NAT-PMP and PCP, and routers by ICMP, is told on; nobody else is
asked."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.lab import CARRIER, HOME, HOME_ADAPTER, Lab
from tests.lab.igd import HTTP
from tests.lab.miniupnpd import MANUFACTURER, MODEL
from tests.lab.stage import INTERPRETERS, ROOT, Stage
from tests.lab.topology import ADAPTER, HOME_ROUTABLE, PHONE, REFLECTOR_A, ROUTABLE

ROUTER = "192.168.1.1"
OUTER = "100.64.7.2"  # the router's, on the carrier's network
KINDS = ("upnp", "nat_pmp", "pcp")
both = pytest.mark.parametrize("interpreter", ["cpython", "micropython"])


def gather(stage: Stage, interpreter: str, reflector: str = REFLECTOR_A) -> dict[str, Any]:
    argv = [*INTERPRETERS[interpreter], str(ROOT / "tests/lab/gather.py"), reflector, "3478"]
    process = stage.spawn("gather", "phone", argv, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, stage.log("gather")
    seen: dict[str, Any] = json.loads(out)
    assert seen["ms"] < 13_000, seen
    return dict(seen["result"], counters=seen["counters"], ms=seen["ms"])


def start_igd(stage: Stage, host: str = "router", address: str = ROUTER, **settings: Any) -> None:
    """A router on *host*; its log is called igd-HOST."""
    told = json.dumps({"address": address, "external": OUTER, **settings})
    stage.spawn(f"igd-{host}", host, [sys.executable, str(ROOT / "tests/lab/igd.py"), told])
    stage.expect(f"igd-{host}", "ready", 20)


def states(found: dict[str, Any]) -> list[str]:
    return [found[kind]["state"] for kind in KINDS]


def hops(found: dict[str, Any]) -> list[str | None]:
    assert [entry["hop"] for entry in found["icmp"]["hops"]] == [
        number + 1 for number in range(len(found["icmp"]["hops"]))
    ], found["icmp"]
    return [entry["address"] for entry in found["icmp"]["hops"]]


@pytest.mark.lab
@both
def test_a_router_with_a_public_address_tells_it_three_times_and_keeps_no_mapping(
    interpreter: str,
) -> None:
    with Lab(HOME_ROUTABLE) as lab:
        stage = Stage(lab)
        stage.start_miniupnpd()
        found = gather(stage, interpreter)
        assert found["gateway"] == ROUTER and found["counters"] == {}, found
        asked = KINDS if interpreter == "cpython" else KINDS[1:]
        assert [found[kind]["external"] for kind in asked] == [ROUTABLE] * len(asked), found
        assert found["nat_pmp"]["code"] == found["pcp"]["code"] == 0, found
        log = stage.log("miniupnpd")
        assert "added mapping UDP 9->" in log and "UDP port 9 mapping removed" in log, log
        rules = lab.run(
            "router", ["nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"]
        )
        assert "dnat" not in rules, rules
        if interpreter == "cpython":
            assert (found["upnp"]["manufacturer"], found["upnp"]["model"]) == (MANUFACTURER, MODEL)
        else:
            assert found["upnp"]["state"] == found["icmp"]["state"] == "unsupported", found
            assert found["ms"] < 3_000, found  # before PCP's second try


@pytest.mark.lab
@both
def test_behind_a_carriers_nat_miniupnpd_says_that_it_cannot_forward(interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        stage.start_miniupnpd()
        found = gather(stage, interpreter)
        assert (found["nat_pmp"]["state"], found["nat_pmp"]["code"]) == ("refused", 3), found
        # No RFC has a number for it: 2.3.1 says that it lacks resources.
        assert (found["pcp"]["state"], found["pcp"]["external"]) == ("refused", None), found
        assert "network failure" in found["nat_pmp"]["reason"], found
        if interpreter == "cpython":
            assert (found["upnp"]["state"], found["upnp"]["external"]) == ("answered", None), found
            assert found["upnp"]["model"] == MODEL and found["upnp"]["reason"], found
            assert found["icmp"]["state"] == "answered", found
            assert hops(found) == [ROUTER, "100.64.7.1"], found
            assert found["ms"] < 4_000, found  # less than silence takes


@pytest.mark.lab
@both
def test_a_router_that_tells_its_shared_address_is_believed(interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        stage = Stage(lab)
        start_igd(stage)
        found = gather(stage, interpreter)
        asked = KINDS if interpreter == "cpython" else KINDS[1:]
        assert [found[kind]["external"] for kind in asked] == [OUTER] * len(asked), found
        if interpreter == "cpython":
            assert found["upnp"]["manufacturer"] == "ACME & Sons", found
            assert found["upnp"]["model"] == "X1? v2", found


@pytest.mark.lab
@both
def test_a_router_that_tells_nothing_is_silent(interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        stage = Stage(lab)
        quiet = "icmp type time-exceeded drop"
        lab.nft(
            "router", "quiet", f"chain quiet {{ type filter hook output priority 0; {quiet}; }}"
        )
        found = gather(stage, interpreter)
        assert (found["nat_pmp"]["state"], found["pcp"]["state"]) == ("silent", "silent"), found
        assert 4_000 <= found["ms"] < 8_000, found
        if interpreter == "cpython":
            assert states(found) == ["silent"] * 3, found
            # No reflector answers either; the carrier's hop tells of itself all the same.
            assert hops(found) == [None, "100.64.7.1"], found


@pytest.mark.lab
def test_another_router_on_the_lan_is_noted_and_not_asked() -> None:
    with Lab(HOME_ADAPTER) as lab:
        stage = Stage(lab)
        start_igd(stage, "adapter", ADAPTER)
        found = gather(stage, "cpython")
        assert states(found) == ["silent"] * 3, found
        assert ADAPTER in found["upnp"]["reason"], found
        assert "desc.xml" not in stage.log("igd-adapter"), stage.log("igd-adapter")


@pytest.mark.lab
@pytest.mark.parametrize("field", ["location", "control"])
def test_a_router_cannot_have_the_probe_ask_somebody_else(field: str) -> None:
    with Lab(HOME_ADAPTER) as lab:
        stage = Stage(lab)
        start_igd(stage, "adapter", ADAPTER)
        start_igd(stage, **{field: f"http://{ADAPTER}:{HTTP}/elsewhere"})
        found = gather(stage, "cpython")
        assert (found["upnp"]["state"], found["upnp"]["external"]) == ("failed", None), found
        assert f"http://{ADAPTER}" in found["upnp"]["reason"], found
        assert "elsewhere" not in stage.log("igd-adapter"), stage.log("igd-adapter")


@pytest.mark.lab
@pytest.mark.parametrize(
    ("settings", "state", "said"),
    [
        ({"description": "x" * 70000}, "failed", "65536 bytes"),
        ({"fault": 501}, "refused", "answers UPnP with"),
        ({"external": "0.0.0.0"}, "answered", "names no external address"),
    ],
)
def test_odd_answers_by_upnp_end_in_a_sentence(
    settings: dict[str, Any], state: str, said: str
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_igd(stage, mute=True, **settings)
        found = gather(stage, "cpython")["upnp"]
        assert (found["state"], found["external"]) == (state, None), found
        assert said in found["reason"], found


@pytest.mark.lab
def test_a_description_with_entities_names_nobody_and_the_address_is_told_all_the_same() -> None:
    text = "<!DOCTYPE r [<!ENTITY a 'X1'>]><root><device><modelName>&a;</modelName></device></root>"
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_igd(stage, mute=True, description=text)
        found = gather(stage, "cpython")["upnp"]
        assert (found["state"], found["external"], found["model"]) == ("answered", OUTER, None)


@pytest.mark.lab
@both
@pytest.mark.parametrize("reflector", [PHONE, ROUTER, "127.0.0.1"])
def test_nothing_is_sent_where_no_gateway_is_on_the_way(interpreter: str, reflector: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        # The kernel's own multicast, seconds after a link came up, would count as ours.
        lab.sysctl("phone", "net/ipv6/conf/all/disable_ipv6", 1)
        before = lab.traffic("phone", "router").packets_out
        found = gather(stage, interpreter, reflector)
        assert found["gateway"] is None and states(found) == ["unsupported"] * 3, found
        assert found["icmp"]["state"] == "unsupported" and found["ms"] < 1_000, found
        assert lab.traffic("phone", "router").packets_out == before

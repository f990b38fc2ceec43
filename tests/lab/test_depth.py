"""The whole daemon in the lab: everything that it measures reaches the NOC's page of one box."""

import time
from typing import Any

import pytest

from tests.lab import HOME, R2, Lab
from tests.lab.stage import INTERPRETERS, Stage, wait_for

KINDS = ("resident", "nat", "keepalives", "advice", "plan")
NOT_OURS = """chain outgoing { type nat hook postrouting priority srcnat;
oifname another masquerade
}"""
QUICK: dict[str, Any] = {
    "watch": [["udp/sip", "replied"]],
    "check": [["udp/sip", "refreshed"], ["udp/rtp", "oneway"]],
    "survey_every_s": 21600,
    "search_limit_s": 12,
    "resident": {"interval_s": 2, "expires_s": 60},
}


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_all_that_is_measured_stands_on_the_page_of_the_box(interpreter: str) -> None:
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=5, stream=5)
        lab.router.set_filter(allow=R2)
        stage = Stage(lab)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        agent = stage.start_agent("box", interpreter, **QUICK)

        def complete() -> dict[str, Any] | None:
            if not stage.noc("devices"):
                return None
            page: dict[str, Any] = stage.noc("device", "box")
            known = {(row["class"], row["state"]) for row in page["keys"] if row["lo"]}
            missing = [kind for kind in KINDS if page["latest"].get(kind) is None]
            return page if not missing and len(known) == 3 else None

        page = wait_for(complete, 150, "everything on the page", lambda: stage.log("box"))
        assert page["latest"]["nat"]["data"]["filtering"] == "address-and-port-dependent"
        assert set(page["latest"]["keepalives"]["data"]["kinds"].values()) == {"arrives"}
        assert (
            page["latest"]["advice"]["data"]["margin"] == "none"
        )  # 5 s are below every interval allowed
        by_key = {(row["class"], row["state"]): row for row in page["keys"]}
        assert by_key[("udp/sip", "refreshed")]["extends"] is True
        for row in by_key.values():
            assert row["lo"] <= 5.05 and row["hi"] >= 4.95, row
        wait_for(
            lambda: (
                stage.noc("device", "box")["latest"]["resident"]["data"]["share"] == 100 or None
            ),
            100,
            "a push to the resident flow",
            lambda: stage.log("box"),
        )
        # Nothing that the agent sends is strange to the collector.
        assert "bad_" not in stage.log("collector"), stage.log("collector")
        assert agent.poll() is None and "Traceback" not in stage.log("box")


@pytest.mark.lab
def test_a_flow_opened_before_the_nat_rule_was_loaded_is_not_reachable() -> None:
    """Trap of routers at boot: the rule comes later than the phone, whose flow stays broken."""
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=30, stream=30)
        # Connections are tracked, and no rule translates this one: so the kernel decides, once
        # and for all. (Without any rule in the chain it tracks nothing and decides later.)
        lab.nft("router", "nat", NOT_OURS)
        stage = Stage(lab)
        stage.start_reflector()
        stage.start_agent("box", **{**QUICK, "check": [], "survey_every_s": 0})
        time.sleep(5)  # keepalives go out every 2 s, without the router's public address
        lab.router.set_mapping()
        stage.expect("box", "resident: .*registration unanswered", 120)
        stage.expect("box", "udp/sip replied: (alive|watching)", 120)

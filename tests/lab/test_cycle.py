"""The check as part of the daemon's cycle: blocked ports and the verdict reach the NOC."""

from typing import Any

import pytest

from tests.lab import HOME, R2, Lab
from tests.lab.stage import INTERPRETERS, PROFILE, Stage, wait_for

QUICK: dict[str, Any] = {
    "watch": [["udp/sip", "replied"]],
    "search_limit_s": 60,
    "profile": str(PROFILE),
    "survey_every_s": 21600,
    "reach_every_s": 10,
    "sweep_every_s": 20,
    "media_every_s": 30,
}
DROPPED = [("udp", "8500-8599")]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_blocked_voice_ports_reach_the_noc_and_their_end_makes_the_line_ready_again(
    interpreter: str,
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=25, stream=25)  # a default keepalive of 20 s holds that
        lab.router.set_filter(allow=R2, drop=DROPPED)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        agent = stage.start_agent("box", interpreter, **QUICK)

        def latest() -> dict[str, Any]:
            known = [one["id"] for one in stage.noc("devices")]
            found: dict[str, Any] = stage.noc("device", "box")["latest"] if known else {}
            return {kind: found[kind]["data"] for kind in found}

        def blocked() -> dict[str, Any] | None:
            found = latest()
            whole = found.get("reach", {}).get("blocked") == [[8500, 8599]]
            codes = found.get("check", {}).get("codes", [])
            return found if whole and "reach.blocked.rtp" in codes else None

        found = wait_for(blocked, 240, "blocked ports", lambda: stage.log("box"), every=1)
        assert found["check"]["verdict"] == "findings", found
        assert found["check"]["requirements"]["R2"] == "not met", found
        assert (found["reach"]["known"], found["reach"]["known_open"]) == (2004, 1904), found
        page = stage.noc_page("box")
        assert "verdict            NOT READY: reach.blocked.rtp" in page, page
        assert "ports              BLOCKED: 8500-8599" in page, page

        lab.router.set_filter(allow=R2)

        def ready() -> dict[str, Any] | None:
            found = latest()
            return found if found["check"]["verdict"] == "ready" and "media" in found else None

        found = wait_for(ready, 240, "a line that is ready", lambda: stage.log("box"), every=1)
        assert found["reach"]["blocked"] == [], found
        assert found["reach"]["bytes"] <= 144 * found["reach"]["asked"], found
        states = found["check"]["requirements"]
        assert states["R0"] == states["R2"] == states["R3"] == "met", states
        for way in ("out", "in"):
            voice = found["media"][way]
            assert (voice["packets"], voice["lost"]) == (150, 0), found["media"]
            assert voice["mos"]["g711"] > 4, found["media"]
        assert "voice              out: MOS 4." in stage.noc_page("box")
        assert states["R5"] == states["R7"] == "not measured", states
        assert "bad_" not in stage.log("collector"), stage.log("collector")
        assert "unknown_kind" not in stage.log("collector"), stage.log("collector")
        assert agent.poll() is None and "Traceback" not in stage.log("box")

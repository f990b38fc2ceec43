"""Behind two NATs, real ones, the alert names the box whose timer shrank. The whole product."""

from typing import Any

import pytest

from tests.lab import CARRIER, Lab
from tests.lab.stage import Stage, wait_for

KEPT = {"router": 30, "carrier": 44}  # s; 0.8 of each lies above the 15 that they shrink to
# Only CPython reads the model by UPnP, and the carrier's address 100.64.7.1 from ICMP errors.
NAMES = {"router": "the customer's router (hop 1)", "carrier": "the carrier's NAT (hop 2)"}


def near(bracket: list[float], timer: int) -> bool:
    return bracket[0] - 1 <= timer <= bracket[1] + 1


@pytest.mark.lab
@pytest.mark.timeout(1200)  # two looks at all boxes and a baseline: some seven minutes
@pytest.mark.parametrize(
    ("box", "interpreter"), [("router", "micropython"), ("carrier", "cpython")]
)
def test_an_alert_names_the_box_whose_timer_shrank(box: str, interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        stage = Stage(lab)
        for name, timer in KEPT.items():
            lab.nats[name].set_timers(udp=timer, stream=timer)
        stage.start_reflector()
        stage.start_miniupnpd()
        stage.start_broker()
        stage.start_collector()
        stage.start_agent("box", interpreter, search_limit_s=120, layers_every_s=86400)

        def latest(after: bool) -> dict[str, Any] | None:
            known = [one["id"] for one in stage.noc("devices")]
            found = stage.noc("device", "box")["latest"].get("layers") if known else None
            if found is None or (found["data"]["after"] is not None) != after:
                return None
            data: dict[str, Any] = found["data"]
            return data

        def log() -> str:
            return stage.log("box")

        wait_for(lambda: stage.baseline("box"), 300, "a baseline", log)
        before = wait_for(lambda: latest(False), 400, "the boxes as they are", log, every=1)
        assert [one["stream"] is not None for one in before["boxes"]] == [True, True], before
        for one, timer in zip(before["boxes"], KEPT.values(), strict=True):
            assert near(one["stream"], timer), before
        assert before["short"]["stream"] == 0 and before["agree"] is not False, before

        lab.nats[box].set_timers(udp=15, stream=15)
        stage.expect("collector", r"ALERT \d+ RAISED", 200)
        line = stage.expect("collector", r"ALERT \d+ (RAISED|CHANGED) .*forgets sooner", 200)
        name, hop = NAMES[box], list(KEPT).index(box) + 1
        assert f"; it is {name} that forgets sooner: " in line, line

        (alert,) = stage.noc("alerts")
        found = alert["box"]
        assert (found["first"], found["last"]) == (hop, hop), alert
        assert near(found["was"], KEPT[box]) and near(found["now"], 15), alert
        assert name in alert["text"]
        assert name in " ".join(stage.noc_page("box").split())

        # Then all boxes are looked at again; the alert has nothing new to tell.
        wait_for(lambda: latest(True) is None, 400, "all boxes as they are now", log, every=1)
        now = latest(False)
        assert now is not None
        kept = {**KEPT, box: 15}
        for one, timer in zip(now["boxes"], kept.values(), strict=True):
            assert near(one["stream"], timer), now
        assert [one for one in stage.log("collector").splitlines() if name in one] == [line]

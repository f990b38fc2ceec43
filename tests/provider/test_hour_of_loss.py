"""An hour of watching on a bad line, agent and detection together: nothing false is said."""

import pytest
from test_service import look_after
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.daemon import plan
from natwatch.probes.session import Session
from natwatch_provider.collector import detect

HOUR = 3600
TIMER = 40  # s


@pytest.mark.parametrize("state", ["replied", "stream"])
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("trouble", ["5 % loss each way", "1 s of outage every 20 s"])
def test_an_hour_of_a_bad_line_raises_nothing(trouble: str, seed: int, state: str) -> None:
    world = World(Nat(TIMER * 1000, TIMER * 1000), loss=50 if "loss" in trouble else 0, seed=seed)
    if "outage" in trouble:
        world.outage = (20000, 1000)
    world.add(Session(DEVICE, KEY, ADDRESS, world.random))
    key = plan.Key(("udp/sip", state))
    history = detect.History()
    settings = detect.Settings(keepalive_s=20.0, span_s=0.0)
    known = 0
    for number, result in enumerate(look_after(world, key, HOUR)):
        if result["lo"] is None:
            bracket = None
        else:
            known += 1
            bracket = detect.Bracket(result["lo"], result["hi"])
            assert bracket.lo <= TIMER and (bracket.hi is None or bracket.hi >= TIMER), result
        one = detect.Measurement(str(number), float(number), bracket, result["method"])
        assert detect.step(history, one, settings) == [], result
    assert known > 60  # the line was bad, and yet something was measured all the time

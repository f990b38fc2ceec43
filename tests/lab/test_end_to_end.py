"""The product as a whole, with real NATs, a real broker, and both interpreters."""

import json
import subprocess
import time
from typing import Any

import pytest

from tests.lab import HOME, R2, Lab
from tests.lab.stage import Stage, stop, wait_for

INTERPRETERS = ("cpython", "micropython")
STATES = ("oneway", "replied", "stream")


def result(process: subprocess.Popen[Any]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=200)
    found: dict[str, Any] = json.loads(out)
    return found


def holds(found: dict[str, Any], timer: float) -> bool:
    return found["lo"] is not None and found["lo"] <= timer <= found["hi"]


@pytest.mark.lab
def test_both_interpreters_give_the_same_true_brackets_for_every_state_and_class() -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        # The states of one NAT differ, as they do on Linux: unreplied and replied flows share
        # one timer, streams have another.
        lab.router.set_timers(udp=5, stream=9, ports={3478: (7, 7)})
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        truth = {("udp/sip", "oneway"): 5, ("udp/sip", "replied"): 5, ("udp/sip", "stream"): 9}
        truth.update({("udp/stun", state): 7 for state in STATES})
        running = [
            (key, interpreter, stage.lifetime(f"{interpreter}-{number}", interpreter, key))
            for number, key in enumerate(truth)
            for interpreter in INTERPRETERS
        ]
        for key, interpreter, process in running:
            found = result(process)
            evidence = (key, interpreter, found)
            assert process.returncode == 0, evidence
            assert holds(found, truth[key]), evidence
            assert truth[key] - found["lo"] <= 1 and found["hi"] - truth[key] <= 1, evidence
            assert found["at_once"] <= 64, evidence


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_shrink_at_the_nat_becomes_one_alert_with_old_and_new_value(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=28, stream=28)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        stage.start_agent("box", interpreter)
        wait_for(lambda: stage.baseline("box"), 240, "a baseline", lambda: stage.log("box"))
        assert stage.noc("alerts") == []
        lab.router.set_timers(udp=12, stream=12)
        line = stage.expect("collector", r"ALERT \d+ RAISED", 150)
        assert "critical" in line and "device=box" in line
        time.sleep(1)
        alerts = stage.noc("alerts")
        assert len(alerts) == 1, alerts
        alert = alerts[0]
        assert alert["device"] == "box"
        assert alert["old_lo"] <= 28 <= alert["old_hi"], alert
        assert alert["new_lo"] <= 12 <= alert["new_hi"], alert
        devices = stage.noc("devices")
        assert [d["interpreter"] for d in devices] == [interpreter]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_wrong_key_gets_no_push_and_says_why(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        stage.master = bytes(32)  # from now on, keys are derived from another master
        process = stage.lifetime("box", interpreter, ("udp/sip", "replied"))
        process.communicate(timeout=120)
        assert process.returncode == 3
        assert "does not accept this device's key" in stage.log("box")


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_without_route_reflector_and_broker_the_agent_says_so_once_and_recovers(
    interpreter: str,
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=5, stream=5)
        stage.prepare_broker()
        lab.run("phone", ["ip", "route", "del", "default"])
        agent = stage.start_agent("box", interpreter)
        stage.expect("box", "no answer from the reflector.*error 101", 40)
        stage.expect("box", "broker .*: network unreachable", 40)
        lab.run("phone", ["ip", "route", "add", "default", "via", "192.168.1.1"])
        time.sleep(20)
        assert agent.poll() is None
        assert stage.log("box").count("no answer from the reflector") == 1, stage.log("box")
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        stage.expect("box", "the reflector answers again", 90)
        stage.expect("box", "connected to the broker", 150)
        stage.expect("box", r"alive at [45]\.\d s, dead at [56]\.\d s", 60)
        wait_for(
            lambda: stage.noc("lifetimes", "box")["measurements"],
            20,
            "the measurement in the database",
            lambda: stage.log("collector"),
        )


@pytest.mark.lab
def test_a_reflector_that_restarts_in_the_middle_leaves_no_false_verdict() -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=12, stream=12)
        reflector = stage.start_reflector()
        process = stage.lifetime("box", "cpython", ("udp/sip", "replied"))
        time.sleep(8)
        assert stop(reflector) == 0
        stage.start_reflector()
        found = result(process)
        assert holds(found, 12), found
        assert found["unknown"] > 0, found


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_five_per_cent_loss_each_way_widens_but_never_falsifies(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=12, stream=12)
        lab.router.set_loss(outward=0.05, inward=0.05)
        stage.start_reflector()
        running = [
            stage.lifetime(f"box-{state}", interpreter, ("udp/sip", state)) for state in STATES
        ]
        for process in running:
            found = result(process)
            assert found["lo"] is None or holds(found, 12), found


@pytest.mark.lab
def test_a_foreign_certificate_is_refused_with_the_cause_and_measuring_goes_on() -> None:
    from natwatch_provisioning.authority import Authority

    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=5, stream=5)
        stage.start_reflector()
        stage.start_broker()
        other = Authority.create(lab.scratch / "other", "Another CA")
        config = json.loads(stage.configure("box").read_text())
        config["tls"]["ca"] = str(other.certificate)
        stage.start_agent("box2", tls=config["tls"])
        stage.expect("box2", "certificate is not from the authority that we trust", 60)
        stage.expect("box2", r"alive at [45]\.\d s, dead at [56]\.\d s", 60)

"""A voice-like stream through a real NAT: what is set here, and what the engine tells."""

import json
import subprocess
import sys
from typing import Any

import pytest

from natwatch.wire.auth import device_key
from tests.lab import HOME, R2, REFLECTOR_A, Lab
from tests.lab.stage import INTERPRETERS, ROOT, Stage

PORT = 8500
SECONDS = 10
SENT = 50 * SECONDS
# Six standard deviations of a binomial of 500 at 10 % (6.7), so that chance fails no test.
ABOUT_A_TENTH = (10, 90)
# 5 s of 500-byte datagrams, 100 a second: 424 kbit/s with their headers.
CROSS_TRAFFIC = f"""
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begin = time.monotonic()
for number in range(500):
    time.sleep(max(0, begin + number / 100 - time.monotonic()))
    sock.sendto(bytes(500), ("{REFLECTOR_A}", 9))
"""


def start(stage: Stage, interpreter: str) -> subprocess.Popen[Any]:
    key = device_key(stage.master, "box").hex()
    argv = [
        *INTERPRETERS[interpreter],
        str(ROOT / "tests/lab/voice.py"),
        *(REFLECTOR_A, "box", key, str(PORT), str(SECONDS)),
    ]
    return stage.spawn("box", "phone", argv, stdout=subprocess.PIPE, text=True)


def told(stage: Stage, process: subprocess.Popen[Any]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and out, stage.log("box")
    [result] = json.loads(out)
    assert result["reason"] is None and result["sent"] == SENT, result
    return dict(result)


def shut_nat(lab: Lab) -> Stage:
    lab.router.set_timers(udp=30, stream=120)
    lab.router.set_filter(allow=R2)
    stage = Stage(lab)
    stage.start_reflector()
    return stage


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_clear_line_loses_nothing(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = shut_nat(lab)
        result = told(stage, start(stage, interpreter))
    for way in ("out", "in"):
        assert (result[way]["packets"], result[way]["lost"]) == (SENT, 0), result
        assert result[way]["reordered"] == result[way]["duplicated"] == 0, result
        assert result[way]["jitter"] < 5, result  # a busy machine with two cores
        assert result[way]["mos"]["g711"] > 4.2, result
    assert result["rtt"]["median"] < 10, result


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("lossy", ["out", "in"])
def test_a_tenth_lost_on_one_way_shows_on_that_way_alone(interpreter: str, lossy: str) -> None:
    clear = "in" if lossy == "out" else "out"
    with Lab(HOME) as lab:
        stage = shut_nat(lab)
        lab.router.set_loss(0.1 * (lossy == "out"), 0.1 * (lossy == "in"))
        result = told(stage, start(stage, interpreter))
    assert ABOUT_A_TENTH[0] < result[lossy]["lost"] < ABOUT_A_TENTH[1], result
    assert result[clear]["lost"] == 0, result
    arrived = SENT - result["out"]["lost"]
    assert result["in"]["packets"] == arrived, result
    assert result[lossy]["mos"]["g711"] < 4 < result[clear]["mos"]["g711"], result


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_queue_on_the_way_out_shows_as_delay_of_that_way(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = shut_nat(lab)
        lab.router.set_filter()
        # The stream takes 86 kbit/s; the queue holds 16 kB, a third of a second.
        shaped = ["tc", "qdisc", "add", "dev", "to-provider", "root", "tbf"]
        lab.run("router", [*shaped, "rate", "400kbit", "burst", "2000", "limit", "16000"])
        stream = start(stage, interpreter)
        lab.run("phone", [sys.executable, "-c", CROSS_TRAFFIC])
        result = told(stage, stream)
    out, back = result["out"]["delay_above_least"], result["in"]["delay_above_least"]
    assert out["most"] > 150 and out["p95"] > 100, result
    assert back["p95"] < 20, result
    assert result["out"]["late"] > 50, result
    assert result["in"]["late"] < 10 and result["in"]["lost"] == 0, result
    assert result["out"]["mos"]["g711"] < result["in"]["mos"]["g711"], result

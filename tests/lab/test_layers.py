"""`natwatch layers` on real kernels in a row: which box stands where, and what it forgets after."""

import json
import signal
import time

import pytest

from tests.lab import CARRIER, Lab
from tests.lab.rows import Row, ask
from tests.lab.stage import Stage

both = pytest.mark.parametrize("interpreter", ["cpython", "micropython"])


@pytest.mark.lab
@both
@pytest.mark.parametrize(
    "row",
    [
        Row("one", (15,), (8,)),
        Row("two", (15, 22), (8, 12)),
        Row("two", (22, 15), (12, 8)),
        Row("three", (20, 12, 16), (8, 12, 10)),
        Row("outer TTL first", (12, 18), (8, 12)),
    ],
    ids=lambda row: row.name,
)
def test_every_box_is_found_at_its_hop_with_its_own_timers(interpreter: str, row: Row) -> None:
    status, report, seconds = ask(row, interpreter)
    assert row.wrong(report) == [] and status == 0, json.dumps(report, indent=1)
    for state, result in report["measured"]["states"].items():
        assert result["complete"] or not row.kernels, (state, result)
        assert result["at_once"] <= 32
    assert report["short"]["stream"] == row.streams.index(min(row.streams))


@pytest.mark.lab
def test_what_the_router_tells_of_itself_stands_beside_the_timers() -> None:
    row = Row("one", (15,), (8,))
    _, report, _ = ask(row, "cpython")
    told = {piece["source"]: piece for piece in report["evidence"]}
    assert [told[name]["says"] for name in ("upnp", "nat_pmp", "pcp")] == ["one"] * 3, told
    assert report["agree"] is True
    assert report["boxes"][0]["model"] == "ACME Networks Router X1"
    assert report["boxes"][0]["owner"] == "router"


@pytest.mark.lab
@both
def test_ctrl_c_ends_it_at_once(interpreter: str) -> None:
    with Lab(CARRIER) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        process = stage.one_shot("box", interpreter, "layers")
        stage.expect("box", "alive at|counting", 30)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=15)
        assert process.returncode == 130 and "Traceback" not in stage.log("box")

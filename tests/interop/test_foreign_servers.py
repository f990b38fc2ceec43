"""Our agent against other people's servers, and against servers that err: verdict against truth.

coturn is an RFC 5780 server; Debian's stund is one of RFC 3489 that drops RESPONSE-PORT unanswered.
Neither tells what it received or sent, so more stays unknown than with our reflector, and each
unknown has its reason.
"""

import itertools
import signal
import time
from typing import Any

import pytest

from natwatch.diagnosis.classic import classic_name
from tests.interop import bad_servers
from tests.interop.foreign import agent, result, start_bad_server, start_coturn, start_stund
from tests.interop.scenes import SCENES, Scene
from tests.lab import HOME, HOME_USERNAT, PUBLIC, REFLECTOR_A, Lab, UserNat
from tests.lab.stage import Stage
from tests.lab.translator import ADDRESS, INDEPENDENT, Behaviour

INTERPRETERS = ("cpython", "micropython")
SERVERS = {"coturn": start_coturn, "stund": start_stund}
# With coturn all of them; the classic server adds only its kind of answers, so three are enough.
MEETINGS = [
    pytest.param(scene, server, id=f"{server}-{scene.name.replace(' ', '-')}")
    for server in SERVERS
    for scene in SCENES
    if server == "coturn"
    or scene.name in ("masquerade", "random ports", f"userspace, {ADDRESS} filter")
]


def nat(stage: Stage, interpreter: str) -> Any:
    return agent(stage, interpreter, interpreter, "nat", "--server", REFLECTOR_A)


def lifetime(stage: Stage, name: str, interpreter: str, state: str, limit: int = 20) -> Any:
    options = ("--server", REFLECTOR_A, "--state", state, "--limit", str(limit))
    return agent(stage, name, interpreter, "lifetime", *options)


@pytest.mark.lab
@pytest.mark.parametrize(("scene", "server"), MEETINGS)
def test_mapping_and_filtering_are_found_with_other_peoples_servers(
    scene: Scene, server: str
) -> None:
    with Lab(scene.topology) as lab:
        scene.prepare(lab)
        stage = Stage(lab)
        SERVERS[server](stage)
        running = {interpreter: nat(stage, interpreter) for interpreter in INTERPRETERS}
        for interpreter, process in running.items():
            found = result(process)
            evidence = (interpreter, found)
            assert found["mapping"] == scene.mapping, evidence
            if scene.shows_what_is_filtered:
                assert found["filtering"] == scene.filtering, evidence
            else:
                assert found["filtering"] is None, evidence
                assert "cannot be told from filtering" in found["filtering_reason"], evidence
            assert found["status"] == 0, evidence
            name = classic_name(found["mapping"], found["filtering"])
            assert found["classic"]["name"] == name, evidence
            if interpreter == "cpython":
                theirs = scene.wrong.get("pystun3", name)
                assert found["classic"]["type"] == theirs, evidence
                assert (found["difference"] is None) == (theirs == name), evidence


@pytest.mark.lab
def test_lifetimes_are_found_with_coturn_by_response_port() -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=5, stream=12)
        start_coturn(stage)
        running = {
            (interpreter, state): lifetime(stage, f"{interpreter}-{state}", interpreter, state)
            for interpreter in INTERPRETERS
            for state in ("replied", "stream")
        }
        for (interpreter, state), process in running.items():
            found = result(process)
            evidence = (interpreter, found)
            timer = {"replied": 5, "stream": 12}[state]
            assert found["status"] == 0, evidence
            assert found["lo"] <= timer <= found["hi"], evidence
            assert timer - found["lo"] <= 1.5 and found["hi"] - timer <= 1.5, evidence
            assert found["method"] == "response-port", evidence
            assert "tells nothing of what it sent" in found["trust"], evidence


@pytest.mark.lab
@pytest.mark.parametrize("state", ["replied", "stream"])
def test_without_response_port_a_lifetime_is_unknown_and_says_so(state: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=5, stream=5)
        start_stund(stage)
        running = [lifetime(stage, name, name, state) for name in INTERPRETERS]
        for process in running:
            found = result(process)
            assert (found["lo"], found["hi"], found["expired"]) == (None, None, 0), found
            assert "the server does not support RESPONSE-PORT" in found["reason"], found
            assert found["status"] == 1, found


def holds(found: dict[str, Any], timer: float) -> bool:
    """Whether what was found does not contradict *timer*; what is unknown never does."""
    above = found["hi"] is None or timer <= found["hi"]
    return above and (found["lo"] is None or found["lo"] <= timer)


@pytest.mark.lab
def test_a_foreign_server_that_dies_in_the_middle_kills_no_binding() -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=15, stream=15)
        server = start_coturn(stage)
        running = [lifetime(stage, name, name, "replied") for name in INTERPRETERS]
        time.sleep(8)
        server.send_signal(signal.SIGKILL)
        for process in running:
            found = result(process)
            assert found["hi"] is None and found["expired"] == 0 and holds(found, 15), found
            assert found["unknown"] > 0, found


@pytest.mark.lab
def test_a_public_address_that_keeps_changing_kills_no_binding() -> None:
    with Lab(HOME_USERNAT) as lab:
        router = UserNat(lab, Behaviour())
        router.set_timers(udp=12, stream=12)
        stage = Stage(lab)
        start_coturn(stage)
        running = [lifetime(stage, name, name, "replied") for name in INTERPRETERS]
        addresses = itertools.cycle(["203.0.113.10", PUBLIC])
        # Sooner than a binding dies, so that none is ever seen to outlive its address.
        while any(process.poll() is None for process in running):
            time.sleep(7)
            router.change_address(next(addresses))
        for process in running:
            found = result(process)
            assert found["hi"] is None and holds(found, 12), found
            assert "public address" in found["reason"], found


# fault -> (what the mapping is said to be, or why it is unknown; the same of filtering), behind a
# NAT whose mapping is endpoint-independent and whose filter lets in whom the phone has asked.
BEHIND_A_FILTER = {
    bad_servers.IGNORES_CHANGE_REQUEST: (INDEPENDENT, "the server ignores CHANGE-REQUEST"),
    bad_servers.DEAD_ALTERNATE: ("do not answer", "does not answer"),
    bad_servers.NO_ALTERNATE: ("names no other address", "names no other address"),
    bad_servers.WRONG_CHANGE: (INDEPENDENT, "instead of"),
}
# The same where the filter lets everybody in, so that answers from a wrong source arrive.
BEHIND_NO_FILTER = {
    bad_servers.IGNORES_CHANGE_REQUEST: (INDEPENDENT, "the server ignores CHANGE-REQUEST"),
    bad_servers.WRONG_SOURCE: (":3479 answered", ":3479 answered"),
    bad_servers.WRONG_CHANGE: (INDEPENDENT, "instead of"),
}
CASES = [(ADDRESS, fault, *said) for fault, said in BEHIND_A_FILTER.items()]
CASES += [(INDEPENDENT, fault, *said) for fault, said in BEHIND_NO_FILTER.items()]


@pytest.mark.lab
@pytest.mark.parametrize(("filtering", "fault", "of_mapping", "of_filtering"), CASES)
def test_a_server_that_errs_leaves_unknown_with_the_reason(
    filtering: str, fault: str, of_mapping: str, of_filtering: str
) -> None:
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab, Behaviour(INDEPENDENT, filtering))
        stage = Stage(lab)
        start_bad_server(stage, fault)
        running = [nat(stage, interpreter) for interpreter in INTERPRETERS]
        for process in running:
            found = result(process)
            if of_mapping == INDEPENDENT:
                assert found["mapping"] == INDEPENDENT, found
            else:
                assert found["mapping"] is None, found
                assert of_mapping in found["mapping_reason"], found
            assert found["filtering"] is None, found
            assert of_filtering in found["filtering_reason"], found


@pytest.mark.lab
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (bad_servers.IGNORES_RESPONSE_PORT, "it answers to where the request came from"),
        (bad_servers.REFUSES_RESPONSE_PORT, "does not support RESPONSE-PORT: error 420"),
        (bad_servers.WRONG_SOURCE, ":3479 answered"),
    ],
)
def test_a_server_that_errs_about_response_port_leaves_the_lifetime_unknown(
    fault: str, reason: str
) -> None:
    with Lab(HOME_USERNAT) as lab:
        UserNat(lab, Behaviour(INDEPENDENT, INDEPENDENT)).set_timers(udp=5, stream=5)
        stage = Stage(lab)
        start_bad_server(stage, fault)
        running = [lifetime(stage, name, name, "replied", limit=10) for name in INTERPRETERS]
        for process in running:
            found = result(process)
            assert (found["lo"], found["hi"], found["expired"]) == (None, None, 0), found
            assert reason in found["reason"], found

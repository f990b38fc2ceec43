"""The registrar's name through a real resolver on the customer's router."""

import json
import subprocess
import time
from typing import Any

import pytest

from tests.lab import HOME, Lab
from tests.lab.resolver import ROUTER, Address, Alias, Service, start_resolver
from tests.lab.stage import INTERPRETERS, ROOT, Stage, stop
from tests.lab.topology import ELSEWHERE, PROVIDER_NETWORK, REFLECTOR_A, REFLECTOR_B

NAME = "7495.operator.example"
UNUSED = "192.168.1.77"  # nobody's address on the LAN
both = pytest.mark.parametrize("interpreter", ["cpython", "micropython"])


def look_up(
    stage: Stage, interpreter: str, name: str = NAME, resolvers: tuple[str, ...] = (ROUTER,)
) -> dict[str, Any]:
    argv = [*INTERPRETERS[interpreter], str(ROOT / "tests/lab/look_up.py"), name, PROVIDER_NETWORK]
    process = stage.spawn(
        "look-up", "phone", [*argv, *resolvers], stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, stage.log("look-up")
    seen: dict[str, Any] = json.loads(out)
    assert seen["ms"] < 11_000, seen
    return dict(seen["result"], counters=seen["counters"], ms=seen["ms"])


@pytest.mark.lab
@both
def test_right_addresses_are_ok_and_every_one_is_named(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_resolver(
            stage,
            [
                Address(NAME, REFLECTOR_A, ttl=120),
                Service(NAME, "sip1.operator.example", priority=10),
                Service(NAME, "sip2.operator.example", 5070, priority=20),
                Address("sip1.operator.example", REFLECTOR_A),
                # No address beside the SRV: it has to be asked for.
                Alias("sip2.operator.example", "host.operator.example"),
                Address("host.operator.example", REFLECTOR_B),
            ],
        )
        found = look_up(stage, interpreter)
        assert (found["state"], found["resolver"], found["a"]) == ("ok", ROUTER, [REFLECTOR_A])
        first, second = found["srv"]
        assert (first["target"], first["a"]) == ("sip1.operator.example", [REFLECTOR_A]), found
        assert (second["port"], second["a"]) == (5070, [REFLECTOR_B]), found
        assert (found["ttl"], found["reason"], found["outside"]) == (120, None, []), found
        assert found["contradictions"] == [] and found["counters"] == {}, found
        questions = [line for line in stage.log("resolver").splitlines() if "query[" in line]
        assert len(questions) == 3, questions
        assert found["ms"] < 2_000, found


@pytest.mark.lab
@both
def test_a_wrong_address_is_named_whether_a_or_srv_leads_there(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        process = start_resolver(stage, [Address(NAME, ELSEWHERE)])
        found = look_up(stage, interpreter)
        assert (found["state"], found["outside"]) == ("wrong", [ELSEWHERE]), found
        stop(process)
        start_resolver(
            stage,
            [
                Address(NAME, REFLECTOR_A),
                Service(NAME, "sip.elsewhere.example"),
                Address("sip.elsewhere.example", ELSEWHERE),
            ],
        )
        found = look_up(stage, interpreter)
        assert (found["state"], found["outside"]) == ("wrong", [ELSEWHERE]), found
        assert found["a"] == [REFLECTOR_A], found


@pytest.mark.lab
@both
def test_no_name_no_address_and_a_refusal_are_told_apart(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_resolver(stage, [Service("empty.example", "none.example"), Address(NAME, ELSEWHERE)])
        found = look_up(stage, interpreter, "other.operator.example")
        assert (found["state"], found["rcode"]) == ("no such name", "NXDOMAIN"), found
        found = look_up(stage, interpreter, "empty.example")
        assert (found["state"], found["a"]) == ("no address", []), found
        assert found["srv"][0]["target"] == "none.example", found
        found = look_up(stage, interpreter, "sip.operator.test")
        assert (found["state"], found["rcode"]) == ("refused", "REFUSED"), found
        assert found["resolver"] == ROUTER, found


@pytest.mark.lab
@both
def test_silence_is_no_answer_and_the_next_resolver_is_asked(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start = time.monotonic()
        found = look_up(stage, interpreter)  # nobody listens there
        assert (found["state"], found["resolver"]) == ("no answer", None), found
        assert time.monotonic() - start < 10, found
        start_resolver(stage, [Address(NAME, REFLECTOR_A)])
        found = look_up(stage, interpreter, resolvers=(UNUSED, ROUTER))
        assert (found["state"], found["resolver"]) == ("ok", ROUTER), found
        rule = "udp dport 53 drop"
        lab.nft("router", "quiet", f"chain quiet {{ type filter hook input priority 0; {rule}\n }}")
        found = look_up(stage, interpreter)
        assert (found["state"], found["resolver"]) == ("no answer", None), found


@pytest.mark.lab
@both
def test_an_address_or_no_resolver_sends_nothing_and_ends_at_once(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_resolver(stage, [Address(NAME, REFLECTOR_A)])
        found = look_up(stage, interpreter, REFLECTOR_B)
        assert (found["state"], found["a"]) == ("not asked", [REFLECTOR_B]), found
        assert look_up(stage, interpreter, ELSEWHERE)["state"] == "wrong"
        assert look_up(stage, interpreter, resolvers=())["state"] == "not asked"
        assert "query[" not in stage.log("resolver")

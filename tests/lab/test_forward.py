"""Port forwards to a real adapter in real NATs: what is set here against what is told."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from natwatch.wire import sip
from natwatch.wire.auth import device_key
from tests.lab import (
    ADAPTER,
    CARRIER_ADAPTER,
    ELSEWHERE,
    HOME_ADAPTER,
    PHONE,
    PUBLIC,
    REFLECTOR_A,
    Lab,
)
from tests.lab.stage import INTERPRETERS, ROOT, Stage

INNER_WAN = "100.64.7.2"  # the router's address in CARRIER
both = pytest.mark.parametrize("interpreter", list(INTERPRETERS))


def told(
    prepare: Callable[[Lab], None], interpreter: str, topology: Any = HOME_ADAPTER,
    address: str = ADAPTER, adapter: int | None = 5060, port: int = 5060,
) -> dict[str, Any]:  # fmt: skip
    """What is told of *address* and *port*, behind NATs that *prepare* has set, with a real adapter
    at the port *adapter*, None: it is off."""
    with Lab(topology) as lab:
        stage = Stage(lab)
        prepare(lab)
        stage.start_reflector()
        if adapter is not None:
            stage.start_adapter(port=adapter)
        key = device_key(stage.master, "box").hex()
        program = str(ROOT / "tests/lab/forward_once.py")
        argv = [*INTERPRETERS[interpreter], program, REFLECTOR_A, "box", key, address, str(port)]
        process = stage.spawn("box", "phone", argv, stdout=subprocess.PIPE, text=True)
        out, _ = process.communicate(timeout=60)
        assert out, stage.log("box")
        found: dict[str, Any] = json.loads(out)
        return found


def to_adapter(lab: Lab) -> None:
    lab.router.set_mapping(forwards=[("udp", 5060, ADAPTER, 5060)])


@pytest.mark.lab
@both
def test_a_forward_to_the_adapter_is_proven_and_so_is_the_adapter(interpreter: str) -> None:
    found = told(to_adapter, interpreter)
    adapter, forward = found["adapter"], found["forward"]
    assert found["on_segment"] is True
    assert adapter["answered"] is True and adapter["agent"].startswith("baresip"), adapter
    assert 0 <= adapter["rtt"] < 1000 and adapter["reason"] is None, adapter
    assert forward == {
        "port": 5060, "public": PUBLIC, "answered": True, "status": adapter["status"],
        "agent": adapter["agent"], "source": [PUBLIC, 5060], "same_agent": True, "reason": None,
    }  # fmt: skip


@pytest.mark.lab
@both
def test_without_a_forward_nobody_answers_from_outside(interpreter: str) -> None:
    found = told(lambda lab: None, interpreter)
    assert found["adapter"]["answered"] is True, found
    assert found["forward"]["answered"] is False and found["forward"]["public"] == PUBLIC, found
    assert found["forward"]["reason"] is None, found


@pytest.mark.lab
@both
def test_behind_two_nats_a_forward_in_the_inner_one_alone_leads_nowhere(interpreter: str) -> None:
    found = told(to_adapter, interpreter, CARRIER_ADAPTER)
    assert found["forward"]["answered"] is False, found


@pytest.mark.lab
@both
def test_behind_two_nats_a_forward_in_both_is_one(interpreter: str) -> None:
    def prepare(lab: Lab) -> None:
        to_adapter(lab)
        lab.carrier.set_mapping(forwards=[("udp", 5060, INNER_WAN, 5060)])

    found = told(prepare, interpreter, CARRIER_ADAPTER)
    assert found["forward"]["answered"] is True and found["forward"]["same_agent"] is True, found


def another_phone(lab: Lab) -> None:
    """One that answers a single OPTIONS at the carrier's public address."""
    with lab.on("carrier"):
        phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.bind((PUBLIC, 5060))
    phone.settimeout(30)

    def answer() -> None:
        with phone:
            data, source = phone.recvfrom(4096)
            whole = sip.response(sip.parse(data), b"")
            phone.sendto(whole.replace(b"Natwatch: ", b"Server: Other 2"), source)

    threading.Thread(target=answer, daemon=True).start()


@pytest.mark.lab
@both
def test_another_customers_phone_at_the_carriers_shared_address_is_told_apart(
    interpreter: str,
) -> None:
    found = told(another_phone, interpreter, CARRIER_ADAPTER)
    forward = found["forward"]
    assert (forward["answered"], forward["agent"]) == (True, "Other 2"), found
    assert forward["same_agent"] is False, found


def from_half(network: str) -> Callable[[Lab], None]:
    """A forward for what comes from *network* only."""
    rule = f"iifname to-provider ip saddr {network} udp dport 5060 dnat to {ADAPTER}:5060"
    chain = f"chain incoming {{ type nat hook prerouting priority dstnat;\n{rule}\n}}"
    return lambda lab: lab.nft("router", "half", chain)


@pytest.mark.lab
@both
def test_a_forward_for_half_of_the_operators_network_is_none_for_the_other_half(
    interpreter: str,
) -> None:
    # The control flow goes to the half that is let in, OPTIONS come from the other.
    found = told(from_half("109.69.176.128/26"), interpreter)
    assert found["forward"]["answered"] is False, found


@pytest.mark.lab
def test_the_other_half_is_what_was_asked_from() -> None:
    found = told(from_half("109.69.176.192/26"), "micropython")
    assert found["forward"]["answered"] is True, found


@pytest.mark.lab
def test_a_forward_to_another_host_leads_nowhere() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_mapping(forwards=[("udp", 5060, PHONE, 5060)])

    found = told(prepare, "cpython")
    assert found["forward"]["answered"] is False, found


@pytest.mark.lab
def test_the_port_that_the_adapter_uses_is_asked_and_no_other() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_mapping(forwards=[("udp", 5062, ADAPTER, 5062)])

    found = told(prepare, "cpython", adapter=5062, port=5062)
    assert found["forward"]["answered"] is True, found
    assert found["forward"]["source"] == [PUBLIC, 5062], found
    found = told(prepare, "cpython", adapter=5062, port=5060)
    assert found["forward"]["answered"] is False, found
    assert found["adapter"]["answered"] is None, found


@pytest.mark.lab
@both
def test_an_adapter_that_is_off_is_silent_and_its_forward_leads_nowhere(interpreter: str) -> None:
    found = told(to_adapter, interpreter, adapter=None)
    assert found["adapter"]["answered"] is None and "no answer" in found["adapter"]["reason"], found
    assert found["on_segment"] is True and found["forward"]["answered"] is False, found


@pytest.mark.lab
@both
def test_what_is_behind_the_gateway_is_not_on_the_segment(interpreter: str) -> None:
    found = told(lambda lab: None, interpreter, address=ELSEWHERE, adapter=None)
    assert found["on_segment"] is False and found["adapter"]["answered"] is None, found

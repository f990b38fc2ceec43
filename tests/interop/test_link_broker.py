"""The link against the real Mosquitto over TLS: one suite, both drivers, both interpreters."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from natwatch.port import stream
from natwatch_provisioning.authority import Authority
from tests.interop.parts import BOOT, MICROPYTHON, Broker, Collector, Device, free_port, until

KINDS = (("cpython", "paho"), ("cpython", "own"), ("micropython", "own"))
NAME = "broker.test"


class World:
    """One authority, one broker, one collector; endpoints and devices on order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "ca", "Test authority")
        self.foreign = Authority.create(folder / "foreign", "Foreign authority")
        self.authority.issue_device("box-1", folder / "devices")
        self.foreign.issue_device("box-1", folder / "foreigners")
        self.service = self.authority.issue_service("collector", folder / "collector")
        server = self.authority.issue_server([NAME, "127.0.0.1"], folder / "broker")
        self.broker = Broker(folder / "broker", self.authority, server)
        self.broker.start()

    def endpoint(self, **changes: Any) -> dict[str, Any]:
        """Endpoint's arguments for the broker, all good but for *changes*."""
        good = {
            "host": "127.0.0.1",
            "port": self.broker.port,
            "server_name": NAME,
            "ca": str(self.authority.certificate),
            "certificate": str(self.folder / "devices/box-1.pem"),
            "key": str(self.folder / "devices/box-1.key"),
        }
        return {**good, **changes}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not shutil.which("mosquitto"):
        pytest.fail("mosquitto is missing: run make setup")
    world = World(tmp_path)
    yield world
    world.broker.kill()


@pytest.fixture(params=KINDS, ids="-".join)
def start(request: pytest.FixtureRequest, world: World) -> Iterator[Callable[..., Device]]:
    """Starts a device of each kind: start(brokers, device=…, reports=…)."""
    if request.param[0] == "micropython" and not MICROPYTHON.exists():
        pytest.fail("the real MicroPython is missing: run make setup")
    devices: list[Device] = []

    def started(brokers: list[dict[str, Any]], **settings: Any) -> Device:
        folder = settings.pop("folder", world.folder)
        devices.append(Device(folder, request.param, brokers, **settings))
        return devices[-1]

    yield started
    for device in devices:
        device.kill()


@pytest.fixture
def collector(world: World) -> Iterator[Collector]:
    collector = Collector(world.broker, world.service)
    yield collector
    collector.close()


def test_reports_arrive_and_are_released_by_the_acknowledgement(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()], reports=50)
    until(lambda: device.held() == 0, "all released")
    assert sorted(set(collector.reports("box-1"))) == list(range(1, 51))
    device.spool(3)
    until(lambda: 53 in collector.reports("box-1"), "a report made while connected")
    until(lambda: device.held() == 0, "released as well")
    assert device.said() == [f"connected to the broker 127.0.0.1:{world.broker.port}"]
    # Each report once: nothing here took 30 s.
    assert len(collector.reports("box-1")) == 53


def test_a_name_is_verified_whether_it_is_dns_or_an_address(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint(server_name=None)])
    until(device.ups, "connected by address")


def test_birth_and_goodbye_are_heard(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()])
    until(lambda: collector.states("box-1"), "birth")
    birth = collector.states("box-1")[0]
    assert (birth["online"], birth["boot"], birth["conn"]) == (True, BOOT, 1)
    assert birth["interpreter"] in ("cpython", "micropython")
    device.stop()
    until(lambda: len(collector.states("box-1")) > 1, "goodbye")
    # The broker may send the will as well, if it cannot deliver its last PUBACK any more.
    goodbye = {"online": False, "boot": BOOT, "conn": 1}
    assert all(state == goodbye for state in collector.states("box-1")[1:])


def test_a_killed_device_leaves_its_will(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()])
    until(lambda: collector.states("box-1"), "birth")
    device.kill()
    until(lambda: len(collector.states("box-1")) == 2, "will")
    assert collector.states("box-1")[1] == {"online": False, "boot": BOOT, "conn": 1}


def test_a_killed_broker_loses_nothing_and_releases_nothing(
    world: World, start: Callable[..., Device]
) -> None:
    collector = Collector(world.broker, world.service, acknowledging=False)
    device = start([world.endpoint()], reports=30)
    until(lambda: len(collector.reports("box-1")) >= 20, "the window")
    # The broker may be sooner with the reports than the device with its line about them.
    until(lambda: device.held() == 30, "all of them held")
    collector.close()
    world.broker.kill()
    until(lambda: "down" in [event[0] for event in device.events], "loss noticed")
    device.spool(5)
    until(lambda: device.held() == 35, "spooled while the broker is away")
    world.broker.start()
    collector = Collector(world.broker, world.service)
    until(lambda: device.held() == 0, "recovered by itself")
    assert set(collector.reports("box-1")) >= set(range(1, 36))
    connections = [state["conn"] for state in collector.states("box-1") if state["online"]]
    assert all(conn >= 2 for conn in connections), connections
    collector.close()


def test_nothing_is_released_while_the_collector_is_silent(
    world: World, start: Callable[..., Device]
) -> None:
    collector = Collector(world.broker, world.service, acknowledging=False)
    device = start([world.endpoint()], reports=2)
    until(lambda: len(collector.reports("box-1")) == 2, "both sent")
    collector.acknowledge("box-1", "f" * 16, [(1, 2)])
    collector.say("natwatch/box-1/down/ack", b"{garbage")
    collector.say("natwatch/box-1/down/nonsense", b"")
    collector.acknowledge("box-1", BOOT, [(2, 2)])
    until(lambda: device.held() == 1, "the second released")
    assert device.dropped() == {"bad_ack": 1, "foreign_boot": 1, "unknown_topic": 1}
    collector.close()


def test_a_command_reaches_the_device(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()])
    until(lambda: collector.states("box-1"), "birth, so subscribed")
    collector.say("natwatch/box-1/down/command", b"mac\n{}")
    until(lambda: ["command", "mac\n{}"] in device.events, "command")


def test_the_broker_lets_no_device_speak_for_another(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    # box-2's topics with box-1's certificate: Mosquitto confirms each and drops it.
    liar = start([world.endpoint()], device="box-2", reports=3)
    until(liar.ups, "connected")
    collector.acknowledge("box-2", BOOT, [(1, 3)])  # nor may it hear what is not its own
    other = world.authority.issue_device("box-3", world.folder / "devices")
    endpoint = world.endpoint(certificate=str(other.certificate), key=str(other.key))
    honest = start([endpoint], device="box-3", reports=1)
    until(lambda: honest.held() == 0, "an honest report, sent and acknowledged later")
    liar.stop()
    assert {topic.split("/")[1] for topic, _ in collector.heard} == {"box-3"}
    assert liar.held() == 3


def expired(world: World) -> dict[str, Any]:
    start = datetime.now(UTC) - timedelta(days=20)
    folder = world.folder / "expired"
    server = world.authority.issue_server([NAME], folder, start=start, days=10)
    world.broker.kill()
    world.broker = Broker(folder, world.authority, server)
    world.broker.start()
    return world.endpoint()


def encrypted(world: World, form: PrivateFormat) -> str:
    """The path of box-1's key under a pass phrase."""
    key = load_pem_private_key((world.folder / "devices/box-1.key").read_bytes(), None)
    path = world.folder / "encrypted.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))
    return str(path)


def torn(world: World, path: Path) -> str:
    """The path of a copy of the PEM file *path* that lacks a line."""
    lines = path.read_text().splitlines()
    copy = world.folder / "torn.pem"
    copy.write_text("\n".join(lines[:1] + lines[2:]) + "\n")
    return str(copy)


REFUSALS: dict[str, tuple[Callable[[World], dict[str, Any]], str]] = {
    "wrong-ca": (
        lambda world: world.endpoint(ca=str(world.foreign.certificate)),
        "its certificate is not from the authority that we trust",
    ),
    "wrong-name": (
        lambda world: world.endpoint(server_name="other.test"),
        "its certificate is for another name than other.test",
    ),
    "wrong-address": (
        lambda world: world.endpoint(server_name="127.0.0.2"),
        "its certificate is for another name than 127.0.0.2",
    ),
    "expired": (expired, "its certificate has expired, or the clock of this device is wrong"),
    "no-client-certificate": (
        lambda world: world.endpoint(certificate=None, key=None),
        "refuse",
    ),
    "foreign-client-certificate": (
        lambda world: world.endpoint(
            certificate=str(world.folder / "foreigners/box-1.pem"),
            key=str(world.folder / "foreigners/box-1.key"),
        ),
        "refuse",
    ),
    "nothing-listens": (
        lambda world: world.endpoint(port=free_port()),
        "connection refused: nothing listens on that port",
    ),
    "no-such-file": (
        lambda world: world.endpoint(key=str(world.folder / "nothing")),
        "nothing cannot be read: ",
    ),
    "encrypted-key": (
        lambda world: world.endpoint(key=encrypted(world, PrivateFormat.PKCS8)),
        "is encrypted, and nobody is here to type its pass phrase",
    ),
    "encrypted-key-of-the-old-kind": (
        lambda world: world.endpoint(key=encrypted(world, PrivateFormat.TraditionalOpenSSL)),
        "is encrypted, and nobody is here to type its pass phrase",
    ),
    "a-torn-authority": (
        lambda world: world.endpoint(ca=torn(world, world.authority.certificate)),
        "that belong together, found: ",
    ),
    "a-torn-certificate": (
        lambda world: world.endpoint(certificate=torn(world, world.folder / "devices/box-1.pem")),
        "that belong together, found: ",
    ),
    "a-torn-key": (
        lambda world: world.endpoint(key=torn(world, world.folder / "devices/box-1.key")),
        "that belong together, found: ",
    ),
    "a-name-that-cannot-be-one": (
        lambda world: world.endpoint(server_name="broker\0test"),
        "; it will be tried again",  # the libraries differ in what they say
    ),
    "a-name-for-a-host": (
        lambda world: world.endpoint(host="localhost"),
        "expected the broker's numeric address, found 'localhost'",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_broker_that_does_not_verify_is_refused_and_said_once(
    world: World, start: Callable[..., Device], case: str
) -> None:
    endpoint, reason = REFUSALS[case][0](world), REFUSALS[case][1]
    device = start([endpoint], reports=1)
    first = until(device.said, "trouble said")[0]
    assert reason in first
    assert first.endswith("; it will be tried again")
    device.spool(1)
    until(lambda: device.held() == 2, "the loop turns")
    device.stop()
    assert device.ups() == 0
    assert len(device.said()) == len(set(device.said()))


def test_openssl_asks_nobody_for_a_pass_phrase(world: World) -> None:
    key = encrypted(world, PrivateFormat.PKCS8)
    good = world.endpoint()
    with pytest.raises(ValueError, match="an encrypted key"):
        stream._openssl_context((good["ca"], good["certificate"], key))


def test_two_devices_with_one_identity_say_so_once(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    # Mosquitto throws the elder out each time.
    one = start([world.endpoint()])
    until(one.ups, "the first connected")
    (world.folder / "twin").mkdir()
    two = start([world.endpoint()], folder=world.folder / "twin")
    until(lambda: one.ups() + two.ups() >= 5, "thrown out again and again")
    for device in (one, two):
        assert len(device.said()) <= 2, device.said()


def test_the_second_broker_is_used_when_the_first_refuses(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint(port=free_port()), world.endpoint()], reports=1)
    until(lambda: device.held() == 0, "through the second broker")
    assert len(device.said()) == 2


def test_a_server_that_never_shakes_hands_holds_up_nothing(
    world: World, start: Callable[..., Device]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        device = start([world.endpoint(port=silent.getsockname()[1])], reports=1)
        connection = silent.accept()[0]
        assert connection.recv(1) == b"\x16"  # TLS: its ClientHello
        device.spool(1)
        until(lambda: device.held() == 2, "the loop turns")
        before = device.processor_time()
        time.sleep(1)
        assert device.processor_time() - before < 0.5, "it spins"
        assert device.stop() < 500
        connection.close()
    assert device.events == []


def test_a_quiet_link_rests(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()], reports=1)
    until(lambda: device.held() == 0, "connected")
    before = device.processor_time()
    time.sleep(1)
    assert device.processor_time() - before < 0.5, "it spins"


def test_the_link_never_holds_up_the_loop(
    world: World, collector: Collector, start: Callable[..., Device]
) -> None:
    device = start([world.endpoint()], reports=200)
    until(lambda: device.held() == 0, "all released")
    # The hand-shake's arithmetic is some 10 ms; a wait of any kind would be a round trip of
    # the broker, a second or more. Room is left for a machine that runs much else.
    assert device.stop() < 500

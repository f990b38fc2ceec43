"""The real Mosquitto, as natwatch_provisioning configures it, and a client that overdoes it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client
from sqlalchemy import select

from natwatch_provider.store.database import Database
from natwatch_provider.store.schema import device, quarantine, report
from natwatch_provisioning.authority import Authority, Identity
from tests.interop.parts import BOOT, PATIENCE, Broker, Collector, until


class Overdoer:
    """A client with *identity*, which says whatever it is told to."""

    def __init__(self, broker: Broker, identity: Identity) -> None:
        self.connections = 0
        self.lost = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.tls_set(
            str(broker.authority.certificate), str(identity.certificate), str(identity.key)
        )
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.on_disconnect = lambda *_: self.lost.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert connected.wait(PATIENCE)

    def say(self, topic: str, payload: bytes) -> Any:
        return self._client.publish(topic, payload, 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class World:
    def __init__(self, folder: Path) -> None:
        authority = Authority.create(folder / "ca", "Test authority")
        self.device = authority.issue_device("box-1", folder / "devices")
        self.other = authority.issue_device("box-2", folder / "devices")
        self.service = authority.issue_service("collector", folder / "collector")
        server = authority.issue_server(["127.0.0.1"], folder / "broker")
        self.authority = authority
        self.log = folder / "broker" / "log"
        self.broker = Broker(folder / "broker", authority, server)
        self.broker.start()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not shutil.which("mosquitto"):
        pytest.fail("mosquitto is missing: run make setup")
    world = World(tmp_path)
    yield world
    world.broker.kill()


def envelope(seq: int) -> bytes:
    value = {"v": 1, "boot": BOOT, "seq": seq, "t": None, "tq": "none", "mono": 1.0}
    return json.dumps({**value, "kind": "weather", "data": {}}).encode()


def test_who_sends_a_hundred_megabytes_is_cut_off_before_they_cost_memory(world: World) -> None:
    assert world.broker._process is not None
    status = Path(f"/proc/{world.broker._process.pid}/status")
    collector = Collector(world.broker, world.service)
    sender = Overdoer(world.broker, world.device)
    before = int(status.read_text().split("VmHWM:")[1].split()[0])
    sender.say("natwatch/box-1/up/report", bytes(100_000_000))
    assert sender.lost.wait(PATIENCE)
    until(
        lambda: "Client box-1 disconnected due to oversize packet" in world.log.read_text(), "log"
    )
    other = Overdoer(world.broker, world.other)
    other.say("natwatch/box-2/up/report", envelope(1)).wait_for_publish(PATIENCE)
    until(lambda: collector.reports("box-2") == [1], "a report of another device")
    assert int(status.read_text().split("VmHWM:")[1].split()[0]) < before + 5000
    sender.close()
    other.close()
    collector.close()


class Running:
    """The real natwatch-collector at *world*'s broker, over mutual TLS, subscribed."""

    def __init__(self, world: World, folder: Path) -> None:
        command = [sys.executable, "-m", "natwatch_provider.collector.cli"]
        command += ["--database", f"sqlite:///{folder}/natwatch.db"]
        command += ["--broker", f"127.0.0.1:{world.broker.service_port}"]
        command += ["--ca", str(world.authority.certificate)]
        command += ["--certificate", str(world.service.certificate)]
        command += ["--key", str(world.service.key)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        while ": connected" not in self.process.stderr.readline():
            assert self.process.poll() is None
        self.database = Database(f"sqlite:///{folder}/natwatch.db")

    def rows(self, *columns: Any) -> list[tuple[Any, ...]]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(*columns))]

    def close(self) -> None:
        self.database.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def running(world: World, tmp_path: Path) -> Iterator[Running]:
    running = Running(world, tmp_path)
    yield running
    running.close()


def test_a_report_that_is_too_long_is_told_of_and_its_device_stays_connected(
    world: World, running: Running
) -> None:
    sender = Overdoer(world.broker, world.device)
    long = b'"' + b"x" * 120_000 + b'"'
    sender.say("natwatch/box-1/up/report", long).wait_for_publish(PATIENCE)
    sender.say("natwatch/box-1/up/report", envelope(1)).wait_for_publish(PATIENCE)
    until(lambda: running.rows(report.c.seq) == [(1,)], "the report after it")
    told = running.rows(quarantine.c.device, quarantine.c.reason, quarantine.c.size)
    assert told == [("box-1", "too_big", len(long))]
    assert not sender.lost.is_set()
    sender.close()


def test_what_a_device_says_under_anothers_name_reaches_no_collector(
    world: World, running: Running
) -> None:
    thief = Overdoer(world.broker, world.device)
    birth = {"online": True, "boot": BOOT, "conn": 1, "version": "1", "interpreter": "x"}
    thief.say("natwatch/box-2/up/state", json.dumps({**birth, "mono": 1.0}).encode())
    thief.say("natwatch/box-2/up/report", envelope(1))
    thief.say("natwatch/box-2/down/ack", json.dumps({"boot": BOOT, "ranges": []}).encode())
    thief.say("natwatch/box-1/up/report", envelope(2)).wait_for_publish(PATIENCE)
    stored = until(lambda: running.rows(report.c.device, report.c.seq), "that of its own name")
    assert stored == [("box-1", 2)]
    assert running.rows(device.c.id) == [("box-1",)]
    thief.close()

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
from natwatch_provider.store.schema import report
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


def test_a_report_that_is_too_long_is_dropped_and_its_device_stays_connected(
    world: World,
) -> None:
    collector, device = Collector(world.broker, world.service), Overdoer(world.broker, world.device)
    device.say("natwatch/box-1/up/report", b'"' + b"x" * 70_000 + b'"').wait_for_publish(PATIENCE)
    device.say("natwatch/box-1/up/report", envelope(1)).wait_for_publish(PATIENCE)
    until(lambda: collector.reports("box-1") == [1], "the report after it")
    assert not device.lost.is_set() and len(collector.heard) == 1
    device.close()
    collector.close()


def test_who_sends_a_hundred_megabytes_is_cut_off_before_they_cost_memory(world: World) -> None:
    assert world.broker._process is not None
    status = Path(f"/proc/{world.broker._process.pid}/status")
    collector, device = Collector(world.broker, world.service), Overdoer(world.broker, world.device)
    before = int(status.read_text().split("VmHWM:")[1].split()[0])
    device.say("natwatch/box-1/up/report", bytes(100_000_000))
    assert device.lost.wait(PATIENCE)
    other = Overdoer(world.broker, world.other)
    other.say("natwatch/box-2/up/report", envelope(1)).wait_for_publish(PATIENCE)
    until(lambda: collector.reports("box-2") == [1], "a report of another device")
    assert int(status.read_text().split("VmHWM:")[1].split()[0]) < before + 5000
    device.close()
    other.close()
    collector.close()


def test_what_a_device_says_under_anothers_name_reaches_no_collector(
    world: World, tmp_path: Path
) -> None:
    """With the real collector, over mutual TLS: stored is what the certificate's name has said."""
    command = [sys.executable, "-m", "natwatch_provider.collector.cli"]
    command += ["--database", f"sqlite:///{tmp_path}/natwatch.db"]
    command += ["--broker", f"127.0.0.1:{world.broker.service_port}"]
    command += ["--ca", str(world.authority.certificate)]
    command += ["--certificate", str(world.service.certificate), "--key", str(world.service.key)]
    collector = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert collector.stderr is not None
        while ": connected" not in collector.stderr.readline():
            assert collector.poll() is None
        thief = Overdoer(world.broker, world.device)
        birth = {"online": True, "boot": BOOT, "conn": 1, "version": "1", "interpreter": "x"}
        thief.say("natwatch/box-2/up/state", json.dumps({**birth, "mono": 1.0}).encode())
        thief.say("natwatch/box-2/up/report", envelope(1))
        thief.say("natwatch/box-2/down/ack", json.dumps({"boot": BOOT, "ranges": []}).encode())
        thief.say("natwatch/box-1/up/report", envelope(2)).wait_for_publish(PATIENCE)
        database = Database(f"sqlite:///{tmp_path}/natwatch.db")

        def stored() -> list[tuple[str, int]]:
            with database.reading() as connection:
                rows = connection.execute(select(report.c.device, report.c.seq))
                return [(row.device, row.seq) for row in rows]

        until(stored, "the one report under its own name")
        assert stored() == [("box-1", 2)]
        with database.reading() as connection:
            names = connection.exec_driver_sql("SELECT id FROM device").scalars().all()
        assert names == ["box-1"]
        thief.close()
        database.close()
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait(timeout=PATIENCE)

"""natwatch-collector as a process, with a real Mosquitto on the loopback."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from natwatch_provider.store import overview
from natwatch_provider.store.database import Database
from natwatch_provider.store.schema import report as report_table
from tests.provider.reports import BOOT, envelope, lifetime_data

PATIENCE_S = 30


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait for *true*, on a machine that may be slow."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


class Broker:
    """Mosquitto on a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "set_tcp_nodelay true\nuser root\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(self._configuration)], stderr=subprocess.DEVNULL
        )

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until(answers, "Mosquitto")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Running:
    """A collector process, and the lines it has said. *command*: what starts it."""

    def __init__(
        self,
        address: str,
        port: int,
        command: Sequence[str] = (sys.executable, "-m", "natwatch_provider.collector.cli"),
    ) -> None:
        self.lines: list[str] = []
        arguments = ["--database", address, "--broker", f"127.0.0.1:{port}"]
        arguments += ["--baseline-days", "0"]
        self.process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def says(self, text: str) -> str:
        return str(until(lambda: next(iter(self.said(text)), ""), f"{text!r} in {self.lines}"))

    def said(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(timeout=PATIENCE_S)
        return code


class Devices:
    """Publishes as any device, and hears what is acknowledged."""

    def __init__(self, port: int) -> None:
        self.acks: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("natwatch/+/down/ack")
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.acks.put(
            (message.topic, json.loads(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def send(self, payload: bytes, kind: str = "report", device: str = "home-1") -> None:
        topic = f"natwatch/{device}/up/{kind}"
        self._client.publish(topic, payload, 1).wait_for_publish(PATIENCE_S)

    def acknowledged(self, numbers: set[int], topic: str = "natwatch/home-1/down/ack") -> None:
        """Wait until exactly *numbers* are acknowledged."""
        heard: set[int] = set()
        while not numbers <= heard:
            where, ack = self.acks.get(timeout=PATIENCE_S)
            assert (where, ack["boot"]) == (topic, BOOT)
            for first, last in ack["ranges"]:
                heard |= set(range(first, last + 1))
        assert heard == numbers

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def start(address: str, broker: Broker) -> Iterator[Callable[[], Running]]:
    """Starts a collector that has subscribed when this returns. Those left over are killed."""
    started: list[Running] = []

    def start() -> Running:
        running = Running(address, broker.port)
        started.append(running)
        running.says(": connected")
        return running

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def stored(address: str) -> list[int]:
    database = Database(address)
    with database.reading() as connection:
        found = [row.seq for row in connection.execute(select(report_table.c.seq))]
    database.close()
    return sorted(found)


def test_reports_are_stored_then_acknowledged_and_a_shrink_is_told(
    address: str, broker: Broker, start: Callable[[], Running]
) -> None:
    collector, devices = start(), Devices(broker.port)
    for seq, (lo, hi) in enumerate([(39.6, 40.4)] * 3 + [(14.6, 15.4)] * 2, 1):
        devices.send(b"garbage")
        devices.send(envelope(seq, lifetime_data(lo, hi, seq)))
    devices.acknowledged({1, 2, 3, 4, 5})
    assert stored(address) == [1, 2, 3, 4, 5]
    line = collector.says("ALERT 1 RAISED critical")
    assert "old=39.6-40.4s new=14.6-15.4s" in line
    assert collector.end(signal.SIGTERM) == 0
    assert len(collector.said("not_json from home-1")) == 1
    assert collector.said("stopped: stored=5 acknowledged=5 quarantined=5 not_json=5")
    assert not collector.said("Traceback")
    devices.close()


def test_a_collector_that_is_killed_loses_nothing_that_is_sent_again(
    address: str, broker: Broker, start: Callable[[], Running]
) -> None:
    first, devices = start(), Devices(broker.port)
    sent = set(range(1, 301))

    def flood() -> None:
        for seq in sorted(sent):
            devices.send(envelope(seq))

    flooding = threading.Thread(target=flood)
    flooding.start()
    devices.acks.get(timeout=PATIENCE_S)  # in the middle of it
    first.process.kill()
    first.process.wait()
    flooding.join()
    before = stored(address)
    while not devices.acks.empty():
        devices.acks.get()
    start()
    flood()  # all again, as a device does that heard nothing
    devices.acknowledged(sent)
    assert stored(address) == sorted(sent)
    assert before == sorted(set(before))
    devices.close()


def test_a_broker_that_is_away_is_said_once_and_so_is_its_return(
    address: str, broker: Broker, start: Callable[[], Running]
) -> None:
    collector = start()
    broker.stop()
    collector.says("is away")
    time.sleep(3)  # several tries
    assert len(collector.said("is away")) == 1
    broker.start()
    collector.says(": back")
    devices = Devices(broker.port)
    devices.send(envelope(1))
    devices.acknowledged({1})
    assert collector.end(signal.SIGINT) == 0
    devices.close()


def test_a_collector_starts_without_a_broker_and_ends_when_told(tmp_path: Path) -> None:
    collector = Running(f"sqlite:///{tmp_path}/natwatch.db", 1)
    collector.says("broker 127.0.0.1:1 is away: Connection refused")
    assert collector.end(signal.SIGTERM) == 0


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    collector = Running(f"postgresql://natwatch@/none?host={tmp_path}", 1)
    collector.says("cannot be used")
    assert collector.end(signal.SIGTERM) == 0
    assert len(collector.said("cannot be used")) == 1
    assert not collector.said("Traceback")


def test_the_birth_and_the_will_reach_the_devices_table(
    address: str, broker: Broker, start: Callable[[], Running]
) -> None:
    start()
    devices = Devices(broker.port)
    birth = {"online": True, "boot": BOOT, "conn": 1, "version": "0.1.0"}
    devices.send(json.dumps({**birth, "interpreter": "cpython", "mono": 1.0}).encode(), "state")

    def online() -> Any:
        database = Database(address)
        with database.reading() as connection:
            found = [one["online"] for one in overview.devices(connection)]
        database.close()
        return found

    until(lambda: online() == [True], "the birth")
    devices.send(json.dumps({"online": False, "boot": BOOT, "conn": 1}).encode(), "state")
    until(lambda: online() == [False], "the will")
    devices.close()


WRONG = (
    (["--database", "x", "--broker", "a:1"], "found 'x'"),
    (["--database", "sqlite:///x", "--broker", "a"], "--broker: expected HOST:PORT"),
    (["--database", "sqlite:///x", "--broker", "a:99999"], "--broker: expected HOST:PORT"),
    (["--database", "sqlite:///x", "--broker", "a:1", "--key", "k"], "expected both or neither"),
    (["--database", "sqlite:///x", "--broker", "a:1", "--ca", "/none.pem"], "--ca /none.pem"),
    (["--database", "sqlite:///x", "--broker", "a:1", "--profile", "/none"], "profile /none"),
    (["--database", "sqlite:///x", "--broker", "a:1", "--baseline-days", "-1"], "found '-1'"),
    (["--database", "sqlite:////no/such/folder/x.db", "--broker", "a:1"], "no such folder"),
    (["--broker", "a:1"], "--database"),
)


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_wrong_arguments_are_one_sentence_and_exit_2(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "natwatch_provider.collector.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ),
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def newer_schema(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: path.write_text("a text, no database at all. " * 40), "not a database"),
        (newer_schema, "'9999'"),
    ],
)
def test_a_database_that_is_not_for_it_is_one_sentence_and_exit_1(
    make: Callable[[Path], Any], found: str, tmp_path: Path
) -> None:
    make(tmp_path / "odd.db")
    collector = Running(f"sqlite:///{tmp_path}/odd.db", 1)
    assert collector.process.wait(timeout=PATIENCE_S) == 1
    collector.says(found)
    assert not collector.said("Traceback")

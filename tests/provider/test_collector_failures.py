"""natwatch-collector while everything around it fails, each failure made for real: the process
killed, the disk full, the database locked, removed, stopped or read-only, the broker killed.

What must hold each time: nothing is acknowledged that is not stored, and after all was sent again,
as devices do, each report is stored once by (device, boot, seq).
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from natwatch_provider.store.database import Database
from natwatch_provider.store.schema import quarantine, report
from tests.provider.postgres import Cluster
from tests.provider.reports import envelope
from tests.provider.test_collector import PATIENCE_S, Broker, Devices, Running, stored

Start = Callable[..., Running]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def devices(broker: Broker) -> Iterator[Devices]:
    devices = Devices(broker.port)
    yield devices
    devices.close()


@pytest.fixture
def start(broker: Broker) -> Iterator[Start]:
    """Starts a collector that has subscribed when this returns: start(address, *command)."""
    started: list[Running] = []

    def start(address: str, *command: str) -> Running:
        running = (
            Running(address, broker.port, command) if command else Running(address, broker.port)
        )
        started.append(running)
        running.says(": connected")
        return running

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def set_aside(address: str) -> list[int | None]:
    database = Database(address)
    with database.reading() as connection:
        found = [row.seq for row in connection.execute(select(quarantine.c.seq))]
    database.close()
    return found


def nothing_is_acknowledged(devices: Devices) -> None:
    time.sleep(0.5)
    assert devices.acks.empty()


# A collector that kills itself, at the moment named, in its first batch.
SUICIDE = """
import os, signal, sys, threading, time
from sqlalchemy import event
from sqlalchemy.engine import Engine
from natwatch_provider.collector import cli, mqtt, pipeline
from natwatch_provider.store import streams

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def soon():
    time.sleep(0.0003)
    die()

begun = []
ingest = pipeline.ingest
pipeline.ingest = lambda *arguments: (begun.append(True), ingest(*arguments))[1]
moment = sys.argv.pop(1)
if moment == "in the batch":
    streams.save = die
elif moment == "before the commit":
    event.listen(Engine, "commit", lambda _: begun and die())
elif moment == "in the commit":
    event.listen(Engine, "commit", lambda _: begun and threading.Thread(target=soon).start())
else:
    mqtt.MqttSource.settle = die
sys.exit(cli.main())
"""

MOMENTS = ("in the batch", "before the commit", "in the commit", "before the acknowledgement")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_collector_killed_at_any_moment_loses_nothing_and_stores_nothing_twice(
    address: str, devices: Devices, start: Start, moment: str
) -> None:
    first = start(address, sys.executable, "-c", SUICIDE, moment)
    everything = set(range(1, 21))

    def send_all() -> None:
        for seq in sorted(everything):
            devices.send(envelope(seq, v=2 if seq == 1 else 1))

    send_all()
    assert first.process.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    time.sleep(0.5)
    before = stored(address), set_aside(address)
    if moment in ("in the batch", "before the commit"):
        assert before == ([], [])
    elif moment == "before the acknowledgement":
        assert before[1] == [1]
    # in the commit it may have died a moment later: what it still acknowledged is there
    while not devices.acks.empty():
        for first_one, last in devices.acks.get()[1]["ranges"]:
            assert moment == "in the commit"
            assert set(range(first_one, last + 1)) <= {*before[0], *before[1]}
    start(address)
    send_all()
    devices.acknowledged(everything)
    assert stored(address) == list(range(2, 21))
    assert set_aside(address) == [1]


def test_a_broker_that_is_killed_in_the_middle_loses_nothing(
    address: str, broker: Broker, devices: Devices, start: Start
) -> None:
    collector = start(address)
    for seq in range(1, 41):
        devices.send(envelope(seq))
    broker.stop()
    collector.says("is away")
    broker.start()
    collector.says(": back")
    again = Devices(broker.port)
    for seq in range(1, 81):
        again.send(envelope(seq))
    again.acknowledged(set(range(1, 81)))
    again.close()
    assert stored(address) == list(range(1, 81))


# A collector whose reading thread dies at the first message.
DEAF = """
import sys
from natwatch_provider.collector import cli, fair
put = fair.FairQueue.put
def once(*arguments):
    fair.FairQueue.put = put
    raise RuntimeError("a fault of ours")
fair.FairQueue.put = once
sys.exit(cli.main())
"""


def test_a_reading_thread_that_dies_is_noticed_and_replaced(
    tmp_path: Path, devices: Devices, start: Start
) -> None:
    collector = start(f"sqlite:///{tmp_path}/natwatch.db", sys.executable, "-c", DEAF)
    devices.send(envelope(1))
    collector.says("is away: the thread that reads from it has died")
    collector.says(": back")
    devices.send(envelope(1))
    devices.acknowledged({1})


def test_a_database_locked_by_another_writer_is_waited_for(
    tmp_path: Path, devices: Devices, start: Start
) -> None:
    address = f"sqlite:///{tmp_path}/natwatch.db"
    collector = start(address)
    other = sqlite3.connect(tmp_path / "natwatch.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    devices.send(envelope(1))
    collector.says("cannot be used: database is locked")
    assert devices.acks.empty()
    other.execute("ROLLBACK")
    devices.acknowledged({1})
    other.close()
    collector.says("can be used again")
    assert stored(address) == [1]


def test_a_file_that_is_removed_acknowledges_nothing_until_it_is_put_back(
    tmp_path: Path, devices: Devices, start: Start
) -> None:
    path = tmp_path / "data" / "natwatch.db"
    path.parent.mkdir()
    address = f"sqlite:///{path}"
    collector = start(address)
    devices.send(envelope(1))
    devices.acknowledged({1})
    with sqlite3.connect(path) as live, sqlite3.connect(tmp_path / "backup.db") as backup:
        live.backup(backup)
    for one in path.parent.iterdir():
        one.unlink()
    devices.send(envelope(2))
    collector.says("natwatch.db is gone; put it back")
    nothing_is_acknowledged(devices)
    assert not path.exists()
    (tmp_path / "backup.db").rename(path)
    devices.acknowledged({2})
    assert stored(address) == [1, 2]


def test_a_file_removed_during_a_commit_acknowledges_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/natwatch.db")
    database.upgrade()
    with pytest.raises(Exception, match="was removed or replaced"), database.writing():
        (tmp_path / "natwatch.db").unlink()
    database.close()


def test_a_full_disk_acknowledges_nothing_until_there_is_room(
    tmp_path: Path, devices: Devices, start: Start
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=3m none {folder} && exec "$@"'
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    collector = start(
        f"sqlite:///{folder}/natwatch.db",
        *[*enter, "sh", "-c", mount, "sh", sys.executable, "-m", "natwatch_provider.collector.cli"],
    )
    inside = Path(f"/proc/{collector.process.pid}/root{folder}")
    devices.send(envelope(1))
    devices.acknowledged({1})
    with pytest.raises(OSError, match="No space left"), (inside / "ballast").open("wb", 0) as file:
        while True:
            file.write(bytes(4096))
    for seq in range(2, 42):
        devices.send(envelope(seq, {"much": "x" * 50_000}, kind="weather"))
    collector.says("cannot be used: database or disk is full")
    (inside / "ballast").unlink()
    collector.says("can be used again")
    acknowledged = acknowledged_of(devices, set(range(2, 42)))
    assert acknowledged == set(range(2, 42))
    for name in ("natwatch.db", "natwatch.db-wal"):  # SQLite would follow the link to our root
        shutil.copy(inside / name, tmp_path)
    assert stored(f"sqlite:///{tmp_path}/natwatch.db") == list(range(1, 42))
    assert not collector.said("Traceback")


def acknowledged_of(devices: Devices, wanted: set[int]) -> set[int]:
    heard: set[int] = set()
    while not wanted <= heard:
        for first, last in devices.acks.get(timeout=PATIENCE_S)[1]["ranges"]:
            heard |= set(range(first, last + 1))
    return heard


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON report EXECUTE FUNCTION full_disk()
"""

# What happens to a PostgreSQL server, how it is mended, and what the collector says.
TROUBLES = {
    "a full disk": (FULL, "DROP TRIGGER full_disk ON report", "No space left"),
    "read-only": (
        "ALTER DATABASE {name} SET default_transaction_read_only = on; "
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        "SET default_transaction_read_only = off; "
        "ALTER DATABASE {name} RESET default_transaction_read_only; "
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        "read-only transaction",
    ),
    "no table": (
        "ALTER TABLE report RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO report",
        "does not exist",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_refuses_everything_is_waited_for_and_no_report_is_blamed(
    cluster: Cluster, devices: Devices, start: Start, trouble: str
) -> None:
    address = cluster.new_database()
    name = address.split("/")[3].split("?")[0]
    broken, mended, said = (text.replace("{name}", name) for text in TROUBLES[trouble])
    collector = start(address)
    with psycopg.connect(address, autocommit=True) as person:
        person.execute(broken.encode())
        for seq in range(1, 6):
            devices.send(envelope(seq))
        assert said in collector.says("cannot be used")
        nothing_is_acknowledged(devices)
        person.execute(mended.encode())
    devices.acknowledged(set(range(1, 6)))
    assert stored(address) == [1, 2, 3, 4, 5]
    assert set_aside(address) == []


def test_a_server_that_stops_is_waited_for(
    cluster: Cluster, devices: Devices, start: Start
) -> None:
    address = cluster.new_database()
    collector = start(address)
    devices.send(envelope(1))
    devices.acknowledged({1})
    cluster.pause()
    try:
        devices.send(envelope(2))
        collector.says("cannot be used")
        nothing_is_acknowledged(devices)
    finally:
        cluster.restart()
    devices.acknowledged({2})
    assert stored(address) == [1, 2]


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_a_hundred_megabytes_cost_the_collector_nothing_and_others_are_served(
    tmp_path: Path, devices: Devices, start: Start
) -> None:
    """At a broker without any limit: the collector's own bound."""
    address = f"sqlite:///{tmp_path}/natwatch.db"
    collector = start(address)
    devices.send(envelope(1))
    devices.acknowledged({1})
    before = peak_megabytes(collector.process.pid)
    devices.send(bytes(100_000_000), device="home-2")
    devices.send(b" " * 100_000, device="home-2")  # this much, it looks at
    devices.send(envelope(2))
    devices.acknowledged({2})
    assert peak_megabytes(collector.process.pid) < before + 10
    assert stored(address) == [1, 2]
    assert set_aside(address) == [None]
    collector.says("too_big from home-2: a message longer than an envelope may be: 100000 bytes")


def test_a_flood_of_one_device_does_not_delay_the_others(
    address: str, broker: Broker, devices: Devices, start: Start
) -> None:
    collector = start(address)
    over = threading.Event()

    def flood() -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        for number in range(8000):
            client.publish("natwatch/flood/up/report", b"%d garbage" % number, 0)
        client.publish("natwatch/flood/up/report", b"last", 1).wait_for_publish(PATIENCE_S)
        client.loop_stop()
        over.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    delays = []
    for seq in range(1, 11):
        sent = time.monotonic()
        devices.send(envelope(seq))
        devices.acknowledged({seq})
        delays.append(time.monotonic() - sent)
        time.sleep(0.1)
    flooding.join()
    assert over.is_set()
    assert max(delays) < 5, delays
    assert stored(address) == list(range(1, 11))
    assert collector.end(signal.SIGTERM) == 0


def rows_of(address: str) -> list[Any]:
    database = Database(address)
    with database.reading() as connection:
        found = [row._mapping for row in connection.execute(select(report))]
    database.close()
    return found


def test_unknown_kinds_versions_and_clocks_of_one_device_leave_the_others_alone(
    address: str, devices: Devices, start: Start
) -> None:
    collector = start(address)
    odd = (
        envelope(1, {"never": "seen"}, kind="weather"),
        envelope(2, v=99),
        envelope(3, t=-9e14, mono=9e14),
        envelope(4, t=4e9),
        b"[" * 60_000,
        b"\xff" * 60_000,
        json.dumps({"v": 1}).encode(),
    )
    for payload in odd:
        devices.send(payload)
        devices.send(payload, kind="state")
    devices.acknowledged({1, 2, 3, 4})
    devices.send(envelope(1), device="home-2")
    devices.acknowledged({1}, "natwatch/home-2/down/ack")
    assert sorted((row["device"], row["seq"]) for row in rows_of(address)) == [
        ("home-1", 1),
        ("home-1", 3),
        ("home-1", 4),
        ("home-2", 1),
    ]
    now = time.time()
    assert all(0 < row["time"] < now + 400 for row in rows_of(address))
    assert collector.process.poll() is None and not collector.said("Traceback")

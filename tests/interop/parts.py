"""The real parts of the interop suite: Mosquitto, a collector, devices as processes."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage

from natwatch.wire import telemetry
from natwatch_provisioning import broker as configuration
from natwatch_provisioning.authority import Authority, Identity

ROOT = Path(__file__).parents[2]
MICROPYTHON = ROOT / ".cache/micropython/micropython"
BOOT = "0123456789abcdef"
PATIENCE = 60.0  # s; generous, since nothing here measures time and the machine is shared


def until(happened: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of *happened()*; fails after *patience* seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = happened()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {patience:.0f} s: {what}")


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Mosquitto as natwatch_provisioning configures it, on 127.0.0.1."""

    def __init__(self, folder: Path, authority: Authority, server: Identity) -> None:
        self.authority = authority
        self.port = free_port()
        self.service_port = free_port()
        self._file = configuration.write_configuration(
            folder,
            authority.certificate,
            server,
            address="127.0.0.1",
            device_ports=(self.port,),
            service_ports=(self.service_port,),
            user="root",
        )
        self._log = (folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._file)], stdout=self._log, stderr=self._log
        )
        until(self._listens, "Mosquitto listens")

    def kill(self) -> None:
        """SIGKILL: clients see the connection cut, and nothing is written anywhere."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.name
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.service_port)) == 0


class Collector:
    """Hears everything that devices say; acknowledges reports while *acknowledging*."""

    def __init__(self, broker: Broker, identity: Identity, acknowledging: bool = True) -> None:
        self.acknowledging = acknowledging
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.tls_set(
            str(broker.authority.certificate), str(identity.certificate), str(identity.key)
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("natwatch/+/up/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.service_port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def states(self, device: str) -> list[dict[str, Any]]:
        return [body for topic, body in list(self.heard) if topic == f"natwatch/{device}/up/state"]

    def reports(self, device: str) -> list[int]:
        """The seqs of the reports that arrived, repeated ones included."""
        topic = f"natwatch/{device}/up/report"
        return [body["seq"] for heard, body in list(self.heard) if heard == topic]

    def acknowledge(self, device: str, boot: str, ranges: list[tuple[int, int]]) -> None:
        self._client.publish(f"natwatch/{device}/down/ack", telemetry.encode_ack(boot, ranges), 0)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 0)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        body = json.loads(message.payload)
        self.heard.append((message.topic, body))
        if self.acknowledging and message.topic.endswith("/up/report"):
            device = message.topic.split("/")[1]
            self.acknowledge(device, body["boot"], [(body["seq"], body["seq"])])


class Device:
    """tests/interop/device.py as a process; *events* are those of its link so far."""

    def __init__(
        self,
        folder: Path,
        kind: tuple[str, str],
        brokers: list[dict[str, Any]],
        device: str = "box-1",
        reports: int = 0,
    ) -> None:
        interpreter, driver = kind
        settings = folder / f"{device}.json"
        settings.write_text(
            json.dumps(
                {
                    "device": device,
                    "boot": BOOT,
                    "driver": driver,
                    "reports": reports,
                    "brokers": brokers,
                }
            )
        )
        command = [str(MICROPYTHON)] if interpreter == "micropython" else [sys.executable]
        self.events: list[list[str]] = []
        self._facts: list[dict[str, Any]] = []
        self._errors = (folder / f"{device}.err").open("w+")
        self.process = subprocess.Popen(
            [*command, str(ROOT / "tests/interop/device.py"), str(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._arrived: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def said(self) -> list[str]:
        return [event[1] for event in list(self.events) if event[0] == "say"]

    def ups(self) -> int:
        return list(self.events).count(["up"])

    def held(self) -> int | None:
        """Reports that the spool holds now; None before the first word."""
        return self._facts[-1]["held"] if self._facts else None

    def dropped(self) -> dict[str, int]:
        return dict(self._facts[-1]["dropped"])

    def spool(self, count: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()

    def processor_time(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ends the device in the orderly way; returns its longest stay in the link, ms."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0, self._trouble()
        self._reader.join(PATIENCE)
        return int(self._facts[-1]["longest"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            (self.events if isinstance(told, list) else self._facts).append(told)

    def _trouble(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

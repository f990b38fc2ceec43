"""The whole product on a lab's hosts: reflector, broker over TLS, collector, agents.

Real programs, started as an operator starts them; everything they write lies in the lab's
scratch folder and ends with it.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from natwatch.wire.auth import device_key
from natwatch_provider.registrar.kamailio import Binding, Kamailio, RegistrarError
from natwatch_provisioning.authority import Authority
from natwatch_provisioning.broker import write_configuration
from tests.lab import adapter, kamailio, miniupnpd
from tests.lab.lab import Lab, LabError
from tests.lab.topology import BROKER, REFLECTOR_A, REFLECTOR_B, REGISTRAR

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "provisioning/profiles/enforta.json"
INTERPRETERS = {
    "cpython": [sys.executable],
    "micropython": [str(ROOT / ".cache/micropython/micropython")],
}
BROKER_NAME = "mqtt.operator.example"  # in the broker's certificate; never looked up
SERVICE_PORT = 8884  # the collector's listener; the operator's firewall has no need to open it
_PROGRAMS = Path(sys.executable).parent  # where the provider's programs are installed
_MOSQUITTO = "/usr/sbin/mosquitto"


class Stage:
    """The provider's side on host ``provider``, agents on ``phone``, a SIP adapter on ``adapter``.

    The adapter's host stands in HOME_ADAPTER and CARRIER_ADAPTER.
    """

    def __init__(self, lab: Lab, secure: bool = True, profile: Path = PROFILE) -> None:
        self.lab = lab
        self.profile = profile
        self.secure = secure  # False: a broker without TLS, to see what TLS costs
        self.folder = lab.scratch
        self.database = f"sqlite:///{self.folder}/natwatch.db"
        self.master = secrets.token_bytes(32)
        self.logs: dict[str, Path] = {}

    # The provider's side

    def start_reflector(self, *options: str) -> subprocess.Popen[Any]:
        key_file = self.folder / "reflector.key"
        key_file.write_text(self.master.hex())
        key_file.chmod(0o600)
        argv = [str(_PROGRAMS / "natwatch-reflector"), "--key-file", str(key_file)]
        argv += ["--profile", str(self.profile), *options]
        for address in (REFLECTOR_A, REFLECTOR_B):
            argv += ["--address", address]
        process = self.spawn("reflector", "provider", argv)
        self.expect("reflector", "ready", 20)
        return process

    def prepare_broker(self) -> None:
        """Certificates and configuration, as provisioning makes them."""
        if not self.secure:
            (self.folder / "broker").mkdir()
            ports = "".join(f"listener {port} {BROKER}\n" for port in (8883, 443, SERVICE_PORT))
            text = f"user root\nallow_anonymous true\n{ports}"
            (self.folder / "broker/mosquitto.conf").write_text(text)
            return
        authority = Authority.create(self.folder / "authority", "Lab CA")
        server = authority.issue_server([BROKER_NAME, BROKER], self.folder / "broker")
        authority.issue_service("collector", self.folder / "services")
        write_configuration(
            self.folder / "broker",
            authority.certificate,
            server,
            address=BROKER,
            service_ports=(SERVICE_PORT,),
            user="root",  # a user namespace has no other
        )
        self._authority = authority

    def start_broker(self) -> subprocess.Popen[Any]:
        if not (self.folder / "broker").exists():
            self.prepare_broker()
        argv = [_MOSQUITTO, "-c", str(self.folder / "broker/mosquitto.conf")]
        process = self.spawn("broker", "provider", argv)
        wait_for(self._broker_listens, 20, "the broker to listen", lambda: self.log("broker"))
        return process

    def _broker_listens(self) -> bool:
        with self.lab.on("provider"), socket.socket() as caller:
            return caller.connect_ex((BROKER, SERVICE_PORT)) == 0

    def start_collector(self) -> subprocess.Popen[Any]:
        argv = [
            *(str(_PROGRAMS / "natwatch-collector"), "--database", self.database),
            *("--broker", f"{BROKER}:{SERVICE_PORT}"),
            *("--profile", str(self.profile), "--baseline-days", "0"),
        ]
        if self.secure:
            services = self.folder / "services"
            argv += ["--ca", str(self._authority.certificate)]
            argv += ["--certificate", str(services / "collector.pem")]
            argv += ["--key", str(services / "collector.key")]
        process = self.spawn("collector", "provider", argv)
        self.expect("collector", "broker.*connected|connected.*broker|listening", 20)
        return process

    def start_kamailio(
        self, users: Mapping[str, str], algorithm: str = "MD5"
    ) -> subprocess.Popen[Any]:
        """A registrar at REGISTRAR port 5060 (UDP, TCP) for *users*, passwords by name.

        *algorithm* of its challenges: MD5 or SHA-256. It grants from 5 s to an hour.
        """
        argv = kamailio.write(self.folder / "kamailio", REGISTRAR, users, algorithm)
        process = self.spawn("kamailio", "provider", argv)
        wait_for(self._kamailio_answers, 20, "Kamailio to answer", lambda: self.log("kamailio"))
        return process

    def _kamailio_answers(self) -> bool:
        try:
            return self.bindings("nobody") == []
        except RegistrarError:
            return False

    # The customer's side

    def configure(self, device: str, **changes: Any) -> Path:
        """A device's identity and configuration file. *changes* replace whole fields.

        Unless they say otherwise the device does nothing but watch: each test asks for the rest.
        """
        config: dict[str, Any] = {
            "device": device,
            "reflector": {
                "address": REFLECTOR_A,
                "key": device_key(self.master, device).hex(),
            },
            "budget": {"bytes_per_day": 0},
            "watch": [["udp/sip", "stream"]],
            "check": [],
            "survey_every_s": 0,
            "layers_every_s": 0,
            "resident": None,
        }
        if (self.folder / "broker").exists():
            config["brokers"] = [
                {"host": BROKER, "port": port, "server_name": BROKER_NAME} for port in (8883, 443)
            ]
        if not self.secure:
            config["tls"] = None
        elif "brokers" in config:
            identity = self._authority.issue_device(device, self.folder / "devices")
            config["tls"] = {
                "ca": str(self._authority.certificate),
                "certificate": str(identity.certificate),
                "key": str(identity.key),
            }
        config.update(changes)
        path = self.folder / f"{device}.json"
        path.write_text(json.dumps(config))
        return path

    def start_agent(
        self, device: str, interpreter: str = "cpython", **changes: Any
    ) -> subprocess.Popen[Any]:
        path = self.configure(device, **changes)
        argv = [*INTERPRETERS[interpreter], "-m", "natwatch", "run", "--config", str(path)]
        return self.spawn(device, "phone", argv)

    def lifetime(
        self, device: str, interpreter: str, key: tuple[str, str], limit: int = 600
    ) -> subprocess.Popen[Any]:
        """`natwatch lifetime --json`, started; its result stands on its standard output."""
        options = ("--json", "--class", key[0], "--state", key[1], "--limit", str(limit))
        return self.one_shot(device, interpreter, "lifetime", *options)

    def one_shot(
        self, device: str, interpreter: str, command: str, *options: str
    ) -> subprocess.Popen[Any]:
        """`natwatch COMMAND` against the reflector, started; its answer is its standard output."""
        key_file = self.folder / f"{device}.key"
        key_file.write_text(device_key(self.master, device).hex())
        argv = [
            *(*INTERPRETERS[interpreter], "-m", "natwatch", command),
            *("--reflector", REFLECTOR_A, "--device", device, "--key-file", str(key_file)),
            *options,
        ]
        return self.spawn(device, "phone", argv, stdout=subprocess.PIPE, text=True)

    def check(
        self,
        device: str,
        interpreter: str,
        *options: str,
        site: dict[str, Any] | None = None,
        host: str = "phone",
    ) -> subprocess.Popen[Any]:
        """`natwatch check --json`, started on *host*; its report stands on its standard output.

        *site*: fields of the device's configuration about the customer's line.
        """
        argv = [*INTERPRETERS[interpreter], "-m", "natwatch", "check", "--json", *options]
        if site:
            path = self.configure(device, profile=str(self.profile), **site)
            argv += ["--config", str(path)]
        else:
            key_file = self.folder / f"{device}.key"
            key_file.write_text(device_key(self.master, device).hex())
            argv += ["--reflector", REFLECTOR_A, "--device", device, "--key-file", str(key_file)]
            argv += ["--profile", str(self.profile)]
        return self.spawn(device, host, argv, stdout=subprocess.PIPE, text=True)

    def start_adapter(
        self,
        user: str | None = None,
        password: str | None = None,
        registrar: str = REGISTRAR,
        *,
        expires: int = 600,
        keepalive: bool = False,
        port: int = 5060,
    ) -> subprocess.Popen[Any]:
        """baresip, which answers OPTIONS at *port*; with *user* and *password* it registers too.

        *expires*: seconds that it asks for; it registers again a little before. *keepalive*: it
        keeps its binding open by STUN to the registrar meanwhile.
        """
        if (user is None) != (password is None):
            raise LabError("expected user and password or neither, found one; name both")
        settings = adapter.Settings(port, registrar, user, password, expires, keepalive)
        argv = adapter.write(self.folder / "adapter", settings)
        process = self.spawn("adapter", "adapter", argv)
        self.expect("adapter", adapter.READY, 20)
        return process

    def start_miniupnpd(self) -> subprocess.Popen[Any]:
        """UPnP IGD, NAT-PMP and PCP on the customer's router: see miniupnpd.py on what it tells."""
        argv = miniupnpd.write(self.folder / "miniupnpd", self.lab, self.lab.router)
        process = self.spawn("miniupnpd", self.lab.router.host, argv)
        self.expect("miniupnpd", miniupnpd.READY, 20)
        return process

    # What can be seen

    def noc(self, *arguments: str) -> Any:
        """What `natwatch-noc … --json` prints, parsed."""
        argv = [str(_PROGRAMS / "natwatch-noc"), "--database", self.database, *arguments, "--json"]
        return json.loads(self.lab.run("provider", argv))

    def bindings(self, user: str) -> list[Binding]:
        """What Kamailio's location table holds of *user* now."""
        with self.lab.on("provider"):
            return Kamailio(kamailio.RPC_URL).bindings(user)

    def noc_page(self, device: str) -> str:
        """What `natwatch-noc device` shows people of *device*."""
        argv = [str(_PROGRAMS / "natwatch-noc"), "--database", self.database, "device", device]
        return self.lab.run("provider", argv)

    def baseline(self, device: str) -> bool:
        """Whether the collector has three brackets of *device*, enough to see a shrink."""
        if not self.noc("devices"):
            return False
        rows = self.noc("lifetimes", device)["measurements"]
        return len([r for r in rows if r["lo"] is not None and r["hi"] is not None]) >= 3

    def log(self, name: str) -> str:
        """All that the program called *name* has said so far."""
        return self.logs[name].read_text(errors="replace")

    def expect(self, name: str, pattern: str, seconds: float) -> str:
        """The first line of *name*'s log in which the regular expression is found, in time."""
        expression = re.compile(pattern)

        def line() -> str | None:
            return next(
                (one for one in self.log(name).splitlines() if expression.search(one)), None
            )

        return wait_for(line, seconds, f"{name} to say {pattern!r}", lambda: self.log(name))

    def spawn(
        self, name: str, host: str, argv: Sequence[str], **popen: Any
    ) -> subprocess.Popen[Any]:
        """Start *argv* on *host* with its standard error in the log called *name*."""
        self.logs[name] = self.folder / f"{name}.log"
        environment = dict(os.environ, MICROPYPATH=str(ROOT / "agent"), PYTHONUNBUFFERED="1")
        with open(self.logs[name], "ab") as log:
            popen.setdefault("stdout", log)
            return self.lab.spawn(host, argv, stderr=log, env=environment, **popen)


T = TypeVar("T")


def wait_for(
    seen: Callable[[], T | None],
    seconds: float,
    what: str,
    evidence: Callable[[], str],
    every: float = 0.05,
) -> T:
    """Poll *seen* until it gives something. LabError with the *evidence* after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        found = seen()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(f"expected {what} within {seconds:.0f} s, found:\n{evidence()}")
        time.sleep(every)


def stop(process: subprocess.Popen[Any]) -> int:
    """End *process* politely; its exit status."""
    process.send_signal(signal.SIGINT)
    return process.wait(20)

"""Other people's STUN tools on a lab's hosts: how they are started, and what they say."""

import json
import re
import subprocess
import sys
from typing import Any

from tests.lab import PHONE, REFLECTOR_A, REFLECTOR_B, Lab
from tests.lab.stage import INTERPRETERS, ROOT, Stage, wait_for

STUND = "/usr/sbin/stund"  # not in an ordinary user's PATH
_PATIENCE = 90  # s; natdiscovery needs 7, pystun3 up to 32


class Tool:
    """A client on host phone that asks REFLECTOR_A's port 3478; it runs at once."""

    def __init__(self, lab: Lab, argv: list[str]) -> None:
        self._process = lab.spawn(
            "phone", argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def output(self) -> str:
        """All that it printed, once it has ended."""
        return str(self._process.communicate(timeout=_PATIENCE)[0])


class Natdiscovery(Tool):
    """coturn's RFC 5780 client. It knows that there is no NAT only if told its own address."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(
            lab, ["turnutils_natdiscovery", "-m", "-f", "-L", PHONE, "-l", "0", REFLECTOR_A]
        )

    def verdict(self) -> tuple[str, str]:
        """(mapping, filtering) in the words of our own engines; "" where it gave none."""
        text = self.output()
        mapping = re.search("NAT with (.*) Mapping!", text)
        filtering = re.search("NAT with (.*) Filtering!", text)
        kind = "none" if "No NAT!" in text else _behaviour(mapping)
        return kind, _behaviour(filtering)


def _behaviour(found: re.Match[str] | None) -> str:
    return found[1].lower().replace(" ", "-") if found else ""


class StunClient(Tool):
    """Debian's stun, of RFC 3489."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, ["stun", REFLECTOR_A])

    def verdict(self) -> str:
        """What follows "Primary:", without what it says of ports and hairpin."""
        found = re.search("Primary: ([^\t\n]*)", self.output())
        return re.sub(", (preserves ports|random port).*", "", found[1]) if found else ""


class Pystun3(Tool):
    """As our agent runs it."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(
            lab, [sys.executable, "-m", "natwatch.port.classic", REFLECTOR_A, "3478", PHONE]
        )

    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output())
        return found


def start_coturn(stage: Stage) -> subprocess.Popen[Any]:
    """coturn as an RFC 5780 server on the reflector's addresses, 3478 and 3479.

    Its whole configuration is this file: the one that Debian ships forbids RFC 5780.
    """
    folder = stage.folder
    configuration = folder / "turnserver.conf"
    configuration.write_text(
        f"listening-ip={REFLECTOR_A}\nlistening-ip={REFLECTOR_B}\n"
        "listening-port=3478\nalt-listening-port=3479\n"
        "stun-only\nno-auth\nno-tcp\nno-tls\nno-dtls\nno-cli\n"
        f"log-file=stdout\nuserdb={folder}/turn.db\npidfile={folder}/turn.pid\n"
    )
    process = stage.spawn("coturn", "provider", ["turnserver", "-c", str(configuration)])
    _listens(stage, "coturn")
    return process


def start_stund(stage: Stage) -> subprocess.Popen[Any]:
    """Debian's stund, of RFC 3489, on the same addresses and ports."""
    process = stage.spawn(
        "stund", "provider", [STUND, "-h", REFLECTOR_A, "-a", REFLECTOR_B, "-p", "3478"]
    )
    _listens(stage, "stund")
    return process


def _listens(stage: Stage, name: str) -> None:
    wanted = [f"{a}:{port}" for a in (REFLECTOR_A, REFLECTOR_B) for port in (3478, 3479)]

    def listening() -> bool:
        sockets = stage.lab.run("provider", ["ss", "-uln"])
        return all(endpoint in sockets for endpoint in wanted)

    wait_for(listening, 20, f"{name} to listen", lambda: stage.log(name))


def agent(stage: Stage, name: str, interpreter: str, *arguments: str) -> subprocess.Popen[Any]:
    """Our agent's command on host phone, with --json; see result()."""
    argv = [*INTERPRETERS[interpreter], "-m", "natwatch", *arguments, "--json"]
    return stage.spawn(name, "phone", argv, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[Any]) -> dict[str, Any]:
    """What our agent's command printed, and "status", its exit code."""
    text = process.communicate(timeout=240)[0]
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    found["status"] = process.returncode
    return found


def start_bad_server(stage: Stage, fault: str) -> subprocess.Popen[Any]:
    """tests/interop/bad_servers.py on the same addresses and ports."""
    argv = [sys.executable, "-m", "tests.interop.bad_servers", fault]
    process = stage.spawn("bad-server", "provider", argv, cwd=ROOT)
    _listens(stage, "bad-server")
    return process

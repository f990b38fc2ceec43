"""Customers' lines as they are, and what a check must say of each: nothing missed or invented.

The truth is set here, in real NATs, firewalls, resolvers, adapters and registrars; the verdict is
read from `natwatch check --json`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.lab import Lab, LabError
from tests.lab.nat import R2
from tests.lab.resolver import ROUTER, Address, start_resolver
from tests.lab.stage import Stage, wait_for
from tests.lab.topology import (
    ADAPTER,
    CARRIER,
    CARRIER_ADAPTER,
    ELSEWHERE,
    HOME,
    HOME_ADAPTER,
    HOME_USERNAT,
    OPEN,
    REGISTRAR,
    SHARED,
    Topology,
)
from tests.lab.translator import INDEPENDENT, Behaviour
from tests.lab.usernat import UserNat

# Notes: worth knowing, and nothing to be done. Any NAT may have the first three.
USUAL_NOTES = frozenset({"nat.filtering.inbound", "nat.ports.changed", "nat.binding.thin"})
USER, PASSWORD = "7495", "right-one"
NAME = "7495.operator.example"

Site = dict[str, Any]
Report = dict[str, Any]


class Cost(NamedTuple):
    """Seconds that the check took, and MB of memory at most."""

    seconds: float
    peak: float


@dataclass(frozen=True)
class Scenario:
    """*prepare* sets the truth and gives the fields of the device's configuration that go with it.

    *codes* are the findings that must be told, *notes* those of severity note that must be among
    them; *allowed* may be. *look* gives what is wrong with the evidence, or nothing.
    """

    name: str
    prepare: Callable[[Stage], Site | None]
    codes: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    topology: Topology = HOME
    look: Callable[[Report], str | None] = field(default=lambda report: None)

    def wrong(self, status: int, report: Report, quick: bool = False) -> list[str]:
        """What is missed, invented or else not as it should be, in words. *quick*: with --quick,
        which does not ask for the boxes on the way."""
        told = {finding["code"]: finding["severity"] for finding in report["findings"]}
        serious = {code for code, severity in told.items() if severity != "note"}
        due = {c for c in self.codes | self.notes if not (quick and c.startswith("layers."))}
        faults = [f"missed {code}" for code in sorted(due - set(told))]
        extra = serious - self.codes - self.allowed
        extra |= set(told) - serious - self.notes - self.allowed - USUAL_NOTES
        faults += [f"invented {code}" for code in sorted(extra)]
        verdict, exit_status = ("findings", 1) if self.codes else ("ready", 0)
        if (report["verdict"], status) != (verdict, exit_status):
            faults.append(f"{report['verdict']}, exit {status}")
        look = self.look(report)
        return faults + ([look] if look else [])


def evidence(report: Report, code: str) -> dict[str, Any]:
    """That of the one finding *code*; empty if there is none."""
    found = [finding for finding in report["findings"] if finding["code"] == code]
    return dict(found[0]["evidence"]) if len(found) == 1 else {}


def _timers(udp: int, stream: int | None = None) -> Callable[[Stage], None]:
    return lambda stage: stage.lab.router.set_timers(udp=udp, stream=stream or udp)


def _symmetric(stage: Stage) -> None:
    stage.lab.router.set_mapping("random,fully-random")


def _dropping(ports: str) -> Callable[[Stage], None]:
    return lambda stage: stage.lab.router.set_filter(drop=[("udp", ports)])


def _drops_invite(stage: Stage) -> None:
    # The first bytes of the UDP payload are "INVI".
    rule = "udp dport 5060 @th,64,32 0x494e5649 drop"
    chain = f"chain fussy {{ type filter hook forward priority 1; {rule}\n }}"
    stage.lab.nft("router", "fussy", chain)


def _drops_fragments(stage: Stage) -> None:
    # Before -400, where the kernel puts fragments together.
    rule = "ip frag-off & 0x3fff != 0 drop\n"
    chain = f"chain whole {{ type filter hook prerouting priority -450; {rule} }}"
    stage.lab.nft("router", "whole", chain)


def _spoils_answers(stage: Stage) -> None:
    nat = UserNat(stage.lab, Behaviour(mapping=INDEPENDENT, sip_answers="rewrite"))
    nat.set_timers(udp=60, stream=120)


def _loss(outward: float, inward: float) -> Callable[[Stage], None]:
    return lambda stage: stage.lab.router.set_loss(outward, inward)


def _queue(stage: Stage) -> None:
    """1 Mbit/s outward, and an upload that fills its queue for half of each second."""
    shape = "root tbf rate 1mbit burst 3kb limit 200kb".split()
    stage.lab.run("router", ["tc", "qdisc", "add", "dev", "to-provider", *shape])
    stage.spawn("uploader", "router", [sys.executable, "-c", _UPLOAD, ELSEWHERE])


# It ends by itself after five minutes.
_UPLOAD = """
import socket, sys, time
end = time.monotonic() + 300
upload = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while time.monotonic() < end:
    for _ in range(50):
        upload.sendto(bytes(1200), (sys.argv[1], 9))
    time.sleep(1)
"""


def _adapter(*forwards: tuple[str, int, str, int], udp: int = 30) -> Callable[[Stage], Site]:
    """An adapter without an account; *forwards* as the router has them."""

    def prepare(stage: Stage) -> Site:
        stage.lab.router.set_timers(udp=udp, stream=120 if udp >= 30 else udp)
        stage.lab.router.set_mapping(forwards=forwards)
        stage.start_adapter()
        return {"adapter": {"address": ADAPTER}}

    return prepare


def _account(
    registers: bool = True, password: str = PASSWORD, alive: bool = True, address: str = REGISTRAR
) -> Callable[[Stage], Site]:
    """An account that the box knows with *password*; whether the adapter *registers*, the
    registrar is *alive*, and what *address* the customer's resolver gives for its name."""

    def prepare(stage: Stage) -> Site:
        start_resolver(stage, [Address(NAME, address)])
        if alive:
            stage.start_kamailio({USER: PASSWORD})
        stage.start_adapter(*((USER, PASSWORD) if registers else ()))
        if registers:
            wait_for(
                lambda: stage.bindings(USER), 20, "a registration", lambda: stage.log("adapter")
            )
        account = {"registrar": NAME, "user": USER, "password": password, "domain": REGISTRAR}
        return {
            "adapter": {"address": ADAPTER},
            "account": account,
            "resolvers": [ROUTER],
        }

    return prepare


def _blocked(report: Report) -> str | None:
    blocked = evidence(report, "reach.blocked.rtp").get("blocked")
    return None if blocked == [[8500, 8599], [9999, 9999]] else f"blocked {blocked}"


def _outward_only(report: Report) -> str | None:
    told = evidence(report, "line.loss")
    fair = 5 < (told.get("out") or 0) < 15 and told.get("in") == 0
    return None if fair else f"loss out {told.get('out')} %, in {told.get('in')} %"


def _met(*names: str) -> Callable[[Report], str | None]:
    def look(report: Report) -> str | None:
        states = {row["id"]: row["state"] for row in report["requirements"]}
        poor = [name for name in names if states[name] not in ("met", "noted")]
        return f"not met: {', '.join(poor)}" if poor else None

    return look


def _wide(report: Report) -> str | None:
    return "a thin margin" if evidence(report, "nat.binding.thin") else None


def _boxes(replied: tuple[int, ...], short: int | None = None) -> Callable[[Report], str | None]:
    """Every box was found at its hop, with its timer; and which of them forgets first."""

    def look(report: Report) -> str | None:
        boxes = (report["layers"] or {"boxes": []})["boxes"]
        hops = [(box["first"], box["last"]) for box in boxes]
        if hops != [(hop, hop) for hop in range(1, len(replied) + 1)]:
            return f"boxes at {hops}"
        for box, timer in zip(boxes, replied, strict=True):
            low, high = box["replied"] or (0.0, 0.0)
            if not low - 0.1 <= timer <= (high or timer) + 0.1:
                return f"{low} to {high} s instead of {timer}"
        named = report["layers"]["short"]["replied"]
        return f"box {named} called short" if short is not None and named != short else None

    return look


_FORWARD = ("udp", 5060, ADAPTER, 5060)

SCENARIOS = (
    Scenario("plain NAT, 30/120 s", lambda stage: stage.lab.router.set_filter(allow=R2)),
    Scenario("15 s", _timers(15), codes=frozenset({"nat.binding.short", "layers.router.short"})),
    Scenario("200 s", _timers(200), look=_wide),
    Scenario("symmetric", _symmetric, notes=frozenset({"nat.mapping.dependent"})),
    Scenario(
        "forward of 5060 to the adapter",
        _adapter(_FORWARD),
        notes=frozenset({"forward.works"}),
        topology=HOME_ADAPTER,
        look=_met("R8"),
    ),
    Scenario(
        "the same at 15 s",
        _adapter(_FORWARD, udp=15),
        notes=frozenset({"forward.works", "nat.binding.forwarded"}),
        topology=HOME_ADAPTER,
    ),
    Scenario(
        "5060 dropped on the way out",
        _dropping("5060"),
        codes=frozenset({"reach.blocked.sip"}),
        allowed=frozenset({"keepalive.lost"}),
    ),
    Scenario(
        "8500-8599 and 9999 dropped",
        _dropping("8500-8599, 9999"),
        codes=frozenset({"reach.blocked.rtp"}),
        look=_blocked,
    ),
    Scenario(
        "3478 and 3479 dropped", _dropping("3478, 3479"), codes=frozenset({"reach.blocked.stun"})
    ),
    Scenario(
        "the kernel's SIP ALG",
        lambda stage: stage.lab.router.set_sip_alg(True),
        codes=frozenset({"sip.alg.rewrites", "sip.alg.timer"}),
    ),
    Scenario("an ALG that drops INVITE", _drops_invite, codes=frozenset({"sip.alg.drops"})),
    Scenario(
        "an ALG that rewrites answers alone",
        _spoils_answers,
        # A userspace NAT, which fragments do not pass.
        codes=frozenset({"sip.alg.answers", "line.fragments"}),
        topology=HOME_USERNAT,
    ),
    Scenario(
        "a carrier's NAT behind the customer's",
        lambda stage: None,
        notes=frozenset({"layers.several"}),
        topology=CARRIER,
        look=_boxes((30, 30)),
    ),
    Scenario(
        "a carrier's NAT of 15 s behind the customer's",
        lambda stage: stage.lab.carrier.set_timers(15, 60),
        codes=frozenset({"nat.binding.short"}),
        notes=frozenset({"layers.several"}),
        # Only CPython reads ICMP errors, which show that the second hop is a carrier's.
        allowed=frozenset({"layers.carrier.short", "layers.outer.short"}),
        topology=CARRIER,
        look=_boxes((30, 15), short=1),
    ),
    Scenario(
        "a forward on one of two NATs, 15 s",
        _adapter(_FORWARD, udp=15),
        codes=frozenset({"nat.binding.short", "layers.router.short", "forward.missing"}),
        notes=frozenset({"layers.several"}),
        topology=CARRIER_ADAPTER,
        look=_boxes((15, 30), short=0),
    ),
    Scenario(
        "a public address, no NAT",
        lambda stage: None,
        codes=frozenset({"address.outside", "nat.none"}),
        topology=OPEN,
    ),
    Scenario(
        "100.64/10 on the LAN",
        lambda stage: None,
        codes=frozenset({"address.outside"}),
        topology=SHARED,
    ),
    Scenario("2 % loss each way", _loss(0.02, 0.02), codes=frozenset({"line.loss"})),
    Scenario(
        "10 % loss outward only",
        _loss(0.1, 0),
        codes=frozenset({"line.loss"}),
        allowed=frozenset({"voice.poor"}),
        look=_outward_only,
    ),
    Scenario(
        "5 % loss each way, a healthy NAT",
        _loss(0.05, 0.05),
        codes=frozenset({"line.loss"}),
        look=_met("R2", "R5", "R6"),
    ),
    Scenario(
        "a queue of half a second outward",
        _queue,
        codes=frozenset({"line.delay"}),
        allowed=frozenset({"line.jitter", "voice.poor"}),
    ),
    Scenario("fragments dropped", _drops_fragments, codes=frozenset({"line.fragments"})),
    Scenario(
        "adapter registered",
        _account(),
        notes=frozenset({"forward.none"}),
        topology=HOME_ADAPTER,
        look=_met("R7", "R9"),
    ),
    Scenario(
        "adapter not registered",
        _account(registers=False),
        codes=frozenset({"sip.unregistered"}),
        notes=frozenset({"forward.none"}),
        topology=HOME_ADAPTER,
    ),
    Scenario(
        "wrong SIP password",
        _account(password="wrong-one"),
        codes=frozenset({"sip.account.refused"}),
        notes=frozenset({"forward.none"}),
        topology=HOME_ADAPTER,
    ),
    Scenario(
        "registrar down",
        _account(registers=False, alive=False),
        codes=frozenset({"sip.registrar.silent"}),
        notes=frozenset({"forward.none"}),
        topology=HOME_ADAPTER,
    ),
    Scenario(
        "DNS with a wrong address",
        _account(registers=False, address=ELSEWHERE),
        codes=frozenset({"dns.wrong"}),
        notes=frozenset({"forward.none"}),
        topology=HOME_ADAPTER,
    ),
)


def ask(
    scenario: Scenario, interpreter: str, *options: str, device: str = "box"
) -> tuple[int, Report, Cost]:
    """(exit status, report, what it cost) of one check on the line that *scenario* describes."""
    with Lab(scenario.topology) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        site = scenario.prepare(stage) or {}
        began = time.monotonic()
        process = stage.check(device, interpreter, *options, site=site)
        peak = 0.0
        while True:
            try:
                out, _ = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, _peak(process.pid))
        if not out:
            raise LabError(f"expected a report, found none:\n{stage.log(device)}")
        cost = Cost(time.monotonic() - began, peak)
        return process.returncode, json.loads(out), cost


def _peak(pid: int) -> float:
    """The most memory that the process had, MB (10^6)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6 if "VmHWM" in fields else 0.0

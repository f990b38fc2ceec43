"""UserNat: a NAT in a process of its own, of kinds that Linux's conntrack cannot be.

    with Lab(HOME_USERNAT) as lab:
        nat = UserNat(lab, Behaviour(mapping=INDEPENDENT, refresh_inbound=False))
        nat.set_timers(udp=5, stream=12)

It stands where the topology names its userspace host, joined to the two neighbours by a TUN
device each, and is the only hop between them. Packets that are neither UDP nor TCP, fragments
and ICMP errors among them, do not pass. Setters as Nat's where the names are the same; each
states its whole aspect.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.lab.lab import Lab, LabError
from tests.lab.nat import Binding
from tests.lab.topology import PUBLIC
from tests.lab.translator import Behaviour

_ROOT = Path(__file__).resolve().parents[2]
# Packets that may wait for the process; the kernel's 500 overflow when the machine is busy.
_QUEUE = 5000


class UserNat:
    """Ends with the lab. *pool* are its public addresses, of 203.0.113.0/24."""

    def __init__(
        self,
        lab: Lab,
        behaviour: Behaviour | None = None,
        pool: tuple[str, ...] = (PUBLIC,),
    ) -> None:
        host = lab.topology.userspace
        if host is None:
            raise LabError("expected a topology with a userspace host, found none; see topology.py")
        inner = next(link for link in lab.topology.links if link.outer == host)
        outer = next(link for link in lab.topology.links if link.inner == host)
        settings = {"behaviour": asdict(behaviour or Behaviour()), "pool": pool}
        device = f"to-{host}"
        self._process = lab.spawn(
            inner.inner,
            [
                *(sys.executable, "-m", "tests.lab.tunnel"),
                *(f"/run/netns/{inner.inner}", device, f"/run/netns/{outer.outer}", device),
                json.dumps(settings),
            ],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        for end, address in (
            (inner.inner, inner.inner_address),
            (outer.outer, outer.outer_address),
        ):
            lab.run(end, ["ip", "address", "add", address, "dev", device])
            lab.run(end, ["ip", "link", "set", device, "txqueuelen", str(_QUEUE), "up"])
        lab.set_link(inner.inner, host, True)  # with the default route

    def set_timers(
        self,
        udp: float = 30,
        stream: float = 120,
        ports: Mapping[int, tuple[float, float]] | None = None,
        addresses: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Seconds; *ports* as (udp, stream) a destination port, for new bindings only;
        *addresses* the same for a public address, where no port's timers hold."""
        self._call(
            "set_timers",
            _milliseconds((udp, stream)),
            {port: _milliseconds(timers) for port, timers in (ports or {}).items()},
            {address: _milliseconds(timers) for address, timers in (addresses or {}).items()},
        )

    def set_loss(
        self, outward: float = 0.0, inward: float = 0.0, burst: tuple[float, float] | None = None
    ) -> None:
        """Shares of packets lost on the line beyond the NAT, at random: sent ones have passed
        the NAT (and refreshed it), coming ones have not. *burst*: (length, period) in seconds;
        from now on, each period begins with a burst in which nothing passes, either way."""
        self._call("set_loss", outward, inward, burst and _milliseconds(burst))

    def restart(self) -> None:
        """Forgets every binding, as a router does that was switched off and on."""
        self._call("restart")

    def change_address(self, *pool: str) -> None:
        """Other public addresses, as after a new dial-up; every binding is forgotten."""
        self._call("change_address", *pool)

    def bindings(self) -> list[Binding]:
        """The ground truth, least recently used first. With a mapping that is not address-and-
        port-dependent, the destination is that of the first packet only."""
        return [Binding(*fields) for fields in self._call("bindings")]

    def counters(self) -> dict[str, int]:
        """Packets since the start by what became of them, as Translator names it."""
        found: dict[str, int] = self._call("counters")
        return found

    def _call(self, verb: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # _answer says so
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError("expected an answer of the userspace NAT, found it ended; see above")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"userspace NAT: {answer['error']}")
        return answer["result"]


def _milliseconds(seconds: tuple[float, float]) -> tuple[int, int]:
    return round(seconds[0] * 1000), round(seconds[1] * 1000)

"""Boxes in a row whose timers are known, and what `natwatch layers` must say of them."""

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.lab.lab import Lab, LabError
from tests.lab.stage import Stage
from tests.lab.topology import (
    CARRIER,
    CARRIER_USERNAT,
    HOME_ROUTABLE,
    HOME_USERNAT,
    PLAIN,
    PLAIN_FIRST,
    THREE,
    Topology,
)
from tests.lab.translator import Behaviour
from tests.lab.usernat import UserNat

Report = dict[str, Any]

STATES = ("replied", "stream")  # as nf_conntrack_udp_timeout and …_stream
_WITHIN = 1.0  # s
# What a box whose stream timer is this has as its other one, so that both are searched for.
_REPLIED = {15: 15, 30: 15, 60: 30, 120: 30}

_TOPOLOGIES: dict[str, tuple[Topology, tuple[int, ...]]] = {
    "one": (HOME_ROUTABLE, (1,)),
    "two": (CARRIER, (1, 2)),
    "three": (THREE, (1, 2, 3)),
    "plain between": (PLAIN, (1, 3)),
    "plain first": (PLAIN_FIRST, (2,)),
    "TTL first": (HOME_USERNAT, (1,)),
    "outer TTL first": (CARRIER_USERNAT, (1, 2)),
}


@dataclass(frozen=True)
class Row:
    """*kind*: a name of the table above. *streams*: the stream timers, s, of the boxes from the
    probe outward. *replied*: the other timers, where the usual ones will not do."""

    kind: str
    streams: tuple[int, ...]
    replied: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}: {', '.join(str(one) for one in self.streams)}"

    @property
    def topology(self) -> Topology:
        return _TOPOLOGIES[self.kind][0]

    @property
    def kernels(self) -> bool:
        """Whether every box is a kernel: then hops must be exact."""
        return self.topology.userspace is None

    def timers(self, state: str) -> list[int]:
        if state == "stream":
            return list(self.streams)
        return list(self.replied or [_REPLIED[one] for one in self.streams])

    def longest(self) -> int:
        return max(self.timers("stream") + self.timers("replied"))

    def wrong(self, report: Report) -> list[str]:
        """What of *report* is not as it is."""
        faults: list[str] = []
        hops, first = _TOPOLOGIES[self.kind][1], 0
        if not self.kernels and self.streams[0] >= self.streams[-1] and len(hops) > 1:
            # A router that looks at the TTL first hides what stands inside of it and keeps longer.
            hops, first = hops[1:], 1
            if not report["hidden"] or report["complete"]:
                faults.append("nothing is said to be hidden")
        boxes = report["boxes"]
        if report["count"] != len(hops):
            return [f"{report['count']} boxes instead of {len(hops)}"]
        for number, (box, hop) in enumerate(zip(boxes, hops, strict=True)):
            last = box["first"] + (0 if self.kernels else 1)
            if not box["first"] <= hop <= box["last"] <= last:
                faults.append(f"hop {box['first']}-{box['last']} instead of {hop}")
            for state in STATES:
                timer, bracket = self.timers(state)[first + number], box[state]
                if bracket is None or bracket[1] is None:
                    faults.append(f"hop {hop} {state}: {bracket} instead of {timer}")
                elif abs(sum(bracket) / 2 - timer) > _WITHIN:
                    faults.append(f"hop {hop} {state}: {bracket[0]}-{bracket[1]}, not {timer}")
        if report["agree"] is False:
            faults.append("the evidence disagrees")
        return faults


def ask(row: Row, interpreter: str) -> tuple[int, Report, float]:
    """(exit status, report, seconds) of `natwatch layers --json` on the line of *row*."""
    with Lab(row.topology) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        _set_timers(lab, row)
        if row.topology.userspace != "router" and row.kind != "plain first":
            stage.start_miniupnpd()
        began = time.monotonic()
        process = stage.one_shot("box", interpreter, "layers", "--json")
        out, _ = process.communicate()
        if not out:
            raise LabError(f"expected a report, found none:\n{stage.log('box')}")
        return process.returncode, json.loads(out), time.monotonic() - began


def _set_timers(lab: Lab, row: Row) -> None:
    pairs = zip(row.timers("replied"), row.timers("stream"), strict=True)
    kernels = iter(lab.topology.nats)
    for number, (replied, stream) in enumerate(pairs):
        if lab.topology.userspace is not None and number == len(row.streams) - 1:
            UserNat(lab, Behaviour(ttl_first=True)).set_timers(replied, stream)
        else:
            lab.nats[next(kernels)].set_timers(replied, stream)

"""The search that other tools do, for comparison: double until it dies, then bisect.

One binding at a time, with the same teeth as natwatch's own search, so that only the search
differs. Run on a host of the lab: python -m tests.bench.bisection ADDRESS DEVICE KEY CLASS STATE
"""

import json
import sys

from natwatch import port
from natwatch.daemon.loop import Loop
from natwatch.probes.engine import port_of
from natwatch.probes.session import Session
from natwatch.probes.teeth import ALIVE, UNKNOWN, Teeth

_RESOLUTION = 1000  # ms
_FIRST = 2000  # ms


def search(address: str, device: str, key: bytes, klass: str, state: str) -> dict[str, object]:
    session = Session(device, key, address, port.random)
    loop = Loop(session)
    began = port.now()
    loop.start(session, began)
    teeth = Teeth(session, port_of(klass, session.random), state, 10)
    loop.start(_Passive(teeth), began)
    lo, hi, ask = 0, 0, _FIRST
    while not hi or hi - lo > _RESOLUTION:
        teeth.add(ask)
        finished = []
        while not finished:
            loop.turn(200)
            finished = teeth.take_finished()
        if finished[0].phase == UNKNOWN:
            continue
        if finished[0].phase == ALIVE:
            lo = ask
        else:
            hi = ask
        ask = (lo + hi) // 2 if hi else lo * 2
    return {
        "lo": lo / 1000,
        "hi": hi / 1000,
        "seconds": (port.now() - began) / 1000,
        "bindings": teeth.bindings,
        "bytes": teeth.bytes + session.bytes,
    }


class _Passive:
    """Teeth as an engine that asks nothing by itself."""

    done = False

    def __init__(self, teeth: Teeth) -> None:
        for name in ("receive", "notice", "next_timer", "handle_timer", "take_sends"):
            setattr(self, name, getattr(teeth, name))

    def start(self, now: int) -> None:
        pass


if __name__ == "__main__":
    address, device, key, klass, state = sys.argv[1:]
    print(json.dumps(search(address, device, bytes.fromhex(key), klass, state)))

"""A SIP registrar for the lab only: python -m tests.lab.registrar --help

One UDP socket around tests/unit/sip_registrar.py, which knows the right answers and the wrong
ones. It says "ready", then one JSON line a request: who asked, and whether it could have changed
a registration.
"""

import argparse
import importlib
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Its modules import one another by bare name, as MicroPython needs it.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
simulated: Any = importlib.import_module("sip_registrar")

_LARGEST = 65535


class Registrar:
    """Answers at *endpoint*, (address, port); *core* decides what.

    *origin* is the port that answers are sent from, where it shall be a wrong one.
    """

    def __init__(
        self, endpoint: tuple[str, int], core: Any, origin: int | None, say: Callable[[str], None]
    ) -> None:
        self._core = core
        self._say = say
        self._socket = _bound(endpoint)
        self._origin = self._socket if origin is None else _bound((endpoint[0], origin))

    def serve_forever(self) -> None:
        while True:
            data, source = self._socket.recvfrom(_LARGEST)
            known = len(self._core.requests)
            answers = self._core.receive(data, source, int(time.monotonic()))
            for method, message in self._core.requests[known:]:
                self._say(json.dumps(_told(method, message, source)))
            for answer in answers:
                self._origin.sendto(answer, source)


def _told(method: str, message: Any, source: tuple[str, int]) -> dict[str, Any]:
    names = ("authorization", "proxy-authorization")
    return {
        "method": method,
        "source": source,
        "contact": message.get("contact"),
        "expires": message.get("expires"),
        "credentials": any(message.get(name) for name in names),
    }


def _bound(endpoint: tuple[str, int]) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(endpoint)
    return bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--users", type=json.loads, default={}, help='JSON: {"user": "password"}')
    parser.add_argument(
        "--switches", type=json.loads, default={}, help="JSON: attributes of the simulated one"
    )
    parser.add_argument("--misbehave", choices=sorted(simulated.MISBEHAVIOURS))
    parser.add_argument("--origin", type=int, help="the port that answers come from")
    given = parser.parse_args()
    core = simulated.Registrar(given.users)
    core.mangle = simulated.MISBEHAVIOURS.get(given.misbehave)
    for name, value in given.switches.items():
        if not hasattr(core, name):
            parser.error(f"expected a switch of the simulated registrar, found {name}")
        setattr(core, name, value)
    registrar = Registrar(
        (given.address, given.port), core, given.origin, lambda line: print(line, flush=True)
    )
    print("ready", flush=True)
    registrar.serve_forever()


if __name__ == "__main__":
    main()

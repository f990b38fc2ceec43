"""The process of a UserNat: a Translator between two TUN devices, driven by JSON lines.

    python -m tests.lab.tunnel NAMESPACE DEVICE NAMESPACE DEVICE SETTINGS

The inner side comes first; SETTINGS is JSON: Behaviour's fields under "behaviour", and "pool".
The first line on standard output says {"result": null} when both devices are there. Then each
line [verb, argument…] on standard input is answered by one {"result": …}; errors come as
{"error": sentence}. Packets that were sent before a command are translated before it.
"""

import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from typing import Any

from tests.lab.container import join_network
from tests.lab.translator import INNER, OUTER, Behaviour, Timers, Translator

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000  # no four bytes of protocol before each packet
_LARGEST = 65_535
# Packets of one device before the other's turn and the commands': else a flood starves them.
_AT_ONCE = 64


def open_tun(namespace: str, device: str) -> int:
    """The descriptor of a new TUN device in that network namespace, non-blocking."""
    there = os.open(namespace, os.O_RDONLY)
    try:
        join_network(there)
    finally:
        os.close(there)
    # A TUN device belongs to the namespace in which /dev/net/tun was opened.
    tun = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


class Tunnel:
    """Carries packets between the two devices for as long as standard input is open."""

    def __init__(self, inner: int, outer: int, translator: Translator) -> None:
        self._sides = {INNER: inner, OUTER: outer}
        self._translator = translator

    def run(self) -> None:
        poll = select.poll()
        for descriptor in (*self._sides.values(), sys.stdin.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            for side, descriptor in self._sides.items():
                if descriptor in ready:
                    self._carry(side)
            if sys.stdin.fileno() in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                while self._carry(INNER) or self._carry(OUTER):
                    pass
                say(result=self._obey(*json.loads(line)))

    def _carry(self, side: str) -> bool:
        """Translates what waits at *side*; whether there was anything."""
        source = self._sides[side]
        translate = self._translator.from_inside if side == INNER else self._translator.from_outside
        for count in range(_AT_ONCE):
            try:
                data = os.read(source, _LARGEST)
            except BlockingIOError:
                return count > 0
            sent = translate(data, now())
            if sent is not None:
                try:
                    os.write(self._sides[sent[0]], sent[1])
                except OSError:
                    self._translator.counters["link_down"] += 1
        return True

    def _obey(self, verb: str, *arguments: Any) -> Any:
        if verb == "bindings":
            return self._translator.bindings(now())
        if verb == "counters":
            return self._translator.counters
        if verb == "set_timers":
            everywhere, ports, addresses = arguments
            self._translator.set_timers(
                Timers(*everywhere),
                {int(port): Timers(*timers) for port, timers in ports.items()},
                {address: Timers(*timers) for address, timers in addresses.items()},
            )
        elif verb == "set_loss":
            outward, inward, burst = arguments
            self._translator.set_loss(now(), outward, inward, burst)
        elif verb == "change_address":
            self._translator.change_address(tuple(arguments))
        elif verb == "restart":
            self._translator.restart()
        else:
            raise ValueError(f"expected a verb of this program, found {verb}")
        return None


def now() -> int:
    return time.monotonic_ns() // 1_000_000


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    settings = json.loads(sys.argv[5])
    try:
        inner, outer = open_tun(*sys.argv[1:3]), open_tun(*sys.argv[3:5])
    except OSError as error:
        say(
            error=f"expected to open {_TUN}, found: {error.strerror or error}; run the lab as root,"
            " or let ordinary users open it (mode 0666), with the kernel module tun loaded"
        )
        return 1
    translator = Translator(
        Behaviour(**settings["behaviour"]), tuple(settings["pool"]), random.Random(), now()
    )
    say(result=None)
    Tunnel(inner, outer, translator).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

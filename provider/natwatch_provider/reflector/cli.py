"""natwatch-reflector: read the options, open the ports, serve until told to stop."""

import argparse
import ipaddress
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from natwatch.diagnosis import profile
from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.keyfile import KeyFileError, read_master
from natwatch_provider.reflector.layout import Layout
from natwatch_provider.reflector.siblings import Siblings
from natwatch_provider.reflector.sockets import Ports, Signals, SocketsError, open_ports
from natwatch_provider.reflector.workers import WorkerDied, Workers

MAX_PROCESSES = 64  # each tells all others of every control request


def log(text: str) -> None:
    """One line on stderr, where service managers look."""
    print(f"natwatch-reflector: {text}", file=sys.stderr, flush=True)


def wall() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an IPv4 address, found {text!r}") from None


def _processes(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PROCESSES:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected 1 to {MAX_PROCESSES}, found {text!r}")


def _profile(path: str) -> dict[str, Any]:
    """The ports of the operator's profile, as Layout takes them."""
    try:
        ports = profile.load(path)["ports"]
    except profile.ProfileError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if len(ports["stun"]) != 2:
        # RFC 5780 knows a port and an alternate one.
        found = len(ports["stun"])
        text = f"profile {path}: field ports.stun: expected two ports, found {found}"
        raise argparse.ArgumentTypeError(text)
    low, high = ports["rtp"]
    stun, alternate = ports["stun"]
    return {
        "stun": stun,
        "alternate": alternate,
        "sip": ports["sip"],
        "media": range(low, high + 1),
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="natwatch-reflector",
        description="The far end of natwatch's probes, on 3478, 3479, 5060 and 8000-10000 (UDP),"
        " or on the ports that the operator's profile names.",
        usage="%(prog)s --address A --address B --key-file F [--profile P] [--processes N]"
        " [--no-amplification]",
        epilog="Counters are logged as JSON on SIGUSR1 and at the end. Exit code 0: stopped;"
        " 1: a port or an address cannot be had, or one of the processes died;"
        " 2: wrong arguments or key file.",
    )
    parser.add_argument(
        "--address", action="append", required=True, type=_address, metavar="A",
        help="an IPv4 address of this machine; give two, in different halves of the network",
    )  # fmt: skip
    parser.add_argument(
        "--key-file", required=True, metavar="F",
        help="the reflector master key: 32 bytes or more in hex, not readable by others",
    )  # fmt: skip
    parser.add_argument(
        "--profile", type=_profile, metavar="P",
        help="the operator's profile (JSON, docs/configuration.md), for its ports",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=_processes, default=1, metavar="N",
        help="share the work among N processes, by the source address of what comes (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--no-amplification", action="store_true",
        help="give strangers no answer that is longer than their request: short requests, as"
        " RFC 5780's usual clients send, have none then",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if len(set(options.address)) != 2 or len(options.address) != 2:
        given = " and ".join(options.address)
        parser.error(f"expected --address twice, for two different addresses, found {given}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the reflector; returns the exit status (0 stopped, 1 no ports, 2 wrong input)."""
    options = _options(arguments)
    try:
        master = read_master(options.key_file)
    except KeyFileError as error:
        log(str(error))
        return 2
    first, second = options.address
    layout = Layout((first, second), **(options.profile or {}))
    try:
        ports = open_ports(layout, options.processes)
    except SocketsError as error:
        log(str(error))
        return 1
    # Drawn once: to a device all processes are one reflector.
    secret, boot_id = os.urandom(32), os.urandom(8)

    def build(siblings: Siblings | None = None) -> Reflector:
        return Reflector(
            layout, master, secret, boot_id, wall,
            siblings=siblings, no_amplification=options.no_amplification,
        )  # fmt: skip

    ready = f"ready on {first} and {second}, {len(layout.endpoints())} ports"
    if options.processes == 1:
        return _alone(ports[0], build(), ready)
    return _shared(ports, build, ready)


def _alone(ports: Ports, reflector: Reflector, ready: str) -> int:
    signals = Signals([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    log(ready)
    ports.serve(reflector, signals.wake, lambda: _goes_on(signals.read(), reflector.counters.copy))
    ports.close()
    _log_counters(reflector.counters)
    return 0


def _shared(ports: list[Ports], build: Callable[[Siblings], Reflector], ready: str) -> int:
    workers = Workers(ports, build)
    signals = Signals([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD])
    log(f"{ready}, {len(ports)} processes")
    status = 0
    try:
        workers.watch(signals, lambda arrived: _goes_on(arrived, workers.counters))
    except WorkerDied as death:
        log(f"{death}; the others are ended, since its devices are served by nobody. Start again")
        status = 1
    _log_counters(workers.end())
    return status


def _goes_on(arrived: list[int], counters: Callable[[], Counter[str]]) -> bool:
    """Do what the signals say; whether to go on."""
    if signal.SIGUSR1 in arrived:
        _log_counters(counters())
    return not {signal.SIGTERM, signal.SIGINT} & set(arrived)


def _log_counters(counters: Counter[str]) -> None:
    log("counters " + json.dumps(counters, sort_keys=True))


if __name__ == "__main__":
    sys.exit(main())

"""natwatch-reflector: read the options, open the ports, serve until told to stop."""

import argparse
import ipaddress
import json
import os
import signal
import sys
import time

from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.keyfile import KeyFileError, read_master
from natwatch_provider.reflector.layout import Layout
from natwatch_provider.reflector.sockets import Ports, Signals, SocketsError


def log(text: str) -> None:
    """One line on stderr, where service managers look."""
    print(f"natwatch-reflector: {text}", file=sys.stderr, flush=True)


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an IPv4 address, found {text!r}") from None


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="natwatch-reflector",
        description="The far end of natwatch's probes, on 3478, 3479, 5060 and 8000-10000 (UDP).",
        usage="%(prog)s --address A --address B --key-file F",
        epilog="Counters are logged as JSON on SIGUSR1 and at the end. Exit code 0: stopped;"
        " 1: a port or an address cannot be had; 2: wrong arguments or key file.",
    )
    parser.add_argument(
        "--address", action="append", required=True, type=_address, metavar="A",
        help="an IPv4 address of this machine; give two, in different halves of the network",
    )  # fmt: skip
    parser.add_argument(
        "--key-file", required=True, metavar="F",
        help="the reflector master key: 32 bytes or more in hex, not readable by others",
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
    layout = Layout((first, second))
    try:
        ports = Ports(layout)
    except SocketsError as error:
        log(str(error))
        return 1
    reflector = Reflector(
        layout, master, os.urandom(32), os.urandom(8), lambda: time.time_ns() // 1_000_000
    )
    signals = Signals([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])

    def log_counters() -> None:
        log("counters " + json.dumps(reflector.counters, sort_keys=True))

    def on_signal() -> bool:
        arrived = signals.read()
        if signal.SIGUSR1 in arrived:
            log_counters()
        return not {signal.SIGTERM, signal.SIGINT} & set(arrived)

    log(f"ready on {first} and {second}, {len(layout.endpoints())} ports")
    ports.serve(reflector, signals.wake, on_signal)
    ports.close()
    log_counters()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""natwatch-noc: what the probes see, as tables for people and as JSON for programs."""

import argparse
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any, TextIO

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from natwatch_provider.registrar.kamailio import Kamailio, RegistrarError
from natwatch_provider.store import devices, overview, quarantine
from natwatch_provider.store.database import Database, what_it_said

from . import page, registration
from .page import calls_arrive, verdict
from .tables import age, lifetime, moment, table

EXAMPLES = """\
examples:
  natwatch-noc --database sqlite:////var/lib/natwatch/natwatch.db devices
  export NATWATCH_DATABASE=postgresql:///natwatch
  natwatch-noc device home-1
  natwatch-noc lifetimes home-1 --limit 50
  natwatch-noc alerts --all --json
  natwatch-noc quarantine home-1
  natwatch-noc registration home-1 --registrar http://192.0.2.5:5080/RPC --user 7001

Tables show local time; JSON has UTC seconds since 1970. Exit code 0: shown; 1: the database
cannot be read, or the device is not known; 2: wrong arguments. That of registration is its
answer: natwatch-noc registration --help.
"""

REGISTRATION = """\
Is the phone registered, from where and until when, and is that the line the probe is on. Asks
the location table of Kamailio (JSON-RPC over HTTP), not the phone and not the customer's line.
"""

REGISTRATION_EXAMPLES = """\
examples:
  natwatch-noc registration home-1 --registrar http://192.0.2.5:5080/RPC --user 7001
  natwatch-noc registration home-1 --registrar https://sip.example/RPC --user 7001@sip.example
  natwatch-noc registration home-1 --registrar http://192.0.2.5:5080 --user 7001 --json

The domain is needed where the registrar serves several. Exit code 0: registered from the public
address that the probe has reported last; 1: not registered, or from elsewhere only; 2: wrong
arguments; 3: cannot be told, since the registrar or the database cannot be asked (within 5 s),
or one of the two addresses is not known.
"""


class Failed(Exception):
    """What was asked cannot be shown; the sentence says why."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    address = options.database or os.environ.get("NATWATCH_DATABASE")
    if not address:
        return _complain("expected --database URL or NATWATCH_DATABASE, found neither", 2)
    try:
        database = Database(address)
    except ValueError as error:
        return _complain(f"--database: {error}", 2)
    try:
        trouble = database.schema_trouble()
        if trouble:
            raise Failed(trouble)
        with database.reading() as connection:
            found = options.read(connection, options)
    except (Failed, RegistrarError) as error:
        return _complain(str(error), options.failed)
    except SQLAlchemyError as error:
        text = f"database {database} cannot be read: {what_it_said(error)}"
        return _complain(text, options.failed)
    finally:
        database.close()
    _print(found, options)
    return int(options.code(found))


def _print(found: Any, options: argparse.Namespace) -> None:
    try:
        if options.json:
            print(json.dumps(found, indent=2))
        else:
            options.show(found, time.time(), sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(sentence: str, code: int) -> int:
    print(f"natwatch-noc: {sentence}", file=sys.stderr)
    return code


def _read_devices(connection: Connection, _options: argparse.Namespace) -> list[overview.Row]:
    return overview.devices(connection)


def _show_devices(found: list[overview.Row], now: float, out: TextIO) -> None:
    if not found:
        print("no device has been heard of yet", file=out)
        return
    rows = [
        [
            one["id"],
            "online" if one["online"] else "offline",
            age(one["last_seen"], now),
            calls_arrive(one["resident"], now),
            verdict(one["check"], now),
            one["severity"] or "-",
            lifetime(one["lo"], one["hi"]),
            one["state"] or "-",
            age(one["measured"], now),
        ]
        for one in found
    ]
    titles = ["DEVICE", "NOW", "SEEN", "CALLS ARRIVE", "VERDICT", "ALERT"]
    titles += ["SIP LIFETIME", "STATE", "AGE"]
    table(titles, rows, out)


def _read_device(connection: Connection, options: argparse.Namespace) -> overview.Row:
    _known(connection, options.device)
    return overview.page(connection, options.device)


def _read_lifetimes(connection: Connection, options: argparse.Namespace) -> dict[str, Any]:
    _known(connection, options.device)
    return {
        "device": options.device,
        "keys": overview.keys(connection, options.device),
        "measurements": overview.lifetimes(connection, options.device, options.limit),
    }


def _known(connection: Connection, name: str) -> None:
    if not devices.known(connection, name):
        raise Failed(
            f"expected a device that has reported, found {name!r}, which has not; "
            "natwatch-noc devices lists them"
        )


def _show_lifetimes(found: dict[str, Any], now: float, out: TextIO) -> None:
    if not found["measurements"]:
        print(f"{found['device']} has not reported a lifetime yet", file=out)
        return
    keys = [
        [
            one["class"],
            one["state"],
            lifetime(one["lo"], one["hi"]),
            "-" if one["baseline_lo"] is None else lifetime(one["baseline_lo"], one["baseline_hi"]),
            age(one["measured"], now),
            one["gateway"] or "-",
            one["public"] or "-",
        ]
        for one in found["keys"]
    ]
    titles = ["PORT", "STATE", "LIFETIME", "BASELINE", "MEASURED", "GATEWAY", "PUBLIC"]
    table(titles, keys, out)
    print(file=out)
    rows = [
        [
            moment(one["measured"]),
            one["class"],
            one["state"],
            lifetime(one["lo"], one["hi"]),
            one["method"],
            f"{one['alive']} alive, {one['expired']} dead, {one['unknown']} unknown",
            f"{one['seconds']:.0f} s, {one['bindings']} bindings, {one['bytes']} bytes",
            one["reason"] or "",
        ]
        for one in found["measurements"]
    ]
    titles = ["TIME", "PORT", "STATE", "LIFETIME", "METHOD", "TEETH", "COST", "WHY UNKNOWN"]
    table(titles, rows, out)


def _read_alerts(connection: Connection, options: argparse.Namespace) -> list[overview.Row]:
    return overview.alerts(connection, options.all)


def _show_alerts(found: list[overview.Row], now: float, out: TextIO) -> None:
    if not found:
        print("no alert", file=out)
        return
    rows = [
        [
            str(one["id"]),
            one["severity"],
            one["kind"],
            one["device"],
            f"{one['class']} {one['state']}",
            lifetime(one["old_lo"], one["old_hi"]),
            lifetime(one["new_lo"], one["new_hi"]),
            f"{age(one['raised'], now)} ago",
            _end(one, now),
        ]
        for one in found
    ]
    titles = ["ALERT", "SEVERITY", "KIND", "DEVICE", "KEY", "OLD", "NEW", "RAISED", "CLEARED"]
    table(titles, rows, out)
    print(file=out)
    for one in found:
        print(textwrap.fill(f"{one['id']}: {one['text']}", 100, subsequent_indent="   "), file=out)


def _end(one: overview.Row, now: float) -> str:
    if one["cleared"] is None:
        return "open"
    return f"{age(one['cleared'], now)} ago, {one['cleared_by']}"


def _read_quarantine(connection: Connection, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "messages": quarantine.messages(connection, options.device, options.limit),
        "gone": quarantine.gone(connection, options.device),
    }


def _show_quarantine(found: dict[str, Any], now: float, out: TextIO) -> None:
    if not found["messages"]:
        print("nothing is in quarantine", file=out)
    else:
        rows = [
            [
                one["device"],
                f"{age(one['last'], now)} ago",
                str(one["times"]),
                one["reason"],
                "-" if one["boot"] is None else f"{one['boot']} {one['seq']}",
                str(one["size"]),
                one["detail"] or one["topic"],
            ]
            for one in found["messages"]
        ]
        table(["DEVICE", "LAST", "TIMES", "REASON", "REPORT", "BYTES", "WHAT"], rows, out)
    for one in found["gone"]:
        print(
            f"{one['device']}: {one['messages']} have made room for newer ones; {one['reports']} "
            "of them had been acknowledged and are lost",
            file=out,
        )


def _read_registration(connection: Connection, options: argparse.Namespace) -> dict[str, Any]:
    _known(connection, options.device)
    return registration.read(connection, options.device, options.registrar, options.user)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser = argparse.ArgumentParser(
        prog="natwatch-noc",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--database", metavar="URL", help="that of the collector (NATWATCH_DATABASE)"
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, read: Callable[..., Any], show: Callable[..., None], text: str) -> Any:
        made = verbs.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(read=read, show=show, failed=1, code=lambda _found: 0)
        return made

    verb("devices", _read_devices, _show_devices, "every device, and how it is")
    one = verb("device", _read_device, page.show, "how one device is, on one page")
    one.add_argument("device", metavar="DEVICE", help="its id")
    one = verb("lifetimes", _read_lifetimes, _show_lifetimes, "what a device measured")
    one.add_argument("device", metavar="DEVICE", help="its id")
    one.add_argument("--limit", type=_limit, default=20, help="measurements shown (20)")
    alerts = verb("alerts", _read_alerts, _show_alerts, "alerts that are open")
    alerts.add_argument("--all", action="store_true", help="those that are cleared as well")
    one = verb("quarantine", _read_quarantine, _show_quarantine, "what came and could not be read")
    one.add_argument("device", nargs="?", metavar="DEVICE", help="its id (all); ?: sent by nobody")
    one.add_argument("--limit", type=_limit, default=50, help="messages shown (50)")
    one = verb(
        "registration", _read_registration, registration.show, "whether a phone is registered"
    )
    one.description, one.epilog = REGISTRATION, REGISTRATION_EXAMPLES
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    one.set_defaults(failed=registration.UNKNOWN, code=registration.code)
    one.add_argument("device", metavar="DEVICE", help="the probe beside the phone")
    one.add_argument(
        "--registrar", required=True, type=_registrar, metavar="URL", help="where JSON-RPC answers"
    )
    one.add_argument(
        "--user", required=True, type=_user, metavar="USER", help="as USER or USER@DOMAIN"
    )
    return parser


def _registrar(text: str) -> Kamailio:
    try:
        return Kamailio(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _user(text: str) -> str:
    if not re.fullmatch(r"[^\s:@<>]+(@[^\s:@<>]+)?", text):
        raise argparse.ArgumentTypeError(f"expected USER or USER@DOMAIN, found {text!r}")
    return text


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100000, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: natwatch run | lifetime. Exit codes: 0 done, 1 no result, 2 usage or
configuration, 3 the reflector cannot be reached, 130 interrupted."""

import json
import sys
import time

from natwatch import VERSION, config, port
from natwatch.daemon.loop import Loop
from natwatch.daemon.service import progress, sentence
from natwatch.probes.engine import CLASSES
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.session import Session
from natwatch.wire.auth import valid_device_id

_HELP = """natwatch %s: how long does this network's NAT keep a UDP binding?

usage: natwatch run --config FILE
       natwatch lifetime --reflector ADDRESS --device ID --key-file FILE [options]
       natwatch --version | --help

run        measure without pause and report to the provider's broker
  --config FILE        the device's configuration (JSON; see docs/configuration.md)

lifetime   measure once, print, end
  --reflector ADDRESS  numeric address of the reflector
  --device ID          this device's id
  --key-file FILE      file with the device's reflector key, 64 hex digits
  --class CLASS        udp/sip (default) or udp/stun
  --state STATE        oneway, replied or stream (default)
  --limit SECONDS      search no further than this (default 600)
  --json               print the result as JSON

examples:
  natwatch lifetime --reflector ADDRESS --device nw-000001 --key-file nw-000001.key
  natwatch lifetime --reflector ADDRESS --device nw-000001 --key-file nw-000001.key \\
      --class udp/stun --state oneway --limit 180 --json
  natwatch run --config /etc/natwatch.json

exit codes: 0 done, 1 measured but unknown, 2 usage or configuration, 3 reflector not reached
"""

_NO_REFLECTOR = 15000  # ms of trouble with the reflector that end a one-shot measurement
_AWAY = 90000  # ms of it, once the reflector has answered
_PROGRESS = 1000  # ms between two progress lines on a terminal; ten times that elsewhere


class UsageError(Exception):
    """The command line cannot be understood; the text is one sentence for the user."""


def options(arguments, known):
    """{name: value} of "--name value" *arguments*; *known* maps name to default (False: a flag)."""
    values = dict(known)
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument not in known:
            raise UsageError("unknown option %s; expected one of %s" % (argument, ", ".join(known)))
        if known[argument] is False:
            values[argument] = True
            position += 1
            continue
        if position + 1 >= len(arguments):
            raise UsageError("option %s: expected a value, found nothing" % argument)
        values[argument] = arguments[position + 1]
        position += 2
    return values


def say(text):
    """One log line on standard error, with the local time."""
    t = time.localtime()
    write_log("%02d:%02d:%02d %s\n" % (t[3], t[4], t[5], text))


def write_log(text):
    """Write *text* to standard error; a full disk behind it must not end the measuring."""
    try:
        sys.stderr.write(text)
    except (OSError, AttributeError):  # AttributeError: it was closed before we started
        pass


def tell(text):
    """Write *text* to standard output. Whether somebody took it."""
    try:
        sys.stdout.write(text)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()
        return True
    except (OSError, AttributeError):
        port.discard_output()
        return False


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or "--help" in arguments or "-h" in arguments:
        tell(_HELP % VERSION)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        return 0 if tell("natwatch %s (%s)\n" % (VERSION, port.interpreter)) else 1
    command = {"run": run, "lifetime": lifetime}.get(arguments[0])
    try:
        if command is None:
            raise UsageError("unknown command %s; expected run or lifetime" % arguments[0])
        return command(arguments[1:])
    except (UsageError, config.ConfigError) as error:
        write_log("natwatch: %s\n" % error)
        return 2
    except KeyboardInterrupt:
        return 130


def run(arguments):
    """natwatch run: the daemon."""
    # Imported here: one measurement needs none of it, and a router's memory is small.
    from natwatch.daemon import assembly

    path = options(arguments, {"--config": None})["--config"]
    if path is None:
        raise UsageError("run: expected --config FILE, found nothing")
    settings = config.load(path)
    boot = port.random(8).hex()
    service = assembly.assemble(settings, boot, say)
    port.end_on_termination()
    service.start()
    try:
        while True:
            service.turn()
    except KeyboardInterrupt:
        say("stopping")
        return 0
    finally:
        service.close()


def _positive(text, name, low, high):
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise UsageError("option %s: expected %d to %d, found %s" % (name, low, high, text))
    return value


def _key(path):
    try:
        with open(path) as source:
            text = source.read().strip()
    except OSError as error:
        raise UsageError("%s: cannot be read: %s" % (path, config.unreadable(error)))
    except (ValueError, UnicodeError):
        text = ""
    if not config.key(text):
        raise UsageError("%s: expected 64 hex digits, found something else" % path)
    return bytes.fromhex(text)


def lifetime(arguments):
    """natwatch lifetime: one measurement."""
    given = options(
        arguments,
        {
            "--reflector": None,
            "--device": None,
            "--key-file": None,
            "--class": "udp/sip",
            "--state": "stream",
            "--limit": "600",
            "--json": False,
        },
    )
    for name in ("--reflector", "--device", "--key-file"):
        if given[name] is None:
            raise UsageError("lifetime: expected %s, found nothing" % name)
    checks = (
        ("--reflector", config.address, "a numeric IPv4 address"),
        ("--device", valid_device_id, "1 to 64 characters of A-Z a-z 0-9 - _"),
        ("--class", lambda value: value in CLASSES, "one of " + ", ".join(sorted(CLASSES))),
        ("--state", lambda value: value in config.STATES, "one of " + ", ".join(config.STATES)),
    )
    for name, good, expected in checks:
        if not good(given[name]):
            raise UsageError("option %s: expected %s, found %s" % (name, expected, given[name]))
    limit = _positive(given["--limit"], "--limit", 5, 890)
    key = _key(given["--key-file"])
    session = Session(given["--device"], key, given["--reflector"], port.random)
    engine = Lifetime(session, (given["--class"], given["--state"]), limit * 1000, 64, 10)
    result = _measure(session, engine)
    if result is None:
        write_log("natwatch: %s; nothing was measured\n" % session.trouble)
        return 3
    result.pop("measurement")
    told = tell((json.dumps(result) if given["--json"] else sentence(result)) + "\n")
    return 0 if told and result["lo"] is not None else 1


def _measure(session, engine):
    """Run *engine* to its end, with progress. The last result, or None without a reflector."""
    loop = Loop(session)
    shown = Progress()
    try:
        reached = port.now()
        loop.start(session, reached)
        loop.start(engine, reached)
        result = None
        while not engine.done:
            loop.turn(200)
            now = port.now()
            if session.trouble is None:
                reached = now
            elif now - reached > (_NO_REFLECTOR if session.boot is None else _AWAY):
                return None
            shown.show(session.trouble or progress(engine.progress(now)), now)
            result = (engine.take_results() or [result])[-1]
        return result
    finally:
        shown.end()
        loop.close()


class Progress:
    """One line that is rewritten on a terminal, or a line every ten seconds elsewhere."""

    def __init__(self):
        self._terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        self._next = None
        self._width = 0

    def show(self, text, now):
        if self._next is None:
            self._next = now + _PROGRESS
        if now < self._next:
            return
        if self._terminal:
            self._next = now + _PROGRESS
            padding = " " * max(0, self._width - len(text))
            self._width = len(text)
            write_log("\r" + text + padding)
        else:
            self._next = now + 10 * _PROGRESS
            write_log(text + "\n")

    def end(self):
        if self._terminal and self._width:
            write_log("\n")

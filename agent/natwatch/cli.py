"""The command line: natwatch run | check | lifetime | nat | advice.

Exit codes: 0 done, 1 no result or findings, 2 usage or configuration, 3 the reflector cannot be
reached, 130 interrupted.
"""

import json
import os
import sys
import time

from natwatch import VERSION, config, port
from natwatch.document import plain
from natwatch.oneshot import write_log
from natwatch.probes.session import CLASSES
from natwatch.wire.auth import valid_device_id

_HELP = """natwatch %s: what does this network's NAT do to UDP, and how long does it keep a binding?

usage: natwatch run --config FILE
       natwatch check --config FILE [--quick] [--lang en|ru] [--html FILE] [--json]
       natwatch check --reflector ADDRESS --device ID --key-file FILE --profile FILE [...]
       natwatch lifetime TARGET [--class CLASS] [--state STATE] [--limit SECONDS] [--json]
       natwatch layers --reflector ADDRESS --device ID --key-file FILE [--limit SECONDS] [--json]
       natwatch nat TARGET [--json]
       natwatch advice --reflector ADDRESS --device ID --key-file FILE [--limit SECONDS] [--json]
       natwatch --version | --help

TARGET is a natwatch reflector, which every result can be trusted with:
  --reflector ADDRESS  its numeric address
  --device ID          this device's id
  --key-file FILE      file with the device's reflector key, 64 hex digits
or somebody else's STUN server (RFC 5780), where less can be known; the result says what:
  --server ADDRESS     numeric address, or ADDRESS:PORT (default port 3478)

run        measure without pause and report to the provider's broker
  --config FILE        the device's configuration (JSON; see docs/configuration.md)

check      is this line ready for telephony? Every requirement of the operator, with what was
           found and what to do; takes four to six times as long as the NAT keeps a binding, or some
           four minutes more where a router on the way translates nothing, and sends from port
           5060 for some seconds
  --config FILE        the device's configuration: its reflector, profile, adapter and account;
                       instead of --reflector, --device and --key-file
  --profile FILE       the operator's profile (JSON; see docs/configuration.md)
  --quick              under a minute, with a sample of the voice ports; the report says what
                       was left out
  --lang en|ru         language of the report (default: the locale's)
  --html FILE          write it as one HTML file to mail as well

lifetime   how long a binding lives; measure once, print, end
  --class CLASS        udp/sip (default), udp/stun or udp/rtp; not with --server
  --state STATE        oneway, replied, stream (default) or refreshed; with --server
                       replied or stream
  --limit SECONDS      search no further than this (default 600)

layers     which box forgets: how many NATs stand on the way, at which hop, and how long each
           keeps a binding that was answered once (replied) and one in use (stream); what the
           router tells of itself by UPnP, NAT-PMP and PCP beside it.
           Takes two to four times as long as the longest-keeping box, or about four minutes
           where a router on the way translates nothing
  --limit SECONDS      search no further than this (default 600)
  --lang en|ru         language of the answer (default: the locale's)

nat        mapping, filtering, external addresses, ports, hairpin (RFC 4787, RFC 5780), and
           beside it the classic name of RFC 3489

advice     the keepalive interval that keeps a phone reachable here, and which kinds of
           keepalive arrive

every command but run takes --json: print the result as JSON

examples:
  natwatch lifetime --reflector ADDRESS --device nw-000001 --key-file nw-000001.key
  natwatch lifetime --reflector ADDRESS --device nw-000001 --key-file nw-000001.key \\
      --class udp/stun --state oneway --limit 180 --json
  natwatch layers --reflector ADDRESS --device nw-000001 --key-file nw-000001.key
  natwatch nat --server ADDRESS:3478
  natwatch check --config /etc/natwatch.json --html report.html
  natwatch check --reflector ADDRESS --device nw-000001 --key-file nw-000001.key \\
      --profile enforta.json --quick --lang ru
  natwatch run --config /etc/natwatch.json

exit codes: 0 done (check: ready), 1 measured but unknown (check: findings, or unknown), 2 usage
or configuration, 3 reflector not reached
"""


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
    write_log("%02d:%02d:%02d %s\n" % (t[3], t[4], t[5], plain(text)))


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
    port.accept_any_output()
    if not arguments or "--help" in arguments or "-h" in arguments:
        tell(_HELP % VERSION)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        return 0 if tell("natwatch %s (%s)\n" % (VERSION, port.interpreter)) else 1
    commands = {
        "run": run,
        "check": check,
        "lifetime": lifetime,
        "layers": layers,
        "nat": nat,
        "advice": advice,
    }
    command = commands.get(arguments[0])
    try:
        if command is None:
            text = "unknown command %s; expected run, check, lifetime, layers, nat or advice"
            raise UsageError(text % arguments[0])
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
    from natwatch.daemon.supervision import GaveUp
    from natwatch.diagnosis.profile import ProfileError
    from natwatch.port.notify import Notify

    path = options(arguments, {"--config": None})["--config"]
    if path is None:
        raise UsageError("run: expected --config FILE, found nothing")
    settings = config.load(path)
    boot = port.random(8).hex()
    try:
        service = assembly.assemble(settings, boot, say)
    except ProfileError as error:
        raise UsageError("%s: field profile: %s" % (path, error))
    port.end_on_termination()
    systemd = Notify()
    try:
        service.start()
        systemd.ready(port.now())
        while True:
            service.turn()
            systemd.turned(port.now())
    except KeyboardInterrupt:
        say("stopping")
        return 0
    except GaveUp as error:
        say("ending, to be started again: %s" % error)
        return 1
    finally:
        systemd.stopping()
        service.close()
        systemd.close()


def _number(text, name, low, high):
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


_TARGET = {"--reflector": None, "--device": None, "--key-file": None, "--server": None}


def _target(command, given):
    """("reflector", (address, device, key)) or ("server", (address, port)), as *given*."""
    if given.get("--server") is not None:
        for name in ("--reflector", "--device", "--key-file"):
            if given[name] is not None:
                raise UsageError("option %s: expected none beside --server" % name)
        address, colon, number = given["--server"].partition(":")
        if not config.address(address):
            text = "option --server: expected a numeric IPv4 address, found %s"
            raise UsageError(text % given["--server"])
        return "server", (address, _number(number if colon else "3478", "--server", 1, 65535))
    for name in ("--reflector", "--device", "--key-file"):
        if given[name] is None:
            more = "" if "--server" not in given or name != "--reflector" else " (or --server)"
            raise UsageError("%s: expected %s%s, found nothing" % (command, name, more))
    for name, good, expected in (
        ("--reflector", config.address, "a numeric IPv4 address"),
        ("--device", valid_device_id, "1 to 64 characters of A-Z a-z 0-9 - _"),
    ):
        if not good(given[name]):
            raise UsageError("option %s: expected %s, found %s" % (name, expected, given[name]))
    key = _key(given["--key-file"])
    return "reflector", (given["--reflector"], given["--device"], key)


def check(arguments):
    """natwatch check: every requirement of the operator, once."""
    from natwatch import checkup
    from natwatch.diagnosis import profile

    known = {name: _TARGET[name] for name in _TARGET if name != "--server"}
    known.update({"--config": None, "--profile": None, "--quick": False, "--lang": None})
    known.update({"--html": None, "--json": False})
    given = options(arguments, known)
    target, site = _site(given)
    if given["--profile"] is None:
        raise UsageError("check: expected --profile FILE (or --config with one), found nothing")
    language = _language(given["--lang"])
    try:
        chosen = profile.load(given["--profile"])
    except profile.ProfileError as error:
        raise UsageError(str(error))
    colour = hasattr(sys.stdout, "isatty") and sys.stdout.isatty()
    if given["--html"] is not None:
        try:  # before minutes of measuring
            open(given["--html"], "ab").close()
        except OSError as error:
            reason = config.unreadable(error)
            raise UsageError("%s: cannot be written: %s" % (given["--html"], reason))
    outcome = checkup.check(
        target, chosen, site, given["--quick"], language, colour, given["--html"]
    )
    return _outcome(outcome, given["--json"])


def _site(given):
    """(target, what is known of the customer's line) of a check; from --config where *given*,
    which then also names the profile."""
    from natwatch.port.refusal import Refusal

    if given["--config"] is None:
        _, target = _target("check", given)
        return target, {"adapter": None, "account": None, "resolvers": None, "refusal": None}
    for name in ("--reflector", "--device", "--key-file"):
        if given[name] is not None:
            raise UsageError("option %s: expected none beside --config" % name)
    settings = config.load(given["--config"])
    given["--profile"] = given["--profile"] or settings["profile"]
    reflector = settings["reflector"]
    target = (reflector["address"], settings["device"], bytes.fromhex(reflector["key"]))
    site = {name: settings[name] for name in ("adapter", "account", "resolvers")}
    site["refusal"] = Refusal(given["--config"] + ".refused")
    return target, site


def _language(given):
    """The language *given*, or else what the locale asks for, of what there is."""
    from natwatch.diagnosis.texts import LANGUAGES

    if given is not None and given not in LANGUAGES:
        expected = " or ".join(LANGUAGES)
        raise UsageError("option --lang: expected %s, found %s" % (expected, given))
    if given is not None:
        return given
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.getenv(name)
        if value:
            return "ru" if value.startswith("ru") else "en"
    return "en"


def lifetime(arguments):
    """natwatch lifetime: one measurement."""
    from natwatch import commands

    known = dict(_TARGET)
    known.update({"--class": None, "--state": "stream", "--limit": "600", "--json": False})
    given = options(arguments, known)
    kind, target = _target("lifetime", given)
    classes, states = sorted(CLASSES), config.STATES + (config.REFRESHED,)
    if kind == "server":
        states = commands.FOREIGN_STATES
        if given["--class"] is not None:
            raise UsageError("option --class: expected none with --server, whose port decides")
    port_class = given["--class"] or "udp/sip"
    for name, value, allowed in (
        ("--class", port_class, classes),
        ("--state", given["--state"], states),
    ):
        if value not in allowed:
            expected = "one of " + ", ".join(allowed)
            raise UsageError("option %s: expected %s, found %s" % (name, expected, value))
    limit = _number(given["--limit"], "--limit", 5, 890)
    return _outcome(
        commands.lifetime(kind, target, (port_class, given["--state"]), limit * 1000),
        given["--json"],
    )


def nat(arguments):
    """natwatch nat: the NAT's behaviour, once."""
    from natwatch import commands

    known = dict(_TARGET)
    known["--json"] = False
    given = options(arguments, known)
    kind, target = _target("nat", given)
    return _outcome(commands.nat(kind, target), given["--json"])


def layers(arguments):
    """natwatch layers: which box on the way forgets first."""
    from natwatch import commands

    known = {name: _TARGET[name] for name in _TARGET if name != "--server"}
    known.update({"--limit": "600", "--lang": None, "--json": False})
    given = options(arguments, known)
    limit = _number(given["--limit"], "--limit", 30, 890)
    language = _language(given["--lang"])
    _, target = _target("layers", given)
    return _outcome(commands.layers(target, limit * 1000, language), given["--json"])


def advice(arguments):
    """natwatch advice: the keepalive that keeps a phone reachable, from measurements made now."""
    from natwatch import commands

    known = {name: _TARGET[name] for name in _TARGET if name != "--server"}
    known.update({"--limit": "600", "--json": False})
    given = options(arguments, known)
    limit = _number(given["--limit"], "--limit", 30, 890)
    _, target = _target("advice", given)
    return _outcome(commands.advice(target, limit * 1000), given["--json"])


def _outcome(outcome, as_json):
    """Print an outcome of commands; the exit code."""
    if outcome.result is None:
        write_log("natwatch: %s; nothing was measured\n" % outcome.trouble)
        return 3
    text = json.dumps(outcome.result) if as_json else "\n".join(outcome.lines)
    return 0 if tell(text + "\n") and outcome.known else 1

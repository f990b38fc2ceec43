"""The device's configuration: one JSON file, checked field by field.

What is wrong is told in one sentence that names the field, what was expected and what was found.
docs/configuration.md lists the fields for people; the table below is what decides.
"""

from natwatch import document
from natwatch.daemon.journal import PER_DAY
from natwatch.daemon.spool import FLUSH
from natwatch.document import plain, shown
from natwatch.probes.keepalives import KINDS
from natwatch.probes.refreshed import REFRESHED
from natwatch.probes.session import CLASSES
from natwatch.probes.teeth import ONEWAY, REPLIED, STREAM
from natwatch.wire.auth import valid_device_id
from natwatch.wire.ipv4 import number_of

STATES = (ONEWAY, REPLIED, STREAM)  # those that can be watched without pause
_REQUIRED = object()


class ConfigError(ValueError):
    """The configuration cannot be used; the text is one sentence for the user."""


def unreadable(error):
    """Why a file cannot be read, in words (MicroPython's OSError has a number only)."""
    reasons = {2: "no such file", 13: "no permission", 21: "it is a folder"}
    return reasons.get(error.errno, "error %s" % error.errno)


def _text(value):
    return isinstance(value, str) and 0 < len(value) < 4096 and document.sound(value)


def _port(value):
    return _integer(1, 65535)(value)


def _integer(low, high):
    def check(value):
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check


def address(value):
    """Whether *value* is a numeric IPv4 address."""
    return number_of(value) is not None


def key(value):
    """Whether *value* is a device's reflector key: 64 hex digits."""
    try:
        return isinstance(value, str) and len(value) == 64 and len(bytes.fromhex(value)) == 32
    except ValueError:
        return False


def _keys(states, empty):
    """A check of a list of [class, state] with these *states*; *empty*: whether it may be."""

    def check(value):
        if not isinstance(value, list) or not (value or empty):
            return False
        for entry in value:
            if not isinstance(entry, list) or len(entry) != 2:
                return False
            if not isinstance(entry[0], str) or entry[0] not in CLASSES or entry[1] not in states:
                return False
            if value.count(entry) > 1:
                return False
        return True

    return check


def _boolean(value):
    return isinstance(value, bool)


def _resident_port(value):
    # Not 5060: the adapter's own binding may live there (docs/method.md, "Whose port").
    return _integer(1024, 65535)(value) and value != 5060


def _host(value):
    """A host's name (RFC 1123) or numeric address."""
    if not _text(value) or len(value) > 253:
        return False
    labels = value.split(".")
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
    return not [
        label
        for label in labels
        if not 0 < len(label) < 64 or [one for one in label if one not in allowed]
    ]


def _plain(value):
    """Text that may stand in a SIP header: no line ends, quotes or blanks in it."""
    return _text(value) and not [one for one in value if one <= " " or one in '"<>@;,\\']


def _addresses(value):
    return isinstance(value, list) and bool(value) and not [v for v in value if not address(v)]


_ADDRESS = "a numeric IPv4 address"
_HOST = "a host's name or numeric address"
_PATH = "the path of a PEM file"
_EVERY = "seconds from 0 (0: never) to 604800"

# section -> field -> (check, what is expected, default). A default of None may also be written.
_BROKER = {
    "host": (address, _ADDRESS, _REQUIRED),
    "port": (_port, "a port from 1 to 65535", 8883),
    "server_name": (_text, "the name in the broker's certificate", None),
}
_SECTIONS = {
    "reflector": {
        "address": (address, _ADDRESS, _REQUIRED),
        "key": (key, "64 hex digits", _REQUIRED),
    },
    "tls": {
        "ca": (_text, _PATH, _REQUIRED),
        "certificate": (_text, _PATH, _REQUIRED),
        "key": (_text, _PATH, _REQUIRED),
    },
    "budget": {
        "bindings": (_integer(32, 1000), "an integer from 32 to 1000", 64),
        "bytes_per_day": (_integer(0, 10**12), "an integer from 0 (0: no limit)", 5000000),
        "packets_per_second": (_integer(2, 2000), "an integer from 2 to 2000", 200),
    },
    "resident": {
        "port": (_resident_port, "a port from 1024 to 65535, but not 5060", 5062),
        "keepalive": (
            lambda value: value in sorted(KINDS),
            "one of " + ", ".join(sorted(KINDS)),
            "crlf",
        ),
        "interval_s": (_integer(1, 3600), "seconds from 1 to 3600", 20),
        "expires_s": (_integer(60, 890), "seconds from 60 to 890", 600),
    },
    "adapter": {
        "address": (address, _ADDRESS, _REQUIRED),
        "port": (_port, "a port from 1 to 65535", 5060),
    },
    "account": {
        "registrar": (_host, _HOST, _REQUIRED),
        "port": (_port, "a port from 1 to 65535", 5060),
        "user": (_plain, "a SIP user name without blanks", _REQUIRED),
        "password": (_text, "a text", None),
        "domain": (_host, _HOST, None),
    },
    "spool": {
        "path": (_text, "the path of a folder", _REQUIRED),
        "bytes": (_integer(65536, 2**30), "bytes from 65536 to 1073741824", 4194304),
        "flush_s": (_integer(1, 86400), "seconds from 1 to 86400", FLUSH),
        "bytes_per_day": (_integer(0, 10**12), "an integer from 0 (0: no limit)", PER_DAY),
    },
    "keepalive": {
        "least_s": (_integer(1, 3600), "seconds from 1 to 3600", 20),
        "most_s": (_integer(1, 3600), "seconds from 1 to 3600", 170),
        "answered": (_boolean, "true or false, or null where nobody knows", None),
    },
}
_TOP = {
    "device": (valid_device_id, "1 to 64 characters of A-Z a-z 0-9 - _", _REQUIRED),
    "profile": (_text, "the path of a provider profile", None),
    "resolvers": (_addresses, "a list of numeric IPv4 addresses", None),
    "search_limit_s": (_integer(5, 890), "seconds from 5 to 890", 600),
    "watch": (
        _keys(STATES, False),
        'a list of [class, state], each once, for example [["udp/sip", "stream"]]; '
        "classes %s; states %s" % (", ".join(sorted(CLASSES)), ", ".join(STATES)),
        [["udp/sip", STREAM], ["udp/sip", REPLIED]],
    ),
    "check": (
        _keys(STATES + (REFRESHED,), True),
        "a list of [class, state] like watch, or []; also state " + REFRESHED,
        None,
    ),
    "check_every_s": (_integer(60, 604800), "seconds from 60 to 604800", 21600),
    "survey_every_s": (_integer(0, 604800), _EVERY, 21600),
    "layers_every_s": (_integer(0, 604800), _EVERY, 86400),
    "reach_every_s": (_integer(0, 604800), _EVERY, 900),
    "sweep_every_s": (_integer(0, 604800), _EVERY, 86400),
    "media_every_s": (_integer(0, 604800), _EVERY, 3600),
    "health_every_s": (_integer(0, 604800), _EVERY, 3600),
}
_OPTIONAL_SECTIONS = ("tls", "budget", "resident", "keepalive", "adapter", "account", "spool")
_ABSENT_SECTIONS = ("tls", "adapter", "account", "spool")  # None unless they are there


def load(path):
    """The configuration in the file *path*, complete with defaults. Raises ConfigError."""
    try:
        value = document.read(path)
    except OSError as error:
        raise ConfigError("%s: cannot be read: %s" % (path, unreadable(error)))
    except document.DocumentError as error:
        raise ConfigError("%s: %s" % (path, error))
    try:
        return check(value)
    except ConfigError as error:
        raise ConfigError("%s: %s" % (path, error))


def check(value):
    """*value* with its defaults filled in. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError("expected an object, found %s" % type(value).__name__)
    result = _fields("", value, _TOP, list(_SECTIONS) + ["brokers"])
    for section in _SECTIONS:
        given = value.get(section)
        if given is None:
            if section not in _OPTIONAL_SECTIONS:
                raise ConfigError("field %s: expected an object, found nothing" % section)
            # Written as null it switches the resident flow off.
            off = section in _ABSENT_SECTIONS or (section == "resident" and section in value)
            given = None if off else {}
        result[section] = None if given is None else _section(section, given)
    if result["keepalive"]["least_s"] > result["keepalive"]["most_s"]:
        raise ConfigError("field keepalive.least_s: expected at most keepalive.most_s")
    if result["check"] is None:
        result["check"] = others(result["watch"])
    both = [entry for entry in result["check"] if entry in result["watch"]]
    if both:
        raise ConfigError("field check: %r stands in watch already" % (both[0],))
    result["brokers"] = _brokers(value.get("brokers", []))
    if result["brokers"] and "tls" not in value:
        raise ConfigError(
            "field tls: expected an object (or null, to speak MQTT in the clear), found nothing"
        )
    return result


def others(watched):
    """Every [class, state] that is not among *watched*, in a fixed order."""
    keys = [[one, state] for state in STATES + (REFRESHED,) for one in sorted(CLASSES)]
    return [key for key in keys if key not in watched]


def _section(name, value):
    if not isinstance(value, dict):
        raise ConfigError("field %s: expected an object, found %s" % (name, shown(value)))
    return _fields(name + ".", value, _SECTIONS[name])


def _brokers(value):
    if not isinstance(value, list):
        raise ConfigError("field brokers: expected a list of objects, found %s" % shown(value))
    result = []
    for index, entry in enumerate(value):
        name = "brokers[%d]" % index
        if not isinstance(entry, dict):
            raise ConfigError("field %s: expected an object, found %s" % (name, shown(entry)))
        result.append(_fields(name + ".", entry, _BROKER))
    return result


def _fields(prefix, value, table, others=()):
    """What *table* says of the object *value*; *others* are fields that are checked elsewhere."""
    known = list(table) + list(others)
    for field in value:
        if field not in known:
            raise ConfigError(
                "field %s%s: unknown; expected one of %s"
                % (prefix, plain(field[:40]), ", ".join(known))
            )
    result = {}
    for field in table:
        good, expected, default = table[field]
        if field not in value or (value[field] is None and default is None):
            if default is _REQUIRED:
                text = "field %s%s: expected %s, found nothing"
                raise ConfigError(text % (prefix, field, expected))
            result[field] = default
        elif good(value[field]):
            result[field] = value[field]
        else:
            raise ConfigError(
                "field %s%s: expected %s, found %s" % (prefix, field, expected, shown(value[field]))
            )
    return result

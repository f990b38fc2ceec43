"""The provider profile: all that differs between one telephony operator and another.

One JSON object, the same for the device and for the provider's side: networks, ports, ranges,
names. No code knows an operator; another one is another file (docs/configuration.md).
"""

from natwatch import document
from natwatch.document import plain, shown
from natwatch.wire.ipv4 import network_of

_LONGEST = 86400  # s
_LARGEST = 1 << 24  # addresses: a /8 is the largest that anybody has
_NETWORKS = 64
_TEXT = 200  # characters
_STUN = 8  # ports
# Voice ports. A push from "another port than the one asked" needs two; every one is a socket of the
# reflector and is asked once a day by each probe, and no operator has more than half of all ports.
_VOICE_LEAST, _VOICE_MOST = 2, 32768


class ProfileError(ValueError):
    """The profile cannot be used; the text is one sentence that names the field."""


def load(path):
    """The profile in the JSON file *path*, as check() gives it. Raises ProfileError."""
    try:
        value = document.read(path)
    except OSError as error:
        reason = {2: "no such file", 13: "no permission", 21: "it is a folder"}.get(error.errno)
        text = "profile %s: expected a readable file, found: %s"
        raise ProfileError(text % (path, reason or "error %s" % error.errno))
    except document.DocumentError as error:
        raise ProfileError("profile %s: %s" % (path, error))
    try:
        return check(value)
    except ProfileError as error:
        raise ProfileError("profile %s: %s" % (path, error))


def check(value):
    """The profile *value*, checked. Raises ProfileError.

    The result: ``name``; ``network`` and ``inner``, (first, last) address as numbers, and a list
    of such; ``ports``, {"sip": port, "stun": [port, …], "rtp": (lowest, highest)};
    ``keepalive_s``, {"min", "max", "default"}; ``register_least_s``; ``line``, {"loss_percent",
    "delay_ms", "jitter_ms", "mos_least"}; ``support``, {"phone", "mail"}.
    """
    top = _object("the file", value, ("name", "network", "ports", "inner") + _OF_PHONES)
    ports = _object("field ports", top.get("ports"), ("sip", "stun", "rtp"))
    phones = _object("field keepalive_s", top.get("keepalive_s"), ("min", "max", "default"))
    line = _object("field line", top.get("line"), [name for name, _, _ in _LINE])
    support = _object("field support", top.get("support"), ("phone", "mail"))
    inner = top.get("inner")
    if not isinstance(inner, list) or not 0 < len(inner) <= _NETWORKS:
        text = "field inner: expected a list of 1 to %d networks, found %s"
        raise ProfileError(text % (_NETWORKS, shown(inner)))
    profile = {
        "name": _text("name", top.get("name")),
        "network": _network("network", top.get("network")),
        "inner": [_network("inner", entry) for entry in inner],
        "ports": _ports(ports),
        "keepalive_s": {
            name: _seconds("keepalive_s." + name, phones.get(name))
            for name in ("min", "max", "default")
        },
        "register_least_s": _seconds("register_least_s", top.get("register_least_s")),
        "line": {
            name: _number("line." + name, line.get(name), low, high) for name, low, high in _LINE
        },
        "support": {
            name: _text("support." + name, support.get(name)) for name in ("phone", "mail")
        },
    }
    networks = [("network", profile["network"])]
    _apart(networks + [("inner", network) for network in profile["inner"]])
    low, high = profile["keepalive_s"]["min"], profile["keepalive_s"]["max"]
    default = profile["keepalive_s"]["default"]
    if not low <= default <= high:
        text = "field keepalive_s.default: expected %s to %s seconds, as min and max say, found %s"
        raise ProfileError(text % (low, high, default))
    return profile


_OF_PHONES = ("keepalive_s", "register_least_s", "line", "support")
# What a line must keep to carry a call: share lost and jitter of each direction, delay one way.
_LINE = (
    ("loss_percent", 0, 100),
    ("delay_ms", 1, 10000),
    ("jitter_ms", 1, 10000),
    ("mos_least", 1, 4.5),
)


def _object(what, value, fields):
    if not isinstance(value, dict):
        raise ProfileError("%s: expected an object, found %s" % (what, shown(value)))
    prefix = "" if what == "the file" else what[len("field ") :] + "."
    for field in value:
        if field not in fields:
            text = "field %s%s: expected one of %s, found a name that is not known"
            raise ProfileError(text % (prefix, plain(field[:40]), ", ".join(fields)))
    return value


def _text(field, value):
    if not isinstance(value, str) or not value:
        raise ProfileError("field %s: expected a text, found %s" % (field, shown(value)))
    if len(value) > _TEXT or not document.sound(value):
        text = "field %s: expected at most %d characters, no control characters, found %s"
        raise ProfileError(text % (field, _TEXT, shown(value)))
    return value


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _seconds(field, value):
    if not _is_integer(value) or not 1 <= value <= _LONGEST:
        text = "field %s: expected seconds from 1 to %d, found %s"
        raise ProfileError(text % (field, _LONGEST, shown(value)))
    return value


def _number(field, value, low, high):
    if not (_is_integer(value) or isinstance(value, float)) or not low <= value <= high:
        text = "field %s: expected a number from %s to %s, found %s"
        raise ProfileError(text % (field, low, high, shown(value)))
    return value


def _network(field, value):
    network = network_of(value)
    if network is None:
        text = "field %s: expected a network by its first address, such as 192.0.2.0/24, found %s"
        raise ProfileError(text % (field, shown(value)))
    if network[1] - network[0] >= _LARGEST:
        text = "field %s: expected a network of /8 or smaller, found %s"
        raise ProfileError(text % (field, shown(value)))
    return network


def classes(profile):
    """The ports of *profile* by port class, as probes.session wants them."""
    ports = profile["ports"]
    sip, stun = ports["sip"], ports["stun"][0]
    return {"udp/sip": (sip, sip), "udp/stun": (stun, stun), "udp/rtp": ports["rtp"]}


def _apart(networks):
    """Refuse networks, [(field, (first, last)), …], of which two share an address."""
    for index, (field, network) in enumerate(networks):
        for other, taken in networks[:index]:
            if network[0] <= taken[1] and taken[0] <= network[1]:
                text = "field %s: expected networks that do not overlap, found one that overlaps %s"
                raise ProfileError(text % (field, other))


def _port(field, value):
    if not _is_integer(value) or not 1 <= value <= 65535:
        text = "field %s: expected a port from 1 to 65535, found %s"
        raise ProfileError(text % (field, shown(value)))
    return value


def _ports(ports):
    stun, rtp = ports.get("stun"), ports.get("rtp")
    if not isinstance(stun, list) or not 0 < len(stun) <= _STUN:
        text = "field ports.stun: expected a list of 1 to %d ports, found %s"
        raise ProfileError(text % (_STUN, shown(stun)))
    if not isinstance(rtp, list) or len(rtp) != 2:
        text = "field ports.rtp: expected [lowest, highest], found %s"
        raise ProfileError(text % shown(rtp))
    low, high = [_port("ports.rtp", value) for value in rtp]
    if low > high:
        raise ProfileError("field ports.rtp: expected the lowest port first, found %r" % (rtp,))
    if not _VOICE_LEAST <= high - low + 1 <= _VOICE_MOST:
        text = "field ports.rtp: expected %d to %d ports, found %d"
        raise ProfileError(text % (_VOICE_LEAST, _VOICE_MOST, high - low + 1))
    single = [_port("ports.sip", ports.get("sip"))] + [_port("ports.stun", one) for one in stun]
    for port in single:
        if low <= port <= high or single.count(port) > 1:
            text = "field ports: expected each port under one name, found %d under two"
            raise ProfileError(text % port)
    return {"sip": single[0], "stun": single[1:], "rtp": (low, high)}

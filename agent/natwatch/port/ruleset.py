"""The kernel's own rules, as nft(8) lists them: python -m natwatch.port.ruleset

The program prints one line of JSON, what digest() gives or {"error": sentence}. It needs root, and
a ruleset may be long: it runs in a child process, on CPython. Sets' elements (block lists of
100,000 addresses) are not asked for (nft --terse). Source: libnftables-json(5).
"""

import json
import os
import sys

from natwatch.port import child, openwrt
from natwatch.wire.ipv4 import number_of

DEADLINE = 5000  # ms; 20 ms on a PC
LONGEST = 8192  # bytes of the program's output
_MOST = 4194304  # bytes of nft's
_TIMERS = 8
_PLACES = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")


def start(now):
    """A child.Child that lists the rules; None: no child processes on this platform."""
    return child.start(child.python("natwatch.port.ruleset"), now + DEADLINE, "nft", LONGEST)


def digest(document):
    """What *document*, nft's JSON as Python values, says of UDP over IPv4:

    {"forwards": as openwrt.forward() makes them, "helpers": ["sip"] or [], "timers": [{"name",
    "unreplied", "replied"}, …] in s, "unread": n, "foreign": bool}. ``timers`` are those that
    rules may give to bindings instead of the general ones. ``unread``: rules that translate
    destinations in a form that is not understood here. ``foreign``: whether there are rules that
    iptables made, which nft cannot spell.
    """
    found = {"forwards": [], "helpers": [], "timers": [], "unread": 0, "foreign": False}
    items = _listed(document, "nftables")
    objects = {}  # place of a helper -> its type
    for item in items:
        told = _named(item, "ct helper")
        if told is not None:
            objects[_place(told, "name")] = told.get("type")
        told = _named(item, "ct timeout")
        if told is not None and told.get("protocol") == "udp" and len(found["timers"]) < _TIMERS:
            policy = _named(told, "policy") or {}
            timer = {"name": str(told.get("name"))[:32]}
            timer.update({name: _integer(policy.get(name)) for name in ("unreplied", "replied")})
            found["timers"].append(timer)
    outward = _chains_of_output(items)
    for item in items:
        rule = _named(item, "rule")
        if rule is None or rule.get("family") not in ("ip", "inet"):
            continue
        if _place(rule, "chain") not in outward:
            _take_rule(found, rule, objects)
    return found


def _take_rule(found, rule, objects):
    match = {"ports": [[1, 65535]], "udp": True}  # what the rule has asked for so far
    for expression in _listed(rule, "expr"):
        if not isinstance(expression, dict):
            continue
        if "xt" in expression:
            found["foreign"] = True
        helper = expression.get("ct helper")
        if isinstance(helper, str):
            place = _place(dict(rule, name=helper), "name")
            if objects.get(place) == "sip" and "sip" not in found["helpers"]:
                found["helpers"].append("sip")
        told = _named(expression, "match")
        if told is not None:
            _narrow(match, told)
        if "dnat" in expression and match["udp"]:
            _take_forward(found, match["ports"], expression["dnat"])


def _take_forward(found, ports, dnat):
    address = dnat.get("addr") if isinstance(dnat, dict) else None
    if isinstance(address, str) and ":" in address:
        return  # IPv6
    if ports is None or not isinstance(address, str) or number_of(address) is None:
        found["unread"] += 1
        return
    for one in ports:
        inner = one if dnat.get("port") is None else _range(dnat["port"])
        forward = openwrt.forward(one, address, inner)
        if forward is None or len(found["forwards"]) >= openwrt.MOST:
            found["unread"] += 1
        elif forward not in found["forwards"]:  # a reflection for the inner side, as fw4 makes it
            found["forwards"].append(forward)


def _narrow(match, told):
    """Let *match* know of one more condition. ``ports`` None: not understood."""
    left = told.get("left")
    payload, meta = _named(left, "payload") or {}, _named(left, "meta") or {}
    wanted = told.get("right")
    if payload.get("field") == "dport":
        if payload.get("protocol") not in ("udp", "th"):
            match["udp"] = False
        elif told.get("op") not in ("==", "in"):
            match["ports"] = None
        else:
            match["ports"] = _ports(wanted)
    elif meta.get("key") == "l4proto" or payload.get("field") == "protocol":
        names = wanted.get("set") if isinstance(wanted, dict) else wanted
        names = names if isinstance(names, list) else [names]
        known = "udp" in names or 17 in names
        match["udp"] = match["udp"] and known == (told.get("op") != "!=")


def _ports(wanted):
    """[[low, high], …] of a port, a range or a set of such; None of anything else."""
    members = _listed(wanted, "set") or [wanted]
    found = [_range(one) for one in members]
    return None if None in found else found


def _range(wanted):
    ends = wanted.get("range") if isinstance(wanted, dict) else [wanted, wanted]
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = [_integer(one) for one in ends]
    known = low is not None and high is not None and 1 <= low <= high <= 65535
    return [low, high] if known else None


def _chains_of_output(items):
    """Places of the chains that begin at the hook ``output``: the router's own packets."""
    chains = [_named(item, "chain") for item in items]
    return [
        _place(one, "name") for one in chains if one is not None and one.get("hook") == "output"
    ]


def _place(told, name):
    return "%s %s %s" % (told.get("family"), told.get("table"), told.get(name))


def _named(value, name):
    """The object *name* of the object *value*; None where either is none."""
    told = value.get(name) if isinstance(value, dict) else None
    return told if isinstance(told, dict) else None


def _listed(value, name):
    told = value.get(name) if isinstance(value, dict) else None
    return told if isinstance(told, list) else []


def _integer(value):
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2147483648
    return value if known else None


def ask():
    """digest() of this machine's rules, or {"error": sentence}."""
    import subprocess

    program = [place for place in _PLACES if os.access(place, os.X_OK)]
    if not program:
        return {"error": "nft is not installed"}
    argv = [program[0], "--terse", "--json", "list", "ruleset"]
    try:
        lister = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        return {"error": "nft cannot be started: error %s" % error.errno}
    with lister:
        text = lister.stdout.read(_MOST + 1)
        lister.kill()
    if len(text) > _MOST:
        return {"error": "the rules are longer than %d bytes" % _MOST}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {"error": "nft listed no rules: it needs root"}
    return digest(document)


def main():
    child.end_within(DEADLINE)
    print(json.dumps(ask()))


if __name__ == "__main__":
    sys.exit(main())

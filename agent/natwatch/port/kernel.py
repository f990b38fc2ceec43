"""Where the probe is the router itself: the kernel's own timers, helpers and forwards.

They are configured, not measured, and are told beside what was measured: the probe's own packets
pass OUTPUT, a phone's pass FORWARD and what rules do there.
"""

import os
import sys
import time

from natwatch import port
from natwatch.port import openwrt, ruleset
from natwatch.port.network import GATEWAY, REJECT, route_of

# What the kernel calls them now, and before 2.6.20.
_TIMERS = (
    "proc/sys/net/netfilter/nf_conntrack_udp_timeout",
    "proc/sys/net/ipv4/netfilter/ip_conntrack_udp_timeout",
)
_FORWARDS = "proc/sys/net/ipv4/ip_forward"
_ROUTES = "proc/net/route"
_RELEASE = "proc/sys/kernel/osrelease"
_MODULES, _MODULE, _SIP = "proc/modules", "sys/module", "nf_conntrack_sip"
_AUTOMATIC = "proc/sys/net/netfilter/nf_conntrack_helper"  # until 5.19; later kernels need a rule
_LEGACY = "proc/net/ip_tables_names"  # tables of the old iptables, which nft does not see
_MOST = 32768  # bytes of a file in /proc; a table of routes or modules has a few thousand
_STREAM_SINCE = 5  # before Linux 5.0 the first answer makes a stream, later ones 2 s of traffic
# Networks of containers, virtual machines and tunnels: a Pi that forwards for them is nobody's
# router.
_OWN = "docker podman cni virbr lxcbr lxdbr vmnet vboxnet tun tap wg tailscale zt".split()


def of_this_router(listing):
    """configured() of this machine; None: it is no router.

    *listing*: with its rules, where this platform can list them. That waits for nft,
    ruleset.DEADLINE at most, so a loop does without.
    """
    if is_router("/") is not True:
        return None
    lister = ruleset.start(port.now()) if listing else None
    rules = None
    try:
        while lister is not None and rules is None:
            time.sleep(0.02)
            rules = lister.poll(port.now())
    finally:
        if lister is not None:
            lister.close()
    return configured("/", rules)


def configured(root, rules=None):
    """What is set in this kernel, as a dict; *root* is where its files are found, ending in /.

    *rules*: what port.ruleset told, a digest or {"error": sentence}; None: it was not asked.

    {"router": whether this host forwards and translates, None: unknown,
     "timers": {"oneway", "replied", "stream"} in s, those of a binding in that state, or None,
     "helpers": ["sip"]: SIP's is given to traffic, or has been loaded and nobody can tell what it
         is given to; []: it is not; None: unknown,
     "forwards": [{"ports": [low, high], "to": address, "to_port": number, None: each port keeps
         its own}, …] of UDP over IPv4, None: unknown,
     "notes": sentences about what could not be read}
    """
    notes = []
    if rules is None:
        rules = {"error": "no program was started for it"}
    if "error" in rules:
        notes.append("The kernel's rules could not be listed: %s." % rules["error"])
    timers = _timers(root, notes)
    _note_timers_of_rules(rules, notes)
    old = _old_tables(root)
    if "error" not in rules and (old or rules["foreign"]):
        notes.append("There are rules of iptables, which could not be read.")
    firewall = openwrt.load(root)
    if firewall is not None and firewall["unread"]:
        notes.append("/%s has parts that were not understood." % openwrt.PATH)
    return {
        "router": is_router(root),
        "timers": timers,
        "helpers": _helpers(root, rules, old, firewall, notes),
        "forwards": _forwards(rules, old, firewall, notes),
        "notes": notes,
    }


def is_router(root):
    """Whether this host forwards, keeps UDP's state, has a default route and, beside the network
    that it leads over, another one. None where that cannot be read."""
    forwards, routes = _number(root + _FORWARDS), _read(root + _ROUTES)
    if forwards is None or routes is None:
        return None
    if forwards != 1 or not [path for path in _TIMERS if _number(root + path) is not None]:
        return False
    outer, inner = networks(routes.split("\n"))
    return bool(outer) and bool([name for name in inner if name not in outer])


def networks(lines):
    """(interfaces of default routes, interfaces of networks that need no gateway) in the *lines*
    of /proc/net/route."""
    outer, inner = [], []
    for line in lines:
        route = route_of(line, sys.byteorder)
        if route is None or route.flags & REJECT:
            continue
        if route.network == route.mask == 0:
            outer.append(route.interface)
        elif not route.flags & GATEWAY and route.mask != 0xFFFFFFFF and not _own(route.interface):
            inner.append(route.interface)
    return outer, inner


def _own(name):
    """Whether an interface of this *name* leads to nobody but this host's own guests."""
    if [one for one in _OWN if name.startswith(one)]:
        return True
    # br-0123456789ab is a network of Docker's, br-lan OpenWrt's.
    tail = name[3:]
    odd = [one for one in tail if one not in "0123456789abcdef"]
    return name.startswith("br-") and len(tail) == 12 and not odd


def _timers(root, notes):
    for path in _TIMERS:
        udp, stream = _number(root + path), _number(root + path + "_stream")
        if udp is None or stream is None:
            continue
        release = (_read(root + _RELEASE) or "").split(".")[0]
        if release not in [str(number) for number in range(2, 100)]:
            notes.append("The kernel's version could not be read.")
            return {"oneway": udp, "replied": None, "stream": stream}
        old = int(release) < _STREAM_SINCE
        return {"oneway": udp, "replied": stream if old else udp, "stream": stream}
    notes.append("The kernel's timers for UDP could not be read.")
    return None


def _note_timers_of_rules(rules, notes):
    if "error" in rules:
        notes.append("Timers that a rule gives to single ports cannot be seen.")
        return
    for timer in rules["timers"]:
        told = (timer["name"], timer["unreplied"], timer["replied"])
        notes.append("A rule may give bindings another timer: %s, %s and %s s." % told)


def _old_tables(root):
    """Whether tables of the old iptables that set helpers, timers or forwards are in use."""
    names = (_read(root + _LEGACY) or "").split()
    return bool([name for name in names if name in ("nat", "raw")])


def _helpers(root, rules, old, firewall, notes):
    present, loaded = _sip_present(root)
    if present is False:
        return []
    if present is None:
        notes.append("Whether the kernel has a SIP helper could not be read.")
        return None
    if _number(root + _AUTOMATIC) == 1:
        return ["sip"]  # of its own accord, for every binding to port 5060
    if "error" not in rules:
        if rules["helpers"]:
            return ["sip"]
        if not old and not rules["foreign"]:
            return []
    elif firewall is not None:
        return ["sip"] if firewall["sip"] else []
    if loaded:
        notes.append("The SIP helper has been loaded; which traffic it is given could not be read.")
        return ["sip"]
    notes.append("This kernel was built with the SIP helper; whether it is used is not known.")
    return None


def _sip_present(root):
    """(whether the kernel has the SIP helper or None, whether as a module that was loaded).

    One that was built in is missing in /proc/modules, but it has parameters, and so a folder.
    """
    modules = _read(root + _MODULES)
    if modules is not None and [one for one in modules.split("\n") if one.split(" ")[0] == _SIP]:
        return True, True
    try:
        return _SIP in os.listdir(root + _MODULE), False
    except OSError:
        return None, False


def _forwards(rules, old, firewall, notes):
    if "error" not in rules:
        if rules["unread"]:
            notes.append("%d rules that forward were not understood." % rules["unread"])
        whole = not (rules["unread"] or rules["foreign"] or old)
        if rules["forwards"] or whole:
            return rules["forwards"]
    if firewall is not None:
        notes.append("Forwards are those of /%s, without UPnP's and others'." % openwrt.PATH)
        return firewall["forwards"]
    return None


def _number(path):
    """The number in the file *path*, None where there is none."""
    try:
        value = int((_read(path) or "").strip())
    except ValueError:
        return None
    return value if 0 <= value < 2147483648 else None


def _read(path):
    """The text of the file *path*, its beginning if it is long; None where it cannot be read."""
    try:
        with open(path, "rb") as source:
            return source.read(_MOST).decode()
    except (OSError, ValueError):  # UnicodeError is one
        return None

"""What OpenWrt's /etc/config/firewall says of forwards and of the SIP helper.

As fw4 reads it (firewall4, fw4.uc: parse_redirect, parse_zone): a ``redirect`` whose target is not
SNAT and that has a source zone is a forward, of TCP and UDP unless ``proto`` says otherwise, to
the same port unless ``dest_port`` names another; without ``dest_ip`` it leads to the router
itself. Helpers whose module is loaded are given to the zones that do not masquerade, unless
``auto_helper`` is off, and to whatever names one.
"""

from natwatch.port import uci
from natwatch.wire.ipv4 import number_of

PATH = "etc/config/firewall"
MOST = 48  # forwards; a router has few
_ALL = ("all", "any", "*")
_UDP = ("udp", "tcpudp", "17")


def load(root):
    """{"forwards": as forward() makes them, "unread": n, "sip": whether the SIP helper, if loaded,
    is given to any traffic}; None where there is no such file under *root*."""
    found = uci.load(root + PATH, ("defaults", "zone", "rule", "redirect"))
    if found is None:
        return None
    sections, unread = found
    forwards = []
    for kind, options in sections:
        if kind != "redirect" or not _leads_inward(options):
            continue
        leading = _forward(options)
        if leading is None or len(forwards) >= MOST:
            unread += 1
        elif leading not in forwards:
            forwards.append(leading)
    return {"forwards": forwards, "unread": unread, "sip": _gives_sip(sections)}


def forward(ports, to, inner):
    """{"ports": [low, high], "to", "to_port"}: *ports* led to the address *to*, to its ports
    *inner*, also [low, high]. ``to_port`` None: each keeps its number. None where the kernel, or
    nobody, decides which port leads where, and where *to* is no IPv4 address."""
    if number_of(to) is None or ports is None or inner is None:
        return None
    if inner[0] == inner[1]:
        return {"ports": ports, "to": to, "to_port": inner[0]}
    return {"ports": ports, "to": to, "to_port": None} if inner == ports else None


def _leads_inward(options):
    """Whether a ``redirect`` forwards UDP over IPv4 to another host."""
    if not uci.switched(options, "enabled", True) or "src" not in options:
        return False
    if uci.value(options, "target", "DNAT").upper() == "SNAT":
        return False
    if uci.value(options, "family", "") in ("ipv6", "6"):
        return False
    if ":" in uci.value(options, "dest_ip", ":"):  # none: the router itself
        return False
    protocols = _protocols(options)
    return bool([one for one in protocols if one in _UDP + _ALL])


def _protocols(options):
    return " ".join(options.get("proto", ["tcpudp"])).lower().split()


def _forward(options):
    """forward() of a ``redirect``."""
    to = uci.value(options, "dest_ip")
    to = to[:-3] if to.endswith("/32") else to
    given = uci.value(options, "src_dport")
    if given is None or not [one for one in _protocols(options) if one in _UDP]:
        ports = inner = [1, 65535]
    else:
        ports = _ports(given)
        inner = _ports(uci.value(options, "dest_port", given))
    return forward(ports, to, inner)


def _ports(text):
    """[low, high] of ``5060``, ``5060-5070`` or ``5060:5070``; None of anything else."""
    parts = text.replace(":", "-").split("-")
    if len(parts) > 2 or [part for part in parts if not _decimal(part)]:
        return None
    low, high = int(parts[0]), int(parts[-1])
    return [low, high] if 1 <= low <= high <= 65535 else None


def _decimal(text):
    # Not isdigit(): that takes superscripts, and int() does not.
    return 1 <= len(text) <= 5 and not [one for one in text if one not in "0123456789"]


def _gives_sip(sections):
    automatic = True
    for kind, options in sections:
        if "sip" in " ".join(options.get("helper", []) + options.get("set_helper", [])).split():
            return True
        if kind == "defaults":
            automatic = uci.switched(options, "auto_helper", True)
    inner = [
        options
        for kind, options in sections
        if kind == "zone" and not uci.switched(options, "masq", False)
    ]
    return automatic and bool([one for one in inner if uci.switched(one, "auto_helper", True)])

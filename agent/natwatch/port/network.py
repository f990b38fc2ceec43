"""What the machine itself knows of its network: context for a measurement, not a measurement."""

import socket
import sys

from natwatch import port
from natwatch.wire.ipv4 import number_of

_ROUTES = "/proc/net/route"  # Linux; one line a route
_UP, _GATEWAY, _REJECT = 1, 2, 0x200  # RTF_UP, RTF_GATEWAY, RTF_REJECT
_TRIE = "/proc/net/fib_trie"  # Linux; the routing tables as trees
_RESOLVERS = "/etc/resolv.conf"


def gateway():
    """The default gateway's address, or None."""
    try:
        with open(_ROUTES) as routes:
            for line in routes:
                address = gateway_of(line, sys.byteorder)
                if address is not None:
                    return address
    except (OSError, ValueError):
        pass
    return None


def gateway_of(line, byteorder):
    """The gateway in one *line* of /proc/net/route, None if it is no default route through one.

    Fields: interface, destination, gateway, flags, three counters, mask, … The kernel prints
    addresses as numbers of the machine's *byteorder*, "little" or "big".
    """
    fields = line.split()
    # The mask as well: VPNs set a route to 0.0.0.0/1.
    if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
        return None
    try:
        flags = int(fields[3], 16)
        address = list(bytes.fromhex(fields[2]))
    except ValueError:
        return None
    if len(address) != 4 or not flags & _GATEWAY:
        return None
    if byteorder == "little":
        address.reverse()
    return "%d.%d.%d.%d" % tuple(address)


def on_segment(address):
    """Whether the kernel reaches *address* directly, without a router; None where unknown."""
    try:
        with open(_ROUTES) as routes:
            return direct(routes, address, sys.byteorder)
    except (OSError, ValueError):
        return None


def direct(lines, address, byteorder):
    """Whether the route that the *lines* of /proc/net/route have for *address* needs no gateway.

    Of several that cover it the longest prefix wins, then the lowest metric. None if none does.
    """
    wanted = number_of(address)
    best = None  # (ones in the mask, -metric, needs no gateway)
    for line in lines:
        route = _route(line, byteorder)
        if route is None or wanted is None or wanted & route[1] != route[0]:
            continue
        _, mask, flags, metric = route
        found = (bin(mask).count("1"), -metric, not flags & (_GATEWAY | _REJECT))
        if best is None or found[:2] > best[:2]:
            best = found
    return None if best is None else best[2]


def _route(line, byteorder):
    """(network, mask, flags, metric) of one *line*, None if it is no route that is up."""
    fields = line.split()
    if len(fields) < 8:
        return None
    try:
        network, mask = [_number(fields[index], byteorder) for index in (1, 7)]
        flags, metric = int(fields[3], 16), int(fields[6])
    except ValueError:
        return None
    return (network, mask, flags, metric) if flags & _UP else None


def _number(text, byteorder):
    """The number of an address, most significant byte first. Raises ValueError."""
    packed = bytes.fromhex(text)
    if len(packed) != 4:
        raise ValueError("expected 4 bytes, found %r" % text)
    return int.from_bytes(packed, byteorder)


def local_address(destination):
    """The address this machine sends from to *destination*, or None (MicroPython cannot tell)."""
    if port.interpreter == "micropython":
        return None
    probe = None
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.connect((destination, 9))  # sends nothing: a datagram socket only looks up the route
        return probe.getsockname()[0]
    except OSError:  # no route, or no descriptor is left
        return None
    finally:
        if probe is not None:
            probe.close()


def address_towards(destination):
    """local_address(), or where nobody can tell the machine's only address, if it has one."""
    local = local_address(destination)
    if local is None:
        own = [one for one in own_addresses() if not one.startswith("127.")]
        local = own[0] if len(own) == 1 else None
    return local


def own_addresses():
    """The machine's IPv4 addresses, sorted; empty where they cannot be known.

    From the kernel's own table, since MicroPython cannot ask a socket.
    """
    try:
        with open(_TRIE) as lines:
            return addresses_of(lines)
    except (OSError, ValueError):
        return []


def addresses_of(lines):
    """The addresses that a routing table's *lines* (/proc/net/fib_trie) call the machine's own.

    A leaf is a line ``|-- ADDRESS``; what it is to the kernel follows, one line a prefix:
    ``/32 host LOCAL`` is an address of the machine.
    """
    found, leaf = set(), None
    for line in lines:
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            leaf = words[1]
        elif words == ["/32", "host", "LOCAL"] and leaf is not None:
            found.add(leaf)
    return sorted(found)


def resolvers():
    """The IPv4 addresses of the resolvers that this machine asks, in order; empty if unknown.

    A local stub (127.0.0.53) is one of them: it is what the programs here use. On OpenWrt that is
    the router's own dnsmasq, which the customer's devices ask as well.
    """
    try:
        with open(_RESOLVERS) as lines:
            return resolvers_of(lines)
    except (OSError, ValueError):
        return []


def resolvers_of(lines):
    """The different IPv4 addresses after ``nameserver`` in *lines* of resolv.conf(5), in order.

    The keyword stands at the very beginning of its line; the address is the next word.
    """
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or not line.startswith("nameserver"):
            continue
        if number_of(words[1]) is not None and words[1] not in found:
            found.append(words[1])
    return found

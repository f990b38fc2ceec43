"""What the machine itself knows of its network: context for a measurement, not a measurement."""

import socket
import sys

from natwatch import port
from natwatch.wire.ipv4 import number_of, text_of

_ROUTES = "/proc/net/route"  # Linux; one line a route
_UP, GATEWAY, REJECT = 1, 2, 0x200  # RTF_UP, RTF_GATEWAY, RTF_REJECT
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

    *byteorder*: the machine's, "little" or "big".
    """
    route = route_of(line, byteorder)
    # The mask as well: VPNs set a route to 0.0.0.0/1.
    if route is None or route.network or route.mask or not route.flags & GATEWAY:
        return None
    return text_of(route.gateway)


def on_segment(address):
    """Whether the kernel reaches *address* directly, without a router; None where unknown."""
    try:
        with open(_ROUTES) as routes:
            return direct(routes, address, sys.byteorder)
    except (OSError, ValueError):
        return None


def direct(lines, address, byteorder):
    """Whether the route that the *lines* of /proc/net/route have for *address* needs no gateway.

    None if there is no route.
    """
    best = _best(lines, address, byteorder)
    return None if best is None else not best.flags & (GATEWAY | REJECT)


def gateway_towards(destination):
    """The gateway on the route to *destination*, an address.

    None where there is no gateway on it, which includes this machine itself, or it is unknown.
    """
    number = number_of(destination)
    local = local_address(destination)
    if number is None or number >> 24 in (0, 127) or destination in own_addresses() + [local]:
        return None
    try:
        with open(_ROUTES) as routes:
            return gateway_on_route(routes, destination, sys.byteorder)
    except (OSError, ValueError):
        return None


def gateway_on_route(lines, address, byteorder):
    """The gateway of the route that the *lines* of /proc/net/route have for *address*, or None."""
    best = _best(lines, address, byteorder)
    if best is None or best.flags & REJECT or not best.flags & GATEWAY:
        return None
    return text_of(best.gateway)


def source_towards(destination, gateway):
    """The machine's own address in what it sends to *destination* through *gateway*, or None.

    Where the kernel cannot be asked: its only address, or its only one on the gateway's segment.
    """
    found = address_towards(destination)
    if found is None:
        try:
            with open(_ROUTES) as routes:
                found = own_on_segment(routes, gateway, own_addresses(), sys.byteorder)
        except (OSError, ValueError):
            pass
    return found


def own_on_segment(lines, neighbour, own, byteorder):
    """The one address of *own* on the segment of *neighbour* by the *lines* of /proc/net/route."""
    best = _best(lines, neighbour, byteorder)
    if best is None or best.flags & (GATEWAY | REJECT):
        return None
    there = [one for one in own if number_of(one) & best.mask == best.network]
    return there[0] if len(there) == 1 else None


class Route:
    """``network``, ``mask`` and ``gateway`` are numbers."""

    def __init__(self, interface, network, gateway, flags, metric, mask):
        self.interface = interface
        self.network = network
        self.gateway = gateway
        self.flags = flags
        self.metric = metric
        self.mask = mask


def _best(lines, address, byteorder):
    """The Route for *address*: of several that cover it the one with the longest prefix, then
    the one with the lowest metric. None if none does."""
    wanted = number_of(address)
    best = rank = None
    for line in lines:
        route = route_of(line, byteorder)
        if route is None or wanted is None or wanted & route.mask != route.network:
            continue
        found = (bin(route.mask).count("1"), -route.metric)
        if best is None or found > rank:
            best, rank = route, found
    return best


def route_of(line, byteorder):
    """The Route of one *line* of /proc/net/route, None if it is no route that is up.

    Fields: interface, destination, gateway, flags, three counters, mask, … The kernel prints
    addresses as numbers of the machine's *byteorder*, "little" or "big".
    """
    fields = line.split()
    if len(fields) < 8:
        return None
    try:
        network, gateway, mask = [_number(fields[index], byteorder) for index in (1, 2, 7)]
        flags, metric = int(fields[3], 16), int(fields[6])
    except ValueError:
        return None
    return Route(fields[0], network, gateway, flags, metric, mask) if flags & _UP else None


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

"""What /proc and resolv.conf say, read on machines of either byte order; lines that are odd."""

import os
import socket
import sys

from natwatch.port import network
from natwatch.wire.ipv4 import number_of

# Interface, destination, gateway, flags, reference count, use, metric, mask, MTU, window, irtt.
# 192.168.1.254 as a number of a little-endian machine, then of a big-endian one.
LITTLE = "eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
BIG = "eth0\t00000000\tC0A801FE\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"

LINES = (
    ("a default route, little-endian", LITTLE, "little", "192.168.1.254"),
    ("a default route, big-endian", BIG, "big", "192.168.1.254"),
    ("spaces at the end", BIG.strip() + " " * 40, "big", "192.168.1.254"),
    ("the heading", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask", "big", None),
    ("an empty line", "", "little", None),
    ("only spaces", " \t \n", "little", None),
    ("a line cut short", LITTLE[:30], "little", None),
    ("a route to a network", LITTLE.replace("00000000", "0001A8C0", 1), "little", None),
    ("the half route of a VPN", LITTLE.replace("100\t00000000", "100\t00000080"), "little", None),
    ("no gateway: a tunnel", LITTLE.replace("FE01A8C0\t0003", "00000000\t0001"), "little", None),
    ("unreachable", LITTLE.replace("FE01A8C0\t0003", "00000000\t0201"), "little", None),
    ("a gateway that is no number", LITTLE.replace("FE01A8C0", "FE01A8CG"), "little", None),
    ("a gateway too short", LITTLE.replace("FE01A8C0", "FE01A8"), "little", None),
    ("a gateway too long", LITTLE.replace("FE01A8C0", "FE01A8C0FE"), "little", None),
    ("a route that is down", LITTLE.replace("0003", "0002"), "little", None),
    ("flags that are no number", LITTLE.replace("0003", "UG"), "little", None),
)


def test_the_gateway_is_read_in_the_byte_order_of_the_machine():
    for name, line, byteorder, expected in LINES:
        found = network.gateway_of(line, byteorder)
        assert found == expected, (name, found)


def test_the_machines_own_routes_are_read_or_there_are_none():
    found = network.gateway()
    assert found is None or len(found.split(".")) == 4, found


def test_a_machine_without_a_route_table_has_no_gateway():
    usual = network._ROUTES
    network._ROUTES = "/nowhere/route"
    try:
        assert network.gateway() is None
    finally:
        network._ROUTES = usual


# Destination, gateway, flags, metric, mask: each as an address reads.
HOME = (("0.0.0.0", "192.168.1.1", 3, 100, "0.0.0.0"), ("192.168.1.0", None, 1, 100, "/24"))
PHONE = "192.168.1.30"
SEGMENTS = (
    ("a neighbour", HOME, PHONE, True),
    ("somebody else's network", HOME, "192.168.2.30", False),
    ("a part of the own network behind a router",
     HOME + (("192.168.1.24", "192.168.1.9", 3, 100, "/29"),), PHONE, False),
    ("the same, and this one host directly",
     HOME + (("192.168.1.24", "192.168.1.9", 3, 1, "/29"), (PHONE, None, 5, 600, "/32")),
     PHONE, True),
    ("two of one length: the lower metric, behind a router",
     HOME + (("192.168.1.0", "192.168.9.1", 3, 50, "/24"),), PHONE, False),
    ("two of one length: the lower metric, directly",
     (("192.168.1.0", "192.168.9.1", 3, 300, "/24"),) + HOME, PHONE, True),
    ("forbidden", HOME + ((PHONE, None, 0x205, 0, "/32"),), PHONE, False),
    ("a better route that is down", HOME + ((PHONE, "192.168.9.1", 6, 0, "/32"),), PHONE, True),
    ("a tunnel that takes everything", (("0.0.0.0", None, 1, 0, "0.0.0.0"),), PHONE, True),
    ("no route", HOME[1:], "192.168.2.30", None),
    ("no routes", (), PHONE, None),
    ("no address", HOME, "phone.example", None),
    ("an address of the other family", HOME, "fd00::1", None),
)  # fmt: skip


def printed(route, byteorder):
    """The line in which the kernel prints *route* on a machine of that byte order."""
    destination, gateway, flags, metric, mask = route
    length = int(mask[1:]) if mask[0] == "/" else 0
    numbers = [destination, gateway or "0.0.0.0", (1 << 32) - (1 << (32 - length))]
    texts = []
    for number in numbers:
        packed = number if isinstance(number, int) else number_of(number)
        packed = packed.to_bytes(4, "big")
        if byteorder == "little":
            packed = bytes(reversed(packed))
        texts.append("".join(["%02X" % byte for byte in packed]))
    fields = ("eth0", texts[0], texts[1], "%04X" % flags, "0", "0", str(metric), texts[2])
    return "\t".join(fields + ("0", "0", "0")) + "\n"


def test_an_address_is_on_the_segment_if_its_best_route_has_no_gateway():
    assert printed(HOME[0], "big").replace("C0A80101", "C0A801FE") == BIG
    for name, routes, address, expected in SEGMENTS:
        for byteorder in ("little", "big"):
            lines = [printed(route, byteorder) for route in routes]
            for ordered in (lines, list(reversed(lines))):
                found = network.direct(["Iface\tDestination\n"] + ordered, address, byteorder)
                assert found is expected, (name, byteorder, found)


TWO = HOME + (("109.69.176.128", "192.168.1.9", 3, 0, "/25"), ("10.0.0.0", None, 1, 0, "/8"))
GATEWAYS = (
    ("the default route", HOME, "203.0.113.5", "192.168.1.1"),
    ("a longer prefix has another", TWO, "109.69.176.130", "192.168.1.9"),
    ("beside it", TWO, "109.69.176.1", "192.168.1.1"),
    ("a neighbour", HOME, PHONE, None),
    ("a tunnel without a gateway", TWO, "10.1.2.3", None),
    ("forbidden", HOME + (("203.0.113.5", "192.168.1.1", 0x207, 0, "/32"),), "203.0.113.5", None),
    ("no route", HOME[1:], "203.0.113.5", None),
    ("no address", HOME, "sip.example", None),
)  # fmt: skip


def test_the_gateway_on_the_way_is_that_of_the_best_route():
    for name, routes, address, expected in GATEWAYS:
        for byteorder in ("little", "big"):
            lines = [printed(route, byteorder) for route in routes]
            for ordered in (lines, list(reversed(lines))):
                found = network.gateway_on_route(ordered, address, byteorder)
                assert found == expected, (name, byteorder, found)


def with_routes(routes, own, act):
    """Call *act* on a machine with these *routes* and *own* addresses."""
    path = "/tmp/natwatch-routes-%s" % os.urandom(6).hex()
    with open(path, "w") as lines:
        lines.write("Iface\tDestination\n")
        for route in routes:
            lines.write(printed(route, sys.byteorder))
    usual = network._ROUTES, network.own_addresses, network.local_address
    network._ROUTES = path
    network.own_addresses = lambda: list(own)
    network.local_address = lambda destination: None
    try:
        act()
    finally:
        network._ROUTES, network.own_addresses, network.local_address = usual
        os.remove(path)


def test_there_is_no_gateway_on_the_way_to_the_machine_itself():
    # The table for the machine's own addresses is another, which /proc/net/route does not show.
    own = ["127.0.0.1", "198.51.100.7"]

    def act():
        assert network.gateway_towards("203.0.113.5") == "192.168.1.1"
        for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "198.51.100.7", PHONE, "sip", None):
            assert network.gateway_towards(address) is None, address
        network.local_address = lambda destination: destination
        assert network.gateway_towards("203.0.113.5") is None

    with_routes(HOME, own, act)


def test_without_a_route_table_there_is_no_gateway_on_the_way():
    usual = network._ROUTES
    network._ROUTES = "/nowhere/route"
    try:
        assert network.gateway_towards("203.0.113.5") is None
        assert network.source_towards("203.0.113.5", "192.168.1.1") in (
            [None] + network.own_addresses() + [network.local_address("203.0.113.5")]
        )
    finally:
        network._ROUTES = usual


def test_the_own_address_is_that_on_the_gateways_segment_where_nobody_else_can_tell():
    for name, own, expected in (
        ("one of two", ["127.0.0.1", "10.0.0.1", "192.168.1.20"], "192.168.1.20"),
        ("two on one segment", ["192.168.1.20", "192.168.1.21"], None),
        ("the only one", ["127.0.0.1", "10.0.0.1"], "10.0.0.1"),
        ("none there", ["10.0.0.1", "10.0.0.2"], None),
        ("none", [], None),
    ):

        def act():
            found = network.source_towards("203.0.113.5", "192.168.1.1")
            assert found == expected, (name, found)  # noqa: B023

        with_routes(HOME, own, act)


def test_odd_lines_of_the_route_table_are_no_routes():
    good = printed(HOME[1], "little")
    for name, line in (
        ("empty", ""),
        ("cut short", good[:30]),
        ("a mask that is no number", good.replace("00FFFFFF", "00FFFFFG")),
        ("a mask too short", good.replace("00FFFFFF", "00FFFF")),
        ("flags that are no number", good.replace("0001\t0", "U\t0")),
        ("a metric that is no number", good.replace("100", "1OO")),
    ):
        assert line == "" or line != good, name
        assert network.direct([line], PHONE, "little") is None, name
    assert network.direct([good], PHONE, "little") is True


def test_this_machine_knows_its_segments_or_nothing():
    assert network.on_segment("203.0.113.77") in (True, False, None)
    usual = network._ROUTES
    network._ROUTES = "/nowhere/route"
    try:
        assert network.on_segment(PHONE) is None
    finally:
        network._ROUTES = usual


class Exhausted:
    """The socket module of a machine that has no descriptor left."""

    AF_INET = SOCK_DGRAM = 2

    def socket(self, family, kind):
        raise OSError(24)  # EMFILE; MicroPython has no name for it


def test_without_a_free_descriptor_the_local_address_is_unknown():
    network.socket = Exhausted()
    try:
        assert network.local_address("127.0.0.1") is None
    finally:
        network.socket = socket


# As Linux 6 prints it: one address of the machine's, its network, its broadcast address.
TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.168.1.0
        /24 link UNICAST
Local:
  +-- 0.0.0.0/0 2 0 2
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.168.1.0/24 2 0 1
        |-- 192.168.1.20
           /32 host LOCAL
           /32 link UNICAST
        |-- 192.168.1.255
           /32 link BROADCAST
"""


def test_the_machines_own_addresses_are_those_that_the_kernel_calls_local():
    for name, text, expected in (
        ("as Linux prints it", TRIE, ["127.0.0.1", "192.168.1.20"]),
        ("twice, in two tables", TRIE + TRIE, ["127.0.0.1", "192.168.1.20"]),
        ("nothing", "", []),
        ("a leaf without a word on it", TRIE[: TRIE.rindex("/32")], ["127.0.0.1", "192.168.1.20"]),
        ("no leaf", "/32 host LOCAL", []),
    ):
        found = network.addresses_of(text.split("\n"))
        assert found == expected, (name, found)


def test_this_machine_has_its_loopback_address_or_no_table():
    found = network.own_addresses()
    assert found == [] or "127.0.0.1" in found, found


def test_a_machine_without_a_routing_tree_has_no_known_address():
    usual = network._TRIE
    network._TRIE = "/nowhere/fib_trie"
    try:
        assert network.own_addresses() == []
    finally:
        network._TRIE = usual


RESOLVERS = (
    ("nothing", "", []),
    ("one", "nameserver 192.168.1.1\n", ["192.168.1.1"]),
    ("a local stub", "nameserver 127.0.0.53\noptions edns0 trust-ad\n", ["127.0.0.53"]),
    (
        "several, in order",
        "search lan\nnameserver 10.0.0.2\nnameserver\t10.0.0.1\nnameserver 10.0.0.3\n"
        "nameserver 10.0.0.4",
        ["10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4"],
    ),
    ("one twice", "nameserver 10.0.0.2\nnameserver 10.0.0.2\n", ["10.0.0.2"]),
    ("IPv6 is left out", "nameserver fe80::1%eth0\nnameserver ::1\n", []),
    ("comments", "# nameserver 10.0.0.1\n;nameserver 10.0.0.2\n", []),
    ("a comment behind it", "nameserver 10.0.0.1 # the router\r\n", ["10.0.0.1"]),
    ("not at the beginning", " nameserver 10.0.0.1\n", []),
    ("another word", "nameservers 10.0.0.1\nnameserver\nnameserver10.0.0.1\n", []),
    ("no address", "nameserver router.lan\nnameserver 10.0.0.256\nnameserver 10.1\n", []),
)


def test_the_resolvers_are_those_of_resolv_conf_in_order():
    for name, text, expected in RESOLVERS:
        found = network.resolvers_of(text.split("\n"))
        assert found == expected, (name, found)


def test_a_machine_without_resolv_conf_has_no_known_resolver():
    usual = network._RESOLVERS
    for nowhere in ("/nowhere/resolv.conf", "/"):
        network._RESOLVERS = nowhere
        try:
            assert network.resolvers() == [], nowhere
        finally:
            network._RESOLVERS = usual
    assert [address for address in network.resolvers() if len(address.split(".")) != 4] == []

"""What /proc and resolv.conf say, read on machines of either byte order; lines that are odd."""

import socket

from natwatch.port import network

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

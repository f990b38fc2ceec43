"""What kind of address is what."""

from natwatch.probes.addressing import addressing, kind_of


def test_addresses_are_told_apart_at_the_edges_of_their_networks():
    for address, kind in (
        ("10.0.0.0", "inner"),
        ("172.15.255.255", "public"),
        ("172.16.0.1", "inner"),
        ("172.31.255.255", "inner"),
        ("172.32.0.0", "public"),
        ("192.168.1.20", "inner"),
        ("100.63.255.255", "public"),
        ("100.64.0.0", "carrier"),
        ("100.127.255.255", "carrier"),
        ("100.128.0.0", "public"),
        ("169.254.7.7", "link-local"),
        ("127.0.0.1", "loopback"),
        ("203.0.113.9", "public"),
        (None, "unknown"),
        ("box", "unknown"),
    ):
        assert kind_of(address) == kind, (address, kind_of(address))


def test_whether_a_nat_stands_between_is_unknown_where_an_address_is():
    for local, mapped, translated in (
        ("192.168.1.20", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.9", False),
        (None, "203.0.113.9", None),
        ("192.168.1.20", None, None),
    ):
        found = addressing(local, "192.168.1.1", mapped, ())
        assert found["translated"] is translated, (local, mapped)

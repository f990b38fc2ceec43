"""Where the probe stands: its own address and its gateway, by what kind of address they are (R3).

No packet is sent: what the machine knows of itself is put into words.
"""

from natwatch.wire.ipv4 import inside, number_of

INNER, CARRIER, LINK_LOCAL, LOOPBACK, PUBLIC, UNKNOWN = (
    "inner",
    "carrier",
    "link-local",
    "loopback",
    "public",
    "unknown",
)
# (first, last) as numbers.
_CARRIER = (0x64400000, 0x647FFFFF)  # 100.64/10, RFC 6598
_LINK_LOCAL = (0xA9FE0000, 0xA9FEFFFF)  # 169.254/16, RFC 3927: no DHCP server answered
_LOOPBACK = (0x7F000000, 0x7FFFFFFF)
PRIVATE = ((0x0A000000, 0x0AFFFFFF), (0xAC100000, 0xAC1FFFFF), (0xC0A80000, 0xC0A8FFFF))


def kind_of(address, inner=PRIVATE):
    """What kind of address this is; *inner* are the operator's networks for phones behind NAT."""
    if number_of(address) is None:
        return UNKNOWN
    if [network for network in inner if inside(address, network)]:
        return INNER
    for kind, network in ((CARRIER, _CARRIER), (LINK_LOCAL, _LINK_LOCAL), (LOOPBACK, _LOOPBACK)):
        if inside(address, network):
            return kind
    return PUBLIC


def addressing(local, gateway, mapped, inner):
    """What the *local* address, the *gateway* and the *mapped* (public) address say, as a dict.

    Each may be None: unknown. ``translated`` is whether a NAT stands between, None if unknown.
    """
    translated = None if None in (local, mapped) else local != mapped
    return {
        "local": local,
        "kind": kind_of(local, inner),
        "gateway": gateway,
        "gateway_kind": kind_of(gateway, inner),
        "mapped": mapped,
        "translated": translated,
    }

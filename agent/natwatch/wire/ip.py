"""IP addresses as packets carry them. MicroPython has no ipaddress module."""

import struct


def ip_bytes(address: str) -> bytes:
    """The 4 or 16 bytes of a textual address. Raises ValueError."""
    if ":" in address:
        return _ipv6_bytes(address)
    parts = address.split(".")
    if len(parts) != 4:
        raise ValueError("expected an IP address, found %r" % address)
    numbers = [int(part) for part in parts]
    if min(numbers) < 0 or max(numbers) > 255:
        raise ValueError("expected an IP address, found %r" % address)
    return bytes(numbers)


def _ipv6_bytes(address):
    head, _, tail = address.partition("::")
    left = [int(group, 16) for group in head.split(":") if group]
    right = [int(group, 16) for group in tail.split(":") if group]
    gap = 8 - len(left) - len(right)
    # struct truncates silently on MicroPython, so each group is checked here.
    wide = [group for group in left + right if not 0 <= group <= 0xFFFF]
    if wide or gap < 0 or (gap and "::" not in address) or "::" in tail:
        raise ValueError("expected an IP address, found %r" % address)
    return b"".join([struct.pack(">H", group) for group in left + [0] * gap + right])


def ip_text(packed: bytes) -> str:
    """The textual form of 4 or 16 address bytes (IPv6 without the :: abbreviation)."""
    if len(packed) == 4:
        return "%d.%d.%d.%d" % tuple(packed)
    return ":".join(["%x" % group for group in struct.unpack(">8H", packed)])

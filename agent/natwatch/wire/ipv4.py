"""IPv4 addresses and networks as numbers. MicroPython has no ipaddress module."""


def number_of(address):
    """The 32-bit number of an IPv4 *address*, None if it is none."""
    parts = address.split(".") if isinstance(address, str) else ()
    if len(parts) != 4:
        return None
    number = 0
    for part in parts:
        if not 0 < len(part) <= 3 or not _digits(part) or int(part) > 255:
            return None
        number = number * 256 + int(part)
    return number


def text_of(number):
    """The address of a 32-bit *number*."""
    parts = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    return "%d.%d.%d.%d" % tuple(parts)


def network_of(text):
    """(first, last) address of a network such as 192.0.2.0/24 as numbers, None if it is none."""
    address, slash, length = text.partition("/") if isinstance(text, str) else ("", "", "")
    first = number_of(address)
    if first is None or not 0 < len(length) <= 2 or not _digits(length) or int(length) > 32:
        return None
    size = 1 << (32 - int(length))
    return None if first % size else (first, first + size - 1)


def inside(address, network):
    """Whether *address* lies in *network*, (first, last) as numbers."""
    number = number_of(address)
    return number is not None and network[0] <= number <= network[1]


def _digits(text):
    return not [character for character in text if character not in "0123456789"]

"""What the machine itself knows of its network: context for a measurement, not a measurement."""

import socket

from natwatch import port

_ROUTES = "/proc/net/route"  # Linux; one line a route, addresses as little-endian hex


def gateway():
    """The default gateway's address, or None."""
    try:
        with open(_ROUTES) as routes:
            for line in routes:
                fields = line.split()
                if len(fields) > 3 and fields[1] == "00000000" and int(fields[3], 16) & 2:
                    value = int(fields[2], 16)
                    parts = (value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24)
                    return "%d.%d.%d.%d" % parts
    except (OSError, ValueError):
        pass
    return None


def local_address(destination):
    """The address this machine sends from to *destination*, or None (MicroPython cannot tell)."""
    if port.interpreter == "micropython":
        return None
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect((destination, 9))  # sends nothing: a datagram socket only looks up the route
        return probe.getsockname()[0]
    except OSError:
        return None
    finally:
        probe.close()

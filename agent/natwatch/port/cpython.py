"""The platform as CPython shows it."""

import time

seconds = time.time


def now():
    return time.monotonic_ns() // 1000000


def pack_address(address, port):
    """The socket address of a numeric *address* and a *port*."""
    return (address, port)


def unpack_address(raw):
    """(address, port) of what recvfrom gave."""
    return raw[0], raw[1]

"""The platform as CPython shows it."""

import os
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


def discard_output():
    """Let what is still to be written to standard output go nowhere: nobody takes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

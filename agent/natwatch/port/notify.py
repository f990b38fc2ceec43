"""Tells systemd that the daemon is up, that it lives and that it ends: sd_notify(3), one datagram
each. Where nobody asked for it there is no NOTIFY_SOCKET, and nothing is sent.
"""

import os
import socket
import struct

from natwatch import port


class Notify:
    """*getenv(name)* reads the environment. ready() before turned(); times are ms."""

    def __init__(self, getenv=os.getenv):
        self._address = getenv("NOTIFY_SOCKET")
        self._every = _interval(getenv)
        self._next = None
        self._socket = None
        if self._address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._address = address_of(self._address)

    def ready(self, now):
        self._tell("READY=1")
        self._next = now

    def turned(self, now):
        """The loop has turned: told twice in the time within which systemd wants to hear it.

        Nothing else may tell it. A turn that hangs must starve the watchdog.
        """
        if self._every is not None and now >= self._next:
            self._next = now + self._every
            self._tell("WATCHDOG=1")

    def stopping(self):
        self._tell("STOPPING=1")

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, state):
        if self._socket is None:
            return
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:
            pass  # systemd is busy or gone; the watchdog's next word comes soon


def address_of(path):
    """The socket address of a Unix socket; @ begins a name in Linux' abstract namespace."""
    path = "\0" + path[1:] if path[0] == "@" else path
    if port.interpreter != "micropython":
        return path
    return struct.pack("H", socket.AF_UNIX) + path.encode()  # raw, as everywhere on MicroPython


def _interval(getenv):
    """The ms between two words to the watchdog, None: nobody waits for them."""
    try:
        wanted = int(getenv("WATCHDOG_USEC") or 0)
        told = int(getenv("WATCHDOG_PID") or 0)
    except ValueError:
        return None
    if wanted <= 0:
        return None
    # MicroPython does not know its number; there the environment is believed.
    if told and hasattr(os, "getpid") and told != os.getpid():
        return None
    return max(1, wanted // 2000)

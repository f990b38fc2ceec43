"""The platform as MicroPython's unix port shows it."""

import gc
import io
import socket
import struct
import sys
import time

import micropython

seconds = time.time

# Without a threshold the heap is filled to its end before the first collection, and every page
# of it stays resident.
gc.threshold(65536)

_last = time.ticks_ms()
_passed = 0


def now():
    # ticks_ms wraps (after 12.4 days on a 32-bit router), so the differences are added up.
    global _last, _passed
    ticks = time.ticks_ms()
    _passed += time.ticks_diff(ticks, _last)
    _last = ticks
    return _passed


# A sigset_t with SIGINT (2), the second bit of its first word.
_SIGINT = struct.pack("L", 2) + bytes(120)
_BLOCK, _UNBLOCK = 0, 1  # Linux; on MIPS other numbers, and the call fails


def _signals():
    """sigprocmask of the C library, SIGINT blocked; None where this build cannot call it."""
    try:
        import ffi

        mask = ffi.open(None).func("i", "sigprocmask", "iPP")
    except (ImportError, OSError):
        return None
    return mask if mask(_BLOCK, _SIGINT, None) == 0 else None


_mask = _signals() if hasattr(micropython, "kbd_intr") else None


def wait(poll, ms):
    """What *poll* has within *ms*. Ctrl-C is KeyboardInterrupt in here and nowhere else.

    MicroPython raises it at once, in the middle of a garbage collection as well, and the heap is
    locked or broken from then on (tried: of 120 interrupted starts 3, and some never ended). So
    SIGINT waits until the loop waits; where it cannot, it ends the program without a word.
    """
    if not hasattr(micropython, "kbd_intr"):
        return poll.poll(ms)
    micropython.kbd_intr(3)
    try:
        if _mask is not None:
            _mask(_UNBLOCK, _SIGINT, None)
        return poll.poll(ms)
    finally:
        if _mask is not None:
            _mask(_BLOCK, _SIGINT, None)
        else:
            micropython.kbd_intr(-1)


def pack_address(address, port):
    """The socket address of a numeric *address* and a *port*: raw bytes here."""
    return socket.getaddrinfo(address, port)[0][-1]


def unpack_address(raw):
    """(address, port) of what recvfrom gave."""
    decoded = socket.sockaddr(raw)
    return socket.inet_ntop(decoded[0], decoded[1]), decoded[2]


def discard_output():
    """Nothing to do: MicroPython writes nothing at its end."""


def accept_any_output():
    """Nothing to do: MicroPython writes UTF-8 and asks nobody."""


def end_on_termination():
    """MicroPython has no signal handlers: SIGTERM ends it at once, and the MQTT will tells."""


def where(error):
    """ "natwatch/file.py:12", where *error* was raised; "?" where nothing tells."""
    trace = io.StringIO()
    sys.print_exception(error, trace)
    # '  File "x.py", line 12, in f', the innermost last; a build without line numbers has none.
    found = [line for line in trace.getvalue().split("\n") if line.startswith('  File "')]
    parts = found[-1].split('"') if found else ()
    if len(parts) < 3:
        return "?"
    number = parts[2].split(",")[1].replace(" line ", "")
    return "%s:%s" % ("/".join(parts[1].split("/")[-3:]), number)


def sync(file):
    """Return when what was written to *file* is on the medium: flush() is fsync here."""
    file.flush()


def sync_folder(path):
    """The same for the names in a folder, which opens like a file."""
    with open(path) as folder:
        folder.flush()

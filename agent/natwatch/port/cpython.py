"""The platform as CPython shows it."""

import os
import signal
import sys
import time

seconds = time.time


def now():
    return time.monotonic_ns() // 1000000


def wait(poll, ms):
    """What *poll* has within *ms*."""
    return poll.poll(ms)


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


def accept_any_output():
    """Write ? for what the encoding of standard output lacks, instead of failing at the end of a
    measurement: KOI8-R has no dash, and ASCII no Russian."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def end_on_termination():
    """Let SIGTERM, with which systemd ends a service, end the daemon as cleanly as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)


def where(error):
    """ "natwatch/file.py:12", where *error* was raised; "?" where nothing tells."""
    step = error.__traceback__
    if step is None:
        return "?"
    while step.tb_next is not None:
        step = step.tb_next
    parts = step.tb_frame.f_code.co_filename.split("/")
    return "%s:%d" % ("/".join(parts[-3:]), step.tb_lineno)


def sync(file):
    """Return when what was written to *file* is on the medium."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path):
    """The same for the names in a folder."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

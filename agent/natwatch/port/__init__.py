"""All that differs between CPython and MicroPython, and all that touches the operating system.

now()        ms since some start; monotonic, never wraps
wall()       seconds since 1970 as the system believes, or None where the clock is unset
random(n)    n random bytes from the kernel
interpreter  "cpython" or "micropython"
wait(poll, ms)          what a poll object has; where Ctrl-C is heard
discard_output()        let what is still to be written to standard output go nowhere
accept_any_output()     write ? for what the locale's encoding of standard output lacks
where(error)            "natwatch/file.py:12", where an exception was raised
end_on_termination()    SIGTERM ends the daemon as Ctrl-C does, where the platform can
pack_address(address, port), unpack_address(raw)   socket addresses
"""

import os
import sys

interpreter = sys.implementation.name

if interpreter == "micropython":
    from natwatch.port import micropython as platform
else:
    from natwatch.port import cpython as platform

now = platform.now
wait = platform.wait
pack_address = platform.pack_address
unpack_address = platform.unpack_address
discard_output = platform.discard_output
accept_any_output = platform.accept_any_output
end_on_termination = platform.end_on_termination
where = platform.where

# A box without a clock wakes in 1970 or on the day its image was built; before this day the
# clock is unset for certain.
_EARLIEST = 1735689600  # 2025-01-01


def wall():
    value = platform.seconds()
    return value if value >= _EARLIEST else None


def random(size):
    return os.urandom(size)

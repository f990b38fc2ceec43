"""A program that blocks, in a child process of its own: bounded in time and output, polled.

The program prints one line of JSON, an object. Where it cannot, what poll() gives has an "error",
a sentence. Only where there are child processes: on CPython.
"""

import json
import os
import sys

from natwatch import port

_LONGEST = 4096  # bytes of output; more is not our line


def python(module, *arguments):
    """The argv that runs *module* with this interpreter.

    -P: not what lies in the working directory, which may be anybody's.
    """
    return [sys.executable, "-P", "-m", module] + list(arguments)


def supported():
    """Whether this platform has child processes."""
    return port.interpreter != "micropython"


def start(argv, end, name, longest=_LONGEST):
    """A Child that runs *argv* until *end* (ms) at most; None: there are none on this platform.

    *name* is what sentences about it call it, *longest* the most bytes that it may print.
    """
    if not supported():
        return None
    try:
        return Child(argv, end, name, longest)
    except OSError as error:  # no such program, no memory for a process, no descriptor is left
        return NoChild("%s cannot be started: error %s" % (name, error.errno))


class NoChild:
    """Stands for a Child that could not be started, and tells why."""

    def __init__(self, reason):
        self._reason = reason

    def poll(self, _now):
        return {"error": self._reason}

    def close(self):
        """There is nothing to end."""


class Child:
    """The process *argv*, killed at *end* (ms). Nothing here waits for it. See start()."""

    def __init__(self, argv, end, name, longest=_LONGEST):
        import subprocess  # here, because MicroPython has none

        self._end = end
        self._name = name
        self._longest = longest
        self._output = b""
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        os.set_blocking(self._process.stdout.fileno(), False)

    def poll(self, now):
        """What the program printed, once it has ended; None until then."""
        while len(self._output) <= self._longest:
            # A raw read: a buffered one would wait for more than there is.
            data = self._process.stdout.raw.read(self._longest)
            if data is None:
                if now < self._end:
                    return None
                self.close()
                return {"error": "%s did not end in time" % self._name}
            if not data:
                break
            self._output += data
        self.close()
        try:
            found = json.loads(self._output) if len(self._output) <= self._longest else None
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else self._without_result()

    def close(self):
        """End the process, if it has not ended, and leave nothing of it behind."""
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()

    def _without_result(self):
        return {"error": "%s ended without a result" % self._name}


def end_within(deadline):
    """In the child: end by itself after *deadline* ms, should whoever started it be gone."""
    import signal

    signal.alarm((deadline + 999) // 1000)

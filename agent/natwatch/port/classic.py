"""pystun3's verdict, as a second opinion: python -m natwatch.port.classic SERVER PORT SOURCE

The program prints one line of JSON: {"type": RFC 3489's name, "external": [address, port] or
None} or {"error": sentence}. *SOURCE* must be the real local address: with 0.0.0.0, pystun3 calls
an open line a full cone. pystun3 blocks for up to 32 s, loops for ever on some answers and raises
on others, so it runs in a child process, and only where there are child processes: on CPython.
"""

import json
import os
import sys

from natwatch import port
from natwatch.diagnosis.classic import name_of_pystun3

DEADLINE = 60000  # ms; four tests of four datagrams, 2 s each, are 32 s
_PATIENCE = 2  # s for an answer to one datagram, as pystun3 itself has it
_LONGEST = 4096  # bytes of a child's output; more is not our line


def start(server, source, now, deadline=DEADLINE):
    """A Child that asks *server*, (address, port), from *source*; None: unsupported here.

    *source* is None where the machine has no route to *server*.
    """
    if port.interpreter == "micropython":
        return None
    if source is None:
        return NoChild("no route to %s" % server[0])
    argv = [sys.executable, "-m", "natwatch.port.classic", server[0], str(server[1]), source]
    try:
        return Child(argv, now + deadline)
    except OSError as error:  # no memory for a process, no descriptor is left
        return NoChild("pystun3 cannot be started: error %s" % error.errno)


class NoChild:
    """Stands for a Child that could not be started, and tells why."""

    def __init__(self, reason):
        self._reason = reason

    def poll(self, _now):
        return {"error": self._reason}

    def close(self):
        """There is nothing to end."""


class Child:
    """The process *argv*, killed at *end* (ms). Nothing here waits for it."""

    def __init__(self, argv, end):
        import subprocess  # here, because MicroPython has none

        self._end = end
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
        while len(self._output) <= _LONGEST:
            # A raw read: a buffered one would wait for more than there is.
            data = self._process.stdout.raw.read(_LONGEST)
            if data is None:
                if now < self._end:
                    return None
                self.close()
                return {"error": "pystun3 did not end in time"}
            if not data:
                break
            self._output += data
        self.close()
        try:
            found = json.loads(self._output)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"error": "pystun3 ended without a result"}

    def close(self):
        """End the process, if it has not ended, and leave nothing of it behind."""
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()


def ask(server, source):
    """pystun3's verdict about the line between *source* and *server*, as a dict."""
    import socket

    try:
        import stun
    except ImportError:
        return {"error": "pystun3 is not installed"}
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
            flow.settimeout(_PATIENCE)
            flow.bind((source, 0))  # a fresh port: an old one's filter state makes a full cone
            local = flow.getsockname()[1]
            verdict, last = stun.get_nat_type(flow, source, local, server[0], server[1])
    # TypeError: it sends to None where the server names no other address.
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        return {"error": "pystun3 failed with %s: %s" % (type(error).__name__, error)}
    name = name_of_pystun3(verdict)
    if name is None:
        return {"error": "pystun3 reached no verdict: the server's other address is silent"}
    # The last test's answer has the address; there is none where that test stayed unanswered.
    mapped = [last["ExternalIP"], last["ExternalPort"]]
    return {"type": name, "external": None if mapped[0] is None else mapped}


def main(arguments):
    import signal

    signal.alarm(DEADLINE // 1000)  # should the daemon that started us be gone
    server, number, source = arguments
    print(json.dumps(ask((server, int(number)), source)))


if __name__ == "__main__":
    main(sys.argv[1:])

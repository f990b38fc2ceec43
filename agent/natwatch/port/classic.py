"""pystun3's verdict, as a second opinion: python -m natwatch.port.classic SERVER PORT SOURCE

The program prints one line of JSON: {"type": RFC 3489's name, "external": [address, port] or
None} or {"error": sentence}. *SOURCE* must be the real local address: with 0.0.0.0, pystun3 calls
an open line a full cone. pystun3 blocks for up to 32 s, loops for ever on some answers and raises
on others, so it runs in a child process, and only where there are child processes: on CPython.
"""

import json
import sys

from natwatch.diagnosis.classic import name_of_pystun3
from natwatch.port import child

DEADLINE = 60000  # ms; four tests of four datagrams, 2 s each, are 32 s
_PATIENCE = 2  # s for an answer to one datagram, as pystun3 itself has it


def start(server, source, now, deadline=DEADLINE):
    """A Child that asks *server*, (address, port), from *source*; None: unsupported here.

    *source* is None where the machine has no route to *server*, or nobody can tell.
    """
    if source is None:
        return child.NoChild("no route to %s" % server[0]) if child.supported() else None
    argv = child.python("natwatch.port.classic", server[0], str(server[1]), source)
    return child.start(argv, now + deadline, "pystun3")


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
    child.end_within(DEADLINE)
    server, number, source = arguments
    print(json.dumps(ask((server, int(number)), source)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The line beyond the customer's router, cut at will: nothing passes, either way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import Lab

# Beyond the NAT: what is sent has passed and refreshed it, what comes has not.
_ENDS = (("provider", "to-router"), ("router", "to-provider"))


def cut(lab: Lab) -> None:
    for host, interface in _ENDS:
        rule = (
            f"chain cut {{ type filter hook prerouting priority -400; iifname {interface} drop\n}}"
        )
        lab.nft(host, "outage", rule)


def mend(lab: Lab) -> None:
    for host, _ in _ENDS:
        lab.nft(host, "outage", "")


@contextmanager
def outages(lab: Lab, length: float, period: float) -> Iterator[None]:
    """Within it the line is cut for *length* of every *period* seconds."""
    over = threading.Event()

    def toggle() -> None:
        while not over.wait(period - length):
            cut(lab)
            over.wait(length)
            mend(lab)

    thread = threading.Thread(target=toggle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

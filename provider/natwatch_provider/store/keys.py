"""A key: what has a lifetime of its own, and how it is written."""

import ipaddress
from typing import NamedTuple


class Key(NamedTuple):
    """*port_class* as in ``udp/sip``; *state* of the binding; *context* from context_of()."""

    port_class: str
    state: str
    context: str

    def __str__(self) -> str:
        return f"{self.port_class} {self.state}"


def context_of(gateway: str | None, public: str | None) -> str:
    """The line that a measurement was made on: the gateway and the public prefix.

    A prefix, /24 or /48, since a carrier's NAT draws from a pool of neighbouring addresses.
    """
    return f"{gateway or '-'}|{_prefix(public)}"


def _prefix(public: str | None) -> str:
    if public is None:
        return "-"
    try:
        address = ipaddress.ip_address(public)
    except ValueError:
        return public  # the device's own word for it, still the same for the same line
    length = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))

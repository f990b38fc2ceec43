"""A real resolver in the lab: dnsmasq, which most home routers run, with the records of a test.

It knows nothing else: no upstream server, no resolv.conf, no hosts file.
"""

import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.lab.stage import Stage

ROUTER = "192.168.1.1"  # the customer's router on its LAN, in every topology
_DNSMASQ = "/usr/sbin/dnsmasq"
_TTL = 300  # s, of all but Address records that have one of their own


class Address(NamedTuple):
    """An A record; several of one name are one answer."""

    name: str
    address: str
    ttl: int = _TTL


class Alias(NamedTuple):
    """A CNAME; the target must be one of the other records."""

    name: str
    target: str


class Service(NamedTuple):
    """An SRV record of ``_sip._udp.NAME``."""

    name: str
    target: str
    port: int = 5060
    priority: int = 10
    weight: int = 0


Record = Address | Alias | Service


def start_resolver(
    stage: Stage,
    records: Sequence[Record],
    zones: Sequence[str] = ("example",),
    host: str = "router",
    address: str = ROUTER,
) -> subprocess.Popen[Any]:
    """Start it on *host* at *address*; its log, with every question, is called ``resolver``.

    Of names in *zones* that have no record it says that they do not exist (NXDOMAIN); it refuses
    to tell of others. To change the records, stop it and start another.
    """
    argv = [
        *(_DNSMASQ, "--no-daemon", "--conf-file=/dev/null", "--pid-file="),
        *("--no-resolv", "--no-hosts", "--no-poll", "--log-queries", f"--local-ttl={_TTL}"),
        *("--port=53", f"--listen-address={address}", "--bind-interfaces"),
        *(f"--local=/{zone}/" for zone in zones),
        *(_option(record) for record in records),
    ]
    process = stage.spawn("resolver", host, argv)
    stage.expect("resolver", "started, version", 20)
    return process


def _option(record: Record) -> str:
    if isinstance(record, Address):
        return f"--host-record={record.name},{record.address},{record.ttl}"
    if isinstance(record, Alias):
        return f"--cname={record.name},{record.target}"
    where = f"{record.target},{record.port},{record.priority},{record.weight}"
    return f"--srv-host=_sip._udp.{record.name},{where}"

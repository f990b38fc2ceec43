"""Lab: builds a topology in network namespaces, and runs things on its hosts.

Only inside a container (see container.py): the names of the hosts are the container's own.
"""

import contextlib
import ipaddress
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.lab import container
from tests.lab.nat import Nat
from tests.lab.topology import BRIDGE, Link, Topology

_NAMES = Path("/run/netns")


class Traffic(NamedTuple):
    """Bytes and packets of one interface since it was made; bytes with the 14 of Ethernet."""

    bytes_in: int
    packets_in: int
    bytes_out: int
    packets_out: int


class LabError(Exception):
    """What was expected, found, and what to do, in one sentence."""


class Lab:
    """A context manager; NATs start as masquerading routers that filter nothing outward.

    *scratch* is a folder that vanishes with the container.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.nats: dict[str, Nat] = {}
        self.scratch = Path("/run/lab")
        self._processes: list[subprocess.Popen[Any]] = []

    @property
    def router(self) -> Nat:
        """The customer's NAT."""
        return self.nats["router"]

    @property
    def carrier(self) -> Nat:
        """The carrier's NAT, in topologies that have one."""
        return self.nats["carrier"]

    def __enter__(self) -> "Lab":
        if not _NAMES.is_dir() or any(_NAMES.iterdir()):
            raise LabError(
                "expected an empty lab container, found none; start with tests.lab.container.run"
                " or `python -m tests.lab.enter`"
            )
        self.scratch.mkdir(exist_ok=True)
        for host in self.topology.hosts:
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
            for address in self.topology.addresses.get(host, ()):
                _ip("-n", host, "address", "add", f"{address}/32", "dev", "lo")
        for link in self.topology.cables:
            self._join(link)
        for host, links in self.topology.segments.items():
            self._bridge(host, links)
        for link in self.topology.cables:
            self._route(link.inner, link.outer)
        for host in self.topology.plain:
            self._make_plain(host)
        for host in self.topology.nats:
            self.nats[host] = self._make_nat(host)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                _kill(process)
            process.wait()
        for host in self.topology.hosts:
            _ip("netns", "delete", host)

    def spawn(self, host: str, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Starts *argv* on *host*; *popen* as for subprocess.Popen. Ended with the lab at last.

        It has a session of its own: Ctrl-C reaches the lab's program only, which decides.
        """
        popen.setdefault("start_new_session", True)
        with self.on(host):
            process = subprocess.Popen(argv, **popen)
        self._processes.append(process)
        return process

    def run(self, host: str, argv: Sequence[str], given: str = "") -> str:
        """Runs *argv* on *host* to its end, *given* on its standard input; its standard output.

        LabError if it fails.
        """
        try:
            with self.on(host):
                done = subprocess.run(argv, capture_output=True, text=True, input=given)
        except FileNotFoundError as error:
            raise LabError(f"expected the program {argv[0]}, found none; run make setup") from error
        if done.returncode:
            raise LabError(f"{host}: {' '.join(argv)}: status {done.returncode}: {done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def on(self, host: str) -> Iterator[None]:
        """Within it, this thread is on *host*: sockets made and programs started belong there.

        A socket stays on its host for ever, so one program can hold sockets of several.
        """
        if host not in self.topology.hosts:
            raise LabError(
                f"expected one of {self.topology.hosts}, found {host}; name another host"
            )
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(_NAMES / host, os.O_RDONLY)
            try:
                container.join_network(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                container.join_network(here)
        finally:
            os.close(here)

    def set_link(self, inner: str, outer: str, up: bool) -> None:
        """Takes a link down (both ends lose their carrier) or up again, routes restored."""
        _ip("-n", inner, "link", "set", f"to-{outer}", "up" if up else "down")
        if up:
            self._route(inner, outer)

    def traffic(self, host: str, neighbour: str) -> Traffic:
        """The counters of *host*'s interface toward *neighbour*."""
        with self.on(host):
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        for line in lines:
            name, _, numbers = line.partition(":")
            if name.strip() == f"to-{neighbour}":
                n = [int(number) for number in numbers.split()]
                return Traffic(n[0], n[1], n[8], n[9])
        raise LabError(f"expected a link of {host} to {neighbour}, found none in the topology")

    def sysctl(self, host: str, name: str, value: object) -> None:
        """Writes /proc/sys/*name* as *host* sees it."""
        with self.on(host):
            Path("/proc/sys", name).write_text(f"{value}\n")

    def nft(self, host: str, table: str, body: str) -> None:
        """Replaces the nftables table of that name on *host*, in one step; "" removes it."""
        text = f"table ip {table}\ndelete table ip {table}\n"
        if body:
            text += f"table ip {table} {{\n{body}\n}}\n"
        self.run(host, ["nft", "-f", "-"], given=text)

    def _join(self, link: Link) -> None:
        inner, outer = link.inner, link.outer
        _ip(
            *("link", "add", f"to-{outer}", "netns", inner, "type", "veth"),
            *("peer", "name", f"to-{inner}", "netns", outer),
        )
        _ip("-n", inner, "address", "add", link.inner_address, "dev", f"to-{outer}")
        if outer not in self.topology.segments:
            _ip("-n", outer, "address", "add", link.outer_address, "dev", f"to-{inner}")
        for host, other in ((inner, outer), (outer, inner)):
            _ip("-n", host, "link", "set", f"to-{other}", "up")

    def _bridge(self, host: str, links: list[Link]) -> None:
        _ip("-n", host, "link", "add", BRIDGE, "type", "bridge")
        # Where br_netfilter is loaded, what one port sends to another would meet our rules.
        with contextlib.suppress(FileNotFoundError):
            self.sysctl(host, "net/bridge/bridge-nf-call-iptables", 0)
        for link in links:
            _ip("-n", host, "link", "set", f"to-{link.inner}", "master", BRIDGE)
        _ip("-n", host, "address", "add", links[0].outer_address, "dev", BRIDGE)
        _ip("-n", host, "link", "set", BRIDGE, "up")

    def _route(self, inner: str, outer: str) -> None:
        link = next(k for k in self.topology.links if (k.inner, k.outer) == (inner, outer))
        _ip("-n", inner, "route", "replace", "default", "via", link.outer_address.split("/")[0])

    def _make_plain(self, host: str) -> None:
        """Let *host* forward, and its outer neighbour know what is behind it."""
        self.sysctl(host, "net/ipv4/ip_forward", 1)
        link = next(link for link in self.topology.links if link.inner == host)
        for address in self.topology.behind(host):
            network = str(ipaddress.ip_interface(address).network)
            way = link.inner_address.split("/")[0]
            _ip("-n", link.outer, "route", "add", network, "via", way)

    def _make_nat(self, host: str) -> Nat:
        outer = next(link for link in self.topology.links if link.inner == host)
        self.sysctl(host, "net/ipv4/ip_forward", 1)
        beyond = (outer.outer, f"to-{host}")
        nat = Nat(self, host, self.topology.inward(host), f"to-{outer.outer}", beyond)
        nat.set_mapping()
        nat.set_timers()
        return nat


def _kill(process: subprocess.Popen[Any]) -> None:
    """With its children, where the session is its own: Kamailio's outlive their parent."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")

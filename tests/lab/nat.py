"""A NAT of the Linux kernel: nftables and conntrack of one host, each aspect set by itself.

Each aspect has an nftables table of its own, which its setter replaces as a whole; so a
setter's arguments are the aspect's complete state, and changing the timers, say, leaves the
translation alone (a flow whose NAT rule is reloaded under it can stay broken).
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tests.lab.topology import BROKER, PROVIDER_NETWORK

if TYPE_CHECKING:
    from tests.lab.lab import Lab

# (protocol, destination, ports as nftables writes them): requirement R2 and our broker.
R2 = (
    ("udp", PROVIDER_NETWORK, "5060, 3478, 3479, 8000-10000"),
    ("tcp", BROKER, "8883, 443"),
)


class Binding(NamedTuple):
    """One conntrack entry: the flow as the inner side sent it, and what is left of its time."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    seconds_left: int
    replied: bool
    public: str
    public_port: int


class Nat:
    """*inner* and *outer* are interfaces of *host*; *beyond* is (host, interface) past outer."""

    def __init__(
        self, lab: "Lab", host: str, inner: str, outer: str, beyond: tuple[str, str]
    ) -> None:
        self.lab = lab
        self.host = host
        self.inner = inner
        self.outer = outer
        self.beyond = beyond

    def set_mapping(
        self, mode: str = "", forwards: Iterable[tuple[str, int, str, int]] = ()
    ) -> None:
        """Masquerades outward. *mode*: "" preserves ports, "random" or "fully-random" do not
        (symmetric). *forwards*: (protocol, public port, inner address, port) a rule."""
        rules = "".join(
            f"iifname {self.outer} {protocol} dport {port} dnat to {address}:{inner_port}\n"
            for protocol, port, address, inner_port in forwards
        )
        self._replace(
            "nat",
            f"chain incoming {{ type nat hook prerouting priority dstnat; {rules} }}\n"
            f"chain outgoing {{ type nat hook postrouting priority srcnat;\n"
            f"oifname {self.outer} masquerade {mode}\n}}",
        )

    def set_timers(
        self,
        udp: int = 30,
        stream: int = 120,
        ports: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        """Seconds a UDP binding lives: *udp* until the second packet after 2 s, *stream* then.

        *ports*: destination port -> (udp, stream), for new bindings only (the kernel decides
        at the first packet). The general timers count from each binding's next packet.
        """
        self.lab.sysctl(self.host, "net/netfilter/nf_conntrack_udp_timeout", udp)
        self.lab.sysctl(self.host, "net/netfilter/nf_conntrack_udp_timeout_stream", stream)
        policies = rules = ""
        for port, (unreplied, replied) in (ports or {}).items():
            policies += (
                f"ct timeout port{port} {{ protocol udp; l3proto ip;"
                f" policy = {{ unreplied : {unreplied}, replied : {replied} }}; }}\n"
            )
            rules += f'udp dport {port} ct timeout set "port{port}"\n'
        # At -150, after conntrack (-200): before it, the rule is silently ignored.
        chain = f"chain timers {{ type filter hook prerouting priority -150;\n{rules} }}"
        self._replace("timers", policies + chain if ports else "")

    def set_filter(
        self,
        allow: Iterable[tuple[str, str, str]] | None = None,
        drop: Iterable[tuple[str, str]] = (),
    ) -> None:
        """*allow*: nothing else passes outward (see R2); None: everything does. *drop*:
        (protocol, ports), dropped outward before that."""
        rules = "".join(
            f"iifname {self.inner} {protocol} dport {{ {ports} }} drop\n"
            for protocol, ports in drop
        )
        if allow is not None:
            rules += "ct state established,related accept\n"
            for protocol, network, ports in allow:
                rules += f"ip daddr {network} {protocol} dport {{ {ports} }} accept\n"
            rules += f"iifname {self.inner} drop\n"
        self._replace(
            "filter", f"chain outward {{ type filter hook forward priority 0;\n{rules} }}"
        )

    def set_loss(self, outward: float = 0.0, inward: float = 0.0) -> None:
        """Share of packets lost on the line beyond the NAT, at random: sent ones have passed
        the NAT (and refreshed it), coming ones have not."""
        for (host, interface), share in ((self.beyond, outward), ((self.host, self.outer), inward)):
            rule = f"iifname {interface} numgen random mod 10000 < {round(share * 10000)} drop"
            self.lab.nft(
                host,
                f"loss_{interface}",
                f"chain lose {{ type filter hook prerouting priority -400; {rule}\n }}"
                if share
                else "",
            )

    def set_sip_alg(self, on: bool) -> None:
        """The kernel's SIP helper on UDP port 5060, outward: nf_conntrack_sip, nf_nat_sip."""
        self._replace(
            "alg",
            'ct helper sip { type "sip" protocol udp; }\n'
            "chain helper { type filter hook prerouting priority -150;\n"
            f'iifname {self.inner} udp dport 5060 ct helper set "sip"\n }}'
            if on
            else "",
        )

    def restart(self) -> None:
        """Forgets every binding, as a router does that was switched off and on."""
        self.lab.run(self.host, ["conntrack", "-F"])

    def bindings(self) -> list[Binding]:
        """The ground truth: what conntrack holds now."""
        listing = self.lab.run(self.host, ["conntrack", "-L"])
        return [binding for line in listing.splitlines() if (binding := _parse(line))]

    def _replace(self, aspect: str, body: str) -> None:
        self.lab.nft(self.host, aspect, body)


def _parse(line: str) -> Binding | None:
    """The binding in one line of `conntrack -L`; None for other protocols than UDP and TCP."""
    words = line.split()
    if len(words) < 4 or words[0] not in ("udp", "tcp"):
        return None
    fields = [word.partition("=")[2] for word in re.findall(r"(?:src|dst|sport|dport)=\S+", line)]
    source, destination, source_port, destination_port, _, public, _, public_port = fields
    return Binding(
        words[0],
        source,
        int(source_port),
        destination,
        int(destination_port),
        int(words[2]),
        "[UNREPLIED]" not in line,
        public,
        int(public_port),
    )

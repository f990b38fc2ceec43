"""Who is joined to whom, as data. Hosts are what links name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# Addresses of the provider's network, seen nowhere else (requirements: 109.69.176.128/25).
PROVIDER_NETWORK = "109.69.176.128/25"
REFLECTOR_A = "109.69.176.130"
REFLECTOR_B = "109.69.176.210"  # in the other half, so that a mistyped netmask shows
BROKER = "109.69.176.140"
ELSEWHERE = "198.51.100.7"  # a host of the Internet that is not the provider's
REGISTRAR = "109.69.176.150"  # a real one's: 5060 of the reflector's two is the reflector's
PHONE = "192.168.1.20"
ADAPTER = "192.168.1.30"  # the customer's SIP adapter, where it is a host of its own
PUBLIC = "203.0.113.9"  # the outermost NAT's address, as the provider sees it
ROUTABLE = "109.69.176.9"  # public, where a program must not take it for documentation's (RFC 5737)
PUBLIC_POOL = (PUBLIC, "203.0.113.10", "203.0.113.11")  # of a UserNat that has several
BRIDGE = "lan"  # joins the hosts of one segment, on the router


@dataclass(frozen=True)
class Link:
    """A cable: an interface ``to-<other>`` at each end, with address and prefix length."""

    inner: str
    inner_address: str
    outer: str
    outer_address: str


@dataclass(frozen=True)
class Topology:
    """*links* from the inside out; each inner end's default route leads over its link.

    Links to the same address of a host are one segment there: their outer ends are ports of a
    bridge ``lan`` that has the address. *nats* are the hosts that translate toward their outer
    link, *addresses* what a host owns beside its links. *userspace* is the one host that is no
    namespace: a UserNat takes its place, and its two links are tunnels into that.
    """

    links: tuple[Link, ...]
    nats: tuple[str, ...]
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    userspace: str | None = None

    @property
    def hosts(self) -> list[str]:
        ends = dict.fromkeys(h for link in self.links for h in (link.inner, link.outer))
        return [host for host in ends if host != self.userspace]

    @property
    def cables(self) -> list[Link]:
        """The links whose both ends are namespaces."""
        return [k for k in self.links if self.userspace not in (k.inner, k.outer)]

    @property
    def plain(self) -> list[str]:
        """The hosts that forward and translate nothing."""
        ends = {link.outer for link in self.links} & {link.inner for link in self.links}
        return sorted(ends - {*self.nats, self.userspace})

    def behind(self, host: str) -> list[str]:
        """The networks whose addresses a plain *host* shows outward as they are."""
        links = [link for link in self.links if link.outer == host]
        found = [link.outer_address for link in links]
        for link in links:
            if link.inner in self.plain:
                found += self.behind(link.inner)
        return found

    @property
    def segments(self) -> dict[str, list[Link]]:
        """By host with a bridge: the links that are its ports."""
        found: dict[tuple[str, str], list[Link]] = {}
        for link in self.cables:
            found.setdefault((link.outer, link.outer_address), []).append(link)
        return {host: links for (host, _), links in found.items() if len(links) > 1}

    def inward(self, host: str) -> str:
        """The name of *host*'s interface toward the customer."""
        if host in self.segments:
            return BRIDGE
        return f"to-{next(link.inner for link in self.links if link.outer == host)}"


_PROVIDER = {"provider": (REFLECTOR_A, REFLECTOR_B, BROKER, REGISTRAR, ELSEWHERE)}

HOME = Topology(
    links=(
        Link("phone", f"{PHONE}/24", "router", "192.168.1.1/24"),
        Link("router", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),
    ),
    nats=("router",),
    addresses=_PROVIDER,
)

# HOME for miniupnpd, which calls forwarding impossible behind PUBLIC.
HOME_ROUTABLE = replace(
    HOME,
    links=(HOME.links[0], Link("router", f"{ROUTABLE}/25", "provider", "109.69.176.1/25")),
)

CARRIER = Topology(
    links=(
        Link("phone", f"{PHONE}/24", "router", "192.168.1.1/24"),
        Link("router", "100.64.7.2/24", "carrier", "100.64.7.1/24"),
        Link("carrier", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),
    ),
    nats=("router", "carrier"),
    addresses=_PROVIDER,
)

# A router of the carrier that translates nothing, between the customer's and the carrier's NAT.
PLAIN = Topology(
    links=(
        Link("phone", f"{PHONE}/24", "router", "192.168.1.1/24"),
        Link("router", "100.64.7.2/24", "plain", "100.64.7.1/24"),
        Link("plain", "100.64.8.2/24", "carrier", "100.64.8.1/24"),
        Link("carrier", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),
    ),
    nats=("router", "carrier"),
    addresses=_PROVIDER,
)

# A switch that routes and translates nothing, between the probe and the customer's NAT.
PLAIN_FIRST = Topology(
    links=(
        Link("phone", f"{PHONE}/24", "plain", "192.168.1.1/24"),
        Link("plain", "192.168.2.2/24", "router", "192.168.2.1/24"),
        Link("router", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),
    ),
    nats=("router",),
    addresses=_PROVIDER,
)

# A second router of the customer's own, and the carrier's NAT behind it.
THREE = Topology(
    links=(
        Link("phone", f"{PHONE}/24", "router", "192.168.1.1/24"),
        Link("router", "192.168.2.2/24", "second", "192.168.2.1/24"),
        Link("second", "100.64.7.2/24", "carrier", "100.64.7.1/24"),
        Link("carrier", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),
    ),
    nats=("router", "second", "carrier"),
    addresses=_PROVIDER,
)

_ADAPTER_LINK = Link("adapter", f"{ADAPTER}/24", "router", "192.168.1.1/24")

HOME_ADAPTER = replace(HOME, links=(_ADAPTER_LINK, *HOME.links))

CARRIER_ADAPTER = replace(CARRIER, links=(_ADAPTER_LINK, *CARRIER.links))

# No NAT: the phone has a public address.
OPEN = Topology(
    links=(Link("phone", f"{PUBLIC}/24", "provider", "203.0.113.1/24"),),
    nats=(),
    addresses=_PROVIDER,
)

# A router that gives its LAN addresses of a carrier's range (RFC 6598).
SHARED = replace(
    HOME,
    links=(Link("phone", "100.64.5.20/24", "router", "100.64.5.1/24"), HOME.links[1]),
)

HOME_USERNAT = replace(HOME, nats=(), userspace="router")

CARRIER_USERNAT = replace(CARRIER, nats=("router",), userspace="carrier")

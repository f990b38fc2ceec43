"""NATs and firewalls of known kinds, and the truth about each, as one socket can see it.

A Linux masquerade maps by destination but keeps the port while it is free: to any one socket it is
endpoint-independent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab import HOME, HOME_USERNAT, PUBLIC, Lab, Topology, UserNat
from tests.lab.translator import ADDRESS, ADDRESS_AND_PORT, INDEPENDENT, KINDS, Behaviour


def firewall_itself(lab: Lab) -> None:
    """The router drops what comes to it unasked from outside, as routers are sold."""
    lab.nft(
        "router",
        "guard",
        "chain guard { type filter hook input priority 0; iifname to-provider drop\n}",
    )


def masquerade(lab: Lab) -> None:
    firewall_itself(lab)


def open_masquerade(lab: Lab) -> None:
    pass


def random_ports(lab: Lab) -> None:
    firewall_itself(lab)
    lab.router.set_mapping("random,fully-random")


def no_nat(lab: Lab) -> None:
    lab.nft("router", "nat", "")
    lab.run("provider", ["ip", "route", "add", "192.168.1.0/24", "via", PUBLIC])


def no_nat_but_a_firewall(lab: Lab) -> None:
    no_nat(lab)
    lab.nft(
        "router",
        "guard",
        "chain guard { type filter hook forward priority 0;\n"
        "ct state established accept\niifname to-provider drop\n}",
    )


def userspace(mapping: str, filtering: str, preserve_ports: bool = True) -> Callable[[Lab], None]:
    def prepare(lab: Lab) -> None:
        UserNat(lab, Behaviour(mapping, filtering, preserve_ports=preserve_ports))

    return prepare


@dataclass(frozen=True)
class Scene:
    """A NAT and the truth about it; *wrong*: what a tool is known to say instead."""

    name: str
    prepare: Callable[[Lab], None]
    mapping: str
    filtering: str
    topology: Topology = HOME
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def shows_what_is_filtered(self) -> bool:
        """Whether a foreign server can be seen to answer from its other endpoint: a socket that
        contacted that endpoint has the same public one towards both."""
        return self.mapping in (INDEPENDENT, "none")


SCENES = [
    Scene("masquerade", masquerade, INDEPENDENT, ADDRESS_AND_PORT),
    Scene(
        "masquerade on a router without a firewall",
        open_masquerade,
        INDEPENDENT,
        ADDRESS_AND_PORT,
        wrong={"pystun3": "Symmetric NAT"},
    ),
    Scene("random ports", random_ports, ADDRESS_AND_PORT, ADDRESS_AND_PORT),
    Scene("no NAT", no_nat, "none", INDEPENDENT),
    Scene("no NAT but a firewall", no_nat_but_a_firewall, "none", ADDRESS_AND_PORT),
    *(
        Scene(f"userspace, {kind} filter", userspace(INDEPENDENT, kind), INDEPENDENT, kind,
              HOME_USERNAT)
        for kind in KINDS
    ),
    Scene("userspace, address-dependent mapping",
          userspace(ADDRESS, ADDRESS, preserve_ports=False), ADDRESS, ADDRESS, HOME_USERNAT,
          wrong={"natdiscovery": ADDRESS_AND_PORT}),
]  # fmt: skip

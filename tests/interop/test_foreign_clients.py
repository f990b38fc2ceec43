"""Other people's clients against our reflector, behind NATs of known kinds: verdict against truth.

What each tool is known to get wrong, so that it is not taken for our fault:

* pystun3 asks everything from one socket. Behind a Linux router that does not drop what comes to
  itself unasked, the answer from the server's other address makes an entry in conntrack; the
  request to that address then collides with it and gets another port: "Symmetric NAT". A router
  with a firewall of its own drops that answer before it becomes an entry. It does not look where
  answers come from, and takes a lost datagram for a filtered one.
* turnutils_natdiscovery calls a dead alternate address "Endpoint Independent Mapping" and has no
  verdict where nothing answers; it sees that there is no NAT only if its local address is given.
  Its third request goes to the OTHER-ADDRESS of the second answer. coturn's server names its second
  address in every answer; where it is the other one of the address asked, as RFC 5780, 7.4 has it,
  that request leads back to the first address: address-dependent becomes port-dependent.
* stun (0.97) says nothing of filtering where the mapping depends on the destination, and
  "Port Dependent Filter" after a lost datagram.
* All three take one socket's word: a Linux masquerade, which maps by destination but keeps the
  port while it is free, is endpoint-independent to them, as it is to any one socket.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from natwatch.diagnosis.classic import classic_name
from tests.interop.foreign import Natdiscovery, Pystun3, StunClient
from tests.lab import HOME, HOME_USERNAT, PUBLIC, Lab, Topology, UserNat
from tests.lab.stage import Stage
from tests.lab.translator import ADDRESS, ADDRESS_AND_PORT, INDEPENDENT, KINDS, Behaviour

_STUN_FILTERS = {
    INDEPENDENT: "Independent Filter",
    ADDRESS: "Address Dependent Filter",
    ADDRESS_AND_PORT: "Port Dependent Filter",
}


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

    def stun(self) -> str:
        if self.mapping == "none":
            return "Open" if self.filtering == INDEPENDENT else "Firewall"
        if self.mapping == INDEPENDENT:
            return f"Independent Mapping, {_STUN_FILTERS[self.filtering]}"
        return "Dependent Mapping"


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


@pytest.mark.lab
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name.replace(" ", "-"))
def test_other_peoples_clients_find_the_truth_with_our_reflector(scene: Scene) -> None:
    with Lab(scene.topology) as lab:
        scene.prepare(lab)
        Stage(lab).start_reflector()
        discovery, stun, pystun3 = Natdiscovery(lab), StunClient(lab), Pystun3(lab)
        mapping = scene.wrong.get("natdiscovery", scene.mapping)
        assert discovery.verdict() == (mapping, scene.filtering)
        assert stun.verdict() == scene.stun()
        name = classic_name(scene.mapping, scene.filtering)
        assert pystun3.verdict().get("type") == scene.wrong.get("pystun3", name)

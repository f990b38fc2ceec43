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

import pytest

from natwatch.diagnosis.classic import classic_name
from tests.interop.foreign import Natdiscovery, Pystun3, StunClient
from tests.interop.scenes import SCENES, Scene
from tests.lab import Lab
from tests.lab.stage import Stage
from tests.lab.translator import ADDRESS, ADDRESS_AND_PORT, INDEPENDENT

_STUN_FILTERS = {
    INDEPENDENT: "Independent Filter",
    ADDRESS: "Address Dependent Filter",
    ADDRESS_AND_PORT: "Port Dependent Filter",
}


def in_words_of_stun(scene: Scene) -> str:
    if scene.mapping == "none":
        return "Open" if scene.filtering == INDEPENDENT else "Firewall"
    if scene.mapping == INDEPENDENT:
        return f"Independent Mapping, {_STUN_FILTERS[scene.filtering]}"
    return "Dependent Mapping"


@pytest.mark.lab
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name.replace(" ", "-"))
def test_other_peoples_clients_find_the_truth_with_our_reflector(scene: Scene) -> None:
    with Lab(scene.topology) as lab:
        scene.prepare(lab)
        Stage(lab).start_reflector()
        discovery, stun, pystun3 = Natdiscovery(lab), StunClient(lab), Pystun3(lab)
        mapping = scene.wrong.get("natdiscovery", scene.mapping)
        assert discovery.verdict() == (mapping, scene.filtering)
        assert stun.verdict() == in_words_of_stun(scene)
        name = classic_name(scene.mapping, scene.filtering)
        assert pystun3.verdict().get("type") == scene.wrong.get("pystun3", name)

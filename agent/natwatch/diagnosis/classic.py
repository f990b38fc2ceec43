"""The names of RFC 3489, section 5, which support staff know, for what RFC 5780 tells apart.

They are one word for two questions, and not every NAT has one: RFC 3489's test asks for filtering
first, so that it calls a NAT whose mapping differs with the destination a full cone if that NAT
lets everybody in. Here the mapping decides, since it is what breaks a call.
"""

OPEN = "Open Internet"
FIREWALL = "Symmetric UDP Firewall"
FULL_CONE = "Full Cone"
RESTRICTED_CONE = "Restricted Cone"
PORT_RESTRICTED_CONE = "Port Restricted Cone"
SYMMETRIC = "Symmetric NAT"
BLOCKED = "Blocked"

_CONES = {
    "endpoint-independent": FULL_CONE,
    "address-dependent": RESTRICTED_CONE,
    "address-and-port-dependent": PORT_RESTRICTED_CONE,
}
# As pystun3 2.0.0 spells them; it has no name for the test that fails in the middle.
_PYSTUN3 = {"Restric NAT": RESTRICTED_CONE, "Restric Port NAT": PORT_RESTRICTED_CONE}
_NAMES = (OPEN, FIREWALL, FULL_CONE, RESTRICTED_CONE, PORT_RESTRICTED_CONE, SYMMETRIC, BLOCKED)


def classic_name(mapping, filtering):
    """The classic name of what our engines found ("none" as mapping: no NAT), None if unknown.

    Never "Blocked": a server's silence does not show that the customer's UDP is blocked.
    """
    if mapping in ("address-dependent", "address-and-port-dependent"):
        return SYMMETRIC
    if filtering not in _CONES:
        return None
    if mapping == "none":
        return OPEN if filtering == "endpoint-independent" else FIREWALL
    return _CONES[filtering] if mapping == "endpoint-independent" else None


def name_of_pystun3(verdict):
    """RFC 3489's name for pystun3's *verdict*, None if that is none."""
    name = _PYSTUN3.get(verdict, verdict)
    return name if name in _NAMES else None


def set_beside(result, theirs):
    """Put the classic test's word into a *result* of kind "nat", beside our own.

    *theirs* is what port.classic tells; None: it cannot be asked here.
    """
    name = classic_name(result["mapping"], result["filtering"])
    told = theirs or {"error": "pystun3 needs CPython"}
    result["classic"] = {"type": told.get("type"), "name": name, "reason": told.get("error")}
    result["difference"] = difference(name, told.get("type"))


def difference(ours, theirs):
    """One sentence where the classic test says otherwise than we; None where both agree or one
    is unknown. *ours* is of classic_name(), *theirs* of name_of_pystun3()."""
    if ours is None or theirs is None or ours == theirs:
        return None
    return "the classic test says %s, our own %s: %s" % (theirs, ours, _cause(ours, theirs))


def _cause(ours, theirs):
    if theirs == BLOCKED:
        return "it gives up after four datagrams without an answer"
    if theirs == SYMMETRIC:
        # Tried on Linux: the answer from the other address, which the NAT does not let in, makes
        # an entry of its own, and the request to that address then has to take another port.
        return (
            "it asks everything from one socket, and a NAT may give that socket another port"
            " after a datagram from outside that it did not let in"
        )
    if ours == SYMMETRIC:
        return (
            "it asks who may answer before it asks how ports are given, and of the latter"
            " by one socket only; its word is a cone for a NAT that is none"
        )
    if theirs in (OPEN, FULL_CONE):
        return "it does not look where an answer comes from"
    return "it takes a lost datagram for a filtered one, ours repeats and counter-checks"

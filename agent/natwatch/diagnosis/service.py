"""What is known of the customer's adapter, its forward and its account: R3, R7, R8 and R9.

Each function gives [(code, evidence), …] for diagnosis.findings.
"""

from natwatch.probes.addressing import INNER, PUBLIC, UNKNOWN, kind_of
from natwatch.probes.filtering import INDEPENDENT
from natwatch.probes.mapping import ARBITRARY

_REFUSED = ("refused", "redirected", "unsupported", "challenged forever")


def judge_adapter(adapter):
    """Of the adapter on the LAN; None: none is configured."""
    if adapter is None:
        return []
    found = []
    if adapter["kind"] not in (INNER, UNKNOWN):
        evidence = {"address": adapter["address"], "kind": adapter["kind"]}
        found.append(("adapter.outside", evidence))
    if adapter["on_segment"] is False:
        found.append(("adapter.elsewhere", {"address": adapter["address"]}))
    if not adapter["answered"]:
        # No fault by itself: some adapters answer nobody but their registrar.
        found.append(("adapter.silent", {"address": adapter["address"], "port": adapter["port"]}))
    return found


def judge_account(measured, lost):
    """Of the registrar's name, the account, the registration and the forward.

    *lost*: no keepalive holds the binding, so that only a forward would carry calls.
    """
    found = _name(measured["dns"])
    found += _account(measured["registration"])
    state = registered(measured)
    if state is False:
        bindings = measured["registration"]["bindings"]
        if bindings:
            evidence = {"bindings": bindings, "public": _public(measured)}
            found.append(("sip.registered.elsewhere", evidence))
        else:
            found.append(("sip.unregistered", {}))
    return found + _forward(measured, lost)


def forwarded(measured):
    """Whether the adapter itself was reached through the router's forward.

    A NAT that lets anybody in to an open binding (endpoint-independent filtering) does so with the
    adapter's own: while that lives the adapter answers without any forward.
    """
    forward, nat = measured["forward"], measured["nat"]
    if forward is None or forward["answered"] is not True or forward["same_agent"] is not True:
        return False
    return nat is not None and nat["filtering"] not in (None, INDEPENDENT)


def registered(measured):
    """Whether the registrar holds a registration of this line's phone; None: unknown.

    A contact with an inner address may be this phone's or another site's.
    """
    registration, public = measured["registration"], _public(measured)
    bindings = None if registration is None else registration["bindings"]
    if bindings is None:
        return None
    if not bindings:
        return False
    seen = [_seen_from(binding) for binding in bindings]
    if public is not None and public in seen:
        return True
    if (measured.get("nat") or {}).get("pooling") == ARBITRARY:
        return None  # this line has other public addresses as well
    known = [address for address in seen if address is not None]
    return False if public is not None and len(known) == len(seen) else None


def _seen_from(binding):
    """The public address that a *binding* was made from, None where it does not say."""
    address = binding["received"] or binding["address"]
    return None if address is None or kind_of(address) != PUBLIC else address


def _public(measured):
    addressing = measured["addressing"]
    return None if addressing is None else addressing["mapped"]


def _name(dns):
    if dns is None:
        return []
    evidence = {"name": dns["name"], "resolver": dns["resolver"]}
    if dns["state"] == "wrong":
        return [("dns.wrong", dict(evidence, outside=dns["outside"]))]
    if dns["state"] in ("no such name", "no address", "refused"):
        return [("dns.none", dict(evidence, state=dns["state"]))]
    if dns["state"] == "no answer":
        return [("dns.silent", evidence)]
    return []


def _account(registration):
    if registration is None:
        return []
    register = registration["register"]
    evidence = {"registrar": registration["registrar"], "status": register["status"]}
    resting = register["state"] == "resting"
    silent = registration["options"]["status"] is None
    if silent and (resting or register["state"] in ("no answer", "not asked")):
        return [("sip.registrar.silent", {"registrar": registration["registrar"]})]
    if resting or register["state"] == "wrong password":
        # An hour's rest mends no password: that nothing was sent now is no "ready".
        return [("sip.account.refused", dict(evidence, resting=resting))]
    if register["state"] in _REFUSED or register["state"] == "no answer":
        return [("sip.account.failed", dict(evidence, state=register["state"]))]
    return []


def _forward(measured, lost):
    forward = measured["forward"]
    if forward is None or forward["answered"] is None:
        return []
    evidence = {"port": forward["port"], "public": forward["public"]}
    if forward["answered"] is False:
        return [("forward.missing" if lost else "forward.none", evidence)]
    if forward["same_agent"] is False:
        return [("forward.other", dict(evidence, agent=forward["agent"]))]
    return [("forward.works" if forwarded(measured) else "forward.unproven", evidence)]

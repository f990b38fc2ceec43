"""What the one-shot commands do: engines chosen, run to their end, results put together."""

import time

from natwatch import port
from natwatch.daemon import telling
from natwatch.diagnosis import keepalive, layers_lines
from natwatch.diagnosis.classic import set_beside
from natwatch.diagnosis.layers import combine, nats
from natwatch.evidence import Evidence
from natwatch.oneshot import measure
from natwatch.port import classic, network
from natwatch.probes.addressing import PRIVATE, addressing
from natwatch.probes.behaviour import Behaviour
from natwatch.probes.bracket import seconds
from natwatch.probes.filtering import Filtering
from natwatch.probes.foreign import ForeignLifetime
from natwatch.probes.foreign_filtering import ForeignFiltering
from natwatch.probes.keepalives import Keepalives
from natwatch.probes.layers import Layers
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.mapping import Mapping
from natwatch.probes.path import Path
from natwatch.probes.refreshed import REFRESHED, Refreshed
from natwatch.probes.session import Session
from natwatch.probes.teeth import ONEWAY, REPLIED, STREAM

FOREIGN_STATES = (REPLIED, STREAM)  # a foreign server always answers
_BINDINGS = 64
_PACE = 10  # ms between the openings of two bindings
_SIP = "udp/sip"


class Outcome:
    """*result* as JSON and as *lines*; *known*: whether it is an answer. Without a result,
    *trouble* says why."""

    def __init__(self, result, lines=(), known=True, trouble=None):
        self.result = result
        self.lines = lines
        self.known = known
        self.trouble = trouble


def _session(target):
    address, device, key = target
    return Session(device, key, address, port.random)


def lifetime(kind, target, key, limit):
    """One lifetime of *key*, searched up to *limit* ms."""
    if kind == "server":
        session = None
        engine = ForeignLifetime(target, key[1], limit, _BINDINGS, _PACE, port.random)
    else:
        session = _session(target)
        if key[1] == REFRESHED:
            engine = Refreshed(session, key[0], limit, _BINDINGS, _PACE)
        else:
            engine = Lifetime(session, key, limit, _BINDINGS, _PACE)
    found = measure(session, [engine], lambda now: telling.progress(engine.progress(now)))
    if found is None:
        return Outcome(None, trouble=session.trouble)
    result = found[0]
    result.pop("measurement")
    if kind == "server":
        result["server"] = "%s:%d" % target
        result["class"] = "udp/%d" % target[1]
    return Outcome(result, [telling.lifetime(result)], result["lo"] is not None)


def nat(kind, target):
    """The NAT's behaviour, and beside it the classic test."""
    session = None
    if kind == "server":
        server = target
        filtering = ForeignFiltering(server, port.random)
    else:
        session = _session(target)
        server = session.endpoint
        filtering = Filtering(session)
    own = network.own_addresses()
    engine = Behaviour(filtering, Mapping(server, port.random, own=own))
    found = measure(session, [engine], lambda now: "asking %s about the NAT" % server[0])
    if found is None:
        return Outcome(None, trouble=session.trouble)
    result = found[0]
    set_beside(result, _classic(server))
    known = result["mapping"] is not None or result["filtering"] is not None
    return Outcome(result, telling.behaviour(result), known)


def _classic(server):
    """What the classic test says of the line to *server*: see port.classic; None: unsupported."""
    child = classic.start(server, network.local_address(server[0]), port.now())
    found = None
    try:
        while child is not None and found is None:
            time.sleep(0.1)
            found = child.poll(port.now())
    finally:
        if child is not None:
            child.close()
    return found


def advice(target, limit):
    """The keepalive to advise: both lifetimes that matter for it, and which kinds arrive."""
    session = _session(target)
    half = _BINDINGS // 2  # both searches at once
    replied = Lifetime(session, (_SIP, REPLIED), limit, half, _PACE)
    oneway = Lifetime(session, (_SIP, ONEWAY), limit, half, _PACE)
    kinds = Keepalives(session)
    searches = [replied, oneway]

    def describe(now):
        running = [engine for engine in searches if not engine.done] or searches
        engine = max(running, key=lambda engine: engine.progress(now)["left"])
        return telling.progress(engine.progress(now))

    found = measure(session, [kinds] + searches, describe)
    if found is None:
        return Outcome(None, trouble=session.trouble)
    brackets = [search.bracket for search in searches]
    known = [None if found is None else seconds((found.lo, found.hi)) for found in brackets]
    result = keepalive.advise(known[0], known[1])
    result["kinds"] = found[0]["kinds"]
    for state, search in (("replied", found[1]), ("oneway", found[2])):
        result[state] = {name: search.get(name) for name in ("lo", "hi", "reason")}
    lines = [telling.lifetime(search) for search in found[1:]]
    lines += [telling.keepalives(found[0]), telling.advice(result)]
    return Outcome(result, lines, result["margin"] != keepalive.UNKNOWN)


def layers(target, limit, language):
    """Which boxes on the way keep state, and which of them forgets first."""
    session = _session(target)
    found = measure(session, [Path(session)], lambda now: "counting the routers on the way")
    if found is None:
        return Outcome(None, trouble=session.trouble)
    path = found[0]
    mapped = None if session.mapped is None else session.mapped[0]
    where = addressing(network.address_towards(target[0]), network.gateway(), mapped, PRIVATE)
    half = _BINDINGS // 2  # both searches at once
    engines = [Layers(session, state, limit, half, _PACE, path) for state in (STREAM, REPLIED)]
    if where["translated"] is False and path["open"]:
        engines = []  # nothing translates and nothing filters: there is no timer to wait for

    def describe(now):
        running = [engine for engine in engines if not engine.done]
        if not running:
            return "asking the router about itself"
        slowest = max(running, key=lambda engine: engine.progress(now)["left"])
        return "%s: %s" % (slowest.key[1], telling.progress(slowest.progress(now)))

    asked = [Evidence(session.endpoint, port.random)] + engines
    found = measure(session, asked, describe)
    if found is None or session.boot is None:
        # It never answered: what the router says of itself alone is no answer to the question.
        silence = "no answer from the reflector at %s port %d" % session.endpoint
        return Outcome(None, trouble=session.trouble or silence)
    measured = {STREAM: None, REPLIED: None}
    for engine, result in zip(engines, found[1:]):
        measured[engine.key[1]] = result
    result = combine(measured, found[0], where)
    result["measured"] = {"path": path, "states": measured, "gateway": found[0]}
    return Outcome(result, layers_lines.lines(result, language), nats(result) is not None)

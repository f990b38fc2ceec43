"""What each source says of the number of boxes on the way, and whether they agree.

A piece of evidence is {"source", "says", "name", "values"}: ``says`` is "none", "one", "at least
one", "two", … or "nothing" (no number), ``name`` that of its sentence in layers_texts.EVIDENCE.
Timers and hole punching count boxes that keep state, the other sources NATs. Only where nothing is
translated, and so every box is a firewall, is that not the same.
"""

from natwatch.diagnosis.boxes import STATES, apart, outermost
from natwatch.probes.addressing import CARRIER, INNER, PUBLIC, kind_of
from natwatch.wire.ipv4 import inside, network_of

ROUTERS_OWN = ("upnp", "nat_pmp", "pcp")  # ways to ask the router itself
KEEPERS = ("timers", "punch")
NOTHING = "nothing"
_NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_UNSET = network_of("0.0.0.0/8")  # RFC 1122, 3.2.1.3: "this network"; routers without a line say so
_MULTICAST = network_of("224.0.0.0/3")  # and the reserved ones above; nobody's own address


def evidence(layers, boxes, complete, told, addressing):
    """[piece, …]; *told* are the answers of the gateway, *addressing* as of the probe, both may be
    None."""
    found = _timers(layers, boxes, complete) + _punch(layers, boxes)
    mapped = None if addressing is None else addressing["mapped"]
    if addressing is not None and addressing["translated"] is not None:
        name = "translated" if addressing["translated"] else "not translated"
        span = (1, None) if addressing["translated"] else (0, 0)
        found.append(_piece("addresses", name, span, local=addressing["local"], mapped=mapped))
    if told is not None:
        for source in ROUTERS_OWN:
            found += _router(source, told[source], mapped)
        found += _hops(told["icmp"])
    return found


def external(told):
    """The router's own outer address, None where it is not known or its answers differ."""
    answers = [] if told is None else [told[source]["external"] for source in ROUTERS_OWN]
    known = [address for address in answers if address is not None and _usable(address)]
    return known[0] if known and known.count(known[0]) == len(known) else None


def of_a_home(told):
    """Whether the gateway speaks what home routers do; PCP is the carriers' as well (RFC 6887)."""
    states = [] if told is None else [told[source]["state"] for source in ("upnp", "nat_pmp")]
    return "answered" in states or "refused" in states


def agreement(found, firewall):
    """Whether the sources in *found* can all be right; None: fewer than two speak of a number.

    *firewall*: nothing is translated.
    """
    kinds = [[], []]
    for piece in found:
        if piece["says"] != NOTHING:
            kinds[firewall and piece["source"] in KEEPERS].append(span(piece["says"]))
    if max(len(kinds[0]), len(kinds[1])) < 2:
        return None
    return None not in [joint(spans) for spans in kinds if spans]


def joint(spans):
    """The (least, most) that all *spans* allow, most None: no end; None where nothing does."""
    least = max([one[0] for one in spans])
    ends = [one[1] for one in spans if one[1] is not None]
    most = min(ends) if ends else None
    return (least, most) if most is None or least <= most else None


def says(least, most):
    """(2, 2) in a word: two; (2, None): at least two; (0, 2): at most two."""
    if least == most:
        return _number(least)
    return "at least " + _number(least) if most is None else "at most " + _number(most)


def span(text):
    """The (least, most) of a text of says()."""
    number = text.split(" ")[-1]
    number = _NUMBERS.index(number) if number in _NUMBERS else int(number)
    if text.startswith("at least "):
        return number, None
    return (0 if text.startswith("at most ") else number), number


def _number(number):
    return _NUMBERS[number] if number < len(_NUMBERS) else "%d" % number


def _piece(source, name, span=None, **values):
    word = NOTHING if span is None else says(span[0], span[1])
    return {"source": source, "says": word, "name": name, "values": values}


def _timers(layers, boxes, complete):
    told = [(state, layers[state]) for state in STATES if layers[state] is not None]
    counts = dict([(state, len(result["nats"])) for state, result in told if result["line"]])
    if not counts or not (boxes or complete):
        return []
    differ = len(set(counts.values())) > 1
    most = len(boxes) if complete else None
    name = "timers differ" if differ else "timers"
    hops = [[box["first"], box["last"]] for box in boxes]
    return [_piece("timers", name, (len(boxes), most), hops=hops, counts=counts)]


def _punch(layers, boxes):
    """The outermost box that filters, if hole punching found it. Beyond may stand NATs that do
    not filter (RFC 6888, REQ-7), so this is no upper bound."""
    place = outermost(layers)
    if place is None:
        return []
    span = (1, None)
    if not [box for box in boxes if apart(box, place) == 0]:
        span = (1 + len(boxes), None)
    return [_piece("punch", "punch", span, hops=[[place["first"], place["last"]]])]


def _router(source, told, mapped):
    """What the router says of itself, by UPnP, NAT-PMP or PCP."""
    address = told["external"]
    if address is None:
        if told["state"] in ("silent", "unsupported"):
            return []
        return [_piece(source, "no address", reason=told["reason"] or told["state"])]
    values = {"external": address, "mapped": mapped}
    if not _usable(address):
        return [_piece(source, "useless", **values)]
    if address == mapped:
        return [_piece(source, "equal", (1, 1), **values)]
    kind = kind_of(address)
    if kind != PUBLIC:
        return [_piece(source, kind, (2, None), **values)]
    # A second public address of the router's, another line, or a NAT: nobody knows.
    return [_piece(source, "unknown" if mapped is None else "verify", **values)]


def _hops(icmp):
    hops = [[one["hop"], one["address"]] for one in icmp["hops"] if one["address"] is not None]
    if not hops:
        return []
    # RFC 6598 addresses are no proof: some carriers number mere routers so.
    shared = [hop for hop, address in hops if hop > 1 and kind_of(address) == CARRIER]
    return [_piece("icmp", "hops shared" if shared else "hops", None, hops=hops)]


def _usable(address):
    unusable = inside(address, _UNSET) or inside(address, _MULTICAST)
    return kind_of(address) in (INNER, CARRIER, PUBLIC) and not unusable

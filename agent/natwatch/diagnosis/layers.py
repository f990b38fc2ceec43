"""Which boxes on the way keep state, whose they are and which forgets first: the timers of the
engine ``layers`` beside everything else that tells of a NAT. Pure functions.

Where the sources differ all of them are told, and none is chosen.
"""

from natwatch.diagnosis import sources
from natwatch.diagnosis.boxes import STATES, lasting, merged, shortest, stretches
from natwatch.probes.addressing import CARRIER, kind_of

ROUTER, CARRIERS, OUTER, FIREWALL = "router", "carrier", "outer", "firewall"
# The findings that name a box which forgets too soon.
SHORT = ("layers.router.short", "layers.carrier.short", "layers.outer.short")
_LONGEST_NAME = 64  # characters of a model; its maker wrote it
_LONGEST_REASON = 512  # characters; the collector refuses a longer one (docs/telemetry.md)
_SLACK = 1.0  # s between two measurements of one timer


def combine(layers, evidence, addressing, configured=None):
    """Everything known of the boxes between the probe and the reflector, as one dict.

    *layers* is {"stream": result of Layers or None, "replied": the same}; *evidence* what the
    gateway told of itself, *addressing* where the probe stands (probes.addressing), each None
    where it was not asked; *configured* what the probe's own kernel does, if it is a router.

    The dict: ``boxes`` from the probe outward, {"first", "last": hops; "owner", "stream",
    "replied": [lo, hi] s or None, hi None: above the limit; "model"; "address": its outer one};
    ``short``, of each state the index of the box that forgets first, None where unknown or none
    is first; ``clear``, hops without a box that forgets within ``beyond`` s; ``hidden``, hops of
    which nothing is known; ``complete``; ``count`` of boxes, None: not measured; ``evidence`` as in
    diagnosis.sources; ``agree``; ``reason`` why something is unknown.
    """
    boxes, doubtful = merged(layers)
    told = [result for result in [layers[state] for state in STATES] if result is not None]
    whole = [r for r in told if r["complete"] and len(r["nats"]) == len(boxes)]
    complete = bool(whole) and not doubtful
    timed, boxes = boxes, boxes + lasting(layers, boxes)
    boxes.sort(key=lambda box: (box["first"], box["last"]))
    firewall = addressing is not None and addressing["translated"] is False
    own_router = configured is not None and configured["router"] is True
    _name(boxes, evidence, addressing, own_router, complete)
    clear, hidden = stretches(layers, boxes)
    # Where nothing died stands a plain router, or a NAT that outlasts the search: timers cannot
    # tell, and count at least those that forget.
    within = [one for one in clear if boxes and one["first"] < boxes[-1]["first"]]
    all_timed = complete and len(timed) == len(boxes) and not within
    found = sources.evidence(layers, timed, all_timed, evidence, addressing)
    return {
        "class": "udp/sip",
        "boxes": boxes,
        "short": {state: _short(layers[state], boxes, state) for state in STATES},
        "clear": clear,
        "hidden": hidden,
        "complete": complete,
        "count": len(boxes) if boxes or complete else None,
        "evidence": found,
        "agree": sources.agreement(found, firewall),
        "reason": _reason(told, doubtful),
    }


def nats(combined):
    """(least, most) number of NATs by all sources, most None: no end; None where they say
    nothing, or differ."""
    if combined is None:
        return None
    counted = combined["evidence"]
    if [box for box in combined["boxes"] if box["owner"] == FIREWALL]:
        counted = [piece for piece in counted if piece["source"] not in sources.KEEPERS]
    spans = [sources.span(piece["says"]) for piece in counted if piece["says"] != sources.NOTHING]
    return sources.joint(spans) if spans else None


def judge(combined, advice, lost, usual=None):
    """[(code, evidence), …] for diagnosis.findings.

    *advice* is that on keepalives; *lost*: no keepalive of the profile, or not the usual one,
    holds the binding; *usual*: the usual one, s.
    """
    if combined is None:
        return []
    found, shown = [], []
    for state in ("replied", "stream"):  # the first decides about keepalives
        index = combined["short"][state]
        if index is None or index in shown:
            continue
        box = combined["boxes"][index]
        guilty = lost and advice["hi"] is not None and box[state][0] < advice["hi"]
        if guilty and box["owner"] != FIREWALL:
            found.append(("layers.%s.short" % box["owner"], _compared(combined, index, state)))
        elif len(combined["boxes"]) > 1:
            found.append(("layers.shorter", _compared(combined, index, state)))
        shown.append(index)
    for state in ("replied", "stream"):
        for index in _guilty_too(combined["boxes"], state, advice, usual) if lost else []:
            if index not in shown:
                code = "layers.%s.short" % combined["boxes"][index]["owner"]
                found.append((code, _compared(combined, index, state)))
                shown.append(index)
    number = nats(combined)
    if number is not None and number[0] > 1:
        evidence = {"least": number[0], "most": number[1], "outer": _outer(combined)}
        found.append(("layers.several", evidence))
    if combined["agree"] is False:
        told = [[piece["source"], piece["says"]] for piece in combined["evidence"]]
        speaking = [pair for pair in told if pair[1] != sources.NOTHING]
        found.append(("layers.disagree", {"evidence": speaking}))
    return found


def _guilty_too(boxes, state, advice, usual):
    """The indices of all boxes that forget too soon in *state*: mending the first alone, or one of
    two that are alike, leaves the line as short as the others."""
    first = shortest(boxes, state)
    if advice["hi"] is None or not [i for i in first if boxes[i][state][0] < advice["hi"]]:
        return []
    ended = [i for i, one in enumerate(boxes) if one[state] is not None and one[state][1]]
    return [
        i
        for i in ended
        if boxes[i]["owner"] != FIREWALL
        and (
            (i in first and boxes[i][state][0] < advice["hi"]) or boxes[i][state][1] <= (usual or 0)
        )
    ]


def _name(boxes, evidence, addressing, own_router, complete):
    """Put owner, model and outer address into each of *boxes*."""
    local, mapped, translated = None, None, None
    if addressing is not None:
        local, mapped = addressing["local"], addressing["mapped"]
        translated = addressing["translated"]
    answered = sources.external(evidence)
    upnp = {"manufacturer": None, "model": None} if evidence is None else evidence["upnp"]
    hops = [] if evidence is None else evidence["icmp"]["hops"]
    shared = [hop["hop"] for hop in hops if hop["address"] and kind_of(hop["address"]) == CARRIER]
    # Some home routers deal such addresses out themselves, but then a router's protocols answer.
    inside = kind_of(local) == CARRIER and not sources.of_a_home(evidence)
    alone = own_router or inside
    carriers = inside or kind_of(answered) == CARRIER
    for index, box in enumerate(boxes):
        there = [hop for hop in shared if box["first"] <= hop <= box["last"]]
        if translated is False:
            box["owner"] = FIREWALL
        elif index == 0 and box["first"] <= 1 and not alone:
            box["owner"] = ROUTER
        else:
            box["owner"] = CARRIERS if carriers or there else OUTER
        box["model"], box["address"] = None, None
        if complete and translated and index == len(boxes) - 1:
            box["address"] = mapped
        if box["owner"] == ROUTER:
            box["model"] = _model(upnp)
            box["address"] = answered or box["address"]


def _model(upnp):
    """Maker and model in one line, the maker once; None where UPnP did not tell."""
    maker, model = upnp["manufacturer"] or "", upnp["model"] or ""
    text = model if model.lower().startswith(maker.lower()) else maker + " " + model
    return text.strip()[:_LONGEST_NAME] or None


def _short(result, boxes, state):
    """The index of the box that is the first to forget in *state*, or None."""
    first = shortest(boxes, state)
    if len(first) != 1 or result["line"] is None:
        return None
    # A line that forgets sooner than every box that was found has another box.
    end = result["line"][1]
    sooner = end is not None and end + _SLACK < boxes[first[0]][state][0]
    return None if sooner else first[0]


def _reason(told, doubtful):
    reasons = []
    for result in told:
        if result["reason"] is not None and result["reason"] not in reasons:
            reasons.append(result["reason"])
    if not told:
        reasons.append("the boxes' timers were not measured")
    if doubtful:
        reasons.append("the states' boxes cannot be told to be the same")
    return "; ".join(reasons)[:_LONGEST_REASON] or None


def _compared(combined, index, state):
    """The box *index* and the others that have a lifetime in *state*."""
    parts = [_part(box, state) for box in combined["boxes"]]
    others = [p for i, p in enumerate(parts) if i != index and p["lifetime"] is not None]
    return {"state": state, "box": parts[index], "others": others}


def _part(box, state):
    part = dict([(name, box[name]) for name in ("owner", "first", "last", "model")])
    part["lifetime"] = box[state]
    return part


def _outer(combined):
    """Whose the NAT in front of the router is."""
    if len(combined["boxes"]) > 1:
        return combined["boxes"][-1]["owner"]
    shared = [p for p in combined["evidence"] if p["source"] in sources.ROUTERS_OWN]
    return CARRIERS if [p for p in shared if p["name"] == CARRIER] else OUTER

"""Which boxes on the way keep state, whose they are and which forgets first: the timers of the
engine ``layers`` beside everything else that tells of a NAT. Pure functions.

Where the sources differ all of them are told, and none is chosen.
"""

from natwatch.diagnosis import sources, texts
from natwatch.diagnosis.boxes import STATES, merged, shortest, stretches
from natwatch.diagnosis.layers_texts import EVIDENCE, LAYERS, SOURCES
from natwatch.diagnosis.texts import bracket_text, say
from natwatch.document import plain
from natwatch.probes.addressing import CARRIER, kind_of

ROUTER, CARRIERS, OUTER, FIREWALL = "router", "carrier", "outer", "firewall"
# The findings that name a box which forgets too soon.
SHORT = ("layers.router.short", "layers.carrier.short", "layers.outer.short")
_LONGEST_NAME = 64  # characters of a model; its maker wrote it
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
    firewall = addressing is not None and addressing["translated"] is False
    own_router = configured is not None and configured["router"] is True
    _name(boxes, evidence, addressing, own_router, complete)
    found = sources.evidence(layers, boxes, complete, evidence, addressing)
    clear, hidden = stretches(layers, boxes)
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
    spans = [sources.span(piece["says"]) for piece in counted if piece["says"] is not None]
    return sources.joint(spans) if spans else None


def judge(combined, advice, lost):
    """[(code, evidence), …] for diagnosis.findings.

    *advice* is that on keepalives; *lost*: no keepalive of the profile, or not the usual one,
    holds the binding.
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
    number = nats(combined)
    if number is not None and number[0] > 1:
        evidence = {"least": number[0], "most": number[1], "outer": _outer(combined)}
        found.append(("layers.several", evidence))
    if combined["agree"] is False:
        speaking = [[p["source"], p["says"]] for p in combined["evidence"] if p["says"]]
        found.append(("layers.disagree", {"evidence": speaking}))
    return found


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
    # Behind a carrier's NAT without a router nobody answers for the gateway.
    alone = own_router or (answered is None and kind_of(local) == CARRIER)
    carriers = kind_of(local if answered is None else answered) == CARRIER
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
    return "; ".join(reasons) or None


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


def lines(combined, language):
    """For people, in *language*: a table box by box, what it means, and the evidence."""
    told = [count_line(combined, language)]
    told += _table(combined, language)
    for part in (verdicts(combined, language), _evidence(combined, language)):
        told += [""] + part if part else []
    return [plain(line) for line in told]


def facts(combined, language):
    """The same for the check's report, whose findings say what it means: a line a box."""
    if combined is None:
        return []
    told = [count_line(combined, language)]
    told += [box_line(box, language) for box in combined["boxes"]]
    told += [stretch_text(one, language) for one in combined["clear"] + combined["hidden"]]
    return told + _evidence(combined, language)


def verdicts(combined, language):
    """The sentences that say what it means."""
    told = []
    for code, evidence in judge(combined, {"hi": None}, False):
        told.append(say(texts.FINDINGS, code, language, shown(evidence, language)))
    several = len(combined["boxes"]) > 1
    for state in STATES:
        if several and len(shortest(combined["boxes"], state)) > 1:
            told.append(say(LAYERS, "equal", language) % state)
    return told


def count_line(combined, language):
    """How many NATs, or firewalls, as a line."""
    number, name = nats(combined), "count"
    if [box for box in combined["boxes"] if box["owner"] == FIREWALL]:
        least = len(combined["boxes"])
        number, name = (least, least if combined["complete"] else None), "boxes"
    if number is None:
        text = say(LAYERS, "differ" if combined["agree"] is False else "unknown", language)
    else:
        text = count_text(sources.says(number[0], number[1]), language)
    return say(LAYERS, name, language) % text


def count_text(text, language):
    """A text of sources.says() in *language*."""
    least, most = sources.span(text)
    if language == "en":
        return text
    form = "at least" if most is None else ("exactly" if least == most else "at most")
    return say(LAYERS, form, language) % (most if form == "at most" else least)


def box_text(box, language):
    """router ACME X1 (hop 1)."""
    return "%s (%s)" % (named(box, language), hops_text(box, language))


def named(box, language):
    """router ACME X1."""
    return say(LAYERS, box["owner"], language) + (" " + box["model"] if box["model"] else "")


def hops_text(one, language):
    """hop 1, or hop 1-2, where a box or a stretch is."""
    return say(LAYERS, "hop", language) % _range_text([one["first"], one["last"]])


def box_line(box, language):
    """A box with its lifetimes and its outer address."""
    return "%s: %s" % (box_text(box, language), ", ".join(figures_of(box, language)))


def figures_of(box, language):
    """[stream 29.4-30.6 s, …, outer address 100.64.7.2]: what is known of a box."""
    parts = ["%s %s" % (state, _seconds(box[state], language)) for state in STATES if box[state]]
    if box["address"] is not None:
        parts.append("%s %s" % (say(LAYERS, "outside", language), box["address"]))
    return parts


def stretch_text(stretch, language):
    """Hops without a box, or of which nothing is known."""
    return "%s: %s" % (hops_text(stretch, language), _what_of(stretch, language))


def evidence_text(piece, language):
    """One piece of evidence as a sentence with its figures."""
    values = dict(piece["values"])
    for name in values:
        if values[name] is None:
            values[name] = "?"
    if piece["source"] == "icmp":
        values["hops"] = ", ".join(["%d: %s" % tuple(hop) for hop in values["hops"]])
    elif "hops" in values:
        values["hops"] = ", ".join([_range_text(hops) for hops in values["hops"]]) or "-"
    if "counts" in values:
        counts = values["counts"]
        values["counts"] = ", ".join(["%s %d" % (s, counts[s]) for s in STATES if s in counts])
    text = say(EVIDENCE, piece["name"], language, values)
    source = say(SOURCES, piece["source"], language)
    if piece["says"] is None:
        return "%s: %s" % (source, text)
    return "%s: %s: %s" % (source, count_text(piece["says"], language), text)


def shown(evidence, language):
    """The values of a finding or step of ours as its text wants them."""
    values = dict(evidence)
    if "box" in values:
        values["lifetime"] = _seconds(values["box"]["lifetime"], language)
        values["others"] = "".join(
            [
                "; %s: %s" % (box_text(one, language), _seconds(one["lifetime"], language))
                for one in values["others"]
            ]
        )
        values["box"] = box_text(values["box"], language)
    if "least" in values:
        values["count"] = count_text(sources.says(values["least"], values["most"]), language)
        values["outer"] = say(LAYERS, values["outer"], language)
    if "evidence" in values:
        parts = [
            "%s: %s" % (say(SOURCES, source, language), count_text(word, language))
            for source, word in values["evidence"]
        ]
        values["evidence"] = ", ".join(parts)
    return values


def _evidence(combined, language):
    told = [evidence_text(piece, language) for piece in combined["evidence"]]
    if combined["reason"] is not None:
        told.append(say(LAYERS, "reason", language) % combined["reason"])
    return told


def _table(combined, language):
    head = [say(LAYERS, name, language) for name in ("hops", "box")]
    head += [state + say(LAYERS, "in s", language) for state in STATES]
    rows = [head + [say(LAYERS, "outside", language)]]
    places = combined["boxes"] + combined["clear"] + combined["hidden"]
    for place in sorted(places, key=lambda one: (one["first"], one["last"])):
        row = [_range_text([place["first"], place["last"]])]
        if "owner" in place:
            row.append(named(place, language))
            row += [_figures(place[state]) if place[state] else "?" for state in STATES]
            row.append(place["address"] or "")
        else:
            row += [_what_of(place, language), "", "", ""]
        rows.append(row)
    if len(rows) == 1:
        return []
    wide = [max([len(row[column]) for row in rows]) for column in range(5)]
    # MicroPython pads by bytes, and Russian letters have two.
    return [
        "  ".join([cell + " " * (wide[i] - len(cell)) for i, cell in enumerate(row)]).rstrip()
        for row in rows
    ]


def _what_of(stretch, language):
    if "beyond" in stretch:
        return say(LAYERS, "clear", language) % stretch["beyond"]
    return say(LAYERS, "hidden", language)


def _range_text(hops):
    return "%d" % hops[0] if hops[0] == hops[1] else "%d-%d" % tuple(hops)


def _seconds(bracket, language):
    return _figures(bracket) + say(texts.WORDS, "s", language)


def _figures(bracket):
    return bracket_text({"lo": bracket[0], "hi": bracket[1]})

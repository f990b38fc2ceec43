"""The boxes on the way in words; apart from diagnosis.layers, since the daemon needs no words."""

from natwatch.diagnosis import sources, texts
from natwatch.diagnosis.boxes import STATES, shortest
from natwatch.diagnosis.layers import FIREWALL, judge, nats
from natwatch.diagnosis.layers_texts import EVIDENCE, LAYERS, PROTOCOLS, SOURCES
from natwatch.diagnosis.texts import bracket_text, say
from natwatch.document import plain


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
    """[forgets after 29.4-30.6 s (stream), …, outer address 100.64.7.2]: what is known of a box."""
    parts = []
    for state in STATES:
        if box[state]:
            name = "keeps" if box[state][1] is None else "forgets"
            parts.append(say(LAYERS, name, language) % (_seconds(box[state], language), state))
    if box["address"] is not None:
        parts.append("%s %s" % (say(LAYERS, "outside", language), box["address"]))
    return parts


def stretch_text(stretch, language):
    """Hops without a box, or of which nothing is known."""
    return "%s: %s" % (hops_text(stretch, language), _what_of(stretch, language))


def evidence_text(piece, language, others=()):
    """One piece of evidence as a sentence with its figures; *others*: sources that say the same."""
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
    source = ", ".join([say(SOURCES, piece["source"], language)] + [PROTOCOLS[o] for o in others])
    if piece["says"] == sources.NOTHING:
        return "%s: %s" % (source, text)
    return "%s: %s; %s" % (source, count_text(piece["says"], language), text)


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
    alike = []  # [(piece, other sources that say just this), …]
    for piece in combined["evidence"]:
        if alike and piece["source"] in PROTOCOLS and _same(alike[-1][0], piece):
            alike[-1][1].append(piece["source"])
        else:
            alike.append((piece, []))
    told = [evidence_text(piece, language, others) for piece, others in alike]
    if told:
        told = [say(LAYERS, "sources", language)] + told
    if combined["reason"] is not None:
        told.append(say(LAYERS, "reason", language) % combined["reason"])
    return told


def _same(one, other):
    return one["source"] in PROTOCOLS and not [
        name for name in ("says", "name", "values") if one[name] != other[name]
    ]


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

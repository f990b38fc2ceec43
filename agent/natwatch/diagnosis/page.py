"""The report of a check as one HTML file to mail: no script, nothing fetched from anywhere."""

from natwatch.diagnosis import layers, layers_lines, texts
from natwatch.diagnosis.boxes import STATES
from natwatch.diagnosis.facts import facts
from natwatch.diagnosis.layers_texts import LAYERS
from natwatch.diagnosis.report import (
    MARKS,
    about_text,
    finding_text,
    left_out_text,
    state_text,
    step_text,
    worst_first,
)
from natwatch.diagnosis.texts import bracket_text
from natwatch.document import plain

_COLOURS = {"ready": "#1a7f37", "findings": "#c62828", "unknown": "#9a6700"}
_OF_SEVERITY = {"bad": "#c62828", "warn": "#9a6700", "note": "#57606a"}
_OF_STATE = {"met": "#1a7f37", "not met": "#c62828", "noted": "#1a7f37", "not measured": "#57606a"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em;
       color: #1f2328; background: #fff }
h1 { font-size: 1.2em; margin-bottom: .3em } h2 { font-size: 1em; margin: 1.6em 0 .4em }
.verdict { border: 3px solid; padding: .5em .8em; border-radius: 6px; font-weight: 600 }
.verdict svg { width: 4.2em; height: 1.2em; vertical-align: middle; margin-right: .8em }
table { border-collapse: collapse; width: 100% }
td { padding: .15em .6em .15em 0; vertical-align: top }
.place { border: 3px solid; border-radius: 6px; padding: .3em .7em; max-width: 32em;
         overflow-wrap: anywhere } .place small { color: #57606a } .first { background: #fff8c5 }
.link { border-left: 3px solid #57606a; margin-left: 1.3em; padding-left: .8em; min-height: .9em;
        color: #57606a; font-size: .85em } .unknown { border-left-style: dotted; min-height: 1.8em }
li { margin: .3em 0 } code { color: #57606a; font-size: .85em } svg { width: 100%; height: auto }
.bars { overflow: visible } @media (max-width: 480px) { .bars text { font-size: 16px } }
"""
_WIDTH = 640  # of the drawings
_LONGEST = 0.58  # share of the width that the axis of the bars takes; names left, figures right


def escape(text):
    """*text* as HTML: whatever a router or a profile put into it."""
    text = plain(text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text


def page(result, profile, language):
    """The HTML text of the report *result* in *language*."""
    verdict = texts.say(texts.VERDICTS, result["verdict"], language)
    title = texts.say(texts.WORDS, "check", language) % result["operator"]
    parts = [
        '<!DOCTYPE html><html lang="%s"><head><meta charset="utf-8">' % language,
        '<meta name="viewport" content="width=device-width">',
        "<title>%s</title><style>%s</style></head><body>" % (escape(title), _STYLE),
        "<h1>%s</h1>" % escape(title),
        '<p class="verdict" style="border-color:%s">%s%s</p>'
        % (_COLOURS[result["verdict"]], _light(result["verdict"]), escape(verdict)),
    ]
    parts.append("<p>%s</p>" % escape(about_text(result["about"], language)))
    if result["cut_short"]:
        parts.append("<p>%s</p>" % escape(texts.say(texts.WORDS, "cut short", language)))
    parts += _steps(result, language)
    parts += _path(result, language)
    parts += _findings(result, language)
    parts += _bars(result, profile["keepalive_s"], language)
    parts += _requirements(result, language)
    measured = ["<li>%s</li>" % escape(fact) for fact in facts(result, language)]
    if measured:
        parts += [_heading("measured", language), "<ul>%s</ul>" % "".join(measured)]
    if result["left_out"]:
        parts.append("<p>%s</p>" % escape(left_out_text(result, language)))
    support = texts.say(texts.WORDS, "support", language, profile["support"])
    parts.append("<p>%s</p></body></html>\n" % escape(support))
    return "\n".join(parts)


def _light(verdict):
    """A traffic light with one lamp lit."""
    lamps = []
    for index, name in enumerate(("findings", "unknown", "ready")):
        colour = _COLOURS[name] if name == verdict else "#d0d7de"
        lamps.append('<circle cx="%d" cy="10" r="8" fill="%s"/>' % (12 + 24 * index, colour))
    return '<svg viewBox="0 0 72 20">%s</svg>' % "".join(lamps)


def _heading(name, language):
    return "<h2>%s</h2>" % escape(texts.say(texts.WORDS, name, language))


def _steps(result, language):
    if not result["advice"]:
        return []
    rows = [
        "<li>%s <code>%s</code></li>"
        % (
            escape(step_text(step, language)),
            step["requirement"],
        )
        for step in result["advice"]
    ]
    return [_heading("what to do", language), "<ol>%s</ol>" % "".join(rows)]


def _findings(result, language):
    if not result["findings"]:
        return []
    rows = []
    for finding in worst_first(result["findings"]):
        colour = _OF_SEVERITY[finding["severity"]]
        text = escape(finding_text(finding, language))
        mark = escape(MARKS[finding["severity"]].strip())
        row = '<tr><td style="color:%s"><b>%s</b></td><td>%s <code>%s</code></td></tr>'
        rows.append(row % (colour, mark, text, finding["code"]))
    return [_heading("found", language), "<table>%s</table>" % "".join(rows)]


def _requirements(result, language):
    rows = []
    for row in result["requirements"]:
        name = escape(texts.say(texts.REQUIREMENTS, row["id"], language))
        state = escape(state_text(row, result, language))
        cell = '<tr><td>%s</td><td>%s</td><td style="color:%s">%s</td></tr>'
        rows.append(cell % (row["id"], name, _OF_STATE[row["state"]], state))
    return [_heading("requirements", language), "<table>%s</table>" % "".join(rows)]


# Where on the path (phone, router, line, operator) a finding is drawn, by the beginning of its
# code; the rest concerns the router.
_PLACES = (
    ("place phone", ("address.", "adapter.", "nat.none", "sip.unregistered")),
    ("place router", ()),
    ("place line", ("line.", "voice.")),
    ("place operator", ("sip.registrar.", "sip.account.", "sip.registered.")),
)
_BOX, _STEP = 140, 165  # px


def _place(code):
    for index, (_, beginnings) in enumerate(_PLACES):
        if [one for one in beginnings if code.startswith(one)]:
            return index
    return 1


def _path(result, language):
    """Phone – router – line – operator, each in the colour of the worst that was found there; with
    a place for each box that keeps state, where these are known."""
    drawn = _boxes_path if (result["layers"] or {"boxes": []})["boxes"] else _plain_path
    return [_heading("path", language), drawn(result, language)]


def _plain_path(result, language):
    there = [[] for _ in _PLACES]
    for finding in result["findings"]:
        there[_place(finding["code"])].append(finding)
    addressing = result["addressing"] or {"local": None, "mapped": None}
    known = (addressing["local"], addressing["mapped"], None, result["operator"])
    most = 0
    drawn = ['<line x1="80" y1="45" x2="560" y2="45" stroke="#57606a" stroke-width="2"/>']
    for index, found in enumerate(there):
        colour = _colour(result, _PLACES[index][0], found)
        x = 2 + index * _STEP
        box = '<rect x="%d" y="15" width="%d" height="60" rx="6" fill="#fff" stroke="%s"'
        drawn.append(box % (x, _BOX, colour) + ' stroke-width="3"/>')
        label = escape(texts.say(texts.WORDS, _PLACES[index][0], language))
        drawn.append(_label(x + _BOX // 2, 42, label, "middle", 12))
        drawn.append(_label(x + _BOX // 2, 62, escape(known[index] or ""), "middle", 12))
        serious = [finding for finding in found if finding["severity"] != "note"]
        most = max(most, len(serious))
        for line, finding in enumerate(serious):
            y = 95 + 16 * line
            drawn.append(_label(x + _BOX // 2, y, finding["code"], "middle", 11, colour))
    return _svg(85 + 16 * most, drawn)


def _colour(result, name, found):
    """That of the place *name*, where *found* was found."""
    severities = [finding["severity"] for finding in found]
    worst = [one for one in ("bad", "warn") if one in severities]
    if worst:
        return _OF_SEVERITY[worst[0]]
    # Nothing found is no praise where little was measured.
    asked = name != "place operator" or result["registration"] is not None
    measured = asked and result["verdict"] != "unknown"
    return _OF_STATE["met" if measured else "not measured"]


def _boxes_path(result, language):
    """From the phone outward, one below the other: that leaves room for any number of boxes, and
    for what makers call them, on a narrow screen as well."""
    combined = result["layers"]
    boxes = combined["boxes"]
    there = [[] for _ in _PLACES]
    at_box = [[] for _ in boxes]
    for finding in result["findings"]:
        place = _place(finding["code"])
        if place == 1:
            at_box[_box_of(finding, result["findings"], boxes)].append(finding)
        else:
            there[place].append(finding)
    addressing = result["addressing"] or {"local": None}
    drawn = [_ends_place(result, 0, there, addressing["local"], language)]
    inside = 0
    for index, box in enumerate(boxes):
        drawn += _links(combined, inside, box["first"], False, language)
        drawn.append(_box_place(result, index, at_box[index], language))
        inside = box["last"]
    open_end = not combined["complete"]
    drawn += _links(combined, inside, None, open_end, language)
    drawn.append(_ends_place(result, 2, there, None, language))
    drawn.append('<div class="link"></div>')
    drawn.append(_ends_place(result, 3, there, result["operator"], language))
    return "".join(drawn)


def _box_of(finding, found, boxes):
    """The index of the box that a *finding* about the router or another NAT concerns."""
    named = [one for one in found if one["code"] in layers.SHORT]
    if finding["code"] == "nat.binding.short" and named:
        finding = named[0]
    if finding["code"] not in layers.SHORT:
        return 0
    box = finding["evidence"]["box"]
    hops = (box["first"], box["last"])
    return [(one["first"], one["last"]) for one in boxes].index(hops)


def _ends_place(result, index, there, known, language):
    """One of those places that are no boxes; *known*: its address or name."""
    name = _PLACES[index][0]
    head = escape(texts.say(texts.WORDS, name, language))
    if known:
        head += " <small>%s</small>" % escape(known)
    return _html_place(_colour(result, name, there[index]), head, there[index])


def _box_place(result, index, found, language):
    combined = result["layers"]
    box = combined["boxes"][index]
    rows = ["<b>%s</b>" % escape(layers_lines.named(box, language))]
    rows[0] += " <small>%s</small>" % escape(layers_lines.hops_text(box, language))
    rows += [escape(part) for part in layers_lines.figures_of(box, language)]
    first = [state for state in STATES if combined["short"][state] == index]
    first = first if len(combined["boxes"]) > 1 else []
    if first:
        text = texts.say(LAYERS, "first", language)
        rows.append("<b>%s</b> (%s)" % (escape(text), ", ".join(first)))
    colour = _colour(result, "place router", found)
    return _html_place(colour, "<br>".join(rows), found, " first" if first else "")


def _html_place(colour, text, found, kind=""):
    serious = [finding["code"] for finding in found if finding["severity"] != "note"]
    codes = ['<br><code style="color:%s">%s</code>' % (colour, code) for code in serious]
    form = '<div class="place%s" style="border-color:%s">%s%s</div>'
    return form % (kind, colour, text, "".join(codes))


def _links(combined, inside, outside, open_end, language):
    """The way between two places: the hops beyond *inside* and before *outside* (None: all)."""
    there = [
        stretch
        for stretch in combined["clear"] + combined["hidden"]
        if stretch["first"] > inside and (outside is None or stretch["first"] < outside)
    ]
    if not there:
        return ['<div class="link%s"></div>' % (" unknown" if open_end else "")]
    drawn = []
    for stretch in sorted(there, key=lambda one: one["first"]):
        kind = "" if "beyond" in stretch else " unknown"
        text = escape(layers_lines.stretch_text(stretch, language))
        drawn.append('<div class="link%s">%s</div>' % (kind, text))
    return drawn


def _bars(result, limits, language):
    """The lifetimes as bars, from alive to dead, against the range of keepalives."""
    known = [one for one in result["lifetimes"] if one["lo"] is not None]
    if not known:
        return []
    ends = [one["hi"] or one["lo"] for one in known] + [limits["max"]]
    scale = _WIDTH * _LONGEST / (1.05 * max(ends))
    left = 0.28 * _WIDTH
    drawn = [
        '<rect x="%.1f" y="0" width="%.1f" height="%d" fill="#ddf4ff"/>'
        % (left + scale * limits["min"], scale * (limits["max"] - limits["min"]), 26 * len(known))
    ]
    for row, one in enumerate(known):
        y = 26 * row
        hi = one["hi"] or one["lo"]
        drawn.append(_label(0, y + 17, "%s %s" % (one["class"], one["state"])))
        bar = '<rect x="%.1f" y="%d" width="%.1f" height="14" fill="%s"/>'
        drawn.append(bar % (left, y + 6, max(1, scale * one["lo"]), "#1a7f37"))
        drawn.append(bar % (left + scale * one["lo"], y + 6, scale * (hi - one["lo"]), "#9a6700"))
        text = bracket_text(one) + texts.say(texts.WORDS, "s", language)
        drawn.append(_label(left + scale * hi + 6, y + 17, text, "start", 12))
    text = texts.say(texts.WORDS, "keepalives", language) % (limits["min"], limits["max"])
    drawn.append(
        _label(left + scale * limits["min"], 26 * len(known) + 16, escape(text), "start", 12)
    )
    return [_heading("lifetimes", language), _svg(26 * len(known) + 26, drawn, "bars")]


def _svg(height, drawn, kind=""):
    start = '<svg class="%s" viewBox="0 0 %d %d" font-family="sans-serif">' % (kind, _WIDTH, height)
    return start + "".join(drawn) + "</svg>"


def _label(x, y, text, anchor="start", size=14, colour="#1f2328"):
    form = '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>'
    return form % (x, y, anchor, size, colour, text)

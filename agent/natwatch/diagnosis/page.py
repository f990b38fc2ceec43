"""The report of a check as one HTML file to mail: no script, nothing fetched from anywhere."""

from natwatch.diagnosis import texts
from natwatch.diagnosis.facts import facts
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
li { margin: .3em 0 } code { color: #57606a; font-size: .85em } svg { width: 100%; height: auto }
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
    """Phone – router – line – operator, each in the colour of the worst that was found there."""
    there = [[] for _ in _PLACES]
    for finding in result["findings"]:
        there[_place(finding["code"])].append(finding)
    addressing = result["addressing"] or {"local": None, "mapped": None}
    known = (addressing["local"], addressing["mapped"], None, result["operator"])
    # Nothing found is no praise where little was measured.
    calm = _OF_STATE["not measured" if result["verdict"] == "unknown" else "met"]
    most = 0
    drawn = ['<line x1="80" y1="45" x2="560" y2="45" stroke="#57606a" stroke-width="2"/>']
    for index, found in enumerate(there):
        severities = [finding["severity"] for finding in found]
        worst = [one for one in ("bad", "warn") if one in severities]
        asked = _PLACES[index][0] != "place operator" or result["registration"] is not None
        colour = calm if asked else _OF_STATE["not measured"]
        colour = _OF_SEVERITY[worst[0]] if worst else colour
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
    return [_heading("path", language), _svg(85 + 16 * most, drawn)]


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
    return [_heading("lifetimes", language), _svg(26 * len(known) + 26, drawn)]


def _svg(height, drawn):
    start = '<svg viewBox="0 0 %d %d" font-family="sans-serif">' % (_WIDTH, height)
    return start + "".join(drawn) + "</svg>"


def _label(x, y, text, anchor="start", size=14, colour="#1f2328"):
    form = '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>'
    return form % (x, y, anchor, size, colour, text)

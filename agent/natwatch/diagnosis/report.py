"""The report of a check: one value for programs, and lines for people."""

import time

from natwatch.diagnosis import findings, keepalive, layers, layers_lines, router, texts
from natwatch.diagnosis.facts import facts
from natwatch.diagnosis.texts import bracket_text
from natwatch.document import plain

VERSION = 2
_COLOURS = {"ready": "32", "findings": "31", "unknown": "33"}


def report(measured, profile, about):
    """The whole report as one dict (docs/findings.md), from what was *measured*.

    *about* says whose it is: {"device", "time": seconds since 1970 or None, "program": version,
    "quick"}.
    """
    found = findings.findings(measured, profile)
    rows = findings.requirements(measured, found, profile)
    advice = findings.advised(router.lifetimes(measured), profile)
    result = {
        "version": VERSION,
        "about": about,
        "operator": profile["name"],
        "verdict": findings.verdict(found, rows),
        "requirements": rows,
        "findings": found,
        "advice": advised_steps(
            found, advice, profile["keepalive_s"]["max"], layers.nats(measured["layers"])
        ),
        "keepalive": advice,
        "left_out": measured["left_out"],
        "cut_short": measured["cut_short"],
    }
    for name in findings.ENGINES:
        result[name] = measured[name]
    lifetimes = measured["lifetimes"]
    result["lifetimes"] = [lifetimes[key] for key in sorted(lifetimes) if lifetimes[key]]
    return result


def advised_steps(found, advice, longest, nats=None):
    """[{"requirement", "step", "values"}, …]: what to do, in the order of R7: registration, (a) to
    (e), then R8 and the rest.

    *longest* is the longest keepalive that phones may be set to, s; *nats* how many NATs there
    are, as (least, most), None if unknown.
    """
    codes = [finding["code"] for finding in found]
    steps = []
    if [code for code in codes if code in _OF_REGISTRATION]:
        steps.append(_step("R7", "register"))
    if [code for code in codes if code in _OF_ACCOUNT]:
        steps.append(_step("R9", "account"))
    if "sip.registrar.silent" in codes:
        steps.append(_step("R9", "server"))
    if [code for code in codes if code.startswith("dns.")]:
        steps.append(_step("R9", "resolver"))
    if [code for code in codes if code in _OF_ADDRESS]:
        steps.append(_step("R3", "address"))
    if "adapter.elsewhere" in codes:
        steps.append(_step("R3", "segment"))
    # Where a quick search ended early, longer intervals may hold as well: no number then.
    ended_early = advice["hi"] is None and (advice["lo"] or 0) < 2 * longest + 1
    # A keepalive that is in use and holds is no advice: phones that are ready stay as they are.
    in_order = advice["change"] == keepalive.KEEP and advice["holds"]
    if advice["interval_s"] is not None and not ended_early and not in_order:
        steps.append(_step("R7a", "keepalive on"))
        steps.append(_step("R7b", "keepalive", interval=advice["interval_s"]))
    if "register_expires_s" in advice:
        steps.append(_step("R7c", "expires", expires=advice["register_expires_s"]))
    steps += _of_timers(found)
    unreachable = keepalive.FORWARDING in advice["steps"] and "nat.binding.forwarded" not in codes
    if unreachable:
        steps.append(_forwarding(found, nats))
    blocked = [f for f in found if f["code"].startswith("reach.blocked")]
    if blocked:
        names = [_blocked_text(f, f["evidence"].get("sampled", False)) for f in blocked]
        steps.append(_step("R7e", "firewall", ports="; ".join(names)))
    if [code for code in codes if code in _OF_ALG]:
        steps.append(_step("R5", "alg"))
    if unreachable:
        ending = {None: "", layers.CARRIERS: " carrier"}.get(_in_front(found), " several")
        steps.append(_step("R8", "forward all" + ending))
    if "forward.other" in codes:
        steps.append(_step("R8", "forward wrong"))
    if "line.fragments" in codes:
        steps.append(_step("R0", "codecs"))
    if [code for code in codes if code in _OF_LINE]:
        steps.append(_step("R0", "line"))
    return steps


def _of_timers(found):
    """Which box to mend, or to have mended."""
    short = [finding for finding in found if finding["code"] in _OF_TIMERS]
    short.sort(key=lambda finding: finding["evidence"]["box"]["first"])
    names = [_OF_TIMERS[finding["code"]] for finding in short]
    if "router timer" in names:
        names = [name.replace("carrier timer", "carrier timer too") for name in names]
    return [_step("R6", name, **one["evidence"]) for name, one in zip(names, short)]


def _forwarding(found, nats):
    """Where the port is to be forwarded; on the customer's router alone only if no other NAT is
    in front of it."""
    whose = _in_front(found)
    if whose is not None:
        return _step("R7d", "forwarding " + ("carrier" if whose == layers.CARRIERS else "outer"))
    return _step("R7d", "forwarding one" if nats == (1, 1) else "forwarding")


def _in_front(found):
    """Whose NAT is in front of the customer's router; None: none is known to be."""
    several = [finding for finding in found if finding["code"] == "layers.several"]
    return several[0]["evidence"]["outer"] if several else None


_OF_TIMERS = {
    "layers.router.short": "router timer",
    "layers.carrier.short": "carrier timer",
    "layers.outer.short": "outer timer",
}
_OF_REGISTRATION = ("sip.unregistered", "sip.registered.elsewhere")
_OF_ACCOUNT = ("sip.account.refused", "sip.account.failed")
_OF_ADDRESS = ("address.outside", "adapter.outside", "nat.none")
_OF_ALG = ("sip.alg.rewrites", "sip.alg.drops", "sip.alg.answers", "sip.alg.timer", "sip.differs")
_OF_ALG += ("router.helper.sip",)
_OF_LINE = ("line.loss", "line.delay", "line.jitter", "voice.poor")


def _step(requirement, name, **values):
    return {"requirement": requirement, "step": name, "values": values}


def lines(result, profile, language, colour=False):
    """The report as lines in *language*; *colour*: for a terminal."""
    verdict = texts.say(texts.VERDICTS, result["verdict"], language)
    told = [texts.say(texts.WORDS, "check", language) % result["operator"], verdict]
    told += [about_text(result["about"], language), ""]
    if result["cut_short"]:
        told += [texts.say(texts.WORDS, "cut short", language), ""]
    for row in result["requirements"]:
        name = texts.say(texts.REQUIREMENTS, row["id"], language)
        told.append("%-3s %s: %s" % (row["id"], name, state_text(row, result, language)))
    if result["findings"]:
        told += [""]
    for finding in worst_first(result["findings"]):
        text = finding_text(finding, language)
        told.append("%s %s [%s]" % (MARKS[finding["severity"]], text, finding["code"]))
    if result["advice"]:
        told += ["", texts.say(texts.WORDS, "what to do", language)]
    for number, step in enumerate(result["advice"]):
        text = step_text(step, language)
        told.append("%d. %s (%s)" % (number + 1, text, step["requirement"]))
    measured = facts(result, language)
    if measured:
        told += ["", texts.say(texts.WORDS, "measured", language)] + measured
    if result["left_out"]:
        told += ["", left_out_text(result, language)]
    told += ["", texts.say(texts.WORDS, "support", language, profile["support"])]
    # Routers, phones and registrars have put words into it.
    told = [plain(line) for line in told]
    if colour:
        told[1] = "\033[1;%sm%s\033[0m" % (_COLOURS[result["verdict"]], told[1])
    return told


def about_text(about, language):
    """Which box checked, when, and how thoroughly."""
    when = texts.say(texts.WORDS, "clock unset", language)
    if about["time"] is not None:
        when = "%04d-%02d-%02d %02d:%02d UTC" % tuple(time.gmtime(int(about["time"]))[:5])
    how = texts.say(texts.WORDS, "quick" if about["quick"] else "full", language)
    return "%s, %s, natwatch %s, %s" % (about["device"], when, about["program"], how)


def worst_first(found):
    """The findings, those that matter most first."""
    order = (findings.BAD, findings.WARN, findings.NOTE)
    return [finding for severity in order for finding in found if finding["severity"] == severity]


# Which engine says why a requirement was not measured, and in which field.
_WHY = {
    "R0": ("media", "reason"),
    "R1": ("nat", "filtering_reason"),
    "R4": ("nat", "mapping_reason"),
    "R5": ("alg", "reason"),
    "R7": ("registration", "reason"),
    "R8": ("forward", "reason"),
    "R9": ("registration", "reason"),
}


def state_text(row, result, language):
    """The state of a requirement's *row* in words; of what was tried in vain with the reason, an
    engine's own sentence."""
    state = texts.say(texts.STATES, row["state"], language)
    if row["state"] != findings.NOT_MEASURED or row["id"] not in _WHY:
        return state
    engine, field = _WHY[row["id"]]
    reason = (result[engine] or {}).get(field)
    return "%s (%s)" % (state, reason) if reason else state


def finding_text(finding, language):
    """One *finding* in words."""
    return texts.say(texts.FINDINGS, finding["code"], language, _shown(finding, language))


def step_text(step, language):
    """One *step* of the advice in words."""
    return texts.say(
        texts.ADVICE, step["step"], language, layers_lines.shown(step["values"], language)
    )


def left_out_text(result, language):
    """What the check did not ask, in words."""
    parts = [
        texts.say(texts.LEFT_OUT, part["what"], language, part["values"])
        for part in result["left_out"]
    ]
    return texts.say(texts.WORDS, "left out", language) % ", ".join(parts)


MARKS = {findings.BAD: "!!", findings.WARN: "! ", findings.NOTE: "- "}


def _blocked_text(finding, whole=False):
    evidence = finding["evidence"]
    if finding["code"] == "reach.blocked.address":
        return evidence["address"]
    if finding["code"] == "reach.blocked.rtp":
        # What a sample found blocked is a part at best: who opens just that is still mute.
        return ranges_text(evidence["blocked"] if not whole else [evidence["range"]])
    return ", ".join(["%s:%d" % tuple(endpoint) for endpoint in evidence["blocked"]])


def ranges_text(ranges):
    """[[8500, 8599], [9999, 9999]] as 8500-8599, 9999; of many the first ten."""
    shown = [("%d" if low == high else "%d-%d") % ((low, high)[: 1 + (low != high)])
             for low, high in ranges[:10]]  # fmt: skip
    return ", ".join(shown) + (", …" if len(ranges) > 10 else "")


def _shown(finding, language):
    """The evidence of a *finding* as its text wants it, in *language*."""
    if finding["code"].startswith("layers."):
        return layers_lines.shown(finding["evidence"], language)
    values = dict(finding["evidence"])
    for name in values:
        value = values[name]
        if name == "blocked":
            values[name] = _blocked_text(finding)
        elif name == "lo" and value is not None:
            values[name] = "%.1f" % value
        elif name == "changes":
            values[name] = _changes_text(value)
        elif name in ("sip", "other", "measured"):
            values[name] = bracket_text({"lo": value[0], "hi": value[1]})
        elif name == "bindings":
            values[name] = ", ".join([binding["contact"] for binding in value])
        elif name == "registrar":
            values[name] = "%s:%d" % tuple(value)
        elif name == "rtt":
            values[name] = "%.0f" % value
        elif isinstance(value, dict):  # of each direction
            values[name] = ", ".join([_way(way, language) % value[way] for way in sorted(value)])
        elif name == "ways":
            values[name] = ", ".join(
                [texts.say(texts.WORDS, "way " + one, language) for one in value]
            )
        elif isinstance(value, list):
            values[name] = ", ".join([str(one) for one in value])
        elif name == "resting":
            values[name] = texts.say(texts.WORDS, name, language) if value else ""
        elif name == "status":
            values[name] = "" if value is None else " (%d)" % value
        elif name in ("state", "kind") and value in texts.TERMS:
            values[name] = texts.say(texts.TERMS, value, language)
        elif value is None and name == "resolver":  # an address is judged without a question
            values[name] = texts.say(texts.WORDS, "no resolver", language)
        elif value is None and name in ("out", "in", "requests"):
            values[name] = "?"
    return values


def _way(way, language):
    return "%s " + texts.say(texts.WORDS, "way " + way, language)


def _changes_text(changes):
    """The first change of each method; --json has them all."""
    parts = []
    for method in sorted(changes):
        if changes[method]:
            before, after = changes[method][0]
            more = len(changes[method]) - 1
            text = "%s: '%s' -> '%s'" % (method, before, after)
            parts.append(text + (" (+%d)" % more if more else ""))
    return "; ".join(parts)

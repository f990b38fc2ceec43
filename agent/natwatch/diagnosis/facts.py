"""What was measured, in a few lines for people: the figures behind a check's verdict."""

from natwatch.diagnosis import layers_lines, texts
from natwatch.diagnosis.texts import bracket_text

_SHOWN = 8  # forwards; --json has them all


def facts(result, language):
    """The lines, in *language*; nothing is said of what was not measured."""
    told = _public(result["addressing"], language) + _nat(result["nat"], language)
    told += _lifetimes(result["lifetimes"], language) + _keepalive(result["keepalive"], language)
    told += layers_lines.facts(result["layers"], language)
    told += _ports(result["rtp"], language)
    told += _voice(result["media"], language)
    told += _bindings(result["registration"], language)
    return told + _configured(result["configured"], result["lifetimes"], language)


def _public(addressing, language):
    if addressing is None or addressing["mapped"] is None:
        return []
    return [texts.say(texts.FACTS, "public", language, addressing)]


def _nat(nat, language):
    if nat is None or None in (nat["mapping"], nat["filtering"]):
        return []
    if nat["mapping"] == "none":
        return [texts.say(texts.FACTS, "no nat", language)]
    return [texts.say(texts.FACTS, "nat", language, nat)]


def _lifetimes(lifetimes, language):
    known = [one for one in lifetimes if one["lo"] is not None]
    if not known:
        return []
    parts = ["%s %s %s" % (one["class"], one["state"], bracket_text(one)) for one in known]
    return [texts.say(texts.FACTS, "lifetimes", language) % ", ".join(parts)]


def _keepalive(advice, language):
    """Of a search that found the end only: what holds longer is not known otherwise."""
    if advice["interval_s"] is None or advice["hi"] is None:
        return []
    return [texts.say(texts.FACTS, "keepalive", language) % advice["interval_s"]]


def _ports(rtp, language):
    return [] if rtp is None else [texts.say(texts.FACTS, "ports", language, rtp)]


def _voice(media, language):
    told = []
    for way in ("out", "in"):
        if media is not None and media[way] is not None and media[way]["jitter"] is not None:
            quality = dict(media[way]["mos"])
            quality.update({"loss": media[way]["loss_percent"], "jitter": media[way]["jitter"]})
            told.append(texts.say(texts.FACTS, "voice " + way, language, quality))
    return told


def _bindings(registration, language):
    told = []
    for binding in (registration or {}).get("bindings") or []:
        name = "registered" if binding["expires"] is None else "registered until"
        told.append(texts.say(texts.FACTS, name, language, binding))
    return told


def _configured(configured, lifetimes, language):
    """Of a probe that is the router: what that is told to do, beside what was measured."""
    if configured is None:
        return []
    told = [texts.say(texts.FACTS, "router", language)]
    timers = configured["timers"]
    if timers is not None:
        states = [state for state in ("oneway", "replied", "stream") if timers[state] is not None]
        known = [one for one in lifetimes if one["class"] == "udp/sip" and one["lo"] is not None]
        beside = ["%s %s" % (one["state"], bracket_text(one)) for one in known]
        values = {"timers": ", ".join(["%s %d" % (state, timers[state]) for state in states])}
        values["beside"] = ", ".join(beside) or "-"
        told.append(texts.say(texts.FACTS, "configured timers", language, values))
    if configured["helpers"] is not None:
        name = "configured helper" if configured["helpers"] else "no helper"
        told.append(texts.say(texts.FACTS, name, language))
    if configured["forwards"]:
        shown = [_forward_text(one) for one in configured["forwards"][:_SHOWN]]
        shown += ["…"] if len(configured["forwards"]) > _SHOWN else []
        told.append(texts.say(texts.FACTS, "configured forwards", language) % ", ".join(shown))
    elif configured["forwards"] is not None:
        told.append(texts.say(texts.FACTS, "no forwards", language))
    return told + configured["notes"]


def _forward_text(forward):
    low, high = forward["ports"]
    ports = "%d" % low if low == high else "%d-%d" % (low, high)
    to_port = ":%d" % forward["to_port"] if forward["to_port"] is not None else ""
    return "%s -> %s%s" % (ports, forward["to"], to_port)

"""What was measured, in a few lines for people: the figures behind a check's verdict."""

from natwatch.diagnosis import layers_lines, texts
from natwatch.diagnosis.texts import bracket_text


def facts(result, language):
    """The lines, in *language*; nothing is said of what was not measured."""
    told = _public(result["addressing"], language) + _nat(result["nat"], language)
    told += _lifetimes(result["lifetimes"], language) + _keepalive(result["keepalive"], language)
    told += layers_lines.facts(result["layers"], language)
    told += _ports(result["rtp"], language)
    told += _voice(result["media"], language)
    return told + _bindings(result["registration"], language)


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

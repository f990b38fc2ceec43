"""Results as plain lines for people."""

from natwatch.diagnosis import attribution
from natwatch.diagnosis.boxes import STATES


def progress(state):
    """One plain line from a search's progress()."""
    return "%s: alive at %.1f s so far, %d bindings waiting, at most %d s left" % (
        state["phase"],
        state["alive"] / 1000,
        state["open"],
        state["left"] // 1000,
    )


def lifetime(result):
    """One plain line from a result of kind "lifetime"."""
    subject = "%s %s: " % (result["class"], result["state"])
    if result["lo"] is None:
        return subject + "unknown, because: %s" % result["reason"]
    text = subject + _bracket(result)
    if result["state"] == "refreshed" and result.get("extends") is not None:
        text += "; packets from outside %s it" % (
            "extend" if result["extends"] else "do not extend"
        )
    if result.get("difference"):
        text += "; %s" % result["difference"]
    if result.get("trust"):
        text += " [by %s: %s]" % (result["method"], result["trust"])
    return text


def _bracket(result):
    if result["hi"] is None:
        return "alive at %.1f s, and nothing longer was found dead or asked" % result["lo"]
    text = "alive at %.1f s, dead at %.1f s (%s; teeth: %d alive, %d expired, %d unknown)"
    return text % (
        result["lo"],
        result["hi"],
        result["method"],
        result["alive"],
        result["expired"],
        result["unknown"],
    )


def behaviour(found):
    """Lines from a result of kind "nat"."""
    lines = []
    for what in ("mapping", "filtering"):
        known = found[what] or "unknown, because: %s" % found[what + "_reason"]
        lines.append("%s: %s" % (what, known))
    if found["mapping"] == "none":
        lines[0] = "mapping: none, there is no NAT on this path"
    if found["pooling"]:
        lines.append("external addresses: %s" % found["pooling"])
    if found["port_preservation"]:
        kept = found["port_preservation"]
        lines.append("local ports kept: %d of %d" % (kept["kept"], kept["of"]))
    hairpin = {True: "yes", False: "no", None: "unknown"}[found["hairpin"]]
    lines.append("hairpin: %s" % hairpin)
    if found["classic"]:
        classic = found["classic"]
        name = classic["type"] or "unknown, because: %s" % classic["reason"]
        ours = classic["name"] or "unknown"
        lines.append("classic (RFC 3489) name by pystun3: %s; ours: %s" % (name, ours))
    if found["difference"]:
        lines.append("difference: %s" % found["difference"])
    known = (found["filtering_method"], found["filtering_trust"])
    lines.append("filtering found by %s: %s" % known)
    return lines


def resident(found):
    """One plain line from a result of kind "resident"."""
    if found["share"] is None:
        share = "unknown whether an incoming call would have arrived"
    else:
        share = "an incoming call would have arrived: %.1f %%" % found["share"]
    text = "resident: %s (%d arrived, %d missed, %d unknown)"
    text = text % (share, found["arrived"], found["missed"], found["unknown"])
    if found["moved"]:
        text += "; the NAT moved the binding %d times" % found["moved"]
    return text + ("; %s" % found["reason"] if found["reason"] else "")


def keepalives(found):
    """One plain line from a result of kind "keepalives"."""
    kinds = ["%s %s" % (kind, found["kinds"][kind]) for kind in sorted(found["kinds"])]
    return "keepalives to the SIP port: " + ", ".join(kinds)


def advice(found):
    """One plain line from a keepalive advice."""
    return "advice: %s" % found["reason"]


def reach(found):
    """One plain line from a report of kind "reach"."""
    if found["reason"]:
        return "ports: unknown, because: %s" % found["reason"]
    text = "ports: %d of %d answered now; of %d known " % (
        found["open"],
        found["asked"],
        found["known"],
    )
    if found["known_open"] == found["known"]:
        return text + "none is blocked"
    return text + "%d are blocked: %s" % (
        found["known"] - found["known_open"],
        ", ".join(["%d-%d" % (low, high) for low, high in found["blocked"]]),
    )


def doubted(ports):
    """One plain line about *ports* that one sample found silent."""
    return "ports: %d gave no answer, among them %d; asking a second time" % (len(ports), ports[0])


def media(found):
    """One plain line from a result of kind "media"."""
    text = "voice stream at port %d: " % found["port"]
    if found["out"] is None and found["in"] is None:
        return text + "unknown, because: %s" % found["reason"]
    ways = []
    for way in ("out", "in"):
        told = found[way]
        if told is None:
            ways.append("%s unknown" % way)
        else:
            values = (way, told["mos"]["g711"], told["loss_percent"])
            ways.append("%s MOS %.1f, %.1f %% lost" % values)
            if told["jitter"] is not None:
                ways[-1] += ", jitter %.1f ms" % told["jitter"]
    return text + "; ".join(ways)


def check(found):
    """One plain line from a report of kind "check"."""
    text = "verdict: %s" % found["verdict"]
    return text + (" (%s)" % ", ".join(found["codes"]) if found["codes"] else "")


def layers(found):
    """Plain lines from a value of diagnosis.layers.combine."""
    lines = []
    for index, box in enumerate(found["boxes"]):
        parts = []
        for state in STATES:
            if box[state] is not None:
                first = ", the first to forget" if found["short"][state] == index else ""
                parts.append("%s %s%s" % (state, _span(box[state]), first))
        lines.append("%s: %s" % (attribution.name(box), "; ".join(parts) or "lifetime unknown"))
    if found["agree"] is False:
        lines.append("how many boxes there are: the sources disagree")
    if found["reason"] is not None:
        lines.append("boxes: unknown, because: %s" % found["reason"])
    return lines or ["boxes: none was found"]


def shrunk(after, box):
    """One plain line: whose lifetime it is that shrank, *after* as in a report of kind "layers"
    and *box* by diagnosis.attribution, None where that is not known.
    """
    text = "%s %s: " % (after["class"], after["state"])
    if box is None:
        return text + "which box forgets sooner is unknown"
    if box["was"] is None:
        return text + "the first to forget now is %s" % attribution.name(box)
    was, now = _span(box["was"]), _span(box["now"])
    return text + "%s forgets sooner: %s before, %s now" % (attribution.name(box), was, now)


def _span(bracket):
    if bracket[1] is None:
        return "over %.1f s" % bracket[0]
    return "%.1f to %.1f s" % tuple(bracket)

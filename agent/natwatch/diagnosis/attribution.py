"""Which box forgets sooner than it did: of several reports of kind ``layers`` on one line, the box.

Pure, for the daemon's log and for the collector's alerts. The values are those of
``diagnosis.layers.combine`` (docs/telemetry.md, kind ``layers``), all of one context: on another
line stand other boxes.
"""

STATES = ("stream", "replied")  # of a binding, that layers are measured for
_OWNERS = {
    "firewall": "the firewall",
    "router": "the customer's router",
    "carrier": "the carrier's NAT",
    "outer": "a NAT in front of the router",
}
_SLACK = 0.05  # of a lifetime, a second at least: two measurements of one timer agree within it


def attribute(after, earlier, state, line):
    """The box whose lifetime is the *line*'s, [lo, hi] in s, as *after* has it; None: not known.

    *earlier* are values from before the change, the newest first; maybe none. The result:

        {"owner": "router", "first": 1, "last": 1, "model": "ACME X1" or None, "state": "stream",
         "was": [39.6, 40.4] or None, "now": [14.6, 15.4],
         "others": [{"owner": "carrier", "first": 2, "last": 2, "model": None,
                     "keeps": [119.0, 120.2]}, …]}

    ``was`` is None where nobody knows it, or where it was no longer than now: then that this box
    is the shortest is all that can be said. Where sources disagree nobody is named.
    """
    index = after["short"].get(state)
    if after.get("agree") is False or index is None:
        return None
    box = after["boxes"][index]
    now = box.get(state)
    if now is None or not _agree(now, line):
        return None
    was = _known_before(box, earlier, state)
    others = [one for one in after["boxes"] if one is not box and one.get(state) is not None]
    found = _place(box)
    found["state"] = state
    found["was"] = was if was is not None and now[1] <= was[0] else None
    found["now"] = now
    found["others"] = []
    for one in others:
        place = _place(one)
        place["keeps"] = one[state]
        found["others"].append(place)
    return found


def name(box):
    """``the customer's router (hop 1, ACME X1)``."""
    if box["last"] > box["first"]:
        where = "one of hops %d-%d" % (box["first"], box["last"])
    else:
        where = "hop %d" % box["first"]
    if box.get("model") is not None:
        where += ", %s" % box["model"]
    return "%s (%s)" % (_OWNERS[box["owner"]], where)


def _place(box):
    """Who and where a box is."""
    return {
        "owner": box["owner"],
        "first": box["first"],
        "last": box["last"],
        "model": box.get("model"),
    }


def _agree(bracket, line):
    """Whether both may be brackets of one timer. The shortest of all has an upper edge."""
    if bracket[1] is None or line[1] is None:
        return False
    slack = max(1.0, _SLACK * line[1])
    return bracket[0] <= line[1] + slack and line[0] <= bracket[1] + slack


def _known_before(box, earlier, state):
    """The latest bracket of *box*; None where it was not measured, or may be either of two."""
    for value in earlier:
        if value.get("agree") is False:
            continue
        # By its place: a router that checks the TTL first stands at a hop or at the next.
        met = [
            one
            for one in value["boxes"]
            if one["first"] <= box["last"] and box["first"] <= one["last"]
        ]
        if len(met) > 1:
            return None
        if met and met[0].get(state) is not None:
            return met[0][state]
    return None

"""Which boxes on the way keep state, from what the engine ``layers`` told of each state.

A box stands at one hop of a range, counted from the probe. A NAT has a timer for each state, so
the two states' boxes at overlapping hops are one. A router that checks the TTL before it
refreshes seems one hop further away than it is: so does a box at the next hop, if it can be meant.
"""

STATES = ("stream", "replied")


def merged(layers):
    """(boxes from the probe outward, the number of those that may be any of several others).

    A box is {"first", "last", "stream": [lo, hi] or None, "replied": the same}.
    """
    some, others = [_sorted(layers[state]) for state in STATES]
    pairs, doubtful = _pairs(some, others)
    boxes = [_box(some[one], others[other]) for one, other in pairs]
    of_some, of_others = [[pair[side] for pair in pairs] + doubtful[side] for side in (0, 1)]
    boxes += [_box(one, None) for index, one in enumerate(some) if index not in of_some]
    boxes += [_box(None, other) for index, other in enumerate(others) if index not in of_others]
    boxes.sort(key=lambda box: (box["first"], box["last"]))
    return boxes, len(doubtful[0]) + len(doubtful[1])


def lasting(layers, boxes):
    """The outermost box that filters, in a list, if it is none of *boxes*: hole punching shows it,
    and its timers are longer than was waited for."""
    place = outermost(layers)
    if place is None or [box for box in boxes if apart(box, place) == 0]:
        return []
    box = dict(place)
    for state in STATES:
        clear = [] if layers[state] is None else layers[state]["clear"]
        lived = dict([(hop, one["beyond"]) for one in clear for hop in _hops([one])])
        known = [lived[hop] for hop in _hops([place]) if hop in lived]
        whole = len(known) == len(_hops([place]))
        box[state] = [min(known), None] if whole else None
    return [box] if box["stream"] or box["replied"] else []


def outermost(layers):
    """{"first", "last"}: where hole punching has the outermost box that filters; None: unknown."""
    told = [layers[state] for state in STATES if layers[state] is not None]
    places = [result["outermost"] for result in told if result["outermost"] is not None]
    return {"first": places[0][0], "last": places[0][1]} if places else None


def apart(one, other):
    """Hops between two ranges, 0 where they overlap, 1 where they are neighbours."""
    return max(0, one["first"] - other["last"], other["first"] - one["last"])


def shortest(boxes, state):
    """The indices of the boxes that may be the first to forget in *state*, within their brackets;
    none where nothing died."""
    known = [index for index, box in enumerate(boxes) if box[state] is not None]
    ends = [boxes[index][state][1] for index in known if boxes[index][state][1] is not None]
    return [index for index in known if ends and boxes[index][state][0] < min(ends)]


def stretches(layers, boxes):
    """(clear, hidden): hops without a box that forgets within ``beyond`` s, and those of which
    nothing is known, both as lists of ranges; hops of *boxes* are in neither."""
    told = [layers[state] for state in STATES if layers[state] is not None]
    taken = _hops(boxes)
    clear, hidden = {}, {}
    for result in told:
        for stretch in result["clear"]:
            for hop in _hops([stretch]):
                clear[hop] = min(stretch["beyond"], clear.get(hop, stretch["beyond"]))
    last = max([0] + [result["outermost"][1] for result in told if result["outermost"]])
    for hop in list(range(1, last + 1)) + _hops([s for result in told for s in result["hidden"]]):
        if hop not in clear:
            hidden[hop] = None
    return _ranges(clear, taken, "beyond"), _ranges(hidden, taken)


def _sorted(result):
    nats = [] if result is None else result["nats"]
    return sorted(nats, key=lambda nat: (nat["first"], nat["last"]))


def _pairs(some, others):
    """([(i, j), …]: which are one box, [[i, …], [j, …]]: which may be any of several)."""
    alike = [apart(one, other) <= 1 for one, other in zip(some, others)]
    if len(some) == len(others) and False not in alike:
        return [(index, index) for index in range(len(some))], [[], []]
    pairs, doubtful = [], [[], []]
    for gap in (0, 1):
        spent = [[pair[side] for pair in pairs] + doubtful[side] for side in (0, 1)]
        near = [
            (i, j)
            for i, one in enumerate(some)
            for j, other in enumerate(others)
            if i not in spent[0] and j not in spent[1] and apart(one, other) <= gap
        ]
        times = [
            [[pair[side] for pair in near].count(pair[side]) for pair in near] for side in (0, 1)
        ]
        for pair, of_one, of_other in zip(near, times[0], times[1]):
            if of_one == of_other == 1:
                pairs.append(pair)
            elif of_one > 1 and pair[0] not in doubtful[0]:
                doubtful[0].append(pair[0])
            elif of_one == 1 and pair[1] not in doubtful[1]:
                doubtful[1].append(pair[1])
    return pairs, doubtful


def _box(one, other):
    first = max([nat["first"] for nat in (one, other) if nat])
    last = min([nat["last"] for nat in (one, other) if nat])
    box = {"first": min(first, last), "last": max(first, last)}
    for state, nat in zip(STATES, (one, other)):
        box[state] = None if nat is None else [nat["lo"], nat["hi"]]
    return box


def _hops(ranges):
    return [hop for one in ranges for hop in range(one["first"], one["last"] + 1)]


def _ranges(found, taken, name=None):
    """The hops of *found*, {hop: value}, without those *taken*, as ranges of one value each."""
    ranges = []
    for hop in sorted(found):
        if hop in taken:
            continue
        if ranges and ranges[-1]["last"] == hop - 1 and ranges[-1].get(name) == found[hop]:
            ranges[-1]["last"] = hop
        else:
            ranges.append({"first": hop, "last": hop})
            if name is not None:
                ranges[-1][name] = found[hop]
    return ranges

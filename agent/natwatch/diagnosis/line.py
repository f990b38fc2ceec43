"""What the line does to a voice stream: requirement R0.

Each function gives [(code, evidence), …] for diagnosis.findings.
"""

_ASKED = 200  # requests to open ports, at least: of fewer a single lost one would be a finding
_SURE = 3  # standard deviations by which a loss must exceed the limit to be no chance


def judge(measured, limits):
    """The findings about the line; *limits* are the profile's ``line``."""
    media = measured["media"] or {"out": None, "in": None, "rtt": None}
    ways = [(way, media[way]) for way in ("out", "in") if media[way] is not None]
    found = _loss(measured, ways, limits["loss_percent"])
    found += _delay(media["rtt"], ways, limits["delay_ms"])
    # None: nothing came that way, or back, of which a time is known.
    shaky = {way: told["jitter"] for way, told in ways if told["jitter"] is not None}
    shaky = {way: shaky[way] for way in shaky if shaky[way] > limits["jitter_ms"]}
    if shaky:
        found.append(("line.jitter", {"jitter": shaky}))
    poor = {way: told["mos"]["g711"] for way, told in ways}
    poor = {way: poor[way] for way in poor if poor[way] < limits["mos_least"]}
    if poor:
        found.append(("voice.poor", {"mos": poor}))
    return found + _size(measured["size"])


def lost_share(measured):
    """(requests that had no answer at ports that are open, tries): both ways together."""
    results = [result for result in (measured["ports"] or []) + [measured["rtp"]] if result]
    lost = sum([result["lost"] for result in results])
    return lost, sum([result["tries"] for result in results])


def above(lost, of, share):
    """Whether *lost* of *of* is more than a *share* and chance would make it."""
    expected = of * share
    # Of a line without loss nothing at all may be lost, which has no deviation.
    return of > 0 and lost > expected + _SURE * (expected * (1 - share)) ** 0.5


def _loss(measured, ways, percent):
    share = percent / 100
    lost, tries = lost_share(measured)
    both = tries >= _ASKED and above(lost, tries, 1 - (1 - share) ** 2)
    lossy = [way for way, told in ways if above(told["lost"], told["packets"], share)]
    if not both and not lossy:
        return []
    evidence = {"requests": round(100 * lost / tries, 1) if tries else None, "tries": tries}
    for way in ("out", "in"):
        evidence[way] = None
    for way, told in ways:
        evidence[way] = told["loss_percent"]
    return [("line.loss", evidence)]


def _delay(rtt, ways, most):
    """One way takes half of the round trip, as far as anybody without a common clock can know."""
    if rtt is None:
        return []
    timed = [(way, told["delay_above_least"]) for way, told in ways]
    queues = {way: delays["p95"] for way, delays in timed if delays is not None}
    waiting = {way: queues[way] for way in queues if queues[way] > most}
    if not waiting and rtt["median"] / 2 <= most:
        return []
    return [("line.delay", {"rtt": rtt["median"], "queues": queues})]


def _size(size):
    size = size or {"fragments_out": None, "fragments_in": None}
    ways = [way for way in ("out", "in") if size["fragments_" + way] is False]
    if not ways:
        return []
    return [("line.fragments", {"ways": ways, "largest": [size[way] for way in ways]})]

"""What measurements say about the operator's requirements R0 to R9: pure functions.

A finding is {"code", "requirement", "severity", "evidence"}. Its code is stable and is documented
in docs/findings.md; its severity is

* bad: telephony is broken or will be, at times;
* warn: something needs a look;
* note: worth knowing; nothing is to be done.

A requirement's state is "met", "not met", "noted" or "not measured", which is a value of its own
and never counts as either.
"""

from natwatch.diagnosis import keepalive, layers, line, router, service
from natwatch.probes.addressing import INNER, UNKNOWN
from natwatch.probes.filtering import INDEPENDENT
from natwatch.probes.reach import ports_of

BAD, WARN, NOTE = "bad", "warn", "note"
MET, NOT_MET, NOTED, NOT_MEASURED = "met", "not met", "noted", "not measured"
READY, FOUND, UNSURE = "ready", "findings", "unknown"
REQUIREMENTS = ("R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9")

# What engines told, each under its name; None: not measured. ``lifetimes`` stands beside them.
ENGINES = (
    "addressing",
    "adapter",
    "ports",
    "rtp",
    "nat",
    "alg",
    "size",
    "media",
    "keepalives",
    "forward",
    "dns",
    "registration",
    "layers",
    "configured",
)

# code -> (requirement, severity).
CODES = {
    "line.loss": ("R0", WARN),
    "line.delay": ("R0", WARN),
    "line.jitter": ("R0", WARN),
    "voice.poor": ("R0", WARN),
    "line.fragments": ("R0", WARN),
    "nat.filtering.inbound": ("R1", NOTE),
    "reach.blocked.sip": ("R2", BAD),
    "reach.blocked.stun": ("R2", WARN),
    "reach.blocked.rtp": ("R2", BAD),
    "reach.blocked.address": ("R2", BAD),
    "address.outside": ("R3", WARN),
    "adapter.outside": ("R3", WARN),
    "adapter.elsewhere": ("R3", WARN),
    "adapter.silent": ("R3", NOTE),
    "nat.none": ("R3", WARN),
    "nat.ports.changed": ("R4", NOTE),
    "nat.mapping.dependent": ("R4", NOTE),
    "sip.alg.rewrites": ("R5", WARN),
    "sip.alg.drops": ("R5", BAD),
    "sip.alg.answers": ("R5", BAD),
    "sip.differs": ("R5", WARN),
    "sip.alg.timer": ("R5", WARN),
    "nat.binding.short": ("R6", BAD),
    "nat.binding.forwarded": ("R6", NOTE),
    "nat.binding.thin": ("R6", NOTE),
    "layers.router.short": ("R6", BAD),
    "layers.carrier.short": ("R6", BAD),
    "layers.outer.short": ("R6", BAD),
    "layers.shorter": ("R6", NOTE),
    "layers.several": ("R8", NOTE),
    "layers.disagree": ("R6", NOTE),
    "keepalive.lost": ("R6", NOTE),
    "sip.unregistered": ("R7", BAD),
    "sip.registered.elsewhere": ("R7", WARN),
    "forward.works": ("R8", NOTE),
    "forward.none": ("R8", NOTE),
    "forward.missing": ("R8", WARN),
    "forward.unproven": ("R8", NOTE),
    "forward.other": ("R8", WARN),
    "dns.wrong": ("R9", BAD),
    "dns.none": ("R9", BAD),
    "dns.silent": ("R9", WARN),
    "sip.registrar.silent": ("R9", BAD),
    "sip.account.refused": ("R9", BAD),
    "sip.account.failed": ("R9", BAD),
    # Of a probe that is the router itself.
    "router.timer.differs": ("R6", NOTE),
    "router.timer.outlived": ("R6", NOTE),
    "router.helper.sip": ("R5", WARN),
    "router.forward": ("R8", NOTE),
}
_ALG = 2  # so many times the timer of another port is no chance: an ALG's helper has 3,600 s


def findings(measured, profile):
    """Every finding of *measured*, a dict of what engines told, each None where not measured:

    ``addressing``; ``adapter``; ``ports``, a list of results of Reach for the single ports, the
    first address first; ``rtp``, that of the range; ``nat``; ``alg``; ``size``; ``media``;
    ``lifetimes``, {(class, state): result}; ``keepalives``; ``forward``; ``dns``;
    ``registration``; ``layers``, what diagnosis.layers.combine made of it all; ``configured``,
    where the probe is the router, as port.kernel gives it.
    """
    found = []
    for code, evidence in line.judge(measured, profile["line"]):
        _add(found, code, **evidence)
    _of_ports(found, measured, profile["ports"])
    if not router.is_router(measured):  # whose own address is no phone's
        _of_address(found, measured["addressing"])
    for code, evidence in service.judge_adapter(measured["adapter"]):
        _add(found, code, **evidence)
    _of_nat(found, measured["nat"])
    _of_alg(found, measured["alg"])
    _of_sip(found, measured["lifetimes"])
    _of_bindings(found, measured, profile)
    _of_layers(found, measured, profile)
    # Where a shorter keepalive would hold it, nobody needs a forward.
    lost = advised(router.lifetimes(measured), profile)["margin"] == keepalive.NONE
    for code, evidence in service.judge_account(measured, lost):
        _add(found, code, **evidence)
    known = bracket_of(measured["lifetimes"], "udp/sip", "replied")
    for code, evidence in router.judge(measured, _sip_ports(measured, profile), known):
        _add(found, code, **evidence)
    return found


def requirements(measured, found, profile):
    """[{"id", "state", "codes"}, …] of all requirements."""
    rows = []
    asked = _asked(measured, profile["keepalive_s"]["min"])
    for name in REQUIREMENTS:
        own = [finding for finding in found if finding["requirement"] == name]
        severities = [finding["severity"] for finding in own]
        if BAD in severities or WARN in severities:
            state = NOT_MET
        elif not asked[name]:
            state = NOT_MEASURED
        else:
            state = NOTED if own else MET
        rows.append({"id": name, "state": state, "codes": [finding["code"] for finding in own]})
    return rows


def verdict(found, rows):
    """ready, findings, or unknown: what a call needs (R2, R6) was not measured."""
    if [finding for finding in found if finding["severity"] != NOTE]:
        return FOUND
    if [row for row in rows if row["id"] in ("R2", "R6") and row["state"] == NOT_MEASURED]:
        return UNSURE
    return READY


def advised(lifetimes, profile):
    """The keepalive to advise (diagnosis.keepalive), from lifetimes without an ALG's doing."""
    replied = bracket_of(lifetimes, "udp/sip", "replied")
    oneway = bracket_of(lifetimes, "udp/sip", "oneway")
    plain = bracket_of(lifetimes, "udp/stun", "replied")
    if longer(replied, plain):
        # The day somebody switches the ALG off, 5060 lives as long as any other port.
        replied, oneway = plain, None
    limits = profile["keepalive_s"]
    advice = keepalive.advise(
        replied,
        oneway,
        least=limits["min"],
        most=limits["max"],
        in_use=limits["default"],
        register_least=profile["register_least_s"],
    )
    # Where nothing died the search went no further, and a longer interval may hold as well.
    ends = [bracket[1] for bracket in (replied, oneway) if bracket and bracket[1] is not None]
    advice["hi"] = min(ends) if ends else None
    return advice


def bracket_of(lifetimes, port_class, state):
    """(lo, hi) in s of that key, None where it is unknown or was not measured."""
    result = lifetimes.get((port_class, state))
    if result is None or result["lo"] is None:
        return None
    return result["lo"], result["hi"]


def longer(one, other):
    """Whether the bracket *one* lies far above *other*, both (lo, hi) in s or None."""
    if one is None or other is None or other[1] is None:
        return False
    return one[0] > _ALG * other[1]


def _add(found, code, **evidence):
    requirement, severity = CODES[code]
    found.append(
        {"code": code, "requirement": requirement, "severity": severity, "evidence": evidence}
    )


def _sip_ports(measured, profile):
    """The operator's and, where it is another, the adapter's."""
    adapter = measured["adapter"]
    return sorted(set([profile["ports"]["sip"]] + ([adapter["port"]] if adapter else [])))


def _asked(measured, least):
    """{requirement: whether enough was measured to call it met}."""
    nat, rtp = measured["nat"] or {}, measured["rtp"]
    addressing = measured["addressing"] or {"kind": UNKNOWN}
    asked = dict([(name, False) for name in REQUIREMENTS])
    asked["R1"] = nat.get("filtering") is not None
    asked["R2"] = bool(measured["ports"]) and rtp is not None
    asked["R3"] = addressing["kind"] != UNKNOWN
    asked["R4"] = nat.get("mapping") is not None
    asked["R5"] = bool(measured["alg"]) and UNKNOWN not in _verdicts(measured["alg"])
    if router.is_router(measured):
        # Phones stand behind it, and what it does to them its own packets do not meet.
        adapter, helpers = measured["adapter"], measured["configured"]["helpers"]
        asked["R3"] = adapter is not None and adapter["kind"] == INNER
        asked["R5"] = asked["R5"] and helpers is not None
    known = bracket_of(router.lifetimes(measured), "udp/sip", "replied")
    # Where nothing died the search may have ended before the shortest keepalive.
    asked["R6"] = known is not None and (known[1] is not None or known[0] > least)
    media = measured["media"] or {"out": None, "in": None}
    asked["R0"] = None not in (media["out"], media["in"])
    asked["R7"] = service.registered(measured) is not None
    asked["R8"] = measured["forward"] is not None and measured["forward"]["answered"] is not None
    account = measured["registration"]
    asked["R9"] = account is not None and account["register"]["state"] == "ok"
    return asked


def _of_ports(found, measured, ports):
    results = measured["ports"] or []
    dead = [result for result in results if not result["open"]]
    for result in dead:
        _add(found, "reach.blocked.address", address=result["address"])
    living = [result for result in results if result["open"]]
    for code, wanted in (
        ("reach.blocked.sip", [ports["sip"]]),
        ("reach.blocked.stun", ports["stun"]),
    ):
        blocked = [[r["address"], p] for r in living for p in ports_of(r["blocked"]) if p in wanted]
        if blocked:
            _add(found, code, blocked=blocked)
    rtp = measured["rtp"]
    if rtp and rtp["blocked"]:
        _add(
            found,
            "reach.blocked.rtp",
            blocked=rtp["blocked"],
            range=list(ports["rtp"]),
            sampled=rtp["sampled"],
            asked=rtp["asked"],
            open=rtp["open"],
        )


def _of_address(found, addressing):
    if addressing is None:
        return
    if addressing["kind"] not in (INNER, UNKNOWN):
        _add(found, "address.outside", address=addressing["local"], kind=addressing["kind"])
    if addressing["translated"] is False:
        _add(found, "nat.none", address=addressing["local"])


def _of_nat(found, nat):
    if nat is None:
        return
    if nat["filtering"] not in (None, INDEPENDENT):
        _add(found, "nat.filtering.inbound", filtering=nat["filtering"])
    kept = nat["port_preservation"]
    if kept and nat["mapping"] != "none" and kept["kept"] < kept["of"]:
        _add(found, "nat.ports.changed", kept=kept["kept"], of=kept["of"])
    if nat["mapping"] in ("address-dependent", "address-and-port-dependent"):
        _add(found, "nat.mapping.dependent", mapping=nat["mapping"])


def _verdicts(alg):
    """Of the requests, and of the answers where the request came untouched."""
    rows = [alg["sip"][method] for method in sorted(alg["sip"])]
    return [row["verdict"] for row in rows] + [
        row["back"] for row in rows if row["verdict"] == "untouched"
    ]


def _of_alg(found, alg):
    sip = alg["sip"] if alg else {}
    rewritten = {m: sip[m]["changes"] for m in sip if sip[m]["verdict"] == "rewritten"}
    dropped = sorted([method for method in sip if sip[method]["verdict"] == "dropped"])
    if rewritten:
        _add(found, "sip.alg.rewrites", changes=rewritten)
    if dropped:
        control = [m for m in dropped if alg["control"][m]["verdict"] == "dropped"]
        _add(found, "sip.alg.drops", methods=dropped, also_elsewhere=control)
    # Of a request that was rewritten the answer is rewritten back: that is no trouble of its own.
    plain = {m: sip[m] for m in sip if sip[m]["verdict"] == "untouched"}
    spoiled = {m: plain[m]["back_changes"] for m in plain if plain[m]["back"] == "rewritten"}
    lost = sorted([m for m in plain if plain[m]["back"] == "dropped"])
    if spoiled or lost:
        _add(found, "sip.alg.answers", changes=spoiled, dropped=lost)


def _of_sip(found, lifetimes):
    for key in sorted(lifetimes):
        result = lifetimes[key]
        if result and result.get("difference"):
            _add(found, "sip.differs", state=key[1], text=result["difference"])
    sip = bracket_of(lifetimes, "udp/sip", "replied")
    plain = bracket_of(lifetimes, "udp/stun", "replied")
    if longer(sip, plain):
        _add(found, "sip.alg.timer", sip=list(sip), other=list(plain))


def _of_bindings(found, measured, profile):
    advice = advised(router.lifetimes(measured), profile)
    limits = profile["keepalive_s"]
    died = advice["margin"] == keepalive.NONE and advice["hi"] is not None
    if died or advice["holds"] is False:
        # Calls come in by a forward that was seen to work, whatever the NAT forgets (R7 (d)).
        code = "nat.binding.forwarded" if service.forwarded(measured) else "nat.binding.short"
        _add(
            found,
            code,
            lo=advice["lo"],
            usual=limits["default"],
            least=limits["min"],
            most=limits["max"],
        )
    elif advice["margin"] == keepalive.THIN and advice["hi"] is not None:
        _add(found, "nat.binding.thin", lo=advice["lo"], interval=advice["interval_s"])
    kinds = (measured["keepalives"] or {"kinds": {}})["kinds"]
    lost = sorted([kind for kind in kinds if kinds[kind] in ("lost", "altered")])
    if lost:
        _add(found, "keepalive.lost", kinds=lost)


def _of_layers(found, measured, profile):
    short = [finding for finding in found if finding["code"] == "nat.binding.short"]
    advice = advised(measured["lifetimes"], profile)
    usual = profile["keepalive_s"]["default"]
    for code, evidence in layers.judge(measured["layers"], advice, bool(short), usual):
        _add(found, code, **evidence)

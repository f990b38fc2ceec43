"""One box on one page of 80 columns: what is known of it, and how old each piece is.

What was never reported is "not measured"; what was tried in vain is "unknown", with the reason.
"""

import textwrap
from typing import Any, TextIO

from natwatch.diagnosis import attribution
from natwatch.diagnosis.boxes import STATES
from natwatch.diagnosis.findings import CODES, NOT_MEASURED, NOT_MET, NOTE
from natwatch.diagnosis.report import ranges_text
from natwatch.diagnosis.sources import NOTHING
from natwatch_provider.store.keys import context_of
from natwatch_provider.store.overview import Row

from .tables import age, lifetime, percent, table

WIDTH = 80
_TITLE, _AGE = 19, 10  # columns of a line's title and of its age
_TEXT = WIDTH - _TITLE - _AGE
_STALE_S = 86400.0  # a share of the last 24 h that is older says nothing about now

_OLD_VERDICT_S = 2 * 86400.0  # a device tells it once a day at least
_VERDICTS = {"ready": "ready", "findings": "NOT READY", "unknown": "unknown"}

_NOT_MEASURED = "not measured"

Line = tuple[str, str]  # title, text


def calls_arrive(resident: Row | None, now: float) -> str:
    """Whether an incoming call would have arrived, in one cell: ``99.8 %``, ``NO``, ``-``."""
    if resident is None or now - resident["time"] > _STALE_S:
        return "-"
    data = resident["data"]
    if data.get("reachable") is False:
        return "NO"
    share = data.get("share") if data.get("day") is None else data["day"]
    return "-" if share is None else percent(share)


def verdict(check: Row | None, now: float) -> str:
    """The verdict on the line, in one cell: ``ready``, ``NOT READY``, ``unknown``, ``-``."""
    if check is None or now - check["time"] > _OLD_VERDICT_S:
        return "-"
    return _VERDICTS[check["data"]["verdict"]]


def show(found: Row, now: float, out: TextIO) -> None:
    """Print what overview.page() found."""
    _head(found, now, out)
    here = _present_line(found)
    for kind, lines in _SECTIONS.items():
        one = found["latest"].get(kind)
        told = lines({} if one is None else one["data"])
        _section(told, age(one["time"], now) if one else "", out)
        if one and not _same_line(one["data"]["context"], here):
            _indented(f"(on another line: {_line(one['data']['context'])})", out)
    _brackets(found, now, out)
    _differences(found, now, out)


def _head(found: Row, now: float, out: TextIO) -> None:
    one = found["device"]
    state = "online" if one["online"] else "offline"
    program = ""
    if one["version"]:
        program = f"; natwatch {one['version']} on {one['interpreter']}"
    print(f"{one['id']}: {state}, last seen {age(one['last_seen'], now)} ago{program}", file=out)
    opened = found["alert"]
    if opened:
        text = (
            f"ALERT {opened['id']}, {opened['severity']}, raised {age(opened['raised'], now)} ago, "
            f"{opened['class']} {opened['state']} {lifetime(opened['new_lo'], opened['new_hi'])}: "
            f"{opened['text']}"
        )
        print(textwrap.fill(text, WIDTH, subsequent_indent="  "), file=out)
    print(file=out)
    print(f"{'':{_TITLE + _TEXT}}{'AGE':>{_AGE}}", file=out)


def _section(lines: list[Line], old: str, out: TextIO) -> None:
    """Print *lines*; their age, which is the same, beside the first."""
    for number, (title, text) in enumerate(lines):
        first, *more = textwrap.wrap(text, _TEXT - 2) or [""]
        right = f"{old:>{_AGE}}" if number == 0 else ""
        print(f"{title:{_TITLE}}{first:{_TEXT}}{right}".rstrip(), file=out)
        for rest in more:
            print(" " * _TITLE + rest, file=out)


def _indented(text: str, out: TextIO) -> None:
    for one in textwrap.wrap(text, _TEXT - 2):
        print(" " * _TITLE + one, file=out)


def _resident(data: Row) -> list[Line]:
    if not data:
        return [("calls arrive", _NOT_MEASURED)]
    share, why = data.get("share"), data.get("reason")
    shares = []
    if data.get("day") is not None:
        shares.append(f"{percent(data['day'])} in 24 h")
    if share is not None:
        shares.append(f"{percent(share)} in the last {data['seconds'] / 60:.0f} min")
    if data.get("reachable") is False:
        shares.insert(0, f"NO: {why or 'what was sent to the phone flow did not arrive'}")
    elif data.get("reachable") is None:
        shares.append(f"at present unknown: {why or 'nothing was asked yet'}")
    counts = (
        f"{data['arrived']} arrived, {data['missed']} missed, {data['unknown']} unknown in "
        f"{data['seconds'] / 60:.0f} min"
    )
    if data["moved"]:
        counts += f"; public endpoint moved {data['moved']} times"
    phone = f"keepalive {data['kind']} every {data['interval']:g} s from port {data['local_port']}"
    return [("calls arrive", "; ".join(shares) or _NOT_MEASURED), ("", counts), ("", phone)]


def _advice(data: Row) -> list[Line]:
    if not data:
        return [("keepalive advice", _NOT_MEASURED)]
    unknown = "unknown: " if data["margin"] == "unknown" else ""
    lines = [("keepalive advice", unknown + data["reason"])]
    if data.get("interval_s") is not None:
        lines.append(("", f"every {data['interval_s']:g} s, margin {data['margin']}"))
    if data.get("in_use") is not None:
        verdict = {True: "holds", False: "does NOT hold", None: "unknown whether it holds"}
        lines.append(("", f"in use: every {data['in_use']:g} s, {verdict[data.get('holds')]}"))
    if data.get("server_ping_s") is not None:
        ping = f"a ping of the operator's every {data['server_ping_s']:g} s would hold it as well"
        lines.append(("", ping))
    if data["steps"]:
        lines.append(("", "steps: " + ", ".join(data["steps"])))
    return lines


def _nat(data: Row) -> list[Line]:
    if not data:
        return [("NAT behaviour", _NOT_MEASURED)]
    kept = data.get("port_preservation")
    ports = f"{kept['kept']} of {kept['of']} ports" if kept else None
    lines = [
        ("mapping", _or_unknown(data.get("mapping"), data.get("mapping_reason"))),
        ("filtering", _or_unknown(data.get("filtering"), data.get("filtering_reason"))),
        ("address pooling", data.get("pooling") or _NOT_MEASURED),
        ("port preservation", ports or _NOT_MEASURED),
        ("hairpin", {True: "yes", False: "no", None: _NOT_MEASURED}[data.get("hairpin")]),
        ("classic name", _classic(data.get("classic"))),
    ]
    if data.get("difference"):
        lines.append(("", data["difference"]))
    return lines


def _classic(found: dict[str, Any] | None) -> str:
    """The name that RFC 3489 gives it: by our own verdict, and as pystun3 calls it."""
    if found is None:
        return _NOT_MEASURED
    ours = found.get("name") or "unknown by our own verdict"
    if found.get("type"):
        return f"{ours} (pystun3: {found['type']})"
    return f"{ours} (pystun3: unknown: {found.get('reason') or 'no reason given'})"


def _keepalives(data: Row) -> list[Line]:
    if not data:
        return [("keepalives", _NOT_MEASURED)]
    fates: dict[str, list[str]] = {}
    for kind, fate in data["kinds"].items():
        fates.setdefault(fate, []).append(kind)
    order = [fate for fate in ("arrives", "altered", "lost", "unknown") if fate in fates]
    lines = [f"{fate}: {', '.join(fates[fate])}" for fate in order]
    if data.get("reason"):
        lines.append(("unknown: " if not fates else "why unknown: ") + data["reason"])
    return [("keepalives" if n == 0 else "", one) for n, one in enumerate(lines or ["unknown"])]


def _layers(data: Row) -> list[Line]:
    if not data:
        return [("which box is short", _NOT_MEASURED)]
    lines = []
    for index, box in enumerate(data["boxes"]):
        lines.append(attribution.name(box))
        for state in STATES:
            if box.get(state) is not None:
                shortest = ", the shortest" if data["short"].get(state) == index else ""
                lines.append(f"  {state} {lifetime(*box[state])}{shortest}")
    if data.get("after"):
        lines.append("after a shrink only the shortest is looked for; all of them follow")
    elif not data["complete"]:
        lines.append("there may be more: not every hop could be looked at")
    if data.get("agree") is False:
        speaking = [one for one in data["evidence"] if one.get("says") not in (None, NOTHING)]
        said = [f"{one['source']} says {one['says']}" for one in speaking]
        lines.append(f"DISAGREE on how many there are: {', '.join(said)}")
    if data.get("reason"):
        lines.append(f"unknown: {data['reason']}")
    return [("which box is short" if number == 0 else "", one) for number, one in enumerate(lines)]


def _plan(data: Row) -> list[Line]:
    if not data:
        return [("watching", "plan not told")]
    return [("watching", f"{data['bytes_per_day'] / 1e6:.2f} MB a day planned")]


def _check(data: Row) -> list[Line]:
    if not data:
        return [("verdict", _NOT_MEASURED)]
    notes = [code for code in data["codes"] if CODES.get(code, ("", ""))[1] == NOTE]
    codes = [code for code in data["codes"] if code not in notes]
    words = _VERDICTS[data["verdict"]]
    lines = [("verdict", ": ".join([words, ", ".join(codes)] if codes else [words]))]
    if notes:
        lines.append(("", "notes: " + ", ".join(notes)))
    for state in (NOT_MET, NOT_MEASURED):
        names = sorted(name for name, found in data["requirements"].items() if found == state)
        if names:
            lines.append(("", f"{state}: {', '.join(names)}"))
    return lines


def _reach(data: Row) -> list[Line]:
    if not data:
        return [("ports", _NOT_MEASURED)]
    lines = []
    if data.get("reason"):
        lines.append(f"at present unknown: {data['reason']}")
    if data["blocked"]:
        lines.append(f"BLOCKED: {ranges_text(data['blocked'])}")
    if data["known"]:
        lines.append(f"{data['known_open']} of {data['known']} known are open")
    if data["lost"]:
        lines.append(f"{data['lost']} of {data['tries']} requests to open ports were lost")
    return [("ports" if number == 0 else "", one) for number, one in enumerate(lines)]


def _media(data: Row) -> list[Line]:
    if not data:
        return [("voice", _NOT_MEASURED)]
    lines = []
    for way in ("out", "in"):
        told = data.get(way)
        if told is None:
            lines.append(f"{way}: unknown: {data.get('reason') or 'no reason given'}")
            continue
        mos = ", ".join(f"MOS {told['mos'][one]:.1f} ({one})" for one in sorted(told["mos"]))
        lines.append(f"{way}: {mos}")
        jitter = "unknown" if told.get("jitter") is None else f"{told['jitter']:.1f} ms"
        lines.append(f"{way}: {told['loss_percent']:.1f} % lost, jitter {jitter}")
    if data.get("rtt"):
        lines.append(f"round trip {data['rtt']['median']:.0f} ms")
    return [("voice" if number == 0 else "", one) for number, one in enumerate(lines)]


def _health(data: Row) -> list[Line]:
    if not data:
        return [("health", "not told")]
    up, memory, clock, spool = data["uptime"], data["memory"], data["clock"], data["spool"]
    lines = [f"runs for {_told(up.get('process'))}, machine for {_told(up.get('machine'))}"]
    used = []
    if memory.get("rss") is not None:
        used.append(f"{memory['rss'] / 1e6:.1f} MB of memory")
    if data.get("cpu_s") is not None:
        used.append(f"{data['cpu_s']:.0f} s of processor")
    if data.get("descriptors") is not None:
        used.append(f"{data['descriptors']} descriptors")
    if used:
        lines.append(", ".join(used))
    if data.get("temperature") is not None:
        lines.append(f"{data['temperature']:.0f} °C")
    if data.get("storage") is not None:
        free, size = data["storage"]["free"], data["storage"]["size"]
        lines.append(f"{free / 1e6:.0f} of {size / 1e6:.0f} MB of storage free")
    if clock.get("offset") is None:
        off = ""
    else:
        off = f", the system's is off by {clock['offset']:g} s"
    lines.append(f"clock: {clock['quality']}{off}, set {clock['jumps']} times")
    if spool["waiting"]:
        lines.append(f"{spool['waiting']} reports waited")
    errors = {name[7:]: n for name, n in data["counters"].items() if name.startswith("raised_")}
    for words, counts in (("reports DROPPED", spool["dropped"]), ("INTERNAL ERRORS", errors)):
        if counts:
            lines.append(f"{words}: " + ", ".join(f"{one} {counts[one]}" for one in sorted(counts)))
    return [("health" if number == 0 else "", one) for number, one in enumerate(lines)]


def _told(seconds: float | None) -> str:
    return "unknown" if seconds is None else age(0, seconds)


# Kinds of report in the order of the page, with what each says.
_SECTIONS = {
    "resident": _resident,
    "check": _check,
    "reach": _reach,
    "media": _media,
    "advice": _advice,
    "nat": _nat,
    "layers": _layers,
    "keepalives": _keepalives,
    "plan": _plan,
    "health": _health,
}


def _brackets(found: Row, now: float, out: TextIO) -> None:
    """The lifetimes, by the line that they were measured on: another gateway is another line."""
    lines: dict[str, list[Row]] = {}
    for one in found["keys"]:
        lines.setdefault(one["context"], []).append(one)
    if not lines:
        print(f"\nlifetimes: {_NOT_MEASURED}", file=out)
    for number, keys in enumerate(lines.values()):
        where = "on another line" if number else "now"
        print(f"\nlifetimes {where}: {_line(keys[0])}", file=out)
        rows = [
            [
                one["class"],
                one["state"],
                lifetime(one["lo"], one["hi"]),
                _watched(one, found) if number == 0 else "-",
                age(one["measured"], now),
            ]
            for one in sorted(keys, key=lambda one: (one["class"], one["state"]))
        ]
        table(["PORT", "STATE", "LIFETIME", "WATCHED", "AGE"], rows, out)
        for one in keys:
            _remarks(one, now, out)


def _watched(key: Row, found: Row) -> str:
    """How often *key* is looked at: by the plan, or else by the period its report tells."""
    plan = found["latest"].get("plan")
    if plan is None:
        return "-" if key["period"] is None else f"every {_span(key['period'])}"
    for one in plan["data"]["keys"]:
        if (one["class"], one["state"]) == (key["class"], key["state"]):
            if one.get("period") is not None:
                return f"every {_span(one['period'])}"
            return f"checked every {_span(one['every'])}"
    return "not planned"


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"


def _remarks(key: Row, now: float, out: TextIO) -> None:
    """What a row of the table has no room for."""
    name = f"{key['class']} {key['state']}"
    texts = []
    if key["unknown_since"] is not None:
        why = key["unknown_reason"] or "no reason given"
        texts.append(f"latest, {age(key['unknown_since'], now)} ago, unknown: {why}")
    if key["state"] == "refreshed" and key["lo"] is not None:
        texts.append(
            {
                True: "packets from outside extend the binding",
                False: "packets from outside do not extend the binding",
                None: "whether packets from outside extend the binding is unknown",
            }[key["extends"]]
        )
    for text in texts:
        print(textwrap.fill(f"  {name}: {text}", WIDTH, subsequent_indent="    "), file=out)


def _differences(found: Row, now: float, out: TextIO) -> None:
    print(file=out)
    if not found["differences"]:
        print("differences between SIP and STUN: none reported", file=out)
        return
    print("differences between SIP and STUN:", file=out)
    for one in found["differences"]:
        text = f"  {one['class']} {one['state']}, {age(one['measured'], now)} ago: "
        print(textwrap.fill(text + one["difference"], WIDTH, subsequent_indent="    "), file=out)


def _or_unknown(value: str | None, reason: str | None) -> str:
    if value is not None:
        return value
    return f"unknown: {reason}" if reason else _NOT_MEASURED


def _present_line(found: Row) -> Row:
    """The gateway and public address that the newest of all reports was measured on."""
    at = [(one["measured"], one) for one in found["keys"]]
    at += [(one["time"], one["data"]["context"]) for one in found["latest"].values()]
    newest: Row = max(at, key=lambda one: one[0], default=(0.0, {}))[1]
    return newest


def _same_line(one: Row, other: Row) -> bool:
    """Whether nothing that is known of both says that they are two lines."""
    both = []
    for field in ("gateway", "public"):
        known = one.get(field) is not None and other.get(field) is not None
        both.append((one.get(field), other.get(field)) if known else (None, None))
    (gateway, its_gateway), (public, its_public) = both
    return context_of(gateway, public) == context_of(its_gateway, its_public)


def _line(where: Row) -> str:
    gateway, public = where.get("gateway") or "unknown", where.get("public") or "unknown"
    return f"gateway {gateway}, public address {public}"

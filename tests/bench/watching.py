"""What steady watching costs on the wire, a day, at the default settings.

Counted by the kernel at the device, IP headers included. For each timer two keys are watched for
whole periods, with the resident flow and the broker. Looks at the other keys and surveys are rare,
and their first searches take hours where timers are long: so what they cost is counted in a lab
of its own with a short timer, and added as often as they come a day. The watches are given the
bytes that the defaults leave them, so their period is that of the default settings, which is seen
to be so for one timer.
"""

import json
import re
import time
from functools import partial
from typing import Any

from natwatch import config
from natwatch.daemon import plan
from tests.bench.jobs import Job, Row, table, words
from tests.lab import HOME, R2, Lab
from tests.lab.stage import Stage, wait_for

TIMERS = tuple(int(word) for word in words("TIMERS", "5 12 30 60 120 300"))
_PROMISED = 5e6  # bytes a day
_PERIODS = 5  # counted, two rounds each; three where they are long
_LONG = 250  # s
_DAY = 86400
_PLAIN = 12  # s, the timer of the labs that look at the defaults and at the looks
_EVERY = 300  # s between two looks or surveys, in the lab that counts them
_CYCLES = 2
_WATCHING = re.compile(r"watching, one round every ([\d.]+) s")
_LOOKED = re.compile(
    r"^\S+ (udp/\w+ \w+: (?:alive|unknown)|keepalives to the SIP port|mapping)", re.M
)

_NEEDED = {"device": "box", "reflector": {"address": "192.0.2.1", "key": "00" * 32}}
_DEFAULTS: dict[str, Any] = config.check(_NEEDED)


def jobs() -> list[Job]:
    found = [
        Job(
            f"watching behind a timer of {timer} s",
            60 + 5 * timer + max(5 * 200, 4 * timer),
            partial(watching, timer),
        )
        for timer in sorted(TIMERS, reverse=True)
    ]
    if found:
        found.append(Job("looks and surveys", 500 + (_CYCLES + 1) * _EVERY, looks))
        found.append(Job("period at the defaults", 100, defaults))
    return found


def watching(timer: int) -> list[Row]:
    """Bytes and packets of whole periods of both watches."""
    with Lab(HOME) as lab:
        stage = _provider(lab, timer)
        # What looks and surveys take of the budget, without them.
        every = _DEFAULTS["check_every_s"] * 1000
        keys = [plan.Key(tuple(key), every) for key in _DEFAULTS["check"]]
        surveys = [plan.Survey(name, _DEFAULTS["survey_every_s"] * 1000) for name in plan.SURVEYS]
        surveys.append(plan.Survey(plan.LAYERS, _DEFAULTS["layers_every_s"] * 1000))
        left = _DEFAULTS["budget"]["bytes_per_day"] - plan.reserved(keys, surveys, None)
        watch = _DEFAULTS["watch"]
        stage.start_agent("box", resident={}, watch=watch, budget={"bytes_per_day": left})
        period = _period(stage, 60 + 6 * timer)
        periods = 3 if period > _LONG else _PERIODS
        time.sleep(timer + 10)  # the rounds that began before are over when those of the end begin
        before = _count(lab)
        time.sleep(periods * period)
        after = _count(lab)
    row: Row = {"what": "watching", "timer": timer, "period": period, "periods": periods}
    for name in before:
        row[name] = (after[name] - before[name]) * _DAY / (periods * period)
    return [row]


def looks() -> list[Row]:
    """Bytes of one look or survey, the mean of all kinds; the watch is as good as off."""
    with Lab(HOME) as lab:
        stage = _provider(lab, _PLAIN)
        often: dict[str, Any] = {"check": None, "check_every_s": _EVERY, "survey_every_s": _EVERY}
        stage.start_agent("box", budget={"bytes_per_day": 100_000}, **often)
        kinds = len(config.others([["udp/sip", "stream"]])) + 1 + len(plan.SURVEYS)

        def complete() -> bool:
            return len(set(_LOOKED.findall(stage.log("box")))) >= kinds

        wait_for(complete, 900, "all keys known", lambda: stage.log("box"), every=1)
        done, before = len(_LOOKED.findall(stage.log("box"))), _count(lab)
        time.sleep(_CYCLES * _EVERY)
        done, after = len(_LOOKED.findall(stage.log("box"))) - done, _count(lab)
    row: Row = {"what": "looks", "done": done}
    return [{**row, **{name: (after[name] - before[name]) / done for name in before}}]


def defaults() -> list[Row]:
    """The period that an agent with nothing but default settings works out."""
    with Lab(HOME) as lab:
        stage = _provider(lab, _PLAIN)
        left_out: dict[str, Any] = {"check": None, "resident": {}, "budget": {}}
        for name in ("survey_every_s", "layers_every_s"):
            left_out[name] = _DEFAULTS[name]
        stage.start_agent("box", watch=_DEFAULTS["watch"], **left_out)
        return [{"what": "period", "timer": _PLAIN, "period": _period(stage, 200)}]


def _provider(lab: Lab, timer: int) -> Stage:
    lab.router.set_timers(udp=timer, stream=timer)
    lab.router.set_filter(allow=R2)
    rules = "meta l4proto udp counter\nmeta l4proto tcp counter\n"
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority 0;\n{rules} }}\n"
        for hook in ("input", "output")
    ]
    lab.nft("phone", "count", "".join(chains))
    stage = Stage(lab)
    stage.start_reflector()
    stage.start_broker()
    stage.start_collector()
    return stage


def _period(stage: Stage, seconds: float) -> float:
    """The longer one of the two keys', once both are watched."""

    def both() -> list[str] | None:
        found = _WATCHING.findall(stage.log("box"))
        return found if len(found) >= len(_DEFAULTS["watch"]) else None

    found = wait_for(both, seconds, "both keys watched", lambda: stage.log("box"), every=0.5)
    return max(float(period) for period in found)


def _count(lab: Lab) -> dict[str, int]:
    """Bytes (IP) that the device sent and received: udp measures, tcp reports."""
    listing = json.loads(lab.run("phone", ["nft", "-j", "list", "table", "ip", "count"]))
    found = {"udp": 0, "tcp": 0}
    for entry in listing["nftables"]:
        if "rule" in entry:
            match, counter = entry["rule"]["expr"]
            found[match["match"]["right"]] += counter["counter"]["bytes"]
    return found


# What is shown


def show(rows: list[Row]) -> int:
    """How many timers cost more than is promised, or are watched at another period than shown."""
    watched = [row for row in rows if row["what"] == "watching"]
    looked = [row for row in rows if row["what"] == "looks"]
    a_day = len(_DEFAULTS["check"]) * _DAY // _DEFAULTS["check_every_s"]
    a_day += len(plan.SURVEYS) * _DAY // _DEFAULTS["survey_every_s"]
    # Not counted here: one takes minutes, and what it costs is bench-layers' to say.
    layers = plan.SURVEY_BYTES[plan.LAYERS] * _DAY // _DEFAULTS["layers_every_s"]
    print("\nSteady watching at the default settings, MB a day on the wire\n")
    lines: list[list[object]] = []
    dear = 0
    for row in sorted(watched, key=lambda row: row["timer"]):
        udp = row["udp"] + layers + sum(look["udp"] * a_day for look in looked)
        tcp = row["tcp"] + sum(look["tcp"] * a_day for look in looked)
        dear += udp + tcp > _PROMISED
        lines.append(
            [row["timer"], f"{row['period']:.1f}", row["periods"]]
            + [f"{size / 1e6:.2f}" for size in (row["udp"], udp - row["udp"], tcp, udp + tcp)]
            + ["yes" if udp + tcp <= _PROMISED else "NO"]
        )
    table(
        ">timer s | >period s | >periods counted | >watches and resident | >looks and surveys"
        " | >reports over TLS | >all | ≤ 5",
        lines,
    )
    for look in looked:
        print(
            f"\nA look or survey: {look['udp']:.0f} bytes, mean of {look['done']}; {a_day} a day."
        )
    other = 0
    for row in (row for row in rows if row["what"] == "period"):
        print(f"\nWith nothing set at all: one round every {row['period']:.1f} s.")
        same = [w["period"] for w in watched if w["timer"] == row["timer"]]
        other += any(abs(period - row["period"]) > 0.01 * period for period in same)
    return dear + other + (not looked and bool(watched))

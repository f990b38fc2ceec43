"""port/ruleset.py: nft's own listing, in which any program's rules stand."""

import json

from natwatch.port import openwrt, ruleset

PLACE = {"family": "ip", "table": "nat"}


def rule(*expressions: object) -> dict[str, object]:
    return {"rule": {**PLACE, "chain": "in", "expr": list(expressions)}}


def match(left: object, right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


PORT = {"payload": {"protocol": "udp", "field": "dport"}}
PROTOCOL = {"meta": {"key": "l4proto"}}
DNAT = {"dnat": {"addr": "192.168.1.20", "port": 5060}}
DOCUMENTS = [
    [rule(match(PORT, 5060), DNAT), {"chain": {**PLACE, "name": "out", "hook": "output"}}],
    [rule(match(PROTOCOL, {"set": ["udp", "tcp"]}), match(PORT, {"range": [8000, 8100]}), DNAT)],
    [
        rule(match(PORT, {"set": [5060, {"range": [1, 2]}]}), {"dnat": {"addr": "10.0.0.1"}}),
        {"ct helper": {**PLACE, "name": "sip", "type": "sip", "protocol": "udp"}},
        rule({"ct helper": "sip"}, {"xt": None}),
        {"ct timeout": {**PLACE, "name": "t", "protocol": "udp", "policy": {"unreplied": 30}}},
    ],
]
SEEDS = [json.dumps({"nftables": items}).encode() for items in DOCUMENTS]
WORDS = [
    b"null",
    b"[]",
    b"{}",
    b'"set":',
    b'"range":[1,2]',
    b"true",
    b"65536",
    b"-1",
    b'""',
    b"1.5",
]
WORDS += [b'"dnat":', b'"match":', b'"payload":', b'"right":', b'"op":"!="', b'"addr":', b'"meta":']


def one(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return  # as ruleset.ask() does
    told = ruleset.digest(document)
    assert (
        len(told["forwards"]) <= openwrt.MOST and len(told["timers"]) <= 8 and told["unread"] >= 0
    )
    assert told["helpers"] in ([], ["sip"])
    json.dumps(told)

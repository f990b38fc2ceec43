"""What nft lists, digested: documents as nft 1.0.6 wrote them, and such as nobody writes."""

import json

from natwatch.port.openwrt import MOST
from natwatch.port.ruleset import digest

TO = "192.168.1.30"
UDP = {"payload": {"protocol": "udp", "field": "dport"}}
TCP = {"payload": {"protocol": "tcp", "field": "dport"}}
ANY = {"payload": {"protocol": "th", "field": "dport"}}
L4 = {"meta": {"key": "l4proto"}}


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


def rule(*expressions, chain="incoming", family="ip"):
    told = {"family": family, "table": "nat", "chain": chain, "expr": list(expressions)}
    return {"rule": told}


def told(*items):
    return digest({"nftables": [{"metainfo": {"version": "1.0.6"}}] + list(items)})


def forward(low, high, to_port):
    return {"ports": [low, high], "to": TO, "to_port": to_port}


def test_dnat_of_udp_is_a_forward():
    dnat = {"dnat": {"addr": TO}}
    moved = {"dnat": {"addr": TO, "port": 5070}}
    both = {"set": [5060, {"range": [8000, 8100]}]}
    single = [forward(5060, 5060, 5060)]
    for expressions, expected in (
        ((match(UDP, 5060), dnat), single),
        (
            (match({"meta": {"key": "iifname"}}, "wan"), match(UDP, 5060), {"counter": None}, dnat),
            single,
        ),
        ((match(UDP, 5060), moved), [forward(5060, 5060, 5070)]),
        ((match(UDP, {"range": [8000, 8100]}), dnat), [forward(8000, 8100, None)]),
        ((match(UDP, {"range": [8000, 8100]}), moved), [forward(8000, 8100, 5070)]),
        ((match(UDP, both), dnat), [forward(5060, 5060, 5060), forward(8000, 8100, None)]),
        ((match(UDP, both, "in"), dnat), [forward(5060, 5060, 5060), forward(8000, 8100, None)]),
        ((match(L4, "udp"), match(ANY, 5060), dnat), single),
        ((match(L4, {"set": ["tcp", "udp"]}), match(ANY, 5060), dnat), single),
        ((match(L4, 17), match(ANY, 5060), dnat), single),
        ((match(L4, "tcp"), match(ANY, 5060), dnat), []),
        ((match(L4, "udp", "!="), dnat), []),
        ((match(L4, "tcp", "!="), match(ANY, 5060), dnat), single),
        (
            (match({"payload": {"protocol": "ip", "field": "protocol"}}, "udp"), dnat),
            [forward(1, 65535, None)],
        ),
        (
            (match({"payload": {"protocol": "ip", "field": "saddr"}}, "1.2.3.4"), dnat),
            [forward(1, 65535, None)],
        ),
        ((match(TCP, 5060), dnat), []),
        ((match(UDP, 5060), {"redirect": {"port": 5070}}), []),
        ((match(UDP, 5060), {"accept": None}), []),
        ((match(UDP, 5060), {"dnat": {"addr": "fd00::1"}}), []),
    ):
        found = told(rule(*expressions))
        assert found["forwards"] == expected and found["unread"] == 0, (expressions, found)


def test_a_form_that_is_not_understood_is_counted():
    dnat = {"dnat": {"addr": TO}}
    mapped = {"map": {"key": UDP, "data": {"set": [[5071, TO]]}}}
    for expressions in (
        (match(UDP, 5060, "!="), dnat),
        (match(UDP, "@ports"), dnat),
        (match(UDP, {"set": [5060, "@ports"]}), dnat),
        (match(UDP, {"set": [{"set": [5060]}]}), dnat),
        (match(UDP, {"range": [5060]}), dnat),
        (match(UDP, {"range": [5070, 5060]}), dnat),
        (match(UDP, 70000), dnat),
        (match(UDP, True), dnat),
        (match(UDP, 5060), {"dnat": {"addr": mapped}}),
        (match(UDP, 5060), {"dnat": {"addr": {"range": ["10.0.0.1", "10.0.0.9"]}}}),
        (match(UDP, 5060), {"dnat": {"port": 5070}}),
        (match(UDP, 5060), {"dnat": None}),
        (match(UDP, {"range": [8000, 8100]}), {"dnat": {"addr": TO, "port": {"range": [1, 101]}}}),
    ):
        found = told(rule(*expressions))
        assert found["forwards"] == [] and found["unread"] == 1, (expressions, found)


def test_the_routers_own_packets_and_ipv6_are_no_forwards():
    own = {
        "chain": {"family": "ip", "table": "nat", "name": "own", "type": "nat", "hook": "output"}
    }
    dnat = (match(UDP, 5060), {"dnat": {"addr": TO}})
    assert told(own, rule(*dnat, chain="own"))["forwards"] == []
    assert told(own, rule(*dnat, family="ip6"))["forwards"] == []
    assert told(own, rule(*dnat, family="inet"))["forwards"] == [forward(5060, 5060, 5060)]


def test_a_reflection_is_no_second_forward_and_there_are_48_at_most():
    one = rule(match(UDP, 5060), {"dnat": {"addr": TO, "port": 5060}})
    assert told(one, one)["forwards"] == [forward(5060, 5060, 5060)]
    many = [rule(match(UDP, 6000 + n), {"dnat": {"addr": TO}}) for n in range(MOST + 5)]
    found = told(*many)
    assert len(found["forwards"]) == MOST and found["unread"] == 5
    # What the child prints of the most that there can be is not too long.
    assert len(json.dumps(found)) < 6000


def test_a_helper_is_told_by_its_type_where_a_rule_gives_it():
    helper = {"ct helper": {"family": "ip", "table": "nat", "name": "h", "type": "sip"}}
    other = {"ct helper": {"family": "ip", "table": "nat", "name": "f", "type": "ftp"}}
    use, elsewhere = rule({"ct helper": "h"}), rule({"ct helper": "h"}, family="inet")
    for items, expected in (
        ([helper, use], ["sip"]),
        ([use, helper, use], ["sip"]),
        ([helper], []),
        ([other, rule({"ct helper": "f"})], []),
        ([helper, elsewhere], []),
        ([use], []),
    ):
        assert told(*items)["helpers"] == expected, items


def test_timers_that_rules_give_are_listed():
    policy = {"unreplied": 11, "replied": 22}
    timer = {"family": "ip", "table": "t", "name": "port5060", "protocol": "udp", "policy": policy}
    found = told({"ct timeout": timer}, {"ct timeout": dict(timer, protocol="tcp")})
    assert found["timers"] == [{"name": "port5060", "unreplied": 11, "replied": 22}], found
    found = told({"ct timeout": dict(timer, policy={"unreplied": "x"})})
    assert found["timers"] == [{"name": "port5060", "unreplied": None, "replied": None}], found


def test_rules_of_iptables_are_told():
    assert told(rule({"xt": None}))["foreign"] is True
    assert told(rule({"xt": {"type": "target", "name": "DNAT"}}))["foreign"] is True
    assert told(rule({"counter": None}))["foreign"] is False


def test_whatever_is_listed_ends_in_no_traceback():
    odd = [
        None,
        True,
        0,
        -1,
        1e9,
        "",
        "x",
        [],
        [[]],
        {},
        {"set": 1},
        {"set": [None]},
        {"range": "ab"},
    ]
    names = ["rule", "chain", "ct helper", "ct timeout", "expr", "match", "dnat", "xt"]
    names += ["left", "right", "op", "payload", "meta", "addr", "port", "policy", "family", "table"]
    for value in odd:
        digest(value)
        digest({"nftables": value})
        for name in names:
            digest({"nftables": [{name: value}]})
            digest({"nftables": [{"ct helper": {"family": [], "table": {}, "name": value}}]})
            for inner in (UDP, L4, None):
                expression = {"match": {"left": inner, "op": value, "right": value}, name: value}
                told(rule(expression, {"dnat": value}, family="ip"))
                told(rule(match(inner, 5060), {"dnat": {"addr": TO, name: value}}))
                told(rule(match({name: value}, value), {"dnat": {"addr": value}}))

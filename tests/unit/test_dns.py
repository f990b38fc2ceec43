"""Where the registrar's name leads: resolvers that answer, lie, fail, fall silent, and forgers."""

from nats import INDEPENDENT, PORT_DEPENDENT, Nat
from resolver import Resolver, answer, record
from world import World

from natwatch.probes.dns import Dns
from natwatch.wire import dns
from natwatch.wire.ipv4 import network_of

NAME = "7495.operator.example"
SERVICE = "_sip._udp." + NAME
NETWORK = network_of("109.69.176.128/25")
HERE, THERE, OUTSIDE = "109.69.176.131", "109.69.176.211", "198.51.100.9"
FIRST, SECOND, THIRD = "192.168.1.1", "192.0.2.53", "192.0.2.54"
A, SRV, CNAME = dns.A, dns.SRV, dns.CNAME

PLAIN = {(NAME, A): [HERE]}
TARGETS = {
    (NAME, A): [HERE],
    (SERVICE, SRV): [
        (20, 0, 5060, "sip2.operator.example"),
        (10, 5, 5070, "sip1.operator.example"),
    ],
    ("sip1.operator.example", A): [HERE],
    ("sip2.operator.example", A): [THERE],
}


class Case:
    """One look-up: the result, the resolvers, the engine, and how long it took."""

    def __init__(self, records, prepare=None, asked=(FIRST,), name=NAME, loss=0, seed=1):
        nat = Nat(30000, 120000, PORT_DEPENDENT, INDEPENDENT, seed)
        self.world = World(nat, loss, seed)
        self.resolvers = [Resolver(self.world, at, records) for at in (FIRST, SECOND, THIRD)]
        if prepare is not None:
            prepare(*self.resolvers)
        self.engine = Dns(list(asked), name, NETWORK, self.world.random)
        self.world.add(self.engine)
        begun = self.world.now
        turns = [0]

        def over():
            turns[0] += 1
            return self.engine.done

        self.world.run(begun + 60000, over)
        self.ms = self.world.now - begun
        assert turns[0] < 200, ("it keeps the loop busy", turns[0])
        self.world.remove(self.engine)
        assert self.engine.done and not self.world.flows, "the sockets are closed"
        (self.result,) = self.engine.take_results()
        assert self.engine.next_timer() is None


def result(records, prepare=None, **rest):
    return Case(records, prepare, **rest).result


def test_a_name_inside_the_network_is_ok():
    case = Case(PLAIN)
    assert case.result == {
        "name": NAME,
        "resolver": FIRST,
        "a": [HERE],
        "srv": [],
        "outside": [],
        "state": "ok",
        "rcode": "NOERROR",
        "contradictions": [],
        "ttl": 300,
        "reason": None,
    }, case.result
    assert case.ms < 1000, case.ms
    assert case.engine.counters == {}, case.engine.counters
    asked = [(name, kind) for _, _, _, name, kind in case.resolvers[0].queries]
    assert sorted(asked) == [(NAME, A), (SERVICE, SRV)], asked


def test_srv_targets_are_followed_as_a_phone_prefers_them():
    case = Case(TARGETS)
    first, second = case.result["srv"]
    assert first == {
        "target": "sip1.operator.example",
        "port": 5070,
        "priority": 10,
        "weight": 5,
        "a": [HERE],
    }, first
    assert (second["priority"], second["a"]) == (20, [THERE]), second
    assert case.result["state"] == "ok" and case.result["reason"] is None, case.result
    assert len(case.resolvers[0].queries) == 4, case.resolvers[0].queries


def test_a_target_is_not_asked_that_stands_in_the_additional_section():
    def prepare(resolver, *_):
        resolver.beside = {"sip1.operator.example": [THERE, OUTSIDE]}

    case = Case(TARGETS, prepare)
    assert case.result["srv"][0]["a"] == [THERE, OUTSIDE], case.result
    assert case.result["state"] == "wrong" and case.result["outside"] == [OUTSIDE], case.result
    assert len(case.resolvers[0].queries) == 3, case.resolvers[0].queries


def test_a_target_that_is_the_name_itself_is_not_asked_twice():
    records = {(NAME, A): [HERE], (SERVICE, SRV): [(1, 1, 5060, NAME)]}
    case = Case(records)
    assert case.result["srv"][0]["a"] == [HERE], case.result
    assert len(case.resolvers[0].queries) == 2, case.resolvers[0].queries


def test_of_many_targets_four_are_followed_and_the_result_says_so():
    records = {(NAME, A): [HERE], (SERVICE, SRV): []}
    for number in range(7):
        target = "sip%d.operator.example" % number
        records[(SERVICE, SRV)].append((7 - number, 0, 5060, target))
        records[(target, A)] = [HERE]
    found = result(records)
    assert [entry["priority"] for entry in found["srv"]] == [1, 2, 3, 4], found
    assert "first 4 of 7 SRV" in found["reason"] and found["state"] == "ok", found


def test_a_service_that_is_said_not_to_exist_is_no_target():
    case = Case({(NAME, A): [HERE], (SERVICE, SRV): [(0, 0, 0, ".")]})
    assert case.result["srv"][0]["a"] == [] and case.result["state"] == "ok", case.result
    assert "no such service" in case.result["reason"], case.result
    assert len(case.resolvers[0].queries) == 2, case.resolvers[0].queries


def test_an_alias_is_followed():
    records = {(NAME, CNAME): ["sip.operator.example"], ("sip.operator.example", A): [HERE]}
    found = result(records)
    assert found["a"] == [HERE] and found["state"] == "ok", found
    found = result({(NAME, CNAME): ["sip.elsewhere.example"]})
    assert found["state"] == "no such name", found


def test_any_address_outside_is_wrong():
    elsewhere = dict(TARGETS)
    elsewhere[("sip2.operator.example", A)] = [THERE, OUTSIDE]
    for records in (
        {(NAME, A): [OUTSIDE]},
        {(NAME, A): [HERE, OUTSIDE, HERE]},
        {
            (NAME, A): [HERE],
            (SERVICE, SRV): [(1, 1, 5060, "x.example")],
            ("x.example", A): [OUTSIDE],
        },
        elsewhere,
    ):
        found = result(records)
        assert (found["state"], found["outside"]) == ("wrong", [OUTSIDE]), found
    for address in ("0.0.0.0", "127.0.0.1", "109.69.176.127", "109.69.177.0"):
        assert result({(NAME, A): [address]})["state"] == "wrong", address
    for address in ("109.69.176.128", "109.69.176.255"):
        assert result({(NAME, A): [address]})["state"] == "ok", address


def test_a_name_without_address_is_told_from_one_that_does_not_exist():
    found = result({("other.example", A): [HERE]})
    assert (found["state"], found["resolver"], found["ttl"]) == ("no such name", FIRST, None), found
    assert found["rcode"] == "NXDOMAIN" and "no such name" in found["reason"], found
    found = result({(NAME, 16): [b"x"]})
    assert (found["state"], found["a"], found["rcode"]) == ("no address", [], "NOERROR"), found
    # Of the name itself there is none, of its service's targets there is.
    records = dict(TARGETS)
    del records[(NAME, A)]
    found = result(records)
    assert (found["state"], found["a"]) == ("ok", []), found
    assert "A of %s" % NAME in found["reason"], found


def test_what_stands_beside_an_nxdomain_is_not_believed():
    def prepare(resolver, *_):
        def instead(ident, name, kind):
            return answer(ident, name, kind, [record(name, A, OUTSIDE)], rcode=dns.NXDOMAIN)

        resolver.instead = instead

    assert result(PLAIN, prepare)["state"] == "no such name"


def test_no_address_is_not_said_while_a_question_that_may_have_one_is_open():
    def deaf(resolver, *_):
        resolver.deaf_to = (SRV,)

    def refusing(resolver, *_):
        resolver.instead = lambda ident, name, kind: answer(
            ident, name, kind, rcode=dns.REFUSED if kind == SRV else 0
        )

    assert result({(NAME, 16): [b"x"]}, deaf)["state"] == "no answer"
    assert result({(NAME, 16): [b"x"]}, refusing)["state"] == "refused"


def test_a_resolver_that_answers_no_srv_question_leaves_what_a_says():
    def prepare(resolver, *_):
        resolver.deaf_to = (SRV,)

    case = Case(PLAIN, prepare)
    assert case.result["state"] == "ok" and case.result["a"] == [HERE], case.result
    assert case.result["reason"] == "SRV of %s: no answer" % SERVICE, case.result
    assert case.ms < 4000, case.ms


def test_a_refusal_sends_on_to_the_next_resolver_at_once_and_stands_if_all_refuse():
    def one(first, *_):
        first.rcodes = [dns.REFUSED] * 9

    case = Case(PLAIN, one, asked=(FIRST, SECOND))
    assert (case.result["state"], case.result["resolver"]) == ("ok", SECOND), case.result
    assert case.ms < 1000 and len(case.resolvers[0].queries) == 2, case.ms

    for rcode, text in ((dns.REFUSED, "REFUSED"), (dns.NOTIMP, "NOTIMP"), (9, "RCODE 9")):

        def both(first, second, _third, rcode=rcode):
            first.rcodes = [rcode] * 9
            second.rcodes = [rcode] * 9

        found = result(PLAIN, both, asked=(FIRST, SECOND))
        assert (found["state"], found["rcode"]) == ("refused", text), found
        assert found["resolver"] == SECOND and text in found["reason"], found


def test_a_failure_that_passes_is_asked_again_and_one_that_stays_is_refused():
    def passing(first, *_):
        first.rcodes = [dns.SERVFAIL] * 2

    found = result(PLAIN, passing)
    assert (found["state"], found["rcode"], found["reason"]) == ("ok", "NOERROR", None), found

    def lasting(first, *_):
        first.rcodes = [dns.SERVFAIL] * 99

    case = Case(PLAIN, lasting)
    assert (case.result["state"], case.result["rcode"]) == ("refused", "SERVFAIL"), case.result
    assert len(case.resolvers[0].queries) == 6, case.resolvers[0].queries
    found = result(PLAIN, lasting, asked=(FIRST, SECOND))
    assert (found["state"], found["resolver"]) == ("ok", SECOND), found


def test_a_server_that_looks_nothing_up_says_nothing_of_the_name():
    def lame(first, *_):
        first.flags = 0x8100
        first.records = {(NAME, 16): [b"x"]}

    found = result(PLAIN, lame)
    assert found["state"] == "refused" and "looks nothing up" in found["reason"], found
    assert result(PLAIN, lame, asked=(FIRST, SECOND))["resolver"] == SECOND


def test_on_silence_the_next_resolver_is_asked_after_three_tries_with_growing_gaps():
    def prepare(first, second, _third):
        first.silent = 99
        second.silent = 99

    case = Case(TARGETS, prepare, asked=(FIRST, SECOND, THIRD))
    assert (case.result["state"], case.result["resolver"]) == ("ok", THIRD), case.result
    assert [entry["a"] for entry in case.result["srv"]] == [[HERE], [THERE]], case.result
    assert case.ms <= 10000, case.ms
    for resolver in case.resolvers[:2]:
        times = [when for when, _, _, _, kind in resolver.queries if kind == A]
        assert len(times) == 3 and times[1] - times[0] < times[2] - times[1], times
    # The targets are asked of the one that answered first.
    names = [name for _, _, _, name, _ in case.resolvers[0].queries]
    assert set(names) == set([NAME, SERVICE]), names


def test_of_more_than_three_resolvers_three_are_asked_and_all_is_over_after_ten_seconds():
    def prepare(*resolvers):
        for resolver in resolvers:
            resolver.silent = 99

    case = Case(PLAIN, prepare, asked=("::1", FIRST, FIRST, SECOND, THIRD, "192.0.2.55"))
    assert (case.result["state"], case.result["resolver"]) == ("no answer", None), case.result
    assert "A of %s: no answer" % NAME in case.result["reason"], case.result
    assert case.ms <= 10000, case.ms
    assert [len(resolver.queries) for resolver in case.resolvers] == [6, 6, 6]
    asked = sorted(set([destination for (_, destination) in case.world.nat.bindings]))
    assert asked == sorted([(FIRST, 53), (SECOND, 53), (THIRD, 53)]), asked


def test_targets_that_stay_silent_end_with_the_time_and_the_name_is_judged():
    def prepare(first, second, third):
        records = dict(PLAIN)
        records[(SERVICE, SRV)] = TARGETS[(SERVICE, SRV)]
        for resolver in (first, second):
            resolver.silent = 99
        third.records = records
        third.instead = lambda ident, name, kind: (
            b"" if name.startswith("sip") else third._answer(ident, name, kind)
        )

    case = Case(PLAIN, prepare, asked=(FIRST, SECOND, THIRD))
    assert case.ms == 10000, case.ms
    assert case.result["state"] == "ok", case.result
    assert [entry["a"] for entry in case.result["srv"]] == [[], []], case.result
    assert "A of sip1.operator.example: no answer" in case.result["reason"], case.result
    assert case.engine.counters["short"] > 0, case.engine.counters


def test_a_slow_resolver_is_heard_though_it_was_asked_again():
    def prepare(first, *_):
        first.slow = 2000

    case = Case(TARGETS, prepare)
    assert case.result["state"] == "ok" and case.result["reason"] is None, case.result
    assert case.result["contradictions"] == [], case.result


def test_a_lossy_line_gives_the_same_result():
    for seed in range(1, 13):
        found = result(TARGETS, loss=100, seed=seed, asked=(FIRST, SECOND))
        assert found["state"] == "ok" and len(found["srv"]) == 2, (seed, found)


def test_each_query_has_a_port_and_an_id_of_its_own():
    def prepare(first, *_):
        first.silent = 3

    case = Case(TARGETS, prepare)
    queries = case.resolvers[0].queries
    assert len(set([source for _, source, _, _, _ in queries])) == len(queries) > 4, queries
    assert len(set([ident for _, _, ident, _, _ in queries])) == len(queries), queries


def test_without_a_resolver_nothing_is_asked():
    for asked in ((), ("::1", "router", "")):
        case = Case(PLAIN, asked=asked)
        found = case.result
        assert (found["state"], found["resolver"]) == ("not asked", None), found
        assert "no resolver" in found["reason"] and case.world.sent == 0, found


def test_an_address_is_judged_without_a_question():
    case = Case(PLAIN, name=HERE)
    found = case.result
    assert (found["state"], found["a"], found["outside"]) == ("not asked", [HERE], []), found
    assert "is an address" in found["reason"] and case.world.sent == 0, found
    found = result(PLAIN, name=OUTSIDE, asked=())
    assert (found["state"], found["outside"]) == ("wrong", [OUTSIDE]), found


def test_it_does_not_end_as_it_starts_since_a_loop_would_not_take_the_result():
    engine = Dns([], NAME, NETWORK, World(Nat(30000, 120000)).random)
    engine.start(70)
    assert not engine.done and engine.next_timer() == 70
    engine.handle_timer(70)
    assert engine.done and engine.take_results()[0]["state"] == "not asked"


def test_a_name_that_is_none_is_not_asked():
    for name in ("", "sip operator", "a..b", "\u0441\u0438\u043f.example", "a." * 130 + "b"):
        case = Case(PLAIN, name=name)
        assert case.result["state"] == "not asked", case.result
        assert "cannot be looked up" in case.result["reason"] and case.world.sent == 0, case.result


def test_a_name_in_capitals_or_with_a_dot_at_the_end_is_the_same():
    assert result(PLAIN, name=NAME.upper() + ".")["state"] == "ok"


# Forgers, and other bad answers


def forged(address, ident=0, source=None, name=None, kind=None, times=1, rcode=0):
    """A prepare() whose resolver's answer about A is late, after one that somebody else made up."""

    def before(resolver, query, destination, local):
        asked, asked_name, asked_kind = query
        resolver.slow = 400 if asked_kind == A else 0
        if asked_kind != A:
            return
        made = answer(
            asked ^ ident,
            name or asked_name,
            kind or asked_kind,
            [record(name or asked_name, A, address)],
            rcode=rcode,
        )
        for _ in range(times):
            resolver.world.to_device(made, source or local, destination)

    def prepare(first, *_):
        first.before = before

    return prepare


def test_an_answer_from_elsewhere_or_to_another_question_is_counted_and_not_believed():
    for prepare, counter in (
        (forged(OUTSIDE, source=(SECOND, 53)), "wrong_source"),
        (forged(OUTSIDE, source=(FIRST, 5353)), "wrong_source"),
        (forged(OUTSIDE, ident=1), "wrong_id"),
        (forged(OUTSIDE, name="other.example"), "wrong_question"),
        (forged(OUTSIDE, kind=28), "wrong_question"),
    ):
        case = Case(PLAIN, prepare)
        assert case.result["state"] == "ok" and case.result["a"] == [HERE], case.result
        assert case.result["contradictions"] == [], case.result
        assert case.engine.counters == {counter: 1}, case.engine.counters


def test_the_first_of_two_different_answers_is_judged_and_both_are_kept():
    found = result(PLAIN, forged(OUTSIDE))
    assert (found["state"], found["a"], found["outside"]) == ("wrong", [OUTSIDE], [OUTSIDE]), found
    said = {"name": NAME, "type": "A", "resolver": FIRST, "rcode": "NOERROR", "srv": []}
    assert found["contradictions"] == [dict(said, a=[OUTSIDE]), dict(said, a=[HERE])], found
    assert "different answers" in found["reason"], found

    found = result({(NAME, A): [OUTSIDE]}, forged(HERE))
    assert (found["state"], found["outside"]) == ("ok", []), found
    assert [said["a"] for said in found["contradictions"]] == [[HERE], [OUTSIDE]], found
    assert "different answers" in found["reason"], found


def test_a_forged_refusal_does_not_hide_the_answer_that_follows():
    found = result(PLAIN, forged(OUTSIDE, rcode=dns.REFUSED))
    assert (found["state"], found["a"], found["rcode"]) == ("ok", [HERE], "NOERROR"), found
    assert [said["rcode"] for said in found["contradictions"]] == ["REFUSED", "NOERROR"], found
    assert "different answers" in found["reason"], found


def test_the_same_answer_twice_is_one():
    case = Case(PLAIN, forged(HERE, times=3))
    assert case.result["contradictions"] == [] and case.result["reason"] is None, case.result
    assert case.engine.counters == {"repeated": 3}, case.engine.counters


def test_two_queries_may_be_answered_differently():
    # As where a resolver's two tries come from a pool of addresses that it deals out in turn.
    def prepare(first, *_):
        first.slow = 700
        turn = []

        def instead(ident, name, kind):
            turn.append(1)
            return answer(ident, name, kind, [record(name, A, (HERE, THERE)[len(turn) % 2])])

        first.instead = instead

    assert result(PLAIN, prepare)["contradictions"] == []


def test_a_flood_of_different_answers_is_bounded():
    def before(resolver, query, destination, local):
        for number in range(60):
            made = answer(query[0], query[1], A, [record(query[1], A, "198.51.100.%d" % number)])
            resolver.world.to_device(made, local, destination)

    def prepare(first, *_):
        first.before = before

    case = Case(PLAIN, prepare)
    assert len(case.result["contradictions"]) == 16, case.result
    assert case.engine.counters["different"] >= 59, case.engine.counters


def test_a_result_names_only_so_many_addresses_and_judges_all():
    many = ["109.69.176.%d" % number for number in range(130, 170)]
    found = result({(NAME, A): many})
    assert len(found["a"]) == 16 and found["state"] == "ok", found
    found = result({(NAME, A): many + [OUTSIDE]})
    assert (found["state"], found["outside"]) == ("wrong", [OUTSIDE]), found


def test_a_truncated_answer_counts_for_what_it_has_and_an_empty_one_is_none():
    def part(first, *_):
        first.flags = 0x8380

    found = result(TARGETS, part)
    assert found["state"] == "ok" and "only a part" in found["reason"], found

    def empty(first, *_):
        first.flags = 0x8380
        first.records = {(NAME, 16): [b"x"]}

    case = Case(PLAIN, empty)
    assert case.result["state"] == "no answer", case.result
    assert "did not fit" in case.result["reason"], case.result
    assert case.engine.counters["truncated"] > 0, case.engine.counters
    assert result(PLAIN, empty, asked=(FIRST, SECOND))["resolver"] == SECOND


def test_bad_datagrams_and_aliases_in_a_circle_are_counted_and_end_as_no_answer():
    def circle(ident, name, kind):
        return answer(ident, name, kind, [record(name, CNAME, name)])

    def service_circle(ident, name, kind):
        srv = [record(name, SRV, (n, 0, 5060, "x%d.example" % n)) for n in range(20)]
        return answer(ident, name, kind, srv, [record("x19.example", CNAME, "x19.example")])

    for instead, counter in (
        (lambda ident, name, kind: b"", "short"),
        (lambda ident, name, kind: bytes(65507), "huge"),
        (lambda ident, name, kind: b"\0" * 40, "not_answer"),
        (circle, "aliases"),
        (service_circle, "aliases"),
    ):

        def prepare(first, *_, instead=instead):
            first.instead = instead

        case = Case(PLAIN, prepare)
        assert case.engine.counters.get(counter, 0) > 0, case.engine.counters
        assert case.result["state"] in ("no answer", "no address"), case.result


def test_stopped_before_its_end_it_closes_its_sockets_and_has_no_result():
    engine = Dns([FIRST], NAME, NETWORK, World(Nat(30000, 120000)).random)
    engine.start(0)
    assert [flow for flow, _, _ in engine.take_sends()] == [0, 1]
    engine.stop(10)
    assert engine.take_sends() == [(0, None, (FIRST, 53)), (1, None, (FIRST, 53))]
    assert engine.done and engine.take_results() == [] and engine.next_timer() is None
    engine.receive(0, b"", (FIRST, 53), 20)
    assert engine.counters == {"unexpected": 1} and engine.take_sends() == []

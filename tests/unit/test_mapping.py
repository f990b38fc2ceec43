"""How a NAT maps, against every kind of it, and against servers that mislead."""

from nats import (
    ADDRESS_DEPENDENT,
    EXTERNAL,
    INDEPENDENT,
    INTERNAL,
    KINDS,
    PORT_DEPENDENT,
    PUBLIC,
    UNTRANSLATED,
    Nat,
)
from servers import ALTERNATE_PORT, FIRST, PORT, SECOND, SERVER, StunServer
from world import World

from natwatch.probes.mapping import Mapping, kind_of

POOL = [PUBLIC, "203.0.113.10"]


def ask(prepare=None, mapping=PORT_DEPENDENT, filtering=PORT_DEPENDENT, loss=0, seed=1, own=()):
    """(the result, the world, the server)"""
    world = World(Nat(30000, 120000, mapping, filtering, seed), loss, seed)
    server = StunServer(world)
    engine = Mapping(SERVER, world.random, own=own)
    if prepare is not None:
        prepare(world, server)
    world.add(engine)
    results = []

    def done():
        results.extend(engine.take_results())
        return engine.done

    world.run(world.now + 120000, done)
    results.extend(engine.take_results())
    assert len(results) == 1, results
    world.remove(engine)
    assert not world.flows, world.flows
    return results[0], world, server


def test_every_kind_is_named_behind_every_filter():
    for mapping in KINDS:
        for filtering in KINDS:
            result = ask(None, mapping, filtering)[0]
            assert result["mapping"] == mapping, (filtering, result)
            assert result["pooling"] == "paired" and "reason" not in result, result
            assert result["seconds"] < 6, result


def test_a_nat_that_maps_by_endpoint_but_keeps_the_port_looks_independent():
    def prepare(world, server):
        world.nat.preserves_ports = True

    result = ask(prepare)[0]
    assert result["mapping"] == INDEPENDENT
    assert result["port_preservation"] == {"kept": 8, "of": 8}, result


def test_ports_that_are_not_kept_are_counted():
    def prepare(world, server):
        world.nat.random_ports = True

    result = ask(prepare, INDEPENDENT)[0]
    assert result["port_preservation"]["of"] == 8 and result["port_preservation"]["kept"] <= 1
    assert len(set(result["local_ports"])) == 8


def test_a_pool_that_is_drawn_from_for_each_binding_is_arbitrary():
    def prepare(world, server):
        world.nat.addresses, world.nat.arbitrary = POOL, True

    for mapping in KINDS:
        for seed in range(1, 11):
            result = ask(prepare, mapping, seed=seed)[0]
            assert result["mapping"] == mapping, (mapping, seed, result)
            assert result["pooling"] == "arbitrary", (mapping, seed, result)


def test_kept_ports_and_addresses_drawn_by_chance_are_not_taken_for_an_independent_mapping():
    def prepare(world, server):
        world.nat.addresses, world.nat.arbitrary = POOL, True
        world.nat.preserves_ports = True

    for seed in range(1, 21):
        result = ask(prepare, PORT_DEPENDENT, seed=seed)[0]
        assert result["mapping"] == PORT_DEPENDENT, (seed, result)


def test_one_address_for_all_is_paired_also_where_the_pool_has_more():
    def prepare(world, server):
        world.nat.addresses = POOL

    assert ask(prepare, INDEPENDENT)[0]["pooling"] == "paired"


def test_the_machines_own_address_means_no_nat_and_only_with_its_own_port():
    result = ask(None, UNTRANSLATED, own=(PUBLIC,))[0]
    assert result["mapping"] == "none" and result["hairpin"] is None, result
    assert result["port_preservation"] == {"kept": 8, "of": 8}
    assert ask(None, UNTRANSLATED)[0]["mapping"] == INDEPENDENT  # own addresses unknown
    assert ask(None, INDEPENDENT, own=(PUBLIC,))[0]["mapping"] == INDEPENDENT  # other ports


def test_the_evidence_is_what_one_socket_saw():
    result = ask(None, PORT_DEPENDENT)[0]
    assert [entry[0] for entry in result["mapped"]] == [
        "%s:%d" % endpoint
        for endpoint in (SERVER, (FIRST, ALTERNATE_PORT), (SECOND, PORT), (SECOND, ALTERNATE_PORT))
    ]
    assert len(set([entry[1] for entry in result["mapped"]])) == 4


# Endpoints that do not answer -> the verdict for each kind.
A2, B1, B2 = (FIRST, ALTERNATE_PORT), (SECOND, PORT), (SECOND, ALTERNATE_PORT)
DEAD = (
    ((B1,), (INDEPENDENT, ADDRESS_DEPENDENT, PORT_DEPENDENT)),
    ((B2,), (None, ADDRESS_DEPENDENT, PORT_DEPENDENT)),
    ((A2,), (INDEPENDENT, ADDRESS_DEPENDENT, PORT_DEPENDENT)),
    ((B1, B2), (None, None, PORT_DEPENDENT)),
    ((A2, B2), (None, None, None)),
    ((A2, B1), (INDEPENDENT, None, None)),
    ((A2, B1, B2), (None, None, None)),
)


def test_an_endpoint_that_does_not_answer_proves_nothing():
    for dead, verdicts in DEAD:

        def prepare(world, server, dead=dead):
            server.dead = set(dead)

        for mapping, verdict in zip(KINDS, verdicts):
            result = ask(prepare, mapping)[0]
            assert result["mapping"] == verdict, (dead, mapping, result)
            if verdict is None:
                assert "not answer" in result["reason"], result
                assert "%s:%d" % dead[0] in result["reason"], result


def test_a_dead_alternate_is_asked_no_more_than_five_times():
    sent = []

    def prepare(world, server):
        server.dead = set([B1, B2])
        arrive = world._arrive

        def counted(data, source, local):
            if local[0] == SECOND:
                sent.append(local)
            arrive(data, source, local)

        world._arrive = counted

    ask(prepare, INDEPENDENT)
    assert len(sent) == 10, sent


def test_a_server_that_is_silent_or_answers_from_elsewhere_gives_unknown():
    def silence(world, server):
        server.silent = True

    def elsewhere(world, server):
        server.wrong_source = B1

    def refusal(world, server):
        server.receive = lambda data, source, local, now: server._send(
            b"\x01\x11\x00\x08" + data[4:20] + b"\x00\x09\x00\x04\x00\x00\x05\x00", local, source
        )

    for prepare, words in (
        (silence, "does not answer"),
        (elsewhere, "asked %s:%d, and %s:%d answered" % (SERVER + B1)),
        (refusal, "error 500"),
    ):
        result = ask(prepare, INDEPENDENT, INDEPENDENT)[0]
        assert result["mapping"] is None and words in result["reason"], result
        assert result["pooling"] is None and result["hairpin"] is None


def test_a_server_without_a_sensible_other_address_gives_unknown_but_pooling_and_ports():
    for other in (None, ("0.0.0.0", 3479), (SECOND, 0), ("255.255.255.255", 3479), (FIRST, 3479)):

        def prepare(world, server, other=other):
            server.names_other = other is not None
            server.other = other

        result, world, _ = ask(prepare, INDEPENDENT)
        assert result["mapping"] is None and "other address" in result["reason"], result
        assert result["pooling"] == "paired" and result["port_preservation"]["of"] == 8


def test_a_classic_server_is_enough_and_is_noted():
    def prepare(world, server):
        server.classic = True

    for mapping in KINDS:
        result = ask(prepare, mapping)[0]
        assert result["mapping"] == mapping and result["classic"] is True, result


def test_a_public_address_that_changes_at_any_moment_gives_no_false_verdict():
    seen = set()
    for after in range(0, 500, 10):
        for mapping in KINDS:

            def prepare(world, server, after=after):
                world.at(world.now + after, world.nat.change_address, "203.0.113.77")

            result = ask(prepare, mapping)[0]
            assert result["mapping"] in (mapping, None), (after, result)
            assert result["pooling"] in ("paired", None), (after, result)
            seen.add(result.get("reason"))
    assert "the mapping changed in the middle" in seen, seen


def test_loss_costs_time_but_gives_no_false_verdict():
    known = 0
    for seed in range(1, 21):
        for mapping in KINDS:
            result = ask(None, mapping, loss=100, seed=seed)[0]
            assert result["mapping"] in (mapping, None), (seed, result)
            known += result["mapping"] is not None
    assert known >= 55, known


def test_hairpin_is_told_by_what_comes_back_and_from_where():
    for where in (EXTERNAL, INTERNAL):

        def prepare(world, server, where=where):
            world.nat.hairpin = where

        for filtering in KINDS:
            result = ask(prepare, INDEPENDENT, filtering)[0]
            assert result["hairpin"] is True, (filtering, result)
            assert result["hairpin_source"] == where, result


def test_no_hairpin_is_said_only_where_nothing_else_explains_the_silence():
    assert ask(None, INDEPENDENT)[0]["hairpin"] is False
    result = ask(None, PORT_DEPENDENT)[0]
    assert result["hairpin"] is None and "filter" in result["hairpin_reason"], result

    def restart(world, server):
        world.at(world.now + 2000, world.nat.restart)

    result = ask(restart, INDEPENDENT)[0]
    assert result["mapping"] == INDEPENDENT and result["hairpin"] is None, result


def test_nothing_is_sent_to_an_address_but_the_servers_and_the_mapped_one():
    seen = set()

    def prepare(world, server):
        translate = world._translate

        def noted(inner, data, destination):
            seen.add(destination[0])
            translate(inner, data, destination)

        world._translate = noted

    ask(prepare, INDEPENDENT)
    assert seen == set([FIRST, SECOND, PUBLIC]), seen


def test_what_is_no_answer_is_counted_and_believed_by_nobody():
    world = World(Nat(30000, 120000))
    engine = Mapping(SERVER, world.random)
    engine.start(world.now)
    request = engine.take_sends()[0][1]
    forged = b"\x01\x01\x00\x0c" + request[4:19] + b"\xff" + b"\x00\x01\x00\x08\x00\x01\x9c\x40"
    bare = b"\x01\x01\x00\x00" + request[4:20]
    for data, counter in (
        (b"", "short"),
        (forged + b"\xc0\x00\x02\x07", "unexpected"),  # another transaction
        (bare, "no_address"),
        (b"\x01\x01\x00\x08" + request[4:20] + b"\x00\x20\x00\x01\x00\0\0\0", "attribute_length"),
        (b"\x00\x11" + bare[2:], "unexpected"),  # an indication
    ):
        before = engine.questions.counters.get(counter, 0)
        engine.receive(0, data, SERVER, world.now)
        assert engine.questions.counters.get(counter, 0) == before + 1, (counter, data)
        assert not engine.done and engine.take_sends() == []


def test_one_dependent_socket_among_many_decides():
    endpoints = [SERVER, A2, B1, B2]
    x, y = (PUBLIC, 1), (PUBLIC, 2)
    for rows, expected in (
        ([[x, x, x, x]], INDEPENDENT),
        ([[x, x, x, x], [x, x, y, y]], ADDRESS_DEPENDENT),
        ([[x, x, x, x], [x, x, y, y], [x, x, x, y]], PORT_DEPENDENT),
        ([[x, y, x, y]], PORT_DEPENDENT),  # by port alone: RFC 4787 has no milder name
        ([[x, None, None, y]], None),
        ([[x, None, y, None]], None),
        ([[x, None, x, None]], None),
    ):
        assert kind_of(rows, endpoints)[0] == expected, rows

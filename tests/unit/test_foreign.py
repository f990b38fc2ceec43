"""Servers without our extension: filtering by CHANGE-REQUEST, lifetime by RESPONSE-PORT."""

from nats import INDEPENDENT, KINDS, PORT_DEPENDENT, UNTRANSLATED, Nat
from servers import ALTERNATE_PORT, FIRST, SECOND, SERVER, StunServer
from world import World

from natwatch.probes.foreign_filtering import ForeignFiltering
from natwatch.wire import stun


def run(make, nat, prepare=None, loss=0, seed=1, seconds=300):
    """(results, world) of the engine that *make(world)* gives, behind *nat*."""
    world = World(nat, loss, seed)
    server = StunServer(world)
    engine = make(world)
    if prepare is not None:
        prepare(world, server)
    world.add(engine)
    results = []

    def done():
        results.extend(engine.take_results())
        return engine.done

    world.run(world.now + seconds * 1000, done)
    results.extend(engine.take_results())
    assert engine.done, world.now
    world.remove(engine)
    assert not world.flows, world.flows
    return results, world


def filtering(prepare=None, mapping=INDEPENDENT, kind=INDEPENDENT, loss=0, seed=1, keeps=False):
    nat = Nat(30000, 120000, mapping, kind, seed)
    nat.preserves_ports = keeps
    made = run(lambda world: ForeignFiltering(SERVER, world.random), nat, prepare, loss, seed)
    assert len(made[0]) == 1, made
    return made[0][0]


def test_every_filter_is_named_where_the_mapping_allows_the_positive_control():
    for mapping, keeps in ((INDEPENDENT, False), (PORT_DEPENDENT, True), (UNTRANSLATED, False)):
        for kind in KINDS:
            result = filtering(None, mapping, kind, keeps=keeps)
            assert result["filtering"] == kind, (mapping, result)
            assert result["method"] == "change-request" and result["trust"], result


def test_where_the_control_cannot_work_silence_is_unknown_and_what_passes_is_proof():
    for mapping in KINDS[1:]:
        assert filtering(None, mapping, KINDS[0])["filtering"] == INDEPENDENT
        for kind in KINDS[1:]:
            result = filtering(None, mapping, kind)
            assert result["filtering"] is None, (mapping, kind, result)
            assert "cannot be told from filtering" in result["reason"], result


A2, B2 = (FIRST, ALTERNATE_PORT), (SECOND, ALTERNATE_PORT)


def test_a_server_that_misleads_gives_unknown_with_the_reason():
    def ignores(world, server):
        server.ignores_change = True

    def refuses(world, server):
        server.refuses = [stun.CHANGE_REQUEST]

    def silent(world, server):
        server.silent = True

    def elsewhere(world, server):
        server.wrong_source = A2

    def dead(world, server):
        server.dead = set([B2])

    def dead_port(world, server):
        server.dead = set([A2])

    def alone(world, server):
        server.names_other = False

    for prepare, words in (
        (ignores, "ignores CHANGE-REQUEST"),
        (refuses, "error 420"),
        (silent, "does not answer"),
        (elsewhere, "%s:%d" % SERVER),
        (dead, "%s:%d does not answer" % B2),
        (dead_port, "%s:%d does not answer" % A2),
        (alone, "names no other address"),
    ):
        for kind in KINDS[1:]:
            result = filtering(prepare, INDEPENDENT, kind)
            assert result["filtering"] is None, (words, kind, result)
            assert words in result["reason"], (words, result)


def test_a_server_that_drops_change_requests_is_not_taken_for_a_filter():
    def prepare(world, server):
        receive = server.receive

        def dropping(data, source, local, now):
            if not stun.parse(data).has(stun.CHANGE_REQUEST):
                receive(data, source, local, now)

        server.receive = dropping

    for kind in KINDS:
        result = filtering(prepare, INDEPENDENT, kind)
        assert result["filtering"] is None and "nothing shows" in result["reason"], result


def test_a_line_that_fails_during_the_trials_is_not_taken_for_a_filter():
    for begin in range(0, 4000, 200):

        def prepare(world, server, begin=begin):
            lost = world._lost
            start = world.now + begin
            world._lost = lambda: world.now >= start or lost()

        result = filtering(prepare, INDEPENDENT, INDEPENDENT)
        assert result["filtering"] in (INDEPENDENT, None), (begin, result)


def test_loss_and_outages_give_no_false_filter():
    known = 0
    for seed in range(1, 15):
        for kind in KINDS:

            def prepare(world, server, seed=seed):
                if seed % 2:
                    world.outage = (4000 + 100 * seed, 1000)

            result = filtering(prepare, INDEPENDENT, kind, loss=50, seed=seed)
            assert result["filtering"] in (kind, None), (seed, result)
            known += result["filtering"] is not None
    assert known >= 25, known

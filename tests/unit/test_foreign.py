"""Servers without our extension: filtering by CHANGE-REQUEST, lifetime by RESPONSE-PORT."""

from nats import ADDRESS_DEPENDENT, INDEPENDENT, KINDS, PORT_DEPENDENT, PUBLIC, UNTRANSLATED, Nat
from servers import ALTERNATE_PORT, FIRST, SECOND, SERVER, StunServer
from world import World

from natwatch.probes.foreign import ForeignLifetime, ForeignTeeth
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
    for begin in range(0, 100, 5):

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


LIMIT = 60000


def lifetime(timer, state, prepare=None, loss=0, seed=1, mapping=PORT_DEPENDENT, limit=LIMIT):
    """(the one result, the engine) of measuring a NAT of one timer."""
    nat = Nat(timer, timer, mapping, mapping, seed)

    def make(world):
        return ForeignLifetime(SERVER, state, limit, 64, 10, world.random)

    engines = []

    def kept(world):
        engines.append(make(world))
        return engines[0]

    results, _ = run(kept, nat, prepare, loss, seed, seconds=3600)
    assert len(results) == 1, results
    assert results[0]["method"] == "response-port" and results[0]["trust"], results
    return results[0], engines[0]


def test_every_bracket_holds_the_truth():
    for mapping in KINDS:
        for state in ("replied", "stream"):
            for timer in (5000, 12300, 30000):
                result = lifetime(timer, state, mapping=mapping)[0]
                assert result["lo"] * 1000 <= timer <= result["hi"] * 1000, (mapping, result)
                assert result["hi"] - result["lo"] <= 1.1, result
                assert result["seconds"] <= 2.2 * timer / 1000 + 15, result


def test_a_binding_that_outlives_the_search_has_no_upper_edge_here_either():
    result = lifetime(10**9, "replied", limit=20000)[0]
    assert result["lo"] >= 20 and result["hi"] is None


def test_oneway_cannot_be_asked_of_a_server_that_always_answers():
    try:
        ForeignTeeth(SERVER, "oneway", 10, None)
    except ValueError as error:
        assert "replied or stream" in str(error)
    else:
        assert False, "no error"


def test_a_server_without_response_port_gives_unknown_with_the_reason():
    def refuses(world, server):
        server.refuses = [stun.RESPONSE_PORT]

    def drops(world, server):
        server.classic = True

    def ignores(world, server):
        server.ignores_response_port = True

    for prepare in (refuses, drops, ignores):
        for state in ("replied", "stream"):
            result = lifetime(30000, state, prepare)[0]
            assert result["lo"] is None and result["expired"] == 0, result
            assert "does not support RESPONSE-PORT" in result["reason"], result
            assert result["seconds"] < 30, result


def test_a_silent_server_or_one_that_answers_from_elsewhere_gives_unknown():
    def silent(world, server):
        server.silent = True

    def elsewhere(world, server):
        server.wrong_source = A2

    for prepare, words in ((silent, "no answer to the set-up"), (elsewhere, "%s:%d answered" % A2)):
        result = lifetime(30000, "replied", prepare, mapping=ADDRESS_DEPENDENT)[0]
        assert result["lo"] is None and result["expired"] == 0, result
        assert words in result["reason"], result


def test_a_pool_that_gives_the_two_sockets_different_addresses_is_no_expiry():
    def prepare(world, server):
        world.nat.addresses, world.nat.arbitrary = [PUBLIC, "203.0.113.10"], True

    for seed in range(1, 9):
        for mapping in (INDEPENDENT, PORT_DEPENDENT):
            result = lifetime(12300, "replied", prepare, seed=seed, mapping=mapping)[0]
            if result["lo"] is not None:
                assert result["lo"] <= 12.3 and 12.3 <= (result["hi"] or 1e9), (seed, result)


def test_nothing_is_asked_to_be_sent_to_an_address_that_is_not_the_sockets_own():
    asked = []

    def prepare(world, server):
        world.nat.addresses, world.nat.arbitrary = [PUBLIC, "203.0.113.10"], True
        known = {}
        send = server._send

        def noted(data, origin, destination):
            known[destination] = True
            send(data, origin, destination)

        receive = server.receive

        def checked(data, source, local, now):
            port = stun.parse(data).get(stun.RESPONSE_PORT)
            if port is not None:
                asked.append((source[0], port[0] << 8 | port[1]) in known)
            receive(data, source, local, now)

        server._send, server.receive = noted, checked

    lifetime(12300, "replied", prepare, mapping=INDEPENDENT)
    assert asked and False not in asked, asked


def test_loss_and_outages_give_no_false_bracket():
    known = 0
    for seed in range(1, 13):
        for state in ("replied", "stream"):

            def prepare(world, server, seed=seed):
                if seed % 3 == 0:
                    world.outage = (20000, 1000)

            result = lifetime(12300, state, prepare, loss=30, seed=seed)[0]
            if result["lo"] is not None:
                known += 1
                assert result["lo"] <= 12.3, (seed, result)
                assert result["hi"] is None or result["hi"] >= 12.3, (seed, result)
    assert known >= 18, known


def test_a_restart_or_a_new_public_address_at_any_moment_gives_no_false_bracket():
    for after in range(500, 45000, 1500):
        for change in (False, True):

            def prepare(world, server, after=after, change=change):
                if change:
                    world.at(world.now + after, world.nat.change_address, "203.0.113.77")
                else:
                    world.at(world.now + after, world.nat.restart)

            result = lifetime(20000, "replied", prepare)[0]
            if result["lo"] is not None:
                assert result["lo"] <= 20 and 20 <= (result["hi"] or 1e9), (after, change, result)


def test_a_search_that_is_stopped_leaves_no_socket_open():
    for after in (5, 1500, 4000, 6500):
        world = World(Nat(30000, 30000))
        StunServer(world)
        engine = ForeignLifetime(SERVER, "stream", LIMIT, 64, 10, world.random)
        world.add(engine)
        world.run(world.now + after, lambda: False)
        engine.stop(world.now)
        world.remove(engine)
        assert not world.flows, (after, world.flows)


def bite(ask, state, prepare=None, timer=5000):
    """The one finished tooth that asks at *ask* ms."""
    world = World(Nat(timer, timer))
    server = StunServer(world)
    teeth = ForeignTeeth(SERVER, state, 10, world.random)
    teeth.start = lambda now: None
    world.add(teeth)
    teeth.add(ask)
    if prepare is not None:
        prepare(world, server)
    finished = []

    def done():
        finished.extend(teeth.take_finished())
        return bool(finished)

    world.run(world.now + 60000, done)
    return finished[0]


def test_a_tooth_is_alive_before_the_timer_and_expired_after_with_two_round_trips_of_doubt():
    for state in ("replied", "stream"):
        tooth = bite(4900, state)
        assert tooth.phase == "alive" and tooth.idle == 4900, (state, tooth.reason)
        tooth = bite(5100, state)
        assert tooth.phase == "expired", (state, tooth.reason)
        assert tooth.idle == 5500 and tooth.slack == 40


def test_a_mapping_that_changes_during_the_set_up_or_the_question_is_unknown():
    # The proof takes 1,040 ms, as a stream 3,020 more; then a stream's exchanges follow.
    def early(world, server):
        world.at(world.now + 5500, world.nat.restart)

    tooth = bite(4900, "stream", early)
    assert tooth.phase == "unknown" and "during the set-up" in tooth.reason, tooth.reason

    def late(world, server):
        # Between the control request ahead of the question and the question.
        world.at(world.now + 1040 + 20 + 6000 - 300, world.nat.restart)

    tooth = bite(6000, "replied", late, timer=30000)
    assert tooth.phase == "unknown" and "during the question" in tooth.reason, tooth.reason


def test_a_binding_that_dies_within_a_second_is_not_called_expired():
    tooth = bite(5000, "replied", None, timer=900)
    assert tooth.phase == "unknown" and "RESPONSE-PORT" in tooth.reason, tooth.reason

"""What a NAT lets in, against every kind of it, asked of the reflector."""

from nats import INDEPENDENT, KINDS, UNTRANSLATED, Nat
from world import ADDRESS, DEVICE, KEY, OTHER, World

from natwatch.probes.filtering import Filtering, kind_of
from natwatch.probes.session import Session
from natwatch.wire import stun

PRIMARY = (ADDRESS, 3478)


def ask(prepare=None, mapping=INDEPENDENT, filtering=INDEPENDENT, loss=0, seed=1):
    world = World(Nat(30000, 120000, mapping, filtering, seed), loss, seed)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Filtering(session)
    if prepare is not None:
        prepare(world)
    world.add(engine)
    results = []

    def done():
        results.extend(engine.take_results())
        return engine.done

    world.run(world.now + 300000, done)
    results.extend(engine.take_results())
    assert len(results) == 1, results
    world.remove(engine)
    assert [owner for owner, _ in world.inner if owner == id(engine)] == []
    return results[0]


def test_every_kind_is_named_behind_every_mapping_and_behind_a_firewall():
    for mapping in KINDS + (UNTRANSLATED,):
        for filtering in KINDS:
            result = ask(None, mapping, filtering)
            assert result["filtering"] == filtering, (mapping, result)
            assert "reason" not in result and result["method"] == "hold", result
            assert result["seconds"] < 8, result


def drop(world, unwanted):
    """The line loses what *unwanted(message, source)* names, on its way to the device."""
    to_device = world.to_device

    def filtered(data, local, destination):
        if not unwanted(stun.parse(data), local):
            to_device(data, local, destination)

    world.to_device = filtered


def test_an_endpoint_that_no_socket_can_hear_from_proves_nothing():
    for endpoint, words in (
        ((OTHER, 3479), "%s:3479" % OTHER),
        ((ADDRESS, 3479), "%s:3479" % ADDRESS),
    ):

        def prepare(world, endpoint=endpoint):
            drop(world, lambda message, source: source == endpoint)

        for filtering in KINDS[1:]:
            result = ask(prepare, INDEPENDENT, filtering)
            assert result["filtering"] is None, (endpoint, filtering, result)
            assert words in result["reason"] and "not answer" in result["reason"], result


def test_a_silent_push_without_a_witness_is_unknown():
    def prepare(world):
        drop(world, lambda message, source: message.has(stun.WITNESS))

    result = ask(prepare, INDEPENDENT, KINDS[2])
    assert result["filtering"] is None and "witness" in result["reason"], result


def test_a_push_that_the_reflector_did_not_send_is_unknown():
    def prepare(world):
        world.reflector._push = lambda *arguments: None

    result = ask(prepare, INDEPENDENT, KINDS[2])
    assert result["filtering"] is None, result
    assert "the reflector says" in result["reason"], result


def test_where_not_even_the_endpoint_asked_gets_through_nothing_is_said_of_the_filter():
    def prepare(world):
        drop(world, lambda message, source: message.has(stun.PUSH) and source == PRIMARY)

    for filtering in KINDS[1:]:
        result = ask(prepare, INDEPENDENT, filtering)
        assert result["filtering"] is None, result
        assert "even from the endpoint asked" in result["reason"], result


def test_a_push_from_a_wrong_source_is_no_proof():
    def prepare(world):
        to_device = world.to_device

        def proxied(data, local, destination):
            push = stun.parse(data).has(stun.PUSH)
            to_device(data, PRIMARY if push else local, destination)

        world.to_device = proxied

    result = ask(prepare, INDEPENDENT, INDEPENDENT)
    assert result["filtering"] is None and "instead of" in result["reason"], result


def test_a_reflector_that_restarts_in_the_middle_gives_unknown():
    def prepare(world):
        def restart():
            world.reflector.holds = {}
            world.reflector.boot = b"new boot"

        world.at(world.now + 1000, restart)

    result = ask(prepare, INDEPENDENT, KINDS[2])
    assert result["filtering"] is None and "restarted" in result["reason"], result


def test_a_reflector_that_is_silent_gives_unknown_in_the_end():
    def prepare(world):
        world.reflector.silent = True

    result = ask(prepare)
    assert result["filtering"] is None and "does not answer" in result["reason"], result


def test_a_public_address_that_changes_at_any_moment_gives_no_false_verdict():
    for after in range(0, 6000, 150):
        for filtering in KINDS:

            def prepare(world, after=after):
                world.at(world.now + after, world.nat.change_address, "203.0.113.77")

            result = ask(prepare, INDEPENDENT, filtering)
            assert result["filtering"] in (filtering, None), (after, result)


def test_loss_and_outages_give_no_false_verdict():
    known = 0
    for seed in range(1, 15):
        for filtering in KINDS:

            def prepare(world, seed=seed):
                if seed % 2:
                    world.outage = (4000 + 100 * seed, 1000)

            result = ask(prepare, INDEPENDENT, filtering, loss=50, seed=seed)
            assert result["filtering"] in (filtering, None), (seed, result)
            known += result["filtering"] is not None
    assert known >= 25, known


def test_strangers_are_not_believed():
    world = World(Nat(30000, 120000))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Filtering(session)
    world.add(engine)
    world.run(world.now + 900, lambda: False)
    trial = [trial for trial in engine._trials if trial.name == "other address"][0]
    push = [(stun.PUSH, stun.Pushed(trial.txid, 1, 3, 1000))]
    there = (OTHER, 3479)
    for data in (
        b"",
        b"\x01" * 3000,
        stun.build(stun.INDICATION, trial.txid, push, b"k" * 32),
        stun.build(stun.INDICATION, trial.txid, push),
        stun.build(stun.INDICATION, b"z" * 12, push, KEY),
    ):
        engine.receive(trial.flow, data, there, world.now)
        assert not trial.over, data
    engine.receive(trial.flow, stun.build(stun.INDICATION, trial.txid, push, KEY), there, world.now)
    assert trial.phase == "alive"


def test_the_verdict_needs_both_answers_where_one_does_not_imply_the_other():
    p, f = "passes", "filtered"
    for address, port, expected in (
        (p, p, KINDS[0]),
        (p, None, KINDS[0]),
        (p, f, None),
        (f, p, KINDS[1]),
        (f, f, KINDS[2]),
        (f, None, None),
        (None, p, None),
        (None, f, None),
        (None, None, None),
    ):
        assert kind_of(address, port)[0] == expected, (address, port)

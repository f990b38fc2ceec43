"""State refreshed: do packets from outside extend the binding, and what lifetime follows?"""

from nats import Nat
from world import ADDRESS, DEVICE, KEY, World

from natwatch.probes.refreshed import Refreshed, covered
from natwatch.probes.session import Session

LIMIT = 600000


def measure(timer, extends, loss=0, seed=1, prepare=None, limit=LIMIT, delay=10, unreplied=None):
    """(engine, its one result, world); *timer* in ms."""
    nat = Nat(unreplied or min(timer, 30000), timer)
    nat.refresh_inbound = extends
    world = World(nat, loss, seed, delay)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Refreshed(session, "udp/sip", limit, 64, 10)
    if prepare is not None:
        prepare(world)
    world.add(engine)
    results = []

    def done():
        results.extend(engine.take_results())
        return engine.done

    world.run(world.now + 12 * limit, done)
    assert len(results) == 1, results
    return engine, results[0], world


def test_both_kinds_of_nat_are_told_apart_and_the_bracket_holds_the_truth():
    for timer in (5, 8, 12, 30, 60, 120, 300):
        for extends in (True, False):
            _, result, _ = measure(timer * 1000, extends)
            assert result["extends"] is extends, (timer, extends, result)
            assert result["lo"] <= timer <= result["hi"], (timer, extends, result)
            assert result["hi"] - result["lo"] <= 2, result
            assert result["seconds"] <= 5 * timer, (timer, extends, result)
            assert result["at_once"] <= 64, result


def no_lie(timer, extends, result, evidence):
    """Nothing said, or the truth."""
    evidence = (timer, extends, evidence, result)
    assert result["extends"] in (None, extends), evidence
    if result["lo"] is not None:
        assert result["lo"] * 1000 <= timer, evidence
        assert result["hi"] is None or timer <= result["hi"] * 1000, evidence


def test_loss_never_makes_it_lie_and_mostly_leaves_a_verdict():
    said = 0
    for seed in range(1, 21):
        extends = seed % 2 == 0
        _, result, _ = measure(20000, extends, loss=50, seed=seed)
        no_lie(20000, extends, result, seed)
        said += result["extends"] is not None and result["lo"] is not None
    assert said >= 14, said


def test_a_restart_of_the_nat_at_any_moment_does_not_look_like_does_not_extend():
    said = 0
    for extends in (True, False):
        for after in range(300, 60000, 4470):

            def prepare(world, after=after):
                world.at(world.now + after, world.nat.restart)

            _, result, _ = measure(20000, extends, prepare=prepare, seed=after)
            no_lie(20000, extends, result, after)
            said += result["extends"] is not None
    assert said >= 20, said


def test_an_outage_of_a_second_every_twenty_does_not_make_it_lie():
    for timer in range(5000, 45000, 3000):
        for extends in (True, False):

            def prepare(world):
                world.outage = (20000, 1000)

            _, result, _ = measure(timer, extends, prepare=prepare)
            no_lie(timer, extends, result, timer)


def test_a_public_address_that_changes_in_the_middle_does_not_make_it_lie():
    for after in range(300, 60000, 8940):

        def prepare(world, after=after):
            world.at(world.now + after, world.nat.change_address, "203.0.113.77")

        _, result, _ = measure(20000, True, prepare=prepare)
        no_lie(20000, True, result, after)


def test_a_slow_line_does_not_make_it_lie():
    for timer in (5000, 9600, 21300):
        for delay in (160, 450):
            for extends in (True, False):
                _, result, _ = measure(timer, extends, delay=delay)
                no_lie(timer, extends, result, delay)


def test_a_binding_that_outlives_the_search_says_nothing_of_its_refreshing():
    _, result, _ = measure(10**9, True, limit=30000, unreplied=10**9)
    assert result["lo"] >= 30 and result["hi"] is None and result["extends"] is None, result


def test_a_binding_too_short_to_be_pushed_to_twice_is_unknown():
    _, result, _ = measure(1500, True, unreplied=4000)
    assert result["lo"] is None and "dies within" in result["reason"], result


def test_a_blocked_port_is_unknown_with_the_reason():
    def prepare(world):
        arrive = world._arrive
        world._arrive = lambda data, source, local: (
            None if local[1] == 5060 else arrive(data, source, local)
        )

    _, result, _ = measure(20000, True, prepare=prepare, limit=20000)
    assert result["lo"] is None and "no answer" in result["reason"], result


def test_living_teeth_cover_a_time_only_without_a_gap():
    class Lived:
        def __init__(self, began, ended):
            self.began, self.ended = began, ended

    assert covered([Lived(0, 10), Lived(8, 20)], 5, 20)
    assert not covered([Lived(0, 10), Lived(11, 20)], 5, 20)
    assert not covered([Lived(6, 20)], 5, 20)
    assert not covered([Lived(0, 19)], 5, 20)
    assert not covered([], 5, 20)

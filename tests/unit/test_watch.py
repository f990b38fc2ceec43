"""The watch against a simulated NAT: it notices what changes and stays quiet when nothing does."""

from sip_router import treat_sip
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes.session import Session
from natwatch.probes.watch import Watch

STREAM = ("udp/sip", "stream")


def watch(timer, bracket, period, seconds, loss=0, seed=1, prepare=None):
    """(engine, results, ms when it ended or None) of watching for *seconds* at most."""
    world = World(Nat(timer, timer), loss, seed)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Watch(session, STREAM, bracket, period, 10)
    if prepare is not None:
        prepare(world)
    world.add(engine)
    began = world.now
    results = []

    def done():
        results.extend(engine.take_results())
        return engine.done

    world.run(began + seconds * 1000, done)
    return engine, results, world.now - began if engine.done else None


def test_an_unchanged_nat_is_confirmed_time_and_again_and_never_called_changed():
    engine, results, ended = watch(40000, (39600, 40400), 20000, 900)
    assert ended is None and engine.change is None
    # The tooth above comes round every sixth period.
    assert 5 <= len(results) <= 8, len(results)
    for result in results:
        assert result["method"] == "watch" and result["lo"] <= 40 <= result["hi"], result
        assert result["hi"] - result["lo"] < 2.5


def test_an_hour_at_five_per_cent_loss_gives_no_false_bracket():
    for seed in (1, 2, 3):
        _, results, _ = watch(40000, (39600, 40400), 10000, 3600, loss=50, seed=seed)
        # A tooth in 8,000 loses all three copies: that may end the watch and start a
        # confirmation, but it may not put a bracket into the world.
        for result in results:
            assert result["lo"] is None or result["lo"] <= 40, result
            assert result["hi"] is None or result["hi"] >= 40, result


def shrink_to(timer, after):
    def prepare(world):
        def shrink():
            world.nat.unreplied = world.nat.stream = timer

        world.at(world.now + after, shrink)

    return prepare


def test_a_large_shrink_is_seen_by_a_guard_before_the_old_lifetime_is_over():
    engine, results, ended = watch(
        60000, (59600, 60400), 2000, 600, prepare=shrink_to(12000, 100000)
    )
    assert engine.change == "shrunk" and engine.suspect <= 31000
    assert ended - 100000 <= 60000
    assert results[-1]["hi"] > 60, "one death is no bracket yet"


def test_a_small_shrink_is_seen_within_the_old_lifetime_and_a_period():
    engine, _, ended = watch(60000, (59600, 60400), 2000, 600, prepare=shrink_to(50000, 100000))
    assert engine.change == "shrunk"
    # Every other round asks just below; a stream needs 3 s to be set up.
    assert ended - 100000 <= 60000 + 2 * 2000 + 3000 + 1500


def test_a_shrink_below_four_fifths_is_seen_well_before_the_old_lifetime_is_over():
    engine, _, ended = watch(60000, (59600, 60400), 2000, 600, prepare=shrink_to(47000, 100000))
    assert engine.change == "shrunk"
    assert ended - 100000 <= 0.82 * 60000 + 2000 + 3000 + 1500


def test_growth_is_noticed():
    engine, results, _ = watch(40000, (39600, 40400), 10000, 900, prepare=shrink_to(90000, 60000))
    assert engine.change == "grown"
    assert results[-1]["lo"] >= 40.4


def test_a_restart_of_the_nat_ends_the_watch_so_that_it_is_measured_anew():
    def prepare(world):
        world.at(world.now + 50000, world.nat.restart)

    engine, _, _ = watch(40000, (39600, 40400), 10000, 300, prepare=prepare)
    assert engine.change == "shrunk"  # a suspicion; the confirmation finds the old lifetime


def test_a_reflector_that_is_away_is_no_expiry():
    def prepare(world):
        def away():
            world.reflector.silent = True
            world.reflector._push = lambda *arguments: None

        world.at(world.now + 60000, away)

    engine, results, ended = watch(40000, (39600, 40400), 10000, 900, prepare=prepare)
    assert ended is None and engine.change is None
    assert results[-1]["lo"] is None and results[-1]["reason"], results[-1]
    assert len(engine.teeth.waiting()) < 5  # nothing piles up


def test_stopping_leaves_no_binding_open():
    world = World(Nat(40000, 40000))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Watch(session, STREAM, (39600, 40400), 2000, 10)
    world.add(engine)
    world.run(30000, lambda: False)
    assert engine.teeth.at_once() > 5
    engine.stop(world.now)
    world.run(world.now + 5000, lambda: False)
    assert engine.teeth.at_once() == 0
    assert [flow for owner, flow in world.inner if owner == id(engine)] == []


def test_sip_that_is_treated_as_stun_makes_no_difference_in_hours_of_loss():
    for seed in (1, 2, 3):
        _, results, _ = watch(40000, (39600, 40400), 10000, 7200, loss=50, seed=seed)
        assert not [result for result in results if "difference" in result], seed
        assert [result for result in results if "sip" in result]


def test_sip_that_dies_sooner_or_lives_longer_or_does_not_pass_is_told_and_is_no_alarm():
    for timer, told in ((9000, "was dead after"), (3600000, "lived"), (0, "not answered")):

        def prepare(world, timer=timer):
            treat_sip(world, timer)

        engine, results, ended = watch(40000, (39600, 40400), 10000, 3600, prepare=prepare)
        assert ended is None and engine.change is None
        found = [result.get("difference", "") for result in results[len(results) // 2 :]]
        assert [text for text in found if told in text], (timer, found)
        assert results[-1]["lo"] <= 40 <= results[-1]["hi"]


def test_a_public_address_that_changes_is_no_shrink_and_no_report_mixes_both():
    for after in range(50000, 60000, 900):

        def prepare(world, after=after):
            world.at(after, world.nat.change_address, "203.0.113.77")

        engine, results, ended = watch(40000, (39600, 40400), 4000, 400, prepare=prepare)
        assert ended is None and engine.change is None, after
        assert len(results) >= 5 and results[-1]["unknown"] == 0, results

"""A look now and then: what is known is confirmed, or a search is asked for."""

from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes.check import Check
from natwatch.probes.session import Session


def look(timer, bracket, state="stream", extends=None, loss=0, seed=1, inbound=None):
    """The Check of *bracket* behind a NAT whose timers are *timer* ms."""
    nat = Nat(timer, timer)
    nat.refresh_inbound = extends is not False if inbound is None else inbound
    world = World(nat, loss=loss, seed=seed)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    check = Check(session, ("udp/sip", state), bracket, 10, extends)
    world.add(check)
    world.run(10 * timer + 60000, lambda: check.done)
    assert check.done
    return check


def test_a_bracket_that_still_holds_is_reported():
    for state, extends in (("oneway", None), ("replied", None), ("stream", None)):
        check = look(30000, (29700, 30600), state, extends)
        assert check.change is None
        (result,) = check.take_results()
        assert result["method"] == "check" and result["state"] == state
        assert result["lo"] <= 30 <= result["hi"]


def test_a_refreshed_binding_counts_from_the_push_only_if_that_extends_it():
    for extends in (True, False):
        for timer in (5000, 30000, 300000):
            check = look(timer, (timer - 300, timer + 600), "refreshed", extends)
            assert check.change is None, (extends, timer, check.change)
            (result,) = check.take_results()
            assert result["extends"] is extends
            assert result["lo"] <= timer / 1000 <= result["hi"]


def test_that_packets_from_outside_extend_it_no_more_is_noticed():
    bracket = (29700, 30600)
    assert look(30000, bracket, "refreshed", True, inbound=False).change == "shrunk"
    assert look(30000, bracket, "refreshed", False, inbound=True).change == "grown"


def test_a_shorter_timer_is_suspected_and_a_longer_one_is_searched_for():
    check = look(20000, (29700, 30600))
    assert check.change == "shrunk" and 29000 <= check.suspect <= 31000
    assert check.take_results() == []
    check = look(40000, (29700, 30600))
    assert check.change == "grown" and check.take_results() == []


def test_above_the_limit_nothing_is_asked_but_what_lives():
    check = look(900000, (60000, None))
    assert check.change is None
    (result,) = check.take_results()
    assert result["hi"] is None and result["lo"] >= 59


def test_loss_never_makes_it_shrink_or_grow():
    for seed in range(200):
        check = look(30000, (29700, 30600), loss=50, seed=seed)
        assert check.change in (None, "unknown"), (seed, check.change)


class Spent:
    """A spent tooth, as far as a Check looks at it."""

    reason = None
    slack = 20

    def __init__(self, comb, phase, idle):
        self.comb, self.phase, self.idle = comb, phase, idle


def test_a_silence_that_was_survived_and_was_not_is_no_bracket():
    session = Session(DEVICE, KEY, ADDRESS, lambda size: bytes(size))
    check = Check(session, ("udp/sip", "stream"), (29700, 30600), 10)
    check._started = 0
    for comb, phase, idle in ((0, "alive", 29500), (0, "expired", 29501), (1, "expired", 30800)):
        check._spent.append(Spent(comb, phase, idle))
    check._progress(40000)
    assert check.done and check.change == "unknown"
    (result,) = check.take_results()
    assert result["lo"] is None and result["reason"] == "answers contradict each other"

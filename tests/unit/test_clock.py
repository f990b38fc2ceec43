"""The clock of a box: unset, wrong, set while something is measured; and what is told of it."""

from test_service import service
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch import port
from natwatch.daemon.clock import Clock
from natwatch.daemon.findings import Findings
from natwatch.daemon.spool import Spool
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.session import Session
from natwatch.wire import telemetry

NOW = 1790000000.0  # s, when the tests' monotonic clock begins
DAY = 86400


class Wall:
    """A system's clock: right but for what is added to it; None: unset."""

    def __init__(self):
        self.now = 0
        self.wrong = 0.0

    def __call__(self):
        return None if self.wrong is None else NOW + self.now / 1000 + self.wrong


class Heard:
    """A session that heard the reflector's time at *at* (ms), None: never."""

    endpoint = (ADDRESS, 3478)
    mapped = None

    def __init__(self, at=None):
        self.wall = None if at is None else (int(NOW * 1000) + at, at)


def told(session, wrong, now):
    """The time of a report made at *now* (ms) on a clock that is *wrong* by so many seconds."""
    wall = Wall()
    wall.now, wall.wrong = now, wrong
    return Clock(session, wall).time(now)


def test_the_quality_of_a_time_says_who_vouches_for_it():
    right = NOW + 5
    for at, wrong, expected in (
        (None, None, (None, "none")),
        (None, 0, (right, "est")),
        (None, DAY, (right + DAY, "est")),
        (0, None, (right, "reflector")),
        (0, 1, (right + 1, "ntp")),
        (0, 3, (right, "reflector")),
        (0, DAY, (right, "reflector")),
        (0, -DAY, (right, "reflector")),
    ):
        assert told(Heard(at), wrong, 5000) == expected, (at, wrong)


def test_a_right_clock_stays_right_while_the_reflector_is_away_for_a_week():
    # An oscillator is off by some 50 ppm: 30 s in a week.
    assert told(Heard(0), 30, 7 * DAY * 1000)[1] == "ntp"
    assert told(Heard(0), 600, 7 * DAY * 1000)[1] == "reflector"


def test_each_setting_of_the_clock_is_counted_once():
    wall = Wall()
    made = Clock(Heard(), wall)
    wrongs = [None] * 3 + [0] * 3 + [DAY] * 3 + [0.4, 0.8, 1.2] + [-DAY] + [None, None]
    counts = []
    for turn, wrong in enumerate(wrongs):
        wall.now, wall.wrong = turn * 1000, wrong
        made.look(wall.now)
        counts.append(made.jumps)
    assert counts == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 5]


def test_how_far_the_clock_is_off_is_told_where_both_are_known():
    wall = Wall()
    for at, wrong, expected in ((None, 0, None), (0, None, None), (0, DAY, DAY), (0, -2, -2)):
        wall.now, wall.wrong = 7000, wrong
        assert Clock(Heard(at), wall).offset(7000) == expected


def test_reports_of_a_box_that_wakes_in_1970_and_whose_clock_jumps_keep_their_order():
    wall, spool = Wall(), Spool("0" * 16)
    session = Heard()
    found = Findings(session, spool, Clock(session, wall))
    script = (None, None, 0, DAY, -DAY, 3, None)
    for turn, wrong in enumerate(script):
        wall.now, wall.wrong = turn * 60000, wrong
        if turn == 3:
            session.wall = (int(NOW * 1000) + wall.now, wall.now)
        found.report("plan", {}, wall.now)
    reports = [telemetry.decode(spool.next(0)) for _ in script]
    assert [one.seq for one in reports] == [1, 2, 3, 4, 5, 6, 7]
    assert [one.mono for one in reports] == [0, 60, 120, 180, 240, 300, 360]
    assert [one.tq for one in reports] == ["none"] * 2 + ["est"] + ["reflector"] * 4
    assert [one.t for one in reports[2:]] == [NOW + turn * 60 for turn in range(2, 7)]


def test_a_lifetime_is_the_same_whatever_the_clock_does_while_it_is_measured():
    seconds, found = port.platform.seconds, []
    try:
        for jumps in (False, True):
            world = World(Nat(40000, 40000))
            session = Session(DEVICE, KEY, ADDRESS, world.random)
            engine = Lifetime(session, ("udp/sip", "stream"), 120000, 64, 40)
            world.add(session)
            world.add(engine)
            if jumps:
                for at in range(1000, 300000, 7000):
                    world.at(at, set_clock(at % 3 - 1))
            world.run(600000, lambda engine=engine: engine.done)
            found.append((engine.take_results(), session.wall[0] - session.wall[1]))
    finally:
        port.platform.seconds = seconds
    assert found[0] == found[1] and found[0][0][-1]["hi"] < 41, found


def set_clock(days):
    """What sets the system's clock to so many days beside the right one."""

    def act():
        port.platform.seconds = lambda: NOW + days * DAY

    return act


def test_a_daemon_whose_clock_jumps_tells_how_often_and_goes_on():
    seconds = port.platform.seconds
    made, lines = service()
    turn = made.loop.turn
    made.loop.turn = lambda: turn(0)
    try:
        made.start()
        for wrong in (0, DAY, -DAY, -NOW):
            port.platform.seconds = lambda wrong=wrong: NOW + wrong
            made.turn()
            made.turn()
    finally:
        port.platform.seconds = seconds
    assert made.clock.jumps == 3, lines
    assert made._running and "raised_clock" not in made.counters()
    made.close()

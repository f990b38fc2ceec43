"""Two simulated days of one device; `make soak` has a month. And that the judge of it is awake."""

import pytest

from tests.soak.line import DAY, HOUR, Line
from tests.soak.month import Day, grown, live, wrong_alerts

SHRINK = (30 * HOUR, 40 * HOUR, 60_000, 30_000)
SOON = 31.0 * HOUR


@pytest.mark.timeout(600)
def test_two_days_of_a_bad_line_raise_one_alert_which_is_true() -> None:
    told = live(2, seed=1)
    assert not told.wrong, (told.wrong, told.lines)
    assert len(told.alerts) == 1 and told.days[-1].reports > 300
    assert told.happened["brackets"] > 100
    assert told.happened["outages"] == 2 and told.happened["reboots"] == 1


@pytest.mark.parametrize(
    ("alerts", "wrong"),
    [
        ([(SOON, 41.0 * HOUR)], ""),
        ([], "missed"),
        ([(29.0 * HOUR, 41.0 * HOUR)], "false alert"),  # before there was anything
        ([(SOON, 41.0 * HOUR), (50.0 * HOUR, None)], "false alert"),
        ([(SOON, None)], "cleared never"),
        ([(SOON, 39.0 * HOUR)], "cleared day 2 15:00"),  # while it was still short
    ],
)
def test_an_alert_without_a_shrink_or_a_shrink_without_an_alert_is_wrong(
    alerts: list[tuple[float, float | None]], wrong: str
) -> None:
    found = " ".join(wrong_alerts(alerts, [SHRINK], 5 * DAY))
    assert wrong in found and bool(found) == bool(wrong), found


def test_memory_that_grows_is_wrong() -> None:
    def days(most: int) -> list[Day]:
        return [Day(one, 1.0, min(one, most) * 1000, 10**7, 9, 0) for one in range(1, 11)]

    assert grown(days(10)) and not grown(days(4))


def test_a_bracket_is_compared_with_the_timer_of_its_time() -> None:
    line = Line(1)
    line.now = 10 * HOUR
    line.set_timers(60_000, 30_000)
    for state, lo, hi, at, agrees in (
        ("stream", 119.9, 120.8, 9 * HOUR, True),
        ("stream", 119.9, 120.8, 10 * HOUR + 1, True),  # measured before the change
        ("stream", 119.9, 120.8, 11 * HOUR, False),
        ("stream", 59.9, 60.8, 9 * HOUR, False),
        ("stream", 59.9, 60.8, 11 * HOUR, True),
        ("replied", 29.0, None, 11 * HOUR, True),
        ("oneway", 31.0, None, 11 * HOUR, False),
    ):
        assert line.agrees(state, lo, hi, at) is agrees, (state, lo, hi, at)

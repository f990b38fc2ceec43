"""Two simulated days of one device; `make soak` has a month."""

import pytest

from tests.soak.month import live


@pytest.mark.timeout(600)
def test_two_days_of_a_bad_line_raise_one_alert_which_is_true() -> None:
    told = live(2, seed=1)
    assert not told.wrong, (told.wrong, told.lines)
    assert len(told.alerts) == 1 and told.days[-1].reports > 300
    assert told.happened["brackets"] > 100
    assert told.happened["outages"] == 2 and told.happened["reboots"] == 1

"""Strangers who lie about their address, for seconds: the benchmark's own judgement of it."""

import pytest

from tests.bench import abuse


@pytest.mark.lab
def test_while_liars_flood_nothing_is_pushed_to_them_and_agents_measure_what_is_true() -> None:
    [row] = abuse.abuse(rate=3_000, seconds=5, agents=4, processes=1)
    assert abuse.faults(row) == [], row
    assert row["verdicts"] == 4 and row["arrived"] > 5_000, row
    # Each kind of lie met what stops it.
    for counter in ("wrong_address", "wrong_key", "control_stale", "refused_failures", "repeated"):
        assert row["counters"].get(counter), row

"""The benchmark's own judgement: what breaks a promise is counted, and so ends with exit code 1."""

from typing import Any

import pytest

from tests.bench import abuse, brackets, jobs, keepalives, shrinks, standin, troubles, watching

BRACKET = {
    **{"what": "bracket", "timer": 30, "nat": "kernel", "how": "cpython", "klass": "udp/sip"},
    **{"state": "refreshed", "lo": 29.8, "hi": 30.6, "extends": True, "seconds": 100.0},
    **{"bindings": 80, "at_once": 61, "bytes": 50000},
}
KEEPALIVE = {
    **{"what": "keepalives", "timers": [60, 60], "nat": "kernel", "how": "cpython"},
    **{"lo": 59.9, "hi": 60.8, "expected": "good", "margin": "good", "interval": 29, "lost": 5},
    "staying": {"calls": 15, "arrived": 15},
    "anew": {"calls": 10, "arrived": 10},
    "too_long": {"calls": 8, "arrived": 0},
    "shortest": {"calls": 29, "arrived": 29},
}
TROUBLE = {
    **{"what": "trouble", "trouble": "loss", "timer": 30, "who": "searches", "how": "cpython"},
    **{"verdicts": 5, "unknown": 1, "false": [], "alerts": 0},
}
SHRINK = {
    **{"what": "shrink", "old": 40, "new": 30, "how": "cpython", "budget": 0, "period": 3.0},
    **{"seconds": 70.0, "found": [29.4, 30.8]},
}
WATCHING = {
    **{"what": "watching", "timer": 30, "period": 180.0, "periods": 5},
    **{"udp": 4.4e6, "tcp": 0.2e6},
}
LOOKS = {"what": "looks", "done": 26, "udp": 4000, "tcp": 100}


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, 0),
        ({"lo": 30.1}, 1),
        ({"hi": 29.9}, 1),
        ({"lo": 28.9}, 1),
        ({"hi": 31.1}, 1),
        ({"hi": None}, 1),
        ({"lo": None, "hi": None, "reason": "blind"}, 1),
        ({"extends": False}, 1),
        ({"extends": None}, 1),
        ({"nat": "userspace"}, 1),
        ({"seconds": 150.1}, 1),
    ],
)
def test_a_bracket_has_to_hold_the_truth_at_the_cost_allowed(
    change: dict[str, Any], faults: int
) -> None:
    assert brackets.show([{**BRACKET, **change}]) == faults


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, 0),
        ({"staying": {"calls": 15, "arrived": 14}}, 1),
        ({"anew": {"calls": 10, "arrived": 9}}, 1),
        ({"anew": {"calls": 0, "arrived": 0}}, 1),
        ({"too_long": {"calls": 8, "arrived": 8}}, 1),
        ({"margin": "thin"}, 1),
        ({"margin": "none", "expected": "none", "interval": None}, 1),
    ],
)
def test_an_advice_has_to_keep_every_call(change: dict[str, Any], faults: int) -> None:
    assert keepalives.show([{**KEEPALIVE, **change}]) == faults


def test_calls_come_just_before_each_keepalive_that_is_sent() -> None:
    assert standin.call_times(20, 85, {1, 3}) == [39.5, 79.5]


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, 0),
        ({"false": [[31.0, 32.0, None]]}, 1),
        ({"alerts": 1}, 1),
        ({"verdicts": 0, "unknown": 0}, 1),
    ],
)
def test_nothing_false_may_be_said_on_a_bad_line(change: dict[str, Any], faults: int) -> None:
    assert troubles.show([{**TROUBLE, **change}]) == faults


def test_a_verdict_is_false_if_its_bracket_misses_the_timer_or_extends_is_wrong() -> None:
    good = {"lo": 29.8, "hi": 30.7, "state": "refreshed", "extends": True}
    results = [good, {**good, "lo": 30.2}, {**good, "hi": 29.9}, {**good, "extends": False}]
    found = troubles.judge([*results, {"lo": None, "hi": None}], 30)
    assert (found["verdicts"], found["unknown"], len(found["false"])) == (4, 1, 3)


def test_an_alert_has_to_come_in_time() -> None:
    assert shrinks.show([SHRINK]) == 0
    assert shrinks.show([{**SHRINK, "seconds": 78.1}]) == 1


def test_a_day_of_watching_counts_looks_and_reports_as_well() -> None:
    assert watching.show([WATCHING, LOOKS]) == 0
    assert watching.show([{**WATCHING, "udp": 4.7e6}, LOOKS]) == 1
    assert watching.show([WATCHING]) == 1  # without the looks the sum is not known
    period = {"what": "period", "timer": 30, "period": 150.0}
    assert watching.show([WATCHING, LOOKS, period]) == 1


def test_a_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    jobs.table("name | >s", [["a", 1]])
    assert capsys.readouterr().out == "| name | s |\n|---|--:|\n| a | 1 |\n"


ABUSE = {
    **{"rate": 50_000, "agents": 50, "processes": 1, "sent": 1_500_000, "sent_seconds": 30.0},
    **{"nonce": True, "arrived": 1_500_000, "overflowed": 0, "sent_bytes": 2e8, "before": 23.0},
    **{"peak": 26.0, "after": 26.0, "counters": {}, "verdicts": 50, "wrong": [], "reasons": []},
    **{"alive": 600, "expired": 400, "unknown": 50},
    "caught": {"pushes": [0, 0], "options": [0, 0], "answers": [9, 900]},
}


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, 0),
        ({"caught": {"pushes": [1, 99], "options": [0, 0], "answers": [0, 0]}}, 1),
        ({"caught": {"pushes": [0, 0], "options": [1, 99], "answers": [0, 0]}}, 1),
        ({"wrong": [[3.0, 4.0]]}, 1),
        ({"peak": 28.0}, 1),
        ({"unknown": 60}, 1),
        ({"alive": 0, "expired": 0, "unknown": 0}, 1),
        ({"nonce": False}, 1),
        ({"sent": 1_400_000}, 1),
    ],
)
def test_a_flood_that_reaches_an_agent_or_a_stranger_is_a_fault(
    change: dict[str, Any], faults: int
) -> None:
    assert abuse.show([{**ABUSE, **change}]) == faults
    assert abuse.judge([{"lo": 11.8, "hi": 12.4}, {"lo": 12.2, "hi": 13.0}])["wrong"] == [
        [12.2, 13.0]
    ]

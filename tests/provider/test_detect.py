"""Whole histories against the rules of detection. Times in seconds, one measurement a minute."""

import json
import math

import pytest

from natwatch_provider.collector import detect
from natwatch_provider.collector.detect import Bracket, History, Measurement, Settings

NO_KEEPALIVE = Settings(keepalive_s=None, span_s=0.0)
KEEPALIVE_20 = Settings(keepalive_s=20.0, span_s=0.0)

FORTY = (39.6, 40.4)
FIFTEEN = (14.6, 15.4)
HUNDRED, FIFTY, TWENTY_SIX = (99.6, 100.4), (49.6, 50.4), (25.6, 26.4)
LOW_WATCH = ("watch", 10.0, 20.0)
WIDE_WATCH = ("watch", 20.0, 39.6)
UNKNOWN = (None, None)
UNLIMITED = (600.0, None)
FALSE_ALARM = ("confirm", 12.2, None)  # both combs lived up to where the dead tooth had been
RESTART = ("watch", 0.0, 12.2)  # a router's restart kills every tooth that waits

# What is measured, and what happens: (index of the measurement, rule, raised or cleared).
HISTORIES = {
    "a stable timer says nothing": (NO_KEEPALIVE, [FORTY] * 60, []),
    "one dip says nothing": (NO_KEEPALIVE, [FORTY] * 5 + [FIFTEEN] + [FORTY] * 5, []),
    "two dips with a good one between say nothing": (
        NO_KEEPALIVE,
        [FORTY] * 5 + [FIFTEEN, FORTY] * 6,
        [],
    ),
    "a shrink is raised once, at the second measurement": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 30,
        [(4, "relative", True)],
    ),
    "narrow watch brackets make a baseline": (
        NO_KEEPALIVE,
        [FORTY] + [("watch", 39.4, 41.1)] * 2 + [FIFTEEN] * 2,
        [(4, "relative", True)],
    ),
    "two brackets are no baseline": (NO_KEEPALIVE, [FORTY] * 2 + [FIFTEEN] * 2, []),
    "unknowns between do not count for either side": (
        NO_KEEPALIVE,
        [FORTY, UNKNOWN, FORTY, FORTY, UNKNOWN, FIFTEEN, UNKNOWN, UNKNOWN, FIFTEEN],
        [(8, "relative", True)],
    ),
    "a watch bracket and one comb are two measurements": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [LOW_WATCH, FIFTEEN, FIFTEEN],
        [(4, "relative", True)],
    ),
    "a wide watch bracket is no suspicion, nor a contradiction": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [WIDE_WATCH, FIFTEEN, WIDE_WATCH, FIFTEEN],
        [(6, "relative", True)],
    ),
    "wide watch brackets do not wear the baseline down": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [WIDE_WATCH] * 40 + [(30.6, 31.4)] * 2,
        [(44, "relative", True)],
    ),
    "two restarts of the router, and confirmations that find nothing": (
        KEEPALIVE_20,
        [FORTY] * 3 + [RESTART, FALSE_ALARM, FALSE_ALARM, UNKNOWN] * 2 + [FORTY],
        [],
    ),
    "two restarts of the router, and no confirmation at all": (
        KEEPALIVE_20,
        [FORTY] * 3 + [RESTART] * 2,
        [],
    ),
    "two restarts, and a watch and a check that saw them": (
        KEEPALIVE_20,
        [FORTY] * 3 + [RESTART, ("check", 0.0, 12.2)] * 2,
        [],
    ),
    "wide checks do not wear the baseline down": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [("check", 20.0, 39.6)] * 40 + [(30.6, 31.4)] * 2,
        [(44, "relative", True)],
    ),
    "a guard tooth of a check is no thin margin": (
        KEEPALIVE_20,
        [FORTY] * 3 + [("check", 20.0, 39.6), ("confirm", 20.0, 39.6)],
        [],
    ),
    "a watch and what confirms it are two": (
        KEEPALIVE_20,
        [FORTY] * 3 + [RESTART] * 2 + [("confirm", 11.6, 12.1)],
        [(5, rule, True) for rule in detect.SEVERITY],
    ),
    "brackets without an upper edge are no thin margin": (
        KEEPALIVE_20,
        [("comb", 12.2, None), FALSE_ALARM, ("watch", 24.6, None)] * 5,
        [],
    ),
    "a search limit below the margin is no thin margin": (KEEPALIVE_20, [(24.0, None)] * 9, []),
    "a search limit below the keepalive says nothing at all": (
        KEEPALIVE_20,
        [(10.0, None)] * 9,
        [],
    ),
    "an endless lifetime is a baseline, also by a watch": (
        NO_KEEPALIVE,
        [UNLIMITED] + [("watch", 599.8, None)] * 2 + [FORTY] * 2,
        [(4, "relative", True)],
    ),
    "what falls further is told again, at the second measurement": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [FIFTY] * 2 + [TWENTY_SIX] * 9,
        [(4, "relative", True), (6, "relative", True)],
    ),
    "wobble of what shrank is not told": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [FIFTY] * 2 + [(49.2, 50.0), (49.0, 49.8), (49.7, 50.5), (42.0, 43.0)] * 9,
        [(4, "relative", True)],
    ),
    "one further dip is not told": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [FIFTY] * 2 + [TWENTY_SIX, FIFTY] * 6,
        [(4, "relative", True)],
    ),
    "two restarts while a shrink is open are not told": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [FIFTY] * 2 + [RESTART, FALSE_ALARM] * 2 + [FIFTY],
        [(4, "relative", True)],
    ),
    "another rule gives the new value to the first as well": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [TWENTY_SIX] * 2 + [(21.6, 22.4)] * 3,
        [(4, "relative", True), (6, "thin", True), (6, "relative", True)],
    ),
    "a recovery that is not enough is told at the third measurement": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [TWENTY_SIX] * 2 + [FIFTY] * 9 + [TWENTY_SIX] * 2,
        [(4, "relative", True), (7, "relative", True), (15, "relative", True)],
    ),
    "two better measurements are no recovery, nor is a bracket that straddles": (
        KEEPALIVE_20,
        [HUNDRED] * 3 + [TWENTY_SIX] * 2 + [FIFTY, ("watch", 26.0, None), FIFTY, TWENTY_SIX] * 5,
        [(4, "relative", True)],
    ),
    "wide watch brackets make none": (NO_KEEPALIVE, [WIDE_WATCH] * 9 + [FIFTEEN] * 2, []),
    "just above four fifths is no shrink": (NO_KEEPALIVE, [FORTY] * 21 + [(31.0, 32.0)] * 20, []),
    "three good measurements end it": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 2 + [FORTY] * 3,
        [(4, "relative", True), (7, "relative", False)],
    ),
    "three of one watch end it as well": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 2 + [("watch", 39.4, 41.1)] * 3,
        [(4, "relative", True), (7, "relative", False)],
    ),
    "two good measurements do not end it": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 2 + [FORTY, FORTY, FIFTEEN] * 4,
        [(4, "relative", True)],
    ),
    "between 0.8 and 0.9 an open shrink stays open": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [(28.6, 29.4)] * 2 + [(33.0, 34.0)] * 20,
        [(4, "relative", True)],
    ),
    "between 0.8 and 0.9 nothing is raised": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN, (33.0, 34.0)] * 8,
        [],
    ),
    "a slow decline is compared with the best of 90 days": (
        NO_KEEPALIVE,
        [(40.0 - n * 0.1, 40.2 - n * 0.1) for n in range(100)],
        # 0.8 * 40.0 = 32.0: the brackets wholly below begin at n = 83
        [(84, "relative", True)],
    ),
    "a fall from above the search limit is a shrink": (
        NO_KEEPALIVE,
        [UNLIMITED] * 3 + [FORTY] * 2,
        [(4, "relative", True)],
    ),
    "a lifetime above the search limit ends it": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 2 + [UNLIMITED] * 3,
        [(4, "relative", True), (7, "relative", False)],
    ),
    "the baseline is frozen while a shrink is open": (
        NO_KEEPALIVE,
        [FORTY] * 3 + [FIFTEEN] * 100 + [FORTY] * 3,
        [(4, "relative", True), (105, "relative", False)],
    ),
    "shorter than the keepalive needs no history": (
        KEEPALIVE_20,
        [FIFTEEN] * 10,
        [(1, "short", True), (1, "thin", True)],
    ),
    "one that is too short is not enough": (KEEPALIVE_20, [FIFTEEN] + [FORTY] * 3, []),
    "a margin under a quarter warns": (
        KEEPALIVE_20,
        [(24.0, 24.8)] * 3,
        [(1, "thin", True)],
    ),
    "a margin of a quarter is enough": (KEEPALIVE_20, [(25.0, 25.8)] * 30, []),
    "a bracket that holds the keepalive says nothing of it": (
        KEEPALIVE_20,
        [(19.6, 20.4)] * 3,
        [(1, "thin", True)],
    ),
    "dead exactly at the keepalive is too short": (
        KEEPALIVE_20,
        [(19.0, 20.0)] * 2,
        [(1, "short", True), (1, "thin", True)],
    ),
    "a guard tooth of a watch is no thin margin": (
        KEEPALIVE_20,
        [FORTY] * 3 + [WIDE_WATCH] * 3,
        [],
    ),
    "a shrink below the keepalive is all three, and so is its end": (
        KEEPALIVE_20,
        [FORTY] * 3 + [FIFTEEN] * 2 + [FORTY] * 3,
        [(4, rule, True) for rule in detect.SEVERITY]
        + [(7, rule, False) for rule in detect.SEVERITY],
    ),
    "unknown is never too short": (KEEPALIVE_20, [UNKNOWN] * 30, []),
}


def measurement(index: int, what, ref: str | None = None) -> Measurement:
    method, lo, hi = what if len(what) == 3 else ("refined", *what)
    bracket = None if lo is None else Bracket(lo, hi)
    return Measurement(ref or f"boot:{index}", 1000.0 + 60.0 * index, bracket, method)


def play(history: History, measurements, settings: Settings):
    """What the measurements change, as (index, rule, raised)."""
    happened = []
    for index, one in enumerate(measurements):
        happened += [
            (index, change.rule, change.raised) for change in detect.step(history, one, settings)
        ]
    return happened


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_has_these_alerts_and_no_other(name: str) -> None:
    settings, measured, expected = HISTORIES[name]
    measurements = [measurement(index, what) for index, what in enumerate(measured)]
    assert play(History(), measurements, settings) == expected


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_was_stored_between_goes_on_the_same(name: str) -> None:
    settings, measured, expected = HISTORIES[name]
    history, happened = History(), []
    for index, what in enumerate(measured):
        history = History.from_json(json.loads(json.dumps(history.to_json())))
        changes = detect.step(history, measurement(index, what), settings)
        happened += [(index, change.rule, change.raised) for change in changes]
    assert happened == expected


def test_the_same_measurement_twice_confirms_nothing() -> None:
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(n, FIFTEEN, ref="boot:3") for n in range(3, 9)]
    assert play(History(), measured, NO_KEEPALIVE) == []


def test_the_same_number_of_another_boot_is_another_measurement() -> None:
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(3, FIFTEEN, ref="one:1"), measurement(4, FIFTEEN, ref="two:1")]
    assert play(History(), measured, NO_KEEPALIVE) == [(4, "relative", True)]


def test_a_later_result_of_the_same_bindings_takes_the_place_of_their_vote() -> None:
    coarse, close = ("confirm", 12.0, 16.0), ("refined", *FIFTEEN)
    history = History()
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(3, coarse, ref="boot:17"), measurement(4, close, ref="boot:17")]
    assert play(history, measured, NO_KEEPALIVE) == []
    assert history.rules["relative"].votes == [("boot:17", measured[4].measured, *FIFTEEN)]
    (change,) = detect.step(history, measurement(5, coarse, ref="boot:18"), NO_KEEPALIVE)
    assert change.new == Bracket(*FIFTEEN)


def test_a_vote_is_withdrawn_where_the_same_bindings_say_nothing_any_more() -> None:
    straddling = measurement(4, (16.0, 45.0), ref="boot:17")
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(3, (12.0, 16.0), ref="boot:17"), straddling, measurement(5, FIFTEEN)]
    assert play(History(), measured, NO_KEEPALIVE) == []


def test_a_later_result_of_the_same_bindings_takes_their_place_in_the_baseline() -> None:
    history = History()
    for number in range(3):
        for index, what in ((0, ("comb", 36.0, 40.5)), (1, FORTY)):
            at = measurement(2 * number + index, what, ref=f"boot:{number}")
            detect.step(history, at, NO_KEEPALIVE)
    assert [(ref, lo) for ref, _, lo, _ in history.kept] == [(f"boot:{n}", 39.6) for n in range(3)]
    assert detect.baseline(history) == Bracket(*FORTY)


def test_all_that_is_raised_of_a_key_is_told_with_the_same_value() -> None:
    history = History()
    measured = [HUNDRED] * 3 + [TWENTY_SIX] * 2 + [(21.6, 22.4)]
    play(history, [measurement(n, what) for n, what in enumerate(measured)], KEEPALIVE_20)
    changes = detect.step(history, measurement(6, (21.7, 22.4)), KEEPALIVE_20)
    assert [(change.rule, change.new) for change in changes] == [
        ("thin", Bracket(21.7, 22.4)),
        ("relative", Bracket(21.7, 22.4)),
    ]
    assert {change.old for change in changes} == {Bracket(*HUNDRED)}


def test_a_late_report_from_before_a_contradiction_confirms_nothing() -> None:
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(5, FORTY), measurement(6, FIFTEEN), measurement(4, FIFTEEN)]
    assert play(History(), measured, NO_KEEPALIVE) == []


def test_a_contradiction_that_comes_late_still_counts() -> None:
    measured = [measurement(n, FORTY) for n in range(3)]
    measured += [measurement(3, FIFTEEN), measurement(4, FORTY), measurement(5, FIFTEEN)]
    late = [*measured[:3], measured[3], measured[5], measured[4]]
    assert play(History(), measured, NO_KEEPALIVE) == []
    # raised before it was known, as two of two had said so
    assert play(History(), late, NO_KEEPALIVE) == [(4, "relative", True)]
    # in time, though, it takes away only what was measured before it
    history = History()
    play(history, [*measured[:3], measured[5], measured[4]], NO_KEEPALIVE)
    assert [vote[0] for vote in history.rules["relative"].votes] == ["boot:5"]


def test_a_change_names_the_baseline_and_the_tightest_bracket() -> None:
    history = History()
    play(history, [measurement(n, FORTY) for n in range(3)], NO_KEEPALIVE)
    detect.step(history, measurement(3, FIFTEEN), NO_KEEPALIVE)
    (change,) = detect.step(history, measurement(4, LOW_WATCH), NO_KEEPALIVE)
    assert (change.old, change.new) == (Bracket(*FORTY), Bracket(*FIFTEEN))


def test_what_is_measured_while_an_alert_is_open_does_not_become_the_baseline() -> None:
    history = History()
    measured = [FORTY] * 3 + [FIFTEEN] * 2 + [(33.0, 34.0)] * 50
    play(history, [measurement(n, what) for n, what in enumerate(measured)], NO_KEEPALIVE)
    assert detect.baseline(history) == Bracket(*FORTY)
    assert len(history.kept) == 3


def test_a_bracket_without_an_upper_edge_enters_no_baseline_that_is_much_higher() -> None:
    history = History()
    measured = [FORTY] * 3 + [("comb", 12.2, None), ("watch", 12.2, None)] * 20
    measured += [("watch", 32.0, None)]  # above 0.8 of it, though
    play(history, [measurement(n, what) for n, what in enumerate(measured)], NO_KEEPALIVE)
    assert [lo for _, _, lo, _ in history.kept] == [39.6] * 3 + [32.0]


def test_an_old_best_is_forgotten_after_ninety_days() -> None:
    history = History()
    day = 86400.0

    def measured(at: float, lo: float) -> Measurement:
        return Measurement(f"boot:{at}", at, Bracket(lo, lo + 0.8), "refined")

    for n in range(3):
        detect.step(history, measured(1000.0 + n, 60.0), NO_KEEPALIVE)
    for n in range(40):  # the median follows, the best does not
        detect.step(history, measured(2000.0 + n, 49.0), NO_KEEPALIVE)
    assert detect.reference(history, 3000.0).lo == 60.0
    assert detect.reference(history, 3000.0 + 91 * day).lo == 49.0


def test_a_full_window_covers_the_span_that_was_asked_for() -> None:
    span = 14 * 86400.0
    history = History()
    for n in range(40 * 24 * 12):  # one each five minutes, for forty days
        detect.step(
            history,
            Measurement(f"boot:{n}", n * 300.0, Bracket(*FORTY), "refined"),
            Settings(None, span),
        )
    times = [at for _, at, _, _ in history.kept]
    assert len(times) == detect.WINDOW
    assert times[-1] - times[0] >= span * (detect.WINDOW - 1) / detect.WINDOW


def test_a_history_does_not_grow_with_its_length() -> None:
    history = History()
    for n in range(5000):
        # a noisy slow decline by day, the worst case for what is remembered
        bracket = Bracket(100.0 - n * 0.001 + math.sin(n), 102.0)
        detect.step(history, Measurement(f"boot:{n}", n * 3600.0, bracket, "refined"), KEEPALIVE_20)
    assert len(json.dumps(history.to_json())) < 12000

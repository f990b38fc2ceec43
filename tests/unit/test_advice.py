"""Keepalive advice: exact edges, by table."""

from natwatch.diagnosis.keepalive import advise, largest


def test_the_interval_and_its_margin_at_every_edge():
    for lo, interval, margin in (
        (0, None, "none"),
        (18.2, None, "none"),
        (20.0, None, "none"),
        (20.1, 20, "thin"),
        (26.0, 20, "thin"),
        (30, 24, "thin"),
        (41.0, 32, "thin"),
        (41.1, 20, "good"),
        (43.0, 20, "good"),
        (43.1, 21, "good"),
        (120, 59, "good"),
        (121, 59, "good"),
        (341.0, 169, "good"),
        (341.1, 170, "good"),
        (600.0, 170, "good"),
    ):
        advice = advise((lo, lo + 1))
        found = (advice["interval_s"], advice["margin"])
        assert found == (interval, margin), (lo, found)
        assert advice["bound_by"] == "replied" and advice["lo"] == lo
        assert advice["reason"].endswith("."), advice["reason"]


def test_every_good_interval_survives_a_lost_keepalive_and_none_longer_would():
    for tenth in range(1, 4000):
        lo = tenth / 10
        interval = largest(lo, 20, 170)
        fitting = [k for k in (interval, interval + 1) if 2 * k + 1 < lo] if interval else []
        if interval is None:
            assert 2 * 20 + 1 >= lo, lo
        elif interval < 170:
            assert fitting == [interval], lo
        else:
            assert interval in fitting, lo


def test_a_thin_interval_is_below_the_lifetime():
    for tenth in range(201, 412):
        lo = tenth / 10
        advice = advise((lo, None))
        if advice["margin"] == "thin":
            assert 20 <= advice["interval_s"] < lo, lo
            assert "thin" in advice["reason"]
    assert advise((130, None), least=60, most=70)["interval_s"] == 64
    assert advise((119, None), least=60, most=70)["interval_s"] == 70


def test_nothing_measured_means_no_advice():
    for advice in (
        advise(None),
        advise(None, oneway=(30, 31)),
        advise((120, 121), oneway=None, answered=False),
    ):
        assert advice["interval_s"] is None and advice["margin"] == "unknown", advice
        assert advice["bound_by"] is None and advice["lo"] is None and advice["steps"] == []
        assert "No advice" in advice["reason"]
    assert advise(None, in_use=20)["holds"] is None


def test_unanswered_keepalives_are_bound_by_oneway_too_and_so_are_those_not_known():
    for answered, interval, bound_by in ((False, 29, "oneway"), (None, 29, "oneway")):
        advice = advise((180, 181), (60, 61), answered)
        assert (advice["interval_s"], advice["bound_by"]) == (interval, bound_by), advice
    assert advise((180, 181), (60, 61), True)["interval_s"] == 89
    assert advise((60, 61), (180, 181), False)["bound_by"] == "replied"
    assert advise((60, 61), None, None)["interval_s"] == 29


def test_above_the_search_limit_the_limit_is_the_lower_edge():
    advice = advise((600.0, None))
    assert advice["interval_s"] == 170 and advice["margin"] == "good"


def test_where_no_interval_holds_other_steps_are_named():
    advice = advise((18.0, 18.9))
    assert advice["steps"] == ["R7d"] and "register_expires_s" not in advice
    assert "below 60 s" in advice["reason"] and "two NATs" in advice["reason"]
    advice = advise((100.0, 101.0), (15.0, 16.0), False)
    assert advice["margin"] == "none" and advice["bound_by"] == "oneway"
    assert advice["steps"] == ["R7c", "R7d"] and advice["register_expires_s"] == 90
    assert "Register Expires to 90 s" in advice["reason"]
    advice = advise((100.0, 101.0), (15.0, 16.0), False, register_least=120)
    assert advice["steps"] == ["R7d"] and "below 120 s" in advice["reason"], advice
    for lo, steps in ((66.6, ["R7d"]), (66.7, ["R7c", "R7d"])):
        assert advise((lo, None), (15.0, 16.0))["steps"] == steps, lo
    assert advise((120, 121))["steps"] == []


def test_a_ping_by_the_server_is_named_only_if_packets_from_outside_extend_the_binding():
    for lo, extends, ping in (
        (18.0, True, 14),
        (120.0, True, 96),
        (5.0, True, None),
        (18.0, False, None),
        (18.0, None, None),
    ):
        advice = advise((lo, lo + 1), extends=extends)
        assert advice.get("server_ping_s") == ping, (lo, extends)
        assert ("server" in advice["reason"]) == (ping is not None), advice["reason"]


def test_the_interval_in_use_is_compared_with_what_was_measured():
    for bracket, in_use, holds, change in (
        ((41.1, 42), 20, True, "keep"),
        ((41.1, 42), 10, True, "keep"),
        ((41.1, 42), 21, True, "shorten"),  # it holds, but for no lost keepalive
        ((41.1, 42), 41.5, None, "shorten"),
        ((41.1, 42), 42, False, "shorten"),
        ((41.1, None), 300, None, "shorten"),
        ((30, 31), 24, True, "keep"),
        ((18, 19), 20, False, None),  # nothing in the range would hold
        ((18, 19), 15, True, "keep"),
        ((120, 121), None, None, None),
    ):
        advice = advise(bracket, in_use=in_use)
        assert advice["in_use"] == in_use
        assert (advice["holds"], advice["change"]) == (holds, change), (bracket, in_use, advice)
    # Both states bind: the shorter upper edge refutes.
    assert advise((50, 60), (49, 52), False, in_use=52)["holds"] is False

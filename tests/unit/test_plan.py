"""The plan: what begins when, how often, and what it costs. Pure data, no engine."""

from natwatch import config
from natwatch.daemon import plan

BUDGET = {"bindings": 64, "bytes_per_day": 5000000, "packets_per_second": 200}
SIP = ("udp/sip", "stream")
STUN = ("udp/stun", "stream")
HOURS = 3600000
DEFAULTS = config.check({"device": "a", "reflector": {"address": "192.0.2.1", "key": "0f" * 32}})


def test_the_period_is_the_larger_of_lifetime_and_budget():
    # bracket, watched keys, bytes a day, bytes taken by the rest -> period in ms
    for bracket, watched, bytes_per_day, taken, low, high in (
        ((239500, 240400), 2, 5000000, 0, 240400, 240400),  # the lifetime decides
        ((29500, 30400), 2, 5000000, 0, 155000, 156000),  # the bytes decide
        ((29500, 30400), 2, 5000000, 2500000, 311000, 312000),  # and those of the rest
        ((29500, 30400), 2, 5000000, 9999999, 1555000, 1556000),  # something is always left
        ((39500, 40400), 1, 0, 0, 2000, 2200),  # no byte budget: the bindings decide
        ((600000, None), 2, 5000000, 0, 600000, 600000),
        ((4000, 5000), 1, 0, 0, 1000, 1000),  # never faster than one a second
    ):
        budget = dict(BUDGET)
        budget["bytes_per_day"] = bytes_per_day
        found = plan.period(SIP, bracket, [SIP] * watched, budget, taken)
        assert low <= found <= high, (bracket, found)


def test_the_smallest_budget_that_can_be_configured_gives_a_period():
    budget = dict(BUDGET)
    for budget["bytes_per_day"] in (1, 9, 10):
        ms = plan.period(
            ("udp/sip", "stream"), (8000, 9000), [("udp/sip", "stream")], budget, 10**6
        )
        assert ms > 86400000, budget


def test_what_is_watched_comes_first_then_surveys_then_the_other_keys():
    first, second = plan.Key("a"), plan.Key("b")
    other = plan.Key("c", 6 * HOURS)
    keys = [first, second, other]
    survey = plan.Survey("nat", 6 * HOURS)
    assert plan.due(keys, [survey], 0) == [(first, plan.SEARCH)]
    first.doing = plan.SEARCH
    assert plan.due(keys, [survey], 0) == []
    first.ended(None, (39000, 40000), 0)
    assert plan.due(keys, [survey], 0) == [(first, plan.WATCH), (second, plan.SEARCH)]
    first.doing, second.doing = plan.WATCH, plan.SEARCH
    second.ended(None, (39000, 40000), 0)
    assert plan.due(keys, [survey], 0) == [(second, plan.WATCH), (survey, plan.SURVEY)]
    survey.doing = plan.SURVEY
    assert plan.due(keys, [survey], 0) == [(second, plan.WATCH)]
    survey.ended(True, 1000)
    assert plan.due(keys, [survey], 1000)[1:] == [(other, plan.SEARCH)]


def test_nothing_starves_where_every_look_takes_longer_than_the_time_between_two():
    keys = [plan.Key(name, 60000) for name in "abcd"]
    surveys = [plan.Survey("nat", 1000)]
    for key in keys:
        key.bracket = (179600, 180400)
    done, now = [], 0
    for _ in range(10):
        ((item, _),) = plan.due(keys, surveys, now)
        item.doing = plan.SURVEY if item in surveys else plan.CHECK
        now += 180000
        if item in surveys:
            item.ended(True, now)
        else:
            item.ended(None, None, now)
        done.append(item)
    for item in keys + surveys:
        assert done.count(item) == 2


def test_a_confirmation_is_due_beside_anything_and_nothing_beside_it():
    first, other = plan.Key("a"), plan.Key("c", 6 * HOURS)
    survey = plan.Survey("nat", 6 * HOURS)
    first.bracket, first.suspect = (39000, 40000), 20000
    for item in (other, survey):
        item.doing = plan.SEARCH
        assert plan.due([first, other], [survey], 0) == [(first, plan.CONFIRM)]
        item.doing = None
    first.doing = plan.CONFIRM
    assert plan.due([first, other], [survey], 0) == []


def test_an_urgent_survey_goes_before_everything_but_a_confirmation():
    first, second = plan.Key("a"), plan.Key("b")
    first.bracket = (39000, 40000)
    first.doing = plan.WATCH
    nat, layers = plan.Survey("nat", 6 * HOURS), plan.Survey("layers", 24 * HOURS)
    surveys = [nat, layers]
    layers.not_before = 1000
    assert plan.due([first, second], surveys, 2000) == [(second, plan.SEARCH)]
    layers.urgent = True
    assert plan.due([first, second], surveys, 0) == [(second, plan.SEARCH)]
    assert plan.due([first, second], surveys, 2000) == [(layers, plan.SURVEY)]
    second.bracket, second.suspect = (29000, 30000), 15000
    assert plan.due([first, second], surveys, 2000) == [(second, plan.CONFIRM)]
    layers.off = True
    second.suspect, second.bracket = None, None
    assert plan.due([first, second], surveys, 2000) == [(second, plan.SEARCH)]


def test_a_known_key_is_looked_at_when_its_hours_have_passed():
    key = plan.Key("a", 6 * HOURS)
    key.doing = plan.SEARCH
    key.ended(None, (39000, 40000), 1000)
    assert plan.due([key], [], 6 * HOURS) == []
    assert plan.due([key], [], 6 * HOURS + 1000) == [(key, plan.CHECK)]
    key.doing = plan.CHECK
    key.ended(None, None, 7 * HOURS)
    assert key.bracket == (39000, 40000) and plan.due([key], [], 12 * HOURS) == []
    key.doing = plan.CHECK
    key.suspect = 20000
    key.ended("shrunk", None, 13 * HOURS)
    assert plan.due([key], [], 13 * HOURS) == [(key, plan.CONFIRM)]
    key.suspect, key.doing = None, plan.CHECK
    key.ended("grown", None, 14 * HOURS)
    assert plan.due([key], [], 14 * HOURS) == [(key, plan.SEARCH)]
    key.bracket, key.doing = (39000, 40000), plan.CHECK
    key.ended("unknown", None, 20 * HOURS)
    assert plan.due([key], [], 20 * HOURS + 29000) == []
    assert plan.due([key], [], 20 * HOURS + 31000) == [(key, plan.CHECK)]


def test_the_plan_waits_longer_after_each_search_that_found_nothing():
    key = plan.Key("a")
    now = 1000
    for seconds in (30, 60, 120):
        key.doing = plan.SEARCH
        key.ended(None, None, now)
        assert plan.due([key], [], now + seconds * 1000 - 1) == []
        now += seconds * 1000
        assert plan.due([key], [], now) == [(key, plan.SEARCH)]


def test_the_report_of_the_plan_stays_within_the_budget():
    for lifetime in (5, 12, 30, 60, 120, 300, 600):
        keys = [plan.Key(("udp/sip", state)) for state in ("stream", "replied")]
        for key in keys:
            key.bracket = (lifetime * 1000 - 400, lifetime * 1000 + 400)
        keys += [plan.Key(("udp/rtp", "oneway"), 6 * HOURS) for _ in range(10)]
        surveys = plan.surveys(DEFAULTS, True)
        told = plan.describe(keys, surveys, BUDGET, 20)
        assert told["bytes_per_day"] <= 5000000, told
        assert [row["every"] for row in told["keys"][2:]] == [21600.0] * 10
        assert told["keys"][0]["period"] == told["keys"][0]["every"] >= lifetime
        keys[0].bracket = None  # still searched for
        told = plan.describe(keys, surveys, BUDGET, 20)
        assert told["keys"][0]["period"] is None and told["keys"][0]["every"] == 0


def test_surveys_of_the_profile_are_there_only_with_one_and_each_has_its_interval():
    every = {one.name: one.every // 1000 for one in plan.surveys(DEFAULTS, True)}
    expected = {"nat": 21600, "keepalives": 21600, "reach": 900, "sweep": 86400, "media": 3600}
    expected["layers"] = 86400
    assert every == expected
    assert [one.name for one in plan.surveys(DEFAULTS, False)] == [
        "nat",
        "keepalives",
        "layers",
    ]
    never = dict(DEFAULTS, survey_every_s=0, layers_every_s=0, media_every_s=0)
    assert [one.name for one in plan.surveys(never, True)] == ["reach", "sweep"]


def test_every_survey_costs_its_own_bytes():
    for name, least, most in (
        ("nat", 40000, 40000),
        ("layers", 100000, 300000),
        ("reach", 300000, 400000),
        ("sweep", 264132, 300000),
        ("media", 24 * 64000, 1600000),
    ):
        (survey,) = [one for one in plan.surveys(DEFAULTS, True) if one.name == name]
        assert least <= plan.reserved([], [survey], None) <= most, name


def test_a_survey_that_is_off_is_not_begun():
    survey = plan.Survey("sweep", HOURS)
    survey.off = True
    assert plan.due([], [survey], 0) == []
    survey.off = False
    assert plan.due([], [survey], 0) == [(survey, plan.SURVEY)]


def test_96_samples_a_day_stay_96_though_each_takes_its_time_and_comes_late():
    survey, now, begun = plan.Survey("reach", 900000), 5 * HOURS, 0
    end = now + 24 * HOURS
    while now < end:
        assert plan.due([], [survey], now) == [(survey, plan.SURVEY)]
        survey.doing = plan.SURVEY
        begun += 1
        now += 1500
        survey.ended(True, now)
        now = survey.not_before + (300000 if begun % 3 else 0)  # another look was under way
    assert begun == 96


def test_packets_a_second_decide_how_fast_bindings_are_opened():
    for packets, pace in ((200, 10), (2, 1000), (2000, 1)):
        assert plan.pace(packets) == pace

"""What a check keeps of its measurements where somebody, or the reflector, ends it early."""

from world import ADDRESS, DEVICE, KEY

from natwatch import checkup
from natwatch.diagnosis import profile

_ENFORTA = {
    "name": "Any Phone",
    "network": "192.0.2.0/24",
    "ports": {"sip": 5060, "stun": [3478, 3479], "rtp": [8000, 10000]},
    "inner": ["10.0.0.0/8"],
    "keepalive_s": {"min": 20, "max": 170, "default": 20},
    "register_least_s": 60,
    "line": {"loss_percent": 1, "delay_ms": 150, "jitter_ms": 30, "mos_least": 3.6},
    "support": {"phone": "123", "mail": "help@operator.example"},
}
_SITE = {"adapter": None, "account": None, "resolvers": None, "refusal": None}
_KEY = checkup.KEYS[0]


class Session:
    """What a check asks of its control flow."""

    def __init__(self, trouble, answered_at):
        self.trouble = trouble
        self.answered_at = answered_at


def measured(session, told, interrupted):
    """``measured`` of a check whose engines *told* {name: (result, ms)}."""
    check = checkup.Checkup((ADDRESS, DEVICE, KEY), profile.check(_ENFORTA), _SITE, False)
    names = sorted(told, key=str)

    def measure(_session, engines, _describe, _until, found):
        for index, name in enumerate(names):
            found.results[index], found.times[index] = told[name]
        if interrupted:
            raise KeyboardInterrupt
        return found.results

    real, checkup.measure = checkup.measure, measure
    try:
        check._measure(session, [(name, None) for name in names], None)
    except KeyboardInterrupt:
        assert interrupted
    finally:
        checkup.measure = real
    return check.measured


def test_the_time_left_for_the_lifetimes_is_not_told_as_all_of_it():
    for quick, expected in ((False, True), (True, False)):
        check = checkup.Checkup((ADDRESS, DEVICE, KEY), profile.check(_ENFORTA), _SITE, quick)
        told = []
        check._keys = lambda ports: []
        check._measure = lambda session, asked, describe, told=told: told.append(describe(0))
        check._ask_rest(checkup.Session(DEVICE, KEY, ADDRESS, checkup.port.random), [])
        assert ("then, if one forgets, which box" in told[0]) is expected, told


def test_what_was_measured_before_ctrl_c_is_kept():
    told = {"rtp": ("swept", 5), "media": (None, None), _KEY: ("a bracket", 7)}
    found = measured(Session(None, 6), told, True)
    assert found["rtp"] == "swept" and found["media"] is None
    assert found["lifetimes"] == {_KEY: "a bracket"} and found["left_out"] == []


def test_what_came_after_a_dead_reflectors_last_answer_is_not_believed():
    told = {"nat": ("known", 5), "rtp": ("every port is blocked", 30), "registration": ("ok", 30)}
    for interrupted in (False, True):
        found = measured(Session("no answer", 20), told, interrupted)
        assert found["nat"] == "known" and found["rtp"] is None, found
        assert found["registration"] == "ok", found
        assert len(found["left_out"]) == (0 if interrupted else 1), found
    assert measured(Session("wrong key", None), told, False)["nat"] is None

"""Which ports are asked when, and what is believed of them: no engine, no clock."""

from world import Numbers

from natwatch.daemon.sampling import STALE, Sampling
from natwatch.probes.reach import ranges

PORTS = {"sip": 5060, "stun": [3478, 3479], "rtp": (8000, 10000)}
SINGLE = [3478, 3479, 5060]
QUARTER = 900000


def sampling():
    return Sampling(PORTS, Numbers(1).bytes)


def result(asked, blocked=(), lost=0):
    silent = sorted([port for port in asked if port in blocked])
    return {
        "address": "192.0.2.1",
        "asked": len(asked),
        "open": len(asked) - len(silent),
        "blocked": ranges(silent, sorted(asked)),
        "sampled": False,
        "tries": len(asked) - len(silent) + lost,
        "lost": lost,
        "passes": 3 if silent else 1,
        "seconds": 0.5,
        "bytes": 3168,
    }


def ask(known, now, blocked=(), lost=0, most=21):
    asked = known.sample(most)
    return asked, known.take(asked, result(asked, blocked, lost), now)


def sweep(known, now, blocked=()):
    asked = known.sweep()
    return known.take(asked, result(asked, blocked), now)


def test_a_days_samples_ask_every_voice_port_and_never_more_than_64_at_once():
    known = sampling()
    seen = []
    for number in range(96):
        asked, told = ask(known, number * QUARTER)
        assert asked[:3] == SINGLE and len(asked) <= 24 and told
        seen += asked[3:]
    assert sorted(seen) == list(range(8000, 10001))
    found = known.voice_result(95 * QUARTER)
    assert (found["asked"], found["open"], found["sampled"]) == (2001, 2001, False)
    asked, _ = ask(known, 96 * QUARTER)
    assert asked[3:] == seen[:21], "the round begins anew, in the same order"
    assert len(known._answers) <= 98, "what was asked again is not kept"


def test_the_order_is_drawn_not_counted():
    asked, _ = ask(sampling(), 0)
    assert asked[3:] != sorted(asked[3:]) and max(asked) - min(asked[3:]) > 500


def test_a_sample_that_was_cut_short_is_asked_again():
    known = sampling()
    assert known.sample(21) == known.sample(21)


def test_what_is_silent_once_is_doubted_and_what_is_silent_twice_is_blocked():
    known = sampling()
    first = known.sample(21)
    closed = first[5:8]
    assert known.take(first, result(first, closed), 1000) is False
    assert sorted(known.doubted) == sorted(closed)
    assert known.voice_result(1000) is None, "nothing of it is believed yet"
    asked, told = ask(known, 31000, closed)
    assert set(asked[:6]) == set(SINGLE + closed) and told and known.doubted == []
    assert len(asked) == 24 and not set(asked[6:]).intersection(first), "the round goes on beside"
    found = known.voice_result(31000)
    assert (found["asked"], found["open"]) == (21 + 18, 36)
    later, _ = ask(known, QUARTER)
    assert not set(later[3:]).intersection(first[3:] + asked[3:])


def test_an_outage_of_one_sample_blocks_nothing():
    known = sampling()
    first = known.sample(21)
    known.take(first, result(first, first[2:]), 1000)  # the line fell after two answers
    asked, told = ask(known, 31000)
    assert told and known.doubted == []
    assert asked[:3] == SINGLE
    assert known.single_result(31000)["blocked"] == []
    found = known.voice_result(31000)
    assert found["blocked"] == [] and found["open"] == found["asked"] == 21, found  # 4 are new


def test_where_nothing_answers_nothing_is_known_and_the_same_is_asked_again():
    known = sampling()
    asked, told = ask(known, 0, range(65536))
    assert told and not known.answered and known.doubted == []
    data = known.told(result(asked, range(65536)), asked, 0)
    assert data["known"] == 0 and data["blocked"] == [] and data["reason"], data
    assert known.single_result(0) is None and known.voice_result(0) is None
    again, _ = ask(known, 1)
    assert again == asked and known.answered


def test_a_sweep_is_believed_once_one_sample_of_what_it_found_silent_agrees():
    closed = list(range(8500, 8600)) + [9999]
    known = sampling()
    assert sweep(known, 0, closed) is False
    asked, told = ask(known, 30000, closed)
    assert told and len(asked) == 24 and set(asked[3:20]).issubset(set(closed))
    found = known.voice_result(30000)
    assert found["blocked"] == [[8500, 8599], [9999, 9999]], found
    assert (found["asked"], found["open"]) == (2001, 1900)
    data = known.told(result(asked, closed), asked, 30000)
    assert data["blocked"] == [[8500, 8599], [9999, 9999]]
    assert (data["known"], data["known_open"]) == (2004, 1903)
    assert sweep(known, 60000, closed), "known to be blocked: no doubt any more"


def test_doubted_ports_are_asked_with_others_that_show_whether_the_line_is_up():
    closed = SINGLE + list(range(8500, 8600))
    known = sampling()
    sweep(known, 0, closed)
    asked, told = ask(known, 30000, closed)
    assert known.answered and told and len(asked) == 24
    assert known.voice_result(30000)["blocked"] == [[8500, 8599]]


def test_an_outage_in_a_sweep_is_not_believed_for_the_sake_of_ports_that_are_blocked():
    known = sampling()
    closed = list(range(8500, 8600))
    sweep(known, 0, range(8000, 9000))  # the rest of the thousand by the outage
    asked, told = ask(known, 30000, closed)
    silent = set(asked).intersection(closed)
    assert told and len(silent) not in (0, 17), "of both kinds some were asked again"
    found = known.voice_result(30000)
    assert found["asked"] - found["open"] == len(silent), found


def test_a_sweep_that_met_an_outage_leaves_no_port_blocked():
    known = sampling()
    sweep(known, 0, range(8000, 9000))
    _, told = ask(known, 30000)
    assert told and known.voice_result(30000)["blocked"] == []


def test_a_port_that_is_open_again_is_blocked_no_more():
    known = sampling()
    closed = range(8500, 8600)
    sweep(known, 0, closed)
    ask(known, 30000, closed)
    now = 30000
    while known.voice_result(now)["blocked"]:
        now += QUARTER
        ask(known, now)
        assert now <= 97 * QUARTER
    sweep(known, now + 1, closed)
    ask(known, now + 2, closed)
    assert known.voice_result(now + 2)["blocked"] == [[8500, 8599]]
    assert sweep(known, now + 3)
    assert known.voice_result(now + 3)["blocked"] == []


def test_a_single_port_that_falls_silent_is_asked_twice_as_well():
    known = sampling()
    ask(known, 0)
    assert ask(known, 1, [5060])[1] is False
    assert known.single_result(1)["blocked"] == []
    ask(known, 2, [5060])
    assert known.single_result(2)["blocked"] == [[5060, 5060]]
    ask(known, 3)
    assert known.single_result(3)["blocked"] == []


def test_loss_is_counted_over_all_that_is_known():
    known = sampling()
    for number in range(10):
        ask(known, number, lost=2)
    found = known.voice_result(10)
    assert (found["tries"], found["lost"]) == (10 * 26, 20), found
    assert known.single_result(10)["tries"] == 0, "counted once"


def test_what_is_older_than_two_days_is_not_known():
    known = sampling()
    ask(known, 0)
    ask(known, STALE - 1)
    assert known.voice_result(STALE - 1)["asked"] == 42
    assert known.voice_result(STALE)["asked"] == 21
    assert known.voice_result(3 * STALE) is None


def test_another_line_begins_with_nothing():
    known = sampling()
    sweep(known, 0, [8500])
    ask(known, 1, [8500])
    sweep(known, 2, [8501])
    known.forget()
    assert known.voice_result(2) is None and known.doubted == []


def test_many_separate_ports_are_told_within_bounds():
    known = sampling()
    closed = range(8000, 10001, 2)
    sweep(known, 0, closed)
    ask(known, 1, closed)
    data = known.told(result(SINGLE), SINGLE, 1)
    assert len(data["blocked"]) == 32 and data["known_open"] == 1003


def test_the_voice_stream_goes_to_an_even_port_that_is_not_blocked():
    known = sampling()
    random = Numbers(3).bytes
    sweep(known, 0, range(8000, 9998))
    ask(known, 1, range(8000, 9998))
    assert set([known.open_voice_port(random, 1) for _ in range(50)]) == set([9998, 10000])
    sweep(known, 2, range(8000, 10001))
    ask(known, 3, range(8000, 10001))
    assert known.open_voice_port(random, 3) == 8000

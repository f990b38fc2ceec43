"""A refused password rests for an hour, however the clock and the file fare."""

import os

from natwatch.port.refusal import HOUR, Refusal, mark

ACCOUNT = {"registrar": "sip.example", "user": "u", "password": "p", "domain": None}
CORRECTED = dict(ACCOUNT, password="q")
PATH = "/tmp/natwatch-refusal-%s" % os.urandom(6)[0:6].hex()
START = 1700000000


class Clock:
    def __init__(self, seconds=START):
        self.seconds = seconds

    def __call__(self):
        return self.seconds + 0.5


def clear():
    for path in (PATH, PATH + ".new"):
        try:
            os.remove(path)
        except OSError:
            pass


def refused(clock, now=1000):
    clear()
    refusal = Refusal(PATH, clock)
    assert refusal.not_before(ACCOUNT, now) is None
    refusal.remember(ACCOUNT, now)
    return refusal


def test_a_refused_password_rests_for_an_hour_and_a_corrected_one_does_not():
    refusal = refused(Clock())
    assert refusal.not_before(ACCOUNT, 1000) == 1000 + HOUR * 1000
    assert refusal.not_before(ACCOUNT, 999 + HOUR * 1000) is not None
    for name in ("password", "user", "registrar"):
        assert refusal.not_before(dict(ACCOUNT, **{name: "else"}), 2000) is None, name
    assert refusal.not_before(ACCOUNT, 1000 + HOUR * 1000) is None
    assert Refusal(PATH, Clock()).not_before(ACCOUNT, 0) is None, "the file is gone too"
    clear()


def test_a_restart_forgets_nothing_and_the_hour_goes_on():
    clock = Clock()
    refused(clock)
    clock.seconds += 1200
    assert Refusal(PATH, clock).not_before(ACCOUNT, 50) == 50 + 2400000
    assert Refusal(PATH, clock).not_before(CORRECTED, 50) is None
    clock.seconds += 2400
    assert Refusal(PATH, clock).not_before(ACCOUNT, 50) is None
    clear()


def test_a_clock_set_back_lengthens_nothing_beyond_an_hour():
    clock = Clock()
    running = refused(clock, 1000)
    clock.seconds -= 400 * 86400
    assert running.not_before(ACCOUNT, 2000) == 1000 + HOUR * 1000
    assert Refusal(PATH, clock).not_before(ACCOUNT, 0) == HOUR * 1000
    # From then on it passes as always, over another restart as well.
    clock.seconds += 3000
    assert Refusal(PATH, clock).not_before(ACCOUNT, 0) == 600000
    clock.seconds += 600
    assert Refusal(PATH, clock).not_before(ACCOUNT, 0) is None
    clear()


def test_a_box_that_wakes_in_1970_and_gets_its_time_later_still_waits():
    clock = Clock()
    refused(clock)
    clock.seconds = 20
    woken = Refusal(PATH, clock)
    until = woken.not_before(ACCOUNT, 0)
    clock.seconds = START + 9000000
    assert woken.not_before(ACCOUNT, 5000) == until == HOUR * 1000
    clear()


def test_a_damaged_file_means_that_nothing_was_refused():
    kept = '{"account": "%s", "refused": %d}' % (mark(ACCOUNT), START)
    for text in (
        "",
        "null",
        "[]",
        "7",
        "{",
        "\0\0\0",
        '{"account": 7, "refused": %d}' % START,
        '{"account": "%s", "refused": "%d"}' % (mark(ACCOUNT), START),
        '{"account": "%s"}' % mark(ACCOUNT),
        '{"account": "%s", "refused": null}' % mark(ACCOUNT),
        "[" * 900,
    ):
        with open(PATH, "w") as target:
            target.write(text)
        assert Refusal(PATH, Clock()).not_before(ACCOUNT, 0) is None, text
    with open(PATH, "wb") as target:
        target.write(b"\xff\xfe\x00{}")
    assert Refusal(PATH, Clock()).not_before(ACCOUNT, 0) is None
    with open(PATH, "w") as target:
        target.write(kept)
    assert Refusal(PATH, Clock()).not_before(ACCOUNT, 0) == HOUR * 1000
    clear()


def test_where_nothing_can_be_written_the_process_remembers_all_the_same():
    refusal = Refusal("/nowhere/at/all", Clock())
    refusal.remember(ACCOUNT, 0)
    assert refusal.not_before(ACCOUNT, 5) == HOUR * 1000


def test_the_file_holds_neither_the_password_nor_a_whole_hash_of_it():
    refused(Clock())
    with open(PATH) as source:
        text = source.read()
    assert len(mark(ACCOUNT)) == 4 and len(text) < 60, text
    clear()

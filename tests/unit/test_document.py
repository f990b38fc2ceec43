"""Files that people write: what is absurd is refused in a short sentence, on both interpreters."""

import json
import os

from natwatch import config, document
from natwatch.diagnosis import profile

_PATH = "/tmp/natwatch-test-document-%d.json" % int.from_bytes(os.urandom(4), "big")


def _deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def _refused(load, text):
    with open(_PATH, "w") as target:
        target.write(text)
    try:
        load(_PATH)
    except (config.ConfigError, profile.ProfileError) as error:
        return str(error)
    finally:
        os.remove(_PATH)
    raise AssertionError("taken: %s" % text[:60])


def test_a_value_is_shown_short_whatever_it_is():
    assert document.shown("x") == "'x'" and document.shown([1, "a"]) == "[1, 'a']"
    assert document.shown(_deep(20000)) == "list"
    for value in ("x" * 100000, [7] * 10000, 10**6000):
        assert 0 < len(document.shown(value)) < 100


def test_a_file_without_measure_is_refused_by_both_readers():
    for load in (config.load, profile.load):
        assert "expected JSON of at most 65536 characters" in _refused(load, '"%s"' % ("x" * 70000))
        assert "expected JSON" in _refused(load, "[" * 30000)
        for text in ('{"device": %s}', '{"name": %s}', '{"%s": 1}'):
            for inside in ("[" * 900 + "]" * 900, '"%s"' % ("y" * 50000), "y" * 50000):
                assert len(_refused(load, text % inside)) < 400


def test_a_file_that_ends_in_the_middle_is_refused_by_both_readers():
    for load in (config.load, profile.load):
        assert "expected JSON" in _refused(load, '{"name": 1')


def test_half_a_character_is_no_text():
    # JSON can spell half of a surrogate pair; UTF-8 cannot, so printing or hashing it would fail.
    half = json.loads('"\\ud800"')
    assert (
        not document.sound(half) and not document.sound("a\x1b[2J") and not document.sound("\x9b")
    )
    assert document.sound("Энфорта — 1") and document.sound("\U0001f600")
    assert document.plain("a\x1b[2J\x9b1m\u202eb\n") == "a?[2J?1m?b?"

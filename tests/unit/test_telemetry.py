"""The report envelope and the range acknowledgement: what goes in comes out, bad input is named."""

import json
import sys

from natwatch.wire import telemetry

BOOT = "0123456789abcdef"
GOOD = {
    "v": 1,
    "boot": BOOT,
    "seq": 881,
    "t": 1700000000.5,
    "tq": "ntp",
    "mono": 123.4,
    "kind": "lifetime",
    "data": {"lo": 39.6, "hi": None},
}


def refused(function, argument):
    """The sentence of the ValueError that *function* raises, or None if it raises none."""
    try:
        function(argument)
    except ValueError as error:
        return str(error)
    return None


def changed(field, value):
    envelope = dict(GOOD)
    envelope[field] = value
    return json.dumps(envelope).encode()


def without(field):
    envelope = dict(GOOD)
    del envelope[field]
    return json.dumps(envelope).encode()


def test_an_envelope_comes_out_as_it_went_in():
    for t, tq in ((1700000000.5, "ntp"), (None, "none")):
        sent = telemetry.Envelope(BOOT, 7, t, tq, 12.5, "health", {"a": [1, None, "é"]})
        got = telemetry.decode(telemetry.encode(sent))
        assert (got.boot, got.seq, got.t, got.tq, got.mono) == (BOOT, 7, t, tq, 12.5)
        assert (got.kind, got.data) == ("health", {"a": [1, None, "é"]})


def test_an_unknown_field_is_ignored_so_that_devices_may_be_newer():
    assert telemetry.decode(changed("new", 1)).seq == 881


def test_a_wrong_field_is_refused_by_its_name():
    table = (
        ("v", (2, "1", None)),
        ("boot", ("", BOOT[:15], BOOT + "0", BOOT.upper(), "g" * 16, 7, None)),
        ("seq", (0, -1, 1.5, "1", True, None, 2**53 + 1)),
        ("t", ("now", True, [], 1e300)),
        ("tq", ("gps", None, 1)),
        ("mono", (-0.1, "1", None, False)),
        ("kind", ("", "x" * 33, None, 5)),
        ("data", ([], "x", None, 1)),
    )
    for field, values in table:
        for value in values:
            sentence = refused(telemetry.decode, changed(field, value))
            assert sentence and sentence.startswith("field %s: " % field), (field, value)
            assert "expected" in sentence and "found" in sentence, sentence


def test_a_missing_field_is_refused_by_its_name():
    for field in GOOD:
        sentence = refused(telemetry.decode, without(field))
        assert sentence and sentence.startswith("field %s: " % field), (field, sentence)


def test_numbers_that_json_does_not_know_are_refused():
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        for field, text in ((b"t", b"1700000000.5"), (b"mono", b"123.4")):
            payload = json.dumps(GOOD).encode().replace(text, word)
            assert word in payload
            assert refused(telemetry.decode, payload), (field, word)


def test_bytes_that_are_no_envelope_are_refused_with_a_sentence():
    for payload in (b"", b"\x00", b"\xff\xfe", b"[]", b"7", b"null", b'"x"', b"{", b"[" * 60000):
        assert refused(telemetry.decode, payload), payload[:9]


def test_a_truncated_envelope_is_refused():
    whole = json.dumps(GOOD).encode()
    # MicroPython's parser closes what was left open, so there a cut shows only in what is
    # missing: of the last field at least the value. MQTT's own length guards the rest.
    end = len(whole) if sys.implementation.name == "cpython" else whole.rfind(b":")
    for length in range(end):
        assert refused(telemetry.decode, whole[:length]), length


def test_a_payload_above_the_limit_is_refused_unread():
    sentence = refused(telemetry.load_object, b" " * (telemetry.MAX_BYTES + 1))
    assert sentence and "65536" in sentence and "65537" in sentence


def test_an_acknowledgement_comes_out_as_it_went_in():
    for ranges in ([], [(1, 1)], [(1, 5), (7, 9)]):
        payload = telemetry.encode_ack(BOOT, ranges)
        assert telemetry.decode_ack(payload) == (BOOT, ranges)


def test_a_wrong_acknowledgement_is_refused():
    table = (
        {"ranges": []},
        {"boot": "x", "ranges": []},
        {"boot": BOOT},
        {"boot": BOOT, "ranges": {}},
        {"boot": BOOT, "ranges": [7]},
        {"boot": BOOT, "ranges": [[1]]},
        {"boot": BOOT, "ranges": [[1, 2, 3]]},
        {"boot": BOOT, "ranges": [[2, 1]]},
        {"boot": BOOT, "ranges": [[0, 1]]},
        {"boot": BOOT, "ranges": [[1, 1.5]]},
        {"boot": BOOT, "ranges": [["1", "2"]]},
    )
    for value in table:
        sentence = refused(telemetry.decode_ack, json.dumps(value).encode())
        assert sentence and "expected" in sentence, value


def test_ranges_cover_exactly_the_numbers():
    table = (
        ([], []),
        ([5], [(5, 5)]),
        ([3, 1, 2], [(1, 3)]),
        ([1, 2, 4, 5, 9], [(1, 2), (4, 5), (9, 9)]),
        ([2, 2, 3, 3], [(2, 3)]),
    )
    for numbers, expected in table:
        assert telemetry.ranges_of(numbers) == expected, numbers

"""The provider profile: what is wrong in it is told in a sentence that names the field."""

from natwatch.diagnosis.profile import ProfileError, check, load
from natwatch.wire.ipv4 import inside, number_of

# A made-up operator: no code knows any.
GOOD = {
    "name": "Any Phone",
    "network": "192.0.2.0/24",
    "ports": {"sip": 5070, "stun": [3400], "rtp": [20000, 20100]},
    "inner": ["10.0.0.0/8"],
    "keepalive_s": {"min": 15, "max": 90, "default": 30},
    "register_least_s": 120,
    "line": {"loss_percent": 2, "delay_ms": 100, "jitter_ms": 20, "mos_least": 3.8},
    "support": {"phone": "123", "mail": "help@operator.example"},
}


def refused(value):
    try:
        check(value)
    except ProfileError as error:
        return str(error)
    raise AssertionError("taken: %r" % (value,))


def changed(path, value):
    """GOOD with another *value* at *path*, "field" or "field.field"."""
    result = dict(GOOD)
    field, _, rest = path.partition(".")
    if rest:
        result[field] = dict(GOOD[field])
        result[field][rest] = value
    else:
        result[field] = value
    return result


def test_another_operator_is_another_file():
    found = check(GOOD)
    assert found["ports"] == {"sip": 5070, "stun": [3400], "rtp": (20000, 20100)}
    assert inside("192.0.2.0", found["network"]) and inside("192.0.2.255", found["network"])
    assert not inside("192.0.3.0", found["network"])
    assert inside("10.255.1.2", found["inner"][0]) and not inside("11.0.0.0", found["inner"][0])


def test_a_wrong_field_is_named_with_what_was_expected():
    for path, value, words in (
        ("name", "", "field name: expected a text"),
        ("network", "192.0.2.1/24", "by its first address"),
        ("network", "192.0.2.0", "expected a network by"),
        ("network", "192.0.2.0/33", "expected a network by"),
        ("network", 7, "expected a network by"),
        ("network", "0.0.0.0/0", "of /8 or smaller"),
        ("network", "10.9.0.0/16", "field inner: expected networks that do not overlap"),
        ("inner", ["10.0.0.0/8", "10.1.0.0/16"], "found one that overlaps inner"),
        ("line.loss_percent", 101, "expected a number from 0 to 100"),
        ("line.mos_least", "3.6", "expected a number"),
        ("line.delay_ms", True, "expected a number"),
        ("line", None, "field line: expected an object"),
        ("inner", [], "field inner: expected a list"),
        ("inner", ["x"], "field inner: expected a network"),
        ("ports.sip", 0, "field ports.sip: expected a port"),
        ("ports.sip", True, "field ports.sip: expected a port"),
        ("ports.sip", 3400, "found 3400 under two"),
        ("ports.sip", 20050, "found 20050 under two"),
        ("ports.rtp", [20100, 20000], "expected the lowest port first"),
        ("ports.rtp", [1, 70000], "field ports.rtp: expected a port"),
        ("ports.rtp", 8000, "expected [lowest, highest]"),
        ("ports.stun", [], "field ports.stun: expected a list"),
        ("keepalive_s.default", 10, "expected 15 to 90 seconds"),
        ("keepalive_s.min", "15", "found '15'"),
        ("keepalive_s.low", 15, "expected one of min"),
        ("register_least_s", None, "expected seconds"),
        ("support.mail", None, "field support.mail: expected a text"),
        ("colour", "blue", "field colour: expected one of name"),
    ):
        found = refused(changed(path, value))
        assert words in found and "\n" not in found, (path, found)
    assert refused([]).startswith("the file: expected an object")


def test_a_missing_file_is_named():
    try:
        load("none.json")
    except ProfileError as error:
        assert "none.json: expected a readable file, found: no such file" in str(error), error
    else:
        raise AssertionError("taken")


def test_an_address_is_four_numbers():
    assert number_of("1.2.3.4") == 0x01020304
    for text in ("1.2.3", "1.2.3.256", "1.2.3.x", "", "1.2.3.4.5", "1.2.3.-4", None):
        assert number_of(text) is None, text


def test_a_range_that_no_operator_has_is_refused():
    for ports, words in (
        ({"sip": 1, "stun": [2, 3], "rtp": [4, 65535]}, "expected 2 to 32768 ports, found 65532"),
        ({"sip": 1, "stun": [2, 3], "rtp": [8000, 8000]}, "expected 2 to 32768 ports, found 1"),
        ({"sip": 1, "stun": list(range(2, 9000)), "rtp": [9000, 9001]}, "a list of 1 to 8 ports"),
    ):
        assert words in refused(changed("ports", ports))
    assert "1 to 64 networks" in refused(changed("inner", ["10.0.0.0/32"] * 65))
    check(changed("ports", {"sip": 5060, "stun": [3478], "rtp": [32768, 65535]}))
    check(changed("ports", {"sip": 5060, "stun": [3478], "rtp": [8001, 8002]}))


def test_a_text_that_would_move_the_cursor_is_refused():
    assert "no control characters" in refused(changed("name", "Any\x1b[2JPhone"))
    assert "at most 200 characters" in refused(changed("name", "x" * 201))

"""SIP as a client reads it: lists, quotes, folds, and what is thrown away."""

from natwatch.wire import sip, sip_client

START = b"SIP/2.0 200 OK"
VIA = b"Via: SIP/2.0/UDP natwatch.invalid;rport=7;received=192.0.2.1;branch=z9hG4bKabc"
CSEQ = b"CSeq: 2 REGISTER"


def read(*headers, start=START, body=b""):
    return sip_client.response(b"\r\n".join((start, VIA, CSEQ) + headers) + b"\r\n\r\n" + body)


def refused(data):
    """The counter of the SipError that *data* raises."""
    try:
        sip_client.response(data)
    except sip.SipError as error:
        return error.counter
    return None


def contacts(*headers):
    return sip_client.bindings(read(*headers))


def test_a_request_is_read_back_as_it_was_meant():
    data = sip_client.request(
        "REGISTER", "sip:b", "sip:a@b", "0123456789", 7, "branch", ["Authorization: x"]
    )
    message = sip.parse(data)
    assert message.start == "REGISTER sip:b SIP/2.0"
    assert message.get("from") == "<sip:a@b>;tag=01234567" and message.get("to") == "<sip:a@b>"
    assert message.get("cseq") == "7 REGISTER" and message.get("authorization") == "x"
    assert message.get("content-length") == "0" and data.endswith(b"\r\n\r\n")
    assert refused(data) == "sip_status", "our own request come back is no response"


def test_a_response_is_known_by_its_branch_and_method():
    answer = read(b"Server: x")
    assert (answer.status, answer.phrase) == (200, "OK")
    assert (answer.branch, answer.method, answer.get("server")) == ("abc", "REGISTER", "x")
    assert read(start=b"SIP/2.0 401").phrase == ""
    folded = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP x\r\n ;branch=\r\n\tz9hG4bKq\r\nCSeq: 1\r\n  A"
    answer = sip_client.response(folded + b"\r\nl: 2\r\n\r\nab")
    assert (answer.branch, answer.method) == ("q", "A")
    assert sip_client.response(START + b"\r\nVia: x;branch=old-abc-abc\r\n\r\n").branch == ""


def test_what_is_not_whole_or_not_clean_is_thrown_away_with_a_counter():
    whole = b"\r\n".join((START, VIA, CSEQ))
    for data, counter in (
        (b"", "sip_cut"),
        (b"\0" * 500, "sip_cut"),
        (whole, "sip_cut"),
        (whole + b"\r\nX: " + b"x" * 65000 + b"\r\n\r\n", "sip_huge"),
        (whole + b"\r\nX: a\0b\r\n\r\n", "sip_control"),
        (whole + b"\r\nX: a\nContact: b\r\n\r\n", "sip_control"),
        (whole + b"\r\nX: a\rb\r\n\r\n", "sip_control"),
        (whole + b"\r\nX: \xff\r\n\r\n", "sip_text"),
        (whole + b"\r\nno header\r\n\r\n", "sip_header"),
        (START + b"\r\n" + CSEQ + b"\r\n\r\n", "sip_via"),
        (START + b"\r\n" + VIA + b"\r\n" + VIA + b"\r\n\r\n", "sip_via"),
        (START + b"\r\n" + VIA + b", SIP/2.0/UDP x\r\n\r\n", "sip_via"),
        (whole.replace(b"200", b"2000") + b"\r\n\r\n", "sip_status"),
        (whole.replace(b"200", b"099") + b"\r\n\r\n", "sip_status"),
        (whole.replace(b"200", b"700") + b"\r\n\r\n", "sip_status"),
        (whole.replace(b"200", b"+20") + b"\r\n\r\n", "sip_status"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "not_sip"),
        (b" " + whole + b"\r\n\r\n", "sip_status"),
        (whole + b"\r\nContent-Length: 5\r\n\r\nabcd", "sip_length"),
        (whole + b"\r\nl: -1\r\n\r\n", "sip_length"),
        (whole + b"\r\nl: 0x1\r\n\r\nab", "sip_length"),
        (whole + b"\r\nl: 1\r\nContent-Length: 9\r\n\r\nabc", "sip_length"),
        (whole + b"\r\nContent-Length: 3\r\n\r\nabcd", None),
        (whole + b"\r\n\r\nabcd", None),
    ):
        assert refused(data) == counter, (data[:300], refused(data))


def test_contacts_are_read_however_they_are_written():
    for headers, found in (
        ((b"Contact: <sip:a@192.0.2.1>",), ("192.0.2.1", 5060, None, None)),
        ((b"m: sip:a@192.0.2.1:5070;expires=60",), ("192.0.2.1", 5070, 60, None)),
        ((b"Contact: <sips:192.0.2.1>", b"Expires: 90"), ("192.0.2.1", 5061, 90, None)),
        ((b'Contact: <SIP:a@h.example;x=<y>;Expires="7"',), ("h.example", 5060, 7, None)),
        ((b"Contact: A <sip:a@[2001:db8::1]:5062>",), ("2001:db8::1", 5062, None, None)),
        ((b"Contact: <sip:a,b;c@192.0.2.1;lr?h=1>;q=1",), ("192.0.2.1", 5060, None, None)),
        ((b'Contact: "<x>, \\"y;" <sip:a@192.0.2.1>',), ("192.0.2.1", 5060, None, None)),
        (
            (b'Contact: <sip:a@10.0.0.1>;received="sip:203.0.113.9:4000;transport=udp"',),
            ("10.0.0.1", 5060, None, "203.0.113.9"),
        ),
        (
            (b"Contact: <sip:a@10.0.0.1>;received=203.0.113.9:4000;expires=x",),
            ("10.0.0.1", 5060, None, "203.0.113.9"),
        ),
        (
            (b"Contact: <sip:a@192.0.2.1:99999>;expires=99999999999",),
            ("192.0.2.1", None, None, None),
        ),
        ((b"Contact: <sip:a@192.0.2.1>;expires=4294967296",), ("192.0.2.1", 5060, None, None)),
        ((b"Contact: *",), (None, None, None, None)),
        ((b"Contact: <>",), (None, None, None, None)),
        ((b'Contact: "open <sip:a@192.0.2.1>',), (None, None, None, None)),
        ((b"Contact: <sip:a@>",), (None, None, None, None)),
    ):
        (one,) = contacts(*headers)
        values = (one["address"], one["port"], one["expires"], one["received"])
        assert values == found, (headers, one)


def test_several_contacts_stand_in_one_header_or_in_many():
    for headers in (
        (b"Contact: <sip:a@192.0.2.1>, <sip:b,c@192.0.2.2>,", b"m: sip:d@192.0.2.3"),
        (b"Contact: <sip:a@192.0.2.1>,\r\n <sip:b,c@192.0.2.2>, sip:d@192.0.2.3",),
    ):
        found = contacts(*headers)
        assert [one["address"] for one in found] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        assert found[1]["contact"] == "sip:b,c@192.0.2.2"
    assert contacts() == contacts(b"Contact:") == []


def test_a_user_name_is_escaped_where_a_uri_needs_it():
    for user, text in (
        ("74951234567", "74951234567"),
        ("+7-(495)_a.b", "+7-(495)_a.b"),
        ('a"b@c:d e%', "a%22b%40c%3Ad%20e%25"),
        ("я", "%D1%8F"),
    ):
        assert sip_client.escaped(user) == text

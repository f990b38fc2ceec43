"""The DNS codec: what is asked, answers as a real resolver gives them, and bad datagrams."""

import binascii
import struct

from resolver import OTHER_TYPE, answer, name_bytes, record

from natwatch.wire import dns

unhex = binascii.unhexlify

# As dnsmasq 2.90 answered: an alias; SRV (asked in mixed case), the target's address beside it; a
# name that is not there; a name that has no SRV; a name that it may not tell of.
ALIAS = unhex(
    "1234858000010002000000000161086f70657261746f72076578616d706c650000010001"
    "c00c000500010000003c00170473697031086f70657261746f72076578616d706c6500"
    "c030000100010000012c00046d45b083"
)
SERVICE = unhex(
    "123485800001000100000001045f736970045f7564700141086f70657261746f72076578616d706c65"
    "0000210001c00c0021000100000000001d000a001413c40473697031086f70657261746f72076578616d"
    "706c6500c040000100010000012c00046d45b083"
)
NO_NAME = unhex(
    "1234818300010000000000000178086f70657261746f72076578616d706c650000010001"
)  # fmt: skip
NO_SERVICE = unhex("1234818000010000000000000473697031086f70657261746f72076578616d706c650000210001")
NOT_MINE = unhex(
    "12348185000100000000000009656c73657768657265076578616d706c650000010001"
)  # fmt: skip

NAME = "sip.operator.example"


def counter_of(call, *arguments):
    """The counter of the DnsError that the call raises; None if it raises nothing."""
    try:
        call(*arguments)
    except dns.DnsError as error:
        assert str(error), "a sentence"
        return error.counter
    return None


def test_a_query_is_as_rfc_1035_has_it():
    expected = unhex("beef01000001000000000000035f5349036c616e0000210001")
    assert dns.query(0xBEEF, "_SI.lan", dns.SRV) == expected
    assert dns.query(0xBEEF, "_SI.lan.", dns.SRV) == expected, "a dot at the end is the root's"
    assert dns.query(0, "a", dns.A) == unhex("0000010000010000000000000161000001" + "0001")


NAMES = (
    ("empty", "", False),
    ("the root", ".", False),
    ("an empty label", "a..b", False),
    ("a leading dot", ".a", False),
    ("a label of 63", "a" * 63 + ".b", True),
    ("a label of 64", "a" * 64 + ".b", False),
    ("253 characters", ".".join(["a" * 49] * 5) + ".abc", True),
    ("254 characters", ".".join(["a" * 49] * 5) + ".abcd", False),
    ("an underscore", "_sip._udp.7495-1.x", True),
    ("a space", "a b", False),
    ("letters of other alphabets", "\u0441\u0438\u043f.example", False),
    ("the same as ASCII", "xn--h1alf.example", True),
    ("a NUL", "a\0b", False),
    ("a port", "sip.example:5060", False),
)


def test_only_a_name_of_letters_digits_hyphens_and_underscores_is_asked():
    for why, name, good in NAMES:
        assert counter_of(dns.query, 1, name, dns.A) == (None if good else "name"), why


def test_real_answers_are_read():
    found = dns.parse(ALIAS)
    assert (found.ident, found.rcode, found.truncated, found.lame) == (0x1234, 0, False, False)
    assert found.question == ("a.operator.example", dns.A)
    assert found.values() == [(60, "109.69.176.131")], "the least TTL of the way"
    found = dns.parse(SERVICE)
    assert found.question == ("_sip._udp.a.operator.example", dns.SRV), "in lower case"
    assert found.values() == [(0, (10, 20, 5060, "sip1.operator.example"))]
    assert found.addresses("Sip1.operator.example") == [(300, "109.69.176.131")]
    assert found.addresses("sip2.operator.example") == []
    for data, rcode in ((NO_NAME, dns.NXDOMAIN), (NO_SERVICE, 0), (NOT_MINE, dns.REFUSED)):
        found = dns.parse(data)
        assert (found.rcode, found.values(), found.lame) == (rcode, [], False)


def test_an_answer_from_any_buffer_is_the_same():
    for kind in (bytearray, memoryview):
        assert dns.parse(kind(ALIAS)).values() == [(60, "109.69.176.131")]


def values(records, additional=(), kind=dns.A, **rest):
    return dns.parse(answer(1, NAME, kind, records, additional, **rest)).values()


def test_what_was_not_asked_is_left_out():
    mine = record(NAME, dns.A, "192.0.2.1")
    for other in (
        record("other.example", dns.A, "192.0.2.2"),
        record(NAME, OTHER_TYPE, b"\x01x"),
        record(NAME, dns.A, "192.0.2.3", klass=3),
        record(".", 41, b"", klass=1232),  # OPT (RFC 6891)
    ):
        assert values([mine, other]) == [(300, "192.0.2.1")], other
        assert values([mine], [other]) == [(300, "192.0.2.1")], other
    assert values([mine[:-4] + bytes(4)]) == [(300, "0.0.0.0")]


def test_records_are_found_in_any_order_and_aliases_are_followed():
    chain = [
        record("c.example", dns.A, "192.0.2.1", 50),
        record("b.example", dns.CNAME, "C.example", 20),
        record(NAME, dns.CNAME, "b.example", 90),
        record("c.example", dns.A, "192.0.2.2", 10),
    ]
    assert values(chain) == [(20, "192.0.2.1"), (10, "192.0.2.2")]
    assert values(chain[2:3]) == [], "an alias of nothing"
    service = [
        record(NAME, dns.CNAME, "s.example"),
        record("s.example", dns.SRV, (1, 2, 5060, ".")),
    ]
    assert values(service, kind=dns.SRV) == [(300, (1, 2, 5060, "."))], "the root: no service"


def test_aliases_that_do_not_end_are_refused():
    circle = [record(NAME, dns.CNAME, "b.example"), record("b.example", dns.CNAME, NAME)]
    assert counter_of(values, circle) == "aliases"
    assert counter_of(values, [record(NAME, dns.CNAME, NAME)]) == "aliases"
    names = [NAME] + ["a%d.example" % number for number in range(16)]
    chain = [record(names[i], dns.CNAME, names[i + 1]) for i in range(16)]
    last = record(names[15], dns.A, "192.0.2.1")
    assert values(chain[:15] + [last]) == [(300, "192.0.2.1")]
    assert counter_of(values, chain + [record(names[16], dns.A, "192.0.2.1")]) == "aliases"


def test_a_ttl_with_the_highest_bit_is_none():
    assert values([record(NAME, dns.A, "192.0.2.1", 0x80000001)]) == [(0, "192.0.2.1")]
    assert values([record(NAME, dns.A, "192.0.2.1", 0x7FFFFFFF)])[0][0] == 0x7FFFFFFF


def test_who_neither_knows_nor_looks_up_is_lame():
    for flags, lame in ((0x8100, True), (0x8180, False), (0x8500, False)):
        assert dns.parse(answer(1, NAME, dns.A, flags=flags)).lame is lame, flags


def test_a_truncated_answer_has_what_it_has_and_another_one_may_not_end_early():
    records = [record(NAME, dns.A, "192.0.2.1"), record(NAME, dns.A, "192.0.2.2")]
    whole = answer(1, NAME, dns.A, records)
    cut = answer(1, NAME, dns.A, records, flags=0x8380)
    head = len(whole) - len(records[1])
    for size in range(len(whole)):
        assert counter_of(dns.parse, whole[:size]) == "short", size
        if size >= head:
            found = dns.parse(cut[:size])
            assert found.truncated and found.values() == [(300, "192.0.2.1")], size
    assert counter_of(dns.parse, cut[:20]) == "short", "the question must be there"
    assert dns.parse(whole + b"more").values() == dns.parse(whole).values()


HEAD = unhex("000181800001000100000000")  # one question, one record
LONG = b"".join([b"\x3f" + b"a" * 63] * 4)  # 256 bytes of labels
QUESTION = name_bytes(NAME) + b"\0\1\0\1"
FIXED = b"\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"  # type A, class, TTL, length, 192.0.2.1

BAD = (
    ("nothing", b"", "short"),
    ("a header cut short", HEAD[:11], "short"),
    ("64 KB", HEAD + QUESTION + bytes(65000), "huge"),
    ("one byte too many", bytes(dns.MAX_BYTES + 1), "huge"),
    ("a query", dns.query(1, NAME, dns.A), "not_answer"),
    ("another opcode", unhex("0001a180") + HEAD[4:] + QUESTION, "not_answer"),
    ("text", b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n", "not_answer"),
    ("no question", unhex("000181810000000000000000"), "question"),
    ("two questions", unhex("000181800002000000000000") + QUESTION * 2, "question"),
    ("a question of class CH", answer(1, NAME, dns.A, klass=3), "question"),
    ("fewer records than counted", HEAD + QUESTION, "short"),
    ("a pointer to itself", HEAD + QUESTION + b"\xc0\x26" + FIXED, "pointer"),
    ("a pointer onward", HEAD + QUESTION + b"\xc0\x30" + FIXED, "pointer"),
    ("a pointer beyond the end", HEAD + QUESTION + b"\xff\xff" + FIXED, "pointer"),
    ("a pointer into the header", HEAD + QUESTION + b"\xc0\x04" + FIXED, "pointer"),
    ("half a pointer", HEAD + QUESTION + b"\xc0", "short"),
    ("a label and a pointer to it", HEAD + QUESTION + b"\1a\xc0\x26" + FIXED, "pointer"),
    ("a question that points to itself", HEAD + b"\xc0\x0c\0\1\0\1", "pointer"),
    ("a label of another kind", HEAD + QUESTION + b"\x41a\0" + FIXED, "label"),
    ("a name of more than 255 bytes", HEAD + LONG + b"\0\0\1\0\1", "name"),
    ("a name with a dot in a label", HEAD + b"\3a.b\0\0\1\0\1", "name"),
    ("a name with a NUL", HEAD + b"\3a\0b\0\0\1\0\1", "name"),
    ("a name that is no UTF-8", HEAD + b"\2\xff\xfe\0\0\1\0\1", "name"),
    ("a name of markup", HEAD + b"\3<b>\0\0\1\0\1", "name"),
    ("an A of 3 bytes", answer(1, NAME, dns.A, [record(NAME, dns.A, b"\1\2\3")]), "value"),
    ("an A of 16 bytes", answer(1, NAME, dns.A, [record(NAME, dns.A, bytes(16))]), "value"),
    ("an empty A", answer(1, NAME, dns.A, [record(NAME, dns.A, b"")]), "value"),
    ("an SRV of 3 bytes", answer(1, NAME, dns.SRV, [record(NAME, dns.SRV, bytes(3))]), "short"),
    (
        "an SRV without a target, another record behind it",
        answer(1, NAME, 33, [record(NAME, dns.SRV, bytes(6)), record(NAME, 1, "192.0.2.1")]),
        "value",
    ),
    ("a CNAME that ends early", answer(1, NAME, 1, [record(NAME, 5, b"\1a\0\0")]), "value"),
    ("a CNAME that ends late", answer(1, NAME, 1, [record(NAME, 5, b"\1a"), b"\0\0"]), "value"),
    ("a length beyond the end", HEAD + QUESTION + b"\0\0\1\0\1\0\0\0\0\xff\xffabcd", "short"),
)


def test_bad_datagrams_raise_their_counter_and_nothing_else():
    for why, data, counter in BAD:
        assert counter_of(dns.parse, data) == counter, (why, counter_of(dns.parse, data))


def test_pointers_to_pointers_are_followed_only_so_far():
    # The record's owner points to the last of a row of pointers in the data of another record,
    # each of which points to the one before it, and the first to the question's name.
    for links, expected in ((14, None), (15, None), (16, "pointer"), (200, "pointer")):
        begin = 12 + len(QUESTION) + 11
        row = b"".join(
            [
                struct.pack(">H", 0xC000 | (begin + 2 * index - 2 if index else 12))
                for index in range(links)
            ]
        )
        data = unhex("000181800001000200000000") + QUESTION
        data += b"\0" + struct.pack(">HHIH", OTHER_TYPE, 1, 0, len(row)) + row
        data += struct.pack(">H", 0xC000 | begin + 2 * links - 2) + FIXED
        assert counter_of(dns.parse, data) == expected, links
        if expected is None:
            assert dns.parse(data).values() == [(300, "192.0.2.1")], links


def test_a_record_of_many_pointers_costs_little():
    # 2,048 bytes of records, each owner a pointer to the longest way through the first name.
    label = b"\1a" * 126
    question = label + b"\0\0\1\0\1"
    size = len(question) + 12
    count = (dns.MAX_BYTES - size) // 12
    record_bytes = b"\xc0\x0c" + struct.pack(">HHIH", OTHER_TYPE, 1, 0, 0)
    data = struct.pack(">HHHHHH", 1, 0x8180, 1, count, 0, 0) + question + record_bytes * count
    assert dns.parse(data).records == []


def test_every_rcode_has_a_text():
    assert dns.rcode_text(2) == "SERVFAIL" and dns.rcode_text(5) == "REFUSED"
    assert dns.rcode_text(9) == "RCODE 9"

"""The STUN codec: the vectors of RFC 5769 and RFC 8489, round trips, and bad datagrams."""

import binascii
import hashlib

from natwatch.wire import stun
from natwatch.wire.auth import hmac_sha256

try:
    import hmac  # CPython only: MicroPython has neither hmac nor, in Debian's build, sha1
except ImportError:
    hmac = None

unhex = binascii.unhexlify

# RFC 5769, sections 2.1 to 2.4.
REQUEST = unhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
IPV4_RESPONSE = unhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
IPV6_RESPONSE = unhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
LONG_TERM = unhex(
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b"
    "6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
SHORT_TERM_KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
MATRIX = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
LONG_TERM_SECRET = (MATRIX + ":example.org:TheMatrIX").encode()

# RFC 8489, appendix B.1, with the MAC of erratum 6268.
SHA256_REQUEST = unhex(
    "000100902112a44278ad3433c6ad72c029da412e"
    "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c394653547679363473"
    "410000000014000b6578616d706c652e6f726700001d000400020000"
    "001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65"
)

TXID = b"abcdefghijkl"
KEY = bytes(range(32))


def counter_of(call, *arguments):
    """The counter of the StunError that the call raises; None if it raises nothing."""
    try:
        call(*arguments)
    except stun.StunError as error:
        return error.counter
    return None


def sealed_by(data, covered_to):
    """What the MESSAGE-INTEGRITY at offset *covered_to* covers, and the MAC that stands there."""
    covered = stun.integrity_input(data, covered_to, 20)
    return covered, data[covered_to + 4 : covered_to + 24]


def test_the_sample_request_of_rfc_5769_is_read():
    message = stun.parse(REQUEST)
    assert (message.klass, message.method) == (stun.REQUEST, stun.BINDING)
    assert message.cookie == stun.MAGIC_COOKIE
    assert message.txid == unhex("b7e7a701bc34d686fa87dfae")
    assert message.get(stun.SOFTWARE) == "STUN test client"
    assert message.get(stun.USERNAME) == "evtj:h6vY"
    assert message.get(stun.PRIORITY) == 0x6E0001FF
    assert message.get(stun.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.unknown == []


def test_the_sample_responses_of_rfc_5769_name_the_mapped_address():
    for data, address in (
        (IPV4_RESPONSE, "192.0.2.1"),
        (IPV6_RESPONSE, "2001:db8:1234:5678:11:2233:4455:6677"),
    ):
        message = stun.parse(data)
        assert message.klass == stun.SUCCESS
        assert message.get(stun.SOFTWARE) == "test vector"
        assert message.get(stun.XOR_MAPPED_ADDRESS) == (address, 32853)


def test_the_long_term_request_of_rfc_5769_is_read():
    message = stun.parse(LONG_TERM)
    assert message.get(stun.USERNAME) == MATRIX
    assert message.get(stun.REALM) == "example.org"
    assert message.get(stun.NONCE) == b"f//499k954d6OL34oL9FSTvy64sA"


def test_the_fingerprints_of_rfc_5769_are_checked():
    for data in (REQUEST, IPV4_RESPONSE, IPV6_RESPONSE):
        assert counter_of(stun.parse, data) is None
        for spoiled in (4, 25, len(data) - 1):
            changed = bytearray(data)
            changed[spoiled] ^= 1
            assert counter_of(stun.parse, bytes(changed)) == "fingerprint", spoiled


def test_message_integrity_of_rfc_5769_covers_the_right_bytes():
    for data, start in ((REQUEST, 76), (IPV4_RESPONSE, 48), (IPV6_RESPONSE, 60), (LONG_TERM, 92)):
        assert (stun.MESSAGE_INTEGRITY, start + 4, start + 24) in stun.parse(data).spans
        covered, mac = sealed_by(data, start)
        assert len(covered) == start
        # The length as if the message ended with the MAC: FINGERPRINT does not count.
        assert covered[2:4] == bytes([0, start + 24 - 20])
        assert covered[:2] + covered[4:] == data[:2] + data[4:start]
        if hmac is not None:
            key = hashlib.md5(LONG_TERM_SECRET).digest() if data is LONG_TERM else SHORT_TERM_KEY
            assert hmac.new(key, covered, "sha1").digest() == mac


def test_message_integrity_sha256_of_rfc_8489_holds():
    key = hashlib.sha256(LONG_TERM_SECRET).digest()
    message = stun.parse(SHA256_REQUEST)
    assert message.authentic(key)
    assert not message.authentic(key[:-1] + b"?")
    # USERHASH and PASSWORD-ALGORITHM belong to servers with passwords; here they are unknown.
    assert message.unknown == [0x001E, 0x001D]
    for spoiled in range(0, len(SHA256_REQUEST), 7):
        changed = bytearray(SHA256_REQUEST)
        changed[spoiled] ^= 0x10
        try:
            assert not stun.parse(bytes(changed)).authentic(key), spoiled
        except stun.StunError:
            pass


def test_a_built_message_is_authentic_under_its_key_only():
    for size in (16, 20, 32):
        data = stun.build(stun.REQUEST, TXID, [(stun.USERNAME, "box")], KEY, mac=size)
        message = stun.parse(data)
        assert message.authentic(KEY)
        assert not message.authentic(KEY[1:])
    assert not stun.parse(stun.build(stun.REQUEST, TXID, [])).authentic(KEY)


def test_a_mac_shorter_than_16_bytes_is_none():
    for size in (0, 4, 8, 12):
        attributes = [(stun.MESSAGE_INTEGRITY_SHA256, bytes(size))]
        data = stun.build(stun.REQUEST, TXID, attributes, fingerprint=False)
        covered = stun.integrity_input(data, 20, size)
        digest = hmac_sha256(KEY, covered)[:size]
        data = data[: len(data) - size] + digest
        assert not stun.parse(data).authentic(KEY), size


def test_what_a_stranger_appends_behind_the_mac_is_ignored():
    data = stun.build(stun.REQUEST, TXID, [(stun.USERNAME, "box")], KEY, fingerprint=False)
    added = stun.build(stun.REQUEST, TXID, [(stun.HOLD, stun.Hold(True, 1000, 3))], None)[20:-8]
    both = data[:2] + bytes([0, len(data) - 20 + len(added)]) + data[4:] + added
    message = stun.parse(both)
    assert message.authentic(KEY)
    assert not message.has(stun.HOLD)
    assert message.get(stun.USERNAME) == "box"


def plain(value):
    """A value that can be compared: objects become their attributes."""
    return value.__dict__ if hasattr(value, "__dict__") else value


# Every attribute of the extension and all else that either side sends, with a value each.
VALUES = (
    (stun.HOLD, stun.Hold(True, 900000, 3, stun.CHANGE_IP | stun.CHANGE_PORT)),
    (stun.HOLD, stun.Hold(False, 0, 1)),
    (stun.CONTROL, b"\0\0\0\0"),
    (stun.AUDIT, [b"a" * 12, b"b" * 12]),
    (stun.AUDIT, []),
    (stun.CANCEL, [b"c" * 12]),
    (stun.RECORD, stun.Record(b"r" * 12, stun.PUSHED, 2, 1, 3, 40401, ("203.0.113.9", 65535))),
    (stun.RECORD, stun.Record(b"r" * 12, stun.UNSEEN)),
    (stun.PUSH, stun.Pushed(TXID, 2, 3, 0xFFFFFFFF)),
    (stun.WITNESS, stun.Pushed(b"w" * 12, 1, 3, 40001)),
    (stun.FORWARD, stun.Forward(65535, True)),
    (stun.FORWARD, stun.Forward(0, False)),
    (stun.FORWARDED, stun.Forwarded(stun.SILENT, 3)),
    (stun.FORWARDED, stun.Forwarded(stun.ANSWERED, 1, 486, ("203.0.113.9", 5060), "Phone 1.0")),
    (stun.BOOT_ID, b"12345678"),
    (stun.TIME, 1764000000123),
    (stun.NONCE, b"AAAAAAAAAAAAAAAA"),
    (stun.USERNAME, "box-1"),
    (stun.XOR_MAPPED_ADDRESS, ("198.51.100.7", 1)),
    (stun.XOR_MAPPED_ADDRESS, ("2001:db8:0:0:0:0:0:1", 443)),
    (stun.MAPPED_ADDRESS, ("198.51.100.7", 1)),
    (stun.OTHER_ADDRESS, ("198.51.100.8", 3479)),
    (stun.RESPONSE_ORIGIN, ("198.51.100.8", 3479)),
    (stun.CHANGE_REQUEST, 6),
    (stun.ERROR_CODE, (438, "Stale Nonce")),
    (stun.ERROR_CODE, (401, "")),
    (stun.UNKNOWN_ATTRIBUTES, [0x7E51, 0x0002, 0x7FFF]),
    (stun.PADDING, b"12345"),
    (stun.RESPONSE_PORT, b"\x12\x34\0\0"),
)


def test_every_attribute_comes_back_as_it_was_built():
    for number, value in VALUES:
        for klass in (stun.REQUEST, stun.INDICATION, stun.SUCCESS, stun.ERROR):
            message = stun.parse(stun.build(klass, TXID, [(number, value)], KEY))
            name = stun.ATTRIBUTES[number][0]
            assert (message.klass, message.method) == (klass, stun.BINDING), name
            assert plain(message.get(number)) == plain(value), name
            assert message.unknown == []


def test_a_record_tells_more_than_255_requests_as_255():
    record = stun.Record(TXID, stun.HELD, 300, 256)
    message = stun.parse(stun.build(stun.SUCCESS, TXID, [(stun.RECORD, record)]))
    assert message.get(stun.RECORD).requests == 255
    assert message.get(stun.RECORD).answers == 255


def test_the_agent_of_a_forward_is_kept_to_64_bytes_and_absent_where_there_is_none():
    for agent, expected in ((None, None), ("x" * 70, "x" * 64), ("Phone 1.0", "Phone 1.0")):
        one = stun.Forwarded(stun.ANSWERED, 2, 486, ("203.0.113.9", 5060), agent)
        message = stun.parse(stun.build(stun.SUCCESS, TXID, [(stun.FORWARDED, one)]))
        back = message.get(stun.FORWARDED)
        assert back.agent == expected
        assert (back.state, back.sent, back.status) == (stun.ANSWERED, 2, 486)
        assert back.source == ("203.0.113.9", 5060)


def test_an_attribute_that_stands_twice_is_read_once_or_as_a_list():
    attributes = [(stun.USERNAME, "first"), (stun.USERNAME, "second")]
    message = stun.parse(stun.build(stun.REQUEST, TXID, attributes))
    assert message.get(stun.USERNAME) == "first"
    assert message.get_all(stun.USERNAME) == ["first", "second"]


def test_an_absent_attribute_is_the_default():
    message = stun.parse(stun.build(stun.REQUEST, TXID, []))
    assert message.get(stun.NONCE) is None
    assert message.get(stun.NONCE, b"none") == b"none"
    assert message.get_all(stun.RECORD) == []


def test_a_classic_message_keeps_its_16_byte_id():
    data = stun.build(stun.REQUEST, TXID, [], cookie=b"\1\2\3\4", fingerprint=False)
    message = stun.parse(data)
    assert message.cookie + message.txid == b"\1\2\3\4" + TXID
    assert data[4:20] == b"\1\2\3\4" + TXID


def test_unknown_attributes_are_listed_only_where_they_must_be_understood():
    data = unhex("000100102112a442") + TXID
    data += unhex("7ffe00040000000080ff000400000000")
    assert stun.parse(data).unknown == [0x7FFE]


HEAD = unhex("2112a442") + TXID

# What is wrong, the datagram, the counter that must name it.
BAD_DATAGRAMS = (
    ("empty", b"", "short"),
    ("a keepalive", b"\r\n\r\n", "short"),
    ("four NULs", b"\0\0\0\0", "short"),
    ("one byte short of a header", unhex("00010000") + HEAD[:15], "short"),
    ("too long", unhex("000107f0") + HEAD + bytes(2032), "huge"),
    ("RTP", unhex("8000") + bytes(170), "not_stun"),
    ("SIP", b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n", "not_stun"),
    ("a TURN channel", unhex("40000010") + bytes(16), "not_stun"),
    ("a length that is no multiple of 4", unhex("00010003") + HEAD + bytes(3), "length"),
    ("a length beyond the end", unhex("00010008") + HEAD + bytes(4), "length"),
    ("a length before the end", unhex("00010000") + HEAD + bytes(4), "length"),
    (
        "an attribute beyond the end",
        unhex("00010008") + HEAD + unhex("0006000500000000"),
        "attribute_length",
    ),
    (
        "an attribute of 65,535 bytes",
        unhex("00010004") + HEAD + unhex("0006ffff"),
        "attribute_length",
    ),
    (
        "the padding beyond the end",
        unhex("00010008") + HEAD + unhex("0006000580220000"),
        "attribute_length",
    ),
    ("a fingerprint of 0 bytes", unhex("00010004") + HEAD + unhex("80280000"), "fingerprint"),
    (
        "a fingerprint that is not the last",
        unhex("0001000c") + HEAD + unhex("802800040000000080220000"),
        "fingerprint",
    ),
    (
        "a wrong fingerprint",
        unhex("00010008") + HEAD + unhex("8028000400000000"),
        "fingerprint",
    ),
)


def test_every_bad_datagram_is_named_by_its_counter():
    for name, data, counter in BAD_DATAGRAMS:
        assert counter_of(stun.parse, data) == counter, name


def test_a_datagram_of_the_largest_size_is_read():
    data = unhex("000107ec") + HEAD + unhex("802207e8") + bytes(0x7E8)
    assert len(data) == stun.MAX_BYTES
    assert counter_of(stun.parse, data) is None


def whole_message():
    attributes = [entry for entry in VALUES if entry[0] not in (stun.ERROR_CODE, stun.PADDING)]
    return stun.build(stun.REQUEST, TXID, attributes[:12], KEY)


def test_a_message_cut_at_any_byte_is_refused():
    data = whole_message()
    for end in range(len(data)):
        assert counter_of(stun.parse, data[:end]) in ("short", "length"), end


def test_a_message_cut_at_any_byte_that_lies_about_its_length_is_never_authentic():
    data = whole_message()
    for end in range(20, len(data) - 8, 4):  # without FINGERPRINT alone it would be valid
        size = end - 20
        lying = data[:2] + bytes([size >> 8, size & 255]) + data[4:end]
        try:
            assert not stun.parse(lying).authentic(KEY), end
        except stun.StunError as error:
            assert error.counter == "attribute_length", end


# Attribute, value, counter: what each unpacking must refuse.
BAD_VALUES = (
    (stun.MAPPED_ADDRESS, b"", "attribute_length"),
    (stun.MAPPED_ADDRESS, unhex("0001123401020304") + b"\0", "attribute_length"),
    (stun.MAPPED_ADDRESS, unhex("0003123401020304"), "attribute_length"),
    (stun.MAPPED_ADDRESS, unhex("0002123401020304"), "attribute_length"),
    (stun.MAPPED_ADDRESS, unhex("00011234") + bytes(16), "attribute_length"),
    (stun.XOR_MAPPED_ADDRESS, b"\0\1\0", "attribute_length"),
    (stun.XOR_MAPPED_ADDRESS, bytes(21), "attribute_length"),
    (stun.XOR_MAPPED_ADDRESS, bytes(8), "attribute_length"),
    (stun.CHANGE_REQUEST, b"\0\0\0", "attribute_length"),
    (stun.PRIORITY, bytes(5), "attribute_length"),
    (stun.TIME, bytes(4), "attribute_length"),
    (stun.USERNAME, b"\xff\xfe", "attribute_value"),
    (stun.USERNAME, b"x" * 764, "attribute_length"),
    (stun.ERROR_CODE, b"\0\0\4", "attribute_length"),
    (stun.AUDIT, bytes(11), "attribute_length"),
    (stun.CANCEL, bytes(13), "attribute_length"),
    (stun.HOLD, bytes(7), "attribute_length"),
    (stun.HOLD, bytes(9), "attribute_length"),
    (stun.PUSH, bytes(4), "attribute_length"),
    (stun.WITNESS, bytes(8), "attribute_length"),
    (stun.RECORD, bytes(27), "attribute_length"),
    (stun.RECORD, bytes(41), "attribute_length"),
    (stun.FORWARD, bytes(3), "attribute_length"),
    (stun.FORWARDED, bytes(12), "attribute_length"),
    (stun.FORWARDED, bytes(4) + b"\x01" + unhex("0001000000000000"), "attribute_length"),
    (stun.FORWARDED, bytes(4) + b"\x01\xff" + unhex("0001000000000000"), "attribute_value"),
    (stun.RECORD, bytes(12) + b"\x07" + bytes(7) + unhex("0001000000000000"), "attribute_value"),
)


def test_an_attribute_with_an_impossible_value_is_named_by_its_counter():
    for number, value, counter in BAD_VALUES:
        body = bytes([number >> 8, number & 255, len(value) >> 8, len(value) & 255]) + value
        body += bytes(-len(value) % 4)
        data = b"\0\1" + bytes([len(body) >> 8, len(body) & 255]) + HEAD + body
        message = stun.parse(data)
        name = stun.ATTRIBUTES[number][0]
        assert counter_of(message.get, number) == counter, (name, len(value))
        assert counter_of(message.get_all, number) == counter, (name, len(value))

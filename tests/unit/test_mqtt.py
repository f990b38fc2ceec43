"""The MQTT codec: the examples and limits of the standard, chunks, garbage, lying lengths."""

import random

from natwatch.wire import mqtt

# Bytes written by hand from the standard's figures, not by the code under test.
SENT = (
    (
        "connect with a will",
        mqtt.connect("box-1", 60, ("up/state", b"gone")),
        b"\x10\x21\x00\x04MQTT\x04\x0e\x00\x3c\x00\x05box-1\x00\x08up/state\x00\x04gone",
    ),
    (
        "connect without a will",
        mqtt.connect("box-1", 65535, None),
        b"\x10\x11\x00\x04MQTT\x04\x02\xff\xff\x00\x05box-1",
    ),
    ("publish at QoS 0", mqtt.publish("a/b", b"x", 0, None), b"\x30\x06\x00\x03a/bx"),
    ("publish at QoS 1", mqtt.publish("a/b", b"x", 1, 10), b"\x32\x08\x00\x03a/b\x00\x0ax"),
    ("publish nothing", mqtt.publish("a", b"", 1, 65535), b"\x32\x05\x00\x01a\xff\xff"),
    ("acknowledge", mqtt.puback(258), b"\x40\x02\x01\x02"),
    ("subscribe", mqtt.subscribe(1, "d/#", 0), b"\x82\x08\x00\x01\x00\x03d/#\x00"),
    (
        "a topic counts in bytes, not letters",
        mqtt.publish("я", b"", 0, None),
        b"\x30\x04\x00\x02\xd1\x8f",
    ),
)

RECEIVED = (
    (b"\x20\x02\x00\x00", ("connack", False, 0)),
    (b"\x20\x02\x01\x05", ("connack", True, 5)),
    (b"\x30\x06\x00\x03a/bx", ("publish", "a/b", b"x", 0, None)),
    (b"\x32\x08\x00\x03a/b\x00\x0ax", ("publish", "a/b", b"x", 1, 10)),
    (b"\x3b\x08\x00\x03a/b\x00\x0ax", ("publish", "a/b", b"x", 1, 10)),
    (b"\x40\x02\x01\x02", ("puback", 258)),
    (b"\x90\x03\x00\x01\x80", ("suback", 1, (128,))),
    (b"\x90\x04\x00\x02\x00\x01", ("suback", 2, (0, 1))),
    (b"\xd0\x00", ("pingresp",)),
)

REFUSED = (
    ("a packet for a server", b"\x10\x00"),
    ("the reserved type 0", b"\x00\x00"),
    ("the reserved type 15", b"\xf0\x00"),
    ("flags on CONNACK", b"\x21\x02\x00\x00"),
    ("a short CONNACK", b"\x20\x01\x00"),
    ("a long PUBACK", b"\x40\x03\x00\x01\x00"),
    ("a SUBACK without codes", b"\x90\x02\x00\x01"),
    ("a PINGRESP with a body", b"\xd0\x01\x00"),
    ("QoS 2", b"\x34\x08\x00\x03a/b\x00\x0ax"),
    ("QoS 3", b"\x36\x08\x00\x03a/b\x00\x0ax"),
    ("a PUBLISH without a topic", b"\x30\x01\x00"),
    ("a topic longer than its packet", b"\x30\x05\x00\x09a/b"),
    ("no room for the message id", b"\x32\x06\x00\x03a/b\x00"),
    ("a topic that is not UTF-8", b"\x30\x04\x00\x02\xff\xfe"),
    ("a length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
    ("a web server's answer, before it is complete", b"HTTP/1.1"),
    ("a length over the limit", b"\x30\xff\xff\xff\x7f"),
)


def refused(data):
    try:
        mqtt.Decoder().feed(data)
    except mqtt.ProtocolError:
        return True
    return False


def test_packets_are_written_as_the_standard_draws_them():
    for name, found, expected in SENT:
        assert found == expected, (name, found)


def test_packets_are_read_as_the_standard_draws_them():
    for data, expected in RECEIVED:
        assert mqtt.Decoder().feed(data) == [expected], data


def test_a_stream_cut_at_any_byte_gives_the_same_packets():
    stream = b"".join([data for data, _ in RECEIVED])
    whole = [packet for _, packet in RECEIVED]
    for cut in range(len(stream) + 1):
        decoder = mqtt.Decoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == whole, cut
    decoder = mqtt.Decoder()
    drops = []
    for index in range(len(stream)):
        drops += decoder.feed(stream[index : index + 1])
    assert drops == whole


def test_lengths_use_as_many_bytes_as_the_standard_says():
    # Section 2.2.3, table 2.4: where one more byte begins.
    for size, head in ((127, 2), (128, 3), (16383, 3), (16384, 4)):
        payload = bytes(size - 3)
        data = mqtt.publish("a", payload, 0, None)
        assert len(data) == head + size
        assert mqtt.Decoder().feed(data) == [("publish", "a", payload, 0, None)]


def test_malformed_packets_are_refused():
    for name, data in REFUSED:
        assert refused(data), name


def test_a_packet_over_the_limit_is_refused_before_its_body_arrives():
    assert mqtt.Decoder(16).feed(b"\x30\x10") == []
    try:
        mqtt.Decoder(16).feed(b"\x30\x11")
    except mqtt.ProtocolError as error:
        assert error.args[0] == "expected packets of at most 16 bytes, found one of 17"
        return
    raise AssertionError("accepted")


def test_garbage_ends_in_packets_or_a_protocol_error_and_nothing_else():
    random.seed(1)
    for _ in range(2000):
        data = bytes([random.getrandbits(8) for _ in range(random.getrandbits(5))])
        refused(data)


def test_numbers_that_do_not_fit_are_refused_not_cut():
    for keepalive in (-1, 65536):
        try:
            mqtt.connect("box-1", keepalive, None)
        except ValueError:
            continue
        raise AssertionError(keepalive)

"""MQTT 3.1.1, the client's half of the wire (OASIS standard, 29 October 2014).

Bytes to packets and packets to bytes; no socket, no clock, no session. QoS 0 and 1 both
ways, which is all that a device uses. Decoder takes the stream in pieces of any size.

Packets that a client receives, as tuples:

    ("connack", session present, return code)      return code: see REFUSALS
    ("publish", topic, payload, qos, message id)   message id is None at QoS 0
    ("puback", message id)
    ("suback", message id, (granted qos, …))       128 is a refusal
    ("pingresp",)
"""

MAX_PACKET = 65536  # bytes, inbound; a longer one is refused before it is buffered
MAX_MESSAGE_ID = 65535

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

# Section 3.2.2.3, as the end of a sentence "the broker refused us: …".
REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not accept our client id",
    3: "it is not available now",
    4: "bad user name or password",
    5: "we are not authorised",
}

_CLEAN_SESSION = 0x02
_WILL = 0x04
_WILL_QOS_1 = 0x08


class ProtocolError(Exception):
    """The broker sent bytes that are not MQTT 3.1.1; the connection must be closed."""


def connect(client_id, keepalive, will):
    """The bytes of CONNECT with a clean session (3.1). *keepalive* in seconds, 0 to 65535;
    *will* is None or (topic, payload), sent at QoS 1 and not retained."""
    flags = _CLEAN_SESSION
    payload = _field(client_id.encode())
    if will is not None:
        flags |= _WILL | _WILL_QOS_1
        payload += _field(will[0].encode()) + _field(will[1])
    body = _field(b"MQTT") + bytes([4, flags]) + _number(keepalive) + payload
    return _packet(0x10, body)


def publish(topic, payload, qos, message_id):
    """The bytes of PUBLISH (3.3). *payload* is bytes; *message_id* is ignored at QoS 0.

    Never marked as a duplicate: sessions are clean, so what is sent again is a new message to
    the broker, and the collector knows it by its boot and seq.
    """
    head = _field(topic.encode())
    if qos:
        head += _number(message_id)
    return _packet(0x30 | qos << 1, head + payload)


def puback(message_id):
    """The bytes of PUBACK (3.4)."""
    return b"\x40\x02" + _number(message_id)


def subscribe(message_id, topic, qos):
    """The bytes of SUBSCRIBE (3.8) to one topic filter."""
    return _packet(0x82, _number(message_id) + _field(topic.encode()) + bytes([qos]))


def _number(value):
    # Checked here because MicroPython's struct cuts a number that is too large.
    if not 0 <= value <= 65535:
        raise ValueError("expected a number of 16 bits, found %d" % value)
    return bytes([value >> 8, value & 255])


def _field(data):
    return _number(len(data)) + data


def _packet(first, body):
    length = len(body)
    head = bytearray([first])
    while True:
        digit = length & 127
        length >>= 7
        head.append(digit | (128 if length else 0))
        if not length:
            return bytes(head) + body


class Decoder:
    """Cuts a stream of bytes into packets. After a ProtocolError the stream is lost."""

    def __init__(self, max_packet=MAX_PACKET):
        self._max_packet = max_packet
        self._buffer = b""

    def feed(self, data):
        """The list of packets that *data* completes. Raises ProtocolError."""
        self._buffer += data
        packets = []
        start = 0
        while True:
            extent = self._extent(start)
            if extent is None or extent[1] > len(self._buffer):
                break
            body_start, end = extent
            first, body = self._buffer[start], self._buffer[body_start:end]
            packets.append(_PARSERS[first >> 4](first & 15, body))
            start = end
        self._buffer = self._buffer[start:]
        return packets

    def _extent(self, start):
        """(start of the body, end) of the packet at *start*; None if its length is not here."""
        if start < len(self._buffer):
            _check_type(self._buffer[start])  # before its body: HTTP must not make us wait
        length = 0
        for place in range(4):
            index = start + 1 + place
            if index >= len(self._buffer):
                return None
            digit = self._buffer[index]
            length |= (digit & 127) << 7 * place
            if not digit & 128:
                if length > self._max_packet:
                    raise ProtocolError(
                        "expected packets of at most %d bytes, found one of %d"
                        % (self._max_packet, length)
                    )
                return index + 1, index + 1 + length
        raise ProtocolError("expected a length of at most 4 bytes, found a longer one")


def _check_type(first):
    parser = _PARSERS.get(first >> 4)
    if parser is None:
        raise ProtocolError("expected a packet for a client, found type %d" % (first >> 4))
    # Section 2.2.2: the flags are fixed for every type but PUBLISH.
    if parser is not _publish and first & 15:
        raise ProtocolError("expected flags 0 on type %d, found %d" % (first >> 4, first & 15))


def _sized(body, size, name):
    if len(body) != size:
        raise ProtocolError("expected %s of %d bytes, found %d" % (name, size, len(body)))


def _connack(flags, body):
    _sized(body, 2, "CONNACK")
    return "connack", bool(body[0] & 1), body[1]


def _publish(flags, body):
    qos = flags >> 1 & 3
    if qos > 1:
        raise ProtocolError("expected QoS 0 or 1 as subscribed, found %d" % qos)
    if len(body) < 2:
        raise ProtocolError("expected a topic, found the end of the packet")
    end = 2 + (body[0] << 8 | body[1])
    payload_start = end + 2 if qos else end
    if payload_start > len(body):
        raise ProtocolError(
            "expected a topic of %d bytes in PUBLISH, found %d" % (end - 2, len(body) - 2)
        )
    try:
        topic = str(body[2:end], "utf-8")
    except ValueError:  # UnicodeError is one, on both interpreters
        raise ProtocolError("expected a topic in UTF-8, found other bytes")
    message_id = (body[end] << 8 | body[end + 1]) if qos else None
    return "publish", topic, body[payload_start:], qos, message_id


def _puback(flags, body):
    _sized(body, 2, "PUBACK")
    return "puback", body[0] << 8 | body[1]


def _suback(flags, body):
    if len(body) < 3:
        raise ProtocolError("expected SUBACK of at least 3 bytes, found %d" % len(body))
    return "suback", body[0] << 8 | body[1], tuple(body[2:])


def _pingresp(flags, body):
    _sized(body, 0, "PINGRESP")
    return ("pingresp",)


_PARSERS = {2: _connack, 3: _publish, 4: _puback, 9: _suback, 13: _pingresp}

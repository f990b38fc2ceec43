"""wire/mqtt.py: the broker's stream at the probe, and that what the probe sends is read as meant.

The first byte says how the stream is cut, and which packet of ours is made of the rest.
"""

from natwatch.wire import mqtt

SEEDS = [
    b"\3" + b"\x20\2\0\0" + b"\x90\3\0\1\0" + mqtt.publish("natwatch/box/down/ack", b"{}", 0, 0),
    b"\1" + mqtt.publish("natwatch/box/down/command", b"x" * 200, 1, 77) + mqtt.puback(9),
    b"\x7f" + b"\xd0\0" + b"\x90\4\0\1\0\x80" + b"\x20\2\1\5",
]
WORDS = [
    b"\x20\2\0\0",
    b"\x30",
    b"\x32",
    b"\x40\2\0\1",
    b"\x90\3\0\1\1",
    b"\xd0\0",
    b"\xff\xff\xff\x7f",
]


def one(data: bytes) -> None:
    step = data[0] % 64 + 1 if data else 1
    stream = data[1:]
    assert _fed(stream, step) == _fed(stream, len(stream) or 1)  # cuts make no difference
    _ours(data)


def _fed(stream: bytes, step: int) -> tuple[list[tuple[object, ...]], bool]:
    decoder = mqtt.Decoder(4096)
    packets: list[tuple[object, ...]] = []
    for start in range(0, len(stream), step):
        try:
            packets += decoder.feed(stream[start : start + step])
        except mqtt.ProtocolError as error:
            assert str(error)
            # What came before the bad packet may or may not have been handed out.
            return [], True
        assert len(decoder._buffer) <= 4096 + 5
    return packets, False


def _ours(data: bytes) -> None:
    topic = data[1:9].decode("utf-8", "replace")
    qos, number = (data[0] >> 6 & 1, len(data) % 65535 + 1) if data else (0, 1)
    [packet] = mqtt.Decoder().feed(mqtt.publish(topic, data, qos, number))
    assert packet == ("publish", topic, data, qos, number if qos else None)
    assert mqtt.connect(topic, 60, (topic, data))[0] == 0x10
    assert mqtt.subscribe(number, topic, 0)[0] == 0x82

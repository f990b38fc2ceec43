"""The driver of the broker link with our own MQTT codec: for MicroPython, runs on both."""

from natwatch.daemon.connection import Connection
from natwatch.port.stream import StreamClosed
from natwatch.wire import mqtt

# A turn of the loop reads no more pieces than this, lest a flood from the broker hold up the
# probes' timers; next_timer() asks for another turn at once, since poll() does not see what
# TLS has read already.
_READS = 64


class Driver(Connection):
    """See connection.py for the calls."""

    def __init__(self, endpoint, client_id, keepalive, will):
        Connection.__init__(self, endpoint, client_id, keepalive, will)
        self._decoder = mqtt.Decoder()
        self._out = []  # packets, the first perhaps written in part
        self._message_id = 0
        self._unacknowledged = set()
        self._unread = False
        self._spoke = self._heard = 0  # ms: last packet queued, last bytes read
        self._pinged = None  # ms: a PINGREQ that nothing has answered yet

    def subscribe(self, topic, qos):
        self._queue(mqtt.subscribe(self._next_id(), topic, qos))

    def publish(self, topic, payload, qos):
        message_id = self._next_id()
        if qos:
            self._unacknowledged.add(message_id)
        self._queue(mqtt.publish(topic, payload, qos, message_id))
        return message_id

    def _greet(self, now):
        self._spoke = self._heard = now
        self._out.append(mqtt.connect(self._client_id, self._keepalive_s, self._will))

    def _exchange(self, now):
        self._unread = False
        for _ in range(_READS):
            data = self._stream.read()
            if data is None:
                break
            self._heard = now
            self._pinged = None
            for packet in self._decoder.feed(data):
                self._receive(packet)
        else:
            self._unread = True
        self._flush()

    def _farewell(self):
        self._out.append(mqtt.DISCONNECT)
        self._flush()

    def _keepalive_timer(self):
        return 0 if self._unread else self._silence_timer()

    def _silence_timer(self):
        keepalive = self._keepalive_s * 1000
        if self._pinged is not None:
            return self._pinged + keepalive // 2
        return min(self._spoke, self._heard) + keepalive

    def _keepalive(self, now):
        if self._unread:
            self._exchange(now)
        if now < self._silence_timer():
            return
        if self._pinged is not None:
            raise StreamClosed("no answer for %d s" % ((now - self._heard) // 1000))
        self._pinged = self._spoke = now
        self._out.append(mqtt.PINGREQ)
        self._flush()

    def _receive(self, packet):
        name = packet[0]
        if not self._connected:
            self._receive_first(packet)
        elif name == "publish":
            if packet[3]:
                self._out.append(mqtt.puback(packet[4]))
            self._events.append(("message", packet[1], packet[2]))
        elif name == "puback":
            if packet[1] in self._unacknowledged:
                self._unacknowledged.remove(packet[1])
                self._events.append(("published", packet[1]))
        elif name == "suback" and 128 in packet[2]:
            raise StreamClosed("it refused our subscription: look at its access list")
        elif name == "connack":
            raise mqtt.ProtocolError("expected one CONNACK, found another")

    def _receive_first(self, packet):
        if packet[0] != "connack":
            raise mqtt.ProtocolError("expected CONNACK first, found %s" % packet[0].upper())
        if packet[2]:
            reason = mqtt.REFUSALS.get(packet[2], "code %d" % packet[2])
            raise StreamClosed("it refused us: %s" % reason)
        self._accepted()

    def _queue(self, packet):
        self._out.append(packet)
        self._guard(self._flush)

    def _flush(self):
        # Packet by packet: after a partial write mbedTLS must be offered the same bytes.
        while self._out:
            count = self._stream.write(self._out[0])
            if count < len(self._out[0]):
                self._out[0] = self._out[0][count:]
                return
            self._out.pop(0)

    def _next_id(self):
        while True:
            self._message_id = self._message_id % mqtt.MAX_MESSAGE_ID + 1
            if self._message_id not in self._unacknowledged:
                return self._message_id

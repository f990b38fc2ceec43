"""The driver of the broker link with paho-mqtt 2: for CPython.

paho gets a connection that is open already, ours: its own connect() waits for TCP, TLS and
the look-up of the name, and so would the probes' timers. Each connection has a paho client of
its own, because a client sends what it has queued again on the next connection, all at once.
"""

import struct

from paho.mqtt.client import (
    MQTT_ERR_SUCCESS,
    CallbackAPIVersion,
    Client,
    MQTTv311,
    error_string,
)

from natwatch.daemon.connection import Connection
from natwatch.port.stream import StreamClosed
from natwatch.wire.mqtt import MAX_PACKET, ProtocolError

_READS = 64  # packets a turn, as in link_own


class _Socket:
    """Our stream with the five methods that paho wants of a socket."""

    def __init__(self, stream):
        self._stream = stream
        self._unread = b""

    def recv(self, size):
        # paho has no limit of its own, but it always asks for all that a packet lacks.
        if size > MAX_PACKET:
            raise ProtocolError(
                "expected packets of at most %d bytes, found one of %d" % (MAX_PACKET, size)
            )
        if not self._unread:
            self._unread = self._stream.read() or b""
        if not self._unread:
            raise BlockingIOError
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def send(self, data):
        count = self._stream.write(data)
        if not count:
            raise BlockingIOError
        return count

    def has_unread(self):
        if not self._unread:
            self._unread = self._stream.read() or b""
        return bool(self._unread)

    def fileno(self):
        return self._stream.fileno()

    def setblocking(self, flag):
        pass  # it never blocks

    def close(self):
        pass  # the connection closes its stream itself


class _Client(Client):
    def __init__(self, socket, client_id):
        Client.__init__(self, CallbackAPIVersion.VERSION2, client_id, True, protocol=MQTTv311)
        self._ours = socket

    def _create_socket(self):
        # Not public, but the one place, from paho 1.6 to 2.2, where a socket is made; the
        # interop suite fails if a later paho stops asking here.
        return self._ours


class Driver(Connection):
    """See connection.py for the calls. The time handed in rules the connecting; paho's own
    keepalive reads time.monotonic() itself."""

    def __init__(self, endpoint, client_id, keepalive, will):
        Connection.__init__(self, endpoint, client_id, keepalive, will)
        self._socket = None
        self._client = None
        self._unread = False
        self._refusal = None
        self._next_look = 0  # ms, when paho looks at its keepalive next

    def subscribe(self, topic, qos):
        self._guard(self._client.subscribe, topic, qos)

    def publish(self, topic, payload, qos):
        info = self._guard(self._client.publish, topic, payload, qos)
        return info.mid if info else None

    def _greet(self, now):
        self._socket = _Socket(self._stream)
        self._client = _Client(self._socket, self._client_id)
        self._client.will_set(self._will[0], self._will[1], qos=1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._next_look = now
        # The address is only remembered: _create_socket() decides.
        self._client.connect(self._endpoint.host, self._endpoint.port, self._keepalive_s)

    def _exchange(self, now):
        self._unread = False
        try:
            for _ in range(_READS):
                if not self._socket.has_unread():
                    break
                self._check(self._client.loop_read())
            else:
                self._unread = True
            if self._client.want_write():
                self._check(self._client.loop_write())
        except (ValueError, IndexError, struct.error) as error:
            # paho's parser meets bytes from outside with these.
            raise ProtocolError(str(error)) from error

    def _farewell(self):
        self._client.disconnect()

    def _keepalive_timer(self):
        return 0 if self._unread else self._next_look

    def _keepalive(self, now):
        if self._unread:
            self._exchange(now)
        if now < self._next_look:
            return
        self._next_look = now + self._keepalive_s * 250
        if self._client.loop_misc() != MQTT_ERR_SUCCESS:
            raise StreamClosed("no answer for %d s" % self._keepalive_s)

    def _check(self, code):
        if self._refusal:
            raise StreamClosed(self._refusal)
        if code != MQTT_ERR_SUCCESS:
            raise ProtocolError(error_string(code))

    def _on_connect(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            self._refusal = "it refused us: %s" % reason
        else:
            self._accepted()

    def _on_subscribe(self, client, userdata, message_id, reasons, properties):
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refused our subscription: look at its access list"

    def _on_publish(self, client, userdata, message_id, reason, properties):
        self._events.append(("published", message_id))

    def _on_message(self, client, userdata, message):
        self._events.append(("message", message.topic, message.payload))

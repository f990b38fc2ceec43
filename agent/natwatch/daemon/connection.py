"""What both drivers of the broker link do alike: open the stream in time, end once.

A driver is an engine over one connection; the link makes a new one for each. Its calls:

    Driver(endpoint, client_id, keepalive, will)   seconds; will is (topic, payload)
    connect(now)                                   begins, once
    fileno() interest() ready(mask, now)           for the poll loop
    next_timer() handle_timer(now)                 int milliseconds, None for never
    subscribe(topic, qos)
    publish(topic, payload, qos) -> message id     once it is connected
    take_events() -> [("connected",), ("published", message id),
                      ("message", topic, payload), ("closed", reason)]
    close()                                        says goodbye if it can; no event follows
    abort()                                        the same without a word

"closed" comes once, last, and never before connect(); "published" is the broker's PUBACK.
"""

from natwatch.port.stream import Stream, StreamClosed
from natwatch.wire.mqtt import ProtocolError

CONNECT_TIME = 20000  # ms for TCP, TLS and CONNACK together


class Connection:
    """The base of the drivers. They give _greet (send CONNECT), _exchange (read and write
    what can be), _farewell, _keepalive_timer and _keepalive."""

    def __init__(self, endpoint, client_id, keepalive, will):
        self._endpoint = endpoint
        self._client_id = client_id
        self._keepalive_s = keepalive
        self._will = will
        self._stream = None
        self._greeted = False
        self._connected = False  # the broker has accepted us
        self._ended = False
        self._deadline = None
        self._events = []

    def connect(self, now):
        self._deadline = now + CONNECT_TIME
        self._guard(self._open)

    def fileno(self):
        return self._stream.fileno() if self._stream else -1

    def interest(self):
        return self._stream.interest() if self._stream else 0

    def ready(self, mask, now):
        # The mask tells nothing that the stream's own errors do not tell better.
        self._guard(self._turn, now)

    def next_timer(self):
        if self._ended or self._deadline is None:
            return None
        return self._keepalive_timer() if self._connected else self._deadline

    def handle_timer(self, now):
        if self._connected:
            self._guard(self._keepalive, now)
        elif self._deadline is not None and now >= self._deadline:
            self._end("no answer within %d s" % (CONNECT_TIME // 1000))

    def take_events(self):
        events, self._events = self._events, []
        return events

    def close(self):
        if self._connected:
            self._guard(self._farewell)
        self.abort()

    def abort(self):
        self._ended = True
        self._hang_up()
        self._events = []

    def _open(self):
        self._stream = Stream(self._endpoint)

    def _turn(self, now):
        if not self._stream.progress():
            return
        if not self._greeted:
            self._greeted = True
            self._greet(now)
        self._exchange(now)

    def _guard(self, step, *arguments):
        """Runs *step* unless the connection has ended; its trouble ends the connection."""
        if self._ended:
            return None
        try:
            return step(*arguments)
        except StreamClosed as error:
            self._end(error.args[0])
        except ProtocolError as error:
            self._end("it sent what is not MQTT: %s" % error.args[0])
        except MemoryError:  # a long packet, or a bundle of hundreds of CAs, on a small heap
            self._end("there is not enough memory for this connection")

    def _accepted(self):
        self._connected = True
        self._events.append(("connected",))

    def _end(self, reason):
        if not self._ended:
            self._ended = True
            self._hang_up()
            self._events.append(("closed", reason))

    def _hang_up(self):
        self._connected = False
        if self._stream:
            self._stream.close()
            self._stream = None

"""Messages from one MQTT broker (paho-mqtt 2). A new client for each connection, so that
nothing queued for an old one survives it; brokers keep nothing, sessions are clean.
"""

import logging
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from natwatch.wire import telemetry

from .counts import Counts
from .fair import FairQueue
from .ingest import Ranges
from .messages import Message

log = logging.getLogger("natwatch.collector")

TOPICS = "natwatch/+/up/#"
# A longer packet stays at the broker, which drops it for us alone (MQTT 5, 3.1.2.11.4); twice
# what a device may send, so that who sends a little more is still seen.
PACKET_BYTES = 2 * telemetry.MAX_BYTES + 1024  # a little more than our broker lets in
KEPT_BYTES = 4096  # of a message that is too long to be a report
PATIENCE_S = 1.0  # how long a message waits for room in it, and so holds the broker back
KEEPALIVE_S = 30
BACKOFF_S = (0.5, 30.0)  # the first pause after a failure, and the longest
LOST = "the connection was lost"
UNANSWERED = (
    "it closed the connection before it answered; does that port want TLS (--ca) and a"
    " certificate (--certificate, --key)?"
)


class MqttSource:
    """A pipeline.Source. start() it, and stop() it at the end; it connects by itself, and
    again after each failure. *tls* None: plain TCP.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, counts: Counts) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._counts = counts
        self._queue = FairQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._client: paho.Client | None = None
        self._trouble = ""  # as last said; empty while connected
        self._pause = BACKOFF_S[0]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leave the broker. Returns within a few seconds whatever the network does."""
        self._stopping.set()
        self._thread.join(timeout=3)

    def receive(self, limit: int, gather_s: float) -> list[Message]:
        """See pipeline.Source. Returns nothing after half a second without a message."""
        return self._queue.get(limit, 0.5, gather_s)

    def settle(self, messages: list[Message], acks: Mapping[tuple[str, str], Ranges]) -> None:
        """Tell the devices. One that does not hear it sends again, and is told again."""
        client = self._client
        if client is None:
            return
        for (device, boot), ranges in acks.items():
            client.publish(f"natwatch/{device}/down/ack", telemetry.encode_ack(boot, ranges), 0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            reason = self._connection()
            if self._stopping.is_set():
                return
            self._say_away(reason)
            self._stopping.wait(self._pause * random.uniform(0.5, 1.5))
            self._pause = min(self._pause * 2, BACKOFF_S[1])

    def _connection(self) -> str:
        """Connect and stay connected; the reason of the end."""
        ended: queue.Queue[str] = queue.Queue()
        client = self._new_client(ended.put)
        try:
            client.connect(self._host, self._port, KEEPALIVE_S, properties=_limits())
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not to be trusted: {error.verify_message}"
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)
        # From here on only paho's own thread touches the socket: acknowledgements are queued
        # to it by the thread that commits.
        client.loop_start()
        thread = client._thread  # nothing public tells that it has died, and we would be deaf
        self._client = client
        reason = "stopped"
        while not self._stopping.is_set():
            try:
                reason = ended.get(timeout=0.2)
                break
            except queue.Empty:
                if thread is None or not thread.is_alive():
                    reason = "the thread that reads from it has died; a fault of this program"
                    break
        self._client = None
        client.disconnect()
        client.loop_stop()
        return reason

    def _new_client(self, end: Callable[[str], None]) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        if self._tls is not None:
            client.tls_set_context(self._tls)
        answered = threading.Event()

        def connected(_client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
            answered.set()
            if code.is_failure:
                end(f"it refused the connection: {code}")
            else:
                client.subscribe(TOPICS, qos=1)

        def subscribed(_client: Any, _data: Any, _mid: int, codes: Any, _more: Any) -> None:
            if any(code.is_failure for code in codes):
                end(f"it refused the subscription to {TOPICS}; its ACL must allow it")
            else:
                self._say_well()

        def lost(_client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
            end(f"{LOST}: {code}" if answered.is_set() else UNANSWERED)

        client.on_connect = connected
        client.on_disconnect = lost
        client.on_subscribe = subscribed
        client.on_message = self._take
        return client

    def _take(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        """Queue one message. paho answers the broker after it, which is early but harmless:
        the device waits for our acknowledgement, not for the broker's.
        """
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._counts.dropped("unknown_topic", "?", "a topic that is not UTF-8")
            return
        payload, cut = bytes(message.payload), 0
        if len(payload) > telemetry.MAX_BYTES:
            payload, cut = payload[:KEPT_BYTES], len(payload) - KEPT_BYTES
        one = Message(topic, payload, time.time(), cut)
        for reason, device in self._queue.put(one, PATIENCE_S):
            self._counts.dropped(reason, device)

    def _say_away(self, reason: str) -> None:
        said, self._trouble = self._trouble, reason
        # "lost", and a moment later "refused", are one trouble
        if reason != said and not said.startswith(LOST):
            log.error("broker %s:%d is away: %s; trying again", self._host, self._port, reason)

    def _say_well(self) -> None:
        log.warning(
            "broker %s:%d: %s", self._host, self._port, "back" if self._trouble else "connected"
        )
        self._trouble = ""
        self._pause = BACKOFF_S[0]


def _limits() -> Properties:
    limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    limits.MaximumPacketSize = PACKET_BYTES
    return limits

"""The link to the provider's broker: the whole policy; the drivers below it only carry.

    WAITING --time--> CONNECTING --CONNACK--> UP
       ^                  |                    |
       +----- closed -----+------ closed ------+

Brokers are tried in their order, one after the other, then after a pause from the first
again. The pause is random between a second and a ceiling that doubles from 4 s to two minutes
with each round that failed, so that a broker's restart does not bring all devices at once. A
connection that was up for less than STEADY counts as a failure, or two devices with one
identity would throw each other out without end; and after one the next "connected" is said
only when it has been up for STEADY, or each of their turns would be two lines in the log.

When up: subscribe to ``down/#`` at QoS 0, publish the birth, then hand reports from the spool
(which holds the window and the resending). The spool lets go of nothing before the collector
says that it is stored: a PUBACK proves nothing about disk. Every connection has a number,
``conn``, in its will and in its birth, so that a late will of an old connection loses.
"""

import json

from natwatch.wire import telemetry

KEEPALIVE = 60  # s
FIRST_CEILING = 4000  # ms
LAST_CEILING = 120000
SHORTEST_PAUSE = 1000
# A broker that takes reports and confirms none is stuck, whatever its TCP says.
CONFIRM_TIME = 30000
STEADY = 60000  # more than CONFIRM_TIME: to be stuck from the start is not to be steady


class Link:
    """Keeps *device* connected to one of *brokers* (a list of Endpoint) and drains *spool*.

    *make_driver* is a driver's class (connection.py), *random* gives floats in [0, 1), and
    *describe(now)* the birth's own fields, a dict. Times are int milliseconds. Events:

        ("up",)              connected, birth sent
        ("down", reason)     was up, is no longer
        ("command", bytes)   from down/command, not yet checked
        ("say", sentence)    for the log: each trouble once, and once that it is over

    dropped: {"bad_ack": …, "foreign_boot": …, "unknown_topic": …}, always these three names:
    how many messages from above were not used.
    """

    def __init__(self, device, brokers, spool, make_driver, random, describe):
        if not brokers:
            raise ValueError("expected at least one broker, found none")
        self.dropped = {"bad_ack": 0, "foreign_boot": 0, "unknown_topic": 0}
        self._topic = "natwatch/%s/" % device
        self._device = device
        self._brokers = brokers
        self._spool = spool
        self._make_driver = make_driver
        self._random = random
        self._describe = describe
        self._events = []
        self._driver = None
        self._choice = 0  # index of the broker that is tried or used
        self._retry_at = None  # ms, set while waiting
        self._rounds = 0  # failed in a row
        self._conn = 0
        self._up_since = None  # ms, set while up
        self._tell_at = None  # ms, set while up and "connected" is not said yet
        self._doubted = False  # was the last connection up for less than STEADY?
        self._unconfirmed = {}  # message id: ms of its publish
        self._troubles = {}  # index of a broker: the sentence said about it

    def start(self, now):
        self._try(now)

    def fileno(self):
        return self._driver.fileno() if self._driver else -1

    def interest(self):
        return self._driver.interest() if self._driver else 0

    def ready(self, mask, now):
        if self._driver:
            self._driver.ready(mask, now)
            self._proceed(now)

    def next_timer(self):
        """ms, None before start() and after close(); a past time means at once."""
        if not self._driver:
            return self._retry_at
        timers = [self._driver.next_timer()]
        if self._up_since is not None:
            timers += [self._spool.next_timer(), self._confirm_timer(), self._tell_at]
        return min([timer for timer in timers if timer is not None], default=None)

    def handle_timer(self, now):
        if self._driver:
            self._driver.handle_timer(now)
            self._proceed(now)
            if self._overdue(now):
                self._driver.close()
                self._lose("it confirmed nothing for %d s" % (CONFIRM_TIME // 1000), now)
            self._tell(now)
        elif self._retry_at is not None and now >= self._retry_at:
            self._try(now)

    def take_events(self):
        events, self._events = self._events, []
        return events

    def close(self):
        """Says goodbye: a clean end keeps the broker from sending the will, so we do."""
        if self._driver:
            if self._up_since is not None:
                self._driver.publish(self._topic + "up/state", self._state(False, {}), 1)
            self._driver.close()
        self._driver = self._retry_at = self._up_since = self._tell_at = None

    def abandon(self, reason, now):
        """Something here raised: this connection ends, in whatever state it is."""
        driver, self._driver = self._driver, None
        self._retry_at = now + LAST_CEILING  # should the rest of this raise as well
        if driver:
            driver.abort()
        self._lose(reason, now)

    def _try(self, now):
        self._retry_at = None
        self._conn += 1
        will = self._topic + "up/state", self._state(False, {})
        broker = self._brokers[self._choice]
        self._driver = self._make_driver(broker, self._device, KEEPALIVE, will)
        self._driver.connect(now)
        self._proceed(now)

    def _proceed(self, now):
        """Does what the driver's events ask for and sends what the window has room for, until
        neither is left: sending can end the connection, and no poll would tell us."""
        while self._driver:
            events = self._driver.take_events()
            for event in events:
                self._obey(event, now)
            if not events and not self._send_next(now):
                return

    def _obey(self, event, now):
        name = event[0]
        if name == "connected":
            self._rise(now)
        elif name == "published":
            self._unconfirmed.pop(event[1], None)
        elif name == "message":
            self._receive(event[1], event[2])
        else:
            self._lose(event[1], now)

    def _send_next(self, now):
        report = self._spool.next(now) if self._up_since is not None else None
        if report is None:
            return False
        self._publish("up/report", report, now)
        return True

    def _rise(self, now):
        self._up_since = now
        self._driver.subscribe(self._topic + "down/#", 0)
        self._publish("up/state", self._state(True, self._describe(now)), now)
        self._tell_at = now + STEADY if self._doubted else now
        self._tell(now)
        self._events.append(("up",))

    def _tell(self, now):
        """Says that the troubles are over, once that is to be believed."""
        if self._tell_at is not None and now >= self._tell_at:
            self._tell_at = None
            self._troubles = {}
            self._say("connected to the broker %s" % self._brokers[self._choice])

    def _publish(self, topic, payload, now):
        message_id = self._driver.publish(self._topic + topic, payload, 1)
        if message_id is not None:  # else its "closed" is on the way
            self._unconfirmed[message_id] = now

    def _state(self, online, more):
        state = {"online": online, "boot": self._spool.boot, "conn": self._conn}
        state.update(more)
        return json.dumps(state).encode()

    def _receive(self, topic, payload):
        if topic == self._topic + "down/ack":
            try:
                boot, ranges = telemetry.decode_ack(payload)
            except (ValueError, MemoryError):  # a router's heap is small
                self.dropped["bad_ack"] += 1
                return
            if not self._spool.knows(boot):
                self.dropped["foreign_boot"] += 1
            self._spool.acknowledge(boot, ranges)
        elif topic == self._topic + "down/command":
            self._events.append(("command", payload))
        else:
            self.dropped["unknown_topic"] += 1

    def _lose(self, reason, now):
        """The connection, or the attempt at one, has ended: decide which broker is next, when."""
        self._driver = None
        self._unconfirmed = {}
        self._spool.requeue()
        self._complain(reason)
        steady = False
        if self._up_since is not None:
            self._events.append(("down", reason))
            steady = now - self._up_since >= STEADY
            self._doubted = not steady
            self._up_since = self._tell_at = None
        if steady:
            self._choice = self._rounds = 0
            self._retry_at = now + self._pause()
        elif self._choice + 1 < len(self._brokers):
            self._choice += 1
            self._retry_at = now
        else:
            self._choice = 0
            self._retry_at = now + self._pause()
            self._rounds += 1

    def _pause(self):
        # No power greater than needed: years of failures must not make a huge number.
        ceiling = min(LAST_CEILING, FIRST_CEILING << min(self._rounds, 10))
        return SHORTEST_PAUSE + int(self._random() * (ceiling - SHORTEST_PAUSE))

    def _complain(self, reason):
        if self._troubles.get(self._choice) != reason:
            self._troubles[self._choice] = reason
            broker = self._brokers[self._choice]
            self._say("broker %s: %s; it will be tried again" % (broker, reason))

    def _say(self, sentence):
        self._events.append(("say", sentence))

    def _confirm_timer(self):
        if not self._unconfirmed:
            return None
        return min(self._unconfirmed.values()) + CONFIRM_TIME

    def _overdue(self, now):
        timer = self._confirm_timer()
        return timer is not None and now >= timer

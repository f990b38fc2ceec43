"""The link's policy over a driver that only records: window, resending, back-off, acks."""

import json

from natwatch.daemon.link import CONFIRM_TIME, LAST_CEILING, SHORTEST_PAUSE, STEADY, Link
from natwatch.daemon.spool import RESEND, WINDOW, Spool
from natwatch.wire import telemetry

BOOT = "0123456789abcdef"
UP = "natwatch/box-1/up/"
DOWN = "natwatch/box-1/down/"


class FakeDriver:
    """Records what the link asks for; the test plays the broker through its events."""

    def __init__(self, endpoint, client_id, keepalive, will):
        self.endpoint = endpoint
        self.client_id = client_id
        self.will = will
        self.calls = []
        self.published = []  # (topic, payload), in order; the message id is the place from 1
        self.events = []
        self.closed = False

    def connect(self, now):
        self.calls.append("connect")

    def fileno(self):
        return 7

    def interest(self):
        return 1

    def ready(self, mask, now):
        pass

    def next_timer(self):
        return None

    def handle_timer(self, now):
        pass

    def subscribe(self, topic, qos):
        self.calls.append(("subscribe", topic, qos))

    def publish(self, topic, payload, qos):
        assert qos == 1
        self.calls.append("publish")
        self.published.append((topic, payload))
        return len(self.published)

    def take_events(self):
        events, self.events = self.events, []
        return events

    def close(self):
        self.closed = True


class Bench:
    """A link with its spool, and the drivers that it made, newest last."""

    def __init__(self, brokers=("first",), reports=0, random=0.5):
        self.drivers = []
        self.spool = Spool(BOOT)
        self.events = []
        for _ in range(reports):
            self.report()

        def make_driver(*arguments):
            self.drivers.append(FakeDriver(*arguments))
            return self.drivers[-1]

        def describe(now):
            return {"mono": now / 1000, "version": "0.1.0"}

        self.link = Link("box-1", list(brokers), self.spool, make_driver, lambda: random, describe)
        self.link.start(0)

    def report(self):
        self.spool.append("lifetime", {}, None, "none", 1)

    def happen(self, event, now=0):
        """The newest driver reports *event*."""
        self.drivers[-1].events.append(event)
        self.link.ready(1, now)
        self.events += self.link.take_events()

    def message(self, topic, payload, now=0):
        self.happen(("message", topic, payload), now)

    def wait(self):
        """Lets the link's next timer run out; returns the time."""
        now = self.link.next_timer()
        self.link.handle_timer(now)
        self.events += self.link.take_events()
        return now

    def confirm_all(self, now=0):
        for message_id in range(1, len(self.drivers[-1].published) + 1):
            self.happen(("published", message_id), now)

    def reports(self):
        """The seqs of the reports published by the newest driver."""
        published = self.drivers[-1].published
        return [telemetry.decode(p).seq for topic, p in published if topic == UP + "report"]

    def said(self):
        return [event[1] for event in self.events if event[0] == "say"]


def numbers(first, last):
    return list(range(first, last + 1))


def test_birth_follows_the_subscription_and_carries_the_wills_connection_number():
    bench = Bench(reports=1)
    driver = bench.drivers[0]
    assert (driver.endpoint, driver.client_id) == ("first", "box-1")
    assert driver.will[0] == UP + "state"
    assert json.loads(driver.will[1]) == {"online": False, "boot": BOOT, "conn": 1}
    bench.happen(("connected",), 2500)
    assert driver.calls == ["connect", ("subscribe", DOWN + "#", 0), "publish", "publish"]
    assert driver.published[0][0] == UP + "state"
    birth = {"online": True, "boot": BOOT, "conn": 1, "mono": 2.5, "version": "0.1.0"}
    assert json.loads(driver.published[0][1]) == birth
    assert ("up",) in bench.events


def test_each_connection_has_a_number_of_its_own():
    bench = Bench()
    bench.happen(("closed", "refused"))
    bench.wait()
    assert json.loads(bench.drivers[1].will[1])["conn"] == 2
    bench.happen(("connected",))
    assert json.loads(bench.drivers[1].published[0][1])["conn"] == 2


def test_nothing_is_published_before_the_broker_has_accepted_us():
    bench = Bench(reports=3)
    bench.link.handle_timer(5)
    assert bench.drivers[0].published == []


def test_at_most_20_reports_are_outstanding():
    bench = Bench(reports=WINDOW + 10)
    bench.happen(("connected",))
    assert bench.reports() == numbers(1, WINDOW)
    bench.confirm_all()
    assert bench.reports() == numbers(1, WINDOW)  # a PUBACK opens nothing
    bench.message(DOWN + "ack", telemetry.encode_ack(BOOT, [(1, 3)]))
    assert bench.reports() == numbers(1, WINDOW + 3)


def test_a_puback_releases_nothing():
    bench = Bench(reports=2)
    bench.happen(("connected",))
    bench.confirm_all()
    assert len(bench.spool) == 2


def test_a_range_acknowledgement_releases():
    bench = Bench(reports=3)
    bench.happen(("connected",))
    bench.message(DOWN + "ack", telemetry.encode_ack(BOOT, [(1, 1), (3, 3)]))
    assert len(bench.spool) == 1


def test_a_report_made_while_up_asks_for_a_turn_at_once():
    bench = Bench()
    bench.happen(("connected",))
    bench.confirm_all()
    assert bench.link.next_timer() is None
    bench.report()
    assert bench.link.next_timer() == 0
    bench.link.handle_timer(100)
    assert bench.reports() == [1]


def test_what_is_unacknowledged_for_30_s_is_sent_again():
    bench = Bench(reports=2)
    bench.happen(("connected",), 1000)
    bench.confirm_all(1000)
    assert bench.link.next_timer() == 1000 + RESEND
    bench.link.handle_timer(1000 + RESEND - 1)
    assert bench.reports() == [1, 2]
    bench.link.handle_timer(1000 + RESEND)
    assert bench.reports() == [1, 2, 1, 2]


def test_a_broker_that_confirms_nothing_is_left():
    bench = Bench(reports=1)
    bench.happen(("connected",), 0)
    bench.link.handle_timer(CONFIRM_TIME - 1)
    assert not bench.drivers[0].closed
    bench.link.handle_timer(CONFIRM_TIME)
    assert bench.drivers[0].closed
    bench.wait()
    bench.happen(("connected",), CONFIRM_TIME + 5000)
    assert bench.reports() == [1]


def test_after_a_reconnect_everything_unacknowledged_is_sent_again():
    bench = Bench(reports=3)
    bench.happen(("connected",))
    bench.confirm_all()
    bench.message(DOWN + "ack", telemetry.encode_ack(BOOT, [(2, 2)]))
    bench.happen(("closed", "cut"))
    bench.wait()
    bench.happen(("connected",))
    assert bench.reports() == [1, 3]


def test_messages_that_mean_nothing_are_counted_and_release_nothing():
    bench = Bench(reports=1)
    bench.happen(("connected",))
    bench.message(DOWN + "ack", b"{")
    bench.message(DOWN + "ack", b'{"boot":"%s","ranges":[[2,1]]}' % BOOT.encode())
    bench.message(DOWN + "ack", telemetry.encode_ack("f" * 16, [(1, 1)]))
    bench.message(DOWN + "other", b"")
    assert bench.link.dropped == {"bad_ack": 2, "foreign_boot": 1, "unknown_topic": 1}
    assert len(bench.spool) == 1


def test_a_repeated_acknowledgement_does_no_harm():
    bench = Bench(reports=2)
    bench.happen(("connected",))
    for _ in range(2):
        bench.message(DOWN + "ack", telemetry.encode_ack(BOOT, [(1, 1)]))
    assert len(bench.spool) == 1


def test_a_command_is_passed_on_as_it_came():
    bench = Bench()
    bench.happen(("connected",))
    bench.message(DOWN + "command", b"mac\n{}")
    assert ("command", b"mac\n{}") in bench.events


def test_a_connection_that_breaks_while_sending_is_noticed_at_once():
    for breaking in ("birth", "report"):
        bench = Bench(reports=1)
        driver = bench.drivers[0]

        def publish(topic, payload, qos, driver=driver, breaking=breaking):
            if (topic == UP + "state") == (breaking == "birth"):
                driver.events.append(("closed", "cut"))
            return None

        driver.publish = publish
        bench.happen(("connected",))
        assert ("down", "cut") in bench.events, breaking
        assert bench.link.next_timer() >= SHORTEST_PAUSE
        assert bench.spool.next_timer() == 0


def test_brokers_are_tried_in_order_then_after_a_pause_again():
    bench = Bench(brokers=("8883", "443"))
    bench.happen(("closed", "refused"), 10)
    assert bench.link.next_timer() == 10
    bench.wait()
    bench.happen(("closed", "refused"), 20)
    assert bench.link.next_timer() >= 20 + SHORTEST_PAUSE
    bench.wait()
    assert [driver.endpoint for driver in bench.drivers] == ["8883", "443", "8883"]


def test_the_pause_doubles_up_to_two_minutes_and_is_random_below():
    for random, lowest, highest in ((0.0, 1000, 1000), (0.999999, 3990, LAST_CEILING)):
        bench = Bench(random=random)
        pauses = []
        now = 0
        for _ in range(40):
            bench.happen(("closed", "refused"), now)
            pauses.append(bench.link.next_timer() - now)
            now = bench.wait()
        assert lowest <= pauses[0] <= 4000, pauses
        assert sorted(pauses) == pauses, pauses
        assert highest - 200 <= pauses[-1] <= highest, pauses


def test_a_steady_connection_forgives_earlier_failures():
    bench = Bench(random=0.999999)
    now = 0
    for _ in range(6):
        bench.happen(("closed", "refused"), now)
        now = bench.wait()
    bench.happen(("connected",), now)
    bench.confirm_all(now)
    bench.happen(("closed", "cut"), now + STEADY)
    assert bench.link.next_timer() - now - STEADY <= 4000


def test_a_connection_that_does_not_last_counts_as_a_failure():
    bench = Bench(random=0.999999)
    now = 0
    for _ in range(6):
        bench.happen(("connected",), now)
        bench.happen(("closed", "cut"), now + 100)
        now = bench.wait()
    assert now > 60000


def test_each_trouble_is_said_once_and_once_that_it_is_over():
    bench = Bench(brokers=("8883", "443"))
    for reason in ("refused", "no route", "refused", "no route", "refused", "expired"):
        bench.happen(("closed", reason))
        bench.wait()
    bench.happen(("connected",))
    assert bench.said() == [
        "broker 8883: refused; it will be tried again",
        "broker 443: no route; it will be tried again",
        "broker 443: expired; it will be tried again",
        "connected to the broker 8883",
    ]


def bounce(bench, now, reason="cut"):
    """The broker accepts and soon closes; returns when the link has waited its pause out."""
    bench.happen(("connected",), now)
    bench.happen(("closed", reason), now + 100)
    return bench.wait()


def test_a_broker_that_accepts_and_soon_closes_is_told_once():
    bench = Bench()
    now = 0
    for _ in range(50):
        now = bounce(bench, now)
    assert len(bench.drivers) == 51
    assert bench.said() == [
        "connected to the broker first",
        "broker first: cut; it will be tried again",
    ]


def test_after_a_short_connection_the_next_is_told_when_it_has_lasted():
    bench = Bench()
    now = bounce(bench, 0)
    bench.happen(("closed", "refused"), now)
    now = bench.wait()
    bench.events = []
    bench.happen(("connected",), now)
    bench.confirm_all(now)
    assert ("up",) in bench.events
    assert bench.said() == []
    assert bench.link.next_timer() == now + STEADY
    bench.link.handle_timer(now + STEADY - 1)
    bench.events += bench.link.take_events()
    assert bench.said() == []
    assert bench.wait() == now + STEADY
    assert bench.said() == ["connected to the broker first"]
    assert bench.link.next_timer() is None
    bench.happen(("closed", "cut"), now + STEADY)
    bench.happen(("connected",), bench.wait())
    assert bench.said() == [
        "connected to the broker first",
        "broker first: cut; it will be tried again",
        "connected to the broker first",
    ]


def test_a_broker_that_restarts_is_told_gone_once_and_back_at_once():
    bench = Bench()
    bench.happen(("connected",))
    bench.confirm_all()
    bench.events = []
    bench.happen(("closed", "cut"), STEADY)
    now = bench.wait()
    for _ in range(5):
        bench.happen(("closed", "refused"), now)
        now = bench.wait()
    bench.happen(("connected",), now)
    assert bench.said() == [
        "broker first: cut; it will be tried again",
        "broker first: refused; it will be tried again",
        "connected to the broker first",
    ]


def test_a_broker_that_is_stuck_from_the_start_is_no_steady_one():
    bench = Bench(random=0.999999)
    now = 0
    pauses = []
    for _ in range(6):
        bench.happen(("connected",), now)
        now = bench.wait()
        assert bench.drivers[-1].closed
        pauses.append(bench.link.next_timer() - now)
        now = bench.wait()
    assert pauses[-1] > LAST_CEILING - 1000, pauses
    assert len(bench.said()) == 2, bench.said()


def test_the_next_broker_is_tried_when_one_accepts_and_soon_closes():
    bench = Bench(brokers=("8883", "443"))
    bench.happen(("connected",), 0)
    bench.happen(("closed", "it refused our subscription"), 100)
    assert bench.link.next_timer() == 100
    bench.wait()
    assert bench.drivers[-1].endpoint == "443"
    bench.happen(("connected",), 200)
    bench.happen(("closed", "cut"), 200 + STEADY)
    assert bench.link.next_timer() >= 200 + STEADY + SHORTEST_PAUSE
    bench.wait()
    assert bench.drivers[-1].endpoint == "8883"


def test_an_acknowledgement_that_memory_cannot_hold_is_counted():
    bench = Bench(reports=1)
    bench.happen(("connected",))
    usual = telemetry.decode_ack

    def full(payload):
        raise MemoryError

    telemetry.decode_ack = full
    try:
        bench.message(DOWN + "ack", b"")
    finally:
        telemetry.decode_ack = usual
    assert bench.link.dropped["bad_ack"] == 1
    assert len(bench.spool) == 1


def test_a_lost_connection_is_told_and_taken_up_again():
    bench = Bench()
    bench.happen(("connected",))
    bench.happen(("closed", "cut"))
    assert ("down", "cut") in bench.events
    bench.wait()
    bench.happen(("connected",))
    assert bench.events[-1] == ("up",)


def test_a_clean_end_says_goodbye_because_the_broker_will_not():
    bench = Bench()
    bench.happen(("connected",))
    bench.link.close()
    topic, payload = bench.drivers[0].published[-1]
    assert topic == UP + "state"
    assert json.loads(payload) == {"online": False, "boot": BOOT, "conn": 1}
    assert bench.drivers[0].closed
    assert bench.link.next_timer() is None
    assert bench.link.fileno() == -1


def test_no_broker_at_all_is_refused():
    try:
        Link("box-1", [], None, None, None, None)
    except ValueError as error:
        assert error.args[0] == "expected at least one broker, found none"
        return
    raise AssertionError("accepted")

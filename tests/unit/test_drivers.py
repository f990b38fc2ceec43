"""The drivers against a broker, a machine and files that misbehave, over loopback.

One thread: the test plays the broker between the driver's turns. The time that the drivers
see is invented, so that 20 s of silence cost nothing.
"""

import os
import random
import select
import socket
import sys

from natwatch import port
from natwatch.daemon import link_own
from natwatch.daemon.connection import CONNECT_TIME
from natwatch.daemon.link_own import Driver as OwnDriver
from natwatch.daemon.loop import Loop
from natwatch.port import stream
from natwatch.port.stream import Endpoint
from natwatch.wire import mqtt

DRIVERS = [OwnDriver]
if sys.implementation.name == "cpython":
    from natwatch.daemon.link_paho import Driver as PahoDriver

    DRIVERS.append(PahoDriver)

WILL = ("natwatch/box-1/up/state", b'{"online":false}')
CONNACK = b"\x20\x02\x00\x00"
CONNECT = mqtt.connect("box-1", 60, WILL)
REAL = 2000  # ms that a packet on loopback may take on a machine that runs much else


def listen():
    """(a listening socket of loopback, its port); MicroPython has no getsockname()."""
    while True:
        number = 20000 + random.getrandbits(14)
        listener = socket.socket()
        try:
            listener.bind(socket.getaddrinfo("127.0.0.1", number)[0][-1])
            listener.listen(1)
            return listener, number
        except OSError:
            listener.close()


class Scene:
    """A driver that has begun to connect, and the broker's end of its connection."""

    def __init__(self, make_driver, keepalive=60):
        listener, number = listen()
        self.driver = make_driver(Endpoint("127.0.0.1", number), "box-1", keepalive, WILL)
        self.events = []
        self.driver.connect(0)
        self.broker = listener.accept()[0]
        listener.close()

    def turn(self, now=0, patience=0):
        """One turn of a loop; says whether the driver had something to do."""
        poll = select.poll()
        awake = []
        if self.driver.fileno() >= 0:
            poll.register(self.driver.fileno(), self.driver.interest())
            awake = list(poll.poll(patience))
            if awake:
                self.driver.ready(awake[0][1], now)
        timer = self.driver.next_timer()
        if timer is not None and timer <= now:
            self.driver.handle_timer(now)
        self.events += self.driver.take_events()
        return bool(awake)

    def hear(self, size, now=0):
        """The next *size* bytes that the driver sends."""
        end = port.now() + REAL
        poll = select.poll()
        poll.register(self.broker.fileno(), select.POLLIN)
        heard = b""
        while len(heard) < size and port.now() < end:
            self.turn(now)
            if poll.poll(10):
                heard += self.broker.recv(size - len(heard))
        return heard

    def say(self, data, now=0):
        """Sends *data* and lets the driver read it."""
        self.broker.send(data)
        self.settle(now)

    def settle(self, now=0):
        self.turn(now, REAL)
        while self.turn(now, 20):
            pass

    def accept(self):
        """Takes the CONNECT and accepts it."""
        assert self.hear(len(CONNECT)) == CONNECT
        self.say(CONNACK)
        assert self.events == [("connected",)], self.events
        self.events = []
        return self

    def close(self):
        self.broker.close()
        self.driver.close()

    def reason(self):
        """Why the driver closed; None if it did not."""
        closed = [event[1] for event in self.events if event[0] == "closed"]
        assert len(closed) <= 1, closed
        return closed[0] if closed else None


def test_the_first_bytes_are_a_connect_with_the_will():
    for make_driver in DRIVERS:
        scene = Scene(make_driver)
        assert scene.hear(len(CONNECT)) == CONNECT
        scene.close()


def test_a_silent_server_is_left_after_20_s():
    for make_driver in DRIVERS:
        scene = Scene(make_driver)
        scene.hear(len(CONNECT))
        assert scene.driver.next_timer() == CONNECT_TIME == 20000
        scene.turn(19999)
        assert scene.reason() is None
        scene.turn(20000)
        assert scene.reason() == "no answer within 20 s"
        assert scene.driver.fileno() == -1
        scene.close()


def test_a_refusal_is_told_in_words():
    for make_driver in DRIVERS:
        scene = Scene(make_driver)
        scene.hear(len(CONNECT))
        scene.say(b"\x20\x02\x00\x05")
        assert scene.reason().lower().startswith("it refused us: "), scene.events
        assert "authori" in scene.reason(), scene.events
        scene.close()


def test_a_server_that_hangs_up_is_told():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.broker.close()
        scene.settle()
        assert scene.reason() == "the connection was cut by the other side"
        scene.close()


def test_a_publish_goes_out_and_its_confirmation_comes_back():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        message_id = scene.driver.publish("up/report", b"{}", 1)
        expected = mqtt.publish("up/report", b"{}", 1, message_id)
        assert scene.hear(len(expected)) == expected
        scene.say(mqtt.puback(message_id))
        assert scene.events == [("published", message_id)], scene.events
        scene.close()


def test_a_confirmation_of_something_never_sent_means_nothing():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.say(mqtt.puback(77))
        assert scene.events == [], scene.events
        scene.close()


def test_a_message_is_read_whole_however_it_is_cut():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        message = mqtt.publish("down/ack", b"x" * 300, 0, None)
        for index in range(0, len(message), 100):
            scene.say(message[index : index + 100])
        assert scene.events == [("message", "down/ack", b"x" * 300)]
        scene.close()


def test_many_messages_in_one_piece_all_arrive():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.say(mqtt.publish("down/ack", b"y", 0, None) * 200)
        for _ in range(10):
            scene.turn(1)
        assert scene.events == [("message", "down/ack", b"y")] * 200, len(scene.events)
        scene.close()


def test_what_one_turn_leaves_unread_is_read_without_another_poll():
    # TLS holds bytes that poll() does not see: a timer must ask for the next turn.
    usual = link_own._READS
    link_own._READS = 1
    try:
        scene = Scene(OwnDriver).accept()
        scene.broker.send(mqtt.publish("down/ack", b"z" * 1000, 0, None) * 10)
        scene.turn(0, REAL)
        assert scene.driver.next_timer() == 0
        for _ in range(5):
            scene.driver.handle_timer(0)
        scene.events += scene.driver.take_events()
        assert len(scene.events) == 10, len(scene.events)
        assert scene.driver.next_timer() == 60000
    finally:
        link_own._READS = usual
    scene.close()


def test_a_refused_subscription_ends_the_connection():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.driver.subscribe("down/#", 0)
        heard = scene.hear(13)
        scene.say(b"\x90\x03" + heard[2:4] + b"\x80")
        assert scene.reason() == "it refused our subscription: look at its access list"
        scene.close()


def test_silence_is_asked_about_and_ends_the_connection():
    # paho measures its keepalive with a clock of its own: the interop suite sees that one.
    scene = Scene(OwnDriver).accept()
    assert scene.driver.next_timer() == 60000
    assert scene.hear(2, 60000) == mqtt.PINGREQ
    scene.say(b"\xd0\x00", 60010)
    assert scene.driver.next_timer() == 120000
    assert scene.hear(2, 120000) == mqtt.PINGREQ
    scene.turn(149999)
    assert scene.reason() is None
    scene.turn(150000)
    assert scene.reason() == "no answer for 89 s"
    scene.close()


def test_bytes_that_are_not_mqtt_end_the_connection_and_nothing_else():
    garbage = (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x00",  # a second CONNACK
        b"\xff\xff\xff\xff\xff\xff",
        b"\x34\x08\x00\x03a/b\x00\x0ax",
        b"\x30\xff\xff\xff\x7f",
    )
    for data in garbage:
        scene = Scene(OwnDriver).accept()
        scene.say(data)
        assert scene.reason().startswith("it sent what is not MQTT: "), (data, scene.events)
        scene.close()


def test_a_packet_over_the_limit_ends_the_connection_before_it_is_read():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.say(b"\x30\xff\xff\xff\x7f" + b"x" * 100)
        assert scene.reason() == (
            "it sent what is not MQTT: expected packets of at most 65536 bytes, "
            "found one of 268435455"
        ), scene.events
        scene.close()


def test_a_heap_that_is_full_ends_the_connection_and_nothing_else():
    def full(now):
        raise MemoryError

    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.driver._exchange = full
        scene.say(b"\xd0\x00")
        assert scene.reason() == "there is not enough memory for this connection"
        scene.close()


def test_garbage_never_raises_out_of_a_driver():
    random.seed(2)
    for make_driver in DRIVERS:
        for _ in range(30):
            scene = Scene(make_driver).accept()
            scene.broker.send(bytes([random.getrandbits(8) for _ in range(40)]))
            scene.turn(0, REAL)
            for _ in range(5):
                scene.turn(1)
            scene.close()


def test_a_clean_end_says_goodbye():
    for make_driver in DRIVERS:
        scene = Scene(make_driver).accept()
        scene.driver.close()
        assert scene.hear(2) == mqtt.DISCONNECT
        assert scene.driver.fileno() == -1
        scene.close()


def test_a_name_is_never_looked_up():
    for make_driver in DRIVERS:
        driver = make_driver(Endpoint("broker.example", 1883), "box-1", 60, WILL)
        driver.connect(0)
        reason = driver.take_events()[0][1]
        assert reason.startswith("expected the broker's numeric address, found 'broker.example'")


def outcome(endpoint):
    """Why a driver's connection to *endpoint* ends at once; its end is no exception."""
    reasons = []
    for make_driver in DRIVERS:
        driver = make_driver(endpoint, "box-1", 60, WILL)
        driver.connect(0)
        events = driver.take_events()
        assert len(events) == 1 and events[0][0] == "closed", events
        assert driver.fileno() == -1
        reasons.append(events[0][1])
    assert len(set(reasons)) == 1, reasons
    return reasons[0]


class Exhausted:
    """The socket module of a machine that has no descriptor left."""

    def __init__(self, call):
        for name in ("AF_INET", "AF_INET6", "SOCK_STREAM", "inet_pton", "getaddrinfo", "socket"):
            setattr(self, name, getattr(socket, name))
        setattr(self, call, self._fail)

    def _fail(self, *arguments):
        raise OSError(24, "Too many open files")  # EMFILE; MicroPython has no name for it


def test_a_machine_without_a_free_descriptor_ends_the_attempt_in_words():
    for call in ("socket", "getaddrinfo"):
        stream.socket = Exhausted(call)
        try:
            reason = outcome(Endpoint("127.0.0.1", 1883))
        finally:
            stream.socket = socket
        assert reason.startswith("the connection failed: "), reason
        assert "Too many open files" in reason


def test_an_error_without_a_number_is_told_in_its_own_words():
    # MicroPython: the errno of such an error is its text.
    assert stream._sentence(OSError("odd"), "name") == "the connection failed: odd"


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
# Both ways in which OpenSSL writes an encrypted key.
ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
PROC_TYPE = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END EC PRIVATE KEY-----\n"

NO_PHRASE = " is encrypted, and nobody is here to type its pass phrase: store it without one"
NOT_READ = " cannot be read: "
NO_CERTIFICATE = ": expected a CERTIFICATE in PEM, found none"
NO_KEY = ": expected a PRIVATE KEY in PEM, found none"

# Texts of the files ca, certificate, key (None: no file, "/": a folder instead); the one that
# the reason names, and what it says of that one.
PEM_FILES = (
    ((None, CERTIFICATE, KEY), "ca", NOT_READ),
    ((CERTIFICATE, None, KEY), "certificate", NOT_READ),
    ((CERTIFICATE, CERTIFICATE, None), "key", NOT_READ),
    (("/", CERTIFICATE, KEY), "ca", NOT_READ),
    ((CERTIFICATE, "/", KEY), "certificate", NOT_READ),
    ((CERTIFICATE, CERTIFICATE, "/"), "key", NOT_READ),
    (("", CERTIFICATE, KEY), "ca", NO_CERTIFICATE),
    (("garbage", CERTIFICATE, KEY), "ca", NO_CERTIFICATE),
    ((CERTIFICATE, KEY, KEY), "certificate", NO_CERTIFICATE),
    ((CERTIFICATE, CERTIFICATE, CERTIFICATE), "key", NO_KEY),
    ((CERTIFICATE, CERTIFICATE, ENCRYPTED), "key", NO_PHRASE),
    ((CERTIFICATE, CERTIFICATE, PROC_TYPE), "key", NO_PHRASE),
    ((PROC_TYPE, CERTIFICATE, KEY), "ca", NO_PHRASE),
    ((CERTIFICATE, CERTIFICATE, KEY), "", "that belong together, found: "),
)


def test_a_bad_pem_file_is_named_with_what_is_wrong():
    names = ("ca", "certificate", "key")
    for texts, culprit, complaint in PEM_FILES:
        folder = "/tmp/natwatch-%d" % random.getrandbits(30)
        os.mkdir(folder)
        paths = ["%s/%s" % (folder, name) for name in names]
        written = []
        for path, text in zip(paths, texts):
            if text == "/":
                paths[paths.index(path)] = folder
            elif text is not None:
                written.append(path)
                with open(path, "w") as file:
                    file.write(text)
        reason = outcome(Endpoint("127.0.0.1", 8883, None, paths[0], paths[1], paths[2]))
        for path in written:
            os.remove(path)
        os.rmdir(folder)
        if culprit:
            expected = paths[names.index(culprit)] + complaint
            assert reason.startswith(expected), (culprit, complaint, reason)
        else:
            assert complaint in reason, reason


def test_an_interpreter_without_tls_is_told_in_words():
    def missing(files):
        raise ImportError

    usual = stream._pem, stream._openssl_context, stream._mbedtls_context
    stream._pem = lambda path, kind: b""
    stream._openssl_context = stream._mbedtls_context = missing
    try:
        reason = outcome(Endpoint("127.0.0.1", 8883, None, "ca.pem"))
    finally:
        stream._pem, stream._openssl_context, stream._mbedtls_context = usual
    assert reason == "TLS is wanted, but this %s has none" % sys.implementation.name


def test_local_ports_go_on_where_another_loop_of_the_program_was():
    """A second search would meet the bindings of the first: a check once called 30 s 45 s."""
    loops = [Loop(None) for _ in range(3)]
    numbers = []
    try:
        for loop in loops:
            asker = Asker()
            loop.start(asker, 0)
            numbers += asker.opened_on
    finally:
        for loop in loops:
            loop.close()
    assert len(numbers) == 9
    assert sorted(numbers) == numbers or numbers[0] > 60000  # or the range began anew


class Asker:
    """An engine that opens three sockets."""

    def __init__(self):
        self.opened_on = []
        self._sends = [(flow, b"x", ("127.0.0.1", 9)) for flow in range(3)]

    def start(self, now):
        pass

    def opened(self, flow, number):
        self.opened_on.append(number)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

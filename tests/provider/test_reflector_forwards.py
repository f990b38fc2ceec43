"""Whether a port of a device's address leads to a SIP device: what is asked, believed, refused."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from natwatch.wire import sip, stun
from natwatch_provider.reflector import forwards
from natwatch_provider.reflector.layout import Datagram, Endpoint
from tests.provider.reflector_rig import CONTROL, ELSEWHERE, HOME, LAYOUT, SIP, TOOTH, B, Rig

PORT = 5060
THERE: Endpoint = (HOME[0], PORT)  # where the forward would be
NOBODY: Endpoint = ("0.0.0.0", 0)


class Customer(Rig):
    """A device that asks about forwards; each random number differs from the others."""

    def __init__(self, device: str = "box-1", beside: "Customer | None" = None) -> None:
        self.drawn = 0
        super().__init__(device, draw=self._draw)
        if beside is not None:
            self.reflector, self.now = beside.reflector, beside.now

    def _draw(self, below: int) -> int:
        self.drawn += 1
        return self.drawn * 0x9E3779B97F4A7C15F39CC060 % below

    def forward(
        self, port: int = PORT, ask: bool = True, source: Endpoint = HOME
    ) -> tuple[stun.Forwarded, list[Datagram]]:
        """What the answer to FORWARD tells, and the OPTIONS that leave with it."""
        asked = (stun.FORWARD, stun.Forward(port, ask))
        data = self.request((stun.NONCE, self.nonce(source)), (stun.CONTROL, bytes(4)), asked)
        answer, *options = self.receive(data, source, CONTROL)
        assert (answer.local, answer.destination) == (CONTROL, source)
        message = stun.parse(answer.data)
        assert message.authentic(self.key) and message.klass == stun.SUCCESS
        [told] = message.get_all(stun.FORWARDED)
        return told, options

    def state(self, port: int = PORT, source: Endpoint = HOME) -> int:
        return int(self.forward(port, ask=False, source=source)[0].state)


def respond(options: Datagram, status: str = "200 OK", agent: str = "Server: Phone 1.0") -> bytes:
    """What a SIP device answers to *options*."""
    message = sip.parse(options.data)
    lines = [f"{sip._NAMES[name]}: {value}" for name, value in message.headers
             if name in sip._NAMES]  # fmt: skip
    return "\r\n".join([f"SIP/2.0 {status}", *lines, agent]).encode() + b"\r\n\r\n"


def told(one: stun.Forwarded) -> tuple[object, ...]:
    return one.state, one.sent, one.status, one.source, one.agent


# What is asked


def test_a_question_is_options_to_the_proven_address_from_an_endpoint_never_contacted() -> None:
    rig = Customer()
    answer, [first] = rig.forward()
    assert told(answer) == (stun.UNDER_WAY, 1, 0, NOBODY, None)
    assert first.destination == THERE
    assert first.local[0] == B and first.local[1] in LAYOUT.media
    message = sip.parse(first.data)
    assert message.start == f"OPTIONS sip:{HOME[0]}:{PORT} SIP/2.0"
    assert f"{first.local[0]}:{first.local[1]};rport;" in str(message.get("via"))


def test_silence_is_told_after_three_equal_copies_and_a_while() -> None:
    rig = Customer()
    start = rig.now
    _, [first] = rig.forward()
    copies = [(when - start, datagram) for when, datagram in rig.pass_time(start + 3_999)]
    assert [when for when, _ in copies] == [700, 1_400]
    assert {datagram[:3] for _, datagram in copies} == {first[:3]}
    assert rig.state() == stun.UNDER_WAY
    assert list(rig.pass_time(start + 4_000)) == []
    assert told(rig.forward(ask=False)[0]) == (stun.SILENT, 3, 0, NOBODY, None)


def test_each_question_has_a_call_and_a_branch_of_its_own() -> None:
    rig = Customer()
    tokens = set()
    for _ in range(20):
        _, [first] = rig.forward()
        message = sip.parse(first.data)
        tokens |= {message.get("call-id"), str(message.get("via")).partition("branch=")[2]}
        list(rig.pass_time(rig.now + 60_000))
    assert len(tokens) == 40 and {len(str(token)) for token in tokens} == {24, 24 + 7}


def test_whoever_only_wants_to_be_told_starts_nothing() -> None:
    rig = Customer()
    answer, options = rig.forward(ask=False)
    assert told(answer) == (stun.NEVER_ASKED, 0, 0, NOBODY, None) and options == []
    assert list(rig.pass_time(rig.now + 60_000)) == []


def test_asked_again_within_a_minute_nothing_is_sent_again() -> None:
    rig = Customer()
    start = rig.now
    rig.forward()
    sent = []
    for later in range(500, 60_000, 500):
        sent += list(rig.pass_time(start + later))
        answer, options = rig.forward()
        assert options == [] and answer.state in (stun.UNDER_WAY, stun.SILENT)
    assert len(sent) == 2
    list(rig.pass_time(start + 60_000))
    answer, options = rig.forward()
    assert answer.state == stun.UNDER_WAY and len(options) == 1


def test_a_new_public_address_is_a_new_question() -> None:
    rig = Customer()
    rig.forward()
    moved = (ELSEWHERE[0], 7)
    assert rig.state(source=moved) == stun.NEVER_ASKED
    _, [options] = rig.forward(source=moved)
    assert options.destination == (ELSEWHERE[0], PORT)


def test_copies_that_the_system_refused_are_not_counted() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    rig.reflector.unsent(first)
    for _, datagram in rig.pass_time(rig.now + 700):
        rig.reflector.unsent(datagram)
    list(rig.pass_time(rig.now + 4_000))
    assert told(rig.forward(ask=False)[0]) == (stun.SILENT, 1, 0, NOBODY, None)
    assert rig.counters["send_error"] == 2


# What is believed


@pytest.mark.parametrize(
    ("status", "agent", "expected"),
    [
        ("200 OK", "Server: Phone 1.0", (200, "Phone 1.0")),
        ("401 Unauthorized", "User-Agent: Phone 1.0", (401, "Phone 1.0")),
        ("486 Busy Here", "X: y", (486, None)),
        ("100 Trying", "Server: " + "x" * 200, (100, "x" * 64)),
        ("200 OK", "Server: б\u2066", (200, "??")),
    ],
)
def test_any_response_of_the_forwards_far_end_is_told_to_the_device(
    status: str, agent: str, expected: tuple[int, str | None]
) -> None:
    rig = Customer()
    _, [first] = rig.forward()
    assert rig.receive(respond(first, status, agent), THERE, first.local) == []
    answer, _ = rig.forward(ask=False)
    assert told(answer) == (stun.ANSWERED, 1, expected[0], THERE, expected[1])
    assert rig.counters["forward_answered"] == 1
    assert list(rig.pass_time(rig.now + 60_000)) == []  # no copy follows


def test_the_port_that_the_answer_came_from_is_told() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    rig.receive(respond(first), (HOME[0], 61_234), first.local)
    assert rig.forward(ask=False)[0].source == (HOME[0], 61_234)


def test_the_first_answer_counts_and_one_that_comes_late_counts_too() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    list(rig.pass_time(rig.now + 5_000))
    assert rig.state() == stun.SILENT
    rig.receive(respond(first), THERE, first.local)
    rig.receive(respond(first, "500 Oops"), THERE, first.local)
    assert rig.forward(ask=False)[0].status == 200
    assert rig.counters["forward_repeated"] == 1


def test_an_outcome_is_forgotten_after_a_minute() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    list(rig.pass_time(rig.now + 60_000))
    assert rig.state() == stun.NEVER_ASKED
    rig.receive(respond(first), THERE, first.local)
    assert rig.state() == stun.NEVER_ASKED
    assert rig.reflector._forwards._probes == {} and rig.reflector._forwards._latest == {}


Forgery = Callable[[Datagram], bytes]
FORGERIES: list[tuple[str, Forgery]] = [
    ("nothing", lambda options: b""),
    ("the question itself", lambda options: options.data),
    ("no Via", lambda o: respond(o).replace(b"Via:", b"X:")),
    ("no call", lambda o: respond(o).replace(b"Call-ID:", b"X:")),
    ("another call", lambda o: respond(o).replace(b"Call-ID: ", b"Call-ID: 1")),
    ("another branch", lambda o: respond(o).replace(b"z9hG4bK", b"z9hG4bK1")),
    ("two Vias", lambda o: respond(o, agent="Via: SIP/2.0/UDP a;branch=z9hG4bK1")),
    ("NULs", lambda o: respond(o).replace(b"Phone", bytes(5))),
    ("NULs alone", lambda options: bytes(400)),
    ("64 KB", lambda o: respond(o, agent="Server: " + "x" * 64_000)),
    ("no end", lambda o: respond(o)[:-2]),
    ("no text", lambda o: respond(o).replace(b"Phone", b"\xff\xfe")),
    ("no status", lambda o: respond(o).replace(b"200", b"abc")),
    ("a body that is missing", lambda o: respond(o, agent="Content-Length: 900")),
    ("a negative length", lambda o: respond(o, agent="Content-Length: -1")),
]


@pytest.mark.parametrize("forgery", [one for _, one in FORGERIES], ids=[n for n, _ in FORGERIES])
def test_foreign_sip_is_not_believed_and_counted_once(forgery: Forgery) -> None:
    rig = Customer()
    _, [first] = rig.forward()
    before = sum(rig.counters.values())
    assert rig.receive(forgery(first), THERE, first.local) == []
    assert sum(rig.counters.values()) == before + 1
    assert rig.state() == stun.UNDER_WAY
    rig.receive(respond(first), THERE, first.local)  # and does not keep out the real one
    assert rig.state() == stun.ANSWERED


def test_a_header_on_several_lines_is_one() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    rig.receive(respond(first).replace(b";branch", b"\r\n\t;branch"), THERE, first.local)
    assert rig.state() == stun.ANSWERED


@pytest.mark.parametrize(
    ("source", "local"),
    [
        (ELSEWHERE, None),
        ((ELSEWHERE[0], PORT), None),
        (THERE, CONTROL),
        (THERE, SIP),
        (THERE, (B, 8_000)),
    ],
)
def test_an_answer_from_or_to_elsewhere_proves_nothing(
    source: Endpoint, local: Endpoint | None
) -> None:
    rig = Customer()
    _, [first] = rig.forward()
    assert local != first.local
    rig.receive(respond(first), source, local or first.local)
    assert rig.state() == stun.UNDER_WAY and "forward_answered" not in rig.counters


def test_what_else_comes_from_that_address_to_that_endpoint_is_served_as_ever() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    plain = bytes(stun.build(stun.REQUEST, b"twelve bytes", []))
    assert len(rig.receive(plain, TOOTH, first.local)) == 1
    assert len(rig.receive(rig.hold(), TOOTH, first.local)) == 1


def test_a_device_is_told_nothing_of_anothers_forward() -> None:
    rig = Customer()
    _, [first] = rig.forward()
    rig.receive(respond(first), THERE, first.local)
    assert Customer("box-2", beside=rig).state() == stun.NEVER_ASKED


# Who may ask, and how often


def options_in(sent: list[Datagram]) -> list[Datagram]:
    return [one for one in sent if sip.looks_like(one.data)]


def test_nobody_unproven_makes_the_reflector_ask_anybody() -> None:
    rig, thief = Customer(), Rig(master=bytes(32))
    asked = (stun.FORWARD, stun.Forward(PORT, True))
    control, padding = (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80))
    strange = (stun.NONCE, rig.nonce(ELSEWHERE))
    old = (stun.NONCE, rig.nonce())
    rig.now += 121_000
    good = (stun.NONCE, rig.nonce())
    for name, data, counter in (
        ("no nonce", rig.request(control, asked, padding), "control_stale"),
        ("an old nonce", rig.request(old, control, asked, padding), "control_stale"),
        ("another's nonce", rig.request(strange, control, asked, padding), "control_stale"),
        ("a wrong key", thief.request(good, control, asked, padding), "wrong_key"),
        ("no control flow", rig.request(good, asked, padding), "malformed_extension"),
        ("no MAC", stun.build(stun.REQUEST, b"t" * 12, [good, control, asked, padding]),
         "wrong_key"),
        ("in SIP", sip.request("192.0.2.1", rig.request(good, control, asked), "token"),
         "malformed_extension"),
    ):  # fmt: skip
        before = rig.counters.get(counter, 0)
        sent = rig.receive(data, HOME, SIP if name == "in SIP" else CONTROL)
        assert rig.counters.get(counter, 0) == before + 1, (name, rig.counters)
        assert options_in(sent) == [] and len(sent) <= 1, name
        assert sum(len(one.data) for one in sent) <= len(data), name
    assert list(rig.pass_time(rig.now + 60_000)) == []


def test_a_nonce_of_another_address_asks_nothing_of_either() -> None:
    rig = Customer()
    data = rig.request(
        (stun.NONCE, rig.nonce(HOME)), (stun.CONTROL, bytes(4)),
        (stun.FORWARD, stun.Forward(PORT, True)), (stun.PADDING, bytes(80)),
    )  # fmt: skip
    sent = rig.receive(data, ELSEWHERE, CONTROL)
    assert options_in(sent) == [] and list(rig.pass_time(rig.now + 60_000)) == []


@pytest.mark.parametrize(
    "beside",
    [
        (stun.FORWARD, stun.Forward(5062, True)),
        (stun.FETCH, stun.Fetch(b"a" * 12, 0)),
        (stun.AUDIT, [b"a" * 12]),
        (stun.CANCEL, [b"a" * 12]),
    ],
)
def test_a_forward_stands_alone(beside: tuple[int, object]) -> None:
    rig = Customer()
    answer = rig.control((stun.FORWARD, stun.Forward(PORT, True)), beside)
    assert answer.get(stun.ERROR_CODE)[0] == 400
    assert rig.state() == stun.NEVER_ASKED


def test_port_0_is_refused() -> None:
    answer, options = Customer().forward(0)
    assert answer.state == stun.REFUSED_PORT and options == []


def test_one_address_rests_ten_seconds_whoever_asks() -> None:
    rig = Customer()
    start = rig.now
    rig.forward()
    other = Customer("box-2", beside=rig)
    for later in range(0, 10_000, 1_000):
        rig.now = other.now = start + later
        for one, port in ((rig, 5062), (other, PORT), (other, 5062)):
            answer, options = one.forward(port)
            assert answer.state == stun.REFUSED_SOON and options == []
    other.now = start + 10_000
    answer, options = other.forward()
    assert answer.state == stun.UNDER_WAY and len(options) == 1
    assert rig.counters["forward_refused"] == 30


def test_one_device_asks_about_two_ports_an_hour_and_no_third() -> None:
    rig = Customer()
    start = rig.now
    for port in (5060, 5062):
        assert len(rig.forward(port)[1]) == 1
        list(rig.pass_time(rig.now + 10_000))
    for later in range(60_000, 3_600_000, 300_000):
        list(rig.pass_time(start + later))
        assert told(rig.forward(5064)[0])[0] == stun.REFUSED_PORTS
    # Another address makes no difference, and one of the two may be asked about again.
    assert rig.forward(5064, source=(ELSEWHERE[0], 7))[0].state == stun.REFUSED_PORTS
    assert len(rig.forward(5062)[1]) == 1
    list(rig.pass_time(start + 3_600_000))
    assert len(rig.forward(5064)[1]) == 1  # 5060 was asked about an hour ago
    list(rig.pass_time(rig.now + 60_000))
    assert rig.forward(5060)[0].state == stun.REFUSED_PORTS


def test_what_is_full_refuses_and_makes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, name, source in (
        ("MAX_PROBES", "box-1", ELSEWHERE),
        ("MAX_DEVICES", "box-2", ELSEWHERE),
    ):
        monkeypatch.setattr(forwards, "MAX_PROBES", 100)
        monkeypatch.setattr(forwards, limit, 1)
        rig = Customer()
        _, [first] = rig.forward()
        other = Customer(name, beside=rig)
        assert other.forward(source=source)[0].state == stun.REFUSED_FULL
        rig.receive(respond(first), THERE, first.local)
        assert rig.state() == stun.ANSWERED
        list(rig.pass_time(rig.now + 3_600_000))
        other.now = rig.now
        assert len(other.forward(source=source)[1]) == 1  # forgotten ones give their room back


@settings(max_examples=150, deadline=None)
@given(
    some.lists(
        some.tuples(
            some.sampled_from(["box-1", "box-2", "box-3", "box-4"]),
            some.sampled_from([HOME, ELSEWHERE]),
            some.sampled_from([0, 53, 5060, 5062, 65_535]),
            some.booleans(),
            some.sampled_from([0, 1, 900, 5_000, 10_000, 61_000, 1_000_000]),
        ),
        max_size=40,
    )
)
def test_no_order_of_questions_makes_more_of_them_or_any_to_elsewhere(
    steps: list[tuple[str, Endpoint, int, bool, int]],
) -> None:
    first = Customer()
    devices = {f"box-{n}": Customer(f"box-{n}", beside=first) for n in range(1, 5)}
    begun: dict[str, list[int]] = {HOME[0]: [], ELSEWHERE[0]: []}
    ports: dict[str, list[tuple[int, int]]] = {name: [] for name in devices}
    repeated: list[Datagram] = []
    for name, source, port, ask, wait in steps:
        rig = devices[name]
        rig.now = max(one.now for one in devices.values())
        _, options = rig.forward(port, ask, source)
        for one in options:
            assert ask and one.destination == (source[0], port) and len(one.data) < 600
            begun[source[0]].append(rig.now)
            ports[name].append((rig.now, port))
        repeated += [datagram for _, datagram in rig.pass_time(rig.now + wait)]
    repeated += [datagram for _, datagram in rig.pass_time(rig.now + 90_000)] if steps else []
    for times in begun.values():
        assert all(after - before >= 10_000 for before, after in pairwise(times))
    for asked in ports.values():
        for when, _ in asked:
            assert len({port for at, port in asked if when - 3_600_000 < at <= when}) <= 2
    assert len(repeated) == 2 * sum(map(len, begun.values()))
    assert first.reflector._forwards._probes == {} == first.reflector._forwards._latest

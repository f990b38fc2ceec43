"""Whatever a resolver sends: DnsError or an Answer, and the engine comes to its end."""

from hypothesis import given, settings
from hypothesis import strategies as some
from resolver import answer, name_bytes, record

from natwatch.probes.dns import Dns
from natwatch.wire import dns
from natwatch.wire.ipv4 import inside, network_of

CPYTHON_ONLY = "hypothesis"

NAME = "sip.example"
SERVICE = "_sip._udp." + NAME
RESOLVER = "192.0.2.53"
NETWORK = network_of("109.69.176.128/25")
IDENT = 0x4141
STATES = ("wrong", "ok", "no such name", "no address", "refused", "no answer")

NAMES = some.sampled_from([NAME, SERVICE, "a.example", "b.example", "."])
ADDRESSES = some.sampled_from(["109.69.176.130", "109.69.176.131", "198.51.100.9"])


@some.composite
def records(draw):
    kind = draw(some.sampled_from([dns.A, dns.CNAME, dns.SRV, 16, 41]))
    value = {
        dns.A: ADDRESSES,
        dns.CNAME: NAMES,
        dns.SRV: some.tuples(*[some.integers(0, 3)] * 3, NAMES),
    }.get(kind, some.binary(max_size=20))
    made = draw(value | some.binary(max_size=12))
    return record(draw(NAMES), kind, made, draw(some.integers(0, 0xFFFFFFFF)))


@some.composite
def answers(draw):
    """An answer that fits, or has bytes changed, cut or added."""
    name, kind = draw(some.sampled_from([(NAME, dns.A), (SERVICE, dns.SRV), ("a.example", dns.A)]))
    some_records = some.lists(records(), max_size=6)
    flags = draw(some.sampled_from([0x8180, 0x8180, 0x8380, 0x8100, 0x0100]))
    rcode = draw(some.sampled_from([0, 0, 0, 2, 3, 5, 9]))
    ident = draw(some.sampled_from([IDENT, IDENT, IDENT, 7]))
    data = answer(ident, name, kind, draw(some_records), draw(some_records), rcode, flags)
    data = bytearray(data)
    for _ in range(draw(some.sampled_from([0, 0, 1, 3]))):
        value = draw(some.integers(0, 255) | some.sampled_from([0xC0, 12]))
        data[draw(some.integers(0, len(data) - 1))] = value
    if draw(some.integers(0, 4)) == 0:
        data = data[: draw(some.integers(0, len(data)))] + draw(some.binary(max_size=12))
    return bytes(data)


@settings(max_examples=1500, deadline=None)
@given(answers() | some.binary(max_size=300))
def test_an_answer_is_read_or_refused_with_a_counter(data):
    try:
        found = dns.parse(data)
        found.values()
        found.addresses(NAME)
    except dns.DnsError as error:
        assert error.counter and str(error)
        return
    for name, _, ttl, value in found.records + found.additional:
        assert len(name) <= 253 and 0 <= ttl < 1 << 31, (name, ttl)
        text = value[3] if isinstance(value, tuple) else value
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_."), text


@settings(max_examples=500, deadline=None)
@given(
    some.text("ab-_.\u0416", max_size=70)
    | some.from_regex(r"([a-c]{1,63}\.?){1,6}", fullmatch=True)
)
def test_a_name_is_asked_as_it_is_or_refused(name):
    try:
        data = dns.query(1, name, dns.A)
    except dns.DnsError as error:
        assert error.counter == "name"
        return
    asked = bytearray(data)
    asked[2] |= 0x80
    assert dns.parse(bytes(asked)).question == (name.lower().rstrip("."), dns.A)
    assert data[12:-4] == name_bytes(name)


EVENTS = some.lists(
    some.tuples(some.integers(0, 8), answers() | some.binary(max_size=40)), max_size=30
)


@settings(max_examples=600, deadline=None)
@given(EVENTS)
def test_the_engine_ends_in_time_with_a_result_that_agrees_with_itself(events):
    engine = Dns([RESOLVER], NAME, NETWORK, lambda size: b"A" * size)
    now = 0
    engine.start(now)
    for pause, data in events:
        now += 100 * pause
        for flow in (0, 1, 2, 5):
            engine.receive(flow, data, (RESOLVER, 53), now)
        engine.take_sends()
        timer = engine.next_timer()
        if timer is not None and now >= timer:
            engine.handle_timer(now)
    for _ in range(50):
        timer = engine.next_timer()
        if timer is None:
            break
        now = max(now, timer)
        engine.handle_timer(now)
    assert engine.done and now <= 30 * 800 + 10000
    (result,) = engine.take_results()
    assert result["state"] in STATES, result
    named = result["a"] + [address for entry in result["srv"] for address in entry["a"]]
    wrong = [address for address in named if not inside(address, NETWORK)]
    assert set(wrong) == set(result["outside"]), result
    assert (result["state"] == "wrong") == bool(wrong), result
    assert (result["state"] == "ok") == (bool(named) and not wrong), result
    assert result["state"] in ("ok", "wrong") or result["reason"], result
    assert len(result["srv"]) <= 4 and len(result["contradictions"]) <= 16, result

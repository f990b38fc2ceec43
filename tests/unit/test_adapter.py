"""Whether the adapter on the LAN answers OPTIONS; what else comes from there, or elsewhere."""

from world import Numbers

from natwatch.probes.adapter import Adapter
from natwatch.wire import sip

THERE = ("192.168.1.30", 5060)


def started(seed=1):
    engine = Adapter(THERE, Numbers(seed).bytes)
    engine.start(1000)
    return engine


def asked(engine):
    """What it has sent since, each to the adapter and from one socket."""
    sends = engine.take_sends()
    assert not [one for one in sends if one[0] != 0 or one[2] != THERE], sends
    return [data for _, data, _ in sends if data is not None]


def response(request, status="200 OK", extra=("Server: Phone 1.0",), drop=(), **changed):
    """The response to *request*, without the headers *drop* and with others *changed*."""
    message = sip.parse(request)
    headers = [(name, value) for name, value in message.headers if name in sip._ECHOED]
    headers = [(name, changed.get(name.replace("-", "_"), value)) for name, value in headers]
    lines = ["%s: %s" % (name, value) for name, value in headers if name not in drop]
    return "\r\n".join(["SIP/2.0 " + status] + lines + list(extra)).encode() + b"\r\n\r\n"


def heard(data_of, source=THERE):
    """(result or None, counters) after the first request was answered with data_of(request)."""
    engine = started()
    engine.receive(0, data_of(asked(engine)[0]), source, 1007)
    results = engine.take_results()
    return (results or [None])[0], engine.counters


def test_an_adapter_that_answers_lives_and_says_what_it_is():
    result, counters = heard(response)
    assert result == {
        "address": "192.168.1.30",
        "port": 5060,
        "answered": True,
        "status": 200,
        "agent": "Phone 1.0",
        "rtt": 7,
        "reason": None,
    }
    assert counters == {}


def test_the_question_is_options_from_a_port_that_is_not_the_adapters():
    for seed in range(1, 50):
        engine = started(seed)
        message = sip.parse(asked(engine)[0])
        assert message.start == "OPTIONS sip:192.168.1.30:5060 SIP/2.0"
        port = engine.local_port(0)
        assert 16384 <= port <= 60999
        assert message.get("via").startswith("SIP/2.0/UDP natwatch.invalid:%d;rport;" % port)


def test_a_refusal_proves_as_much_and_an_adapter_may_have_no_name():
    for status, extra, agent in (
        ("401 Unauthorized", ("User-Agent: a", "Server: b"), "b"),
        ("404 Not Found", ("User-Agent: a",), "a"),
        ("503 Service Unavailable", (), None),
        ("100 Trying", ("Server: " + "x" * 100,), "x" * 64),
        ("200 OK", ("Server: caf\xe9 \u0431",), "caf? ?"),
    ):
        engine = started()
        engine.receive(0, response(asked(engine)[0], status, extra), THERE, 1007)
        result = engine.take_results()[0]
        assert result["answered"] is True and result["agent"] == agent, result
        assert result["status"] == int(status[:3])


def test_a_header_on_several_lines_is_one():
    result, _ = heard(lambda request: response(request).replace(b";branch", b"\r\n ;branch"))
    assert result["answered"] is True


def test_what_is_no_answer_to_our_question_is_counted_and_not_believed():
    for name, counter, data_of in (
        ("nothing", "sip_cut", lambda request: b""),
        ("our own request", "sip_status", lambda request: request),
        ("no Via", "sip_via", lambda request: response(request, drop=("via",))),
        ("another Via", "sip_unasked", lambda r: response(r, via="SIP/2.0/UDP a;branch=z9hG4bK1")),
        ("another call", "sip_unasked", lambda request: response(request, call_id="1")),
        ("no call", "sip_unasked", lambda request: response(request, drop=("call-id",))),
        ("NULs", "sip_control", lambda request: response(request).replace(b"Phone", b"\0\0\0")),
        ("64 KB", "sip_huge", lambda request: response(request, extra=("Server: " + "x" * 65000,))),
        ("cut", "sip_cut", lambda request: response(request)[:-2]),
        ("STUN", "sip_cut", lambda request: b"\x01\x01" + bytes(18)),
        ("no text", "sip_text", lambda r: response(r).replace(b"Phone", b"\xff\xfe")),
    ):
        result, counters = heard(data_of)
        assert result is None and counters == {counter: 1}, (name, result, counters)


def test_an_answer_from_anywhere_else_proves_nothing():
    for source in (("192.168.1.30", 5062), ("192.168.1.1", 5060)):
        result, counters = heard(response, source)
        assert result is None and counters == {"wrong_source": 1}


def test_silence_is_unknown_after_three_tries_of_one_question_in_four_seconds():
    engine = started()
    sent = []
    while not engine.done:
        sent += [(engine.next_timer(), data) for data in asked(engine)]
        engine.handle_timer(engine.next_timer())
    # Each is stamped with the timer that follows it.
    assert [when for when, _ in sent] == [2000, 3000, 5000]
    assert len(set([data for _, data in sent])) == 1
    assert engine.take_sends() == [(0, None, THERE)]
    result = engine.take_results()[0]
    assert result["answered"] is None and result["status"] is None, result
    assert "registrar" in result["reason"]
    assert engine.next_timer() is None


def test_of_a_repeated_question_nobody_knows_which_try_was_answered():
    engine = started()
    first = asked(engine)[0]
    engine.handle_timer(2000)
    engine.receive(0, response(first), THERE, 2004)
    assert engine.take_results()[0]["rtt"] is None


def test_a_local_port_in_use_is_changed_for_the_next_try():
    engine = started()
    asked(engine)
    first = engine.local_port(0)
    engine.unsent(0, 98)
    engine.handle_timer(2000)
    assert engine.local_port(0) != first
    second = asked(engine)[0]
    assert ":%d;rport" % engine.local_port(0) in second.decode()
    engine.receive(0, response(second), THERE, 2005)
    assert engine.take_results()[0]["rtt"] == 5


def test_where_nothing_can_be_sent_the_reason_says_so():
    engine = started()
    while not engine.done:
        if asked(engine):
            engine.unsent(0, 101)
        engine.handle_timer(engine.next_timer())
    result = engine.take_results()[0]
    assert result["answered"] is None and "error 101" in result["reason"], result


def test_one_that_is_stopped_closes_its_socket_and_says_nothing():
    engine = started()
    engine.take_sends()
    engine.stop(1500)
    assert engine.done and engine.take_sends() == [(0, None, THERE)]
    assert engine.take_results() == [] and engine.next_timer() is None

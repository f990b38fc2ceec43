"""Whatever a registrar sends: no exception, and nothing believed that is not an answer of its."""

import json
import random
import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as some

from natwatch.probes.registration import Registration
from natwatch.wire import digest, sip, sip_client

ENDPOINT = ("192.0.2.5", 5060)
ACCOUNT = {"registrar": "sip.example", "user": "u", "password": "p", "domain": None}
STATES = {
    *("ok", "wrong password", "refused", "redirected", "no answer"),
    *("unsupported", "challenged forever", "not asked", "resting"),
}
CHALLENGE = 'Digest realm="r, s", nonce="n", algorithm=SHA-256, qop="auth", stale=TRUE'
TEXT = some.text(some.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)
PIECES = some.sampled_from(
    [
        "<",
        ">",
        '"',
        "\\",
        ",",
        ";",
        "=",
        ":",
        "@",
        "[",
        "]",
        " ",
        "sip:",
        "Digest",
        "realm",
        "nonce",
    ]
    + ["expires=", "received=", "1", "192.0.2.1", "algorithm=MD5", 'qop="auth"', "stale=true"]
)
VALUES = some.lists(PIECES | TEXT, max_size=14).map("".join)
NAMES = some.sampled_from(
    ["Contact", "m", "WWW-Authenticate", "Proxy-Authenticate", "Via", "v", "CSeq", "Expires", "l"]
    + ["Content-Length", "Server", "X", " ", ""]
)


def asked(engine: Registration) -> tuple[str, str, str] | None:
    """(Via, CSeq, method) of the latest request that *engine* sent."""
    sent = [data for _, data, _ in engine.take_sends() if data is not None]
    if not sent:
        return None
    via, cseq = (re.search(b"%s: ([^\r]*)" % name, sent[-1]) for name in (b"Via", b"CSeq"))
    assert via and cseq
    return via[1].decode(), cseq[1].decode(), sent[-1].split(b" ")[0].decode()


def made() -> Registration:
    draw: Callable[[int], bytes] = random.Random(1).randbytes
    engine = Registration(ENDPOINT, ACCOUNT, draw)
    engine.start(0)
    return engine


@settings(max_examples=1500, deadline=None)
@given(
    some.binary(max_size=300) | some.text(max_size=200).map(str.encode),
    some.sampled_from([ENDPOINT, ("192.0.2.6", 5060)]),
)
def test_foreign_bytes_are_counted_and_change_nothing(data: bytes, source: tuple[str, int]) -> None:
    engine = made()
    engine.receive(1, data, source, 5)
    assert sum(engine.counters.values()) == 1
    assert engine.take_results() == [] and not engine.failed and engine.next_timer() == 500


@settings(max_examples=1500, deadline=None)
@given(
    some.lists(
        some.tuples(
            some.sampled_from([100, 200, 200, 302, 401, 401, 403, 407, 423, 503]),
            some.lists(some.tuples(NAMES, VALUES | some.just(CHALLENGE)), max_size=5),
            some.binary(max_size=9),
        ),
        max_size=9,
    )
)
def test_answers_of_any_content_end_in_one_result(
    answers: list[tuple[int, list[tuple[str, str]], bytes]],
) -> None:
    engine = made()
    request = None
    for status, headers, body in answers:
        request = asked(engine) or request
        assert request is not None
        lines = [f"SIP/2.0 {status} x", f"Via: {request[0]}", f"CSeq: {request[1]}"]
        lines += [f"{name}: {value}" for name, value in headers]
        engine.receive(1, "\r\n".join(lines).encode() + b"\r\n\r\n" + body, ENDPOINT, 5)
    now = 5
    while not engine.done:
        now = engine.next_timer()
        engine.handle_timer(now)
    (result,) = engine.take_results()
    assert now <= 16_000
    assert result["register"]["state"] in STATES
    assert engine.failed is (result["register"]["state"] == "wrong password")
    assert (result["bindings"] is not None) is (result["register"]["state"] == "ok")
    assert len(json.dumps(result)) < 20_000


@settings(max_examples=1500, deadline=None)
@given(some.lists(VALUES, max_size=4))
def test_header_values_of_any_content_are_read(values: list[str]) -> None:
    for value in values:
        assert ",".join(sip_client.split(value, ",")) == value
        sip_client.parameters(value)
    chosen = digest.choose(digest.challenges(values))
    if chosen is not None:
        text = digest.authorization(chosen, "REGISTER", "sip:x", "u", "p", "c", 1)
        assert text.startswith("Digest ")


@settings(max_examples=1500, deadline=None)
@given(some.binary(max_size=400))
def test_a_response_is_read_or_refused_with_a_counter(data: bytes) -> None:
    try:
        sip_client.response(b"SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKa\r\n" + data)
    except sip.SipError as error:
        assert error.counter

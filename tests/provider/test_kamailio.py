"""Kamailio's location table: what is read from it, and what else may answer in its place."""

import json
import random
import socket
import threading
import time
from typing import Any

import pytest

from natwatch_provider.registrar.kamailio import Binding, Kamailio, RegistrarError
from tests.provider.rpc_server import CONTACT, error, http, result, serving


def read(answer: Any) -> list[Binding]:
    with serving(answer) as server:
        return Kamailio(server.url, 2).bindings("7001")


def test_a_binding_is_read_with_where_it_came_from_and_how_long_it_holds() -> None:
    with serving(result(CONTACT)) as server:
        (found,) = Kamailio(server.url).bindings("7001")
    assert found == Binding(
        aor="7001",
        contact="sip:7001-0x55a3df71be90@192.168.1.30:5060",
        address="192.168.1.30",
        received="203.0.113.9",
        received_port=1024,
        user_agent="baresip v1.0.0 (x86_64/linux)",
        expires=58,
    )
    (call,) = server.calls
    assert (call["method"], call["params"]) == ("ul.lookup", ["location", "7001"])


RECEIVED = (
    ("sip:203.0.113.9:1024", "203.0.113.9", 1024),
    ("sip:203.0.113.9:1024;transport=tcp", "203.0.113.9", 1024),
    ("sips:203.0.113.9", "203.0.113.9", 5060),
    ("sip:[2001:db8::9]:5062", "2001:db8::9", 5062),
    ("[not set]", None, None),
    ("sip:203.0.113.9:99999", None, None),
    ("sip:203.0.113.9:0", None, None),
    ("http://203.0.113.9", None, None),
    ("", None, None),
    (None, None, None),
    (7, None, None),
)


def test_where_it_came_from_is_an_address_and_a_port_or_not_known() -> None:
    for text, address, port in RECEIVED:
        (found,) = read(result({**CONTACT, "Received": text}))
        assert (found.received, found.received_port) == (address, port), text


def test_what_has_ended_is_no_binding_and_what_never_ends_is_one() -> None:
    told = ["deleted", "expired", 0, -5, "permanent", 60]
    found = read(result(*({**CONTACT, "Expires": one} for one in told)))
    assert [one.expires for one in found] == [None, 60]


def test_that_nobody_is_registered_is_an_answer_in_each_of_kamailios_ways() -> None:
    for message in ("AOR not found in location table", "AOR has no contacts"):
        assert read(error(message)) == []
        body = json.dumps({"jsonrpc": "2.0", "id": 1, **error(message)})
        assert read(http(body, "500 Server Error")) == []
    assert read(result()) == []


GARBAGE: tuple[Any, ...] = (
    b"",
    b"\x00" * 5000,
    b"SIP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
    http("", "404 Not Found"),
    http("<html>login</html>"),
    http("null"),
    http("[]"),
    http("[" * 200000),
    http('{"jsonrpc": "2.0"}'),
    http('{"jsonrpc": "2.0", "id": 0, "result": {"Contacts": []}}'),  # of another question
    http("\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
    http('{"a": "' + "x" * 2_000_000 + '"}'),
    {"result": None},
    {"result": []},
    {"result": {"Contacts": {}}},
    {"result": {"Contacts": [7]}},
    {"result": {"Contacts": [{"Contact": None}]}},
    result({**CONTACT, "Address": None}),
    result({**CONTACT, "Expires": "soon"}),
    result({**CONTACT, "Expires": 1.5}),
    result({**CONTACT, "Expires": True}),
    result({**CONTACT, "Expires": 10**17}),
    result({**CONTACT, "Expires": []}),
    result({**CONTACT, "Expires": None}),
    error("Domain table not found"),
    error("Method Not Found"),
    error({"AOR not found": 1}),
    {"error": "AOR not found"},
)


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_anything_else_is_one_short_sentence_and_never_nobody(answer: Any) -> None:
    with pytest.raises(RegistrarError) as caught:
        read(answer)
    sentence = str(caught.value)
    assert "expected" in sentence and "found" in sentence
    assert sentence.isprintable() and len(sentence) < 300, sentence


def test_random_bytes_in_an_answer_are_one_sentence_or_an_answer() -> None:
    generator = random.Random(4)
    good = http(json.dumps({"jsonrpc": "2.0", "id": 1, **result(CONTACT)}))
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(generator.randrange(1, 6)):
            bad[generator.randrange(len(bad))] = generator.randrange(256)
        try:
            read(bytes(bad))
        except RegistrarError as error:
            assert str(error).isprintable()


def test_an_answer_that_trickles_or_never_comes_is_given_up_in_time() -> None:
    for pause in (0.1, 60.0):
        start = time.monotonic()
        with serving(http("x" * 1000), pause) as server:
            with pytest.raises(RegistrarError, match="no answer within 0.5 s"):
                Kamailio(server.url, 0.5).bindings("7001")
            assert 0.4 < time.monotonic() - start < 1.5
            end = time.monotonic() + 5
            while asking() and time.monotonic() < end:
                time.sleep(0.05)
            assert not asking()


def asking() -> bool:
    return "ask registrar" in {thread.name for thread in threading.enumerate()}


def test_a_port_where_nobody_listens_and_a_name_that_is_none_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RegistrarError, match="Connection refused"):
        Kamailio(f"http://127.0.0.1:{port}").bindings("7001")
    with pytest.raises(RegistrarError, match="expected an answer, found"):
        Kamailio(f"http://{'a' * 70}.example:{port}").bindings("7001")


def test_a_url_of_another_kind_is_refused_in_a_sentence() -> None:
    for url in (
        "",
        "127.0.0.1:5080",
        "ftp://127.0.0.1/RPC",
        "http://",
        "http:///RPC",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port/",
        "http://[::1/RPC",
        "http://name:word@127.0.0.1/RPC",
        "http://127.0.0.1/R PC",
        "http://127.0.0.1/R\r\nPC",
        "http://ä.example/",
    ):
        with pytest.raises(ValueError, match="expected http://HOST:PORT/PATH, found"):
            Kamailio(url)


def test_a_url_without_a_path_asks_where_kamailio_answers_by_its_manual() -> None:
    with serving(result(CONTACT)) as server:
        assert Kamailio(server.url.removesuffix("/RPC")).bindings("7001")

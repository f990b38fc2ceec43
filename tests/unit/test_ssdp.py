"""The search for a router's description, and URLs that lead elsewhere."""

import random

from natwatch.wire import ssdp

GATEWAY = "192.168.1.1"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n"
    b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"Location:http://192.168.1.1:5000/rootDesc.xml \r\nEXT:\r\n\r\n"
)


def test_the_search_is_that_of_the_architecture():
    lines = ssdp.search(ssdp.ROUTERS[0], 1).decode().split("\r\n")
    assert lines[0] == "M-SEARCH * HTTP/1.1" and lines[-2:] == ["", ""], lines
    assert lines[1:5] == [
        "HOST: 239.255.255.250:1900", 'MAN: "ssdp:discover"', "MX: 1", "ST: " + ssdp.ROUTERS[0]
    ], lines  # fmt: skip


def test_an_answer_names_its_target_and_its_description():
    assert ssdp.parse(ANSWER) == (ssdp.ROUTERS[0], "http://192.168.1.1:5000/rootDesc.xml")
    twice = ANSWER[:-2] + b"LOCATION: http://192.0.2.1/\r\n\r\n"
    assert ssdp.parse(twice) == ssdp.parse(ANSWER), "the first counts"


def test_what_is_no_answer_has_its_counter():
    for data, counter in (
        (b"", "not_answer"),
        (b"NOTIFY * HTTP/1.1\r\nST: a\r\nLOCATION: b\r\n\r\n", "not_answer"),
        (ANSWER.replace(b"200", b"404"), "not_answer"),
        (b"HTTP/1.1\r\n\r\n", "not_answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "incomplete"),
        (ANSWER.replace(b"ST:", b"NT:"), "incomplete"),
        (ANSWER.replace(b"EXT", b"\xff\xfe\xfd"), "not_text"),
        (ANSWER + bytes(2048), "huge"),
    ):
        try:
            ssdp.parse(data)
        except ssdp.SsdpError as error:
            assert error.counter == counter and str(error), (data, error.counter)
        else:
            assert False, data


def test_a_url_at_the_gateway_has_its_port_and_path():
    for url, expected in (
        ("http://192.168.1.1:5000/rootDesc.xml", (5000, "/rootDesc.xml")),
        ("http://192.168.1.1/", (80, "/")),
        ("http://192.168.1.1:65535/a?b=c&d", (65535, "/a?b=c&d")),
    ):
        assert ssdp.place(url, GATEWAY) == expected, url


def test_a_url_that_leads_elsewhere_or_nowhere_is_refused():
    for url in (
        "",
        "http://",
        "http://192.168.1.1",
        "http://192.168.1.1:/a",
        "http://192.168.1.1:0/a",
        "http://192.168.1.1:65536/a",
        "http://192.168.1.1:99999999/a",
        "http://192.168.1.1:-5/a",
        "http://192.168.1.1:80@192.0.2.1/a",
        "http://192.0.2.1:80@192.168.1.1/a",
        "http://192.168.1.1@192.0.2.1/a",
        "http://192.168.1.10/a",
        "http://192.168.1.1.example/a",
        "http://router.lan/a",
        "https://192.168.1.1/a",
        "HTTP://192.168.1.1/a",
        "file:///etc/passwd",
        " http://192.168.1.1/a",
        "http://192.168.1.1/a b",
        "http://192.168.1.1/a\r\nHost: x",
        "http://192.168.1.1/\u0416",
        "http://192.168.1.1:\u0663/",
        "http://192.168.1.1/" + "a" * 600,
    ):
        try:
            ssdp.place(url, GATEWAY)
        except ssdp.SsdpError as error:
            assert error.counter in ("elsewhere", "url"), url
        else:
            assert False, url


def test_whatever_comes_is_an_answer_or_an_error_with_a_counter():
    random.seed(5)
    for _ in range(2000):
        data = bytearray(ANSWER)
        for _ in range(1 + random.getrandbits(3)):
            data[random.getrandbits(16) % len(data)] = random.getrandbits(8)
        data = bytes(data[: random.getrandbits(16) % (2 * len(data))])
        try:
            target, location = ssdp.parse(data)
            assert target and location, data
            ssdp.place(location, GATEWAY)
        except ssdp.SsdpError as error:
            assert error.counter, data

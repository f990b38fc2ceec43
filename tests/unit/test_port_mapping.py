"""NAT-PMP and PCP on the wire: as the RFCs print them, and whatever else may come."""

import random

from natwatch.wire import nat_pmp, pcp

NONCE = bytes(range(12))
IPV4 = bytes(10) + b"\xff\xff"
OUTER = bytes([100, 64, 7, 2])


def mapping(nonce=NONCE, protocol=17, internal=9, external=IPV4 + OUTER):
    return nonce + bytes([protocol, 0, 0, 0, 0, internal, 0, 9]) + external


def pcp_answer(result=0, body=None, version=2, opcode=0x81, lifetime=120):
    head = bytes([version, opcode, 0, result, 0, 0, 0, lifetime]) + bytes(16)
    return head + (mapping() if body is None else body)


def nat_pmp_answer(result=0, version=0, opcode=128, tail=OUTER):
    return bytes([version, opcode, 0, result, 0, 0, 0, 9]) + tail


def test_the_requests_are_those_of_the_rfcs():
    assert nat_pmp.external_address_request() == b"\0\0"
    asked = pcp.map_request(NONCE, "192.168.1.20", 60)
    assert asked[:8] == bytes([2, 1, 0, 0, 0, 0, 0, 60]) and len(asked) == 60, asked
    assert asked[8:24] == IPV4 + bytes([192, 168, 1, 20]), asked
    assert asked[24:44] == NONCE + bytes([17, 0, 0, 0, 0, 9, 0, 0]), asked
    assert asked[44:] == IPV4 + bytes(4), asked
    released = pcp.map_request(NONCE, "192.168.1.20", 0)
    assert released[4:8] == bytes(4) and released[8:] == asked[8:]


def test_nat_pmp_answers_are_read():
    for name, data, result, external in (
        ("an address", nat_pmp_answer(), 0, "100.64.7.2"),
        ("none yet", nat_pmp_answer(tail=bytes(4)), 0, "0.0.0.0"),
        ("refused", nat_pmp_answer(2), 2, None),
        ("network failure", nat_pmp_answer(3, tail=b""), 3, None),
        ("more than is needed", nat_pmp_answer(tail=OUTER + bytes(40)), 0, "100.64.7.2"),
        ("only PCP is spoken there", nat_pmp_answer(1, version=2, tail=bytes(16)), 1, None),
    ):
        answer = nat_pmp.parse(data)
        assert (answer.result, answer.external) == (result, external), name


def test_what_is_no_nat_pmp_answer_has_its_counter():
    for data, counter in (
        (b"", "length"),
        (nat_pmp_answer()[:7], "length"),
        (nat_pmp_answer()[:11], "length"),
        (nat_pmp_answer(tail=bytes(1100)), "length"),
        (nat_pmp_answer(opcode=0), "opcode"),
        (nat_pmp_answer(opcode=129), "opcode"),
        (nat_pmp_answer(version=2), "version"),
        (nat_pmp_answer(3, version=1), "version"),
    ):
        try:
            nat_pmp.parse(data)
        except nat_pmp.NatPmpError as error:
            assert error.counter == counter and str(error), (data, error)
        else:
            assert False, data


def test_pcp_answers_are_read():
    ipv6 = bytes([0x20, 1, 13, 0xB8]) + bytes(12)
    for name, data, expected in (
        ("a mapping", pcp_answer(), (0, NONCE, 120, "100.64.7.2")),
        ("a release", pcp_answer(lifetime=0), (0, NONCE, 0, "100.64.7.2")),
        ("of the other family", pcp_answer(body=mapping(external=ipv6)), (0, NONCE, 120, None)),
        ("with an option", pcp_answer(body=mapping() + bytes(4)), (0, NONCE, 120, "100.64.7.2")),
        ("refused", pcp_answer(2), (2, NONCE, 0, None)),
        ("refused in short", pcp_answer(3, body=b""), (3, None, 0, None)),
        ("only NAT-PMP is spoken there", b"\0\x81\0\1\0\0\0\1", (1, None, 0, None)),
        ("an older PCP", pcp_answer(1, version=1), (1, None, 0, None)),
    ):
        answer = pcp.parse(data)
        found = (answer.result, answer.nonce, answer.lifetime, answer.external)
        assert found == expected, (name, found)


def test_what_is_no_pcp_answer_has_its_counter():
    for data, counter in (
        (b"", "length"),
        (pcp_answer()[:59], "length"),
        (pcp_answer(2)[:23], "length"),
        (pcp_answer(body=mapping() + bytes(1100)), "length"),
        (pcp_answer(opcode=1), "opcode"),
        (pcp_answer(opcode=0x82), "opcode"),
        (pcp_answer(version=3), "version"),
        (pcp_answer(version=0), "version"),
        (pcp_answer(body=mapping(protocol=6)), "mapping"),
        (pcp_answer(body=mapping(internal=10)), "mapping"),
    ):
        try:
            pcp.parse(data)
        except pcp.PcpError as error:
            assert error.counter == counter and str(error), (data, error)
        else:
            assert False, data


def test_every_result_has_words():
    for text in (nat_pmp.result_text, pcp.result_text):
        assert [number for number in range(1, 256) if not text(number)] == []
        assert text(200) == "an unknown result" != text(1)


def test_whatever_comes_is_an_answer_or_an_error_with_a_counter():
    random.seed(5)
    for number in range(6000):
        data = bytearray(pcp_answer(number % 3) if number % 2 else nat_pmp_answer(number % 3))
        for _ in range(random.getrandbits(3)):
            data[random.getrandbits(16) % len(data)] = random.getrandbits(8)
        if number % 5 == 0:
            data = data[: random.getrandbits(16) % (len(data) + 1)]
        for parse, kind in ((nat_pmp.parse, nat_pmp.NatPmpError), (pcp.parse, pcp.PcpError)):
            try:
                answer = parse(bytes(data))
            except kind as error:
                assert error.counter, data
                continue
            assert answer.external is None or answer.external.count(".") == 3, data
            assert answer.result == 0 or answer.external is None, data

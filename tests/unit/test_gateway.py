"""The gateway's word by NAT-PMP and PCP: who is believed, how long, and that no mapping stays."""

import random

from test_port_mapping import mapping, nat_pmp_answer, pcp_answer

from natwatch.probes.gateway import NAT_PMP, PCP, Gateway

ADDRESS = ("192.168.1.1", 5351)
LOCAL = "192.168.1.20"
NONCE = b"n" * 12


def begun(local=LOCAL):
    engine = Gateway(ADDRESS[0], local, lambda size: b"n" * size)
    engine.start(1000)
    return engine


def answered(lifetime=120, result=0, nonce=NONCE):
    return pcp_answer(result, body=mapping(nonce), lifetime=lifetime)


def run(engine, now=1000):
    """[(ms since the start, flow, bytes)] until it ends by itself."""
    sent = []
    while True:
        sent += [(now - 1000, flow, data) for flow, data, _ in engine.take_sends() if data]
        if engine.done:
            return sent
        now = engine.next_timer()
        engine.handle_timer(now)


def test_both_are_asked_as_their_rfcs_say_and_silence_ends_after_four_seconds():
    engine = begun()
    sent = run(engine)
    assert [at for at, flow, _ in sent if flow == NAT_PMP] == [0, 250, 750, 1750], sent
    assert [at for at, flow, _ in sent if flow == PCP] == [0, 3000], sent
    assert engine.next_timer() is None
    (result,) = engine.take_results()
    for kind in ("nat_pmp", "pcp"):
        assert (result[kind]["state"], result[kind]["code"]) == ("silent", None), result
        assert "192.168.1.1 does not answer" in result[kind]["reason"], result


def test_an_answer_names_the_address_and_the_mapping_is_given_back():
    engine = begun()
    asked = engine.take_sends()
    assert [entry[2] for entry in asked] == [ADDRESS, ADDRESS]
    engine.receive(NAT_PMP, nat_pmp_answer(), ADDRESS, 1005)
    engine.receive(PCP, answered(), ADDRESS, 1006)
    assert not engine.done and engine.take_results() == []
    ((flow, data, destination),) = engine.take_sends()
    assert (flow, destination, data[4:8]) == (PCP, ADDRESS, bytes(4))
    assert data[24:36] == asked[1][1][24:36], "with the nonce of the mapping"
    engine.receive(PCP, answered(), ADDRESS, 1007)  # the first answer again is not the release's
    assert not engine.done
    engine.receive(PCP, answered(lifetime=0), ADDRESS, 1008)
    (result,) = engine.take_results()
    expected = {"state": "answered", "external": "100.64.7.2", "code": 0, "reason": None}
    assert result == {"nat_pmp": expected, "pcp": expected}, result
    assert engine.done and engine.counters == {"repeated": 1}, engine.counters
    assert [entry[1] for entry in engine.take_sends()] == [None, None]


def test_a_release_that_nobody_answers_is_repeated_and_ends():
    engine = begun()
    engine.take_sends()
    engine.receive(NAT_PMP, nat_pmp_answer(), ADDRESS, 1005)
    engine.receive(PCP, answered(), ADDRESS, 1010)
    sent = run(engine)
    assert [(at, flow, data[4:8]) for at, flow, data in sent] == [
        (0, PCP, bytes(4)),
        (260, PCP, bytes(4)),
    ], sent
    assert engine.take_results()[0]["pcp"]["external"] == "100.64.7.2"
    assert engine.counters == {"unreleased": 1}, engine.counters


def test_a_refusal_is_told_with_its_number_and_needs_no_release():
    engine = begun()
    engine.receive(NAT_PMP, nat_pmp_answer(3), ADDRESS, 1005)
    engine.receive(PCP, answered(result=2), ADDRESS, 1005)
    (result,) = engine.take_results()
    assert (result["nat_pmp"]["state"], result["nat_pmp"]["code"]) == ("refused", 3), result
    assert "network failure" in result["nat_pmp"]["reason"], result
    assert (result["pcp"]["state"], result["pcp"]["code"]) == ("refused", 2), result
    assert result["pcp"]["external"] is None and "NOT_AUTHORIZED" in result["pcp"]["reason"]
    assert len([1 for _, data, _ in engine.take_sends() if data]) == 2


def test_a_gateway_that_speaks_one_of_them_refuses_the_other():
    engine = begun()
    engine.receive(NAT_PMP, nat_pmp_answer(), ADDRESS, 1005)
    engine.receive(PCP, b"\0\x81\0\1\0\0\0\1", ADDRESS, 1005)
    (result,) = engine.take_results()
    assert (result["pcp"]["state"], result["pcp"]["code"]) == ("refused", 1), result


def test_no_address_is_no_address():
    engine = begun()
    engine.receive(NAT_PMP, nat_pmp_answer(tail=bytes(4)), ADDRESS, 1005)
    engine.receive(PCP, answered(result=2), ADDRESS, 1005)
    found = engine.take_results()[0]["nat_pmp"]
    assert (found["state"], found["external"]) == ("answered", None) and found["reason"], found


def test_only_the_gateway_and_only_with_our_nonce_is_believed():
    engine = begun()
    for source in (("192.168.1.9", 5351), ("192.168.1.1", 5350), ("203.0.113.1", 5351)):
        engine.receive(NAT_PMP, nat_pmp_answer(), source, 1005)
        engine.receive(PCP, answered(), source, 1005)
    assert engine.counters == {"wrong_source": 6}, engine.counters
    engine.receive(PCP, answered(nonce=b"m" * 12), ADDRESS, 1006)
    engine.receive(PCP, answered(result=2, nonce=b"m" * 12), ADDRESS, 1006)
    engine.receive(7, nat_pmp_answer(), ADDRESS, 1006)
    assert engine.counters == {"wrong_source": 6, "wrong_nonce": 2, "unexpected": 1}
    run(engine)
    assert [found["state"] for found in engine.take_results()[0].values()] == ["silent"] * 2


def test_without_the_own_address_only_nat_pmp_is_asked():
    engine = begun(None)
    assert [flow for flow, _, _ in engine.take_sends()] == [NAT_PMP]
    engine.receive(NAT_PMP, nat_pmp_answer(), ADDRESS, 1005)
    (result,) = engine.take_results()
    assert result["nat_pmp"]["external"] == "100.64.7.2", result
    assert result["pcp"]["state"] == "unsupported" and result["pcp"]["reason"], result


def test_what_cannot_be_sent_has_failed():
    engine = begun()
    engine.unsent(NAT_PMP, 101)
    run(engine)
    (result,) = engine.take_results()
    assert (result["nat_pmp"]["state"], result["pcp"]["state"]) == ("failed", "silent"), result
    assert "error 101" in result["nat_pmp"]["reason"], result


def test_a_stop_gives_a_mapping_back_and_closes_what_is_open():
    engine = begun()
    engine.receive(PCP, answered(), ADDRESS, 1005)
    engine.take_sends()
    engine.stop(1006)
    sends = engine.take_sends()
    assert sends[0][0] == PCP and sends[0][1][4:8] == bytes(4), sends
    assert [entry[1] for entry in sends[1:]] == [None, None] and engine.done
    assert engine.take_results() == [] and engine.next_timer() is None
    engine.stop(1007)
    engine.receive(PCP, answered(), ADDRESS, 1008)
    engine.handle_timer(9000)
    assert engine.take_sends() == [] and engine.counters == {"unexpected": 1}


def test_whatever_the_gateway_sends_it_ends_in_time_with_one_result():
    random.seed(5)
    for number in range(300):
        engine = begun()
        now = 1000
        for _ in range(40):
            flow = random.getrandbits(1)
            lifetime, result = random.getrandbits(7), random.getrandbits(2) % 3
            data = bytearray(answered(lifetime, result) if flow else nat_pmp_answer(result))
            for _ in range(number % 3):
                data[random.getrandbits(16) % len(data)] = random.getrandbits(8)
            engine.receive(flow, bytes(data[: 10 + random.getrandbits(6)]), ADDRESS, now)
            now += random.getrandbits(7)
            timer = engine.next_timer()
            if timer is not None and now >= timer:
                engine.handle_timer(now)
        run(engine, now)
        (result,) = engine.take_results()
        assert now < 8000 and sorted(result) == ["nat_pmp", "pcp"], result
        for found in result.values():
            assert found["state"] in ("answered", "refused", "silent"), result
            assert (found["external"] is None) == (found["reason"] is not None), result

"""The control flow: nonces, retries, restarts, strangers, and what it says when it is lost."""

from world import ADDRESS, DEVICE, KEY, Nat, Numbers, World

from natwatch.probes.session import Session
from natwatch.wire import stun

REFLECTOR = (ADDRESS, 3478)


def session():
    return Session(DEVICE, KEY, ADDRESS, Numbers(1).bytes)


def answer(engine, data, attributes, key=KEY, klass=stun.SUCCESS, now=10, source=REFLECTOR):
    """Let *engine* receive an answer to its request *data*."""
    txid = stun.parse(data).txid
    engine.receive(0, stun.build(klass, txid, attributes, key), source, now)


def sent(engine):
    return [data for _, data, _ in engine.take_sends() if data is not None]


def test_a_first_request_is_long_enough_to_be_answered_and_the_nonce_is_used_in_the_next():
    engine = session()
    engine.start(0)
    first = sent(engine)[0]
    assert len(first) >= 112
    about = [(stun.BOOT_ID, b"bootboot"), (stun.TIME, 1700000000000), (stun.NONCE, b"n" * 16)]
    answer(engine, first, [(stun.ERROR_CODE, (438, "Stale Nonce"))] + about, klass=stun.ERROR)
    second = stun.parse(sent(engine)[0])
    assert second.get(stun.NONCE) == b"n" * 16 and second.authentic(KEY)
    assert engine.ready(10) and engine.wall == (1700000000000, 10)


def test_a_nonce_grows_stale_and_is_renewed_before_it_is_refused():
    world = World(Nat(30000, 30000))
    engine = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(engine)
    world.run(3000, lambda: False)
    assert engine.ready(world.now)
    assert not engine.ready(world.now + 60001)
    world.now += 60001
    world.run(world.now + 1000, lambda: False)
    assert engine.ready(world.now)


def test_without_an_answer_it_retries_rests_says_so_once_and_takes_a_fresh_port():
    engine = session()
    engine.start(0)
    now, flows, troubles = 0, set(), []
    while now < 120000:
        now = max(now + 1, engine.next_timer())
        engine.handle_timer(now)
        flows.update([flow for flow, data, _ in engine.take_sends() if data is not None])
        if engine.trouble not in troubles:
            troubles.append(engine.trouble)
    assert len(troubles) == 2 and troubles[0] is None and "no answer" in troubles[1]
    assert 4 <= len(flows) <= 12, flows


def test_it_recovers_when_the_reflector_comes_back():
    world = World(Nat(30000, 30000))
    engine = Session(DEVICE, KEY, ADDRESS, world.random)
    world.reflector.silent = True
    world.add(engine)
    world.run(20000, lambda: False)
    assert engine.trouble
    world.reflector.silent = False
    world.run(world.now + 40000, lambda: False)
    assert engine.trouble is None and engine.mapped[0] == "203.0.113.9"


def test_a_reflector_that_restarts_is_noticed_by_its_boot_id():
    engine = session()
    engine.start(0)
    for boot, now in ((b"bootboot", 10), (b"bootboot", 20), (b"new boot", 30)):
        data = sent(engine)[0]
        about = [(stun.BOOT_ID, boot), (stun.XOR_MAPPED_ADDRESS, ("203.0.113.9", 4))]
        answer(engine, data, about, now=now)
        kinds = [notice[0] for notice in engine.take_notices()]
        assert ("restarted" in kinds) == (now == 30)
        engine.audit(b"x" * 12)
        engine.handle_timer(now)


def test_what_a_stranger_sends_is_counted_and_changes_nothing():
    engine = session()
    engine.start(0)
    data = sent(engine)[0]
    txid = stun.parse(data).txid
    good = [(stun.NONCE, b"evil" * 4), (stun.XOR_MAPPED_ADDRESS, ("6.6.6.6", 6))]
    witness = [(stun.WITNESS, stun.Pushed(b"x" * 12, 1, 3, 5))]
    # what comes, from where -> the counter
    for payload, source, counter in (
        (stun.build(stun.SUCCESS, txid, good, KEY), ("192.0.2.66", 3478), "wrong_source"),
        (stun.build(stun.SUCCESS, txid, good, b"k" * 32), REFLECTOR, "refused_0"),
        (stun.build(stun.SUCCESS, b"y" * 12, good, KEY), REFLECTOR, "late_answer"),
        (stun.build(stun.INDICATION, txid, witness, b"k" * 32), REFLECTOR, "wrong_key"),
        (b"", REFLECTOR, "short"),
        (b"\x80" * 40, REFLECTOR, "not_stun"),
        (stun.build(stun.SUCCESS, txid, good, KEY)[:-4], REFLECTOR, "length"),
        (b"\x01\x01" + b"\xff" * 3000, REFLECTOR, "huge"),
    ):
        engine.receive(0, payload, source, 5)
        assert engine.counters.get(counter) == 1, (counter, engine.counters)
    assert engine.nonce is None and engine.mapped is None and engine.take_notices() == []


def test_a_wrong_key_and_a_foreign_server_are_named_and_not_hammered():
    for code, words in ((401, "does not accept this device's key"), (420, "plain STUN server")):
        engine = session()
        engine.start(0)
        error = [(stun.ERROR_CODE, (code, "no"))]
        answer(engine, sent(engine)[0], error, key=None, klass=stun.ERROR)
        assert words in engine.trouble
        assert engine.next_timer() >= 30000


def test_an_authenticated_refusal_is_named_and_not_hammered():
    for code in (420, 438):
        engine = session()
        engine.start(0)
        requests = 0
        now = 0
        while now < 60000:
            for data in sent(engine):
                requests += 1
                error = [(stun.ERROR_CODE, (code, "no")), (stun.NONCE, b"n" * 16)]
                answer(engine, data, error, klass=stun.ERROR, now=now)
            now = max(now + 1, engine.next_timer() or now)
            engine.handle_timer(now)
        assert requests <= 9, requests
        assert "error %d" % code in engine.trouble


def test_audits_go_in_batches_and_are_asked_again_until_answered():
    engine = session()
    engine.start(0)
    data = sent(engine)[0]
    for number in range(20):
        engine.audit(bytes([number]) * 12)
    answered = []
    for now in range(10, 100, 10):
        request = stun.parse(data)
        asked = request.get(stun.AUDIT, [])
        assert len(asked) <= 16
        about = [(stun.XOR_MAPPED_ADDRESS, ("203.0.113.9", 4)), (stun.NONCE, b"n" * 16)]
        about += [(stun.RECORD, stun.Record(txid, stun.PUSHED)) for txid in asked]
        answer(engine, data, about, now=now)
        answered += [n[1].txid[0] for n in engine.take_notices() if n[0] == "record"]
        following = sent(engine)
        if not following:
            break
        data = following[0]
    assert sorted(answered) == list(range(20))


def test_a_voice_port_is_even_also_where_the_range_begins_with_an_odd_one():
    ports = {"udp/sip": (5061, 5061), "udp/stun": (3478, 3478), "udp/rtp": (8001, 8010)}
    engine = Session(DEVICE, KEY, ADDRESS, Numbers(1).bytes, ports=ports)
    drawn = set([engine.port_of("udp/rtp") for _ in range(100)])
    assert drawn == set([8002, 8004, 8006, 8008, 8010]), drawn
    assert engine.port_of("udp/sip") == 5061

"""What an ALG does to SIP on its way out, behind simulated routers of every kind."""

from nats import PORT_DEPENDENT, Nat
from world import ADDRESS, DEVICE, INNER, KEY, World

from natwatch.probes.alg import METHODS, Alg, answered_method, changed, judge, message, method_of
from natwatch.probes.session import Session

CONTROL = 8642


def ask(router=None, local=INNER, loss=0, seed=1, prepare=None, back=None):
    """The result behind a *router*(data, port) -> what leaves it, or None; *back*: inward."""
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT, seed), loss, seed)
    world.nat.preserves_ports = True
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    arrive = world._arrive

    def through(data, source, destination):
        left = router(data, destination[1]) if router is not None else data
        if left is not None:
            arrive(left, source, destination)

    to_device = world.to_device

    def home(data, local, destination):
        left = back(data, local[1]) if back is not None else data
        if left is not None:
            to_device(left, local, destination)

    world._arrive, world.to_device = through, home
    engine = Alg(session, local, CONTROL)
    if prepare is not None:
        prepare(world, engine)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    world.remove(engine)
    results = engine.take_results()
    assert len(results) == 1 and results[0]["control_port"] == CONTROL, results
    return results[0]


def verdicts(result, path="sip"):
    return [result[path][method]["verdict"] for method in METHODS]


def backs(result, path="sip"):
    return [result[path][method]["back"] for method in METHODS]


def rewriting(data, port):
    """As Linux does: what equals the inner address, on 5060 alone."""
    if port == 5060 and method_of(data):
        return data.replace(INNER.encode(), b"203.0.113.9")
    return data


def test_a_router_without_an_alg_touches_nothing():
    result = ask()
    assert verdicts(result) == verdicts(result, "control") == ["untouched"] * 2, result
    assert backs(result) == backs(result, "control") == ["untouched"] * 2, result
    assert result["reason"] is None


def test_a_router_that_rewrites_only_answers_is_told_and_what_it_changed():
    def back(data, port):
        if port == 5060 and answered_method(data):
            return data.replace(b"200 OK", b"200 Fine")
        return data

    result = ask(back=back)
    assert verdicts(result) == verdicts(result, "control") == ["untouched"] * 2, result
    assert backs(result) == ["rewritten"] * 2, result
    assert backs(result, "control") == ["untouched"] * 2, result
    assert result["sip"]["INVITE"]["back_changes"][0] == ["SIP/2.0 200 OK", "SIP/2.0 200 Fine"]


def test_whoever_sends_in_the_reflectors_name_is_no_alg_and_takes_no_memory():
    forged = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCSeq: 1 REGISTER\r\n\r\n"
    engines = []

    def prepare(world, engine):
        engines.append(engine)
        receive = engine.receive

        def flooded(flow, data, source, now):
            for number in range(50):
                junk = forged.encode() + b"%d" % number + bytes(1900)
                receive(flow, junk, source, now)
                receive(flow, data + (b"" if data[0] < 4 else b"%d" % number), source, now)
            receive(flow, data, source, now)

        engine.receive = flooded

    result = ask(back=None, prepare=prepare)
    assert verdicts(result) == ["untouched"] * 2, result
    kept = engines[0]._heard_there
    assert sum([len(kept[port]) for port in kept]) <= 60, kept
    assert not [data for port in kept for data in kept[port] if forged.encode() in data]


def test_a_forged_answer_alone_does_not_make_an_alg():
    def prepare(world, engine):
        receive = engine.receive

        def forging(flow, data, source, now):
            receive(flow, b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\n", source, now)
            if not answered_method(data):
                receive(flow, data, source, now)

        engine.receive = forging

    assert backs(ask(prepare=prepare))[0] == "dropped"


def test_a_router_that_drops_only_answers_is_told_apart_from_loss():
    def back(data, port):
        return None if port == 5060 and answered_method(data) == "INVITE" else data

    result = ask(back=back)
    assert verdicts(result) == ["untouched"] * 2, result
    assert backs(result) == ["untouched", "dropped"], result
    for seed in range(1, 9):
        result = ask(loss=100, seed=seed)
        assert set(backs(result)) <= {"untouched", "unknown"}, (seed, result)


def test_answers_that_the_reflector_never_sent_prove_nothing():
    result = ask(prepare=lambda world, engine: setattr(engine, "reply", False))
    assert verdicts(result) == ["untouched"] * 2 and backs(result) == ["unknown"] * 2, result


def test_what_was_rewritten_is_told_line_by_line_from_what_to_what():
    result = ask(rewriting)
    assert verdicts(result) == ["rewritten"] * 2, result
    assert verdicts(result, "control") == ["untouched"] * 2, result
    changes = result["sip"]["INVITE"]["changes"]
    starts = [before.split(" ")[0] for before, _ in changes]
    assert starts == ["Via:", "Call-ID:", "Contact:", "o=probe", "c=IN"], changes
    for before, after in changes:
        assert after == before.replace(INNER, "203.0.113.9"), changes


def test_what_is_dropped_is_told_apart_from_what_is_rewritten():
    for method, expected in (
        ("INVITE", ["untouched", "dropped"]),
        ("REGISTER", ["dropped", "untouched"]),
    ):

        def drops(data, port, method=method):
            return None if port == 5060 and method_of(data) == method else data

        result = ask(drops)
        assert verdicts(result) == expected, result
        assert verdicts(result, "control") == ["untouched"] * 2, result


def test_a_lossy_line_drops_nothing_and_rewrites_nothing():
    for seed in range(1, 9):
        result = ask(None, loss=100, seed=seed)
        assert set(verdicts(result)) <= {"untouched", "unknown"}, (seed, result)


def test_a_silent_port_and_an_unknown_address_are_unknown_with_the_reason():
    result = ask(lambda data, port: None if port == 5060 else data)
    assert verdicts(result) == ["unknown"] * 2 and "5060" in result["reason"], result
    assert verdicts(result, "control") == ["untouched"] * 2, result
    result = ask(local=None)
    assert verdicts(result) == ["unknown"] * 2 and "own address" in result["reason"], result


def test_a_port_that_another_program_has_is_unknown_with_the_reason():
    def prepare(world, engine):
        start = engine.start

        def taken(now):
            start(now)
            engine.unsent(0, 98)

        engine.start = taken

    result = ask(prepare=prepare)
    assert "local port 5060" in result["reason"], result


def test_a_restart_in_the_middle_is_unknown():
    def prepare(world, engine):
        world.at(world.now + 2000, setattr, world.reflector, "boot", b"anotherb")

    result = ask(prepare=prepare)
    assert verdicts(result) == ["unknown"] * 2 and "restarted" in result["reason"], result


def test_messages_are_whole_and_carry_the_true_endpoint():
    for method in METHODS:
        data = message(method, ADDRESS, INNER, "ab" * 12)
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"Via: SIP/2.0/UDP 192.168.1.20:5060;" in head
        assert b"Content-Length: %d" % len(body) in head
        assert (b"c=IN IP4 192.168.1.20" in body) == (method == "INVITE")


def test_only_what_differs_is_told():
    assert changed(b"A\r\nB", b"A\r\nC") == [["B", "C"]]
    assert changed(b"A\r\nB", b"A") == [["B", ""]]
    assert changed(b"A", b"A\r\nB") == [["", "B"]]
    assert judge([], [])["INVITE"]["verdict"] == "unknown"


def test_a_try_without_a_witness_beside_it_proves_no_drop():
    sent, came = [], []
    for number in range(3):
        for kind in ("STUN", "REGISTER", "STUN", "INVITE", "STUN"):
            data = message(kind, ADDRESS, INNER, "ab" * 12) if kind in METHODS else None
            data = data or bytes([number, len(sent)])
            sent.append((kind, data))
            if kind == "STUN":
                came.append(data)
    assert judge(sent, came)["INVITE"]["verdict"] == "dropped"
    assert judge(sent, came[3:])["INVITE"]["verdict"] == "unknown", "the first try has no witness"
    assert judge(sent, [])["INVITE"]["verdict"] == "unknown", "nothing came at all"

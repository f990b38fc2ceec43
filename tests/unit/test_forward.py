"""What is told of a forward: answered, silent, and all that is neither."""

from nats import PUBLIC, Nat
from world import ADDRESS, DEVICE, KEY, World

from natwatch.probes.forward import Forward
from natwatch.probes.session import Session
from natwatch.wire import stun

PHONE = "Phone 1.0"


def ask(phones, agent=PHONE, prepare=None, loss=0, seed=1, port=5060):
    """(result, the world) where the public ports *phones* {port: (status, agent)} are forwarded."""
    world = World(Nat(30000, 120000), loss, seed)
    world.reflector.phones = phones
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Forward(session, port, agent)
    if prepare is not None:
        prepare(world)
    begun = world.now
    world.add(engine)
    world.run(world.now + 60000, lambda: engine.done)
    assert engine.done and world.now - begun <= 16500, world.now - begun
    results = engine.take_results()
    assert len(results) == 1 and engine.take_results() == [] and engine.next_timer() is None
    return results[0], world


def test_a_forward_that_leads_to_the_adapter_is_proven_by_its_answer():
    result, _ = ask({5060: (200, PHONE)})
    assert result == {
        "port": 5060,
        "public": PUBLIC,
        "answered": True,
        "status": 200,
        "agent": PHONE,
        "source": [PUBLIC, 5060],
        "same_agent": True,
        "reason": None,
    }


def test_another_phone_at_a_shared_address_is_told_apart_where_both_have_names():
    for theirs, ours, same in (
        ("Other 2", PHONE, False),
        (None, PHONE, None),
        ("Other 2", None, None),
        (None, None, None),
    ):
        result, _ = ask({5060: (404, theirs)}, agent=ours)
        assert result["answered"] is True and result["status"] == 404, result
        assert result["same_agent"] is same, (theirs, ours, result)


def test_silence_of_three_copies_under_a_living_control_flow_is_no_forward():
    result, world = ask({5062: (200, PHONE)})
    assert result["answered"] is False and result["reason"] is None, result
    assert (result["public"], result["status"], result["source"]) == (PUBLIC, None, None)
    assert world.reflector.forwards[5060].sent == 3


def unknown(words, phones=None, **how):
    result, world = ask(phones or {}, **how)
    assert result["answered"] is None and words in result["reason"], result
    assert result["status"] is result["agent"] is result["source"] is result["same_agent"] is None
    return world


def test_silence_while_the_line_was_down_is_unknown():
    def outage(start, length):
        def prepare(world):
            world._lost = lambda: start <= world.now < start + length

        return prepare

    # All copies are sent within 1.4 s, the first at about 1,040 ms.
    for start, length in ((1041, 1500), (1060, 3000), (1100, 1450), (1031, 1500)):
        phones = {5060: (200, PHONE)}
        result, _ = ask(phones, prepare=outage(start, length))
        assert result["answered"] is not False, (start, length, result)
    unknown("interrupted", prepare=outage(1100, 2500))


def test_loss_hides_few_forwards_and_invents_none():
    told = [ask({5060: (200, PHONE)}, loss=50, seed=seed)[0]["answered"] for seed in range(1, 41)]
    assert told.count(True) >= 38 and told.count(False) == 0, told
    told = [ask({}, loss=50, seed=seed)[0]["answered"] for seed in range(1, 41)]
    assert told.count(True) == 0 and told.count(False) >= 36, told


def test_copies_that_were_not_sent_prove_nothing():
    def prepare(world):
        world.reflector.forwards[5060] = told = stun.Forwarded(stun.UNDER_WAY, 1)
        world.at(4000, setattr, told, "state", stun.SILENT)
        world.at(4000, setattr, told, "sent", 2)

    unknown("could not send", prepare=prepare)


def test_copies_that_were_all_sent_before_the_first_answer_came_were_not_watched():
    def prepare(world):
        world.reflector.forwards[5060] = told = stun.Forwarded(stun.UNDER_WAY, 3)
        world.at(3000, setattr, told, "state", stun.SILENT)

    unknown("interrupted", prepare=prepare)


def test_an_old_silence_that_nobody_watched_is_unknown_and_an_old_answer_is_one():
    def before(state):
        def prepare(world):
            told = stun.Forwarded(state, 3, 200, (PUBLIC, 5060), PHONE)
            world.reflector.forwards[5060] = told

        return prepare

    unknown("less than a minute ago", prepare=before(stun.SILENT))
    result, _ = ask({}, prepare=before(stun.ANSWERED))
    assert result["answered"] is True


def test_refusals_are_unknown_with_their_reason():
    for state, words in (
        (stun.REFUSED_PORT, "no such port"),
        (stun.REFUSED_PORTS, "two other ports"),
        (stun.REFUSED_SOON, "ten seconds"),
        (stun.REFUSED_FULL, "no room"),
        (99, "refuses (99)"),
    ):

        def prepare(world):
            world.reflector._forward = lambda forward: stun.Forwarded(state)  # noqa: B023

        unknown(words, prepare=prepare)


def test_a_reflector_that_knows_no_forwards_says_so_and_the_session_goes_on():
    def prepare(world):
        usual = world.reflector._control

        def control(message, source, local, reply):
            if not message.has(stun.FORWARD):
                usual(message, source, local, reply)
                return
            error = [(stun.ERROR_CODE, (420, "")), (stun.UNKNOWN_ATTRIBUTES, [stun.FORWARD])]
            world.reflector._answer(message.txid, error, source, local, klass=stun.ERROR)

        world.reflector._control = control

    world = unknown("does not ask about forwards", prepare=prepare)
    session = world.engines[0]
    assert session.trouble is None and session.next_timer() is None
    session.audit(b"a" * 12)
    world.run(world.now + 1000, lambda: bool(session.take_notices()))
    assert session.counters.get("error_420") == 1


def test_a_restart_and_a_public_address_that_changed_are_unknown():
    def restart(world):
        world.at(world.now + 1500, setattr, world.reflector, "boot", b"another1")

    unknown("restarted", prepare=restart)

    def forget(world):
        world.at(world.now + 1500, world.reflector.forwards.clear)

    unknown("has lost it", prepare=forget)


def test_without_a_reflector_it_ends_with_the_reason():
    def silence(world):
        world.reflector.silent = True

    unknown("no answer from the reflector", prepare=silence)

    def later(world):
        world.at(world.now + 500, setattr, world.reflector, "silent", True)

    unknown("in time", prepare=later)


def test_the_reflector_is_asked_once_and_then_only_for_what_it_knows():
    asked = []

    def prepare(world):
        usual = world.reflector._forward
        world.reflector._forward = lambda forward: asked.append(forward.ask) or usual(forward)

    ask({}, prepare=prepare)
    assert asked[0] is True and True not in asked[1:] and len(asked) < 16, asked


def test_one_that_is_stopped_says_nothing():
    session = Session(DEVICE, KEY, ADDRESS, World(Nat(30000, 120000)).random)
    engine = Forward(session, 5060)
    engine.start(0)
    engine.stop(1)
    engine.notice(("forwarded", 5060, stun.Forwarded(stun.ANSWERED)), 2)
    assert engine.done and engine.take_results() == [] and engine.next_timer() is None

"""One tooth: its life as the table says, and every way in which it may not be believed."""

from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes import teeth as module
from natwatch.probes.session import Session
from natwatch.probes.teeth import ALIVE, EXPIRED, UNKNOWN, Teeth
from natwatch.wire import stun

FIVE = 5000


def bite(state, ask, prepare=None, timer=FIVE, seconds=60, sip=False, earlier=None):
    """(the one finished tooth, its set, the world) of asking once at *ask* ms."""
    world = World(Nat(timer, timer))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    teeth = Teeth(session, 5060, state, 10)
    teeth.start = lambda now: None
    world.add(teeth)
    teeth.add(ask, sip=sip, earlier=earlier)
    if prepare is not None:
        prepare(world)
    finished = []

    def done():
        finished.extend(teeth.take_finished())
        return bool(finished)

    world.run(world.now + seconds * 1000, done)
    return finished[0], teeth, world


def test_every_state_is_alive_before_the_timer_and_expired_after():
    for state in ("oneway", "replied", "stream"):
        assert bite(state, 4900)[0].phase == ALIVE, state
        tooth = bite(state, 5100)[0]
        assert tooth.phase == EXPIRED, (state, tooth.reason)
        assert tooth.idle == 5500  # the last copy


def test_idle_time_is_the_reflectors_and_a_oneway_tooth_adds_the_round_trip():
    tooth = bite("oneway", 5100)[0]
    assert tooth.slack == 20 and tooth.idle + tooth.slack == 5520
    assert bite("replied", 5100)[0].slack == 20


def lose(world, wanted):
    """Drop what *wanted(message, to_device)* says of everything that passes."""
    arrive, deliver = world._arrive, world._deliver

    def filtered_arrive(data, source, local):
        if not wanted(stun.parse(data), False):
            arrive(data, source, local)

    def filtered_deliver(data, source, destination):
        if not wanted(stun.parse(data), True):
            deliver(data, source, destination)

    world._arrive, world._deliver = filtered_arrive, filtered_deliver


def test_silence_without_a_witness_is_unknown():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.WITNESS) or m.has(stun.PUSH))

    tooth = bite("replied", 4000, prepare)[0]
    assert tooth.phase == UNKNOWN and "no witness" in tooth.reason


def test_one_copy_is_enough_to_live():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.PUSH) and m.get(stun.PUSH).copy != 3)

    tooth = bite("replied", 4000, prepare)[0]
    assert tooth.phase == ALIVE and tooth.idle == 4400


def test_an_unanswered_audit_is_unknown():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.AUDIT))

    tooth = bite("replied", 6000, prepare)[0]
    assert tooth.phase == UNKNOWN and "audit" in tooth.reason


def test_a_lost_answer_makes_an_expiry_unknown_since_the_nat_idled_longer():
    seen = []

    def prepare(world):
        def first_answer(m, down):
            if down and m.klass == stun.SUCCESS and not m.has(stun.BOOT_ID):
                seen.append(m)
                return len(seen) == 1
            return False

        lose(world, first_answer)

    tooth = bite("replied", 6000, prepare)[0]
    assert tooth.phase == UNKNOWN and "lost" in tooth.reason


def test_a_set_up_that_is_never_answered_is_given_up_before_it_becomes_a_stream():
    def prepare(world):
        lose(world, lambda m, down: down and not m.has(stun.BOOT_ID))

    tooth, _, world = bite("replied", 6000, prepare)
    assert tooth.phase == UNKNOWN and "no answer" in tooth.reason
    assert world.now < 4000 and tooth.sent == 3


def test_a_oneway_tooth_whose_request_was_lost_is_unknown():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.HOLD))

    tooth = bite("oneway", 6000, prepare)[0]
    assert tooth.phase == UNKNOWN and "unseen" in tooth.reason


def test_a_oneway_request_that_the_reflector_looked_at_late_widens_the_upper_edge():
    def prepare(world):
        world.reflector.asleep = (world.now + 45, world.now + 245)

    tooth = bite("oneway", 4900, prepare)[0]
    # The NAT idled a fifth of a second more than the reflector counts.
    assert tooth.phase == EXPIRED and tooth.idle == 5300, tooth.reason
    assert 5490 <= tooth.idle + tooth.slack <= 5540


def test_a_stream_whose_mapped_address_changes_during_the_set_up_is_unknown():
    def prepare(world):
        world.at(world.now + 2000, world.nat.restart)

    tooth = bite("stream", 4000, prepare)[0]
    assert tooth.phase == UNKNOWN and "mapped address changed" in tooth.reason


def test_what_strangers_send_to_a_tooth_is_counted_and_believed_by_nobody():
    world = World(Nat(FIVE, FIVE))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    teeth = Teeth(session, 5060, "replied", 10)
    teeth.start = lambda now: None
    world.add(teeth)
    tooth = teeth.add(30000)
    world.run(world.now + 2000, lambda: False)
    push = [(stun.PUSH, stun.Pushed(tooth.txid, 1, 3, 29000))]
    here = (ADDRESS, 5060)
    good = stun.build(stun.INDICATION, tooth.txid, push, KEY)
    for data, source, counter in (
        (good, (ADDRESS, 3478), "wrong_source"),
        (good, ("192.0.2.66", 5060), "wrong_source"),
        (stun.build(stun.INDICATION, tooth.txid, push, b"k" * 32), here, "wrong_key"),
        (stun.build(stun.INDICATION, b"z" * 12, push, KEY), here, "wrong_transaction"),
        (good[:19], here, "short"),
        (good[:-1], here, "length"),
        (good + b"\0" * 4, here, "length"),
        (b"\x01" * 3000, here, "huge"),
        (b"SIP/2.0 200 OK\r\n\r\n" * 2, here, "not_stun"),
    ):
        before = teeth.counters.get(counter, 0)
        teeth.receive(tooth.number, data, source, world.now)
        assert teeth.counters.get(counter, 0) == before + 1, (counter, teeth.counters)
        assert not tooth.spent
    teeth.receive(tooth.number, good, here, world.now)
    assert tooth.phase == ALIVE


def test_every_phase_can_be_left_and_no_transition_leads_nowhere():
    phases = set([phase for phase, _ in module.TRANSITIONS])
    for target in module.TRANSITIONS.values():
        assert target in phases or target in (ALIVE, EXPIRED, UNKNOWN)
    for phase in phases:
        assert module.TRANSITIONS[(phase, "spoiled")] == UNKNOWN


def test_a_tooth_whose_public_address_is_gone_is_unknown_and_not_expired():
    def prepare(world):
        world.at(world.now + 4000, world.nat.change_address, "203.0.113.77")

    for state in ("oneway", "replied"):
        tooth = bite(state, 5100, prepare, timer=30000)[0]
        assert tooth.phase == UNKNOWN, state
        assert tooth.reason == "the public address changed from 203.0.113.9 to 203.0.113.77"


def test_where_outsiders_refresh_nothing_the_upper_edge_counts_from_our_request():
    def prepare(world):
        world.nat.refresh_inbound = False
        lose(world, lambda m, down: m.has(stun.PUSH) and m.get(stun.PUSH).copy < 3)

    tooth = bite("replied", 4590, prepare)[0]
    # The last copy leaves 4,990 ms after the answer and meets a binding of 5,010 ms: dead.
    assert tooth.phase == EXPIRED and tooth.idle < FIVE <= tooth.idle + tooth.slack


def test_a_tooth_that_speaks_sip_is_believed_as_any_other():
    def prepare(world):
        arrive, deliver = world._arrive, world._deliver

        def seen_out(data, source, local):
            assert local[1] != 5060 or data[:8] == b"OPTIONS ", data
            arrive(data, source, local)

        def seen_in(data, source, destination):
            assert source[1] != 5060 or data[:8] in (b"OPTIONS ", b"SIP/2.0 "), data
            deliver(data, source, destination)

        world._arrive, world._deliver = seen_out, seen_in

    for state in ("oneway", "replied", "stream"):
        assert bite(state, 4900, prepare, sip=True)[0].phase == ALIVE, state
        assert bite(state, 5100, prepare, sip=True)[0].phase == EXPIRED, state


def test_a_tooth_that_speaks_sip_takes_nothing_else():
    world = World(Nat(FIVE, FIVE))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    teeth = Teeth(session, 5060, "replied", 10)
    teeth.start = lambda now: None
    world.add(teeth)
    tooth = teeth.add(30000, sip=True)
    world.run(world.now + 2000, lambda: False)
    push = [(stun.PUSH, stun.Pushed(tooth.txid, 1, 3, 29000))]
    for data in (
        stun.build(stun.INDICATION, tooth.txid, push, KEY),
        b"SIP/2.0 200 OK\r\nNatwatch: AAAA\r\n\r\n",
        b"SIP/2.0 200 OK\r\nNatwatch: =\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\xff" * 40,
        b"",
    ):
        before = sum(teeth.counters.values())
        teeth.receive(tooth.number, data, (ADDRESS, 5060), world.now)
        assert sum(teeth.counters.values()) == before + 1 and not tooth.spent, data


def test_an_earlier_push_refreshes_and_is_no_answer():
    tooth = bite("replied", 6000, earlier=3000)[0]
    assert tooth.phase == ALIVE and tooth.idle == 6000 and tooth.refreshed == 3400
    assert bite("replied", 9000, earlier=3000)[0].phase == EXPIRED


def test_a_tooth_whose_earlier_push_was_lost_is_unknown():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.PUSH) and m.get(stun.PUSH).copy == 0)

    for ask in (4000, 9000):
        tooth = bite("replied", ask, prepare, timer=5000, earlier=2000)[0]
        assert tooth.phase == UNKNOWN and "refresh" in tooth.reason, tooth.phase


def test_a_witness_of_the_earlier_push_is_none_of_the_last():
    def prepare(world):
        lose(world, lambda m, down: m.has(stun.WITNESS) and m.get(stun.WITNESS).copy > 0)

    tooth = bite("replied", 9000, prepare, earlier=3000)[0]
    assert tooth.phase == UNKNOWN and "no witness" in tooth.reason

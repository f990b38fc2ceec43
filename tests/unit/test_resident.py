"""The resident flow against simulated NATs: what is missed is missed, and nothing else."""

from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes import resident, tally
from natwatch.probes.keepalives import KINDS
from natwatch.probes.resident import Resident
from natwatch.probes.session import Session
from natwatch.wire import stun

PORT = 5062
MINUTE, HOUR = 60000, 3600000


class Rig:
    """A device whose resident flow has run for a while. *stuck* flows leave untranslated."""

    def __init__(self, timer=120000, loss=0, seed=1, nat=None, **options):
        self.nat = nat or Nat(timer, timer)
        self.world = World(self.nat, loss, seed)
        self.session = Session(DEVICE, KEY, ADDRESS, self.world.random)
        self.world.add(self.session)
        self.engine = Resident(self.session, PORT, **options)
        self.results = []
        self.told_at = []
        self.world.add(self.engine)

    def run(self, ms):
        end = self.world.now + ms

        def collect():
            for result in self.engine.take_results():
                self.results.append(result)
                self.told_at.append(self.world.now)
            return False

        self.world.run(end, collect)
        collect()
        return self

    def count(self, name):
        """All that was counted since the results were last emptied, told or not told yet."""
        untold = self.engine._tally.counts.get(name, self.engine.moved)
        return untold + sum([result[name] for result in self.results])

    def share(self):
        return tally.share(self.count("arrived"), self.count("missed"))


class Stuck(Nat):
    """The kernel's NAT with a rule loaded late: flows opened before leave as they are, for ever."""

    def __init__(self, timer):
        Nat.__init__(self, timer, timer)
        self.rule_loaded = False
        self.untranslated = {}  # inner port -> until; sending keeps it
        self.dropped = False  # whether the line beyond drops what comes from a private address

    def outbound(self, inner, destination, now):
        if not self.rule_loaded or self.untranslated.get(inner, 0) > now:
            self.untranslated[inner] = now + self.unreplied
            return ("0.0.0.0" if self.dropped else "192.168.1.20"), inner
        return Nat.outbound(self, inner, destination, now)


def test_a_healthy_flow_is_told_every_hour_and_all_of_its_calls_arrive():
    rig = Rig().run(6 * HOUR)
    assert rig.share() == 100.0 and rig.count("unknown") == 0 and rig.count("moved") == 0
    assert 60 <= rig.count("arrived") <= 72
    first, last = rig.results[0], rig.results[-1]
    # The first call that arrives is told at once: before it nothing is known.
    assert first["reachable"] is True and first["seconds"] < 600
    assert last["seconds"] == 3600 and last["day"] == 100.0 and last["reason"] is None
    assert last["local_port"] == PORT and last["interval"] == 20 and last["kind"] == "crlf"
    assert last["mapped"][0] == "203.0.113.9" and len(rig.results) == 6
    assert rig.engine.local_port(0) == PORT


def test_every_kind_of_keepalive_keeps_it_and_what_is_answered_is_tolerated():
    for kind in KINDS:
        rig = Rig(timer=30000, keepalive=kind).run(HOUR)
        assert rig.share() == 100.0, kind
        # One flow, one mapping: the socket never changes.
        assert rig.count("moved") == 0 and len(rig.engine.take_sends()) == 0


def test_a_keepalive_above_the_timer_loses_most_calls():
    rig = Rig(timer=15000).run(6 * HOUR)
    assert rig.share() < 30, rig.share()
    assert rig.count("unknown") == 0
    assert [r for r in rig.results if r["reachable"] is False and "do not arrive" in r["reason"]]
    # The mapping is another one at each registration, ports being given in turn here.
    assert rig.count("moved") > 30


def test_after_a_restart_of_the_nat_calls_are_missed_until_the_next_registration():
    missed = 0
    for seed in range(1, 13):
        rig = Rig(seed=seed)
        rig.run(15 * MINUTE)
        rig.nat.restart()
        rig.run(10 * MINUTE + 10000)
        before = rig.count("missed")
        missed += before
        rig.run(HOUR)
        assert rig.count("missed") == before, seed
    # Half a period on average, two questions a period.
    assert 6 <= missed <= 20, missed


def test_a_moved_mapping_is_counted_once():
    rig = Rig().run(15 * MINUTE)
    rig.nat.restart()
    rig.run(3 * HOUR)
    assert rig.count("moved") == 1


def test_a_nat_that_preserves_ports_loses_nothing_by_a_restart():
    nat = Nat(120000, 120000)
    nat.preserves_ports = True
    rig = Rig(nat=nat).run(15 * MINUTE)
    rig.nat.restart()
    rig.run(3 * HOUR)
    assert rig.count("moved") == 0 and rig.share() > 97


def test_a_flow_opened_before_the_nat_rule_was_loaded_is_unreachable_within_a_minute():
    for dropped in (False, True):
        nat = Stuck(30000)
        nat.dropped = dropped
        rig = Rig(nat=nat)
        rig.run(2000)
        nat.rule_loaded = True
        start = rig.world.now
        rig.run(3 * HOUR)
        # The control flow took a fresh port and is fine; this one stays broken while it sends.
        assert rig.session.trouble is None
        told = [at for at, r in zip(rig.told_at, rig.results) if r["reachable"] is False]
        assert told and told[0] - start < 75000, told
        assert rig.results[-1]["reachable"] is False
        assert rig.results[-1]["reason"] == "registration unanswered"
        assert rig.count("arrived") == 0 and rig.count("missed") > 10 and rig.share() == 0
        # A second of pause longer than the timer, and it recovers: reachable at once.
        nat.untranslated = {}
        at = rig.world.now
        rig.run(MINUTE)
        assert rig.results[-1]["reachable"] is True and rig.told_at[-1] - at < 40000


def test_a_registration_that_fails_once_is_no_verdict():
    rig = Rig().run(5 * MINUTE)
    receive, blocked = rig.world.reflector.receive, rig.world.now + 7 * MINUTE

    def deaf(data, source, local, now):
        if local[1] != 5060 or now > blocked:
            receive(data, source, local, now)

    rig.world.reflector.receive = deaf
    rig.run(5 * MINUTE + 20000)  # the second registration is due and is not heard
    assert rig.engine.counters.get("registration_failed") == 1
    assert rig.engine.reachable is True and rig.count("missed") == 0
    rig.run(30000)
    assert rig.engine.counters["registration_failed"] == 2 and rig.engine.reachable is False
    rig.run(2 * MINUTE)
    assert rig.engine.reachable is True


def test_a_line_that_is_down_is_unknown_and_not_missed():
    for seed in (1, 2, 3):
        rig = Rig(seed=seed).run(25 * MINUTE)
        rig.world.outage = (10 * HOUR, 10 * HOUR)  # nothing passes at all
        rig.run(3 * HOUR)
        rig.world.outage = None
        assert rig.count("missed") == 0, seed
        assert rig.count("unknown") >= 20
        assert rig.engine.reachable is None and rig.results[-1]["reason"]
        rig.run(HOUR)
        # The line is back. What was asked in the first moments may have met dead bindings.
        assert rig.engine.reachable is True and rig.count("missed") <= 1


def test_a_day_at_five_per_cent_loss_each_way_is_all_but_whole_and_never_unreachable():
    for seed in (1, 2, 3):
        rig = Rig(loss=50, seed=seed, report=HOUR).run(24 * HOUR)
        assert rig.share() >= 99.9, (seed, rig.share())
        assert [r["reachable"] for r in rig.results if r["reachable"] is not True] == []
        assert rig.count("arrived") > 250 and rig.count("unknown") <= 2


def test_an_outage_of_a_second_every_twenty_is_never_missed():
    for seed in (1, 2, 3):
        rig = Rig(seed=seed)
        rig.world.outage = (20000, 1000)
        rig.run(12 * HOUR)
        assert rig.count("missed") == 0 and rig.count("arrived") > 100, seed
        assert [r for r in rig.results if r["reachable"] is False] == []


def test_a_restart_of_the_reflector_is_unknown_and_registers_anew():
    for seed in (1, 2, 3, 4):
        rig = Rig(seed=seed).run(11 * MINUTE)
        reflector = rig.world.reflector
        reflector.boot = b"new boot"
        reflector.holds = {}
        for entry in rig.world._queue:
            for part in entry[3]:
                if isinstance(part, stun.Record):
                    part.outcome = stun.CANCELED  # it pushes no more for what it forgot
        reflector.control = None
        while rig.session.boot != b"new boot":
            assert not reflector.holds
            rig.run(500)
        rig.run(1500)
        assert reflector.holds, "it registers as soon as it knows"
        rig.run(2 * HOUR)
        assert rig.count("missed") == 0, seed
        assert rig.count("arrived") >= 20
        assert rig.engine.reachable is True


def test_a_box_that_slept_says_nothing_of_the_nat():
    rig = Rig(timer=60000).run(11 * MINUTE)
    for _ in range(6):
        rig.world.asleep = (rig.world.now, rig.world.now + 4 * MINUTE)
        rig.run(14 * MINUTE)
    assert rig.count("missed") == 0 and rig.count("unknown") > 0, rig.results


def test_what_the_system_refuses_to_send_is_not_the_nats_fault():
    nat = Stuck(30000)
    nat.dropped = True
    rig = Rig(nat=nat).run(1000)
    nat.rule_loaded = True
    for _ in range(120):
        rig.engine.unsent(0, 98)
        rig.run(5000)
    assert rig.engine.reachable is None and rig.count("missed") == 0
    assert "could not send: error 98" in rig.engine.reason
    # And it was told, once, without waiting for the hourly report.
    told = [result["reason"] for result in rig.results]
    assert told == ["this box could not send: error 98"], told


def refused_from(address):
    """A rig whose registrations reach the reflector from *address*: not where its nonce was got."""
    rig = Rig().run(1000)
    reflector, receive = rig.world.reflector, rig.world.reflector.receive

    def strict(data, source, local, now):
        if local[1] != 5060 or len(data) < 20:
            receive(data, source, local, now)
            return
        txid = stun.parse(data).txid
        reflector.holds[txid] = stun.Record(txid, stun.WRONG_ADDRESS, 1, mapped=(address, 7))
        reflector.holds[txid].last = now

    reflector.receive = strict
    return rig.run(40 * MINUTE)


def test_a_registration_from_another_public_address_is_no_verdict():
    rig = refused_from("203.0.113.10")
    assert rig.engine.reachable is not False and rig.count("missed") == 0
    assert "wrong address" in rig.engine.reason


def test_a_registration_from_a_private_address_left_untranslated_and_is_unreachable():
    rig = refused_from("192.168.1.20")
    assert rig.engine.reachable is False and rig.count("missed") > 0


def test_failures_before_and_after_an_outage_of_the_line_are_not_two_in_a_row():
    rig = Rig().run(5 * MINUTE)
    receive, state = rig.world.reflector.receive, {"deaf": True, "down": False}

    def line(data, source, local, now):
        if not state["down"] and not (state["deaf"] and local[1] == 5060):
            receive(data, source, local, now)

    rig.world.reflector.receive = line
    while not rig.engine._unanswered:
        rig.run(500)
    state["down"] = True
    rig.run(2 * MINUTE)
    state["down"] = False
    while rig.session.trouble:
        rig.run(500)
    failed = rig.engine.counters["registration_failed"]
    while rig.engine.counters["registration_failed"] == failed:
        rig.run(500)
    rig.run(1500)  # what the reflector says of it
    assert rig.engine.reachable is not False
    state["deaf"] = False
    rig.run(2 * MINUTE)
    assert [r for r in rig.results if r["reachable"] is False] == []


def test_while_the_line_is_down_an_unregistered_phone_misses_nothing_either():
    for seed in range(1, 41):
        nat = Stuck(30000)
        nat.dropped = True
        rig = Rig(nat=nat, seed=seed).run(1000)
        nat.rule_loaded = True
        rig.run(2 * MINUTE)
        while rig.engine._phase != resident.REGISTERING:
            rig.run(500)
        assert rig.engine.reachable is False
        before = rig.count("missed")
        rig.world.outage = (10 * HOUR, 10 * HOUR)
        rig.run(5 * MINUTE)
        assert rig.count("missed") == before, seed


def test_the_cost_of_a_day_on_the_wire_is_below_half_a_megabyte():
    rig = Rig()
    counted = [0]
    receive, to_device = rig.world.reflector.receive, rig.world.to_device

    def inward(data, source, local, now):
        counted[0] += len(data) + 28
        receive(data, source, local, now)

    def outward(data, local, destination):
        counted[0] += len(data) + 28
        to_device(data, local, destination)

    rig.world.reflector.receive, rig.world.to_device = inward, outward
    rig.run(24 * HOUR)
    assert counted[0] < 500000, counted
    # So much was said to be sent; what it counts itself is what the line carried.
    assert abs(rig.engine.bytes + rig.session.bytes - counted[0]) < 1000
    assert 270 <= rig.count("arrived") <= 288


def test_moments_are_drawn_evenly_and_keep_their_distance():
    world = World(Nat(1, 1))
    sums = [0, 0]
    for _ in range(2000):
        times = resident.draw(2, 1000, 597000, world.random)
        assert 1000 <= times[0] and times[1] - times[0] >= 1000 and times[1] < 597000
        sums[0] += times[0]
        sums[1] += times[1]
    # The lesser and the greater of two even draws lie at a third and at two thirds on average.
    assert abs(sums[0] / 2000 - 199000) < 9000 and abs(sums[1] / 2000 - 398000) < 9000
    assert len(resident.draw(17, 1000, 30000, world.random)) == 17


def test_the_share_of_the_day_forgets_what_is_older_in_bounded_memory():
    counted = tally.Tally()
    for hour in range(100):
        outcome = tally.MISSED if hour < 50 else tally.ARRIVED
        counted.add(outcome, hour * HOUR)
        counted.add(tally.UNKNOWN, hour * HOUR)
        assert len(counted._hours) <= 24
    assert counted.day(99 * HOUR) == 100.0
    assert counted.day(200 * HOUR) is None
    assert tally.share(99999, 1) == 99.99 and tally.share(0, 0) is None


def test_the_adapters_own_port_is_refused():
    world = World(Nat(1, 1))
    try:
        Resident(Session(DEVICE, KEY, ADDRESS, world.random), 5060)
    except ValueError as error:
        assert "5060" in str(error)
    else:
        raise AssertionError("5060 was taken")


def test_stopped_it_leaves_nothing_behind():
    rig = Rig().run(5 * MINUTE)
    rig.engine.stop(rig.world.now)
    assert rig.engine.take_sends()[-1][1] is None and rig.engine.next_timer() is None
    rig.run(2000)
    assert stun.CANCELED in [record.outcome for record in rig.world.reflector.holds.values()]

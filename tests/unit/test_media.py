"""A voice-like stream over a line whose every loss, delay and clock the test decides."""

import struct

from nats import PORT_DEPENDENT, Nat
from world import ADDRESS, DEVICE, KEY, Numbers, World

from natwatch.probes import emodel
from natwatch.probes.media import Media
from natwatch.probes.session import Session
from natwatch.probes.voice import IN_TIME, LOST, Jitter, Voice, burst_ratio
from natwatch.wire import media

PORT = 8500
SECONDS = 6
SENT = 300


class Line:
    """A reflector of media, and what the line does on each way.

    *out*(sequence) and *back*(number) give the extra delays (ms) of each copy that arrives: []
    loses the packet, [0, 5] doubles it.
    """

    def __init__(self, world, out, back):
        self.world = world
        self.out = out
        self.back = back
        self.number = 0
        self.earlier = []
        self.clock = (0, 0)  # ms, millionths that the reflector's clock goes faster
        self.tells = True  # its count, when the tooth is canceled
        self.stray = None  # a source from which every answer comes as well

    def arrive(self, data, source, local):
        for extra in self.out(media.sequence_of(data)):
            self.world.at(self.world.now + extra, self.reflect, data, source, local)

    def reflect(self, data, source, local):
        (record,) = self.world.reflector.holds.values()
        if media.ssrc_of(data) != record.txid[:4] or source != record.mapped:
            return
        self.number += 1
        if self.tells:
            record.idle = self.number
        at = self.clock[0] + self.world.now * (1000000 + self.clock[1]) // 1000000
        answer = media.reflected(data, self.number, at, at, self.earlier)
        assert len(answer) == len(data) == 172
        self.earlier = ([(media.sequence_of(data), at)] + self.earlier)[: media.HISTORY]
        for extra in self.back(self.number):
            self.world.at(self.world.now + extra, self.world.to_device, answer, local, source)
            if self.stray is not None:
                self.world.to_device(answer, self.stray, source)


def clear(_number):
    return (0,)


def measure(out=clear, back=clear, prepare=None, seconds=SECONDS):
    """(the result, the engine) of one stream."""
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT, 1), 0, 1)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    line = Line(world, out, back)
    arrive = world._arrive

    def outward(data, source, destination):
        if media.looks_like_rtp(data):
            line.arrive(data, source, destination)
        else:
            arrive(data, source, destination)

    world._arrive = outward
    engine = Media(session, PORT, seconds)
    if prepare is not None:
        prepare(world, line)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    world.remove(engine)
    assert [key for key in world.inner if key[0] == id(engine)] == [], "the socket is closed"
    (result,) = engine.take_results()
    return result, engine


def losing(*lost):
    return lambda number: () if number in lost else (0,)


def test_a_clear_line_loses_nothing_and_waits_for_nothing():
    result, engine = measure()
    assert result["sent"] == SENT and result["port"] == PORT and result["reason"] is None, result
    assert result["seconds"] == SECONDS, result
    assert result["rtt"] == {"least": 20, "median": 20, "most": 20}, result
    for way in ("out", "in"):
        told = result[way]
        assert (told["packets"], told["lost"], told["loss_percent"]) == (SENT, 0, 0), told
        assert told["late"] == told["reordered"] == told["duplicated"] == told["bursts"] == 0, told
        assert told["jitter"] == told["jitter_most"] == 0 and told["burst_ratio"] == 1, told
        assert told["delay_above_least"] == {"median": 0, "p95": 0, "most": 0}, told
        # Half of 20 ms, a packet of 20 and a buffer of 60.
        assert told["mos"]["g711"] == round(emodel.mos(emodel.rating(90, 0, "g711")), 2), told
        assert told["mos"]["g729"] == round(emodel.mos(emodel.rating(90, 0, "g729")), 2), told
    assert engine.counters == {}, engine.counters
    assert engine.bytes < (SENT + 12) * 400 + 1000, engine.bytes


def test_losses_are_told_for_the_way_on_which_they_were():
    result, _ = measure(out=lambda number: () if number % 10 == 3 else (0,))
    assert (result["out"]["lost"], result["out"]["loss_percent"]) == (30, 10.0), result
    assert (result["in"]["packets"], result["in"]["lost"]) == (270, 0), result
    assert result["out"]["bursts"] == 1 and result["out"]["burst_ratio"] == 1, result
    assert result["out"]["mos"]["g711"] < 3.9 and result["in"]["mos"]["g711"] > 4.3, result

    result, _ = measure(back=lambda number: () if number % 10 == 3 else (0,))
    assert result["out"]["lost"] == 0, result
    assert (result["in"]["packets"], result["in"]["lost"]) == (SENT, 30), result


def test_losses_on_both_ways_at_once_stay_apart():
    numbers = Numbers(5)
    out = [number for number in range(SENT) if numbers.below(5) == 0]
    result, _ = measure(
        out=lambda number: () if number in out else (0,),
        back=lambda number: () if number % 7 == 0 else (0,),
    )
    assert result["out"]["lost"] == len(out) > 40, result
    arrived = SENT - len(out)
    assert (result["in"]["packets"], result["in"]["lost"]) == (arrived, arrived // 7), result


def test_a_burst_is_told_from_losses_at_random():
    result, _ = measure(out=losing(*range(100, 115)), back=losing(*range(200, 220)))
    assert (result["out"]["lost"], result["out"]["bursts"]) == (15, 15), result
    assert (result["in"]["lost"], result["in"]["bursts"]) == (20, 20), result
    assert result["out"]["burst_ratio"] == round(15 * 0.95, 2), result
    alike, _ = measure(out=lambda number: () if number % 20 == 9 else (0,))
    assert alike["out"]["lost"] == 15 and alike["out"]["burst_ratio"] == 1, alike
    assert alike["out"]["mos"]["g711"] > result["out"]["mos"]["g711"] + 0.1, (alike, result)
    assert burst_ratio([IN_TIME] * 4) == burst_ratio([LOST] * 4) == 1


def test_a_long_silence_of_the_way_back_hides_no_loss_outward():
    # Longer than the history that a packet carries: the count and its gaps are all that is left.
    result, _ = measure(out=losing(120, 121, 130, 250), back=lambda n: () if 80 < n < 200 else (0,))
    assert result["out"]["lost"] == 4, result
    assert (result["in"]["packets"], result["in"]["lost"]) == (296, 119), result
    assert result["in"]["bursts"] == 119, result


def test_what_is_known_of_the_way_out_survives_losses_on_the_way_back():
    def late(number):
        return (70,) if number % 10 == 3 else (0,)

    whole, _ = measure(out=late)
    for every in (2, 10, 30):
        result, _ = measure(out=late, back=lambda n, e=every: (0,) if n % e == 0 else ())
        assert result["out"] == whole["out"], (every, result["out"], whole["out"])
        assert result["in"]["lost"] == SENT - SENT // every, result
    result, _ = measure(out=losing(120, 125), back=losing(*range(118, 128)))
    assert (result["out"]["lost"], result["out"]["bursts"]) == (2, 1), result


def test_reordered_and_doubled_packets_are_no_losses():
    result, _ = measure(out=lambda number: (50,) if number in (40, 90) else (0,))
    assert result["out"]["reordered"] == 2 and result["out"]["lost"] == 0, result
    assert result["in"]["reordered"] == 0, result
    result, _ = measure(back=lambda number: (50,) if number in (40, 90) else (0,))
    assert result["in"]["reordered"] == 2 and result["out"]["reordered"] == 0, result
    result, _ = measure(
        out=lambda number: (0, 3) if number % 50 == 0 else (0,),
        back=lambda number: (0, 0) if number in (10, 20) else (0,),
    )
    assert (result["out"]["duplicated"], result["out"]["lost"]) == (6, 0), result
    assert (result["in"]["packets"], result["in"]["duplicated"]) == (306, 2), result
    assert result["in"]["lost"] == 0, result


def test_every_packet_doubled_fits():
    result, _ = measure(out=lambda number: (0, 1))
    assert result["out"]["duplicated"] == SENT and result["out"]["lost"] == 0, result
    assert result["in"]["packets"] == 2 * SENT and result["in"]["lost"] == 0, result


def test_jitter_is_that_of_rfc_3550_on_its_own_way():
    # Each second packet 8 ms later: |D| is 8 each time, toward which J grows.
    result, _ = measure(out=lambda number: (8 * (number % 2),))
    assert 7.9 < result["out"]["jitter_most"] <= 8, result
    assert 7.2 < result["out"]["jitter"] < 8 and result["in"]["jitter"] == 0, result
    assert result["out"]["delay_above_least"] == {"median": 4, "p95": 8, "most": 8}, result
    result, _ = measure(back=lambda number: (8 * (number % 2),))
    assert result["in"]["jitter_most"] > 7.9 and result["out"]["jitter"] == 0, result

    jitter = Jitter()
    for transit in (100, 116, 100):  # by hand: 16/16 = 1, then 1 + (16 - 1)/16
        jitter.add(transit)
    assert (jitter.most, jitter.mean) == (1.9375, (1 + 1.9375) / 2)


def test_late_packets_are_told_apart_but_are_lost_to_the_listener():
    result, _ = measure(out=lambda number: (70,) if number % 10 == 3 else (0,))
    told = result["out"]
    assert (told["lost"], told["late"], told["bursts"]) == (0, 30, 0), told
    lossy, _ = measure(out=lambda number: () if number % 10 == 3 else (0,))
    assert abs(told["mos"]["g711"] - lossy["out"]["mos"]["g711"]) < 0.02, (told, lossy)
    result, _ = measure(out=lambda number: (60,) if number % 10 == 3 else (0,))
    assert result["out"]["late"] == 0, result


def test_a_queue_shows_as_delay_of_its_way():
    result, _ = measure(out=lambda number: (min(number, 40),))
    told = result["out"]["delay_above_least"]
    assert (told["median"], told["p95"], told["most"]) == (40, 40, 40), result
    assert result["in"]["delay_above_least"]["most"] == 0, result
    assert result["rtt"] == {"least": 20, "median": 60, "most": 60}, result
    assert result["out"]["mos"]["g711"] < result["in"]["mos"]["g711"], result


def test_the_reflectors_clock_may_differ_and_drift():
    for drift in (-500, 500):  # millionths; NTP corrects no faster
        clock = (70000, drift)
        result, _ = measure(prepare=lambda _, line, c=clock: setattr(line, "clock", c), seconds=20)
        for way in ("out", "in"):
            told = result[way]
            # 20 s make 10 ms of drift, which no queue was.
            assert told["delay_above_least"]["most"] <= 4, (drift, way, told)
            assert told["jitter"] <= 0.2 and told["lost"] == told["late"] == 0, told
    queue, _ = measure(out=lambda number: (number // 50,), seconds=20)
    assert queue["out"]["delay_above_least"]["most"] >= 19, queue  # a queue is no drift
    assert queue["in"]["delay_above_least"]["most"] == 0, queue
    both, _ = measure(out=lambda n: (n // 50,), back=lambda n: (n // 50,), seconds=20)
    for way in ("out", "in"):
        assert both[way]["delay_above_least"]["most"] >= 19, both


def test_the_end_of_the_stream_may_be_lost_with_its_answers():
    result, _ = measure(back=lambda number: () if number > 200 else (0,))
    assert result["out"]["lost"] == 0 and result["out"]["packets"] == SENT, result
    assert (result["in"]["packets"], result["in"]["lost"]) == (SENT, 100), result
    result, _ = measure(out=lambda number: () if number >= 200 else (0,))
    assert result["out"]["lost"] == 100 and result["in"]["lost"] == 0, result
    assert result["in"]["packets"] == 200 and result["reason"] is None, result


def test_without_the_reflectors_count_an_unanswered_end_is_unknown():
    def prepare(world, line):
        line.tells = False
        world.at(world.now + 7000, setattr, world.reflector, "silent", True)

    result, _ = measure(back=lambda number: () if number > 200 else (0,), prepare=prepare)
    assert result["out"]["packets"] == 200 and result["out"]["lost"] == 0, result
    assert (result["in"]["packets"], result["in"]["lost"]) == (200, 0), result
    assert "200" in result["reason"], result
    # Any one of the closing packets tells the end.
    result, _ = measure(back=lambda n: () if 280 < n != 309 else (0,), prepare=prepare)
    assert result["out"]["packets"] == SENT and result["out"]["lost"] == 0, result
    assert (result["in"]["packets"], result["in"]["lost"]) == (SENT, 20), result
    assert result["reason"] is None, result


def test_nothing_back_is_no_loss_unless_the_reflector_counted_arrivals():
    result, _ = measure(out=lambda number: ())
    assert result["out"] is result["in"] is result["rtt"] is None, result
    assert result["sent"] == SENT and "none of 300" in result["reason"], result

    result, _ = measure(out=losing(5, 6), back=lambda number: ())
    assert (result["out"]["packets"], result["out"]["lost"]) == (SENT, 2), result
    assert (result["in"]["packets"], result["in"]["lost"]) == (SENT - 2, SENT - 2), result
    assert result["in"]["jitter"] is None and result["in"]["delay_above_least"] is None, result
    assert result["in"]["mos"]["g711"] < 1.5 and "nothing came back" in result["reason"], result


def test_no_set_up_and_a_restart_are_unknown_with_the_reason():
    def silent(world, line):
        arrive = world._arrive
        world._arrive = lambda data, source, local: (
            arrive(data, source, local) if local[1] != PORT else None
        )

    result, _ = measure(prepare=silent)
    assert result["out"] is result["in"] is None and "set-up at port 8500" in result["reason"]
    assert result["sent"] == 0, result

    def restart(world, line):
        session = world.engines[0]
        world.at(world.now + 3000, setattr, world.reflector, "boot", b"another1")
        world.at(world.now + 3100, session.audit, b"any id of 12")

    result, _ = measure(prepare=restart)
    assert result["out"] is None and "restarted" in result["reason"], result
    result, _ = measure(prepare=lambda world, line: setattr(world.reflector, "silent", True))
    assert result["out"] is None and "no answer" in result["reason"], result


def test_a_loop_that_stood_still_is_not_the_lines_jitter_nor_its_delay():
    def prepare(world, line):
        world.delay = 100  # so that ten answers are under way when it falls asleep
        world.asleep = (4000, 4300)

    result, engine = measure(prepare=prepare)
    assert result["sent"] == SENT and result["unsure"] >= 10, result
    for way in ("out", "in"):
        told = result[way]
        assert told["jitter_most"] <= 1 and told["delay_above_least"]["most"] <= 5, told
        assert told["lost"] == told["late"] == 0, told
    assert result["rtt"]["most"] <= 205, result
    # 300 ms late, and no more than a few packets at once: the whole stream is late instead.
    assert result["seconds"] > SECONDS + 0.2, result


def test_answers_from_elsewhere_and_foreign_bytes_are_counted_and_never_believed():
    def prepare(world, line):
        line.stray = ("198.51.100.99", PORT)
        for number in range(40):
            world.at(3000 + number, noise, world, number)

    def noise(world, number):
        ports = [port for port, (engine, _) in world.flows.items() if isinstance(engine, Media)]
        data = struct.pack(">BBHI", 0x80, 0, number, 0) + world.random(number * 8)
        for port in ports:
            world._hand_over(port, data[: 5 + number * 6], (ADDRESS, PORT))

    result, engine = measure(prepare=prepare)
    for way in ("out", "in"):
        assert result[way]["lost"] == result[way]["duplicated"] == 0, result
    assert engine.counters["not_media"] >= 30, engine.counters
    # (The NAT itself drops what comes from an endpoint that was not contacted.)


def test_an_answer_from_a_wrong_source_is_counted():
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT, 1), 0, 1)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    engine = Media(session, PORT, 1)
    world.add(engine)
    world.run(world.now + 300, lambda: False)
    answer = media.reflected(media.packet(0, engine.paths[0].txid[:4]), 1, 0, 0, [])
    engine.receive(0, answer, (ADDRESS, PORT + 1), world.now)
    engine.receive(0, answer, ("198.51.100.99", PORT), world.now)
    assert engine.counters == {"wrong_source": 2}, engine.counters
    engine.stop(world.now)
    assert engine.done and engine.take_results() == []


def test_impossible_answers_change_nothing():
    voice = Voice(10, 2)
    for _ in range(5):
        voice.send(1000)
    data = media.packet(3, b"ssrc")
    for number, sequence in ((1, 5), (25, 3), (500, 3), (4000000000, 3)):
        told = media.Reflected(media.reflected(media.packet(sequence, b"ssrc"), number, 0, 0, []))
        assert not voice.came(told, 1100, True), (number, sequence)
    # Foreign sequences in the history are not taken.
    told = media.parse_reflected(media.reflected(data, 3, 9, 9, [(9, 5), (40000, 4)]), b"ssrc")
    assert voice.came(told, 1100, True)
    assert voice.result(3)[0]["out"]["lost"] == 2  # of five sent
    for bad in (
        media.reflected(data, 0, 0, 0, []),
        media.reflected(data, 1, 0, 0, [(1, 0)]),
        media.reflected(data, 1, 0xFFFFFFFF, 0xFFFFFFFF, []),
        media.reflected(data, 40, 9, 9, [(1, 0)] * 35)[:28] + b"\0\xff" + bytes(142),
        data,
        media.reflected(data, 1, 0, 0, [])[:-1],
        media.reflected(media.packet(3, b"SSRC"), 1, 0, 0, []),
        b"",
    ):
        try:
            media.parse_reflected(bad, b"ssrc")
        except media.MediaError as error:
            assert error.counter and str(error)
        else:
            assert False, bad


def test_reflected_says_what_was_put_in():
    earlier = [(sequence, 100000 - 20 * sequence) for sequence in range(50)]
    data = media.packet(65537, b"ssrc")
    answer = media.reflected(data, 60, 100500, 100501, earlier)
    assert len(answer) == len(data) == media.SIZE == 172 and answer[:12] == data[:12]
    told = media.parse_reflected(answer, b"ssrc")
    assert (told.sequence, told.number, told.received, told.sent) == (1, 60, 100500, 100501)
    expected = [(59 - index,) + earlier[index] for index in range(media.HISTORY)]
    assert list(told.earlier()) == expected
    old = media.reflected(data, 60, 100500, 100500, [(1, 100000), (2, 100500 - 65536)])
    assert list(media.parse_reflected(old, b"ssrc").earlier()) == [(59, 1, 100000)]


def test_stamp_is_laid_out_as_rfc_8762_draws_it():
    wall = 1764000000250  # ms
    request = media.stamp_request(7, wall)
    assert len(request) == 44 and media.looks_like_stamp(request)
    assert struct.unpack(">III", request[:12]) == (7, 1764000000 + 2208988800, 1 << 30)
    assert media.looks_like_stamp(request + b"TLV") and not media.looks_like_stamp(request[:-1])
    answer = media.stamp_answer(request + b"TLV", wall + 500, 61)
    assert len(answer) == 47 and answer[24:38] == request[:14] and answer[44:] == b"TLV"
    told = media.parse_stamp_answer(answer)
    assert (told.sequence, told.sender_sequence, told.ttl) == (7, 7, 61)
    assert (told.sent, told.received, told.sender_time) == (wall + 500, wall + 500, wall)
    try:
        media.parse_stamp_answer(answer[:43])
    except media.MediaError as error:
        assert error.counter == "stamp_short"
    else:
        assert False

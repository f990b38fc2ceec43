"""Which ports can be reached: open, blocked as ranges, and never blocked by chance."""

from nats import INDEPENDENT, PUBLIC, Nat
from world import ADDRESS, OTHER, Numbers, World

from natwatch.probes.reach import Reach, drawn, passes, ranges
from natwatch.wire import stun

RTP = (8000, 10000)


class Open:
    """The simulated reflector answers at every port; *closed* are those the router drops."""

    def __init__(self, world, closed):
        world.servers[ADDRESS] = self
        self.world = world
        self.closed = closed
        self.asked = 0

    def receive(self, data, source, local, now):
        if local[1] in self.closed:
            return
        self.asked += 1
        message = stun.parse(data)
        about = [(stun.XOR_MAPPED_ADDRESS, source), (stun.OTHER_ADDRESS, (OTHER, 3479))]
        answer = stun.build(stun.SUCCESS, message.txid, about, None, fingerprint=False)
        self.world.to_device(answer, local, source)


def sweep(ports, closed=(), loss=0, seed=1, most=None, prepare=None):
    world = World(Nat(30000, 120000, INDEPENDENT, INDEPENDENT, seed), loss, seed)
    far = Open(world, set(closed))
    engine = Reach(ADDRESS, ports, world.random, most)
    if prepare is not None:
        prepare(world, engine)
    world.add(engine)
    world.run(world.now + 300000, lambda: engine.done)
    world.remove(engine)
    assert world.inner == {}, "the socket is closed"
    return engine.take_results()[0], engine, far


def test_everything_open_is_one_pass_and_its_other_endpoint_is_learned():
    result, engine, far = sweep([(5060, 5060), (3478, 3479)])
    assert result["open"] == result["asked"] == 3 and result["blocked"] == [], result
    assert result["passes"] == 1 and result["lost"] == 0 and far.asked == 3, result
    assert engine.other == (OTHER, 3479) and engine.mapped[0] == PUBLIC


def test_a_whole_sweep_names_blocked_ranges_within_its_time_and_bytes():
    closed = list(range(8500, 8600)) + [9999]
    result, _, _ = sweep([RTP], closed)
    assert result["blocked"] == [[8500, 8599], [9999, 9999]], result
    assert result["asked"] == 2001 and result["open"] == 1900, result
    assert not result["sampled"]
    assert result["bytes"] <= 500000 and result["seconds"] <= 60, result


def test_what_is_all_blocked_is_said_within_the_minute():
    result, engine, _ = sweep([RTP], range(8000, 10001))
    assert result["blocked"] == [[8000, 10000]] and result["open"] == 0, result
    assert result["seconds"] <= 60 and engine.mapped is None, result


def test_a_lossy_line_blocks_no_port_and_its_loss_is_counted():
    for seed in (1, 2, 3):
        result, _, _ = sweep([RTP], [], loss=50, seed=seed)
        assert result["blocked"] == [], (seed, result)
        share = result["lost"] / result["tries"]
        assert 0.06 < share < 0.14, (seed, share)  # 5 % each way are 9.75 %
        result, _, _ = sweep([RTP], [8642], loss=50, seed=seed)
        assert result["blocked"] == [[8642, 8642]], (seed, result)


def test_no_more_ports_are_asked_than_may_be():
    result, _, far = sweep([RTP], [], most=40)
    assert result["asked"] == far.asked == 40 and result["sampled"], result
    result, _, _ = sweep([RTP], range(8000, 9001), most=40)
    low, high = result["blocked"][0]
    assert len(result["blocked"]) == 1 and 8000 <= low < 8400 and 8600 < high <= 9000, result


def test_an_answer_from_elsewhere_opens_nothing():
    def prepare(world, engine):
        to_device = world.to_device
        world.to_device = lambda data, _local, to: to_device(data, (OTHER, 5060), to)

    result, engine, _ = sweep([(5060, 5060)], prepare=prepare)
    assert result["blocked"] == [[5060, 5060]], result
    assert engine.counters == {"wrong_source": 3}, engine.counters


def test_garbage_is_counted_and_opens_nothing():
    engine = Reach(ADDRESS, [(5060, 5060)], Numbers(1).bytes)
    engine.start(0)
    engine.handle_timer(0)
    for data in (b"", b"x" * 20, bytes(2000)):
        engine.receive(0, data, (ADDRESS, 5060), 1)
    other = stun.build(stun.SUCCESS, bytes(12), [(stun.XOR_MAPPED_ADDRESS, ("1.2.3.4", 5))])
    engine.receive(0, other, (ADDRESS, 5060), 1)
    assert sum(engine.counters.values()) == 4 and engine.mapped is None, engine.counters


def test_the_end_before_the_end_calls_nothing_blocked_that_was_not_asked_often_enough():
    engine = Reach(ADDRESS, [RTP], Numbers(1).bytes)
    engine.start(0)
    engine.stop(5)
    assert engine.take_results() == [] and engine.done

    def cut(world, engine):
        world.at(world.now + 5000, lambda: engine.stop(world.now))

    result, _, _ = sweep([RTP], range(8000, 9000), prepare=cut)
    assert result["blocked"] == [] and result["sampled"], result
    assert 0 < result["open"] == result["asked"] < 1001, result


def test_ranges_are_of_neighbours_among_what_was_asked():
    for blocked, asked, sampled, found in (
        ([], [1, 2, 3], False, []),
        ([1, 2, 3], [1, 2, 3], False, [[1, 3]]),
        ([1, 3], [1, 2, 3], False, [[1, 1], [3, 3]]),
        ([2, 3, 7], [1, 2, 3, 4, 7], False, [[2, 3], [7, 7]]),
        ([3478, 5060], [3478, 5060], False, [[3478, 3478], [5060, 5060]]),
        ([10, 30], [5, 10, 30, 40], True, [[10, 30]]),
        ([5, 30], [5, 10, 30, 40], True, [[5, 5], [30, 30]]),
    ):
        assert ranges(blocked, asked, sampled) == found, (blocked, asked)


def test_more_tries_are_made_where_the_line_loses_some():
    assert passes(2000, 0, 2001) == 3
    assert passes(0, 0, 2001) == 3
    assert passes(10, 1, 3) == 3  # one in a thousand, three ports
    assert passes(2200, 220, 2001) == 6
    assert passes(4000, 2000, 1000) == 8


def test_every_port_is_drawn_once():
    ports = drawn([(3478, 3479), (8000, 8100)], Numbers(7).bytes)
    assert sorted(ports) == [3478, 3479] + list(range(8000, 8101))
    assert ports != sorted(ports)
    assert len(set(drawn([RTP], Numbers(7).bytes, 64))) == 64


def test_a_long_request_has_as_many_bytes_as_the_reflectors_answer():
    engine = Reach(ADDRESS, [(5060, 5060)], Numbers(1).bytes, long=True)
    engine.start(0)
    engine.handle_timer(0)
    [(_, request, _)] = engine.take_sends()
    endpoints = [(stun.XOR_MAPPED_ADDRESS, ("1.2.3.4", 5))]
    endpoints += [(stun.RESPONSE_ORIGIN, ("1.2.3.4", 5)), (stun.OTHER_ADDRESS, ("1.2.3.4", 5))]
    txid = stun.parse(request).txid
    assert len(request) == len(stun.build(stun.SUCCESS, txid, endpoints, fingerprint=False))

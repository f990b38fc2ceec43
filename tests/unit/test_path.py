"""The engine path: how many hops, and where the outermost box that keeps state."""

from nats import INDEPENDENT, Chain
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.probes.path import Path, hops_out, outermost
from natwatch.probes.session import Session


def box(**changes):
    nat = Nat(30000, 60000)
    nat.preserves_ports = True
    for name in changes:
        setattr(nat, name, changes[name])
    return nat


def measured(boxes, loss=0, seed=1, **changes):
    """What Path finds on a line with *boxes*."""
    world = World(Chain(boxes), loss=loss, seed=seed)
    for name in changes:
        setattr(world, name, changes[name])
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    engine = Path(session)
    world.add(session)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    [result] = engine.take_results()
    return result


def test_hops_are_counted_from_the_ttl_with_which_systems_send():
    assert [hops_out(ttl) for ttl in (64, 61, 128, 120, 255, 1, None)] == [0, 3, 0, 8, 0, 63, None]


def test_the_outermost_box_is_where_the_first_push_comes():
    for boxes, hop in (
        ([box()], 1),
        ([None, box()], 2),
        ([box(), box()], 2),
        ([box(), None, box()], 3),
        ([box(), None, box(), None, None], 3),
        ([box(), box(), box(), None], 3),
    ):
        result = measured(boxes)
        assert result["hops"] == {"out": len(boxes), "back": len(boxes)}
        assert result["outermost"] == [hop, min(hop + 1, len(boxes))], result
        assert result["reason"] is None and not result["open"] and result["seconds"] < 15


def test_so_it_is_on_a_lossy_line_or_nothing_is_said():
    known = 0
    for seed in range(12):
        result = measured([box(), None, box(), None], loss=30, seed=seed)
        assert result["hops"]["back"] in (4, None)
        assert result["outermost"] in ([3, 4], None), result
        known += result["outermost"] is not None
    assert known >= 8


def test_a_box_that_looks_at_the_ttl_first_is_found_at_its_hop_too():
    for boxes, hop in (
        ([box(checks_first=True), None, None], 1),
        ([box(), box(checks_first=True), None], 2),
    ):
        assert measured(boxes)["outermost"] == [hop, hop + 1]


def test_where_nothing_is_filtered_it_says_so():
    result = measured([box(mapping=INDEPENDENT, filtering=INDEPENDENT), None])
    assert result["open"] and result["outermost"] is None
    assert result["reason"] == "what comes from endpoints that were never contacted passes as well"
    assert result["hops"]["back"] == 2


def test_where_each_destination_has_its_own_port_it_says_so():
    result = measured([box(preserves_ports=False, random_ports=True), None])
    assert result["outermost"] is None and not result["open"]
    assert result["reason"].startswith("what comes from another endpoint does not pass")


def test_a_line_without_routers_has_none():
    world_without = measured([None, box()])
    assert world_without["outermost"] == [2, 2]


def test_without_an_answer_there_is_a_reason():
    world = World(Chain([box()]))
    world.reflector.silent = True
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    engine = Path(session)
    world.add(session)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    [result] = engine.take_results()
    assert result["outermost"] is None and result["hops"] == {"out": None, "back": None}
    assert "does not answer" in result["reason"]


def test_pushes_without_order_are_no_answer():
    assert outermost({0: False, 1: True, 2: False, 3: True}, 2)[0] is None
    assert outermost({0: False, 1: None, 2: True, 3: True}, 2)[0] is None
    assert outermost({0: False, 1: False, 2: True, 3: True}, 2)[0] == (1, 2)
    # Only what goes all the way opens it: at the last router, if their number is known.
    assert outermost({0: False, 1: False, 2: False, 3: True}, 2)[0] == (2, 2)
    assert outermost({0: False, 1: False, 2: False, 3: True}, None)[0] is None


def test_it_can_be_stopped():
    world = World(Chain([box()]))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    engine = Path(session)
    world.add(session)
    world.add(engine)
    world.run(world.now + 1500, lambda: engine.done)
    engine.stop(world.now)
    assert engine.done and engine.take_results() == []


def test_a_burst_of_loss_does_not_move_the_reflector_a_hop_away():
    world = World(Chain([box(), None, None]))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    engine = Path(session)
    passing, lost = world.to_device, []

    def to_device(data, local, destination, *ttl):
        if ttl == (4,) and len(lost) < 4:  # all that one socket gets with the least TTL
            lost.append(data)
        else:
            passing(data, local, destination, *ttl)

    world.to_device = to_device
    world.add(session)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    [result] = engine.take_results()
    assert len(lost) == 4 and result["hops"] == {"out": 3, "back": 3}, result

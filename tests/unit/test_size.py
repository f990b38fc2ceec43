"""How large a datagram passes each way, behind routers that drop what is long."""

from nats import PORT_DEPENDENT, Nat
from world import ADDRESS, DEVICE, KEY, World

from natwatch.probes.session import Session
from natwatch.probes.size import Size, judge


def ask(most_out=65535, most_in=65535, loss=0, seed=1, prepare=None):
    """The result behind a router that drops longer payloads than these on port 5060."""
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT, seed), loss, seed)
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    arrive, to_device = world._arrive, world.to_device

    def outward(data, source, destination):
        if destination[1] != 5060 or len(data) <= most_out:
            arrive(data, source, destination)

    def inward(data, local, destination):
        if local[1] != 5060 or len(data) <= most_in:
            to_device(data, local, destination)

    world._arrive, world.to_device = outward, inward
    engine = Size(session)
    if prepare is not None:
        prepare(world)
    world.add(engine)
    world.run(world.now + 120000, lambda: engine.done)
    world.remove(engine)
    assert [key for key in world.inner if key[0] == id(engine)] == [], "the socket is closed"
    return engine.take_results()[0]


def test_everything_passes_on_a_clear_line():
    result = ask()
    assert result["out"] == 1900 and result["in"] >= 1900, result
    assert result["fragments_out"] is result["fragments_in"] is True, result
    assert result["reason"] is None


def test_each_way_is_told_apart():
    result = ask(most_out=1472)
    assert result["out"] == 1472 and result["fragments_out"] is False, result
    assert result["fragments_in"] is True, result  # the answer to 1472 is longer than that
    result = ask(most_in=1472)
    assert result["fragments_out"] is True and result["fragments_in"] is False, result
    assert result["out"] == 1900 and result["in"] <= 1472, result
    result = ask(most_out=1472, most_in=1472)
    assert result["fragments_out"] is result["fragments_in"] is False, result


def test_a_line_with_pppoe_whose_router_drops_fragments_is_found_too():
    result = ask(most_out=1464)
    assert result["out"] == 1400 and result["fragments_out"] is False, result


def test_a_smaller_limit_is_told_as_it_is_and_says_nothing_of_fragments():
    result = ask(most_out=1300)
    assert result["out"] == 1200 and result["fragments_out"] is None, result


def test_a_lossy_line_loses_no_size():
    for seed in range(1, 9):
        result = ask(loss=100, seed=seed)
        assert result["fragments_out"] is not False and result["fragments_in"] is not False, seed


def test_silence_and_a_restart_are_unknown_with_the_reason():
    result = ask(most_out=10)
    assert result["out"] is None and "set-up" in result["reason"], result
    assert result["fragments_out"] is None and result["fragments_in"] is None, result

    def restart(world):
        world.at(world.now + 3000, setattr, world.reflector, "boot", b"another1")

    result = ask(prepare=restart)
    assert result["out"] is None and "restarted" in result["reason"], result


def test_nothing_is_made_of_too_little():
    assert judge([], []) == {"out": None, "in": None, "fragments_out": None, "fragments_in": None}
    few = judge([400, 800], [(400, 436)])
    assert few["out"] == 800 and few["fragments_out"] is None, few
    small = [400, 800, 1200, 1400]
    answered = [(size, size + 36) for size in small]
    # One request that was long enough arrived, and its answer may just have been lost.
    assert judge(small + [1472], answered)["fragments_in"] is None
    assert judge(small + [1472] * 3, answered)["fragments_in"] is False

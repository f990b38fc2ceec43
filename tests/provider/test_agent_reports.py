"""What the device's own code makes of its results, against the collector's checks of them."""

import itertools
import json
from typing import Any

import pytest
from test_layering import look
from test_layers import Line, box
from test_media import losing, measure
from test_reach import Open
from test_sampling import PORTS, ask, sweep
from test_service import service, told_of
from test_standing import healthy
from world import ADDRESS, DEVICE, KEY, Nat, World

from natwatch.daemon import telling
from natwatch.daemon.boxes import LONGEST, shortened
from natwatch.daemon.sampling import Sampling
from natwatch.diagnosis.keepalive import advise
from natwatch.probes.keepalives import Keepalives
from natwatch.probes.lifetime import Lifetime
from natwatch.probes.mapping import Mapping
from natwatch.probes.reach import Reach
from natwatch.probes.resident import Resident
from natwatch.probes.session import Session
from natwatch_provider.collector.kinds import check, lifetime
from tests.provider.reports import HOME

HOUR = 3_600_000  # ms

BRACKETS = (
    None,
    (1.5, 2.0),
    (14.6, 15.4),
    (20.0, 20.9),
    (41.1, 42.0),
    (100.0, 101.0),
    (600.0, None),
)


def as_sent(data: dict[str, Any]) -> dict[str, Any]:
    """*data* as the collector finds it: through JSON, with the context that every report has."""
    sent: dict[str, Any] = json.loads(json.dumps({**data, "context": HOME}))
    return sent


def home(timer: int) -> tuple[World, Session]:
    world = World(Nat(timer, timer))
    session = Session(DEVICE, KEY, ADDRESS, world.random)
    world.add(session)
    return world, session


def results(world: World, engine: Any, until: int) -> list[dict[str, Any]]:
    world.add(engine)
    world.run(world.now + until, lambda: bool(getattr(engine, "done", False)))
    found: list[dict[str, Any]] = engine.take_results()
    assert found
    return found


def test_every_advice_is_taken() -> None:
    for replied, oneway, answered, extends, in_use in itertools.product(
        BRACKETS, BRACKETS, (True, False, None), (True, False, None), (None, 30)
    ):
        check("advice", as_sent(advise(replied, oneway, answered, extends, in_use=in_use)))


@pytest.mark.parametrize("timer", [120_000, 8_000])
def test_what_a_resident_flow_tells_is_taken(timer: int) -> None:
    world, session = home(timer)
    found = results(world, Resident(session, 5062), 2 * HOUR)
    for one in found:
        check("resident", as_sent(one))
    assert found[-1]["share"] is not None


@pytest.mark.parametrize("silent", [False, True])
def test_which_keepalives_arrive_is_taken(silent: bool) -> None:
    world, session = home(30_000)
    if silent:
        world.reflector.receive = lambda *_datagram: None
    (one,) = results(world, Keepalives(session), 300_000)
    check("keepalives", as_sent(one))
    assert (one["reason"] is not None) == silent


def test_the_search_of_a_lifetime_is_taken() -> None:
    world, session = home(15_000)
    for one in results(world, Lifetime(session, ("udp/sip", "stream"), 600_000, 64, 40), 300_000):
        fields = {"method": "refined", "period": None, "id": 1, **one}
        assert lifetime(as_sent(fields)).lo is not None


def test_how_a_nat_maps_is_taken() -> None:
    world, _ = home(30_000)
    (one,) = results(world, Mapping((ADDRESS, 3478), random=world.random), 300_000)
    fields = {"mapping_reason": one.get("reason"), "filtering": None, "filtering_reason": "…"}
    check("nat", as_sent({**one, **fields}))


@pytest.mark.parametrize("closed", [(), range(8000, 10001, 2), range(65536)])
def test_which_ports_answer_is_taken(closed: Any) -> None:
    world, _ = home(30_000)
    Open(world, set(closed))
    known = Sampling(PORTS, world.random)
    for asked in (known.sweep(), known.sample(), known.sample()):
        ports = [(one, one) for one in asked]
        (one,) = results(world, Reach(ADDRESS, ports, world.random), 300_000)
        known.take(asked, one, world.now)
        told = as_sent(known.told(one, asked, world.now))
        check("reach", told)
        assert (told["reason"] is not None) == (5060 in closed)


@pytest.mark.parametrize("lost", [(), range(5), range(1000)])
def test_what_a_voice_stream_comes_to_is_taken(lost: Any) -> None:
    for ways in ({}, {"out": losing(*lost)}, {"back": losing(*lost)}):
        found, _ = measure(seconds=3, **ways)
        check("media", as_sent(found))
        known = healthy()
        known.keep("media", found, 0)
        check("check", as_sent(known.verdict(0)))
        assert telling.media(found)


def test_every_verdict_is_taken() -> None:
    known = healthy()
    check("check", as_sent(known.verdict(0)))
    sweep(known.sampling, 1, range(8500, 8600))
    ask(known.sampling, 2, range(8500, 8600))
    told = as_sent(known.verdict(2))
    check("check", told)
    assert told["codes"] == ["reach.blocked.rtp"]
    check("check", as_sent(known.verdict(10**10)))


@pytest.mark.parametrize("boxes", [(40,), (40, 60), (60, 40), (40, 40), (15, 30, 60)])
def test_which_boxes_stand_on_a_line_is_taken(boxes: Any) -> None:
    for shortest in (False, True):
        value = look(Line([box(timer) for timer in boxes]), min(boxes), shortest)
        after = {"class": "udp/sip", "state": "stream", "lo": 14.6, "hi": 15.4}
        told = shortened({**value, "after": after if shortest else None})
        check("layers", as_sent(told))
        assert value["boxes"] and len(json.dumps(told)) <= LONGEST


def test_how_a_device_is_is_taken() -> None:
    made, _ = service()
    made.start()
    made.health._at = 0
    made.turn()
    told = as_sent(told_of(made, "health"))
    made.close()
    check("health", told)
    assert told["memory"]["rss"] > 1e6 and len(json.dumps(told)) <= 1024

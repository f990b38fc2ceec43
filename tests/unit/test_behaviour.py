"""Filtering and mapping in one engine: what it hands on."""

from test_layering import Quiet

from natwatch.probes.behaviour import Behaviour


def test_an_ip_ttl_that_an_engine_asks_for_is_handed_on():
    engine = Behaviour(Quiet("filtering"), Quiet("mapping"))
    engine.start(0)
    assert [send[2:] for send in engine.take_sends()] == [
        (("192.0.2.1", 9),),
        (("192.0.2.1", 9), 2),
    ]

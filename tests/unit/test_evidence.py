"""The indirect evidence as a whole: what comes together, and that nothing is asked without a
gateway on the way. No packet leaves the machine."""

from test_port_mapping import nat_pmp_answer

from natwatch import evidence, port
from natwatch.evidence import Evidence
from natwatch.oneshot import measure
from natwatch.port import network


class Children:
    """Stands for port.upnp.start or port.hops.start; *polls* are what the child gives in turn."""

    def __init__(self, polls):
        self.polls = list(polls)
        self.asked = []
        self.closed = False

    def start(self, *asked):
        self.asked.append(asked)
        return self if self.polls else None

    def poll(self, now):
        return self.polls.pop(0)

    def close(self):
        self.closed = True


def with_network(upnp, icmp, gateway, act):
    """Call *act* where the route has this *gateway* and the children are these."""
    names = ("gateway_towards", "source_towards")
    usual = [getattr(network, name) for name in names]
    starts = (evidence.upnp.start, evidence.hops.start)
    network.gateway_towards = lambda destination: gateway
    network.source_towards = lambda destination, gateway: "192.168.1.20"
    evidence.upnp.start, evidence.hops.start = upnp.start, icmp.start
    try:
        act()
    finally:
        for name, function in zip(names, usual):
            setattr(network, name, function)
        evidence.upnp.start, evidence.hops.start = starts


UPNP = evidence.upnp.verdict("answered", external="100.64.7.2", model="X1")
ICMP = evidence.hops.verdict("answered", [{"hop": 1, "address": "192.168.1.1"}])


def test_all_of_it_comes_together_when_the_last_has_ended():
    upnp, icmp = Children([None, None, UPNP]), Children([ICMP])

    def act():
        engine = Evidence(("203.0.113.5", 3478), lambda size: bytes(size))
        engine.start(0)
        assert upnp.asked == [("192.168.1.1", "192.168.1.20", 0)]
        assert icmp.asked == [(("203.0.113.5", 3478), "192.168.1.20", 0)]
        assert [entry[2] for entry in engine.take_sends()] == [("192.168.1.1", 5351)] * 2
        engine.receive(0, nat_pmp_answer(), ("192.168.1.1", 5351), 5)
        now = 0
        while not engine.done:
            now = engine.next_timer()
            engine.handle_timer(now)
        assert now == 4000, now
        (result,) = engine.take_results()
        assert sorted(result) == ["gateway", "icmp", "nat_pmp", "pcp", "upnp"], result
        assert (result["gateway"], result["upnp"], result["icmp"]) == ("192.168.1.1", UPNP, ICMP)
        assert result["nat_pmp"]["external"] == "100.64.7.2", result
        assert result["pcp"]["state"] == "silent" and engine.bytes > 0, result
        assert engine.next_timer() is None and engine.take_results() == []

    with_network(upnp, icmp, "192.168.1.1", act)


def test_where_there_are_no_children_that_is_told_and_a_failure_has_its_reason():
    def act():
        engine = Evidence(("203.0.113.5", 3478), lambda size: bytes(size))
        engine.start(0)
        engine.handle_timer(0)
        engine.receive(0, nat_pmp_answer(2), ("192.168.1.1", 5351), 5)
        while not engine.done:
            engine.handle_timer(engine.next_timer())
        (result,) = engine.take_results()
        assert (result["upnp"]["state"], result["icmp"]["state"]) == ("unsupported", "failed")
        assert result["upnp"]["reason"] and result["icmp"]["reason"] == "broken", result

    with_network(Children([]), Children([{"error": "broken"}]), "192.168.1.1", act)


def test_a_stop_leaves_no_child_behind():
    upnp, icmp = Children([None] * 9), Children([None] * 9)

    def act():
        engine = Evidence(("203.0.113.5", 3478), lambda size: bytes(size))
        engine.start(0)
        engine.handle_timer(0)
        engine.stop(50)
        assert engine.done and upnp.closed and icmp.closed and engine.take_results() == []
        engine.handle_timer(100)

    with_network(upnp, icmp, "192.168.1.1", act)


def test_without_a_gateway_on_the_way_nothing_is_asked():
    upnp, icmp = Children([UPNP]), Children([ICMP])

    def act():
        engine = Evidence(("203.0.113.5", 3478), lambda size: bytes(size))
        engine.start(7)
        assert engine.take_sends() == [] and not engine.done and engine.next_timer() == 7
        engine.handle_timer(7)
        (result,) = engine.take_results()
        assert engine.done and result["gateway"] is None and engine.bytes == 0, result
        for kind in ("upnp", "nat_pmp", "pcp", "icmp"):
            assert result[kind]["state"] == "unsupported" and result[kind]["reason"], result

    with_network(upnp, icmp, None, act)
    assert upnp.asked == icmp.asked == []


def test_a_reflector_on_this_machine_has_nothing_asked_whatever_the_machines_routes():
    # The one test that uses this machine's own routes.
    for address in ("127.0.0.1", "127.7.7.7", "0.0.0.0") + tuple(network.own_addresses()):
        engine = Evidence((address, 3478), port.random)
        (result,) = measure(None, [engine], lambda now: "")
        assert result["gateway"] is None and engine.bytes == 0, (address, result)

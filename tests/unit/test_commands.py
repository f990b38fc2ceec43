"""What a one-shot command says where there is nothing to say."""

from world import ADDRESS, DEVICE, KEY

from natwatch import commands

_PATH = {"hops": {"out": None, "back": None}, "outermost": None}


def test_layers_without_a_reflector_is_no_answer_whatever_the_router_told():
    def measure(_session, engines, _describe):
        return [_PATH] if len(engines) == 1 else [None, None, {"upnp": "at least two NATs"}]

    real, commands.measure = commands.measure, measure
    try:
        outcome = commands.layers((ADDRESS, DEVICE, KEY), 600000, "en")
    finally:
        commands.measure = real
    assert outcome.result is None
    assert outcome.trouble == "no answer from the reflector at %s port 3478" % ADDRESS

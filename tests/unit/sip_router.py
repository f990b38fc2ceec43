"""A router that treats what it sees as SIP otherwise than the rest, in the simulated line."""

from natwatch.wire import sip


def treat_sip(world, timer):
    """Flows that carried SIP to 5060 live for *timer* ms; 0: SIP does not pass at all."""
    nat, flows = world.nat, set()
    translate, usual = world._translate, nat._timer

    def translate_seeing(inner, data, destination):
        if destination[1] == 5060 and sip.looks_like(data):
            if timer == 0:
                return
            flows.add(inner)
        translate(inner, data, destination)

    def timer_of(binding, replied, now):
        return timer if binding.inner in flows else usual(binding, replied, now)

    world._translate, nat._timer = translate_seeing, timer_of

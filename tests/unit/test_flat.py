"""A day of a daemon in which everything fails: memory and descriptors stay as they are."""

import gc

from test_service import HERE, service
from test_standing import PROFILE
from test_supervision import RESIDENT, Raising
from world import DEVICE

from natwatch import port
from natwatch.daemon.link import Link
from natwatch.daemon.service import Service
from natwatch.daemon.spool import Spool
from natwatch.port import health
from natwatch.port.stream import Endpoint

HOUR = 3600000
STEP = 30000  # ms a turn
ALLOWED = 10000  # bytes that a day may end above its first hours: what is told differs a little


class Failing:
    """An engine with four sockets that raises in the call *name* after some turns."""

    done = False
    bracket = change = suspect = None

    def __init__(self, name):
        self.counters = {"failing": 1}
        self._name = name
        self._sends = [(flow, b"x", (HERE, 9)) for flow in range(4)]
        self._left = 3

    def _trip(self, name):
        if name == self._name and self._left <= 0:
            raise ValueError("broken on purpose in " + name)

    def start(self, now):
        self._trip("start")

    def receive(self, flow, data, source, now):
        self._trip("receive")

    def notice(self, notice, now):
        self._trip("notice")

    def next_timer(self):
        self._left -= 1
        self._trip("next_timer")
        return 0

    def handle_timer(self, now):
        self._trip("handle_timer")
        self.done = self._left < -3

    def take_sends(self):
        self._trip("take_sends")
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        self._trip("take_results")
        return []

    def stop(self, now):
        self._trip("stop")

    def progress(self, now):
        self._trip("progress")
        return {"step": "x", "alive": 0, "waiting": 0, "left": 0}


CALLS = ("next_timer", "handle_timer", "take_sends", "take_results", "nothing", "notice")
CUTS = (None, "connect", "fileno", None, "interest", "handle_timer", "take_events", None)


def allocated():
    """Bytes of the program's objects."""
    gc.collect()
    if port.interpreter == "micropython":
        return gc.mem_alloc()
    import tracemalloc

    gc.collect()
    return tracemalloc.get_traced_memory()[0]


class Clock:
    def __init__(self):
        self.now = port.now()

    def __call__(self):
        return self.now


def daemon():
    """A Service with a link, all of whose engines fail sooner or later, and its log."""
    lines = []
    spool = Spool("0" * 16, capacity=30)
    link = Link(DEVICE, [Endpoint(HERE, 1)], spool, Raising, lambda: 0.5, lambda now: {})
    # The resident flow has a period of its own, in which it too has to begin again.
    config = service(PROFILE, resident=RESIDENT, health_every_s=600)[0].config
    made = Service(config, spool, link, lines.append, PROFILE)
    number = [0]

    def engine(*_arguments):
        number[0] += 1
        return Failing(CALLS[number[0] % len(CALLS)])

    made._watch = made._check = made._survey = made._search = engine
    return made, lines, number


def test_memory_and_descriptors_are_flat_over_a_day_of_failures():
    real, clock = port.now, Clock()
    if port.interpreter != "micropython":
        import tracemalloc

        tracemalloc.start()
    port.now = clock
    try:
        made, lines, number = daemon()
        turn = made.loop.turn
        made.loop.turn = lambda: turn(0)
        made.start()
        start, seen = clock.now, []
        for index in range(24 * HOUR // STEP):
            clock.now = start + index * STEP
            Raising.where = CUTS[index // 7 % len(CUTS)]
            Raising.alive = Raising.alive[-1:]
            if index % 11 == 0:
                made.session._notices.append(("restarted",))
            if index % 97 == 0 and made.resident is not None:
                made.resident.next_timer = made.loop  # not a function: to call it raises
            made.turn()
            del lines[:-5]
            if index % (2 * HOUR // STEP) == 0:
                seen.append((allocated(), health.read(".")["descriptors"]))
        counters = made.counters()
        made.close()
    finally:
        port.now = real
        if port.interpreter != "micropython":
            tracemalloc.stop()
    memory = [bytes for bytes, _ in seen[3:]]
    open_ones = [descriptors for _, descriptors in seen[3:]]
    assert counters["raised_failing"] > 20 and counters["raised_link"] > 20, counters
    assert counters["raised_resident"] > 5 and number[0] > 100, (counters, number)
    assert max(memory) - memory[0] < ALLOWED, seen
    assert max(open_ones) - min(open_ones) <= 8, seen

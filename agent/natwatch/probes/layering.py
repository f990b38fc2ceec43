"""All that tells the boxes on the way apart, in one go: how far they may stand (Path), then the
lifetimes of each state box by box (Layers), and beside them what else there is to ask.
"""

from natwatch.probes.layers import Layers
from natwatch.probes.path import Path

_STRIDE = 100000  # flows of one engine
_ASIDE, _PATH = 0, 1  # places of the engines; the states' follow


class Layering:
    """*brackets* {state: the line's lifetime (lo, hi) in ms} says which states are looked at, of
    "stream" and "replied". *limit*, *bindings*, *pace* and *shortest* are those of Layers;
    *evidence* is another engine, which runs beside these, or None.

    The one result: {"layers": {"stream": result of Layers or None, "replied": the same},
    "evidence": the last result of that engine or None}.
    """

    def __init__(self, session, brackets, limit, bindings, pace, shortest=False, evidence=None):
        self.session = session
        self.done = False
        self._brackets = brackets
        self._limits = (limit, bindings, pace)
        self._shortest = shortest
        self._states = [state for state in ("stream", "replied") if state in brackets]
        self._engines = [evidence, Path(session)]  # by place; None where there is none
        self._found = [None, None]
        self._results = []

    @property
    def counters(self):
        total = {}
        for engine in self._there():
            for name in engine.counters:
                total[name] = total.get(name, 0) + engine.counters[name]
        return total

    # The loop's calls

    def start(self, now):
        for engine in self._there():
            engine.start(now)
        self._go_on(now)

    def local_port(self, flow):
        engine = self._engines[flow // _STRIDE]
        return engine.local_port(flow % _STRIDE) if hasattr(engine, "local_port") else None

    def opened(self, flow, port):
        engine = self._engines[flow // _STRIDE]
        if hasattr(engine, "opened"):
            engine.opened(flow % _STRIDE, port)

    def unsent(self, flow, errno):
        engine = self._engines[flow // _STRIDE]
        if hasattr(engine, "unsent"):
            engine.unsent(flow % _STRIDE, errno)

    def receive(self, flow, data, source, now):
        engine = self._engines[flow // _STRIDE]
        if not engine.done:
            engine.receive(flow % _STRIDE, data, source, now)
            self._go_on(now)

    def notice(self, notice, now):
        for engine in self._running():
            engine.notice(notice, now)
        self._go_on(now)

    def next_timer(self):
        timers = [engine.next_timer() for engine in self._running()]
        return min([timer for timer in timers if timer is not None], default=None)

    def handle_timer(self, now):
        for engine in self._running():
            timer = engine.next_timer()
            if timer is not None and now >= timer:
                engine.handle_timer(now)
        self._go_on(now)

    def take_sends(self):
        sends = []
        for place, engine in enumerate(self._engines):
            if engine is not None:
                first = place * _STRIDE
                sends += [(first + send[0],) + tuple(send[1:]) for send in engine.take_sends()]
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result; nothing is left waiting."""
        for engine in self._running():
            engine.stop(now)
        self.done = True

    # How it goes on

    def _there(self):
        return [engine for engine in self._engines if engine is not None]

    def _running(self):
        return [engine for engine in self._there() if not engine.done]

    def _go_on(self, now):
        if self.done:
            return
        for place, engine in enumerate(self._engines):
            for result in [] if engine is None else engine.take_results():
                self._found[place] = result
        following = len(self._engines) - _PATH - 1  # index of the state whose turn is next
        if self._engines[-1].done and following < len(self._states):
            self._measure(self._states[following], now)
        elif not self._running():
            self.done = True
            layers = {"stream": None, "replied": None}
            for index, state in enumerate(self._states):
                layers[state] = self._found[_PATH + 1 + index]
            self._results.append({"layers": layers, "evidence": self._found[_ASIDE]})

    def _measure(self, state, now):
        limit, bindings, pace = self._limits
        engine = Layers(
            self.session,
            state,
            limit,
            bindings,
            pace,
            path=self._found[_PATH],
            bracket=self._brackets[state],
            shortest=self._shortest,
        )
        self._engines.append(engine)
        self._found.append(None)
        engine.start(now)
        self._go_on(now)

"""What the NAT does, in one result: filtering first, then mapping (RFC 5780, section 4).

Filtering comes first, since what the mapping test sends to the server's other endpoints would
open the filter for them.
"""

_OF_MAPPING = ("pooling", "port_preservation", "hairpin", "hairpin_reason", "mapped", "server")
_STRIDE = 1000  # flows of one engine; each has a hundred at most


class Behaviour:
    """Runs the engine *filtering*, then the engine *mapping*; one result (docs/telemetry.md)."""

    def __init__(self, filtering, mapping):
        self.done = False
        self._engines = [filtering, mapping]
        self._present = 0  # index of the engine that runs
        self._found = []
        self._results = []

    @property
    def counters(self):
        total = {}
        for engine in self._engines:
            for name in engine.counters:
                total[name] = total.get(name, 0) + engine.counters[name]
        return total

    def start(self, now):
        self._engines[0].start(now)
        self._go_on(now)

    def opened(self, flow, port):
        engine = self._engines[flow // _STRIDE]
        if hasattr(engine, "opened"):
            engine.opened(flow % _STRIDE, port)

    def receive(self, flow, data, source, now):
        if flow // _STRIDE == self._present:
            self._engines[self._present].receive(flow % _STRIDE, data, source, now)
            self._go_on(now)

    def notice(self, notice, now):
        self._engines[self._present].notice(notice, now)
        self._go_on(now)

    def next_timer(self):
        return self._engines[self._present].next_timer()

    def handle_timer(self, now):
        self._engines[self._present].handle_timer(now)
        self._go_on(now)

    def take_sends(self):
        sends = []
        for index in range(self._present + 1):
            first = index * _STRIDE
            for send in self._engines[index].take_sends():
                sends.append((first + send[0],) + tuple(send[1:]))
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        self._engines[self._present].stop(now)
        self.done = True

    def _go_on(self, now):
        engine = self._engines[self._present]
        self._found += engine.take_results()
        if not engine.done or self.done:
            return
        if self._present + 1 < len(self._engines):
            self._present += 1
            self._engines[self._present].start(now)
            self._go_on(now)
        else:
            self.done = True
            self._results.append(merged(self._found[0], self._found[1]))


def merged(filtering, mapping):
    """One result of both: what each found, and its reason under a name of its own."""
    result = {
        "mapping": mapping["mapping"],
        "mapping_reason": mapping.get("reason"),
        "filtering": filtering["filtering"],
        "filtering_reason": filtering.get("reason"),
        "filtering_method": filtering["method"],
        "filtering_trust": filtering["trust"],
        "classic": None,
        "difference": None,
        "seconds": filtering["seconds"] + mapping["seconds"],
        "bytes": filtering["bytes"] + mapping["bytes"],
    }
    for name in _OF_MAPPING:
        result[name] = mapping.get(name)
    return result

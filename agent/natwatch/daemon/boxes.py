"""What the daemon knows of the boxes on its line, and when it looks: which box had which lifetime,
so that a shrink is known to be that of one of them.

Once a line lifetime is known all boxes are looked at, and once a day from then on. After a shrink
is confirmed only the box is looked for that now is the shortest, at once; then all again.
"""

import json

from natwatch import port
from natwatch.daemon import telling
from natwatch.diagnosis.attribution import attribute
from natwatch.diagnosis.boxes import STATES
from natwatch.diagnosis.layers import combine
from natwatch.evidence import Evidence
from natwatch.port import kernel, network
from natwatch.probes.addressing import PRIVATE, addressing
from natwatch.probes.bracket import seconds
from natwatch.probes.layering import Layering

_CLASS = "udp/sip"
_KEPT = 4  # values of one line: the state of before a shrink, and what was found since
_TRIES = 3  # until a look that finds nothing is told to have found nothing
LONGEST = 2048  # bytes of a report's data


class Boxes:
    """*item* is the place of the survey "layers" in the plan, *keys* those of the plan's keys.

    *limits* are (ms to search up to, ms between two bindings); *inner* are the operator's networks
    for phones.
    """

    def __init__(self, item, keys, session, findings, say, limits, inner=PRIVATE):
        self.item = item
        self._keys = [key for key in keys if key.key[0] == _CLASS and key.key[1] in STATES]
        self._session = session
        self._findings = findings
        self._say = say
        self._limits = limits
        self._inner = inner
        self._known = []  # values of combine() of the present line, the newest first
        self._line = None  # the line that they are of
        self._shrunk = []  # states whose shrink was confirmed and whose box is still to be found
        self._begun_on = None  # the line on which the look that runs was begun
        self._after = None  # the shrink whose box it looks for, None: it looks at all boxes
        self.turn(0)

    def shrunk(self, key, now):
        """The shrink of *key* was confirmed, its bracket is the new one."""
        if key in self._keys:
            state = key.key[1]
            self._shrunk = [one for one in self._shrunk if one != state] + [state]
            self.item.failures = 0
            self.item.not_before = now
            self.turn(now)

    def turn(self, now):
        """Decide whether there is anything to look for, and whether it can wait."""
        brackets = self._brackets()
        self._shrunk = [state for state in self._shrunk if state in brackets]
        self.item.off = not brackets
        self.item.urgent = bool(self._shrunk)

    def lifetime(self, now):
        """A lifetime was measured: on another line other boxes stand, which are looked at soon."""
        line = self._where()
        if self._known and None not in line and line != self._line:
            self._known = []
            self._shrunk = []
            self.item.not_before = now

    def engine(self, room):
        """The engine to begin, which may open *room* bindings."""
        brackets = self._brackets()
        self._after = None
        if self._shrunk:
            state = self._shrunk[0]
            brackets = {state: brackets[state]}
            lo, hi = seconds(brackets[state])
            self._after = {"class": _CLASS, "state": state, "lo": lo, "hi": hi}
        self._begun_on = self._where()
        limit, pace = self._limits
        return Layering(
            self._session,
            brackets,
            limit,
            room,
            pace,
            shortest=self._after is not None,
            evidence=Evidence(self._session.endpoint, port.random),
        )

    def take(self, result, now):
        """What a look found: kept, and told; the value, None where it found nothing."""
        line = self._where()
        self.item.found = False
        if line != self._begun_on:
            return None  # part of it is of another line
        if line != self._line:
            self._known, self._line = [], line
        layers = result["layers"]
        found = bool([one for one in STATES if layers[one] is not None and layers[one]["nats"]])
        self.item.found = found or self.item.failures >= _TRIES - 1
        if not self.item.found:
            return None
        value = self._combined(result)
        self._tell(value, now)
        if not found:
            return None
        self._known = [value] + self._known[: _KEPT - 1]
        return value

    def ended(self, now):
        """The look has ended, and its item has noted that."""
        if self._after is not None and self.item.failures == 0:
            self._shrunk = [state for state in self._shrunk if state != self._after["state"]]
            self.item.not_before = now  # the next one's box, or all of them as they are now
        self.turn(now)

    def _brackets(self):
        """{state: bracket} of what is known to end; where nothing dies boxes are not told apart."""
        known = [key for key in self._keys if key.bracket and key.bracket[1] is not None]
        return {key.key[1]: key.bracket for key in known}

    def _combined(self, result):
        configured = kernel.of_this_router(False)
        return combine(result["layers"], result["evidence"], self._stands(), configured)

    def _tell(self, value, now):
        after = self._after
        for line in telling.layers(value):
            self._say(line)
        if after is not None:
            line = (after["lo"], after["hi"])
            box = attribute(value, self._known, after["state"], line)
            self._say(telling.shrunk(after, box))
        data = dict(value)
        data["after"] = after
        self._findings.report("layers", shortened(data), now)

    def _where(self):
        """The line that we are on: the gateway and the public /24."""
        mapped = self._session.mapped
        public = None if mapped is None else mapped[0].split(".")[:3]
        return network.gateway(), public

    def _stands(self):
        mapped = None if self._session.mapped is None else self._session.mapped[0]
        local = network.address_towards(self._session.endpoint[0])
        return addressing(local, network.gateway(), mapped, self._inner)


def shortened(data):
    """*data* of a report, without the figures behind its evidence where it would be too long."""
    if len(json.dumps(data)) > LONGEST:
        data = dict(data)
        data["evidence"] = [
            {"source": one["source"], "says": one["says"]} for one in data["evidence"]
        ]
    return data

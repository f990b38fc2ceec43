"""What the NAT, or a firewall, lets in: RFC 4787, section 5, asked of our own reflector.

A fresh socket asks the reflector for one push from another endpoint, which this socket never
contacted. What arrives, from the right source, is proof. That nothing arrives is "filtered" only if

* the endpoint in question answered another socket of ours before (else it may be unreachable),
* the reflector says that it sent all copies, and a witness from between them came,
* a push from the endpoint that was asked came to a sibling socket (the binding lived so long),
* and a second fresh socket saw the same.

Anything else is unknown, with the reason.
"""

from natwatch.probes.questions import other_of, text
from natwatch.probes.teeth import ALIVE
from natwatch.probes.trials import FILTERED, Trial, Trials
from natwatch.wire import stun

INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
PORT_DEPENDENT = "address-and-port-dependent"
PASSES = "passes"

# What is asked for, by the name that the result uses.
SAME, PORT, ADDRESS, MEDIA = "same endpoint", "other port", "other address", "media port"
SOURCES = (
    (SAME, 0),
    (PORT, stun.CHANGE_PORT),
    (ADDRESS, stun.CHANGE_IP | stun.CHANGE_PORT),
    (MEDIA, stun.CHANGE_IP | stun.ANY_PORT),
)

_TRUST = "pushes that the reflector says it sent, with witnesses beside them"


def kind_of(address, port):
    """(filtering behaviour or None, the reason or None), from what became of datagrams from the
    other *address* and from the other *port* of the same: PASSES, FILTERED or None."""
    if address == PASSES and port == FILTERED:
        return None, "what comes from the other address passes, and from the other port it does not"
    if address == PASSES:
        return INDEPENDENT, None
    if address == FILTERED and port == PASSES:
        return ADDRESS_DEPENDENT, None
    if address == FILTERED and port == FILTERED:
        return PORT_DEPENDENT, None
    return None, None


class Filtering(Trials):
    """Ask the reflector of *session*. The one result is a dict, see docs/telemetry.md."""

    def __init__(self, session):
        Trials.__init__(self, session)
        self._other = ("", 0)
        self._reachable = {}  # name -> None, or the reason why it cannot be asked
        self._round = 0  # of two

    # The steps

    def _learn(self, now):
        """The reflector's other endpoint, and whether a socket of ours can hear from it."""
        first = self._pending[0]
        if first.answer is None:
            self._tell(None, "the reflector %s does not answer" % text(self.server), now)
            return
        other, reason = other_of(self.server, first.answer)
        if other is None:
            self._tell(None, reason, now)
            return
        self._other = other
        media = (other[0], self.session.ports["udp/rtp"][0])
        endpoints = ((self.server[0], other[1]), other, media)
        self._pending = [self.questions.ask(1, endpoint, now) for endpoint in endpoints]
        self._step = self._control

    def _control(self, now):
        for name, question in zip((PORT, ADDRESS, MEDIA), self._pending):
            if question.answer is None:
                reason = "the reflector's %s does not answer" % text(question.destination)
                self._reachable[name] = reason
        self._pending = []
        self.questions.close(0, self.server)
        self.questions.close(1, self.server)
        self._step = self._ask

    def _ask(self, now):
        """A round of trials, once the control flow has a nonce."""
        ready, reason = self._ready(now)
        if not ready:
            if reason is not None:
                self._tell(None, reason, now)
            return
        self._round += 1
        for name, source in SOURCES:
            if name in self._reachable:
                continue
            if self._round == 2 and name != SAME and self._last(name).phase != FILTERED:
                continue
            self._open(Trial(name, source, self._expected(name)), now)
        self._step = self._wait

    def _wait(self, now):
        if [trial for trial in self._trials if not trial.over]:
            return
        filtered = [t for t in self._trials if t.phase == FILTERED and t.name != SAME]
        if self._round == 1 and filtered and self._last(SAME).phase == ALIVE:
            self._step = self._ask
        else:
            self._conclude(now)

    def _last(self, name):
        return [trial for trial in self._trials if trial.name == name][-1]

    def _expected(self, name):
        here, there = self.server, self._other
        return {
            SAME: (here[0], here[1], here[1]),
            PORT: (here[0], there[1], there[1]),
            ADDRESS: (there[0], there[1], there[1]),
            MEDIA: (there[0],) + self.session.ports["udp/rtp"],
        }[name]

    # The result

    def _outcome(self, name):
        """(PASSES, FILTERED or None, the reason) of all trials of one name."""
        if name in self._reachable:
            return None, self._reachable[name]
        trials = [trial for trial in self._trials if trial.name == name]
        if [trial for trial in trials if trial.phase == ALIVE]:
            return PASSES, None
        if [trial for trial in self._trials if trial.name == SAME and trial.phase != ALIVE]:
            return None, self._last(SAME).reason or "no push came even from the endpoint asked"
        if len(trials) == 2 and trials[0].phase == trials[1].phase == FILTERED:
            return FILTERED, None
        return None, trials[-1].reason

    def _conclude(self, now):
        address, why_address = self._outcome(ADDRESS)
        port, why_port = self._outcome(PORT)
        media, why_media = self._outcome(MEDIA)
        filtering, reason = kind_of(address, port)
        if PASSES in (address, media) and FILTERED in (address, media):
            filtering = None
            reason = "of two ports of the other address one passes and one does not"
        elif filtering is None and reason is None:
            reason = (address is None and why_address) or why_port or why_media
        self._tell(filtering, reason, now, {PORT: port, ADDRESS: address, MEDIA: media})

    def _tell(self, filtering, reason, now, seen=None):
        result = {"filtering": filtering, "method": "hold", "trust": _TRUST, "seen": seen or {}}
        if filtering is None:
            result["reason"] = reason
        self._end(result, now)

"""Whether the SIP port of the public address leads to the adapter: R7 (d), R8, and R1 without a
binding.

A forward points at the adapter, not at the probe, so only the adapter's answer proves it: the
reflector sends OPTIONS from an endpoint never contacted (docs/protocol.md, Forwards), and is asked
over the control flow what came of it. A carrier's public address is shared, and the answer may be
another customer's phone's: what the adapter calls itself on the LAN is compared.

Silence counts only if every copy was sent and the control flow was answered all the while: a line
that was down looks like no forward.
"""

from natwatch.wire import stun

_READY = 8000  # ms to wait for the control flow
_PATIENCE = 8000  # ms for the outcome; the reflector takes four seconds to call it silence
_POLL = 300  # ms between an answer and the next question
_UNHEARD = 1200  # ms without an answer that may hide all three copies, which take 1,400
_COPIES = 3
_REFUSED = {
    stun.REFUSED_PORT: "there is no such port",
    stun.REFUSED_PORTS: "this device has asked about two other ports within the hour",
    stun.REFUSED_SOON: "this public address was asked within the last ten seconds",
    stun.REFUSED_FULL: "the reflector has no room for another question",
}


class Forward:
    """Ask about *port*; *agent* is what the adapter calls itself on the LAN, None unknown.

    One result: {"port", "public": address, "answered": True, False or None (unknown), "status" of
    the SIP response, "agent": what answered calls itself, "source": [address, port] of the answer,
    "same_agent": whether that is *agent*, None if either is unknown, "reason": None or why nothing
    is known}.
    """

    def __init__(self, session, port, agent=None):
        self.session = session
        self.port = port
        self.agent = agent
        self.done = False
        self.bytes = 0  # all of it goes over the control flow
        self.counters = {}
        self._asked = False
        self._deadline = 0  # ms: for the control flow, then for the outcome
        self._heard = None  # ms: when it told something last
        self._gap = False
        self._timer = None
        self._results = []

    # The loop's calls

    def start(self, now):
        self._deadline = now + _READY
        self._timer = now

    def receive(self, flow, data, source, now):
        """It has no flow of its own."""

    def notice(self, notice, now):
        if self.done:
            return
        if notice[0] == "ready" and not self._asked:
            self._begin(now)
        elif notice[0] == "restarted" and self._asked:
            self._unknown("the reflector restarted")
        elif notice[0] == "forwarded" and notice[1] == self.port and self._asked:
            self._take(notice[2], now)

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self.done or now < self._timer:
            return
        if not self._asked:
            self._begin(now)
        elif now >= self._deadline:
            self._unknown("the reflector did not tell in time what came of it")
        else:
            self.session.forward(self.port, False)
            self._timer = self._deadline

    def take_sends(self):
        return []

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        self.done = True
        self._timer = None

    # How it works

    def _begin(self, now):
        if self.session.ready(now):
            self._asked = True
            self.session.forward(self.port, True)
            self._timer = self._deadline = now + _PATIENCE
        elif now >= self._deadline:
            self._unknown("no answer from the reflector")
        else:
            self._timer = now + 200

    def _take(self, told, now):
        if told is None:
            self._unknown("this reflector does not ask about forwards")
            return
        first = self._heard is None
        # Before the first answer nobody watched, so one copy at least must come after it.
        unheard = told.sent >= _COPIES if first else now - self._heard > _UNHEARD
        self._gap = self._gap or unheard
        self._heard = now
        if told.state == stun.UNDER_WAY:
            self._timer = min(now + _POLL, self._deadline)
        elif told.state == stun.ANSWERED:
            self._end(True, None, told)
        elif told.state == stun.SILENT and first:
            self._unknown("it was asked less than a minute ago: check again in a minute")
        elif told.state == stun.SILENT and told.sent < _COPIES:
            self._unknown("the reflector could not send OPTIONS")
        elif told.state == stun.SILENT and self._gap:
            self._unknown("the line was interrupted meanwhile")
        elif told.state == stun.SILENT:
            self._end(False, None, told)
        elif told.state == stun.NEVER_ASKED:
            self._unknown("the reflector has lost it: the public address may have changed")
        else:
            self._unknown(_REFUSED.get(told.state, "the reflector refuses (%d)" % told.state))

    def _unknown(self, reason):
        self._end(None, reason, stun.Forwarded(stun.NEVER_ASKED))

    def _end(self, answered, reason, told):
        mapped = self.session.mapped
        known = answered and told.agent is not None and self.agent is not None
        self._results.append(
            {
                "port": self.port,
                "public": None if mapped is None else mapped[0],
                "answered": answered,
                "status": told.status if answered else None,
                "agent": told.agent if answered else None,
                "source": list(told.source) if answered else None,
                "same_agent": told.agent == self.agent if known else None,
                "reason": reason,
            }
        )
        self.done = True
        self._timer = None

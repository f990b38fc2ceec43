"""Whether the customer's SIP adapter lives at its address on the LAN: requirement R3.

SIP OPTIONS (RFC 3261, section 11) from a fresh local port that is never 5060, the adapter's own
(docs/method.md). Any SIP response to it, a refusal as well, proves that the adapter lives. Silence
proves nothing: some adapters answer nobody but their registrar.
"""

import binascii

from natwatch.wire import sip_options
from natwatch.wire.sip import SipError

_TRIES = (0, 1000, 2000)  # ms at which the request is sent
_PATIENCE = 4000  # ms
_HEADERS = 28  # bytes of IPv4 and UDP
_FIRST, _LAST = 16384, 60999  # local ports
_HOST = "natwatch.invalid"  # in Via: MicroPython does not know its own address


class Adapter:
    """Ask the adapter at *endpoint*, (address, port). *random* gives n random bytes.

    One result: {"address", "port", "answered": True or None, "status" of the response, "agent": its
    Server or User-Agent, "rtt": ms, None also where nobody knows which try was answered, "reason":
    None or why nothing is known}.
    """

    def __init__(self, endpoint, random):
        self.endpoint = endpoint
        self.done = False
        self.bytes = 0
        self.counters = {}
        self._random = random
        self._token = binascii.hexlify(random(12)).decode()
        self._port = self._drawn()
        self._sent = []  # ms, try by try
        self._refused = None  # errno of the latest send that failed
        self._timer = None
        self._sends = []
        self._results = []

    # The loop's calls

    def start(self, now):
        self._started = now
        self.handle_timer(now)

    def local_port(self, _flow):
        return self._port

    def unsent(self, _flow, number):
        """The system refused: perhaps another program has this local port."""
        self._sent.pop()
        self._refused = number
        self._port = self._drawn()

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + _HEADERS
        if self.done:
            return
        if source != self.endpoint:
            self._count("wrong_source")
            return
        try:
            answer = sip_options.answer(data, self._token)
        except SipError as error:
            self._count(error.counter)
            return
        self._end(answer, now - self._sent[0] if len(self._sent) == 1 else None)

    def notice(self, notice, now):
        """The control flow, if there is one, has nothing to say here."""

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self.done:
            return
        passed = now - self._started
        if passed >= _PATIENCE:
            self._end(None, None)
            return
        data = sip_options.request(self.endpoint, (_HOST, self._port), self._token)
        self._sent.append(now)
        self.bytes += len(data) + _HEADERS
        self._sends.append((0, data, self.endpoint))
        left = [after for after in _TRIES if after > passed]
        self._timer = self._started + (left[0] if left else _PATIENCE)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        if not self.done:
            self._finish()

    # How it works

    def _drawn(self):
        return _FIRST + int.from_bytes(self._random(4), "big") % (_LAST - _FIRST + 1)

    def _end(self, answer, rtt):
        reason = None
        if answer is None:
            reason = "no answer to OPTIONS: the adapter is off, or answers only its registrar"
            if not self._sent:
                reason = "OPTIONS cannot be sent there (error %s)" % self._refused
        self._results.append(
            {
                "address": self.endpoint[0],
                "port": self.endpoint[1],
                "answered": None if answer is None else True,
                "status": None if answer is None else answer.status,
                "agent": None if answer is None else answer.agent,
                "rtt": rtt,
                "reason": reason,
            }
        )
        self._finish()

    def _finish(self):
        self.done = True
        self._timer = None
        self._sends.append((0, None, self.endpoint))

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

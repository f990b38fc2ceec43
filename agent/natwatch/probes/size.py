"""How large a datagram passes at port 5060, each way, and whether fragments do.

"Registers, but calls fail" is often size: an INVITE with SDP over the MTU goes in fragments, which
some routers drop. Requests with PADDING (RFC 5780, 7.6) grow from 400 to 1,900 bytes; the answer
has the same padding, so it asks the way back, and the reflector's copies tell a request that did
not arrive from an answer that did not.
"""

import hashlib

from natwatch.wire import stun

PORT = 5060
SIZES = (400, 800, 1200, 1400, 1472, 1600, 1752, 1900)  # bytes of UDP payload
WHOLE = 1472  # the most that goes in one piece: Ethernet's 1,500 less the headers of IPv4 and UDP
_TRIES = 3  # of each size: 24 datagrams; the reflector keeps 32 copies
_GAP = 60  # ms between two datagrams
_REPEATS = (500, 1000)  # ms after the first try to set up
_PATIENCE = 4000
_SETTLE = 2000  # ms for what was sent last to arrive
_READY = 20000  # ms to wait for the control flow
_FETCHING = 20000  # ms for all copies together
_HOLD = 60000  # ms: never pushed, since it is canceled
WAITING, SETTING_UP, SENDING, SETTLING, COLLECTING, DONE = range(6)


class Size:
    """One result: {"out", "in": largest payload that passed, bytes, or None; "fragments_out",
    "fragments_in": True, False or None (unknown); "reason": None or why nothing is known}."""

    def __init__(self, session):
        self.session = session
        self.endpoint = (session.endpoint[0], PORT)
        self.done = False
        self.bytes = 0
        self.counters = {}
        self.phase = WAITING
        self._txid = session.random(12)
        self._plan = list(SIZES) * _TRIES
        self._asked = {}  # transaction id -> payload of the request
        self._digests = {}  # SHA-256 of a request -> its payload
        self._arrived = []  # payloads of requests that the reflector has
        self._answered = []  # (payload of the request, payload of its answer)
        self._timer = None
        self._sends = []
        self._results = []

    # The loop's calls

    def start(self, now):
        self._deadline = now + _READY
        self._timer = now

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        try:
            answer = stun.parse(data)
        except stun.StunError as error:
            self._count(error.counter)
            return
        if source != self.endpoint or answer.klass != stun.SUCCESS:
            self._count("unexpected")
        elif answer.txid in self._asked:
            self._answered.append((self._asked[answer.txid], len(data)))
        elif answer.txid == self._txid and self.phase == SETTING_UP:
            if answer.authentic(self.session.key):
                self.phase = SENDING
                self._timer = now + _GAP

    def notice(self, notice, now):
        if notice[0] == "restarted" and self.phase not in (WAITING, DONE):
            self._end("the reflector restarted")
        elif notice[0] == "copy" and self.phase == COLLECTING and notice[1] == self._txid:
            self._take_copy(notice[2])

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self._timer is None or now < self._timer:
            return
        if self.phase == WAITING:
            self._wait(now)
        elif self.phase == SETTING_UP:
            self._set_up(now)
        elif self.phase == SENDING:
            self._send_next(now)
        elif self.phase == SETTLING:
            self.phase = COLLECTING
            self._timer = now + _FETCHING
            self.session.fetch(self._txid, 0)
        else:
            self._end("the reflector did not send all copies")

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end; nothing is left waiting at the reflector."""
        if not self.done:
            self._end("it was ended early")

    # How it works

    def _wait(self, now):
        if self.session.ready(now):
            self.phase = SETTING_UP
            self._first_sent = now
            self._set_up(now)
        elif now >= self._deadline:
            self._end("no answer from the reflector")
        else:
            self._timer = now + 200

    def _set_up(self, now):
        passed = now - self._first_sent
        if passed >= _PATIENCE:
            self._end("no answer to the set-up at port %d" % PORT)
            return
        hold = stun.Hold(True, _HOLD, 1, 0, self.session.tag, True)
        self._send(self.session.hold_request(self._txid, hold))
        left = [wait for wait in _REPEATS if wait > passed]
        self._timer = self._first_sent + (left[0] if left else _PATIENCE)

    def _send_next(self, now):
        size = self._plan.pop(0)
        txid = self.session.random(12)
        # 20 bytes of header and 4 of the attribute's own.
        attributes = [(stun.PADDING, bytes(size - 24))]
        data = stun.build(stun.REQUEST, txid, attributes, fingerprint=False)
        self._asked[txid] = size
        self._digests[hashlib.sha256(data).digest()] = size
        self._send(data)
        self._timer = now + _GAP
        if not self._plan:
            self.phase = SETTLING
            self._timer = now + _SETTLE

    def _take_copy(self, copy):
        if copy is None:
            self._end("this reflector keeps no copies")
            return
        if copy.index < copy.count and copy.digest in self._digests:
            self._arrived.append(self._digests[copy.digest])
        if copy.index + 1 < copy.count:
            self.session.fetch(self._txid, copy.index + 1)
        else:
            self._end(None)

    def _end(self, reason):
        if self.phase not in (WAITING, DONE):
            self.session.cancel(self._txid)
        self._sends.append((0, None, self.endpoint))
        self.phase = DONE
        self.done = True
        self._timer = None
        arrived = self._arrived if reason is None else []
        result = judge(arrived, self._answered if reason is None else [])
        result["reason"] = reason
        self._results.append(result)

    def _send(self, data):
        self.bytes += len(data) + 28
        self._sends.append((0, data, self.endpoint))

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def judge(arrived, answered):
    """The result, from payloads that *arrived* and [(payload, payload of its answer)]."""
    came = [answer for _, answer in answered]
    sizes = set(arrived) | set([size for size, _ in answered])  # an answer proves its request
    out = len([size for size in sizes if size > WHOLE])
    small = [size for size in SIZES if size <= WHOLE and size in sizes]
    # Of each larger size three tries were made. Silence of all of them counts only where every
    # smaller size passed; so it does on the way back, where the requests did arrive.
    fragments_out = True if out else (False if len(small) == 5 else None)
    back = len([answer for answer in came if answer > WHOLE])
    whole = set([size for size, answer in answered if answer <= WHOLE])
    tried = [size for size in arrived if size >= WHOLE]
    fragments_in = True if back else (False if len(tried) >= 3 and len(whole) == 4 else None)
    return {
        "out": max(sizes) if sizes else None,
        "in": max(came) if came else None,
        "fragments_out": fragments_out,
        "fragments_in": fragments_in,
    }

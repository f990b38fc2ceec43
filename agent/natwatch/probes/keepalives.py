"""Which kinds of keepalive arrive at port 5060, and unchanged.

Adapters keep their binding open with very different datagrams, and some routers and firewalls
drop some of them: an empty one, four NULs, or any SIP that they do not like. One collecting tooth
(docs/protocol.md) receives all kinds, and the reflector's copies are compared with what was sent
by their SHA-256, which no ALG on the way can touch.

A kind is *lost* only if none of its tries came on two fresh bindings, while plain STUN requests
sent just before or just after each try did: those are the witnesses here.
"""

import binascii
import hashlib

from natwatch.wire import stun

PORT = 5060
ARRIVES, ALTERED, LOST, UNKNOWN = "arrives", "altered", "lost", "unknown"


def _stun(_host, random):
    return stun.build(stun.REQUEST, random(12), [], fingerprint=False)


def _sip(method, host, random, extra):
    # As in wire.sip: no address of ours in it. rport (RFC 3581) brings the answer back.
    token = binascii.hexlify(random(12)).decode()
    lines = [
        "%s sip:%s SIP/2.0" % (method, host),
        "Via: SIP/2.0/UDP natwatch.invalid;rport;branch=z9hG4bK%s" % token,
        "Max-Forwards: 70",
        "From: <sip:probe@natwatch.invalid>;tag=%s" % token[:8],
        "To: <sip:%s>" % host,
        "Call-ID: %s" % token,
        "CSeq: 1 %s" % method,
    ]
    return "\r\n".join(lines + extra + ["Content-Length: 0"]).encode() + b"\r\n\r\n"


# The kinds that adapters send. Name -> builder, called with the host's address and a function that
# gives n random bytes: what must differ each time does (a transaction id, a branch).
KINDS = {
    "crlf": lambda host, random: b"\r\n",
    "crlfcrlf": lambda host, random: b"\r\n\r\n",  # RFC 5626, 3.5.1 (there for TCP)
    "empty": lambda host, random: b"",
    "nul": lambda host, random: bytes(4),
    "stun": _stun,  # RFC 5626, 3.5.2
    "options": lambda host, random: _sip("OPTIONS", host, random, []),
    "notify": lambda host, random: _sip("NOTIFY", host, random, ["Event: keep-alive"]),
}

# One pass: each kind has a neighbour of kind stun. Three passes are 30 datagrams; the reflector
# keeps 32 a tooth.
_PASS = ("stun", "crlf", "crlfcrlf", "stun", "empty", "nul", "stun", "options", "notify", "stun")
_PASSES = 3
_GAP = 300  # ms between two datagrams
_GOES = 2  # fresh bindings before a kind is called lost
_REPEATS = (500, 1000)  # ms after the first try to set up: the reflector answers again within 2 s
_PATIENCE = 4000  # ms to wait for the set-up's answer
_SETTLE = 2000  # ms for what was sent last to arrive
_HOLD = 60000  # ms: never pushed, since it is cancelled; so long its record lives
_FETCHING = 30000  # ms for all copies together; the reflector keeps them 60 s

WAITING, SETTING_UP, SENDING, SETTLING, COLLECTING = (
    "waiting",
    "setting up",
    "sending",
    "settling",
    "collecting",
)


class Keepalives:
    """Send every kind to the reflector's port 5060 and ask what came. One result.

    The result: {"kinds": {name: "arrives" | "altered" | "lost" | "unknown"}, "reason": None or a
    sentence about what is unknown, "sent": datagrams, "came": datagrams}.
    """

    def __init__(self, session):
        self.session = session
        self.endpoint = (session.endpoint[0], PORT)
        self.done = False
        self.bytes = 0
        self.counters = {}
        self.phase = None
        self._flow = 0
        self._goes = []  # one {kind: verdict} for each binding
        self._reason = None
        self._sent_all = 0
        self._came_all = 0
        self._timer = None
        self._sends = []
        self._results = []

    # The engine's calls

    def start(self, now):
        self._begin(now)

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        if flow != self._flow or self.phase != SETTING_UP or source != self.endpoint:
            return  # answers to keepalives are welcome and mean nothing here
        try:
            message = stun.parse(data)
        except stun.StunError as error:
            self._count(error.counter)
            return
        if message.txid != self._txid or message.klass != stun.SUCCESS:
            return
        if not message.authentic(self.session.key):
            self._count("wrong_key")
            return
        self.phase = SENDING
        self._timer = now + _GAP

    def notice(self, notice, now):
        if notice[0] == "ready" and self.phase == WAITING:
            self.handle_timer(now)
        elif notice[0] == "restarted" and self.phase != WAITING:
            self._give_up("the reflector restarted", now)
        elif notice[0] == "copy" and self.phase == COLLECTING and notice[1] == self._txid:
            self._take_copy(notice[2], now)

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self._timer is None or (now < self._timer and self.phase != WAITING):
            return
        if self.phase == WAITING:
            if self.session.ready(now):
                self.phase = SETTING_UP
                self._first_sent = now
                self._request(now)
            elif now >= self._deadline:
                self._give_up("no answer from the reflector", now)
            else:
                self._timer = now + 200
        elif self.phase == SETTING_UP:
            if now - self._first_sent >= _PATIENCE:
                self._give_up("no answer to the set-up at port %d" % PORT, now)
            else:
                self._request(now)
        elif self.phase == SENDING:
            self._send_next(now)
        elif self.phase == SETTLING:
            self.phase = COLLECTING
            self._timer = now + _FETCHING
            self.session.fetch(self._txid, 0)
        else:
            self._give_up("the reflector did not send all copies", now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end; nothing is left waiting at the reflector."""
        self._close()
        self._timer = None
        self.done = True

    # One go

    def _begin(self, now):
        self.phase = WAITING
        self._txid = self.session.random(12)
        self._first_sent = None
        self._deadline = now + _FETCHING
        self._plan = list(_PASS) * _PASSES
        self._sent = []  # (kind, bytes), in the order of sending
        self._copies = []  # stun.Copy, in the order of arrival
        self._timer = now

    def _request(self, now):
        hold = stun.Hold(True, _HOLD, 1, 0, self.session.tag, True)
        self._send(self.session.hold_request(self._txid, hold))
        passed = now - self._first_sent
        left = [wait for wait in _REPEATS if wait > passed]
        self._timer = self._first_sent + (left[0] if left else _PATIENCE)

    def _send_next(self, now):
        kind = self._plan.pop(0)
        data = KINDS[kind](self.endpoint[0], self.session.random)
        self._sent.append((kind, data))
        self._send(data)
        if self._plan:
            self._timer = now + _GAP
        else:
            self.phase = SETTLING
            self._timer = now + _SETTLE

    def _take_copy(self, copy, now):
        if copy is None:
            self._give_up("this reflector keeps no copies", now)
            return
        if copy.index < copy.count:
            self._copies.append(copy)
        if copy.index + 1 < copy.count:
            self.session.fetch(self._txid, copy.index + 1)
            return
        self._came_all += len(self._copies)
        self._sent_all += len(self._sent)
        self._judged(judge(self._sent, self._copies), now)

    def _judged(self, verdicts, now):
        self._close()
        self._goes.append(verdicts)
        missing = [kind for kind in KINDS if self._merged(kind) in (LOST, UNKNOWN)]
        if missing and len(self._goes) < _GOES:
            self._flow += 1
            self._begin(now)
            return
        kinds = dict([(kind, self._merged(kind)) for kind in KINDS])
        unknown = sorted([kind for kind in kinds if kinds[kind] == UNKNOWN])
        reason = None
        if unknown:
            reason = "%s: %s" % (", ".join(unknown), self._reason or "too much was lost to say")
        counts = (self._sent_all, self._came_all)
        self._results.append(
            {"kinds": kinds, "reason": reason, "sent": counts[0], "came": counts[1]}
        )
        self._timer = None
        self.done = True

    def _merged(self, kind):
        """The verdict of all goes: life refutes death, and death needs every go."""
        verdicts = [go[kind] for go in self._goes]
        for verdict in (ARRIVES, ALTERED):
            if verdict in verdicts:
                return verdict
        if len(verdicts) == _GOES and UNKNOWN not in verdicts:
            return LOST
        return UNKNOWN

    def _give_up(self, reason, now):
        self._reason = reason
        self._judged(dict([(kind, UNKNOWN) for kind in KINDS]), now)

    def _close(self):
        if self._first_sent is not None:
            self.session.cancel(self._txid)
        self._sends.append((self._flow, None, self.endpoint))

    def _send(self, data):
        self.bytes += len(data) + 28
        self._sends.append((self._flow, data, self.endpoint))

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def judge(sent, copies):
    """{kind: verdict} of one go. *sent* is [(kind, bytes)], *copies* the stun.Copy that came.

    A kind is lost here if none of it came although a plain STUN request did beside each try.
    A copy that matches nothing was altered on the way: it is put down to the one kind that is
    missing, or to none. So are copies beyond the number sent (a router that makes CRLF of
    CRLFCRLF), if they are as many as the missing kind's tries and the line doubles nothing.
    """
    digests = [(kind, hashlib.sha256(data).digest()) for kind, data in sent]
    left = [copy.digest for copy in copies]
    came = []  # of each datagram sent, whether the very same bytes came
    for _, digest in digests:
        came.append(digest in left)
        if came[-1]:
            left.remove(digest)
    verdicts = {}
    for kind in set([kind for kind, _ in sent]):
        tries = [index for index, (name, _) in enumerate(sent) if name == kind]
        if any([came[index] for index in tries]):
            verdicts[kind] = ARRIVES
        elif kind != "stun" and all([_witnessed(sent, came, index) for index in tries]):
            verdicts[kind] = LOST
        else:
            verdicts[kind] = UNKNOWN
    missing = [kind for kind in verdicts if verdicts[kind] != ARRIVES]
    if left:
        foreign = [digest for digest in left if digest not in [known for _, known in digests]]
        doubled = [digest for digest in left if ("stun", digest) in digests]
        for kind in missing:
            tries = [name for name, _ in sent if name == kind]
            proven = foreign or (len(left) >= len(tries) and not doubled)
            verdicts[kind] = ALTERED if proven and len(missing) == 1 else UNKNOWN
    return verdicts


def _witnessed(sent, came, index):
    """Whether a STUN request that was sent next to datagram *index* came."""
    beside = [other for other in (index - 1, index + 1) if 0 <= other < len(sent)]
    return any([sent[other][0] == "stun" and came[other] for other in beside])

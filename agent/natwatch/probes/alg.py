"""What a SIP ALG on the way does to REGISTER and INVITE: requirement R5.

An ALG rewrites only what equals the flow's real endpoint (Linux: nf_nat_sip), so the messages carry
the true local address and port and go from 5060 to 5060; the same go to a port that is not SIP's,
as a control. What an ALG changed on the way out it changes back in an answer, so the reflector
keeps copies of what arrived, which travel in base64 (docs/protocol.md): those are compared.

*Dropped* is a message of which no try came although plain STUN requests, sent between the tries on
the same binding, did. Source port 5060 may be the adapter's own at a NAT that preserves ports
(docs/method.md, "Real SIP on 5060"), so this runs when somebody asks for it, and never by itself.
"""

import binascii

from natwatch.wire import sip, stun

PORT = 5060
METHODS = ("REGISTER", "INVITE")
UNTOUCHED, REWRITTEN, DROPPED, UNKNOWN = "untouched", "rewritten", "dropped", "unknown"

_STUN = "STUN"
_PASS = (_STUN, "REGISTER", _STUN, "INVITE", _STUN)
_PASSES = 3  # 15 datagrams a binding; the reflector keeps 32
_GAP = 80  # ms between two datagrams
_REPEATS = (500, 1000)  # ms after the first try to set up
_PATIENCE = 4000  # ms to wait for the set-up's answers
_SETTLE = 2000  # ms for what was sent last to arrive
_READY = 20000  # ms to wait for the control flow
_FETCHING = 20000  # ms for all copies together
_HOLD = 60000  # ms: never pushed, since it is canceled; so long its record lives
_SDP = (
    "v=0\r\no=probe 1 1 IN IP4 %(address)s\r\ns=-\r\nc=IN IP4 %(address)s\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0\r\na=sendrecv\r\n"
)
WAITING, SETTING_UP, SENDING, SETTLING, COLLECTING, DONE = range(6)


def message(method, host, address, token):
    """The bytes of a REGISTER (RFC 3261, 10.2) or INVITE from *address*, port 5060, to *host*."""
    body = _SDP % {"address": address} if method == "INVITE" else ""
    lines = [
        "%s sip:%s SIP/2.0" % (method, host),
        "Via: SIP/2.0/UDP %s:%d;rport;branch=z9hG4bK%s" % (address, PORT, token),
        "Max-Forwards: 70",
        "From: <sip:probe@%s>;tag=%s" % (host, token[:8]),
        "To: <sip:probe@%s>" % host,
        "Call-ID: %s@%s" % (token, address),
        "CSeq: 1 %s" % method,
        "Contact: <sip:probe@%s:%d>" % (address, PORT),
    ]
    lines.append("Content-Type: application/sdp" if body else "Expires: 600")
    lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class _Path:
    """One binding from our port 5060 to *port*, and what was sent and came there."""

    def __init__(self, port, txid):
        self.port = port
        self.txid = txid
        self.answered = False
        self.sent = []  # (method or STUN, bytes), in order
        self.came = []  # bytes, in order
        self.part = b""  # of a copy that takes several fetches
        self.complete = False


class Alg:
    """Ask from *local*, this machine's own address, or None where it is unknown.

    One result: {"sip": {method: {"verdict", "changes": [[from, to], …]}}, "control": the same,
    "control_port", "reason": None or why something is unknown}.
    """

    def __init__(self, session, local, control_port):
        self.session = session
        self.local = local
        self.done = False
        self.bytes = 0
        self.counters = {}
        self.phase = WAITING
        self._paths = [_Path(port, session.random(12)) for port in (PORT, control_port)]
        self._messages = {}
        self._plan = []  # (path, method or STUN)
        self._reason = None
        self._timer = None
        self._sends = []
        self._results = []

    # The loop's calls

    def local_port(self, _flow):
        return PORT

    def unsent(self, _flow, number):
        if self.phase == WAITING or self.phase == SETTING_UP:
            text = "local port %d cannot be used (error %s): another program has it"
            self._give_up(text % (PORT, number))

    def start(self, now):
        self._deadline = now + _READY
        self._timer = now
        if self.local is None:
            self._give_up("this machine's own address is not known")

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        try:
            answer = stun.parse(data)
        except stun.StunError as error:
            self._count(error.counter)
            return
        for path in self._paths:
            expected = (self.session.endpoint[0], path.port)
            if answer.txid == path.txid and source == expected and answer.klass == stun.SUCCESS:
                path.answered = path.answered or answer.authentic(self.session.key)
        if self.phase == SETTING_UP and not [path for path in self._paths if not path.answered]:
            self._begin(now)

    def notice(self, notice, now):
        if notice[0] == "restarted" and self.phase not in (WAITING, DONE):
            self._give_up("the reflector restarted")
        elif notice[0] == "copy" and self.phase == COLLECTING:
            for path in self._paths:
                if path.txid == notice[1] and not path.complete:
                    self._take_copy(path, notice[2], now)

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
            for path in self._paths:
                path.complete = not path.answered
                if path.answered:
                    self.session.fetch(path.txid, 0)
        else:
            self._give_up("the reflector did not send all copies")

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end; nothing is left waiting at the reflector."""
        if not self.done:
            self._give_up("it was ended early")

    # How it works

    def _wait(self, now):
        if self.session.ready(now):
            self.phase = SETTING_UP
            self._first_sent = now
            self._set_up(now)
        elif now >= self._deadline:
            self._give_up("no answer from the reflector")
        else:
            self._timer = now + 200

    def _set_up(self, now):
        passed = now - self._first_sent
        if passed >= _PATIENCE:
            silent = ["%d" % path.port for path in self._paths if not path.answered]
            self._reason = "no answer to the set-up at port %s" % " and ".join(silent)
            self._begin(now)
            return
        hold = stun.Hold(True, _HOLD, 1, 0, self.session.tag, True)
        for path in self._paths:
            if not path.answered:
                self._send(path, self.session.hold_request(path.txid, hold))
        left = [wait for wait in _REPEATS if wait > passed]
        self._timer = self._first_sent + (left[0] if left else _PATIENCE)

    def _begin(self, now):
        answered = [path for path in self._paths if path.answered]
        if not answered:
            self._give_up(self._reason)
            return
        host = self.session.endpoint[0]
        for method in METHODS:
            token = binascii.hexlify(self.session.random(12)).decode()
            self._messages[method] = message(method, host, self.local, token)
        self._plan = [(path, kind) for kind in _PASS * _PASSES for path in answered]
        self.phase = SENDING
        self._timer = now + _GAP

    def _send_next(self, now):
        path, kind = self._plan.pop(0)
        # A later try is a retransmission, byte for byte (RFC 3261, 17.1).
        data = self._messages.get(kind)
        if data is None:
            data = stun.build(stun.REQUEST, self.session.random(12), [], fingerprint=False)
        path.sent.append((kind, data))
        self._send(path, data)
        self._timer = now + _GAP
        if not self._plan:
            self.phase = SETTLING
            self._timer = now + _SETTLE

    def _take_copy(self, path, copy, now):
        if copy is None:
            self._give_up("this reflector keeps no copies")
            return
        if copy.index < copy.count:
            path.part += binascii.a2b_base64(copy.text)
            if len(path.part) < copy.total and copy.text:
                self.session.fetch(path.txid, copy.index, len(path.part))
                return
            path.came.append(path.part)
            path.part = b""
        if copy.index + 1 < copy.count:
            self.session.fetch(path.txid, copy.index + 1)
            return
        path.complete = True
        if not [one for one in self._paths if not one.complete]:
            self._end()

    def _give_up(self, reason):
        self._reason = reason
        for path in self._paths:
            path.sent = []  # what came of it is not known
        self._end()

    def _end(self):
        for path in self._paths:
            if path.answered:
                self.session.cancel(path.txid)
        self._sends.append((0, None, (self.session.endpoint[0], PORT)))
        self.phase = DONE
        self.done = True
        self._timer = None
        result = {"control_port": self._paths[1].port, "reason": self._reason}
        for name, path in zip(("sip", "control"), self._paths):
            result[name] = judge(path.sent, path.came)
        self._results.append(result)

    def _send(self, path, data):
        self.bytes += len(data) + 28
        self._sends.append((0, data, (self.session.endpoint[0], path.port)))

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def judge(sent, came):
    """{method: {"verdict", "changes"}} from [(method or STUN, bytes)] and the bytes that came."""
    verdicts = {}
    for method in METHODS:
        tries = [index for index, (kind, _) in enumerate(sent) if kind == method]
        verdict, changes = UNKNOWN, []
        altered = [data for data in came if method_of(data) == method]
        if tries and sent[tries[0]][1] in came:
            verdict = UNTOUCHED
        elif tries and altered:
            verdict, changes = REWRITTEN, changed(sent[tries[0]][1], altered[0])
        elif tries and not [index for index in tries if not _witnessed(sent, came, index)]:
            verdict = DROPPED
        verdicts[method] = {"verdict": verdict, "changes": changes}
    return verdicts


def _witnessed(sent, came, index):
    """Whether a STUN request that was sent next to datagram *index* came."""
    beside = [sent[other] for other in (index - 1, index + 1) if 0 <= other < len(sent)]
    return bool([data for kind, data in beside if kind == _STUN and data in came])


def method_of(data):
    """The method of the SIP request *data*, None if it is none."""
    try:
        return sip.parse(data).start.split(" ")[0]
    except sip.SipError:
        return None


def changed(before, after):
    """[[line before, line after], …] of two messages; "" where a line is only in one."""
    one, other = [_lines(data) for data in (before, after)]
    if len(one) == len(other):
        return [[a, b] for a, b in zip(one, other) if a != b]
    gone = [[line, ""] for line in one if line not in other]
    return gone + [["", line] for line in other if line not in one]


def _lines(data):
    try:
        return bytes(data).decode().split("\r\n")
    except (ValueError, UnicodeError):
        return ["%d bytes that are no text" % len(data)]

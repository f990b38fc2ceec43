"""What a SIP ALG on the way does to REGISTER and INVITE: requirement R5.

An ALG rewrites only what equals the flow's real endpoint (Linux: nf_nat_sip), so the messages carry
the true local address and port and go from 5060 to 5060; the same go to a port that is not SIP's,
as a control. What an ALG changed on the way out it changes back in an answer, so the reflector
keeps copies of what arrived, which travel in base64 (docs/protocol.md): those are compared. It also
answers as a SIP server would and keeps copies of that: the same for the way back.

*Dropped* is a message of which no try came although plain STUN requests, sent between the tries on
the same binding, did; or their answers, on the way back. Source port 5060 may be the adapter's own
at a NAT that preserves ports (docs/method.md, "Real SIP on 5060"), so this runs when somebody asks
for it, and never by itself.
"""

import binascii

from natwatch.probes.collecting import SETTING_UP, WAITING, Collecting
from natwatch.wire import sip, stun

LOCAL_PORT = 5060  # where phones send from, unless somebody set them otherwise
METHODS = ("REGISTER", "INVITE")
UNTOUCHED, REWRITTEN, DROPPED, UNKNOWN = "untouched", "rewritten", "dropped", "unknown"

_STUN = "STUN"
_PASS = (_STUN, "REGISTER", _STUN, "INVITE", _STUN)
_PASSES = 3  # 15 datagrams a binding; the reflector keeps 32
_MOST_HEARD = 2 * len(_PASS) * _PASSES  # datagrams of a binding that are kept
_GAP = 80  # ms between two datagrams
_SDP = (
    "v=0\r\no=probe 1 1 IN IP4 %(address)s\r\ns=-\r\nc=IN IP4 %(address)s\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0\r\na=sendrecv\r\n"
)


def message(method, host, address, token):
    """The bytes of a REGISTER (RFC 3261, 10.2) or INVITE from *address*, port 5060, to *host*."""
    body = _SDP % {"address": address} if method == "INVITE" else ""
    lines = [
        "%s sip:%s SIP/2.0" % (method, host),
        "Via: SIP/2.0/UDP %s:%d;rport;branch=z9hG4bK%s" % (address, LOCAL_PORT, token),
        "Max-Forwards: 70",
        "From: <sip:probe@%s>;tag=%s" % (host, token[:8]),
        "To: <sip:probe@%s>" % host,
        "Call-ID: %s@%s" % (token, address),
        "CSeq: 1 %s" % method,
        "Contact: <sip:probe@%s:%d>" % (address, LOCAL_PORT),
    ]
    lines.append("Content-Type: application/sdp" if body else "Expires: 600")
    lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Alg(Collecting):
    """Ask from *local*, this machine's own address, or None where it is unknown.

    One result: {"sip": {method: {"verdict", "changes": [[from, to], …], "back": verdict of the
    answers, "back_changes"}}, "control": the same, "control_port", "reason": None or why something
    is unknown}. Where a request was rewritten, its answer is as a rule rewritten back.
    """

    def __init__(self, session, local, control_port):
        Collecting.__init__(
            self, session, (session.sip_port, control_port), _GAP, whole=True, reply=True
        )
        self.local = local
        self._heard_there = {
            session.sip_port: [],
            control_port: [],
        }  # port -> bytes that came from it
        self._messages = {}
        self._tokens = []  # bytes; of our messages, and STUN's transaction ids

    def local_port(self, _flow):
        return LOCAL_PORT

    def unsent(self, _flow, number):
        if self.phase == WAITING or self.phase == SETTING_UP:
            text = "local port %d cannot be used (error %s): another program has it"
            self._give_up(text % (LOCAL_PORT, number), None)

    def start(self, now):
        self._open(now)
        if self.local is None:
            self._give_up("this machine's own address is not known", now)

    def _plan(self, paths):
        for method in METHODS:
            token = binascii.hexlify(self.session.random(12)).decode()
            self._tokens.append(token.encode())
            self._messages[method] = message(method, self.session.endpoint[0], self.local, token)
        return [(path, kind) for kind in _PASS * _PASSES for path in paths]

    def _datagram(self, path, kind):
        # A later try is a retransmission, byte for byte (RFC 3261, 17.1).
        if kind in self._messages:
            return self._messages[kind]
        self._tokens.append(self.session.random(12))
        return stun.build(stun.REQUEST, self._tokens[-1], [], fingerprint=False)

    def _heard(self, path, data, now):
        # Anybody may send to port 5060 in the reflector's name. An answer has the token of what it
        # answers; without it a phone would not take it either.
        heard = self._heard_there[path.port]
        ours = [one for one in self._tokens if one in data]
        if not ours or data in heard or len(heard) >= _MOST_HEARD:
            self.count("unasked")
        else:
            heard.append(bytes(data))

    def _collected(self, now):
        result = {"control_port": self.ports[1], "reason": self.reason}
        for name, path in zip(("sip", "control"), self.paths):
            result[name] = judge(path.sent, path.came)
            back = judge_back(path.sent, path.came, self._heard_there[path.port])
            for method in METHODS:
                result[name][method]["back"] = back[method]["verdict"]
                result[name][method]["back_changes"] = back[method]["changes"]
        self._end(result)


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


def judge_back(sent, came, heard):
    """The same of the answers: *came* holds copies of them, *heard* is what came back to us."""
    txids = [data[8:20] for data in heard]
    answered = [data for kind, data in sent if kind == _STUN and data[8:20] in txids]
    verdicts = {}
    for method in METHODS:
        tries = [index for index, (kind, _) in enumerate(sent) if kind == method]
        replies = [data for data in came if answered_method(data) == method]
        there = [data for data in heard if answered_method(data) == method]
        verdict, changes = UNKNOWN, []
        if [data for data in there if data in replies]:
            verdict = UNTOUCHED
        elif replies and there:
            verdict, changes = REWRITTEN, changed(replies[0], there[0])
        elif replies and len(replies) >= len(tries):
            if not [index for index in tries if not _witnessed(sent, answered, index)]:
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


def answered_method(data):
    """The method that the SIP response *data* answers, None if it is none."""
    try:
        message = sip.parse(data)
    except sip.SipError:
        return None
    cseq = (message.get("cseq") or "").split()
    return cseq[-1] if message.is_response and cseq else None


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

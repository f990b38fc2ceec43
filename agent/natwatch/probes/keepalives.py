"""Which kinds of keepalive arrive at the SIP port, and unchanged.

Adapters keep their binding open with very different datagrams, and some routers and firewalls
drop some of them: an empty one, four NULs, or any SIP that they do not like. One collecting tooth
(docs/protocol.md) receives all kinds, and the reflector's copies are compared with what was sent
by their SHA-256, which no ALG on the way can touch.

A kind is *lost* only if none of its tries came on two fresh bindings, while plain STUN requests
sent just before or just after each try did: those are the witnesses here.
"""

import binascii
import hashlib

from natwatch.probes.collecting import Collecting
from natwatch.wire import stun

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


class Keepalives(Collecting):
    """Send every kind to the reflector's SIP port and ask what came. One result.

    The result: {"kinds": {name: "arrives" | "altered" | "lost" | "unknown"}, "reason": None or a
    sentence about what is unknown, "sent": datagrams, "came": datagrams}.
    """

    def __init__(self, session):
        Collecting.__init__(self, session, (session.sip_port,), _GAP)
        self._goes = []  # one {kind: verdict} for each binding
        self._sent_all = 0
        self._came_all = 0

    def _plan(self, paths):
        return [(paths[0], kind) for kind in _PASS * _PASSES]

    def _datagram(self, path, kind):
        return KINDS[kind](self.session.endpoint[0], self.session.random)

    def _collected(self, now):
        path = self.paths[0]
        self._came_all += len(path.copies)
        self._sent_all += len(path.sent)
        if self.reason is None:
            verdicts = judge(path.sent, path.copies)
        else:
            verdicts = dict([(kind, UNKNOWN) for kind in KINDS])
        self._goes.append(verdicts)
        missing = [kind for kind in KINDS if self._merged(kind) in (LOST, UNKNOWN)]
        if missing and len(self._goes) < _GOES:
            self._open(now)
            return
        kinds = dict([(kind, self._merged(kind)) for kind in KINDS])
        unknown = sorted([kind for kind in kinds if kinds[kind] == UNKNOWN])
        reason = None
        if unknown:
            reason = "%s: %s" % (", ".join(unknown), self.reason or "too much was lost to say")
        counts = (self._sent_all, self._came_all)
        self._end({"kinds": kinds, "reason": reason, "sent": counts[0], "came": counts[1]})

    def _merged(self, kind):
        """The verdict of all goes: life refutes death, and death needs every go."""
        verdicts = [go[kind] for go in self._goes]
        for verdict in (ARRIVES, ALTERED):
            if verdict in verdicts:
                return verdict
        if len(verdicts) == _GOES and UNKNOWN not in verdicts:
            return LOST
        return UNKNOWN


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

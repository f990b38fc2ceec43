"""A SIP registrar for tests, with the faults that are met in the field. Bytes in, bytes out.

Its digests are computed here, not by the code under test. tests/lab/registrar.py puts it on a
socket; it runs on both interpreters.
"""

import binascii
import hashlib

from natwatch.wire import sip
from natwatch.wire.sip_client import parameters, split, unquoted

HASHES = {"MD5": "md5", "SHA-256": "sha256", "MD5-SESS": "md5"}
PHRASES = {200: "OK", 302: "Moved", 401: "Unauthorized", 403: "Forbidden", 423: "Too Brief"}


def hashed(algorithm, text):
    function = getattr(hashlib, HASHES[algorithm])
    return binascii.hexlify(function(text.encode()).digest()).decode()


def head_and_rest(answer):
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), rest


def without(name):
    def mangle(answer):
        lines, rest = head_and_rest(answer)
        kept = [line for line in lines if not line.lower().startswith(name)]
        return b"\r\n".join(kept) + b"\r\n\r\n" + rest

    return mangle


def folded(answer):
    """Every header on two lines, and names in their compact form (7.3.1, 7.3.3)."""
    lines, rest = head_and_rest(answer)
    told = [lines[0]]
    for line in lines[1:]:
        name, _, value = line.partition(b": ")
        short = {b"Via": b"v", b"Contact": b"m", b"Call-ID": b"i"}.get(name, name)
        told.append(short + b" :\r\n\t " + value)
    return b"\r\n".join(told) + b"\r\n\r\n" + rest


def replaced(old, new):
    return lambda answer: answer.replace(old, new)


# What becomes of every answer. Only "folded" and "followed" is SIP that must be understood.
MISBEHAVIOURS = {
    "folded": folded,
    "followed": lambda answer: answer + b"more than Content-Length says",
    "no via": without(b"via"),
    "two vias": replaced(b"\r\nVia:", b"\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nVia:"),
    "other branch": replaced(b"branch=z9hG4bK", b"branch=z9hG4bKx"),
    "no cseq": without(b"cseq"),
    "length": replaced(b"Content-Length: 0", b"Content-Length: 70"),
    "bad length": replaced(b"Content-Length: 0", b"Content-Length: -1"),
    "nul": replaced(b"Call-ID: ", b"Call-ID: \0"),
    "nuls": lambda answer: bytes(400),
    "bare line end": replaced(b"Call-ID: ", b"Call-ID: \nContact: <sip:x@192.0.2.7>"),
    "not utf-8": replaced(b"Call-ID: ", b"Call-ID: \xff\xfe"),
    "cut": lambda answer: answer[:-3],
    "64 KB": lambda answer: answer[:-4] + b"\r\nX: " + b"x" * 64000 + b"\r\n\r\n",
    "status": replaced(b"SIP/2.0 ", b"SIP/2.0 9"),
    "empty": lambda answer: b"",
}


class Registrar:
    """*users*: {user: password}. Attributes are switches; any may be set any time."""

    def __init__(self, users, realm="operator.example"):
        self.users = users
        self.realm = realm
        self.algorithms = ("MD5",)
        self.qop = "auth"  # None: as in RFC 2069
        self.scheme = "Digest"
        self.joined = False  # several challenges in one header
        self.proxy = False  # 407 first, then 401
        self.answers = {}  # method -> (status, [header line, …]) instead of what would be right
        self.provisional = False  # 100 before each answer
        self.silent = set()  # methods
        self.stale = 0  # so many nonces are called stale, though the digest is right
        self.always_stale = False
        self.once = False  # a nonce serves once, and a second use is refused without stale
        self.mangle = None  # bytes -> bytes of every answer
        self.locations = {}  # user -> {contact URI: (until s, received)}
        self.requests = []  # (method, Message)
        self._nonces = 0

    def receive(self, data, source, now=0):
        """The datagrams that answer *data*; *now* is s."""
        try:
            message = sip.parse(data)
        except sip.SipError:
            return []
        method = message.start.split(" ")[0]
        self.requests.append((method, message))
        if method in self.silent:
            return []
        answer = self._response(message, *self._answer(method, message, source, now))
        answers = [self._response(message, 100, [])] if self.provisional else []
        answers.append(answer)
        return [self.mangle(one) if self.mangle else one for one in answers]

    def _answer(self, method, message, source, now):
        """(status, header lines)."""
        answered = message.get("authorization") or message.get("proxy-authorization")
        if method in self.answers and (method != "REGISTER" or not self.users or answered):
            return self.answers[method]
        if method != "REGISTER":
            return 200, ["Server: lab registrar 1.0"]
        user = message.get("to").partition("sip:")[2].partition("@")[0]
        if self.users:
            refusal = self._challenge(message)
            if refusal is not None:
                return refusal
        return 200, self._locate(user, message, source, now)

    # Authentication

    def _challenge(self, message):
        """None if *message* may pass, else (status, header lines)."""
        if self.proxy and not self._right(message.get("proxy-authorization")):
            return 407, self._challenges("Proxy-Authenticate", "")
        credentials = message.get("authorization")
        if not self._right(credentials):
            return 401, self._challenges("WWW-Authenticate", "")
        if self.stale or self.always_stale:
            self.stale -= 1
            return 401, self._challenges("WWW-Authenticate", ", stale=TRUE")
        if self.once:
            self._nonces += 1
        return None

    def _challenges(self, name, stale):
        self._nonces += 1
        told = []
        for algorithm in self.algorithms:
            nonce = 'nonce="n%d,%s"' % (self._nonces, algorithm)
            text = '%s realm="%s", %s, algorithm=%s%s'
            text = text % (self.scheme, self.realm, nonce, algorithm, stale)
            text += ', opaque="a,b=\\"c\\""'
            if self.qop:
                text += ', qop="%s"' % self.qop
            told.append(text)
        if self.joined:
            told = [", ".join(told)]
        return ["%s: %s" % (name, text) for text in told]

    def _right(self, credentials):
        if credentials is None:
            return False
        fields = {}
        for part in split(credentials.partition(" ")[2], ","):
            name, _, value = part.strip().partition("=")
            fields[name] = unquoted(value)
        algorithm = fields["algorithm"]
        password = self.users.get(fields["username"])
        fresh = fields["nonce"] == "n%d,%s" % (self._nonces, algorithm) or self.proxy
        if password is None or not fresh or fields["opaque"] != 'a,b=\\"c\\"':
            return False
        secret = hashed(algorithm, "%s:%s:%s" % (fields["username"], self.realm, password))
        asked = hashed(algorithm, "REGISTER:" + fields["uri"])
        middle = fields["nonce"]
        if self.qop:
            middle += ":%s:%s:%s" % (fields["nc"], fields["cnonce"], fields["qop"])
        return fields["response"] == hashed(algorithm, "%s:%s:%s" % (secret, middle, asked))

    # The location table

    def _locate(self, user, message, source, now):
        kept = self.locations.setdefault(user, {})
        contact = message.get("contact")
        if contact is not None:
            uri = parameters(contact)[0].strip("<>")
            kept[uri] = (now + int(message.get("expires")), "sip:%s:%d" % source)
        told = []
        for uri in sorted(kept):
            until, received = kept[uri]
            text = 'Contact: "B, <A>" <%s>;expires=%d;received="%s"'
            told.append(text % (uri, until - now, received))
        return told

    def _response(self, message, status, headers):
        lines = ["SIP/2.0 %d %s" % (status, PHRASES.get(status, "Any, reason"))]
        for name, value in message.headers:
            if name in ("via", "from", "to", "call-id", "cseq"):
                shown = {"call-id": "Call-ID", "cseq": "CSeq"}.get(name)
                lines.append("%s: %s" % (shown or name[0].upper() + name[1:], value))
        return "\r\n".join(lines + headers + ["Content-Length: 0"]).encode() + b"\r\n\r\n"

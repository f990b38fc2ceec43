"""SIP messages as values, as far as a tooth that speaks SIP needs them: RFC 3261.

A binding to port 5060 must be made by real SIP, since a SIP ALG or a firewall looks into it. Such
a message carries one header of our own, ``Natwatch``: the base64 of the STUN message that would
have been sent otherwise. Its MAC covers those bytes only, because an ALG rewrites the rest; that
is why the header is looked for by name and nothing else of the message is believed.
"""

import binascii

MAX_BYTES = 2048
_HEADER = "natwatch"
_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
}
_ECHOED = ("via", "from", "to", "call-id", "cseq")  # RFC 3261, 8.2.6.2
_NAMES = {"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq"}


class SipError(ValueError):
    """These bytes are no SIP message. *counter* names the reason, for statistics."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


class Message:
    """A parsed message: the *start* line and *headers*, [(lower-case long name, value), …]."""

    def __init__(self, start, headers):
        self.start = start
        self.headers = headers

    @property
    def is_response(self):
        return self.start.startswith("SIP/2.0 ")

    def get(self, name):
        """The value of the first header *name* (lower case, long form), or None."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def payload(self):
        """The bytes in our own header, or None without one. Raises SipError."""
        value = self.get(_HEADER)
        if value is None:
            return None
        try:
            return binascii.a2b_base64(value.encode())
        except ValueError:
            raise SipError("sip_payload", "header Natwatch: expected base64")


def looks_like(data: bytes) -> bool:
    """Whether *data* may be SIP: STUN begins with a byte below 4 (RFC 7983, section 7)."""
    return len(data) > 0 and data[0] > 3


def parse(data: bytes) -> Message:
    """The Message in *data* (bytes). Raises SipError with a counter name and a sentence."""
    if len(data) > MAX_BYTES:
        raise SipError("sip_huge", "expected at most %d bytes, found %d" % (MAX_BYTES, len(data)))
    head = bytes(data).split(b"\r\n\r\n")[0]
    try:
        lines = head.decode().split("\r\n")
    except (ValueError, UnicodeError):
        raise SipError("sip_text", "expected text in UTF-8")
    if "SIP/2.0" not in lines[0]:
        raise SipError("not_sip", "expected a SIP/2.0 start line, found %r" % lines[0][:40])
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise SipError("sip_header", "expected a header, found %r" % line[:40])
        name = name.strip().lower()
        headers.append((_COMPACT.get(name, name), value.strip()))
    return Message(lines[0], headers)


def request(host: str, payload: bytes, token: str) -> bytes:
    """An OPTIONS request to *host* that carries *payload*; *token* makes it unique.

    Via names no address of ours: rport (RFC 3581) brings the answer back, and an ALG that
    rewrites addresses finds none to rewrite.
    """
    lines = (
        "OPTIONS sip:natwatch@%s SIP/2.0" % host,
        "Via: SIP/2.0/UDP natwatch.invalid;rport;branch=z9hG4bK%s" % token,
        "Max-Forwards: 70",
        "From: <sip:probe@natwatch.invalid>;tag=%s" % token[:8],
        "To: <sip:natwatch@%s>" % host,
        "Call-ID: %s" % token,
        "CSeq: 1 OPTIONS",
        "Contact: <sip:probe@natwatch.invalid>",
        "Natwatch: %s" % binascii.b2a_base64(payload).strip().decode(),
        "Content-Length: 0",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def response(message: Message, payload: bytes) -> bytes:
    """A 200 to the request *message* that carries *payload*."""
    lines = ["SIP/2.0 200 OK"]
    for name in _ECHOED:
        for known, value in message.headers:
            if known == name:
                lines.append("%s: %s" % (_NAMES[name], value))
    lines.append("Natwatch: %s" % binascii.b2a_base64(payload).strip().decode())
    lines.append("Content-Length: 0")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"

"""SIP as a client speaks it: requests out, responses in (RFC 3261).

A response counts only if it is whole and carries the branch of the request in its one Via
(17.1.3, 8.1.3.3). Lists, quotes and angle brackets are read as section 25.1 has them; what cannot
be read raises SipError with a counter name.
"""

from natwatch.wire import sip
from natwatch.wire.sip import SipError

_COOKIE = "z9hG4bK"  # RFC 3261, 8.1.1.7
_MOST_EXPIRES = 4294967295  # seconds; RFC 3261, 20.19


class Response:
    """A whole response: *status* (100 to 699), *phrase* (its reason phrase), *branch* of its Via
    without the cookie, *method* that it answers."""

    def __init__(self, status, phrase, message):
        self.status = status
        self.phrase = phrase
        self._headers = message.headers
        self.branch = self._branch()
        self.method = (self.get("cseq") or "").split(" ")[-1]

    def get(self, name):
        """The value of the first header *name* (lower case, long form), or None."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        """The values of all headers *name*, as they stand."""
        return [value for known, value in self._headers if known == name]

    def _branch(self):
        vias = listed(self.all("via"))
        if len(vias) != 1:
            raise SipError("sip_via", "expected one Via, found %d" % len(vias))
        branch = parameters(vias[0])[1].get("branch", "")
        return branch[len(_COOKIE) :] if branch.startswith(_COOKIE) else ""


def request(
    method: str, target: str, aor: str, call: str, number: int, branch: str, extra: list
) -> bytes:
    """The bytes of a request to the URI *target* in the name of *aor*, a URI as well.

    *call* makes Call-ID and the tag of From, *number* is CSeq's; *extra* are whole header lines.
    Via names no address of ours: rport (RFC 3581) brings the answer back, and an ALG that
    rewrites addresses finds none to rewrite.
    """
    lines = [
        "%s %s SIP/2.0" % (method, target),
        "Via: SIP/2.0/UDP natwatch.invalid;rport;branch=%s%s" % (_COOKIE, branch),
        "Max-Forwards: 70",
        "From: <%s>;tag=%s" % (aor, call[:8]),
        "To: <%s>" % aor,
        "Call-ID: %s" % call,
        "CSeq: %d %s" % (number, method),
        "User-Agent: natwatch",
    ]
    return "\r\n".join(lines + extra + ["Content-Length: 0"]).encode() + b"\r\n\r\n"


def response(data: bytes) -> Response:
    """The Response in *data*, one datagram. Raises SipError."""
    if len(data) > sip.MAX_BYTES:
        text = "expected at most %d bytes, found more" % sip.MAX_BYTES
        raise SipError("sip_huge", text)
    data = bytes(data)
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise SipError("sip_cut", "expected an empty line after the headers, found none")
    message = sip.parse(_unfolded(data[:end]))
    status = message.start[8:11]
    if not message.is_response or not _number(status, 3) or message.start[11:12] not in ("", " "):
        raise SipError("sip_status", "expected a response, found %r" % message.start[:40])
    if not 100 <= int(status) <= 699:
        raise SipError("sip_status", "expected a status from 100 to 699, found %s" % status)
    _check_length(message, len(data) - end - 4)
    return Response(int(status), message.start[12:72], message)


def _unfolded(head):
    """*head* with each folded header on one line (7.3.1). Raises SipError on control characters:
    bare line ends among them, which others would take for ends of headers."""
    whole = []
    for line in head.split(b"\r\n"):
        if [byte for byte in line if byte < 32 and byte != 9 or byte == 127]:
            raise SipError("sip_control", "expected text, found control characters")
        if line[:1] in (b" ", b"\t") and whole:
            whole[-1] += b" " + line.strip()
        else:
            whole.append(line)
    return b"\r\n".join(whole)


def _check_length(message, size):
    """A response that ends before its body does is thrown away (18.3); more may follow it."""
    for name, value in message.headers:
        if name == "content-length" and (not _number(value, 5) or int(value) > size):
            text = "Content-Length: expected at most %d, found %r" % (size, value[:20])
            raise SipError("sip_length", text)


def listed(values: list) -> list:
    """The elements of header *values*, each of which may be a list with commas (7.3.1)."""
    elements = []
    for value in values:
        elements += [element.strip() for element in split(value, ",") if element.strip()]
    return elements


def parameters(element: str) -> tuple:
    """(what stands before the first semicolon, {lower-case name: value without quotes})."""
    parts = split(element, ";")
    found = {}
    for part in parts[1:]:
        name, _, value = part.partition("=")
        found.setdefault(name.strip().lower(), unquoted(value.strip()))
    return parts[0].strip(), found


def split(text: str, separator: str) -> list:
    """*text* cut at *separator* where that stands neither in quotes nor in angle brackets."""
    parts, start, quoted, angle, index = [], 0, False, False, 0
    while index < len(text):
        character = text[index]
        if quoted:
            if character == "\\":
                index += 1
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character == separator and not angle:
            parts.append(text[start:index])
            start = index + 1
        elif character in "<>":
            angle = character == "<"
        index += 1
    return parts + [text[start:]]


def unquoted(text: str) -> str:
    """*text* without the quotes around it; what is escaped in them stays so."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def bindings(answer: Response) -> list:
    """What the 200 to a REGISTER says that the registrar holds (10.3, step 8), a list of
    {"contact": URI, "address", "port", "expires": s left, "received": the address that the
    registrar saw it come from}; None where it does not say."""
    overall = answer.get("expires")
    found = []
    for element in listed(answer.all("contact")):
        before, extra = parameters(element)
        uri = _uri(before)
        address, port = _host(uri)
        expires = extra.get("expires", overall)
        known = expires is not None and _number(expires, 10) and int(expires) <= _MOST_EXPIRES
        received = extra.get("received")
        binding = {"contact": uri[:200], "address": address, "port": port}
        binding["expires"] = int(expires) if known else None
        binding["received"] = None if received is None else _host(_uri(received))[0]
        found.append(binding)
    return found


def _uri(before):
    """The URI in a name-addr or addr-spec (20.10)."""
    named = split(before, "<")  # a display name in quotes may hold brackets of its own
    return before if len(named) == 1 else named[1].partition(">")[0].strip()


def _host(uri):
    """(host, port) of a SIP URI (19.1.1), (None, None) where there is none to be read."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        scheme, rest = "sip", uri
    user, at, after = rest.partition("@")
    rest = (after if at else user).split(";")[0].split("?")[0]
    if rest[:1] == "[":
        host, _, port = rest[1:].partition("]")
        port = port[1:]
    else:
        host, _, port = rest.partition(":")
    if not host or [one for one in host if one <= " " or one in '<>"*/']:
        return None, None
    if not port:
        return host[:200], 5061 if scheme.lower() == "sips" else 5060
    return host[:200], int(port) if _number(port, 5) and 0 < int(port) < 65536 else None


def escaped(user: str) -> str:
    """*user* as it stands in a SIP URI: what is not unreserved is escaped (19.1.2, 25.1)."""
    text = ""
    for byte in user.encode():
        plain = byte < 128 and (_alphanumeric(chr(byte)) or chr(byte) in "-_.!~*'()&=+$,;?/")
        text += chr(byte) if plain else "%%%02X" % byte
    return text


def _alphanumeric(character):
    return "0" <= character <= "9" or "A" <= character.upper() <= "Z"


def _number(text, most):
    return 0 < len(text) <= most and not [one for one in text if one not in "0123456789"]

"""What real SIP on a collecting tooth's binding is answered, as a SIP server would (RFC 3261).

An ALG on the way may leave requests alone and spoil answers; so the device asks for answers (HOLD
with *reply*), compares what came with the copy that is kept here of what was sent, and needs no
registrar for that. Nothing is registered and no call is made.
"""

import hashlib

from natwatch.wire import sip
from natwatch_provider.reflector.layout import Endpoint

_METHODS = ("REGISTER", "INVITE")
_COPIED = (("from", "From"), ("call-id", "Call-ID"), ("cseq", "CSeq"))
_LONGEST = 1400  # bytes: an answer in fragments would ask another question


def answer(data: bytes, source: Endpoint, local: Endpoint, media_port: int) -> bytes | None:
    """The 200 to the REGISTER or INVITE *data* that came from *source* to *local*, else None.

    To INVITE it offers to talk at *media_port*.

    The same request has the same answer, byte for byte.
    """
    try:
        message = sip.parse(data)
    except sip.SipError:
        return None
    method = message.start.split(" ")[0]
    if method not in _METHODS or None in (message.get("via"), message.get("call-id")):
        return None
    lines = ["SIP/2.0 200 OK"]
    vias = [value for name, value in message.headers if name == "via"]
    # RFC 3581, section 4: where it came from, since rport was asked.
    first = vias[0].replace(";rport", f";rport={source[1]};received={source[0]}", 1)
    lines += [f"Via: {value}" for value in (first, *vias[1:])]
    tag = hashlib.sha256(str(message.get("call-id")).encode()).hexdigest()[:8]
    lines.append(f"To: {message.get('to')};tag={tag}")
    lines += [f"{name}: {message.get(key)}" for key, name in _COPIED]
    body = ""
    if method == "REGISTER":
        lines.append(f"Contact: {message.get('contact')};expires={message.get('expires') or 600}")
    else:
        lines.append(f"Contact: <sip:natwatch@{local[0]}:{local[1]}>")
        lines.append("Content-Type: application/sdp")
        body = (
            f"v=0\r\no=natwatch 1 1 IN IP4 {local[0]}\r\ns=-\r\nc=IN IP4 {local[0]}\r\n"
            f"t=0 0\r\nm=audio {media_port} RTP/AVP 8 0\r\na=sendrecv\r\n"
        )
    lines.append(f"Content-Length: {len(body)}")
    built = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
    return built if len(built) <= _LONGEST else None

"""SIP OPTIONS, the question whether a SIP device lives that makes nothing ring: RFC 3261, 11.

Both ends ask it, the probe on the LAN and the reflector from outside. One token, 96 random bits in
hex, is the branch and the Call-ID: who answers has read the question.
"""

from natwatch.wire import sip_client
from natwatch.wire.sip import SipError
from natwatch.wire.stun import AGENT_MOST


class Answer:
    """*status* (100 to 699) and the name that the device gives itself, *agent*, None without."""

    def __init__(self, status, agent):
        self.status = status
        self.agent = agent


def request(destination: tuple, source: tuple, token: str) -> bytes:
    """The bytes of an OPTIONS to the endpoint *destination* from *source*, (host, port).

    *source* need not be known beyond a NAT: rport (RFC 3581) brings the answer back. But the port
    should be the socket's own, since devices without rport answer to that (18.2.2).
    """
    target = "sip:%s:%d" % tuple(destination)
    lines = (
        "OPTIONS %s SIP/2.0" % target,
        "Via: SIP/2.0/UDP %s:%d;rport;branch=z9hG4bK%s" % (source[0], source[1], token),
        "Max-Forwards: 70",
        "From: <sip:natwatch@%s>;tag=%s" % (source[0], token[:8]),
        "To: <%s>" % target,
        "Call-ID: %s" % token,
        "CSeq: 1 OPTIONS",
        "Contact: <sip:natwatch@%s:%d>" % tuple(source),
        "Accept: application/sdp",
        "User-Agent: natwatch",
        "Content-Length: 0",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer(data: bytes, token: str) -> Answer:
    """The Answer in *data*, one datagram, to the request with *token*. Raises SipError."""
    response = sip_client.response(data)
    if response.branch != token or response.get("call-id") != token:
        raise SipError("sip_unasked", "expected branch and Call-ID of our own request")
    return Answer(response.status, _agent(response))


def _agent(response):
    """Server (20.35) or, as some devices name it in answers too, User-Agent (20.41)."""
    text = response.get("server") or response.get("user-agent")
    if not text:
        return None
    return "".join([one if " " <= one <= "~" else "?" for one in text[:AGENT_MOST]])

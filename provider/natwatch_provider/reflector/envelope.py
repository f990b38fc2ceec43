"""How a STUN message travels: by itself, or on 5060 in a SIP message (natwatch.wire.sip).

A binding to 5060 must be made by real SIP where a router looks into what passes there.
"""

from typing import NamedTuple

from natwatch.wire import sip, stun


class Request(NamedTuple):
    """A STUN message, and the SIP message that it came in, if it did."""

    message: stun.Message
    outer: sip.Message | None

    def wrap(self, answer: bytes) -> bytes:
        """The STUN message *answer* as it must travel to whoever sent this request."""
        return bytes(sip.response(self.outer, answer)) if self.outer else answer


def read(data: bytes, sip_port: bool) -> Request:
    """The message in *data*, which came to the SIP port or to another one. Raises StunError.

    Whatever comes to the SIP port and is neither STUN nor SIP that speaks to us has the counter
    `sip`: phones and scanners send there, line ends and REGISTERs alike.
    """
    if not sip_port or not sip.looks_like(data):
        return Request(stun.parse(data), None)
    try:
        outer = sip.parse(data)
        payload = outer.payload()
    except sip.SipError as error:
        counter = "sip_payload" if error.counter == "sip_payload" else "sip"
        raise stun.StunError(counter, str(error)) from None
    if payload is None or outer.is_response:
        raise stun.StunError("sip", "expected a SIP request with our header")
    return Request(stun.parse(payload), outer)

"""wire/sip.py: what comes to a SIP port, at the reflector and at the probe."""

from natwatch.wire import sip

SEEDS = [
    sip.request("192.0.2.1", b"payload of a tooth", "0123456789"),
    sip.response(sip.parse(sip.request("192.0.2.1", b"x", "0123456789")), b"answer"),
    b"OPTIONS sip:x SIP/2.0\r\nv: 1\r\ni:\r\ni:\r\nNatwatch: AAEAACESpEI=\r\n\r\n",
]
WORDS = [b"SIP/2.0 ", b"\r\n", b"\r\n\r\n", b"Natwatch: ", b"Via: ", b"i: ", b":", b"\xff", b"="]


def one(data: bytes) -> None:
    sip.looks_like(data)
    try:
        message = sip.parse(data)
        payload = message.payload()
    except sip.SipError as error:
        assert error.counter and str(error)
        return
    answer = sip.response(message, payload or b"")
    # What is echoed reads as what it echoes: nobody puts a header of their own into our answer.
    echoed = sip.parse(answer[: sip.MAX_BYTES]) if len(answer) <= sip.MAX_BYTES else None
    if echoed is not None:
        assert echoed.is_response and echoed.payload() == (payload or b""), (
            message.headers,
            answer,
        )

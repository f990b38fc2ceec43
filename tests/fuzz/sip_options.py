"""wire/sip_options.py: what answers an OPTIONS, on the LAN or at a forwarded port."""

from natwatch.wire import sip_options
from natwatch.wire.sip import SipError

SEEDS = [
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKtoken\r\nCall-ID: token\r\n"
    b"CSeq: 1 OPTIONS\r\nServer: ACME \xd0\x96 1.0\r\nContent-Length: 0\r\n\r\n",
    b"SIP/2.0 486 Busy\r\nv: SIP/2.0/UDP a;branch=z9hG4bKtoken\r\ni: token\r\n"
    b"User-Agent: x\r\n\r\n",
]
WORDS = [b"Server: ", b"User-Agent: ", b"i: token", b"branch=z9hG4bKtoken", b"\r\n", b"\x7f"]


def one(data: bytes) -> None:
    try:
        answer = sip_options.answer(data, "token")
    except SipError as error:
        assert error.counter and str(error)
        return
    assert 100 <= answer.status <= 699
    assert answer.agent is None or (
        len(answer.agent) <= sip_options.AGENT_MOST
        and all(" " <= character <= "~" for character in answer.agent)
    )

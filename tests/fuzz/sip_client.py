"""wire/sip_client.py: what a registrar or a device on the LAN answers."""

from natwatch.wire import sip_client
from natwatch.wire.sip import SipError

SEEDS = [
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKtoken;received=192.0.2.1\r\n"
    b'Contact: <sip:u@10.0.0.2:5060>;expires=60;received="sip:192.0.2.1:5060"\r\n'
    b'm: "A, <b>" <sips:[2001:db8::1]:5061;x?y>;q=0.5, sip:c\r\n'
    b"CSeq: 1 REGISTER\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n",
    b"SIP/2.0 401 Unauthorized\r\nv: SIP/2.0/UDP a;branch=z9hG4bKtoken\r\nCSeq: 2 REGISTER\r\n"
    b'WWW-Authenticate: Digest realm="r", nonce="n"\r\nSubject: folded\r\n and more\r\n'
    b"l: 4\r\n\r\nbody",
]
WORDS = [
    b"SIP/2.0 ",
    b"\r\n",
    b"\r\n\r\n",
    b"Contact: ",
    b"expires=",
    b"<",
    b">",
    b'"',
    b"\\",
    b";",
]
WORDS += [b",", b"sip:", b"sips:", b"@", b"[", b"]", b"l: 5", b"received=", b"4294967296", b"\r\n "]


def one(data: bytes) -> None:
    try:
        answer = sip_client.response(data)
    except SipError as error:
        assert error.counter and str(error)
        return
    assert 100 <= answer.status <= 699 and len(answer.phrase) <= 60
    for binding in sip_client.bindings(answer):
        assert len(binding["contact"]) <= 200
        assert binding["port"] is None or 0 < binding["port"] < 65536
        assert binding["expires"] is None or 0 <= binding["expires"] < 1 << 32
        assert binding["address"] is None or 0 < len(binding["address"]) <= 200

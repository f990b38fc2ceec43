"""wire/pcp.py: what the router answers a PCP client on port 5351."""

from natwatch.wire import pcp
from natwatch.wire.ipv4 import number_of

ASKED = pcp.map_request(b"twelve bytes", "192.168.1.20", 120)
SEEDS = [
    bytes([2, 0x81, 0, 0]) + ASKED[4:8] + bytes(16) + ASKED[24:],
    bytes([2, 0x81, 0, 2, 0, 0, 0, 9]) + bytes(52),
    bytes([0, 0, 0, 1, 0, 0, 0, 9]),
]
WORDS = [b"\2\x81", b"\0\0", b"\xff\xff", b"twelve bytes", bytes(10) + b"\xff\xff"]


def one(data: bytes) -> None:
    try:
        answer = pcp.parse(data)
    except pcp.PcpError as error:
        assert error.counter and str(error)
        return
    assert pcp.result_text(answer.result)
    assert answer.nonce is None or len(answer.nonce) == 12
    assert answer.external is None or number_of(answer.external) is not None

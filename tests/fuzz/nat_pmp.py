"""wire/nat_pmp.py: what the router answers on port 5351."""

from natwatch.wire import nat_pmp
from natwatch.wire.ipv4 import number_of

SEEDS = [bytes([0, 128, 0, 0, 0, 0, 1, 0, 203, 0, 113, 9]), bytes([0, 128, 0, 2, 0, 0, 0, 9])]
WORDS = [b"\0\x80", b"\0\0", b"\xff\xff"]


def one(data: bytes) -> None:
    try:
        answer = nat_pmp.parse(data)
    except nat_pmp.NatPmpError as error:
        assert error.counter and str(error)
        return
    assert nat_pmp.result_text(answer.result)
    assert answer.external is None or number_of(answer.external) is not None

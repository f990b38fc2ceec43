"""A STUN server that errs as servers in the field do: python -m tests.interop.bad_servers FAULT

It listens on both of the reflector's addresses, 3478 and 3479, and ends when it is killed.
"""

import select
import socket
import sys
from typing import Any

from natwatch.wire import stun
from tests.lab import REFLECTOR_A, REFLECTOR_B

Endpoint = tuple[str, int]

IGNORES_CHANGE_REQUEST = "ignores-change-request"  # answers from where it was asked
DEAD_ALTERNATE = "dead-alternate"  # names its second address, where nothing answers
NO_ALTERNATE = "no-alternate"  # names no second address
WRONG_SOURCE = "wrong-source"  # every answer comes from the other port
WRONG_CHANGE = "wrong-change"  # asked to change address and port, it changes the address only
IGNORES_RESPONSE_PORT = "ignores-response-port"  # answers to where the request came from
REFUSES_RESPONSE_PORT = "refuses-response-port"  # error 420, as RFC 8489 has it for the unknown
FAULTS = (
    IGNORES_CHANGE_REQUEST,
    DEAD_ALTERNATE,
    NO_ALTERNATE,
    WRONG_SOURCE,
    WRONG_CHANGE,
    IGNORES_RESPONSE_PORT,
    REFUSES_RESPONSE_PORT,
)

_TURNED = {REFLECTOR_A: REFLECTOR_B, REFLECTOR_B: REFLECTOR_A}
_PORTS = (3478, 3479)


def turned(local: Endpoint, address: bool, port: bool) -> Endpoint:
    """The endpoint beside *local* with the other address, the other port, or both."""
    return (
        _TURNED[local[0]] if address else local[0],
        sum(_PORTS) - local[1] if port else local[1],
    )


def answer(
    fault: str, data: bytes, source: Endpoint, local: Endpoint
) -> tuple[Endpoint, Endpoint, bytes] | None:
    """(from, to, bytes) of what a server with *fault* answers to *data*; None: nothing."""
    request = stun.parse(data)
    change = request.get(stun.CHANGE_REQUEST, 0)
    by_address, by_port = bool(change & stun.CHANGE_IP), bool(change & stun.CHANGE_PORT)
    origin = turned(local, by_address, by_port)
    if fault == IGNORES_CHANGE_REQUEST:
        origin = local
    elif fault == WRONG_CHANGE and by_address:
        origin = turned(local, True, False)
    elif fault == WRONG_SOURCE:
        origin = turned(local, False, True)
    if fault == DEAD_ALTERNATE and REFLECTOR_B in (local[0], origin[0]):
        return None
    destination = source
    port = request.get(stun.RESPONSE_PORT)
    if port is not None and fault == REFUSES_RESPONSE_PORT:
        attributes = [
            (stun.ERROR_CODE, (420, "Unknown Attribute")),
            (stun.UNKNOWN_ATTRIBUTES, [stun.RESPONSE_PORT]),
        ]
        return local, source, _build(stun.ERROR, request, attributes)
    if port is not None and fault != IGNORES_RESPONSE_PORT:
        destination = (source[0], int.from_bytes(port[:2], "big"))
    classic = request.cookie != stun.MAGIC_COOKIE
    about = [(stun.MAPPED_ADDRESS if classic else stun.XOR_MAPPED_ADDRESS, source)]
    if fault != NO_ALTERNATE:
        other = turned(local, True, True)
        about.append((stun.CHANGED_ADDRESS if classic else stun.OTHER_ADDRESS, other))
    return origin, destination, _build(stun.SUCCESS, request, about)


def _build(klass: int, request: stun.Message, attributes: list[tuple[int, Any]]) -> bytes:
    found = stun.build(klass, request.txid, attributes, cookie=request.cookie, fingerprint=False)
    return bytes(found)


def main(fault: str) -> None:
    if fault not in FAULTS:
        raise SystemExit(f"expected one of {', '.join(FAULTS)}, found {fault}")
    sockets = {}
    for address in _TURNED:
        for port in _PORTS:
            sockets[address, port] = one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((address, port))
    while True:
        for ready in select.select(list(sockets.values()), [], [])[0]:
            data, source = ready.recvfrom(2048)
            found = answer(fault, data, source, ready.getsockname())
            if found is not None:
                origin, destination, text = found
                sockets[origin].sendto(text, destination)


if __name__ == "__main__":
    main(sys.argv[1])

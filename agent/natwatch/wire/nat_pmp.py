"""NAT-PMP, as far as it tells a gateway's external address: RFC 6886, section 3.2.

A request has two bytes, version 0 and opcode 0; the answer's opcode is the request's plus 128, then
come a result code (16 bits), the seconds since the gateway's tables began (32 bits) and the
address. A gateway that speaks only PCP answers in PCP's own form (RFC 6887, section 9), which has
its result code at the same place.
"""

import struct

from natwatch.wire.ip import ip_text

PORT = 5351
SUCCESS, UNSUPPORTED_VERSION, NOT_AUTHORIZED, NETWORK_FAILURE = 0, 1, 2, 3
# Section 3.5.
_RESULTS = {
    UNSUPPORTED_VERSION: "it does not speak this version",
    NOT_AUTHORIZED: "not authorized",
    NETWORK_FAILURE: "network failure: it has no external address, or none that it will forward",
    4: "out of resources",
    5: "it does not know this question",
}

_MAX_BYTES = 1100  # PCP's limit (RFC 6887, section 7)
_EXTERNAL_ADDRESS = 128  # opcode of the answer


class NatPmpError(ValueError):
    """These bytes are no answer. *counter* names the reason."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


class Answer:
    """``result`` is a code of section 3.5, ``external`` an address, None if *result* is not 0."""

    def __init__(self, result, external):
        self.result = result
        self.external = external


def external_address_request() -> bytes:
    return b"\0\0"


def result_text(result: int) -> str:
    """What a *result* other than 0 says, in words."""
    return _RESULTS.get(result, "an unknown result")


def parse(data: bytes) -> Answer:
    """The Answer in *data* (bytes) to an external address request. Raises NatPmpError."""
    if not 8 <= len(data) <= _MAX_BYTES:
        raise NatPmpError("length", "expected 8 to %d bytes, found %d" % (_MAX_BYTES, len(data)))
    version, opcode, result = struct.unpack(">BBH", data[:4])
    if opcode != _EXTERNAL_ADDRESS:
        raise NatPmpError("opcode", "expected opcode %d, found %d" % (_EXTERNAL_ADDRESS, opcode))
    if version != 0 and result != UNSUPPORTED_VERSION:
        raise NatPmpError("version", "expected version 0, found %d" % version)
    if result != SUCCESS:
        return Answer(result, None)
    if len(data) < 12:
        raise NatPmpError("length", "expected 12 bytes, found %d" % len(data))
    return Answer(result, ip_text(data[8:12]))

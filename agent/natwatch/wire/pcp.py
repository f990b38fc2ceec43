"""PCP, as far as it tells a gateway's external address: RFC 6887.

PCP has no question for the address alone. A client makes a short mapping of the discard service's
port and reads it there (section 11.6), then gives it back (lifetime 0, section 15). Addresses are
written in 16 bytes, an IPv4 one as ::ffff:a.b.c.d (section 5).
"""

import struct

from natwatch.wire.ip import ip_bytes, ip_text

PORT = 5351
SUCCESS, UNSUPP_VERSION, NOT_AUTHORIZED, NETWORK_FAILURE, ADDRESS_MISMATCH = 0, 1, 2, 7, 12
NONCE_BYTES = 12
# Section 7.4.
_RESULTS = {
    UNSUPP_VERSION: "UNSUPP_VERSION: it does not speak this version",
    NOT_AUTHORIZED: "NOT_AUTHORIZED",
    3: "MALFORMED_REQUEST",
    4: "UNSUPP_OPCODE: it makes no mappings",
    5: "UNSUPP_OPTION",
    6: "MALFORMED_OPTION",
    NETWORK_FAILURE: "NETWORK_FAILURE: it has no external address, or none that it will forward",
    8: "NO_RESOURCES",
    9: "UNSUPP_PROTOCOL",
    10: "USER_EX_QUOTA",
    11: "CANNOT_PROVIDE_EXTERNAL",
    ADDRESS_MISMATCH: "ADDRESS_MISMATCH: a NAT stands between the probe and it",
    13: "EXCESSIVE_REMOTE_PEERS",
}

_VERSION = 2
_MAP = 1
_UDP = 17
_DISCARD = 9
_HEADER, _BODY = 24, 36  # bytes
_MAX_BYTES = 1100  # section 7
_ANSWER = 0x80  # the R bit, before the opcode
_IPV4 = bytes(10) + b"\xff\xff"  # before the four bytes of an IPv4 address
# A mapping's nonce, protocol, 3 reserved bytes, internal and external port.
_MAPPING = ">12sBBHHH"


class PcpError(ValueError):
    """These bytes are no answer. *counter* names the reason."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


class Answer:
    """``result`` is a code of section 7.4. ``nonce`` is the mapping's, None where the answer has
    no mapping (only where *result* is not 0); ``lifetime`` s; ``external`` an IPv4 address, None
    if it is of the other family or *result* is not 0."""

    def __init__(self, result, nonce=None, lifetime=0, external=None):
        self.result = result
        self.nonce = nonce
        self.lifetime = lifetime
        self.external = external


def map_request(nonce: bytes, source: str, lifetime: int) -> bytes:
    """Map the discard port of *source* (our IPv4 address) for *lifetime* s; 0 gives it back.

    *nonce*: 12 bytes; only who knows them can change the mapping.
    """
    address = ip_bytes(source)
    head = struct.pack(">BBHI", _VERSION, _MAP, 0, lifetime) + _IPV4 + address
    body = struct.pack(_MAPPING, nonce, _UDP, 0, 0, _DISCARD, 0)
    return head + body + _IPV4 + bytes(4)


def result_text(result: int) -> str:
    """What a *result* other than 0 says, in words."""
    return _RESULTS.get(result, "an unknown result")


def parse(data: bytes) -> Answer:
    """The Answer in *data* (bytes) to a map request. Raises PcpError.

    A gateway that speaks only NAT-PMP answers in that form (RFC 6886, section 3.5): 8 bytes or
    more with version 0 and "unsupported version".
    """
    if not 8 <= len(data) <= _MAX_BYTES:
        raise PcpError("length", "expected 8 to %d bytes, found %d" % (_MAX_BYTES, len(data)))
    version, opcode, _, result, lifetime = struct.unpack(">BBBBI", data[:8])
    if not opcode & _ANSWER:
        raise PcpError("opcode", "expected an answer, found opcode %d" % opcode)
    if version != _VERSION:
        if result == UNSUPP_VERSION:
            return Answer(result)
        raise PcpError("version", "expected version %d, found %d" % (_VERSION, version))
    if opcode != _ANSWER | _MAP:
        raise PcpError("opcode", "expected opcode %d, found %d" % (_ANSWER | _MAP, opcode))
    if len(data) < _HEADER or (result == SUCCESS and len(data) < _HEADER + _BODY):
        raise PcpError("length", "expected %d bytes, found %d" % (_HEADER + _BODY, len(data)))
    if len(data) < _HEADER + _BODY:
        return Answer(result)
    nonce, protocol, _, _, internal, _ = struct.unpack(_MAPPING, data[_HEADER : _HEADER + 20])
    if result != SUCCESS:
        return Answer(result, nonce)
    if (protocol, internal) != (_UDP, _DISCARD):
        raise PcpError("mapping", "expected UDP port 9, found %d port %d" % (protocol, internal))
    address = data[_HEADER + 20 : _HEADER + _BODY]
    external = ip_text(address[12:]) if address[:12] == _IPV4 else None
    return Answer(result, nonce, lifetime, external)

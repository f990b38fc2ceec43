"""One IPv4 packet with UDP or TCP in it: read, and rewritten in place with right checksums."""

import socket
import struct

UDP = 17
TCP = 6
PROTOCOLS = {UDP: "udp", TCP: "tcp"}
_LEAST = {UDP: 8, TCP: 20}  # bytes of header
_CHECKSUM = {UDP: 6, TCP: 16}  # its offset in the header

Endpoint = tuple[str, int]


class Dropped(Exception):
    """A packet that goes no further; the text is the name of the counter for it."""


class Packet:
    """Raises Dropped unless it is one whole IPv4 packet with UDP or TCP."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 20 or data[0] >> 4 != 4:
            raise Dropped("not_ipv4")
        self._header = (data[0] & 15) * 4
        number = data[9]
        if number not in PROTOCOLS:
            raise Dropped("not_udp_or_tcp")
        # More-fragments bit or an offset: only the first fragment has ports.
        if int.from_bytes(data[6:8], "big") & 0x3FFF:
            raise Dropped("fragment")
        if self._header < 20 or len(data) < self._header + _LEAST[number]:
            raise Dropped("cut_short")
        self._data = bytearray(data)
        self._checksum = self._header + _CHECKSUM[number]
        # A UDP sender may leave the checksum out, as 0 (RFC 768).
        self._unsummed = number == UDP and self._word(self._checksum) == 0
        self._may_be_zero = number != UDP
        self.protocol = PROTOCOLS[number]

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    @property
    def ttl(self) -> int:
        return self._data[8]

    @property
    def source(self) -> Endpoint:
        return socket.inet_ntoa(self._data[12:16]), self._word(self._header)

    @property
    def destination(self) -> Endpoint:
        return socket.inet_ntoa(self._data[16:20]), self._word(self._header + 2)

    def set_source(self, endpoint: Endpoint) -> None:
        self._set(12, self._header, endpoint)

    def set_destination(self, endpoint: Endpoint) -> None:
        self._set(16, self._header + 2, endpoint)

    @property
    def payload(self) -> bytes:
        """That of UDP."""
        return bytes(self._data[self._header + 8 :])

    def set_payload(self, payload: bytes) -> None:
        """Another payload for UDP; its checksum is left out (0, RFC 768)."""
        header = self._header
        self._data[header + 8 :] = payload
        self._data[2:4] = (header + 8 + len(payload)).to_bytes(2, "big")
        self._data[header + 4 : header + 6] = (8 + len(payload)).to_bytes(2, "big")
        self._data[header + 6 : header + 8] = b"\0\0"
        self._unsummed = True
        self._sum_header()

    def hop(self) -> None:
        """One hop further: the TTL is one less."""
        self._data[8] -= 1
        self._sum_header()

    def _set(self, address_at: int, port_at: int, endpoint: Endpoint) -> None:
        address, port = socket.inet_aton(endpoint[0]), endpoint[1].to_bytes(2, "big")
        old = bytes(self._data[address_at : address_at + 4] + self._data[port_at : port_at + 2])
        self._data[address_at : address_at + 4] = address
        self._data[port_at : port_at + 2] = port
        if not self._unsummed:
            # The addresses are part of this checksum too, by the pseudo-header.
            found = adjusted(self._word(self._checksum), old, address + port)
            if found == 0 and not self._may_be_zero:
                found = 0xFFFF  # 0 would say that there is none
            self._data[self._checksum : self._checksum + 2] = found.to_bytes(2, "big")
        self._sum_header()

    def _sum_header(self) -> None:
        self._data[10:12] = b"\0\0"
        self._data[10:12] = summed(bytes(self._data[: self._header])).to_bytes(2, "big")

    def _word(self, at: int) -> int:
        return self._data[at] << 8 | self._data[at + 1]


def summed(data: bytes) -> int:
    """The Internet checksum of *data* (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    return ~_folded(sum(struct.unpack(f"!{len(data) // 2}H", data))) & 0xFFFF


def adjusted(checksum: int, old: bytes, new: bytes) -> int:
    """*checksum* after the words of *old* have become those of *new* (RFC 1624, equation 3)."""
    words = f"!{len(old) // 2}H"
    total = ~checksum & 0xFFFF
    total += sum(~word & 0xFFFF for word in struct.unpack(words, old))
    total += sum(struct.unpack(words, new))
    return ~_folded(total) & 0xFFFF


def _folded(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total

"""What strangers who lie about their address may send to a reflector, as fast as they can.

    python -m tests.bench.flood SPECIFICATION

on the host ``liar``. The specification is JSON: {"interface", "from_mac", "to_mac", "addresses":
of the reflector, "own": the liar's address, "device" and "key" (hex) of a stolen box, "sniffed":
others' datagrams (hex), "customers": first three numbers of their network, "rate": datagrams a
second, "seconds", "seed"}. Prints {"sent", "bytes", "seconds", "nonce": whether the stolen box
got one for the liar's own address}.
"""

import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from natwatch.wire import sip, stun

_FRAMES = 12_000  # built beforehand, each with a source of its own, and sent over and over
_BURST = 64
_PORTS = (3478, 3478, 3479, 5060)  # as often as media ports, together
_REGISTER = (
    b"REGISTER sip:operator.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK7\r\n"
    b"From: <sip:7@operator.example>;tag=7\r\nTo: <sip:7@operator.example>\r\nCall-ID: 7\r\n"
    b"CSeq: 1 REGISTER\r\nContact: <sip:7@192.0.2.7>\r\nContent-Length: 0\r\n\r\n"
)


class Liar:
    """Builds the datagrams. *nonce* is a good one, of the liar's own address."""

    def __init__(self, told: dict[str, Any], nonce: bytes) -> None:
        self._random = random.Random(told["seed"])
        self._told = told
        self._nonce = nonce
        self._key = bytes.fromhex(told["key"])
        self._sniffed = [bytes.fromhex(one) for one in told["sniffed"]]
        self._kinds: list[Callable[[], bytes]] = [
            self._hold, self._hold, self._hold_in_sip, self._wrong_key, self._forward,
            self._garbage, self._garbage, self._plain, self._stamp, lambda: _REGISTER,
        ]  # fmt: skip
        if self._sniffed:
            self._kinds += [lambda: self._random.choice(self._sniffed)] * 2

    def frame(self) -> bytes:
        """One Ethernet frame with a datagram of some kind from some address."""
        draw = self._random
        data = draw.choice(self._kinds)()
        first = self._told["customers"].split(".") if draw.random() < 0.25 else None
        numbers = [int(one) for one in first] if first else [45, draw.randrange(256)]
        while len(numbers) < 3:
            numbers.append(draw.randrange(256))
        source = bytes([*numbers, draw.randrange(128, 255)])
        port = draw.choice(_PORTS) if draw.random() < 0.5 else draw.randrange(8000, 10001)
        destination = socket.inet_aton(draw.choice(self._told["addresses"]))
        udp = struct.pack(">HHHH", draw.randrange(1024, 65536), port, 8 + len(data), 0) + data
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 60, 17, 0)
        head += source + destination
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        head = head[:10] + struct.pack(">H", check) + head[12:]
        macs = bytes.fromhex((self._told["to_mac"] + self._told["from_mac"]).replace(":", ""))
        return macs + b"\x08\x00" + head + udp

    def _request(self, key: bytes, device: str, *attributes: tuple[int, object]) -> bytes:
        named = [(stun.USERNAME, device), (stun.NONCE, self._nonce), *attributes]
        return bytes(stun.build(stun.REQUEST, self._random.randbytes(12), named, key))

    def _hold(self) -> bytes:
        hold = stun.Hold(True, self._random.randrange(1000, 9000), 3)
        return self._request(self._key, self._told["device"], (stun.HOLD, hold))

    def _hold_in_sip(self) -> bytes:
        return bytes(sip.request(self._told["addresses"][0], self._hold(), "liar"))

    def _wrong_key(self) -> bytes:
        device = f"box-{self._random.randrange(100_000)}"
        return self._request(bytes(32), device, (stun.HOLD, stun.Hold(True, 5000, 3)))

    def _forward(self) -> bytes:
        forward = (stun.FORWARD, stun.Forward(5060, True))
        padding = (stun.PADDING, bytes(80))
        control = (stun.CONTROL, bytes(4))
        return self._request(self._key, self._told["device"], control, forward, padding)

    def _garbage(self) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 200))

    def _plain(self) -> bytes:
        txid = self._random.randbytes(12)
        return bytes(stun.build(stun.REQUEST, txid, [], fingerprint=False))

    def _stamp(self) -> bytes:
        return self._random.randbytes(12) + b"\0\1" + bytes(30)


def nonce_of(told: dict[str, Any]) -> bytes:
    """A nonce that the stolen box gets at the liar's own address; empty if none came."""
    key = bytes.fromhex(told["key"])
    asked = [(stun.USERNAME, told["device"]), (stun.CONTROL, bytes(4)), (stun.PADDING, bytes(80))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((told["own"], 0))
        sock.settimeout(1)
        for _ in range(5):
            request = stun.build(stun.REQUEST, random.randbytes(12), asked, key)
            sock.sendto(request, (told["addresses"][0], 3478))
            try:
                return bytes(stun.parse(sock.recv(2048)).get(stun.NONCE, b""))
            except TimeoutError:
                continue
    return b""


def main() -> int:
    told = json.loads(sys.argv[1])
    nonce = nonce_of(told)
    liar = Liar(told, nonce)
    frames = [liar.frame() for _ in range(_FRAMES)]
    # The raw socket goes past routing and filters of this host, as a liar's would.
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((told["interface"], 0))
        sent, size = 0, 0
        began = time.monotonic()
        while (passed := time.monotonic() - began) < told["seconds"]:
            owed = int(passed * told["rate"]) - sent
            if owed <= 0:
                time.sleep(0.0005)
            for _ in range(min(owed, _BURST)):
                size += sock.send(frames[sent % _FRAMES])
                sent += 1
    found = {"sent": sent, "bytes": size, "seconds": passed, "nonce": bool(nonce)}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

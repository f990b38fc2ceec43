"""Nonces: proof that a requester receives datagrams at the address it claims.

A nonce is 12 bytes in base64: the reflector's seconds (4) and 8 bytes of HMAC-SHA256(secret of
this start, seconds and address). Nothing is stored, so nobody can fill anything by asking.
"""

import base64
import hmac
import struct

from natwatch.wire.stun import STALE_NONCE, WRONG_ADDRESS

GOOD = 0  # the outcome UNSEEN means "nothing wrong" here: no hold was refused
LIFETIME = 120  # seconds


class Nonces:
    """Issues and checks nonces. *secret* is random bytes drawn at start."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, address: str, now: int) -> bytes:
        """The 16 characters of a nonce for *address* at *now* (ms)."""
        seconds = struct.pack(">I", now // 1000 & 0xFFFFFFFF)
        return base64.b64encode(seconds + self._seal(seconds, address))

    def check(self, nonce: bytes, address: str, now: int) -> int:
        """GOOD, STALE_NONCE (too old, or no nonce at all) or WRONG_ADDRESS: sealed for another
        address or, which looks the same, by an earlier start of the reflector.
        """
        try:
            raw = base64.b64decode(nonce, validate=True)
        except ValueError:
            return STALE_NONCE
        if len(raw) != 12:
            return STALE_NONCE
        age = (now // 1000 - struct.unpack(">I", raw[:4])[0]) & 0xFFFFFFFF
        if age > LIFETIME:  # also one from "the future", that is from before the machine's restart
            return STALE_NONCE
        if not hmac.compare_digest(raw[4:], self._seal(raw[:4], address)):
            return WRONG_ADDRESS
        return GOOD

    def _seal(self, seconds: bytes, address: str) -> bytes:
        return hmac.digest(self._secret, seconds + address.encode(), "sha256")[:8]

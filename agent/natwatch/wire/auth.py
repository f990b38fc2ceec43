"""Keys and message authentication, shared by the device and the reflector.

MicroPython has no hmac module, so HMAC-SHA256 (RFC 2104) stands here for both
interpreters; tests compare it with the vectors of RFC 4231 and, on CPython, with hmac.
"""

import hashlib

_BLOCK = 64  # bytes: the block size of SHA-256
_INNER = int.from_bytes(b"\x36" * _BLOCK, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK, "big")

DEVICE_ID_LENGTH = 64
_DEVICE_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The 32 bytes of HMAC-SHA256 (RFC 2104) of *message* under *key*, both bytes."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    # One long number instead of 64 short ones: a reflector does this for whatever strangers send.
    padded = int.from_bytes(key + bytes(_BLOCK - len(key)), "big")
    digest = hashlib.sha256((padded ^ _INNER).to_bytes(_BLOCK, "big"))
    digest.update(message)
    return hashlib.sha256((padded ^ _OUTER).to_bytes(_BLOCK, "big") + digest.digest()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Whether two byte strings are equal, in a time that does not depend on where they differ."""
    if len(one) != len(other):
        return False
    difference = 0
    for mine, theirs in zip(one, other):
        difference |= mine ^ theirs
    return difference == 0


def valid_device_id(name: object) -> bool:
    """Whether *name* may be a device id: 1 to 64 characters of A–Z a–z 0–9 - _.

    Nothing else, because the id becomes a level of an MQTT topic and a certificate's CN.
    """
    if not isinstance(name, str) or not 0 < len(name) <= DEVICE_ID_LENGTH:
        return False
    for character in name:
        if character not in _DEVICE_CHARACTERS:
            return False
    return True


def device_key(master: bytes, device: str) -> bytes:
    """The reflector key of one device: HMAC-SHA256(reflector master, device id), 32 bytes.

    The reflector derives it for each datagram and so needs no list of devices.
    """
    return hmac_sha256(master, device.encode())

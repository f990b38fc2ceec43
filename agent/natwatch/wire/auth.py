"""Keys and message authentication, shared by the device and the reflector.

MicroPython has no hmac module, so HMAC-SHA256 (RFC 2104) stands here for both
interpreters; tests compare it with the vectors of RFC 4231 and, on CPython, with hmac.
"""

import hashlib

_BLOCK = 64  # bytes: the block size of SHA-256
_INNER = bytes([x ^ 0x36 for x in range(256)])
_OUTER = bytes([x ^ 0x5C for x in range(256)])

DEVICE_ID_LENGTH = 64
_DEVICE_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The 32 bytes of HMAC-SHA256 (RFC 2104) of *message* under *key*, both bytes."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    inner = bytearray(_INNER[0:1] * _BLOCK)
    outer = bytearray(_OUTER[0:1] * _BLOCK)
    for index in range(len(key)):
        inner[index] = _INNER[key[index]]
        outer[index] = _OUTER[key[index]]
    digest = hashlib.sha256(bytes(inner))
    digest.update(message)
    return hashlib.sha256(bytes(outer) + digest.digest()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Whether two byte strings are equal, in a time that does not depend on where they differ."""
    if len(one) != len(other):
        return False
    difference = 0
    for index in range(len(one)):
        difference |= one[index] ^ other[index]
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

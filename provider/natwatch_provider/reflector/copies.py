"""Copies of what else came on a tooth's binding, for the device to compare with what it sent.

An ALG that rewrites a message on its way out undoes that on the way back, so the device gets the
bytes as base64, with their SHA-256. Bounded by tooth, by device and as a whole; what does not fit
is not kept, and nothing kept is thrown out for it.
"""

import base64
import hashlib
from typing import NamedTuple

from natwatch.wire.stun import COPY_PART, Copy, Fetch

MAX_COPIES_OF_TOOTH = 32
MAX_COPY = 2_048  # bytes
MAX_BYTES_OF_ONE = 64 * 1024  # of one device
MAX_BYTES = 64 * 1024 * 1024
LEAST_CHARGE = 256  # bytes: an empty datagram (a kind of keepalive) takes memory as well


class Room:
    """So many bytes that copies may take, inside the *outer* room."""

    def __init__(self, free: int, outer: "Room | None" = None) -> None:
        self.free = free
        self._outer = outer

    def take(self, size: int) -> bool:
        """Take *size* bytes, or nothing and False if here or further out there is no room."""
        if size > self.free or (self._outer is not None and not self._outer.take(size)):
            return False
        self.free -= size
        return True

    def give(self, size: int) -> None:
        """Give *size* bytes back."""
        self.free += size
        if self._outer is not None:
            self._outer.give(size)


class _Kept(NamedTuple):
    data: bytes
    ttl: int
    dscp: int

    def charge(self) -> int:
        return max(len(self.data), LEAST_CHARGE)


class Copies:
    """The copies of one tooth, in the order in which they came."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._kept: list[_Kept] = []

    def keep(self, data: bytes, ttl: int, dscp: int) -> bool:
        """Keep a datagram. False if it is too long or there is no room."""
        kept = _Kept(data, ttl, dscp)
        if len(data) > MAX_COPY or len(self._kept) >= MAX_COPIES_OF_TOOTH:
            return False
        if not self._room.take(kept.charge()):
            return False
        self._kept.append(kept)
        return True

    def fetch(self, fetch: Fetch) -> Copy:
        """What *fetch* asks for; a Copy without anything if there is no such copy."""
        if fetch.index >= len(self._kept):
            return Copy(fetch.index, len(self._kept))
        kept = self._kept[fetch.index]
        return Copy(
            fetch.index, len(self._kept), kept.ttl, kept.dscp, len(kept.data), fetch.offset,
            hashlib.sha256(kept.data).digest(),
            base64.b64encode(kept.data[fetch.offset : fetch.offset + COPY_PART]),
        )  # fmt: skip

    def clear(self) -> None:
        """Let go of every copy."""
        for kept in self._kept:
            self._room.give(kept.charge())
        self._kept.clear()

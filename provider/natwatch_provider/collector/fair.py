"""Messages between the broker and the database: a line for each device, served in turn.

A device that floods fills its own line, and what does not fit into it is dropped at once, while
the others' are taken out as if it were not there. All is bounded in bytes.
"""

import threading
import time
from collections import OrderedDict, deque

from .messages import Message, device_of

LINE_BYTES = 1024 * 1024  # of one device; an honest one has 20 reports on the way
ALL_BYTES = 16 * 1024 * 1024
HONEST_BYTES = 64 * 1024  # a line that is no longer than this never makes room for another
MESSAGE_BYTES = 1024  # what a message weighs beside its payload and topic


class FairQueue:
    """put() from one thread, get() in another."""

    def __init__(self, line_bytes: int = LINE_BYTES, all_bytes: int = ALL_BYTES) -> None:
        self._line_bytes = line_bytes
        self._all_bytes = all_bytes
        self._lines: OrderedDict[str, deque[Message]] = OrderedDict()  # in turn; none is empty
        self._weights: dict[str, int] = {}
        self._all = 0
        self._changed = threading.Condition()

    def put(self, message: Message, patience_s: float) -> list[tuple[str, str]]:
        """Append *message* to its device's line; where all are full, wait *patience_s* for room,
        and so hold the broker back. What was dropped for it, (reason, device) each: this message,
        or others of a longer line.
        """
        device, weight = device_of(message.topic), _weight(message)
        with self._changed:
            if self._weights.get(device, 0) + weight > self._line_bytes:
                return [("flooded", device)]
            dropped = self._shorten(device, weight)
            if not self._changed.wait_for(
                lambda: self._all + weight <= self._all_bytes, patience_s
            ):
                return [*dropped, ("queue_full", device)]
            self._lines.setdefault(device, deque()).append(message)
            self._weigh(device, weight)
            self._changed.notify_all()
        return dropped

    def get(self, limit: int, wait_s: float, gather_s: float) -> list[Message]:
        """Up to *limit* messages, one of each device in turn: those of *gather_s* after the first,
        for which *wait_s* are waited; maybe none.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._lines, wait_s):
                return []
            until = time.monotonic() + gather_s
            messages: list[Message] = []
            while len(messages) < limit:
                if not self._changed.wait_for(lambda: self._lines, until - time.monotonic()):
                    break
                messages.append(self._next())
            self._changed.notify_all()
        return messages

    def _next(self) -> Message:
        device, line = self._lines.popitem(last=False)
        message = line.popleft()
        if line:
            self._lines[device] = line
        self._weigh(device, -_weight(message))
        return message

    def _shorten(self, device: str, weight: int) -> list[tuple[str, str]]:
        """Make room for *weight* at the end of the longest line, if that is a flood."""
        dropped = []
        while self._all + weight > self._all_bytes:
            longest = max(self._weights, key=lambda name: self._weights[name])
            if self._weights[longest] <= max(HONEST_BYTES, self._weights.get(device, 0) + weight):
                break
            self._weigh(longest, -_weight(self._lines[longest].pop()))
            if not self._lines[longest]:
                del self._lines[longest]
            dropped.append(("flooded", longest))
        return dropped

    def _weigh(self, device: str, more: int) -> None:
        self._all += more
        self._weights[device] = self._weights.get(device, 0) + more
        if not self._weights[device]:
            del self._weights[device]


def _weight(message: Message) -> int:
    return len(message.payload) + len(message.topic) + MESSAGE_BYTES

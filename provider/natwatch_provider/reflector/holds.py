"""What is remembered of the devices: their teeth, and where their control flows are.

Everything here came with a right MAC. State is bounded by device and as a whole; what does not
fit is refused, never made room for, so that no device can push out another's teeth. One heap
holds one entry a tooth and one a control flow: an entry that comes up early, because its time
was moved, is put back.
"""

import heapq
from itertools import count, pairwise
from typing import NamedTuple

from natwatch.wire.stun import CANCELED, HELD, PUSHED, Hold, Pushed, Record, Refresh
from natwatch_provider.reflector.copies import MAX_BYTES, MAX_BYTES_OF_ONE, Copies, Room
from natwatch_provider.reflector.layout import Endpoint
from natwatch_provider.reflector.media import Stream, Streams

MAX_OUTSTANDING = 512  # pushes that one device may wait for
MAX_TEETH_OF_ONE = 2048  # outstanding ones and those kept for audits
MAX_FAILURES = 512  # of these, refused ones: who replays old requests must not fill the table
MAX_TEETH = 262_144
MAX_DEVICES = 65_536
MAX_CONTROLS = 8  # control flows of one device that live at once; the daemon needs one
MAX_DELAY = 900_000  # ms
MAX_COPIES = 3
MAX_EARLIER = 16  # rounds of pushes before the last one
ROUNDS_APART = 1_000  # ms at least: the copies and witnesses of a round take 400
REFRESH_APART = 500  # ms at least between two refreshes
MAX_REFRESHES = 900  # of one tooth
MAX_REFRESHED_OF_ONE = 128  # teeth of one device that are refreshed at once

REPEAT_WITHIN = 2_000  # ms: a later repeat would make a stream of the tooth (docs/protocol.md)
STEP = 100  # ms: copies at 0, 200, 400, witnesses at 100, 300
KEEP_RECORD = 60_000  # ms after the last copy
# While a nonce is good, a sniffed request could be replayed: its record must live as long.
KEEP_REQUEST = 121_000
KEEP_CONTROL = 120_000


class Asked(NamedTuple):
    """What the request of a tooth asked, and how it came."""

    hold: Hold
    earlier: list[int]  # ms: rounds of pushes before the last one
    source: Endpoint
    local: Endpoint
    origin: Endpoint  # pushes leave from here
    sip: bool  # it came in SIP, so pushes go in SIP
    refresh: Refresh | None = None


class Tooth:
    """One transaction of one device: what it asked, and what has been done for it."""

    def __init__(self, device: "Device", record: Record, asked: Asked, now: int) -> None:
        self.device = device
        self.record = record  # its copies and idle time are those of the last round
        self.asked = asked
        self.copies = Copies(device.copies)
        self.stream: Stream | None = None  # while it reflects
        self.rounds = [*asked.earlier, asked.hold.delay]  # ms after `since`
        self.first = now  # ms: when the request came
        self.since = now  # ms: the idle time counts from here
        self.due = 0  # ms: the next copy, witness, or the end of the record
        self.round = 0
        self.step = 0  # in this round; even: a copy is next; odd: a witness is
        self.refreshes = 0  # sent since `since`
        self.latest = Pushed(record.txid, 0, asked.hold.copies, 0)  # what the latest copy said
        self.refused = False  # the system refused to send the latest copy
        self.failed = record.outcome != HELD
        self.pending = not self.failed

    def first_due(self) -> int:
        """When (ms) the next refresh or the first round of pushes is due, whichever is sooner."""
        due: int = self.since + self.rounds[0]
        if self.asked.refresh is not None:
            due = min(due, self.since + (self.refreshes + 1) * self.asked.refresh.every)
        return due

    def wants_refresh(self) -> bool:
        """Whether what is due is a refresh, and no copy or witness."""
        pushed = self.round or self.step
        return not pushed and self.due < self.since + self.rounds[0]

    def next_copy(self, now: int) -> Pushed:
        """Count one more copy, sent at *now*, and say what it says."""
        record = self.record
        last = self.round == len(self.rounds) - 1
        number = self.step // 2 + 1 if last else 0
        self.latest = Pushed(record.txid, number, self.asked.hold.copies, now - self.since)
        self.refused = False
        if last:
            record.outcome = PUSHED
            record.copies += 1
            record.idle = self.latest.idle
        return self.latest

    def refuse_copy(self) -> None:
        """The system refused to send the latest copy: it does not count, nor gets a witness."""
        self.refused = True
        if self.latest.copy:
            self.record.copies -= 1


class Control:
    """One control flow of a device: where its witnesses go."""

    def __init__(self, device: "Device", tag: bytes) -> None:
        self.device = device
        self.tag = tag
        self.local: Endpoint = ("", 0)
        self.source: Endpoint = ("", 0)
        self.due = 0  # ms: it is forgotten then


class Device:
    """One device, known because it has teeth or a living control flow."""

    def __init__(self, name: str, key: bytes, copies: Room) -> None:
        self.name = name
        self.key = key
        self.teeth: dict[bytes, Tooth] = {}
        self.outstanding = 0
        self.refreshed = 0  # of the outstanding ones
        self.failures = 0
        self.controls: dict[bytes, Control] = {}  # by tag
        self.copies = copies


class Holds:
    """The teeth and control flows of all devices."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._teeth = 0
        self._heap: list[tuple[int, int, Tooth | Control]] = []
        self._serial = count()
        self._copies = Room(MAX_BYTES)
        self._collecting: dict[tuple[Endpoint, Endpoint], Tooth] = {}  # by source and local
        self.streams = Streams()

    def find(self, name: str, txid: bytes) -> Tooth | None:
        """The tooth of that transaction, if the device has one."""
        device = self._devices.get(name)
        return device.teeth.get(txid) if device else None

    def no_room(self, name: str, held: bool) -> str | None:
        """Which limit forbids another tooth, *held* or failed: a counter, or None."""
        device = self._devices.get(name)
        if device is None and len(self._devices) >= MAX_DEVICES:
            return "refused_devices"
        if device is not None:
            if len(device.teeth) >= MAX_TEETH_OF_ONE:
                return "refused_teeth"
            if not held and device.failures >= MAX_FAILURES:
                return "refused_failures"
        return "refused_total" if self._teeth >= MAX_TEETH else None

    def outstanding(self, name: str) -> int:
        """How many pushes this device waits for."""
        device = self._devices.get(name)
        return device.outstanding if device else 0

    def refreshed(self, name: str) -> int:
        """How many of this device's teeth are being refreshed."""
        device = self._devices.get(name)
        return device.refreshed if device else 0

    def keep(self, name: str, key: bytes, record: Record, asked: Asked, now: int) -> Tooth:
        """Remember a tooth; a *record* whose outcome is HELD will be pushed for.

        Ask no_room() first.
        """
        device = self._devices.get(name) or self._meet(name, key)
        tooth = Tooth(device, record, asked, now)
        if tooth.failed:
            device.failures += 1
            tooth.due = _forget_at(tooth, now)
        else:
            device.outstanding += 1
            device.refreshed += asked.refresh is not None
            tooth.due = tooth.first_due()
            if asked.hold.collect:
                self._collecting[asked.source, asked.local] = tooth
            if asked.hold.reflect:
                tooth.stream = self.streams.open(name, record, asked.source, asked.local, now)
        device.teeth[record.txid] = tooth
        self._teeth += 1
        self._push(tooth)
        return tooth

    def collecting(self, source: Endpoint, local: Endpoint) -> Tooth | None:
        """The latest tooth from *source* to *local* that wants what else comes on its binding."""
        return self._collecting.get((source, local))

    def repeat(self, tooth: Tooth, source: Endpoint, local: Endpoint, now: int) -> bool:
        """Take the same transaction once more. Whether it counts, and the delay starts anew.

        A repeat from elsewhere is not even counted: the audit must show that one of the
        requests sent did not reach the reflector by this binding.
        """
        if (source, local) != (tooth.asked.source, tooth.asked.local):
            return False
        tooth.record.requests += 1
        pushed = tooth.round or tooth.step
        if not tooth.pending or pushed or now - tooth.first > REPEAT_WITHIN:
            return False
        tooth.since, tooth.refreshes = now, 0
        tooth.due = tooth.first_due()  # later than before: the heap's entry stays good
        return True

    def cancel(self, name: str, txid: bytes, now: int) -> None:
        """Push no more for that transaction."""
        tooth = self.find(name, txid)
        if tooth and tooth.pending:
            tooth.record.outcome = CANCELED
            self._settle(tooth, now)
            # Who cancels has fetched what it wanted: two checks in a row fit into a device's room.
            self._stop_collecting(tooth)

    def control(
        self, name: str, key: bytes, tag: bytes, *, local: Endpoint, source: Endpoint, now: int
    ) -> bool:
        """Remember where witnesses for this control flow go. False if there is no room for it."""
        device = self._devices.get(name)
        if device is None:
            if len(self._devices) >= MAX_DEVICES:
                return False
            device = self._meet(name, key)
        control = device.controls.get(tag)
        known = control is not None
        if control is None and len(device.controls) >= MAX_CONTROLS:
            # Somebody measures by hand again and again: the flow that was silent longest goes,
            # and its place in the heap is taken over.
            control = min(device.controls.values(), key=lambda one: one.due)
            del device.controls[control.tag]
            control.tag, known = tag, True
        elif control is None:
            control = Control(device, tag)
        device.controls[tag] = control
        control.local, control.source = local, source
        control.due = now + KEEP_CONTROL
        if not known:
            self._push(control)
        return True

    def next_timer(self) -> int | None:
        """When (ms) due() wants to be called, at the latest."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: int) -> Tooth | None:
        """The next tooth that wants a copy or a witness at *now*, or None.

        The caller sends a refresh if it wants one, else does what tooth.step says, then done().
        """
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)[2]
            if item.due > now:
                self._push(item)
            elif isinstance(item, Control):
                del item.device.controls[item.tag]
                self._forget_if_empty(item.device)
            elif item.pending:
                return item
            else:
                self._forget(item)
        return None

    def done(self, tooth: Tooth, now: int) -> None:
        """What *tooth* wanted was handled at *now*: on to its next refresh, step or round."""
        if tooth.wants_refresh():
            tooth.refreshes += 1
            tooth.due = tooth.first_due()
            self._push(tooth)
            return
        tooth.step += 1
        if tooth.step <= 2 * (tooth.asked.hold.copies - 1):
            tooth.due = now + STEP
        elif tooth.round < len(tooth.rounds) - 1:
            tooth.round, tooth.step = tooth.round + 1, 0
            tooth.due = tooth.since + tooth.rounds[tooth.round]
        else:
            self._settle(tooth, now)
        self._push(tooth)

    def _meet(self, name: str, key: bytes) -> Device:
        device = Device(name, key, Room(MAX_BYTES_OF_ONE, self._copies))
        self._devices[name] = device
        return device

    def _settle(self, tooth: Tooth, now: int) -> None:
        tooth.pending = False
        if tooth.stream is not None:
            self.streams.close(tooth.stream, tooth.asked.source, tooth.asked.local)
            tooth.stream = None
        tooth.device.outstanding -= 1
        tooth.device.refreshed -= tooth.asked.refresh is not None
        tooth.due = _forget_at(tooth, now)

    def _forget(self, tooth: Tooth) -> None:
        del tooth.device.teeth[tooth.record.txid]
        self._stop_collecting(tooth)
        tooth.device.failures -= tooth.failed
        self._teeth -= 1
        self._forget_if_empty(tooth.device)

    def _stop_collecting(self, tooth: Tooth) -> None:
        tooth.copies.clear()
        binding = tooth.asked.source, tooth.asked.local
        if self._collecting.get(binding) is tooth:
            del self._collecting[binding]

    def _forget_if_empty(self, device: Device) -> None:
        if not device.teeth and not device.controls:
            del self._devices[device.name]

    def _push(self, item: Tooth | Control) -> None:
        heapq.heappush(self._heap, (item.due, next(self._serial), item))


def _forget_at(tooth: Tooth, now: int) -> int:
    return max(now + KEEP_RECORD, tooth.first + KEEP_REQUEST)


def possible_rounds(earlier: list[int], delay: int) -> bool:
    """Whether rounds of pushes at these times (ms) can go before the last one at *delay*."""
    rounds = [*earlier, delay]
    apart = all(after - before >= ROUNDS_APART for before, after in pairwise(rounds))
    return apart and len(earlier) <= MAX_EARLIER


def possible_refresh(refresh: Refresh | None, first: int) -> bool:
    """Whether a tooth whose first push is due at *first* ms may be refreshed so."""
    if refresh is None:
        return True
    if refresh.ttl == 0 or refresh.every < REFRESH_APART:
        return False
    return int(first) // int(refresh.every) <= MAX_REFRESHES

"""How often the reflector listens to one device, and to strangers of one network.

An address is *proven* by a control request with a good nonce that came from it: whoever sent that
receives what goes there. A device's sweeps are plain STUN, as everybody's; from a proven address
they have a limit of their own, so that no neighbour's traffic is taken for the line's loss. A
request with a right MAC and no good nonce may be a sniffed one, sent again by anybody from
anywhere: it takes nothing from what the device itself may send.

Token buckets: a key may do so many things a second, after a pause so many at once. Each process
counts for itself; steered by source address, one address is always counted by the same one.

The buckets are bounded in number: the one unused longest goes, and comes back full. A bucket that
rested for burst / rate (5 s) is full anyway, so this changes something only while more keys than
MAX_BUCKETS are busy within that time, and it then lets through, never refuses.
"""

from collections import OrderedDict

# A comb is 64 teeth, each asked for up to three times, and its audits: some 200 requests. Eight
# programs may measure for one device at once (holds.MAX_CONTROLS).
DEVICE_RATE = 200  # authenticated requests a second, one device
DEVICE_BURST = 1_000
# Strangers' STUN and what has a wrong key. A carrier may put many customers into one /24.
PREFIX_RATE = 100  # datagrams a second, one /24
PREFIX_BURST = 500
# Plain requests from a proven address, for each device that proved it: a sweep sends 100 a second,
# 200 where many ports are silent, and a check by hand may run beside the daemon's.
PROVEN_RATE = 400
PROVEN_BURST = 2_000
PROVEN_FOR = 300_000  # ms after the control request
# Teeth without a good nonce, all together. They are unknown in any case, and whoever lies about its
# address can send no others: beyond this their MACs are not even computed.
UNPROVEN_RATE = 2_000
UNPROVEN_BURST = 10_000
MAX_SHARERS = 64  # devices behind one address that raise its limit
MAX_BUCKETS = 65_536  # of each kind; some 15 MB


class Buckets:
    """Token buckets by key: *rate* a second, at most *burst* at once, at most *most* of them."""

    def __init__(self, rate: int, burst: int, most: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._full = burst * 1000
        self._most = most
        # Thousandths of a token, and the ms at which there were so many; unused longest first.
        self._levels: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: str, now: int) -> bool:
        """Take one token of *key* at *now* (ms); False if there is none."""
        level, since = self._levels.pop(key, (self._full, now))
        level = min(self._full, level + (now - since) * self._rate)
        taken = level >= 1000
        self._levels[key] = (level - 1000 if taken else level, now)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return taken


class _Proven:
    """An address that some devices proved: their tokens (thousandths), together."""

    def __init__(self, now: int) -> None:
        self.devices: dict[str, int] = {}  # until when (ms); the one that proved it last at the end
        self.level = 0
        self.since = now

    def take(self, now: int) -> bool:
        most = PROVEN_BURST * 1000 * len(self.devices)
        self.level = min(most, self.level + (now - self.since) * PROVEN_RATE * len(self.devices))
        self.since = now
        taken = self.level >= 1000
        self.level -= 1000 * taken
        return taken


class Limits:
    """The limits of one process."""

    def __init__(self) -> None:
        self._devices = Buckets(DEVICE_RATE, DEVICE_BURST)
        self._copies = Buckets(DEVICE_RATE, DEVICE_BURST)
        self._prefixes = Buckets(PREFIX_RATE, PREFIX_BURST)
        self._unproven = Buckets(UNPROVEN_RATE, UNPROVEN_BURST)
        self._proven: OrderedDict[str, _Proven] = OrderedDict()  # proven last at the end

    def device(self, name: str, address: str, nonce_is_good: bool, now: int) -> bool:
        """Whether to listen to one more authenticated request of the device *name*."""
        if nonce_is_good:
            return self._devices.take(name, now)
        return self._copies.take(f"{name} {_prefix(address)}", now)

    def unproven(self, now: int) -> bool:
        """Whether to look at one more tooth whose nonce is not good, whoever sends it."""
        return self._unproven.take("", now)

    def stranger(self, address: str, now: int) -> bool:
        """Whether to answer one more unauthenticated datagram of *address* (IPv4)."""
        if self.is_proven(address, now) and self._proven[address].take(now):
            return True
        return self.intruder(address, now)

    def intruder(self, address: str, now: int) -> bool:
        """Whether to answer one more datagram that claims a device's name and has a wrong key."""
        return self._prefixes.take(_prefix(address), now)

    def is_proven(self, address: str, now: int) -> bool:
        """Whether some device proved lately to receive what is sent to *address*."""
        proven = self._proven.get(address)
        if proven is None:
            return False
        while proven.devices:
            name, until = next(iter(proven.devices.items()))
            if now <= until:
                return True
            del proven.devices[name]
        del self._proven[address]
        return False

    def prove(self, address: str, name: str, now: int) -> None:
        """The device *name* sent a control request with a good nonce from *address*."""
        self.is_proven(address, now)  # lets go of those that proved it long ago
        proven = self._proven.pop(address, None) or _Proven(now)
        self._proven[address] = proven
        if proven.devices.pop(name, None) is None:
            if len(proven.devices) >= MAX_SHARERS:
                return
            proven.level += PROVEN_BURST * 1000
        proven.devices[name] = now + PROVEN_FOR
        if len(self._proven) > MAX_BUCKETS:
            self._proven.popitem(last=False)


def _prefix(address: str) -> str:
    return address.rpartition(".")[0]

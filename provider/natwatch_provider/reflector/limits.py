"""How often the reflector listens to one device, and to strangers of one network.

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


class Limits:
    """The limits of one process."""

    def __init__(self) -> None:
        self._devices = Buckets(DEVICE_RATE, DEVICE_BURST)
        self._prefixes = Buckets(PREFIX_RATE, PREFIX_BURST)

    def device(self, name: str, now: int) -> bool:
        """Whether to listen to one more authenticated request of the device *name*."""
        return self._devices.take(name, now)

    def stranger(self, address: str, now: int) -> bool:
        """Whether to answer one more unauthenticated datagram of *address*'s /24 (IPv4)."""
        return self._prefixes.take(address.rpartition(".")[0], now)

"""Which public addresses the NAT was seen to use, and whether it changed from one to another.

A line that dials in anew has a new public address, and every binding of the old one is gone: to a
tooth that looks like an expiry. A NAT that draws from a pool of addresses (arbitrary pooling, RFC
4787, section 4.1) shows several as well, and there nothing is lost. They are told apart by time:
addresses that come again within seconds, others between, belong to one pool.
"""

# ms within which an address comes again, if it is one of a pool: a tooth's set-up answers and the
# control flow's next. No line loses its address and has it back in so short a time.
_POOL = 6000
_MEMORY = 64  # sightings


class Addresses:
    """Sightings of public addresses; ``moved`` is what they mean."""

    def __init__(self):
        self._seen = []  # (ms, address), in order; of three alike in a row the first and the last
        self._pools = {}  # address -> the address that stands for its pool

    def seen(self, address, when):
        """*address* was in use at *when* ms: an answer named it, or a push came through it."""
        position = len(self._seen)
        while position and self._seen[position - 1][0] > when:
            position -= 1
        self._seen.insert(position, (when, address))
        self._pools.setdefault(address, address)
        self._join(position, -1)
        self._join(position, 1)
        self._forget(position)

    def _join(self, position, step):
        """If the address seen at *position* was seen shortly before (after), one pool holds it
        and all that were seen between."""
        when, address = self._seen[position]
        between = []
        other = position + step
        while 0 <= other < len(self._seen) and abs(self._seen[other][0] - when) <= _POOL:
            if self._seen[other][1] == address:
                break
            between.append(self._pools[self._seen[other][1]])
            other += step
        else:
            return
        for known in list(self._pools):
            if self._pools[known] in between:
                self._pools[known] = self._pools[address]

    def _forget(self, position):
        for middle in (position + 1, position, position - 1):
            if 0 < middle < len(self._seen) - 1:
                around = [address for _, address in self._seen[middle - 1 : middle + 2]]
                if around[0] == around[1] == around[2]:
                    self._seen.pop(middle)
                    break
        if len(self._seen) > _MEMORY:
            self._seen.pop(0)
            known = [address for _, address in self._seen]
            self._pools = dict([entry for entry in self._pools.items() if entry[0] in known])

    def moved(self, since):
        """None, or the sentence that says so if the address has changed since *since* ms."""
        recent = [address for when, address in self._seen if when >= since]
        for former in recent:
            if self._pools[former] != self._pools[recent[-1]]:
                return "the public address changed from %s to %s" % (former, recent[-1])
        return None

"""Which public addresses the NAT was seen to use, and whether it changed from one to another.

A line that dials in anew has a new public address, and every binding of the old one is gone: to a
tooth that looks like an expiry. A NAT that draws from a pool of addresses (arbitrary pooling, RFC
4787, section 4.1) shows several as well, and there nothing is lost. They are told apart by time:
addresses that come again within seconds, others between, belong to one pool.
"""

# ms within which an address comes again, if it is one of a pool: a tooth's set-up answers and the
# control flow's next. No line loses its address and has it back in so short a time.
_POOL = 6000
_DENSE = 2000  # ms
_MEMORY = 128  # sightings


class Addresses:
    """Sightings of public addresses; ``moved`` is what they mean."""

    def __init__(self):
        self._seen = []  # (ms, address), in order
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
        if position:
            self._join(position - 1, 1)  # those around one that was told of late
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
        """Sightings close to others of the same address tell nothing new; of too many, those
        within a run of the same address tell least."""
        for middle in (position + 1, position, position - 1):
            if self._within_run(middle, _DENSE):
                self._seen.pop(middle)
                break
        if len(self._seen) <= _MEMORY:
            return
        kept = [i for i in range(len(self._seen)) if not self._within_run(i, None)]
        self._seen = [self._seen[i] for i in kept][-_MEMORY // 2 :]
        known = [address for _, address in self._seen]
        self._pools = dict([entry for entry in self._pools.items() if entry[0] in known])

    def _within_run(self, position, span):
        """Whether both neighbours name the same address, no more than *span* ms apart."""
        if not 0 < position < len(self._seen) - 1:
            return False
        before, here, after = self._seen[position - 1 : position + 2]
        alike = before[1] == here[1] == after[1]
        return alike and (span is None or after[0] - before[0] <= span)

    def moved(self, since, own=None):
        """None, or the sentence that says so if the address has changed since *since* ms.

        *own*: an address that was in use then, whether or not it is remembered.
        """
        recent = [address for when, address in self._seen if when >= since]
        recent = recent if own is None else [own] + recent
        for former in recent:
            if self._pools.get(former, former) != self._pools[recent[-1]]:
                return "the public address changed from %s to %s" % (former, recent[-1])
        return None

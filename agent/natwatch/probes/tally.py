"""How many of the resident flow's questions ended how: since the last report, and in a day."""

ARRIVED, MISSED, UNKNOWN = "arrived", "missed", "unknown"

_HOUR = 3600000  # ms
_HOURS = 24


class Tally:
    """How many moments ended how since the last report, and in each of the last 24 hours."""

    def __init__(self):
        self.counts = {ARRIVED: 0, MISSED: 0, UNKNOWN: 0}
        self._hours = []  # [hour, arrived, missed], oldest first

    def add(self, outcome, now):
        self.counts[outcome] += 1
        hour = now // _HOUR
        if not self._hours or self._hours[-1][0] != hour:
            self._hours.append([hour, 0, 0])
        self._forget(now)
        if outcome != UNKNOWN:
            self._hours[-1][1 if outcome == ARRIVED else 2] += 1

    def _forget(self, now):
        self._hours = [entry for entry in self._hours if entry[0] > now // _HOUR - _HOURS]

    def day(self, now):
        """The share of the last 24 hours in per cent, or None."""
        self._forget(now)
        arrived = sum([entry[1] for entry in self._hours])
        return share(arrived, sum([entry[2] for entry in self._hours]))

    def start_anew(self):
        self.counts = {ARRIVED: 0, MISSED: 0, UNKNOWN: 0}


def share(arrived, missed):
    """Per cent of pushes that arrived, rounded down to 0.01 (99.999 is not 100), or None."""
    return arrived * 10000 // (arrived + missed) / 100 if arrived + missed else None

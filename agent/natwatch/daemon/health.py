"""The health report: how the device and the daemon are (docs/telemetry.md, kind ``health``)."""

from natwatch.port import health

FIRST = 10000  # ms after the start
_NAMES = 64  # counters told; no device has as many
_LONGEST = 32  # characters of a counter's name


class Health:
    """Told at FIRST and every *every* ms from then on; 0: never. *folder* is where the spool is,
    *start* (ms) when the daemon began.
    """

    def __init__(self, every, folder, start):
        self._every = every
        self._folder = folder
        self._start = start
        self._at = start + FIRST

    def due(self, now):
        """Whether to tell it now; it is due once each time."""
        if not self._every or now < self._at:
            return False
        self._at = now + self._every
        return True

    def data(self, clock, spool, counters, now):
        """What is reported. *clock* is the daemon's Clock, *counters* {name: count}."""
        found = health.read(self._folder)
        _, quality = clock.time(now)
        names = sorted(counters)[:_NAMES]
        return {
            "uptime": {
                "process": _tenths((now - self._start) / 1000),
                "machine": _tenths(found["machine_s"]),
            },
            "memory": {"rss": found["rss"], "peak": found["peak"]},
            "cpu_s": _tenths(found["cpu_s"]),
            "temperature": _tenths(found["temperature"]),
            "storage": found["storage"],
            "descriptors": found["descriptors"],
            "spool": {
                "waiting": len(spool),
                "bytes": getattr(spool, "bytes", None),
                "dropped": dict(spool.dropped),
            },
            "clock": {
                "quality": quality,
                "offset": _tenths(clock.offset(now)),
                "jumps": clock.jumps,
            },
            "counters": {name[:_LONGEST]: counters[name] for name in names},
        }


def _tenths(value):
    return None if value is None else round(value, 1)

"""From what engines found to what is reported: numbered, with its context, its time and quality."""

from natwatch.port import network


class Findings:
    """Puts reports into *spool*; *session* knows the public address, *clock* the time."""

    def __init__(self, session, spool, clock):
        self.session = session
        self._clock = clock
        self.spool = spool
        self._measurements = 0
        self._numbers = {}  # (id of an engine, its number of a measurement) -> ours

    def lifetime(self, engine, result, now):
        """Report one *result* of *engine* of kind "lifetime"; it gets its id and context."""
        result["id"] = self._number(engine, result.pop("measurement"))
        result["reflector"] = self.session.endpoint[0]
        self.report("lifetime", result, now)

    def report(self, kind, data, now):
        """Report *data*, to which the context is added."""
        public = self.session.mapped
        data["context"] = {
            "gateway": network.gateway(),
            "public": None if public is None else public[0],
            "local": network.local_address(self.session.endpoint[0]),
        }
        t, quality = self._clock.time(now)
        self.spool.append(kind, data, t, quality, now / 1000)

    def forget(self, engine):
        """*engine* has ended: another may get its place in memory."""
        owner = id(engine)
        self._numbers = {n: self._numbers[n] for n in self._numbers if n[0] != owner}

    def dropped(self):
        """{name: count} of reports that found no room, and what went wrong with the files."""
        dropped = self.spool.dropped
        counts = {"spool_full_" + kind: dropped[kind] for kind in dropped}
        counts.update(self.spool.counters())
        return counts

    def _number(self, engine, measurement):
        """The id of an engine's measurement: one number for all results that share bindings."""
        owner, name = id(engine), (id(engine), measurement)
        if name not in self._numbers:
            self._measurements += 1
            # A watch never ends and counts on: only the latest two (twin combs) may come again.
            self._numbers = {
                n: self._numbers[n]
                for n in self._numbers
                if n[0] != owner or n[1] >= measurement - 1
            }
            self._numbers[name] = self._measurements
        return self._numbers[name]

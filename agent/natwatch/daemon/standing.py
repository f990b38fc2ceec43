"""How the line stands: the verdict of a check, from the latest that the daemon knows of each part.

What the daemon does not ask by itself stays "not measured" (docs/telemetry.md, kind ``check``).
"""

import json

from natwatch.daemon.sampling import STALE
from natwatch.diagnosis.findings import ENGINES, findings, requirements, verdict
from natwatch.probes.addressing import addressing

_DAY = 86400 * 1000  # ms


class Standing:
    """Keeps what was *measured*, in the form of diagnosis.findings, with its age.

    *sampling* is the Sampling that knows of the ports; *profile* the operator's.
    """

    def __init__(self, profile, sampling):
        self.sampling = sampling
        self.profile = profile
        self._found = {}  # name of an engine -> (result, when)
        self._lifetimes = {}  # (class, state) -> (result, when)
        self._gateway = None
        self._told = None
        self._told_at = None

    def keep(self, name, result, now):
        """The latest *result* of the engine *name*, of diagnosis.findings.ENGINES."""
        self._found[name] = (result, now)

    def lifetime(self, result, now):
        """The latest *result* of kind "lifetime"; one that is unknown leaves the one before it."""
        if result["lo"] is not None:
            self._lifetimes[(result["class"], result["state"])] = (result, now)

    def place(self, local, gateway, mapped, now):
        """Where the probe stands. Another gateway is another line: all that was found is void."""
        if None not in (gateway, self._gateway) and gateway != self._gateway:
            self._found, self._lifetimes = {}, {}
            self.sampling.forget()
        self._gateway = gateway or self._gateway
        self.keep("addressing", addressing(local, gateway, mapped, self.profile["inner"]), now)

    def measured(self, now):
        """What is known and not stale, in the form of diagnosis.findings."""
        found = {name: _fresh(self._found.get(name), now) for name in ENGINES}
        single = self.sampling.single_result(now)
        found["ports"] = None if single is None else [single]
        found["rtp"] = self.sampling.voice_result(now)
        lifetimes = {key: _fresh(self._lifetimes[key], now) for key in self._lifetimes}
        found["lifetimes"] = {key: lifetimes[key] for key in lifetimes if lifetimes[key]}
        return found

    def verdict(self, now):
        """What is reported: docs/telemetry.md, kind ``check``."""
        measured = self.measured(now)
        found = findings(measured, self.profile)
        rows = requirements(measured, found, self.profile)
        return {
            "verdict": verdict(found, rows),
            "requirements": {row["id"]: row["state"] for row in rows},
            "codes": sorted(set([finding["code"] for finding in found])),
        }

    def due(self, now):
        """Whether a day has passed since news() had something."""
        return self._told_at is not None and now - self._told_at >= _DAY

    def news(self, now):
        """verdict() if it is another than was told, or a day old; else None."""
        told = self.verdict(now)
        parts = [told["requirements"][name] for name in sorted(told["requirements"])]
        text = json.dumps([told["verdict"], parts, told["codes"]])
        if text == self._told and not self.due(now):
            return None
        self._told, self._told_at = text, now
        return told


def _fresh(entry, now):
    return None if entry is None or now - entry[1] >= STALE else entry[0]

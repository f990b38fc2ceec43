"""What a part of the daemon raises ends that part, not the daemon: it is counted and told here.

The session, the loop and the service itself are parts that nothing can go on without. Their state
may be broken after they raised, but most often it is not: only where they go on raising, the
program has to end, and whoever started it (systemd, procd) starts it again.
"""

from natwatch import port

CORE = ("session", "loop", "service")
MOST = 10  # times that the parts of CORE may raise within WINDOW
WINDOW = 600000  # ms
_TOLD = 50  # different troubles that get a line; a program that has more gets no more of them


class GaveUp(Exception):
    """The daemon cannot go on; args[0] is the reason, one sentence for the log."""


class Supervision:
    """Counts what was raised. *say* takes log lines.

    ``counters``: {"raised_<part>": count}; parts are names in the program, a few dozen at most.
    ``gave_up``: why the program has to end, one sentence; None: it can go on.
    """

    def __init__(self, say):
        self.counters = {}
        self.gave_up = None
        self._say = say
        self._told = set()
        self._core = []  # ms, when parts of CORE raised

    def raised(self, part, error, now):
        """*part* raised *error*. Each trouble is told once, in one line."""
        name = "raised_" + part
        self.counters[name] = self.counters.get(name, 0) + 1
        text = "%s: %s (%s) at %s" % (part, type(error).__name__, _short(error), port.where(error))
        if text not in self._told and len(self._told) < _TOLD:
            self._told.add(text)
            try:
                self._say("internal error in " + text)
            except Exception:
                pass  # a log that cannot be written to is no reason to stop measuring
        if part not in CORE:
            return
        self._core = [at for at in self._core if now - at < WINDOW] + [now]
        if len(self._core) >= MOST:
            counts = (len(self._core), WINDOW // 60000, text)
            self.gave_up = "%d internal errors within %d minutes, the last in %s" % counts


def part_of(participant):
    """The name of an engine or a stream in counters and in the log."""
    return type(participant).__name__.lower()


def _short(error):
    text = str(error)
    return text if len(text) <= 120 else text[:117] + "..."

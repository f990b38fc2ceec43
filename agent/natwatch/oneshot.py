"""Engines run once, from the command line: to their end, with progress on standard error."""

import sys

from natwatch import port
from natwatch.daemon.loop import Loop

_NO_REFLECTOR = 15000  # ms of trouble with the reflector that end a one-shot measurement
_AWAY = 90000  # ms of it, once the reflector has answered
_PROGRESS = 1000  # ms between two progress lines on a terminal; ten times that elsewhere


def write_log(text):
    """Write *text* to standard error; a full disk behind it must not end the measuring."""
    try:
        sys.stderr.write(text)
    except (OSError, AttributeError):  # AttributeError: it was closed before we started
        pass


class Found:
    """What each of so many engines told last, as it comes, and when (ms); None: nothing yet."""

    def __init__(self, engines):
        self.results = [None for _ in range(engines)]
        self.times = [None for _ in range(engines)]


def measure(session, engines, describe, until=None, found=None):
    """Run *engines* side by side to their end; the last result of each, None where it has none.

    *session* is the control flow to our reflector, None with a foreign server. *describe(now)*
    gives the line of progress. At *until* (ms) those that are not done are stopped. None in all if
    the reflector cannot be reached. *found*, a Found, has what came also where Ctrl-C ends it.
    """
    loop = Loop(session)
    shown = Progress()
    found = found or Found(len(engines))
    try:
        reached = port.now()
        if session is not None:
            loop.start(session, reached)
        for engine in engines:
            loop.start(engine, reached)
        while [engine for engine in engines if not engine.done]:
            loop.turn(200)
            now = port.now()
            trouble = None if session is None else session.trouble
            if trouble is None:
                reached = now
            elif now - reached > (_NO_REFLECTOR if session.boot is None else _AWAY):
                return None
            shown.show(trouble or describe(now), now)
            for number, engine in enumerate(engines):
                if until is not None and now >= until and not engine.done:
                    engine.stop(now)
                for result in engine.take_results():
                    found.results[number], found.times[number] = result, now
        return found.results
    finally:
        shown.end()
        loop.close()


class Progress:
    """One line that is rewritten on a terminal, or a line every ten seconds elsewhere."""

    def __init__(self):
        self._terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        self._next = None
        self._width = 0

    def show(self, text, now):
        if self._next is None:
            self._next = now + _PROGRESS
        if now < self._next:
            return
        if self._terminal:
            self._next = now + _PROGRESS
            padding = " " * max(0, self._width - len(text))
            self._width = len(text)
            write_log("\r" + text + padding)
        else:
            self._next = now + 10 * _PROGRESS
            write_log(text + "\n")

    def end(self):
        if self._terminal and self._width:
            write_log("\n")

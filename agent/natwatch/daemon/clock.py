"""What time it is, and how well that is known.

Everything is measured on the monotonic clock. Wall time is looked up here alone, for what is
reported: it may be unset, wrong, or set while something is measured, and nothing else notices.
"""

from natwatch import port

_AGREE = 2  # s between the system's clock and the reflector's
_DRIFT = 0.0002  # s a second that the monotonic clock may be off since the reflector was heard
_STEP = 1  # s; a clock that is slewed moves by less between two turns of the loop


class Clock:
    """*session* has the reflector's time; *wall()* is port.wall(). ``jumps``: how often the
    system's clock was set, by more than a second or for the first time, as far as look() saw.
    """

    def __init__(self, session, wall=port.wall):
        self.jumps = 0
        self._session = session
        self._wall = wall
        self._looked = False
        self._ahead = None  # s, the system's clock before the monotonic one; None: it is unset

    def look(self, now):
        """Notice whether the system's clock was set since the last look."""
        wall = self._wall()
        ahead = None if wall is None else wall - now / 1000
        if self._looked and not _close(ahead, self._ahead):
            self.jumps += 1
        self._ahead, self._looked = ahead, True

    def reflector(self, now):
        """Seconds since 1970 by the reflector, None before it was heard."""
        heard = self._session.wall
        return None if heard is None else (heard[0] + now - heard[1]) / 1000

    def offset(self, now):
        """How many seconds the system's clock is before the reflector's; None: not known."""
        wall, reflector = self._wall(), self.reflector(now)
        return None if wall is None or reflector is None else wall - reflector

    def time(self, now):
        """(seconds since 1970 or None, where it comes from), as the envelope wants it."""
        wall, reflector = self._wall(), self.reflector(now)
        if reflector is None:
            return (None, "none") if wall is None else (wall, "est")
        allowed = _AGREE + _DRIFT * (now - self._session.wall[1]) / 1000
        if wall is not None and abs(wall - reflector) < allowed:
            return wall, "ntp"
        return reflector, "reflector"


def _close(one, other):
    if one is None or other is None:
        return one is other
    return abs(one - other) < _STEP

"""What the engines that ask teeth have in common: the calls of the loop, and the result's form."""

from natwatch.probes.bracket import counts, difference
from natwatch.probes.teeth import COPY_SPAN, PAUSE, Teeth


class Engine:
    """An engine around a set of teeth of one key, (class, state). *pace*: see Teeth.

    *teeth* are given where the far end is no reflector of ours; they have the calls of Teeth.
    A subclass gives ``_progress``.
    """

    def __init__(self, session, key, pace, teeth=None):
        self.session = session
        self.key = key
        self.teeth = teeth or Teeth(session, session.port_of(key[0]), key[1], pace)
        self.done = False
        self._results = []

    @property
    def counters(self):
        return self.teeth.counters

    def receive(self, flow, data, source, now):
        self.teeth.receive(flow, data, source, now)
        self._progress(now)

    def notice(self, notice, now):
        self.teeth.notice(notice, now)
        self._progress(now)

    def next_timer(self):
        return self.teeth.next_timer()

    def handle_timer(self, now):
        self.teeth.handle_timer(now)
        self._progress(now)

    def take_sends(self):
        return self.teeth.take_sends()

    def take_results(self):
        results, self._results = self._results, []
        return results

    def _left(self, now):
        """ms until all open teeth are pushed to, at most, set-ups to come included."""
        set_up = PAUSE + COPY_SPAN
        waiting = self.teeth.waiting()
        return max([0] + [set_up + t.ask if t.due is None else t.due - now for t in waiting])

    def _progress(self, now):
        """Called after anything may have happened to a tooth."""
        raise NotImplementedError

    def stop(self, now):
        """End before the end; nothing is left waiting, here or at the reflector."""
        self.teeth.cancel(now, "not needed any more")
        self.teeth.take_finished()
        self.done = True

    def _tell(self, measurement, bracket, method, cost, reason=None, sip=()):
        """Put one result out, a dict as in docs/telemetry.md.

        *measurement* numbers the engine's independent measurements: results of one number share
        bindings. With a *reason* the lifetime is unknown. *cost* holds what it cost. *sip* are
        spent teeth that spoke SIP, and do not enter the bracket.
        """
        result = {
            "measurement": measurement,
            "class": self.key[0],
            "state": self.key[1],
            "port": self.teeth.endpoint[1],
            "lo": bracket.lo / 1000,
            "hi": None if bracket.hi is None else bracket.hi / 1000,
            "method": method,
            "alive": bracket.alive,
            "expired": bracket.expired,
            "unknown": bracket.unknown,
            "refuted": bracket.refuted,
            "at_once": self.teeth.most_at_once,
        }
        result.update(cost)
        if sip:
            result["sip"] = counts(sip)
            unlike = difference(sip, bracket, bracket.alive + bracket.expired > 0)
            if unlike is not None:
                result["difference"] = unlike
        if reason is not None:
            result["lo"] = result["hi"] = None
            result["reason"] = reason[:200]
        self._results.append(result)

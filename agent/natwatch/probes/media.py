"""What the line does to a voice stream (requirement R0): loss, jitter, delay, each way by itself.

A stream that looks like G.711 (50 packets a second) goes to a media port, and the reflector sends
each packet back with a note of what came and when (docs/protocol.md, "Media"). The tooth that
opened the binding is canceled at the end; its record then tells how many packets came in all, so
that the two ways are told apart also where the end of the stream never came back.
"""

from natwatch.probes.collecting import DONE, SETTING_UP, WAITING, Collecting
from natwatch.probes.voice import Voice
from natwatch.wire import media, stun

_CLOSING = 10  # packets behind the stream: any one of their answers tells how it ended
_AT_ONCE = 3  # packets that a late loop sends together; then the whole stream is late
_TAIL = 1500  # ms for the last answers to come
_RECORD = 6000  # ms for the reflector's count: the control flow asks for 4 s
_SLACK = 30000  # ms that the tooth lives beyond the stream's length, if nobody cancels it
_PUNCTUAL = 5  # ms that a timer may be late before the loop is known to have stood still

STREAMING, ENDING, COUNTING = range(DONE + 1, DONE + 4)


class Media(Collecting):
    """A stream of *seconds*, at most 75, to *port*; then one result:

    {"port", "sent": packets, "seconds", "rtt": {"least", "median", "most"} ms or None, "out",
    "in": what probes.voice says of that way, or None (unknown), "unsure": answers whose time is
    not counted since the loop stood still, "reason": None or why something is not known}.
    """

    def __init__(self, session, port, seconds):
        Collecting.__init__(self, session, (port,), media.INTERVAL)
        self._seconds = seconds
        self._voice = Voice(seconds * 1000 // media.INTERVAL, _CLOSING)

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        if flow != self._flow or self.phase == WAITING:
            return
        path = self.paths[0]
        if source != (self.session.endpoint[0], path.port):
            self.count("wrong_source")
        elif not media.looks_like_rtp(data):
            if self._sets_up(path, data) and self.phase == SETTING_UP:
                self._begin(now)
        else:
            try:
                told = media.parse_reflected(data, path.txid[:4])
            except media.MediaError as error:
                self.count(error.counter)
                return
            late = self._timer is not None and now - self._timer > _PUNCTUAL
            if not self._voice.came(told, now, sure=not late):
                self.count("media_impossible")

    def notice(self, notice, now):
        if notice[0] != "record":
            Collecting.notice(self, notice, now)
        elif self.phase == COUNTING and notice[1].txid == self.paths[0].txid:
            record = notice[1]
            self._collected(now, record.idle if record.outcome == stun.CANCELED else None)

    def handle_timer(self, now):
        if self._timer is None or now < self._timer:
            return
        if self.phase in (WAITING, SETTING_UP):
            Collecting.handle_timer(self, now)
        elif self.phase == STREAMING:
            self._stream(now)
        elif self.phase == ENDING:
            self.phase = COUNTING
            self._timer = now + _RECORD
            self.session.cancel(self.paths[0].txid)
        else:
            self._collected(now)

    def _hold(self):
        delay = self._seconds * 1000 + _SLACK
        return stun.Hold(True, delay, 1, 0, self.session.tag, reflect=True)

    def _begin(self, now):
        self.phase = STREAMING
        self._timer = now

    def _stream(self, now):
        path, due = self.paths[0], self._timer or now
        for _ in range(_AT_ONCE):
            self._send(path, media.packet(self._voice.send(now), path.txid[:4]))
            due += media.INTERVAL
            if self._voice.complete:
                self.phase = ENDING
                self._timer = now + _TAIL
                return
            if due > now:
                self._timer = due
                return
        self._timer = now + media.INTERVAL

    def _collected(self, now, arrived=None):
        """*arrived*: how many packets the reflector counted, None if it did not say."""
        result = {"port": self.ports[0], "sent": 0, "seconds": 0, "rtt": None}
        result.update({"out": None, "in": None, "unsure": 0})
        if self.reason is None:
            told, self.reason = self._voice.result(arrived)
            result.update(told)
        result["reason"] = self.reason
        if self.phase != WAITING:
            self._let_go()
        self._end(result)

    def _let_go(self):
        if self.phase == COUNTING:
            self.phase = WAITING  # the tooth is canceled already
        Collecting._let_go(self)

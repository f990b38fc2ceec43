"""What the engines have in common whose far end keeps copies of what they send.

A collecting tooth (docs/protocol.md) is set up on each path, a binding to one port of the
reflector. Then the engine's datagrams go out one by one; the copies of what arrived are fetched
over the control flow at the end, in base64, which no ALG on the way can touch.
"""

import binascii

from natwatch.wire import stun

_REPEATS = (500, 1000)  # ms after the first try to set up: the reflector answers again within 2 s
_PATIENCE = 4000  # ms to wait for the set-up's answers
_SETTLE = 2000  # ms for what was sent last to arrive
_READY = 20000  # ms to wait for the control flow
_FETCHING = 30000  # ms for all copies together; the reflector keeps them 60 s
_HOLD = 60000  # ms: never pushed, since it is canceled; so long its record lives

WAITING, SETTING_UP, SENDING, SETTLING, COLLECTING, DONE = range(6)


class Path:
    """One binding to *port*: what was sent there, and the copies of what came.

    ``sent`` is [(item, bytes)]; ``copies`` holds stun.Copy in the order of arrival, ``came`` their
    bytes where they are wanted.
    """

    def __init__(self, port, txid):
        self.port = port
        self.txid = txid
        self.answered = False
        self.sent = []
        self.copies = []
        self.came = []
        self.part = b""  # of a copy that takes several fetches
        self.complete = False


class Collecting:
    """An engine that sends to *ports*, *gap* ms apart.

    *whole*: the copies' bytes are wanted. *reply*: real SIP is to be answered, with copies of that.

    A subclass gives ``_plan``, ``_datagram`` and ``_collected``, and ``_heard`` if it listens.
    """

    def __init__(self, session, ports, gap, whole=False, reply=False):
        self.session = session
        self.paths = []
        self.ports = ports
        self.gap = gap
        self.whole = whole
        self.reply = reply
        self.done = False
        self.bytes = 0
        self.counters = {}
        self.phase = WAITING
        self.reason = None
        self._flow = 0
        self._left = []  # what is still to be sent
        self._timer = None
        self._sends = []
        self._results = []

    # What a subclass gives

    def _plan(self, paths):
        """[(path, item), …] to send, in order, on those *paths* that answered."""
        raise NotImplementedError

    def _datagram(self, path, item):
        """The bytes of *item*, asked for when they are sent."""
        raise NotImplementedError

    def _heard(self, path, data, now):
        """A datagram that came back on *path*, other than the set-up's answer."""

    def _collected(self, now):
        """All that can be known is known; ``reason`` says why something is not. The end, or
        ``_open`` for another go."""
        raise NotImplementedError

    # The loop's calls

    def start(self, now):
        self._open(now)

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        if flow != self._flow:
            return
        for path in self.paths:
            if source != (self.session.endpoint[0], path.port):
                continue
            if not self._sets_up(path, data):
                self._heard(path, data, now)
            elif self.phase == SETTING_UP and not [p for p in self.paths if not p.answered]:
                self._begin(now)
            return
        self.count("unexpected")

    def notice(self, notice, now):
        if notice[0] == "ready" and self.phase == WAITING:
            self._wait(now)
        elif notice[0] == "restarted" and self.phase not in (WAITING, DONE):
            self._give_up("the reflector restarted", now)
        elif notice[0] == "copy" and self.phase == COLLECTING:
            for path in self.paths:
                if path.txid == notice[1] and not path.complete:
                    self._take_copy(path, notice[2], now)

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self._timer is None or now < self._timer:
            return
        if self.phase == WAITING:
            self._wait(now)
        elif self.phase == SETTING_UP:
            self._set_up(now)
        elif self.phase == SENDING:
            self._send_next(now)
        elif self.phase == SETTLING:
            self.phase = COLLECTING
            self._timer = now + _FETCHING
            for path in self.paths:
                path.complete = not path.answered
                if path.answered:
                    self.session.fetch(path.txid, 0)
        else:
            self._give_up("the reflector did not send all copies", now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end; nothing is left waiting at the reflector."""
        if not self.done:
            self._let_go()
            self._finish()

    # For a subclass

    def count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

    def _open(self, now):
        """Begin a go: its transactions are new, and so is its flow unless it is the first."""
        self.paths = [Path(port, self.session.random(12)) for port in self.ports]
        self.reason = None
        self.phase = WAITING
        self._deadline = now + _READY
        self._timer = now

    def _end(self, result):
        """Put the one *result* out."""
        self._results.append(result)
        self._finish()

    def _give_up(self, reason, now):
        """Nothing of this go can be known, for *reason*."""
        self.reason = reason
        for path in self.paths:
            path.sent, path.copies, path.came = [], [], []  # what came of it is not known
        self._let_go()
        self._collected(now)

    # How it works

    def _hold(self):
        """What the set-up asks for."""
        return stun.Hold(True, _HOLD, 1, 0, self.session.tag, True, reply=self.reply)

    def _wait(self, now):
        if self.session.ready(now):
            self.phase = SETTING_UP
            self._first_sent = now
            self._set_up(now)
        elif now >= self._deadline:
            self._give_up("no answer from the reflector", now)
        else:
            self._timer = now + 200

    def _set_up(self, now):
        passed = now - self._first_sent
        if passed >= _PATIENCE:
            silent = ["%d" % path.port for path in self.paths if not path.answered]
            reason = "no answer to the set-up at port %s" % " and ".join(silent)
            if len(silent) == len(self.paths):
                self._give_up(reason, now)
            else:
                self.reason = reason
                self._begin(now)
            return
        hold = self._hold()
        for path in self.paths:
            if not path.answered:
                self._send(path, self.session.hold_request(path.txid, hold))
        left = [wait for wait in _REPEATS if wait > passed]
        self._timer = self._first_sent + (left[0] if left else _PATIENCE)

    def _sets_up(self, path, data):
        """Whether *data* answers the set-up of *path*."""
        try:
            answer = stun.parse(data)
        except stun.StunError as error:
            self.count(error.counter)
            return False
        if answer.txid != path.txid or answer.klass != stun.SUCCESS:
            return False
        if not answer.authentic(self.session.key):
            self.count("wrong_key")
            return False
        path.answered = True
        return True

    def _begin(self, now):
        self._left = self._plan([path for path in self.paths if path.answered])
        self.phase = SENDING
        self._timer = now + self.gap

    def _send_next(self, now):
        path, item = self._left.pop(0)
        data = self._datagram(path, item)
        path.sent.append((item, data))
        self._send(path, data)
        self._timer = now + self.gap
        if not self._left:
            self.phase = SETTLING
            self._timer = now + _SETTLE

    def _take_copy(self, path, copy, now):
        if copy is None:
            self._give_up("this reflector keeps no copies", now)
            return
        if copy.index < copy.count:
            if self.whole:
                path.part += binascii.a2b_base64(copy.text)
                if len(path.part) < copy.total and copy.text:
                    self.session.fetch(path.txid, copy.index, len(path.part))
                    return
                path.came.append(path.part)
                path.part = b""
            path.copies.append(copy)
        if copy.index + 1 < copy.count:
            self.session.fetch(path.txid, copy.index + 1)
            return
        path.complete = True
        if not [one for one in self.paths if not one.complete]:
            self._let_go()
            self._collected(now)

    def _let_go(self):
        """Leave nothing waiting at the reflector, and close the flow: a next go takes another."""
        if self.phase not in (WAITING, DONE):
            for path in self.paths:
                self.session.cancel(path.txid)
        self._sends.append((self._flow, None, (self.session.endpoint[0], self.paths[0].port)))
        self._flow += 1
        self.phase = WAITING

    def _finish(self):
        self.phase = DONE
        self.done = True
        self._timer = None

    def _send(self, path, data):
        self.bytes += len(data) + 28
        self._sends.append((self._flow, data, (self.session.endpoint[0], path.port)))

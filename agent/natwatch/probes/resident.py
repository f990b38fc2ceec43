"""Would an incoming call arrive? One flow that lives exactly as the phone does.

It keeps one socket on one local port for ever, registers every *expires* ms, sends the adapter's
kind of keepalive in between, and is pushed to at random moments. A fresh port cannot answer this
question: a flow that was opened before the router's NAT rule was loaded stays broken for as long
as it keeps sending, and so it is after WAN fail-over, flow offload and at a session cap. That is
also why it sends from the first moment, before the reflector was ever heard of, as a phone does.

Each random moment is one question: a push of three copies (an INVITE is repeated as well).

* ARRIVED: one copy came.
* MISSED: none came, but a witness from between the copies reached the control flow; or the phone
  was not registered then: its registrations stay unanswered, while the reflector says over the
  control flow that it answered them, or that it never saw them.
* else unknown: a line that is down says nothing about the NAT.

A registration is a tooth with EARLIER rounds (docs/protocol.md), a transaction of its own.
"""

from natwatch.probes.keepalives import KINDS
from natwatch.probes.tally import ARRIVED, MISSED, UNKNOWN, Tally, share
from natwatch.probes.teeth import COPIES, COPY_SPAN
from natwatch.wire import stun

IDLE, REGISTERING, REGISTERED, FAILED = "idle", "registering", "registered", "failed"

LONGEST = 900000  # ms that the reflector holds a push
_REPEATS = (500, 1000)  # ms after the first try; the reflector answers again within 2 s
_PATIENCE = 4000  # ms to wait for the answer to a registration
_RETRY = 30000  # ms from one failed registration to the next, as phones do
_APART = 1000  # ms at least between two rounds; two of them are told apart by their idle time
_SETTLE = COPY_SPAN + 2500  # ms after a round's time by which all of it has come or was lost
_IN_A_ROW = 2  # one missed push, one unanswered registration may be loss
_LATE = 2000  # ms by which a timer may be late before the box must be taken to have slept
_ADAPTERS = 5060  # the port that phones send from
_UNANSWERED = "registration unanswered"


class Round:
    """One random moment. *time* is ms after the registration's answer, *due* ms by our clock."""

    def __init__(self, time, due):
        self.time = time
        self.due = due
        self.witnessed = False


class Resident:
    """One registration after the other, on *local_port*, until it is stopped.

    *keepalive* is one of keepalives.KINDS, sent every *interval* ms; *expires* (ms, at most 900 s)
    is the period of registration, *rounds* the random moments in each, *report* the ms between two
    results. A result also comes whenever ``reachable`` changes. Its form: docs/telemetry.md.
    """

    def __init__(
        self,
        session,
        local_port,
        keepalive="crlf",
        interval=20000,
        expires=600000,
        rounds=2,
        report=3600000,
    ):
        if local_port == _ADAPTERS:
            raise ValueError("local port: 5060 is the adapter's, take another")
        self.session = session
        self.endpoint = (session.endpoint[0], session.sip_port)
        self.kind = keepalive
        self.interval = interval
        self.expires = min(expires, LONGEST)
        self.rounds = rounds
        self.report = report
        self.done = False
        self.bytes = 0
        self.counters = {}
        self.mapped = None
        self.moved = 0  # since the last result
        self.reachable = None
        self.reason = None
        self._local_port = local_port
        self._tally = Tally()
        self._phase = IDLE
        self._txid = None
        self._rounds = []  # open, by time
        self._began = 0
        self._first_sent = None
        self._unsent = None  # errno of a send that the system refused, in this registration
        self._failed = None  # txid whose end the reflector is asked about
        self._unanswered = 0  # registrations in a row, each proven not to be the line's fault
        self._excuse = None  # why an unanswered registration proved nothing
        self._missed = 0  # moments since one arrived
        self._unknown = 0  # moments since one was known
        self._timers = {}  # "keepalive", "register", "report" -> ms
        self._since = None
        self._sends = []
        self._results = []

    def local_port(self, _flow):
        """The one port that this flow has for ever."""
        return self._local_port

    def unsent(self, _flow, error):
        """The system refused to send: then an unanswered registration proves nothing."""
        self._unsent = error

    def start(self, now):
        self._since = now
        self._timers = {"keepalive": now, "register": now, "report": now + self.report}
        self.handle_timer(now)

    def next_timer(self):
        timers = list(self._timers.values())
        timers += [round.due + _SETTLE for round in self._rounds]
        return min(timers) if timers else None

    def handle_timer(self, now):
        for round in list(self._rounds):
            if now >= round.due + _SETTLE:
                self._judge(round, now)
        if now >= self._timers.get("keepalive", now + 1):
            self._keep_alive(now)
        if now >= self._timers.get("register", now + 1):
            self._registration_step(now)
        if now >= self._timers.get("report", now + 1):
            self._tell(now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End; nothing is left waiting, here or at the reflector."""
        if self._phase in (REGISTERING, REGISTERED):
            self.session.cancel(self._txid)
        self._rounds = []
        self._timers = {}
        self._sends.append((0, None, self.endpoint))
        self.done = True

    # Keepalives

    def _keep_alive(self, now):
        late = now - self._timers["keepalive"]
        if late > _LATE:
            # The box slept, and its keepalives with it: what died meanwhile says nothing.
            self._start_over("this box slept", now)
        self._send(KINDS[self.kind](self.endpoint[0], self.session.random))
        self._timers["keepalive"] = now + self.interval - (late if late < self.interval else 0)

    def _send(self, data):
        self.bytes += len(data) + 28
        self._sends.append((0, data, self.endpoint))

    # Registrations

    def _registration_step(self, now):
        """The registration's timer ran out; what that means depends on the phase."""
        if self._phase == REGISTERING:
            if self._first_sent is None and self.session.ready(now):
                self._request(now)
            elif self._first_sent is None and now < self._began + _RETRY:
                self._timers["register"] = now + 1000  # a notice ("ready",) comes sooner
            elif self._first_sent is not None and now < self._first_sent + _PATIENCE:
                self._request(now)
            else:
                self._fail(now)
        else:
            self._register(now)

    def _register(self, now):
        """Begin a registration, and draw the moments of its period.

        After a failed one the old moments, drawn for a whole period of which only _RETRY has
        passed, are dropped: so the rate of questions stays what it is for a registered phone.
        """
        if self._failed is not None:
            self._unanswered = 0  # nor was the reflector heard: it may be the line
        self._phase = REGISTERING
        self._txid = self.session.random(12)
        self._began = now
        self._first_sent = None
        self._failed = None
        self._unsent = None
        times = draw(self.rounds, _APART, self.expires - _SETTLE, self.session.random)
        self._rounds = [Round(time, now + time) for time in times]
        self._registration_step(now)

    def _request(self, now):
        if self._first_sent is None:
            self._first_sent = now
        times = [round.time for round in self._rounds]
        hold = stun.Hold(True, times[-1], COPIES, 0, self.session.tag)
        self._send(self.session.hold_request(self._txid, hold, times[:-1]))
        left = [wait for wait in _REPEATS if self._first_sent + wait > now]
        self._timers["register"] = self._first_sent + (left[0] if left else _PATIENCE)

    def _fail(self, now):
        """No answer. The reflector is asked what it saw, which also proves that the line lives."""
        self._count("registration_failed")
        self._phase = FAILED
        self._timers["register"] = self._began + _RETRY
        if self._first_sent is not None:
            self._failed = self._txid
            self.session.cancel(self._txid)

    def _take_record(self, record, now):
        """What the reflector says of the registration that failed."""
        self._failed = None
        self._excuse = self._excuse_of(record)
        if self._excuse is not None:
            self._unanswered = 0
            self._reached(None, self._excuse, now)
            return
        self._unanswered += 1
        if self._unanswered >= _IN_A_ROW:
            self._reached(False, _UNANSWERED, now)

    def _excuse_of(self, record):
        """Why it is not the NAT's fault that the registration was not answered, or None."""
        if self._unsent is not None:
            return "this box could not send: error %s" % self._unsent
        if record.outcome == stun.WRONG_ADDRESS and self._untranslated(record.mapped[0]):
            return None  # no answer could find the way back
        if record.outcome in (stun.STALE_NONCE, stun.REFUSED, stun.WRONG_ADDRESS):
            # A limit of the reflector, or a NAT that gave this flow another public address.
            told = stun.OUTCOMES[record.outcome]
            return "the reflector did not accept the registration: %s" % told
        return None

    def _untranslated(self, address):
        """Whether the flow came with a private *address* while the control flow did not."""
        return private(address) and not private(self.session.mapped[0])

    def _take_answer(self, message, now):
        mapped = message.get(stun.XOR_MAPPED_ADDRESS)
        if self.mapped is not None and mapped != self.mapped:
            self.moved += 1
        self.mapped = mapped
        for round in self._rounds:
            # A repeated request is answered again, and its times count from that answer.
            round.due = now + round.time
            if self._phase == REGISTERING:
                self.session.keep_fresh(round.due)
        if self._phase == REGISTERED:
            return
        self._phase = REGISTERED
        self._timers["register"] = now + self.expires
        self._unanswered = 0
        self._excuse = None
        if self.reachable is False and self.reason == _UNANSWERED:
            self._missed = 0
            self._reached(True, None, now)

    def _start_over(self, reason, now):
        """The open moments cannot be judged any more: register anew."""
        if self._phase == REGISTERED:
            self.session.cancel(self._txid)
            for _ in self._rounds:
                self._count_moment(UNKNOWN, reason, now)
        self._rounds = []
        self._failed = None
        self._unanswered = 0
        self._phase = IDLE
        self._timers["register"] = now

    # What arrives

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + 28
        if source != self.endpoint:
            self._count("wrong_source")
            return
        try:
            message = stun.parse(data)
            self._take(message, now)
        except stun.StunError:
            self._count("not_ours")  # the answer to a keepalive in SIP

    def _take(self, message, now):
        if message.txid != self._txid:
            self._count("not_ours")  # the answer to a STUN keepalive, or to an old registration
        elif not message.authentic(self.session.key):
            self._count("wrong_key")
        elif message.klass == stun.SUCCESS and self._phase in (REGISTERING, REGISTERED):
            self._take_answer(message, now)
        elif message.klass == stun.INDICATION and message.has(stun.PUSH):
            round = self._round_of(message.get(stun.PUSH))
            if round is None:
                self._count("later_copy")
            else:
                self._rounds.remove(round)
                self._count_moment(ARRIVED, None, now)

    def _round_of(self, pushed):
        """The open round that a push or witness belongs to, or None."""
        for round in self._rounds:
            if round.time <= pushed.idle < round.time + _APART:
                return round
        return None

    def notice(self, notice, now):
        """What came over the control flow."""
        kind = notice[0]
        if kind == "ready" and self._phase == REGISTERING and self._first_sent is None:
            self._registration_step(now)
        elif kind == "witness" and notice[1].txid == self._txid:
            round = self._round_of(notice[1])
            if round is not None:
                round.witnessed = True
        elif kind == "record" and notice[1].txid == self._failed:
            self._take_record(notice[1], now)
        elif kind == "restarted":
            self._start_over("the reflector restarted", now)

    # Verdicts

    def _judge(self, round, now):
        """A moment has passed without a copy."""
        self._rounds.remove(round)
        if self._phase == REGISTERED and round.witnessed:
            self._count_moment(MISSED, "incoming packets do not arrive", now)
        elif self._phase == REGISTERED:
            self._count_moment(UNKNOWN, "no witness: the line itself was silent", now)
        elif self._unanswered >= _IN_A_ROW and self._line_lives():
            self._count_moment(MISSED, _UNANSWERED, now)
        else:
            reason = self.session.trouble or self._excuse or "not registered yet"
            self._count_moment(UNKNOWN, reason, now)

    def _line_lives(self):
        return self.session.trouble is None and self._failed is None

    def _count_moment(self, outcome, reason, now):
        self._tally.add(outcome, now)
        self._unknown = self._unknown + 1 if outcome == UNKNOWN else 0
        if outcome == ARRIVED:
            self._missed = 0
            self._reached(True, None, now)
        elif outcome == MISSED:
            self._missed += 1
            if self._missed >= _IN_A_ROW:
                self._reached(False, reason, now)
        elif self._unknown >= _IN_A_ROW:
            self._reached(None, reason, now)

    def _reached(self, reachable, reason, now):
        # "Unknown" is told anew with another reason, say, that our port is taken.
        changed = reachable != self.reachable or (reachable is None and reason != self.reason)
        self.reachable = reachable
        self.reason = reason
        if changed:
            self._tell(now)

    def _tell(self, now):
        counts = self._tally.counts
        self._results.append(
            {
                "share": share(counts[ARRIVED], counts[MISSED]),
                "arrived": counts[ARRIVED],
                "missed": counts[MISSED],
                "unknown": counts[UNKNOWN],
                "day": self._tally.day(now),
                "reachable": self.reachable,
                "reason": self.reason[:200] if self.reason else None,
                "moved": self.moved,
                "seconds": (now - self._since) // 1000,
                "interval": self.interval // 1000,
                "kind": self.kind,
                "local_port": self._local_port,
                "mapped": list(self.mapped) if self.mapped else None,
            }
        )
        self._tally.start_anew()
        self.moved = 0
        self._since = now
        self._timers["report"] = now + self.report

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def draw(count, low, high, random):
    """*count* moments of [low, high), ms, uniformly drawn, ascending, _APART or more apart."""
    spread = high - low - (count - 1) * _APART
    drawn = sorted([int.from_bytes(random(4), "big") % spread for _ in range(count)])
    return [low + time + index * _APART for index, time in enumerate(drawn)]


def private(address):
    """Whether an IPv4 *address* cannot be that of a translated flow: RFC 1918, 6598, 3927."""
    first, second = [int(part) for part in address.split(".")[:2]]
    for prefix, low, high in ((10, 0, 255), (172, 16, 31), (192, 168, 168), (100, 64, 127)):
        if first == prefix and low <= second <= high:
            return True
    return (first, second) == (169, 254)

"""Teeth: bindings that are each asked one question, *do you still live after t ms of silence?*

A tooth has a port of its own, is set up as its state demands, idles, and is spent when the
reflector pushes. Its life is the table below. Two rules keep it honest (docs/method.md has them in
prose):

* Only a datagram that the reflector sent unasked, at the time named, proves life. Silence
  proves nothing by itself: a tooth is EXPIRED only if a witness reached the control flow from
  between the copies and the audit shows that every request and answer arrived. Else UNKNOWN.
* A set-up packet that had to be repeated after 2 s has made a ``stream`` out of a ``replied``
  flow (Linux: nf_conntrack_proto_udp): such a tooth is thrown away.

A tooth may be pushed to once *earlier*, to ask whether packets from outside extend its binding:
then it is UNKNOWN unless that push arrived. It may be refreshed in part while it idles: datagrams
with a small IP TTL, from here and from the reflector, keep the boxes open that they pass and die
before the others (docs/method.md). And it may speak SIP: each STUN message then travels in a SIP
one (see wire.sip), because what watches port 5060 may treat SIP otherwise than STUN.
"""

import binascii

from natwatch.probes.addresses import Addresses
from natwatch.wire import sip, stun

ONEWAY, REPLIED, STREAM = "oneway", "replied", "stream"  # UDP-1, -2, -3 of Hätönen, IMC 2010

GREETING, PAUSING, ASKING = "greeting", "pausing", "asking"
WAITING, AUDITING = "waiting", "auditing"
ALIVE, EXPIRED, UNKNOWN = "alive", "expired", "unknown"

# (phase, event) -> phase. What is not here is counted and changes nothing: the network may
# deliver anything at any time.
TRANSITIONS = {
    (GREETING, "answered"): PAUSING,
    (GREETING, "unanswered"): UNKNOWN,
    (PAUSING, "paused"): ASKING,
    (ASKING, "answered"): WAITING,
    (ASKING, "silent"): WAITING,  # oneway: no answer is to come
    (ASKING, "unanswered"): UNKNOWN,
    (ASKING, "moved"): UNKNOWN,  # the mapped address changed between the two answers
    (WAITING, "pushed"): ALIVE,
    (WAITING, "overdue"): AUDITING,
    (AUDITING, "pushed"): ALIVE,
    (AUDITING, "proven"): EXPIRED,
    (AUDITING, "unproven"): UNKNOWN,
    (GREETING, "spoiled"): UNKNOWN,
    (PAUSING, "spoiled"): UNKNOWN,
    (ASKING, "spoiled"): UNKNOWN,
    (WAITING, "spoiled"): UNKNOWN,
    (AUDITING, "spoiled"): UNKNOWN,
}

PAUSE = 3000  # ms between the two exchanges of a stream
COPIES = 3
COPY_SPAN = 400  # ms from the first copy to the last
WITNESS_AFTER = 100  # ms from a copy to its witness
_REPEATS = (500, 1000)  # ms after the first sending; a third would come too near to 2 s
_TOO_LATE = 1800  # ms: an answer after this came from a flow that may be a stream by now
_TOO_LONG = 1000  # ms by which the pause of a stream may be late
_GRACE = 250  # ms past the last copy before silence counts
_REFRESH_LATE = 2  # intervals without a refresh of ours: what it was to keep open may be closed
_LOOK_AGAIN = 1000  # ms, to see which public address the control flow has
_UNANSWERED = "no answer to the set-up"
_NOT_REFRESHED = "the push that was to refresh the binding did not arrive"
_AUDIT_TIME = 8000  # ms to wait for the audit


class Partly:
    """How a tooth is refreshed while it idles: each *every* ms with IP TTL *out* from here and with
    *back* from the reflector. 0: not from that side."""

    def __init__(self, out, back, every):
        self.out = out
        self.back = back
        self.every = every


class Tooth:
    """One binding and its question. Times are ms; ``idle`` is what the reflector measured."""

    def __init__(self, number, ask, comb, txid, speaks_sip=False, earlier=None, partly=None):
        self.number = number  # also its flow
        self.ask = ask
        self.comb = comb  # which independent measurement it belongs to
        self.txid = txid
        self.speaks_sip = speaks_sip
        self.earlier = earlier  # ms of silence after which the reflector pushes for once before
        self.refreshed = None  # idle ms at the last copy of that push that arrived
        self.partly = partly
        self.refresh_at = None  # ms: the next refresh from here
        self.greetings = []  # transaction ids of a stream's first exchange
        self.phase = None
        self.opened = None
        self.first_sent = None
        self.sent = 0
        self.answers = 0
        self.mapped = None
        self.due = None
        self.timer = None
        self.witnessed = False
        self.ended = None
        self.idle = None
        self.slack = 0  # ms by which the idle time at the NAT may exceed ``idle``
        self.reason = None

    @property
    def spent(self):
        return self.phase in (ALIVE, EXPIRED, UNKNOWN)

    @property
    def mute(self):
        """Whether its set-up was never answered, though sent as often as it may be."""
        return self.phase == UNKNOWN and self.reason == _UNANSWERED

    @property
    def began(self):
        """When its silence began, on the device's clock."""
        return self.due - self.ask


def enqueue(queue, not_before, tooth):
    """Put *tooth* into *queue*, [(not before, Tooth), …] in order, behind its equals."""
    position = len(queue)
    while position and queue[position - 1][0] > not_before:
        position -= 1
    queue.insert(position, (not_before, tooth))


class Teeth:
    """A set of teeth of one port and one state; more may be added at any time.

    *pace* is the least number of ms between two openings, ``most`` how many bindings may be open
    at once, None: whoever adds teeth sees to that. Finished teeth come from
    ``take_finished``. ``bindings``, ``most_at_once`` and ``bytes`` (with IP and UDP headers)
    are running counts.
    """

    def __init__(self, session, port, state, pace):
        self.session = session
        self.endpoint = (session.endpoint[0], port)
        self.state = state
        self.pace = pace
        self.most = None
        self.bindings = 0
        self.most_at_once = 0
        self.bytes = 0
        self.counters = {}
        self._addresses = Addresses()
        self._queue = []  # (not before, Tooth), in order
        self._open = {}  # number -> Tooth
        self._by_txid = {}
        self._number = 0
        self._next_opening = 0
        self._sends = []
        self._finished = []
        self._lingering = []  # (when to close, flow)

    def add(self, ask, comb=0, not_before=0, sip=False, earlier=None, partly=None):
        """Queue a tooth that asks at *ask* ms of silence, opened at *not_before*. Returns it.

        *sip*: it speaks SIP. *earlier*: ms of silence after which it is to be pushed to for once
        before, at least 1,000 and at least 1,000 less than *ask*. *partly*: a Partly.
        """
        self._number += 1
        tooth = Tooth(self._number, ask, comb, self.session.random(12), sip, earlier, partly)
        enqueue(self._queue, not_before, tooth)
        return tooth

    def at_once(self):
        """How many bindings are open and unspent now."""
        return len(self._open)

    def moved(self, since):
        """None, or the sentence that the NAT's public address changed after *since* ms."""
        return self._addresses.moved(since)

    def waiting(self, comb=None):
        """The teeth that are queued or open, of one comb or of all."""
        teeth = [tooth for _, tooth in self._queue] + list(self._open.values())
        return [tooth for tooth in teeth if comb is None or tooth.comb == comb]

    def cancel(self, now, reason, comb=None):
        """Give up every tooth, of one *comb* or of all: nothing is left waiting here or at the
        reflector."""
        self._queue = [e for e in self._queue if comb is not None and e[1].comb != comb]
        for tooth in list(self._open.values()):
            if comb is not None and tooth.comb != comb:
                continue
            if tooth.phase in (ASKING, WAITING):
                self.session.cancel(tooth.txid)
            self._advance(tooth, "spoiled", now, reason)

    def take_finished(self):
        finished, self._finished = self._finished, []
        return finished

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    # Time

    def next_timer(self):
        timers = [tooth.timer for tooth in self._open.values() if tooth.timer is not None]
        if self._queue and self._has_room():
            timers.append(max(self._next_opening, self._queue[0][0]))
        if self._lingering:
            timers.append(self._lingering[0][0])
        return min(timers) if timers else None

    def handle_timer(self, now):
        while self._lingering and now >= self._lingering[0][0]:
            self._close(self._lingering.pop(0)[1])
        due = self._queue and now >= max(self._next_opening, self._queue[0][0])
        if due and self._has_room():
            if self.session.ready(now):
                self._begin(self._queue.pop(0)[1], now)
                self._next_opening = now + self.pace
            else:
                self._next_opening = now + 200  # a notice ("ready",) comes sooner, as a rule
        for tooth in list(self._open.values()):
            if tooth.timer is not None and now >= tooth.timer:
                self._expire(tooth, now)

    def _has_room(self):
        return self.most is None or len(self._open) < self.most

    def _begin(self, tooth, now):
        self.bindings += 1
        self._open[tooth.number] = tooth
        self._by_txid[tooth.txid] = tooth
        self.most_at_once = max(self.most_at_once, len(self._open))
        tooth.opened = now
        if self.state == STREAM:
            tooth.phase = GREETING
            self._greet(tooth, now)
        else:
            tooth.phase = ASKING
            self._ask(tooth, now)

    def _expire(self, tooth, now):
        """The timer of *tooth* ran out; what that means depends on its phase."""
        if tooth.phase == PAUSING and now - tooth.timer > _TOO_LONG:
            # A box that slept: the binding may have died and been made anew meanwhile.
            self._advance(tooth, "spoiled", now, "the pause took too long")
        elif tooth.phase == PAUSING:
            self._advance(tooth, "paused", now)
        elif tooth.phase in (GREETING, ASKING):
            waited = now - tooth.first_sent
            if waited >= _TOO_LATE:
                if tooth.sent:
                    self.session.cancel(tooth.txid)
                self._advance(tooth, "unanswered", now, _UNANSWERED)
            elif tooth.phase == GREETING:
                self._greet(tooth, now)
            else:
                self._ask(tooth, now)
        elif tooth.phase == WAITING and tooth.refresh_at == tooth.timer:
            self._refresh(tooth, now)
        elif tooth.phase == WAITING and not self._refreshed(tooth):
            self._advance(tooth, "spoiled", now, _NOT_REFRESHED)
        elif tooth.phase == WAITING:
            self._advance(tooth, "overdue", now)
        else:
            self._advance(tooth, "unproven", now, "the reflector did not answer the audit")

    # Set-up

    def _send(self, tooth, data, txid, now):
        if tooth.speaks_sip:
            # A repeated STUN message is a repeated SIP request: the same branch.
            data = sip.request(self.endpoint[0], data, binascii.hexlify(txid).decode())
        self.bytes += len(data) + 28
        self._sends.append((tooth.number, data, self.endpoint))
        if tooth.first_sent is None:
            tooth.first_sent = now
        passed = now - tooth.first_sent
        soonest = max(passed + 1, self.session.rtt + 200)
        repeats = [wait for wait in _REPEATS if wait >= soonest]
        tooth.timer = tooth.first_sent + (repeats[0] if repeats else _TOO_LATE)

    def _greet(self, tooth, now):
        txid = self.session.random(12)
        tooth.greetings.append(txid)
        self._send(tooth, stun.build(stun.REQUEST, txid, [], fingerprint=False), txid, now)

    def _ask(self, tooth, now):
        hold = stun.Hold(self.state != ONEWAY, tooth.ask, COPIES, 0, self.session.tag)
        earlier = () if tooth.earlier is None else (tooth.earlier,)
        partly = tooth.partly
        refresh = stun.Refresh(partly.back, partly.every) if partly and partly.back else None
        request = self.session.hold_request(tooth.txid, hold, earlier, refresh)
        self._send(tooth, request, tooth.txid, now)
        tooth.sent += 1
        if self.state == ONEWAY:
            tooth.slack = self.session.rtt
            self.session.keep_fresh(now + _LOOK_AGAIN)  # see _saw: no answer tells our address
            self._advance(tooth, "silent", now)

    def _refresh(self, tooth, now):
        """Keep the boxes nearest to us open by a Binding indication (RFC 8445, section 11). The
        reflector does its part by itself."""
        partly = tooth.partly
        if now - tooth.refresh_at > _REFRESH_LATE * partly.every:
            self._advance(tooth, "spoiled", now, "a refresh came too late")
            return
        data = stun.build(stun.INDICATION, self.session.random(12), [], fingerprint=False)
        self.bytes += len(data) + 28
        self._sends.append((tooth.number, data, self.endpoint, partly.out))
        tooth.refresh_at += partly.every
        self._rearm(tooth)

    # What arrives

    def receive(self, flow, data, source, now):
        """A datagram on the port of tooth *flow*."""
        self.bytes += len(data) + 28
        tooth = self._open.get(flow)
        if tooth is None:
            self._count("later_copy")
            return
        if source != self.endpoint:
            self._count("wrong_source")
            return
        try:
            if tooth.speaks_sip:
                data = sip.parse(data).payload() or b""
            message = stun.parse(data)
            self._take(tooth, message, now)
        except (stun.StunError, sip.SipError) as error:
            self._count(error.counter)

    def _take(self, tooth, message, now):
        if message.txid in tooth.greetings:
            if tooth.phase == GREETING and message.klass == stun.SUCCESS:
                tooth.mapped = message.get(stun.XOR_MAPPED_ADDRESS)
                self._saw(tooth, now)
                self._advance(tooth, "answered", now)
            return
        if message.txid != tooth.txid:
            self._count("wrong_transaction")
        elif not message.authentic(self.session.key):
            self._count("wrong_key")
        elif message.klass == stun.SUCCESS:
            self._take_answer(tooth, message, now)
        elif message.klass == stun.INDICATION and message.has(stun.PUSH):
            self._take_push(tooth, message.get(stun.PUSH), now)
        elif message.klass == stun.INDICATION and message.has(stun.REFRESH):
            # It was to die on its way: now it refreshed every box, and there was no silence.
            self._advance(tooth, "spoiled", now, "the reflector's refresh came all the way")
        else:
            self._count("unexpected")

    def _take_answer(self, tooth, message, now):
        tooth.answers += 1
        mapped = message.get(stun.XOR_MAPPED_ADDRESS)
        if tooth.phase == WAITING:
            # The answer to a repeated request: the reflector counts from this one.
            if now - tooth.first_sent < _TOO_LATE:
                self._wait(tooth, now)
            else:
                self._advance(tooth, "spoiled", now, "the set-up took too long")
        elif tooth.mapped is not None and mapped != tooth.mapped:
            self._advance(tooth, "moved", now, "the mapped address changed during the set-up")
        else:
            tooth.mapped = mapped
            # A NAT that packets from outside do not refresh counts from the request on.
            tooth.slack = now - tooth.first_sent
            self._saw(tooth, now)
            self._advance(tooth, "answered", now)

    def _take_push(self, tooth, push, now):
        self._saw(tooth, now)
        if push.copy == 0:
            tooth.refreshed = push.idle
        elif not self._refreshed(tooth):
            self._advance(tooth, "spoiled", now, _NOT_REFRESHED)
        else:
            tooth.idle = push.idle
            self._advance(tooth, "pushed", now)

    def _refreshed(self, tooth):
        """Whether the push that was to come earlier, if one was, has arrived."""
        return tooth.earlier is None or tooth.refreshed is not None

    def _saw(self, tooth, now):
        if tooth.mapped is None:
            return
        self._addresses.seen(tooth.mapped[0], now)
        if self.session.mapped is not None and tooth.mapped[0] != self.session.mapped[0]:
            # A pool or a change: what the control flow has a moment later tells which.
            self.session.keep_fresh(now + _LOOK_AGAIN)

    def notice(self, notice, now):
        """What came over the control flow."""
        kind = notice[0]
        if kind == "witness":
            tooth = self._by_txid.get(notice[1].txid)
            if tooth is not None:
                self._take_witness(tooth, notice[1], now)
        elif kind == "record":
            tooth = self._by_txid.get(notice[1].txid)
            if tooth is not None and tooth.phase == AUDITING:
                self._judge(tooth, notice[1], now)
        elif kind == "restarted":
            self._spoil_all("the reflector restarted", now)
        elif kind == "ready":
            self._saw_own(now)
            self._next_opening = min(self._next_opening, now + self.pace)

    def _saw_own(self, now):
        if self.session.mapped is not None:
            self._addresses.seen(self.session.mapped[0], now)

    def _take_witness(self, tooth, pushed, now):
        if pushed.copy == 0:
            return  # of the earlier push: it proves nothing of the last
        tooth.witnessed = True
        if self.state == ONEWAY:
            # Without an answer the reflector counts from when it looked at the request. The NAT
            # idled no longer than from our sending to that copy, which went out before this
            # witness did: that bounds the round trip, and a reflector that was busy as well.
            waited = now - tooth.first_sent - WITNESS_AFTER
            tooth.slack = max(0, waited - pushed.idle)

    def _judge(self, tooth, record, now):
        """Silence on the tooth, and the reflector's word: expired, or unknown with the reason."""
        tooth.idle = record.idle
        began = tooth.began
        if self.state == ONEWAY and record.outcome == stun.PUSHED:
            began = tooth.first_sent
            tooth.mapped = record.mapped
            self._addresses.seen(record.mapped[0], began)
        self._saw_own(now)  # the record came in an answer that named the present address
        moved = self._addresses.moved(began, tooth.mapped and tooth.mapped[0])
        outcome = stun.OUTCOMES[record.outcome]
        if record.outcome != stun.PUSHED or record.copies < COPIES:
            reason = "the reflector says: %s, %d copies" % (outcome, record.copies)
        elif not tooth.witnessed:
            reason = "no witness: the line itself was silent"
        elif record.requests != tooth.sent or record.answers != tooth.answers:
            # A lost answer leaves the NAT idle for longer than the reflector counted.
            reason = "a set-up packet was lost"
        elif moved:
            # Its binding need not have expired: the address that it stood on is gone.
            reason = moved
        else:
            self._advance(tooth, "proven", now)
            return
        self._advance(tooth, "unproven", now, reason)

    def _spoil_all(self, reason, now):
        for tooth in list(self._open.values()):
            self._advance(tooth, "spoiled", now, reason)

    # The machine

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

    def _wait(self, tooth, now):
        tooth.due = now + tooth.ask + (tooth.slack if self.state == ONEWAY else 0)
        if tooth.partly is not None and tooth.partly.out:
            tooth.refresh_at = now + tooth.partly.every
        self._rearm(tooth)
        self.session.keep_fresh(tooth.due)

    def _rearm(self, tooth):
        """Set the timer of a waiting tooth: its next refresh, or when silence begins to count."""
        tooth.timer = tooth.due + COPY_SPAN + _GRACE + 2 * self.session.rtt
        if tooth.refresh_at is not None and tooth.refresh_at < tooth.due:
            tooth.timer = tooth.refresh_at

    def _advance(self, tooth, event, now, reason=None):
        phase = TRANSITIONS.get((tooth.phase, event))
        if phase is None:
            self._count("out_of_order")
            return
        tooth.phase = phase
        tooth.timer = None
        if phase == PAUSING:
            tooth.timer = now + PAUSE
        elif phase == ASKING:
            tooth.first_sent = None
            self._ask(tooth, now)
        elif phase == WAITING:
            self._wait(tooth, now)
        elif phase == AUDITING:
            tooth.timer = now + _AUDIT_TIME
            self.session.audit(tooth.txid)
        else:
            self._finish(tooth, reason, now)

    def _finish(self, tooth, reason, now):
        tooth.reason = reason
        tooth.ended = now
        del self._open[tooth.number]
        del self._by_txid[tooth.txid]
        self._finished.append(tooth)
        if tooth.phase == ALIVE:
            # The other copies are still to come; a closed port would answer them with ICMP.
            self._lingering.append((now + COPY_SPAN + _GRACE, tooth.number))
        else:
            self._close(tooth.number)

    def _close(self, number):
        # One binding, one question: the port is never used again.
        self._sends.append((number, None, self.endpoint))

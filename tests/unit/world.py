"""A simulated line for engines: a NAT with timers, a reflector, loss, and a clock that jumps.

The reflector here follows docs/protocol.md in the few parts that engines see; the real one is
tested in tests/provider and, with real NATs, in tests/lab. This one is for the thousand fast
cases: an hour of watching takes a second.
"""

import binascii
import hashlib

from nats import EXTERNAL, PUBLIC, Nat

from natwatch.probes.teeth import COPIES
from natwatch.wire import sip, stun

__all__ = ("ADDRESS", "DELAY", "DEVICE", "KEY", "PUBLIC", "Nat", "Numbers", "Reflector", "World")

KEY = bytes(range(32))
DEVICE = "nw-test"
ADDRESS = "192.0.2.1"
OTHER = "198.51.100.1"  # the reflector's second address
INNER = "192.168.1.20"
DELAY = 10  # ms one way
NONCE_LIFE = 120000  # ms


def other(local):
    """The reflector's endpoint that shares neither address nor port with *local*."""
    return OTHER if local[0] == ADDRESS else ADDRESS, 3478 if local[1] == 3479 else 3479


def pushed_from(local, source):
    """The endpoint that a HOLD to *local* with these *source* bits is pushed from."""
    address, port = other(local)
    if not source & stun.CHANGE_IP:
        address = local[0]
    if source & stun.ANY_PORT:
        port = 8642
    elif not source & stun.CHANGE_PORT:
        port = local[1]
    return address, port


class Numbers:
    """A small generator (an LCG), the same on both interpreters, so that failures repeat."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % bound

    def bytes(self, size):
        return bytes([self.below(256) for _ in range(size)])


class Reflector:
    """The far end: answers, holds, pushes, witnesses, audits."""

    def __init__(self, world):
        self.world = world
        self.boot = b"bootboot"
        self.holds = {}
        self.sip = {}  # txid -> the SIP request that it came in
        self.collecting = {}  # (source, local) of a collecting tooth -> its transaction id
        self.copies = {}  # transaction id -> what came
        self.replying = set()  # transaction ids of those that want their SIP answered
        self.phones = {}  # public port that is forwarded -> (SIP status, what the phone is called)
        self.forwards = {}  # public port -> the stun.Forwarded of it
        self.control = None
        self.silent = False
        self.asleep = (0, 0)  # from, to: looks at what came only afterwards

    def receive(self, data, source, local, now):
        if self.asleep[0] <= now < self.asleep[1]:
            self.world.at(self.asleep[1], self._look, data, source, local)
            return
        self._look(data, source, local)

    def _look(self, data, source, local):
        now = self.world.now
        if self.silent:
            return
        try:
            request = sip.parse(data) if sip.looks_like(data) else None
            message = stun.parse(data if request is None else request.payload() or b"")
        except (sip.SipError, stun.StunError):
            self._collect(data, source, local)
            return
        if request is not None:
            self.sip[message.txid] = request
        elif message.txid in self.sip:
            del self.sip[message.txid]
        reply = [(stun.XOR_MAPPED_ADDRESS, source)]
        if message.has(stun.CONTROL):
            reply.append((stun.RECEIVED, (64 - self.world.routers, 0)))
        if message.has(stun.HOLD):
            self._hold(message, source, local, now)
        elif message.has(stun.CONTROL):
            self._control(message, source, local, reply)
        else:
            self._collect(data, source, local)
            reply.append((stun.OTHER_ADDRESS, other(local)))
            if message.has(stun.PADDING):
                reply.append((stun.PADDING, message.get(stun.PADDING)))
            self._answer(message.txid, reply, source, local, None)

    def _answer(self, txid, attributes, destination, local, key=KEY, klass=stun.SUCCESS):
        data = stun.build(klass, txid, attributes, key)
        request = self.sip.get(txid)
        if request is not None and klass == stun.INDICATION:
            data = sip.request(destination[0], data, "push")
        elif request is not None:
            data = sip.response(request, data)
        self.world.to_device(data, local, destination)

    def _control(self, message, source, local, reply):
        about = [(stun.BOOT_ID, self.boot), (stun.TIME, 1700000000000 + self.world.now)]
        nonce = ("%016d" % self.world.now).encode()
        if self._stale(message.get(stun.NONCE)):
            about += [(stun.ERROR_CODE, (438, "")), (stun.NONCE, nonce)]
            self._answer(message.txid, about, source, local, klass=stun.ERROR)
            return
        self.control = (source, local)
        asked = message.get(stun.AUDIT, []) + message.get(stun.CANCEL, [])
        for txid in message.get(stun.CANCEL, []):
            if txid in self.holds and self.holds[txid].outcome in (stun.HELD, stun.PUSHED):
                self.holds[txid].outcome = stun.CANCELED
                self.world.forget(self._push, self.holds[txid])
                self.world.forget(self._refresh, self.holds[txid])
        for txid in asked:
            record = self.holds.get(txid) or stun.Record(txid, stun.UNSEEN)
            reply.append((stun.RECORD, record))
        for fetch in message.get_all(stun.FETCH):
            reply.append((stun.COPY, self._copy(fetch)))
        for forward in message.get_all(stun.FORWARD):
            reply.append((stun.FORWARDED, self._forward(forward)))
        self._answer(message.txid, reply + about + [(stun.NONCE, nonce)], source, local)

    def _stale(self, nonce):
        return nonce is None or self.world.now - int(nonce) > NONCE_LIFE

    def _collect(self, data, source, local):
        txid = self.collecting.get((source, local))
        if txid is None or len(self.copies[txid]) >= 32:
            return
        self.copies[txid].append(data)
        if txid in self.replying and data[:4] in (b"INVI", b"REGI"):
            reply = sip.response(sip.parse(data), b"reply")
            self.copies[txid].append(reply)
            self.world.to_device(reply, local, source)

    def _copy(self, fetch):
        copies = self.copies.get(fetch.txid, [])
        if fetch.index >= len(copies):
            return stun.Copy(fetch.index, len(copies))
        data = copies[fetch.index]
        text = binascii.b2a_base64(data[fetch.offset :][: stun.COPY_PART]).strip()
        digest = hashlib.sha256(data).digest()
        return stun.Copy(
            fetch.index, len(copies), 64, 0, len(data), fetch.offset, digest, bytes(text)
        )

    def _forward(self, forward):
        if forward.port not in self.forwards:
            told = stun.Forwarded(stun.UNDER_WAY if forward.ask else stun.NEVER_ASKED)
            if forward.ask:
                self.forwards[forward.port] = told
                self._options(forward.port, told)
            return told
        return self.forwards[forward.port]

    def _options(self, port, told):
        if told.state != stun.UNDER_WAY:
            return
        if told.sent == 3:
            told.state = stun.SILENT
            return
        told.sent += 1
        wait = 700 if told.sent < 3 else 2600
        self.world.at(self.world.now + wait, self._options, port, told)
        if port in self.phones and not self.world._lost() and not self.world._lost():
            self.world.at(self.world.now + 2 * DELAY, self._answered, port, told)

    def _answered(self, port, told):
        told.state, told.source = stun.ANSWERED, (PUBLIC, port)
        told.status, told.agent = self.phones[port]

    def _hold(self, message, source, local, now):
        hold = message.get(stun.HOLD)
        if len(self.holds) > 200:
            kept = [entry for entry in self.holds.items() if now - entry[1].last < 700000]
            self.holds = dict(kept)
            known = list(self.holds) + [message.txid]  # this one is not among them yet
            self.sip = dict([entry for entry in self.sip.items() if entry[0] in known])
        record = self.holds.get(message.txid)
        if record is None:
            record = stun.Record(message.txid, stun.HELD, mapped=source)
            record.last = now
            self.holds[message.txid] = record
            if self._stale(message.get(stun.NONCE)):
                record.outcome = stun.STALE_NONCE
            elif hold.collect:
                self.collecting[(source, local)] = message.txid
                self.copies[message.txid] = []
                if hold.reply:
                    self.replying.add(message.txid)
        elif now - record.last > 2000:
            return
        if record.outcome == stun.STALE_NONCE:
            return
        record.requests += 1
        record.last = now
        record.generation = record.requests
        if hold.answer:
            record.answers += 1
            self._answer(message.txid, [(stun.XOR_MAPPED_ADDRESS, source)], source, local)
        rounds = list(message.get(stun.EARLIER, [])) + [hold.delay]
        refresh = message.get(stun.REFRESH)
        if refresh is not None:
            due = now + refresh.every
            self.world.at(due, self._refresh, record, local, refresh, due, now + rounds[0])
        for delay in rounds:
            for copy in range(hold.copies):
                when = now + delay + 200 * copy
                self.world.at(when, self._push, record, local, copy, hold, delay)

    def _refresh(self, record, local, refresh, due, first):
        """*first*: when the first push goes; a repeated request starts other refreshes."""
        if record.outcome == stun.HELD and due + refresh.every - record.last > 0 and due < first:
            if (due - record.last) % refresh.every == 0:
                data = stun.build(stun.INDICATION, record.txid, [(stun.REFRESH, refresh)], KEY)
                self.world.to_device(data, local, record.mapped, refresh.ttl)
                due += refresh.every
                self.world.at(due, self._refresh, record, local, refresh, due, first)

    def _push(self, record, local, copy, hold, delay):
        idle = self.world.now - record.last
        if record.outcome == stun.CANCELED or delay + 200 * copy != idle:
            return
        number = 0
        if delay == hold.delay:
            number = copy + 1
            record.outcome = stun.PUSHED
            record.copies = number
            record.idle = idle
        pushed = stun.Pushed(record.txid, number, hold.copies, idle)
        push = [(stun.PUSH, pushed)]
        origin = pushed_from(local, hold.source)
        self._answer(record.txid, push, record.mapped, origin, klass=stun.INDICATION)
        if copy + 1 < COPIES and self.control is not None:
            self.world.at(self.world.now + 100, self._witness, pushed)

    def _witness(self, pushed):
        source, local = self.control
        txid = self.world.random(12)
        witness = [(stun.WITNESS, pushed)]
        self._answer(txid, witness, source, local, klass=stun.INDICATION)


class World:
    """Device – NAT – reflector. *loss* is per mille, each way; *hooks* is [(when, call)].

    Every address is the reflector's, but for the NAT's own and those in ``servers``.
    """

    def __init__(self, nat, loss=0, seed=1, delay=DELAY):
        self.nat = nat
        self.routers = len(nat.boxes) if hasattr(nat, "boxes") else 0
        self.delay = delay
        self.asleep = (0, 0)  # from, to: the device does nothing, datagrams wait for it
        self.now = 1000
        self.loss = loss
        self.numbers = Numbers(seed)
        self.reflector = Reflector(self)
        self.servers = {}  # address -> what stands there instead of the reflector
        self.engines = []
        self.flows = {}  # inner port -> (engine, flow)
        self.inner = {}  # (id of engine, flow) -> inner port
        self._next_inner = 20000
        self._queue = []  # (when, order, call, arguments), kept sorted
        self._order = 0
        self.sent = 0
        self.outage = None  # (every, length) ms: nothing passes in the first *length* of *every*

    def random(self, size):
        return self.numbers.bytes(size)

    def at(self, when, call, *arguments):
        self._order += 1
        entry = (when, self._order, call, arguments)
        position = len(self._queue)
        while position and self._queue[position - 1][0] > when:
            position -= 1
        self._queue.insert(position, entry)

    def forget(self, call, first):
        """Drop what was to be called with *first*: MicroPython's heap holds no long queue."""
        for position in range(len(self._queue) - 1, -1, -1):
            _, _, planned, arguments = self._queue[position]
            if planned == call and arguments[0] is first:
                self._queue.pop(position)

    def _lost(self):
        if self.outage and self.now % self.outage[0] < self.outage[1]:
            return True
        return self.numbers.below(1000) < self.loss

    def add(self, engine):
        self.engines.append(engine)
        engine.start(self.now)
        self._drain(engine)

    def remove(self, engine):
        self._drain(engine)
        self.engines.remove(engine)

    def _drain(self, engine):
        for send in engine.take_sends():
            flow, data, destination = send[:3]
            key = (id(engine), flow)
            if data is None:
                port = self.inner.pop(key, None)
                self.flows.pop(port, None)
                continue
            if key not in self.inner:
                self._next_inner = self._unused_inner()
                self.inner[key] = self._next_inner
                self.flows[self._next_inner] = (engine, flow)
                if hasattr(engine, "opened"):
                    engine.opened(flow, self._next_inner)
            self.sent += 1
            self._translate(self.inner[key], data, destination, *send[3:])

    def _unused_inner(self):
        number = self._next_inner
        while True:
            number = number + 1 if number < 60999 else 16384
            if number not in self.flows:
                return number

    def _translate(self, inner, data, destination, *ttl):
        source = self.nat.outbound(inner, destination, self.now, *ttl)
        if source is None:
            return
        if destination[0] in self.nat.addresses:
            if self.nat.hairpin is not None:
                shown = source if self.nat.hairpin == EXTERNAL else (INNER, inner)
                self._hairpin(data, source, shown, destination)
        elif not self._lost():
            self.at(self.now + self.delay, self._arrive, data, source, destination)

    def _hairpin(self, data, source, shown, destination):
        """A datagram from inside to a public endpoint of the NAT itself; filtered as any other."""
        inner = self.nat.inbound(source, destination, self.now)
        if inner is not None:
            self.at(self.now + 1, self._hand_over, inner, data, shown)

    def _arrive(self, data, source, local):
        self.servers.get(local[0], self.reflector).receive(data, source, local, self.now)

    def to_device(self, data, local, destination, *ttl):
        if not self._lost():
            self.at(self.now + self.delay, self._deliver, data, local, destination, *ttl)

    def _deliver(self, data, source, destination, *ttl):
        inner = self.nat.inbound(source, destination, self.now, *ttl)
        if self.asleep[0] <= self.now < self.asleep[1]:
            self.at(self.asleep[1], self._hand_over, inner, data, source)
        else:
            self._hand_over(inner, data, source)

    def _hand_over(self, inner, data, source):
        if inner in self.flows:
            engine, flow = self.flows[inner]
            engine.receive(flow, data, source, self.now)
            self._drain(engine)

    def run(self, until, done):
        """Let time pass until *done()* or *until* ms; the first engine is the session."""
        while self.now < until and not done():
            awake = not self.asleep[0] <= self.now < self.asleep[1]
            timers = [engine.next_timer() for engine in self.engines] if awake else []
            timers = [timer for timer in timers if timer is not None]
            if not awake:
                timers.append(self.asleep[1])
            if self._queue:
                timers.append(self._queue[0][0])
            self.now = max(self.now, min(timers + [until]))
            while self._queue and self._queue[0][0] <= self.now:
                _, _, call, arguments = self._queue.pop(0)
                call(*arguments)
            if self.asleep[0] <= self.now < self.asleep[1]:
                continue
            for engine in list(self.engines):
                timer = engine.next_timer()
                if timer is not None and self.now >= timer:
                    engine.handle_timer(self.now)
            control = self.engines[0]
            notices = control.take_notices() if hasattr(control, "take_notices") else []
            for notice in notices:
                for engine in self.engines[1:]:
                    engine.notice(notice, self.now)
            for engine in list(self.engines):
                self._drain(engine)

"""The one poll loop: feed engines what came, send what they want sent, wait for the next timer.

Engines (natwatch.probes) bring flows, which become UDP sockets here: take_sends() gives (flow,
data or None to close it, destination), and the IP TTL as a fourth where it matters. A *stream* (the
broker's link) brings a descriptor of its own: fileno, interest, ready, next_timer, handle_timer.

Every call of an engine or a stream goes through _call(): an engine that raises is removed there,
its sockets are closed, and the others hear nothing of it.
"""

import select

from natwatch import port
from natwatch.port.udp import PORTS

_READS = 64  # datagrams of one socket a turn, lest a flood hold up everyone's timers
_LONGEST = 1000  # ms; the loop turns at least this often


class Loop:
    """Runs engines and streams. *control* is the session, whose notices every engine hears.

    None: there is no session, since the far end is somebody else's server. *raised(participant,
    error)* is told what an engine or a stream raised; without it that goes on to the caller. The
    session and streams stay where they are: what becomes of them is not for the loop to say.
    """

    def __init__(self, control, raised=None):
        self.control = control
        self._raised = raised
        self.engines = [] if control is None else [control]
        self.streams = []
        self.counters = {}
        self.send_error = None  # errno of the latest send that failed, None after one that worked
        self._poll = select.poll()
        self._sockets = {}  # descriptor -> (engine, flow, Udp)
        self._flows = {}  # (id of engine, flow) -> Udp
        self._registered = {}  # descriptor of a stream -> (stream, interest)

    def start(self, engine, now):
        """Add *engine* and start it."""
        if engine not in self.engines:
            self.engines.append(engine)
        self._call(engine, engine.start, now)
        self._send(engine)

    def remove(self, engine):
        """Forget *engine* and close its sockets."""
        self._send(engine)
        self.drop(engine)

    def drop(self, engine):
        """The same without a call to it: it is broken."""
        if engine in self.engines:
            self.engines.remove(engine)
        for _, flow in [key for key in self._flows if key[0] == id(engine)]:
            self._close(engine, flow)

    def turn(self, most=_LONGEST):
        """Wait at most *most* ms for something to happen, and let everyone deal with it."""
        self._watch_streams()
        for descriptor, event in port.wait(self._poll, self._patience(most)):
            if descriptor in self._sockets:
                self._read(descriptor)
            elif descriptor in self._registered:
                stream = self._registered[descriptor][0]
                self._call(stream, stream.ready, event, port.now())
        now = port.now()
        for participant in self.engines + self.streams:
            self._call(participant, self._time, participant, now)
        if self.control is not None:
            self._call(self.control, self._pass_notices, now)
        for engine in list(self.engines):
            self._send(engine)

    def close(self):
        for _, _, udp in list(self._sockets.values()):
            udp.close()
        self._sockets.clear()
        self._flows.clear()

    def _call(self, participant, step, *arguments):
        """What *step* of *participant* returns, None if it raised: the border of the loop."""
        if self._raised is None:
            return step(*arguments)
        try:
            return step(*arguments)
        except Exception as error:  # not KeyboardInterrupt, which is none
            if participant is not self.control and participant not in self.streams:
                self.drop(participant)
            self._raised(participant, error)
            return None

    def _time(self, participant, now):
        timer = participant.next_timer()
        if timer is not None and now >= timer:
            participant.handle_timer(now)

    def _pass_notices(self, now):
        for notice in self.control.take_notices():
            for engine in list(self.engines):
                if engine is not self.control:
                    self._call(engine, engine.notice, notice, now)

    def _patience(self, most):
        everyone = self.engines + self.streams
        timers = [self._call(one, one.next_timer) for one in everyone]
        timers = [timer for timer in timers if timer is not None]
        if not timers:
            return most
        return max(0, min(most, min(timers) - port.now()))

    def _read(self, descriptor):
        self._call(self._sockets[descriptor][0], self._hear, descriptor)

    def _hear(self, descriptor):
        engine, flow, udp = self._sockets[descriptor]
        for _ in range(_READS):
            try:
                received = udp.receive()
            except OSError as error:
                self._count("receive_error_%s" % error.errno)
                return
            if received is None:
                return
            data, source = received
            engine.receive(flow, data, source, port.now())
            self._send(engine)
            if descriptor not in self._sockets:
                return

    def _send(self, engine):
        if engine in self.engines:
            self._call(engine, self._flush, engine)

    def _flush(self, engine):
        for send in engine.take_sends():
            flow, data, destination = send[:3]
            if data is None:
                self._close(engine, flow)
                continue
            try:
                udp = self._flows.get((id(engine), flow)) or self._open(engine, flow)
                udp.send(data, destination, send[3] if len(send) > 3 else None)
                self.send_error = None
            except OSError as error:
                # No route, a local firewall, no descriptor: the engine sees silence and its own
                # timers deal with it; the reason is kept for the log.
                self.send_error = error.errno
                self._count("send_error_%s" % error.errno)
                if hasattr(engine, "unsent"):
                    engine.unsent(flow, error.errno)

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

    def _open(self, engine, flow):
        fixed = engine.local_port(flow) if hasattr(engine, "local_port") else None
        udp = PORTS.open(fixed)
        self._flows[(id(engine), flow)] = udp
        self._sockets[udp.fileno()] = (engine, flow, udp)
        self._poll.register(udp.fileno(), select.POLLIN)
        if hasattr(engine, "opened"):
            engine.opened(flow, udp.number)
        return udp

    def _close(self, engine, flow):
        udp = self._flows.pop((id(engine), flow), None)
        if udp is not None:
            self._poll.unregister(udp.fileno())
            del self._sockets[udp.fileno()]
            udp.close()

    def _unregister(self, descriptor):
        if descriptor in self._sockets:
            return  # the stream has closed it, and a tooth's socket has its number now
        try:
            self._poll.unregister(descriptor)
        except (KeyError, OSError):
            pass  # the stream has closed it

    def _watch_streams(self):
        """Have the poll set agree with what the streams want now."""
        wanted = {}
        for stream in self.streams:
            descriptor = self._call(stream, stream.fileno)
            if descriptor is not None and descriptor >= 0:
                wanted[descriptor] = (stream, self._call(stream, stream.interest) or 0)
        for descriptor in list(self._registered):
            if self._registered[descriptor] != wanted.get(descriptor):
                del self._registered[descriptor]
                self._unregister(descriptor)
        for descriptor, entry in wanted.items():
            if descriptor not in self._registered:
                self._poll.register(descriptor, entry[1])
                self._registered[descriptor] = entry

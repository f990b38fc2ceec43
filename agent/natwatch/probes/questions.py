"""Plain STUN requests, as any server understands them: repeated until answered.

Nothing here is authenticated: a transaction id of 96 random bits is all that ties an answer to
its request (RFC 8489, section 6.3.1). So each answer's source is kept, and an answer counts only
if it came from the endpoint, and on the flow, that it had to come from.
"""

from natwatch.wire import stun

GAPS = (300, 400, 600, 1000, 1500)  # ms to wait for an answer, try by try
ONCE = (1000,)
_HEADERS = 28  # bytes of IPv4 and UDP
_STRAYS = 16  # of one question that are kept: one is told


class Question:
    """One request. ``answer`` is the Message that came as it had to, ``mapped`` what it says.

    ``error`` is the code of an error answer, ``strays`` holds (flow, source) of answers that
    came otherwise, ``looped`` that of the request itself, come back to us. It is ``over`` once
    answered, looped, or silent through all tries. Times are ms.
    """

    def __init__(self, flow, destination, expect, back, txid, data, gaps):
        self.flow = flow
        self.destination = destination
        self.expect = expect  # the source that the answer must have
        self.back = back  # the flow that it must come on
        self.txid = txid
        self.data = data
        self.gaps = gaps
        self.sent = 0
        self.first = None  # when first sent
        self.timer = None
        self.answer = None
        self.answered = None  # when
        self.mapped = None
        self.error = None
        self.strays = []
        self.looped = None

    @property
    def over(self):
        return self.timer is None


def mapped_in(message):
    """(address, port) that a success answer reports, or None. Raises StunError.

    A server of RFC 3489 knows only MAPPED-ADDRESS, which an ALG may have rewritten on its way.
    """
    return message.get(stun.XOR_MAPPED_ADDRESS) or message.get(stun.MAPPED_ADDRESS)


def other_in(message):
    """The server's other endpoint: OTHER-ADDRESS, or CHANGED-ADDRESS of RFC 3489, or None."""
    return message.get(stun.OTHER_ADDRESS) or message.get(stun.CHANGED_ADDRESS)


def other_of(server, message):
    """(the other endpoint of *server* that *message* names, None), or (None, the reason).

    What cannot be another unicast endpoint is not asked: a server behind a NAT may name any.
    """
    other = other_in(message)
    if other is None:
        return None, "the server names no other address"
    first = other[0].split(".")[0]
    odd = ":" in other[0] or not other[1] or first == "0" or (first.isdigit() and int(first) >= 224)
    if odd or (first == "127") != (server[0].split(".")[0] == "127"):
        return None, "the server names %s as its other address" % text(other)
    if other[0] == server[0] or other[1] == server[1]:
        return None, "the server's other address, %s, is no second address and port" % text(other)
    return other, None


def text(endpoint):
    """address:port."""
    return "%s:%d" % tuple(endpoint)


class Inquiry:
    """An engine of plain questions; a subclass gives ``_progress`` and ends with ``_end``."""

    def __init__(self, server, random):
        self.server = server
        self.questions = Questions(random)
        self.done = False
        self.local_ports = {}  # flow -> local port
        self._results = []
        self._started = None

    @property
    def counters(self):
        return self.questions.counters

    def opened(self, flow, port):
        self.local_ports[flow] = port

    def receive(self, flow, data, source, now):
        self.questions.receive(flow, data, source, now)
        self._go_on(now)

    def notice(self, notice, now):
        """The control flow, if there is one, has nothing to say here."""

    def next_timer(self):
        return self.questions.next_timer()

    def handle_timer(self, now):
        self.questions.handle_timer(now)
        self._go_on(now)

    def take_sends(self):
        return self.questions.take_sends()

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        self.done = True
        self.questions.close_all(self.server)

    def _go_on(self, now):
        if not self.done:
            self._progress(now)

    def _progress(self, now):
        """Called after anything may have happened to a question."""
        raise NotImplementedError

    def _end(self, result, now):
        result["server"] = text(self.server)
        result["seconds"] = (now - self._started) / 1000
        result["bytes"] = self.questions.bytes
        self._results.append(result)
        self.stop(now)


class Questions:
    """Requests under way. *random* gives n random bytes."""

    def __init__(self, random):
        self.random = random
        self.counters = {}
        self.bytes = 0  # with IP and UDP headers
        self._asked = {}  # transaction id -> Question
        self._flows = set()
        self._sends = []

    def ask(self, flow, destination, now, attributes=(), gaps=GAPS, expect=None, back=None):
        """Send a Binding request on *flow*. Its answer must come from *expect* on flow *back*,
        as a rule from *destination* on the same. Returns the Question."""
        txid = self.random(12)
        # Without a fingerprint: classic servers know nothing of it.
        data = stun.build(stun.REQUEST, txid, attributes, fingerprint=False)
        back = flow if back is None else back
        question = Question(flow, destination, expect or destination, back, txid, data, gaps)
        question.first = now
        self._asked[txid] = question
        self._transmit(question, now)
        return question

    def _transmit(self, question, now):
        question.timer = now + question.gaps[question.sent]
        question.sent += 1
        self.send(question.flow, question.data, question.destination)

    def send(self, flow, data, destination, ttl=None):
        """Send *data* as it is, with IP TTL *ttl* if given; what comes of it is the caller's."""
        self.bytes += len(data) + _HEADERS
        self._flows.add(flow)
        endpoint = (destination,) if ttl is None else (destination, ttl)
        self._sends.append((flow, data) + endpoint)

    def receive(self, flow, data, source, now):
        """The Question that this datagram answers (also as a stray), or None."""
        self.bytes += len(data) + _HEADERS
        try:
            message = stun.parse(data)
            question = self._asked.get(message.txid)
            if question is None or message.klass == stun.INDICATION:
                self._count("unexpected")
                return None
            self._take(question, flow, source, message, now)
            return question
        except stun.StunError as error:
            self._count(error.counter)
            return None

    def _take(self, question, flow, source, message, now):
        if message.klass == stun.REQUEST:
            question.looped = (flow, source)
            question.timer = None
        elif message.klass == stun.ERROR:
            question.error = message.get(stun.ERROR_CODE, (0, ""))[0]
            question.timer = None
        elif (flow, source) != (question.back, question.expect):
            self._count("stray")
            if (flow, source) not in question.strays and len(question.strays) < _STRAYS:
                question.strays.append((flow, source))
        elif question.answer is None:
            mapped = mapped_in(message)
            other_in(message)  # raises now, not when somebody looks
            if mapped is None:
                raise stun.StunError("no_address", "an answer without a mapped address")
            question.mapped = mapped
            question.answer = message
            question.answered = now
            question.timer = None

    def next_timer(self):
        timers = [question.timer for question in self._asked.values() if not question.over]
        return min(timers) if timers else None

    def handle_timer(self, now):
        for question in self._asked.values():
            if question.over or now < question.timer:
                continue
            if question.sent < len(question.gaps):
                self._transmit(question, now)
            else:
                question.timer = None

    def close(self, flow, destination):
        """Close *flow*; answers to what was asked on it are expected no more."""
        if flow in self._flows:
            self._flows.remove(flow)
            self._sends.append((flow, None, destination))
        closed = [key for key, question in self._asked.items() if question.flow == flow]
        for txid in closed:
            self._asked[txid].timer = None
            del self._asked[txid]

    def close_all(self, destination):
        for flow in sorted(self._flows):
            self.close(flow, destination)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

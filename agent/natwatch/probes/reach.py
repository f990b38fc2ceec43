"""Which of the provider's ports can be reached with UDP: requirement R2.

One socket sends a plain Binding request to each port; open is what an answer came back from, from
that very endpoint. Blocked is silence through every pass: three at least and, where ports that do
answer needed more than one try, as many as make a port that is silent by chance unlikely.

The order is random, so that an outage of a second is no range of ports, and the pace is below
what the reflector grants to strangers (100 a second). A port takes two bits here, since MicroPython
has little memory: what is sent to it has its number in the transaction id.

One socket and many destinations are as many entries in a NAT that maps by destination, and behind
one that draws ports at random as many external ports: a carrier may give a customer a few hundred.
So the caller names how many ports may be asked; of more, a sample is drawn.
"""

from natwatch.probes.questions import mapped_in, other_in
from natwatch.wire import stun

_PACE = 10  # ms between two requests of the first pass, at least
_GAPS = (1000, 1500, 2000)  # ms of waiting after the first, the second and each later pass
_PASSES = 3
_PASSES_MOST = 8
_CHANCE = 0.01  # of calling any port blocked that only lost every try
_HEADERS = 28  # bytes of IPv4 and UDP
_ANSWER = 56  # bytes of the reflector's answer


class Reach:
    """Ask *ports*, a list of (lowest, highest), at *address*; at most *most* of them.

    *random* gives n random bytes; *pace* is the ms between two requests that the caller wants at
    least. *long*: ask with as many bytes as the answer has, for a far end that gives strangers no
    more than they sent (natwatch-reflector --no-amplification). One result:
    {"address", "asked", "open", "blocked": [[lowest, highest], …], "sampled": whether ports were
    left out, "tries" and "lost" of the ports that answered, "passes", "seconds", "bytes"}.
    ``other`` is the other endpoint that the far end names, ``mapped`` what it sees of us, both
    None until known.
    """

    def __init__(self, address, ports, random, most=None, pace=0, long=False):
        self.address = address
        self.other = None
        self.mapped = None
        self.done = False
        self.bytes = 0
        self.counters = {}
        self._pace = max(_PACE, pace)
        # SOFTWARE asks for nothing, and classic servers ignore it too (RFC 3489, section 11.2).
        self._attributes = [(stun.SOFTWARE, " " * (_ANSWER - 24))] if long else []
        self._prefix = random(10)
        self._ports = drawn(ports, random, most)
        self._sampled = len(self._ports) < count(ports)
        self._open = bytearray((len(self._ports) + 7) // 8)
        self._pass = 0
        self._next = 0  # index of the next port of this pass
        self._asked_in_pass = 0
        self._tries = self._lost = 0  # of ports that answered
        self._timer = None
        self._sends = []
        self._results = []
        self._index = {}
        for index, port in enumerate(self._ports):
            self._index[port] = index

    # The loop's calls

    def start(self, now):
        self._started = now
        self._timer = now

    def receive(self, flow, data, source, now):
        self.bytes += len(data) + _HEADERS
        try:
            message = stun.parse(data)
            self._take(message, source)
        except stun.StunError as error:
            self._count(error.counter)

    def notice(self, notice, now):
        """The control flow, if there is one, has nothing to say here."""

    def next_timer(self):
        return self._timer

    def handle_timer(self, now):
        if self.done or now < self._timer:
            return
        while self._next < len(self._ports) and self._is_open(self._next):
            self._next += 1
        if self._next < len(self._ports):
            self._send(self._ports[self._next])
            self._next += 1
            # Later passes go to what was silent, and hardly anything of it arrives.
            self._timer = now + (self._pace if self._pass == 0 else self._pace // 2)
        elif self._asked_in_pass:
            self._asked_in_pass = 0
            self._timer = now + _GAPS[min(self._pass, len(_GAPS) - 1)]
        else:
            self._end_pass(now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def progress(self, now):
        """(ports that answered, ports asked, pass from 1)."""
        return self._open_count(), len(self._ports), self._pass + 1

    def stop(self, now):
        """End before the end, with the ports that answered: of the others nothing is known yet."""
        if not self.done:
            self._end(now, self._open_ports())

    # How it works

    def _send(self, port):
        txid = self._prefix + bytes([port >> 8, port & 255])
        data = stun.build(stun.REQUEST, txid, self._attributes, fingerprint=False)
        self.bytes += len(data) + _HEADERS
        self._asked_in_pass += 1
        self._sends.append((0, data, (self.address, port)))

    def _take(self, message, source):
        if message.txid[:10] != self._prefix or message.klass != stun.SUCCESS:
            self._count("unexpected")
            return
        port = message.txid[10] << 8 | message.txid[11]
        if source != (self.address, port) or port not in self._index:
            self._count("wrong_source")
            return
        index = self._index[port]
        mapped = mapped_in(message)
        if mapped is None or self._is_open(index):
            self._count("no_address" if mapped is None else "repeated")
            return
        self._open[index // 8] |= 1 << index % 8
        self._tries += self._pass + 1
        self._lost += self._pass
        self.mapped = self.mapped or mapped
        self.other = self.other or other_in(message)

    def _is_open(self, index):
        return bool(self._open[index // 8] >> index % 8 & 1)

    def _open_count(self):
        return len([index for index in range(len(self._ports)) if self._is_open(index)])

    def _open_ports(self):
        return [port for index, port in enumerate(self._ports) if self._is_open(index)]

    def _end_pass(self, now):
        silent = len(self._ports) - self._open_count()
        self._pass += 1
        self._next = 0
        if not silent or self._pass >= passes(self._tries, self._lost, len(self._ports)):
            self._end(now, self._ports)
        else:
            self._timer = now

    def _end(self, now, asked):
        """Put out the result of the ports *asked*; none if that is none."""
        self.done = True
        self._timer = None
        self._sends.append((0, None, (self.address, self._ports[0])))
        if not asked:
            return
        found = self._open_ports()
        blocked = sorted(set(asked).difference(found))
        sampled = self._sampled or len(asked) < len(self._ports)
        self._results.append(
            {
                "address": self.address,
                "asked": len(asked),
                "open": len(found),
                "blocked": ranges(blocked, sorted(asked), sampled),
                "sampled": sampled,
                "tries": self._tries,
                "lost": self._lost,
                "passes": self._pass,
                "seconds": (now - self._started) / 1000,
                "bytes": self.bytes,
            }
        )

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1


def count(ports):
    """How many ports the ranges [(lowest, highest), …] hold."""
    return sum([high - low + 1 for low, high in ports])


def ports_of(ports):
    """Every port of the ranges [(lowest, highest), …]."""
    return [port for low, high in ports for port in range(low, high + 1)]


def drawn(ports, random, most=None):
    """The ports of the ranges *ports* in random order, *most* of them if there are more."""
    left = ports_of(ports)
    # Fisher and Yates: from the end, each takes one of those not yet placed.
    for last in range(len(left) - 1, 0, -1):
        other = int.from_bytes(random(4), "big") % (last + 1)
        left[last], left[other] = left[other], left[last]
    return left if most is None else left[:most]


def ranges(blocked, asked, sampled=False):
    """[[lowest, highest], …] of *blocked*, of all that was *asked*, both sorted: neighbours.

    Of a sample those are neighbours that have no open port of the sample between them.
    """
    found = []
    numbers = dict([(port, index if sampled else port) for index, port in enumerate(asked)])
    last = 0
    for port in blocked:
        if found and numbers[port] == last + 1:
            found[-1][1] = port
        else:
            found.append([port, port])
        last = numbers[port]
    return found


def passes(tries, lost, asked):
    """How many tries make a port blocked, if *lost* of *tries* were lost of those that answered.

    Three; more where, of so many *asked*, a chance above one in a hundred is left that some port
    merely lost all of them. (At 5 % loss each way a port loses three tries once in a thousand, and
    a sweep has two thousand ports.)
    """
    most = _PASSES
    share = lost / tries if tries else 0
    while most < _PASSES_MOST and asked * share**most > _CHANCE:
        most += 1
    return most

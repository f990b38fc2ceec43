"""What was sent, what came and what came back of one voice-like stream, and figures of each way.

Nobody has a common clock: one way's delay is known only above the least one of that way. For the
E-model (probes.emodel) the delay mouth to ear is taken as half of the least round trip, this
way's median queueing, 20 ms of a packet and 60 ms of jitter buffer; what comes later than the
buffer waits is lost to the listener, and counts as lost there, but is reported apart.
"""

from array import array

from natwatch.probes import emodel
from natwatch.wire.media import INTERVAL

BUFFER = 60  # ms above the least delay that a packet may come

LOST, IN_TIME, LATE = range(3)


class Voice:
    """A stream of *most* packets and *closing* ones behind it.

    Times are kept as ms since the first packet and one, 0 being "unknown"; arrivals at the
    reflector are numbered from 1, and so are the answers. As many as were sent may be duplicates.
    """

    def __init__(self, most, closing):
        self._most = most
        self._began = 0  # ms
        self._count = 0
        self._total = most + closing
        room = 2 * self._total + 1
        self._sent = array("I", bytes(4 * self._total))
        self._sequence = array("H", bytes(2 * room))  # of each arrival, and one
        self._arrived = array("I", bytes(4 * room))
        self._back = array("I", bytes(4 * room))
        self._unsure = bytearray(room)
        self._known = 0  # every arrival up to this one is
        self._highest = 0  # number of an answer
        self._reordered = self._duplicated = 0
        self._jitter = Jitter()

    @property
    def complete(self):
        return self._count == self._total

    def send(self, now):
        """The sequence number of the packet that leaves *now*."""
        if not self._count:
            self._began = now
        self._sent[self._count] = now - self._began + 1
        self._count += 1
        return self._count - 1

    def came(self, told, now, sure):
        """Take an answer, media.Reflected. False if it cannot be true.

        Not *sure*: it may have waited for us, so its time says nothing of the line.
        """
        number = told.number
        if number >= len(self._back) or told.sequence >= self._count:
            return False
        self._learn(number, told.sequence, told.received)
        for earlier in () if self._known >= number - 1 else told.earlier():
            if earlier[0] <= self._known:
                break
            self._learn(*earlier)
        while self._known + 1 < len(self._arrived) and self._arrived[self._known + 1]:
            self._known += 1
        if self._back[number]:
            self._duplicated += told.sequence < self._most
            return True
        self._back[number] = now - self._began + 1
        self._unsure[number] = not sure
        if told.sequence < self._most:
            self._reordered += number < self._highest
            if sure:
                self._jitter.add(now - told.sent)
        self._highest = max(number, self._highest)
        return True

    def _learn(self, number, sequence, at):
        if sequence < self._count and not self._arrived[number]:
            self._sequence[number] = sequence + 1
            self._arrived[number] = at + 1

    def result(self, arrived):
        """({"sent", "seconds", "rtt", "out", "in", "unsure"}, None or why something is unknown).

        *arrived* is how many packets the reflector counted, the closing ones among them, or None.
        """
        sent = min(self._count, self._most)
        duration = self._sent[sent - 1] - self._sent[0] + INTERVAL if sent else 0
        told = {"sent": sent, "seconds": duration / 1000, "rtt": None, "out": None, "in": None}
        told["unsure"] = sum(self._unsure)
        latest = max(
            [number for number in range(len(self._arrived)) if self._arrived[number]] + [0]
        )
        reason = None
        if not latest and not arrived:
            reason = "none of %d packets came back, and nothing shows that any arrived" % sent
            return told, reason
        if arrived is None:
            # What became of what was sent after the last packet that is known to have come, or of
            # its answers, nobody knows.
            sent = min(sent, max(self._sequence))
            if sent < self._most:
                reason = "only the first %d packets are known: the rest had no answer" % sent
            arrived = latest
        arrived = max(latest, min(arrived, len(self._arrived) - 1))
        states, numbers = self._outward(sent, arrived)
        sure = [number for number in numbers if self._back[number] and not self._unsure[number]]
        trips = sorted([self._way_out(number) + self._way_back(number) for number in sure])
        if trips:
            told["rtt"] = {"least": trips[0], "median": median(trips), "most": trips[-1]}
        else:
            reason = "nothing came back: the reflector's count is all that is known"
        half = trips[0] / 2 if trips else 0
        drift = self._drift(sure)
        told["out"] = self._judge_out(states, numbers, drift, half)
        told["in"] = self._judge_in(numbers, drift, half)
        return told, reason

    def _outward(self, sent, arrived):
        """(the state of each of the first *sent* packets, the numbers of their arrivals).

        An arrival that only the count tells of is taken for the first packet missing there; of
        those at the end the closing packets get their share.
        """
        states = bytearray(sent)
        for sequence in self._sequence:
            if 0 < sequence <= sent:
                states[sequence - 1] = IN_TIME
        numbers, nameless, following = [], [], 0
        for number in range(1, arrived + 2):
            end = number > arrived
            sequence = sent + 1 if end else self._sequence[number]
            if not sequence:
                nameless.append(number)
                continue
            missing = [n for n in range(following, min(sequence - 1, sent)) if not states[n]]
            if end and missing:
                closing = self._count - max(following, sent)
                share = len(missing) / (len(missing) + closing)
                nameless = nameless[: round(len(nameless) * share)]
            for index in missing[: len(nameless)]:
                states[index] = IN_TIME
            numbers += nameless[: len(missing)]
            nameless = []
            following = max(following, sequence)
            if not end and sequence <= sent:
                numbers.append(number)
        return states, numbers

    def _judge_out(self, states, numbers, drift, half):
        jitter, highest, reordered, duplicated = Jitter(), -1, 0, 0
        transits, seen = [], bytearray(len(states))
        for number in numbers:
            sequence = self._sequence[number] - 1
            if sequence < 0:
                continue
            if seen[sequence]:
                duplicated += 1
                continue
            seen[sequence] = 1
            reordered += sequence < highest
            highest = max(highest, sequence)
            transit = self._way_out(number)
            jitter.add(transit)
            transits.append((sequence, transit - drift * self._sent[sequence]))
        return judge(states, transits, jitter, reordered, duplicated, half)

    def _judge_in(self, numbers, drift, half):
        """Of the answers to the stream's packets, those to duplicates among them."""
        states, transits = bytearray(len(numbers)), []
        for index, number in enumerate(numbers):
            back = self._back[number]
            states[index] = IN_TIME if back else LOST
            if back and not self._unsure[number]:
                transits.append((index, self._way_back(number) + drift * back))
        return judge(states, transits, self._jitter, self._reordered, self._duplicated, half)

    def _drift(self, sure):
        """How much faster the reflector's clock goes than ours, ms a ms.

        A clock that drifts makes one way's least delay grow by as much as the other's shrinks, a
        queue does not; so of each change only as much counts as the other way mirrors.
        """
        part = len(sure) // 3
        if part < 50:
            return 0
        first, last = sure[:part], sure[-part:]
        out = min(map(self._way_out, last)) - min(map(self._way_out, first))
        back = min(map(self._way_back, last)) - min(map(self._way_back, first))
        if out * back >= 0:
            return 0
        span = self._back[last[0]] - self._back[first[0]]
        return (1 if out > 0 else -1) * min(abs(out), abs(back)) / span

    def _way_out(self, number):
        return self._arrived[number] - self._sent[self._sequence[number] - 1]

    def _way_back(self, number):
        return self._back[number] - self._arrived[number]


class Jitter:
    """Interarrival jitter (RFC 3550, 6.4.1 and A.8) over all packets, ms."""

    def __init__(self):
        self._transit = None
        self._now = self.most = self._sum = 0.0
        self._count = 0

    def add(self, transit):
        """One more packet in the order of arrival; *transit* may be off by any constant."""
        if self._transit is not None:
            self._now += (abs(transit - self._transit) - self._now) / 16
            self.most = max(self.most, self._now)
            self._sum += self._now
            self._count += 1
        self._transit = transit

    @property
    def mean(self):
        return self._sum / self._count if self._count else 0.0


def judge(states, transits, jitter, reordered, duplicated, half):
    """What is known of one way, from its packets' *states* and [(index, transit ms), …].

    {"packets", "lost", "loss_percent", "late", "reordered", "duplicated", "jitter": the mean,
    "jitter_most", "bursts": the longest run of losses, "burst_ratio", "delay_above_least":
    {"median", "p95", "most"}, "mos", "r": by codec}; times in ms. With no *transits* the jitter
    and the delays are None, and R is that of the losses alone.
    """
    packets = len(states)
    lost = len([state for state in states if state == LOST])
    longest = max([length for length in runs(states)] + [0])
    delays, waiting = None, 0
    if transits:
        least = min([transit for _, transit in transits])
        for index, transit in transits:
            if transit - least > BUFFER:
                states[index] = LATE
        above = sorted([transit - least for _, transit in transits])
        waiting = median(above)
        p95 = above[(len(above) * 95 + 99) // 100 - 1]
        delays = {"median": round(waiting, 1), "p95": round(p95, 1), "most": round(above[-1], 1)}
    late = len([state for state in states if state == LATE])
    percent = 100 * (lost + late) / packets if packets else 0
    ratio = burst_ratio(states)
    delay = half + waiting + INTERVAL + BUFFER
    r = {codec: emodel.rating(delay, percent, codec, ratio) for codec in emodel.CODECS}
    return {
        "packets": packets,
        "lost": lost,
        "loss_percent": round(100 * lost / packets, 2) if packets else 0,
        "late": late,
        "reordered": reordered,
        "duplicated": duplicated,
        "jitter": round(jitter.mean, 1) if transits else None,
        "jitter_most": round(jitter.most, 1) if transits else None,
        "bursts": longest,
        "burst_ratio": round(ratio, 2),
        "delay_above_least": delays,
        "mos": {codec: round(emodel.mos(r[codec]), 2) for codec in r},
        "r": {codec: round(r[codec], 1) for codec in r},
    }


def burst_ratio(states):
    """BurstR of G.107: the mean run of packets that a listener misses, lost or late, over that of
    as many at random; 1 at least."""
    lengths = runs(states)
    missing = sum(lengths)
    if not missing:
        return 1
    return max(1, missing / len(lengths) * (1 - missing / len(states)))


def runs(states):
    """The lengths of the runs of packets that are not IN_TIME."""
    lengths, length = [], 0
    for state in states:
        if state != IN_TIME:
            length += 1
        elif length:
            lengths.append(length)
            length = 0
    return lengths + [length] if length else lengths


def median(ordered):
    """Of numbers in order."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

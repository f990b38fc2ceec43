"""Which of the profile's ports can be reached, a few at a time: what is asked next, what is known.

A sample is the single ports (SIP, STUN) and the next voice ports of an order that is drawn once
and gone through, so that a day's samples have asked them all. What is known of a port is its
latest answer. Silence is believed only when a second sample finds it too: the line may have been
down for the five seconds that the first one took.
"""

from natwatch.probes.reach import drawn, ports_of, ranges

SAMPLE = 21  # voice ports: 96 samples a day are more than the 2,001 of 8000 to 10000
STALE = 2 * 86400 * 1000  # ms; what is older says nothing about now
_WITNESSES = 4  # other ports beside doubted ones: were all silent, nobody knew that the line is up
_RANGES = 32  # told; of more, how many ports they are


class Answer:
    """Of one sample or sweep: the list of *asked* ports, and the set of those *blocked*."""

    def __init__(self, now, asked, blocked, tries, lost):
        self.at = now
        self.asked = asked
        self.blocked = blocked
        self.tries = tries
        self.lost = lost


class Sampling:
    """*ports* are a profile's; *random* gives n random bytes.

    ``doubted``: ports that one sample found silent, and no second one yet. ``answered``: whether
    the latest one had any answer at all.
    """

    def __init__(self, ports, random):
        self.single = ports["stun"] + [ports["sip"]]
        self.voice = ports["rtp"]
        self.answered = True
        self.doubted = []
        self.address = None
        self._all = self.single + drawn([self.voice], random)
        self._next = self._coming = len(self.single)  # where in it the next sample begins
        self._answers = []  # the oldest first
        self._held = None  # the Answer with the doubted ports

    def forget(self):
        """This is another line now: nothing that was found holds."""
        self.doubted, self._answers, self._held = [], [], None

    def sample(self, most=SAMPLE):
        """The ports to ask now, of the voice ports at most *most*."""
        voice = [port for port in self.doubted if port not in self.single]
        voice = voice[: max(1, most - _WITNESSES)]
        end = self._next + most - len(voice)
        voice += [port for port in self._all[self._next : end] if port not in voice]
        self._coming = end if end < len(self._all) else len(self.single)
        return self.single + voice

    def sweep(self):
        """Every port."""
        return self._all

    def take(self, asked, result, now):
        """Note the *result* of Reach for the ports *asked*. Whether it is to be told."""
        self.address = result["address"]
        self.answered = result["open"] > 0
        if not self.answered:
            return True  # as unknown: the line, or the far end, may be down
        if asked is not self._all:
            self._next = self._coming
        blocked = set(ports_of(result["blocked"]))
        self._resolve(asked, blocked)
        known = self._known(now)
        # In the order drawn: those asked again first shall not all be of one range.
        self.doubted = [port for port in asked if port in blocked and not known.get(port)]
        answer = Answer(now, asked, blocked, result["tries"], result["lost"])
        if self.doubted:
            self._held = answer
        else:
            self._answers.append(answer)
        return not self.doubted

    def told(self, result, asked, now):
        """What is reported of a *result* of take(): docs/telemetry.md, kind ``reach``."""
        parts = [part for part in (self.single_result(now), self.voice_result(now)) if part]
        found = sorted([one for part in parts for one in part["blocked"]])
        told = {name: result[name] for name in ("address", "open", "tries", "lost", "passes")}
        told.update({name: result[name] for name in ("seconds", "bytes")})
        told.update({"asked": len(asked), "blocked": found[:_RANGES]})
        told["known"] = sum([part["asked"] for part in parts])
        told["known_open"] = sum([part["open"] for part in parts])
        told["reason"] = None
        if not self.answered:
            told["reason"] = "nothing answered: the line or the reflector may be down"
        return told

    def single_result(self, now):
        """Of the single ports, as diagnosis.findings wants it; None if nothing is known."""
        return self._result(self.single, now)

    def voice_result(self, now):
        """The same of the voice ports. It has the loss of all requests: an answer does not say
        which of its ports had lost one before."""
        found = self._result(self._all[len(self.single) :], now)
        if found is not None:
            found["tries"] = sum([answer.tries for answer in self._answers])
            found["lost"] = sum([answer.lost for answer in self._answers])
        return found

    def open_voice_port(self, random, now):
        """An even voice port at random, as calls take them, that is not known to be blocked."""
        known = self._known(now)
        low, high = self.voice
        even = [port for port in range(low + low % 2, high + 1, 2) if not known.get(port)]
        even = even or [low]
        return even[int.from_bytes(random(4), "big") % len(even)]

    def _resolve(self, asked, blocked):
        """Believe what was doubted where it is silent again. What was not asked again is believed
        with it only if none of that answers: an outage can fall upon a range that is blocked."""
        if self._held is None:
            return
        again = set([port for port in asked if port in self.doubted])
        if not again:
            return
        held, self._held = self._held, None
        silent = again.intersection(blocked)
        if silent != again:
            believed = set(held.asked).difference(self.doubted).union(silent)
            held.asked = [port for port in held.asked if port in believed]
        self._answers.append(held)
        self.doubted = []

    def _known(self, now):
        """{port: whether it is blocked}. Drops the answers that later ones have replaced."""
        known, kept = {}, []
        for answer in reversed(self._answers):
            fresh = [port for port in answer.asked if port not in known]
            if fresh and now - answer.at < STALE:
                known.update({port: port in answer.blocked for port in fresh})
                kept.append(answer)
        self._answers = list(reversed(kept))
        return known

    def _result(self, ports, now):
        known = self._known(now)
        asked = sorted([port for port in ports if port in known])
        if not asked:
            return None
        blocked = [port for port in asked if known[port]]
        sampled = len(asked) < len(ports)
        return {
            "address": self.address,
            "asked": len(asked),
            "open": len(asked) - len(blocked),
            "blocked": ranges(blocked, asked, sampled),
            "sampled": sampled,
            "tries": 0,
            "lost": 0,
        }

"""The control flow to the reflector: nonce, audits, witnesses, forwards, restarts, time.

Errors and nonces travel here and never over a tooth, since any answer would turn a ``oneway``
binding into a ``replied`` one. The flow is refreshed just before it is needed (a witness is due)
and sleeps otherwise: its NAT binding may then die without harm, the next request makes a new one
and moves the device's control address along. See docs/protocol.md.
"""

from natwatch.wire import stun

# Port class -> the lowest and the highest of the reflector's ports that belong to it. An operator
# whose ports are others says so in its profile.
CLASSES = {"udp/sip": (5060, 5060), "udp/stun": (3478, 3478), "udp/rtp": (8000, 10000)}
_NONCE_FRESH = 60000  # ms; the reflector accepts 120 s, and a tooth needs some of it
_LEAD = 900  # ms before a witness is due by which the control flow must have been refreshed
_RETRIES = (300, 400, 600, 1000, 1500)  # ms to wait for an answer, try by try
_BACK_OFF = (2000, 4000, 8000, 16000, 30000)  # ms of rest after a round of tries without answer
_STALE_MOST = 3  # "stale nonce" so often in a row means more than a stale nonce
_AUDIT_MOST = 16  # ids in one request
_PADDED = 112  # bytes; no request is shorter, since "stale nonce" and a nonce (100) must fit


class Session:
    """One device's control flow to one reflector address.

    *random* gives n random bytes, *ports* are as CLASSES; the control flow goes to *port*, as a
    rule that for STUN. After ``ready(now)`` the attributes ``mapped`` (the public endpoint),
    ``rtt`` (ms), ``ttl``, ``boot`` and ``answered_at`` (ms: the last answer's time) are known.
    ``trouble`` is None or a sentence.
    """

    def __init__(self, device, key, address, random, port=None, ports=CLASSES):
        self.endpoint = (address, port or ports["udp/stun"][0])
        self.ports = ports
        self.device = device
        self.key = key
        self.random = random
        # `natwatch lifetime` may run beside the daemon, under one device id: each has a control
        # flow of its own, and the tag brings it the witnesses of its own teeth.
        self.tag = random(4)
        self.mapped = None
        self.rtt = 0
        self.ttl = None  # of our requests as the reflector got them; None: it does not tell
        self.boot = None
        self.trouble = None
        self.wall = None  # (reflector's ms since 1970, our ms when it came) or None
        self.counters = {}
        self.bytes = 0
        self._nonce = None
        self._nonce_at = 0
        self._flow = 0
        self._request = None  # (txid, sent, try, bytes) while an answer is awaited
        self._asked_at = 0  # when that request was first sent
        self._stale = 0  # answers "stale nonce" in a row
        self._rest_until = None
        self._failures = 0
        self.answered_at = None  # ms
        self._needs = []  # instants at which the control flow must be fresh
        self._audits = []
        self._cancels = []
        self._singles = []  # (FETCH, Fetch) and (FORWARD, Forward): one a request
        self._single = None  # that of the request under way
        self._wanted = False
        self._sends = []
        self._notices = []

    # What engines ask of it

    @property
    def sip_port(self):
        return self.ports["udp/sip"][0]

    def port_of(self, port_class):
        """A port of *port_class*; of several an even one, as RTP takes them (RFC 3550, section 11).

        A call's port is drawn anew each time, and so is this one: a router may treat single ports
        otherwise.
        """
        low, high = self.ports[port_class]
        low += low % 2 if high > low else 0
        if low == high:
            return low
        low += low % 2
        drawn = int.from_bytes(self.random(4), "big")
        return low + 2 * (drawn % ((high - low) // 2 + 1))

    def ready(self, now):
        """Whether teeth may be opened now. If not, a request for a fresh nonce is on its way."""
        if self._nonce is not None and now - self._nonce_at < _NONCE_FRESH:
            return True
        self._wanted = True
        return False

    @property
    def nonce(self):
        """The present nonce, bytes, or None."""
        return self._nonce

    def hold_request(self, txid, hold, earlier=(), refresh=None):
        """The bytes of the transaction *txid* that asks for *hold*, with *earlier* rounds (ms) and
        *refresh*, a stun.Refresh.

        Only when ready().
        """
        attributes = [(stun.USERNAME, self.device), (stun.NONCE, self._nonce), (stun.HOLD, hold)]
        if earlier:
            attributes.append((stun.EARLIER, list(earlier)))
        if refresh is not None:
            attributes.append((stun.REFRESH, refresh))
        return stun.build(stun.REQUEST, txid, attributes, self.key)

    def keep_fresh(self, instant):
        """Have the control flow open at *instant*, since a witness will be sent then."""
        self._needs.append(instant)

    def audit(self, txid):
        """Ask what became of this transaction; the answer comes as a notice."""
        self._audits.append(txid)

    def cancel(self, txid):
        """Ask the reflector not to push for this transaction any more."""
        self._cancels.append(txid)

    def fetch(self, txid, index, offset=0):
        """Ask for a part of the *index*-th copy of what the collecting tooth *txid* received."""
        self._singles.append((stun.FETCH, stun.Fetch(txid, index, offset)))

    def forward(self, port, ask):
        """Ask whether *port* of our public address leads to a SIP device. *ask*: the reflector is
        to find out, from an endpoint never contacted; else it only tells what it knows."""
        self._singles.append((stun.FORWARD, stun.Forward(port, ask)))

    # The engine's calls

    def start(self, now):
        self._wanted = True
        self._step(now)

    def receive(self, flow, data, source, now):
        """A datagram from the control flow."""
        self.bytes += len(data) + 28
        try:
            message = stun.parse(data)
            self._take(message, source, now)
        except stun.StunError as error:
            self._count(error.counter)
        self._step(now)

    def next_timer(self):
        if self._request is not None:
            _, sent, attempt, _ = self._request
            return sent + _RETRIES[attempt]
        if self._rest_until is not None:
            return self._rest_until
        if self._wanted or self._audits or self._cancels or self._singles:
            return 0
        if self._needs:
            return min(self._needs) - _LEAD
        return None

    def handle_timer(self, now):
        if self._request is not None:
            txid, sent, attempt, data = self._request
            if now < sent + _RETRIES[attempt]:
                return
            if attempt + 1 < len(_RETRIES):
                self._transmit(txid, attempt + 1, data, now)
                return
            self._gave_up(now)
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
            self._wanted = True
        self._step(now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_notices(self):
        """What came, oldest first.

        ("ready",), ("witness", Pushed), ("record", Record), ("restarted",), ("copy", txid, Copy),
        or ("forwarded", port, Forwarded): None instead of the Copy or the Forwarded if the
        reflector knows none.
        """
        notices, self._notices = self._notices, []
        return notices

    # How it works

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

    def _step(self, now):
        """Send a request if there is a reason for one and none is under way."""
        if self._request is not None or self._rest_until is not None:
            return
        due = [instant for instant in self._needs if instant - _LEAD <= now]
        if due:
            self._needs = [instant for instant in self._needs if instant - _LEAD > now]
            # One exchange half a second ago serves every witness that is due within the next.
            recent = self.answered_at is not None and now - self.answered_at < 500
            self._wanted = self._wanted or not recent
        if self._wanted or self._audits or self._cancels or self._singles:
            self._wanted = False
            self._ask(now)

    def _ask(self, now):
        self._asked_at = now
        self._single = None
        txid = self.random(12)
        attributes = [(stun.USERNAME, self.device)]
        if self._nonce is not None:
            attributes.append((stun.NONCE, self._nonce))
        attributes.append((stun.CONTROL, self.tag))
        if self._cancels:
            attributes.append((stun.CANCEL, self._cancels[:_AUDIT_MOST]))
        elif self._audits:
            attributes.append((stun.AUDIT, self._audits[:_AUDIT_MOST]))
        elif self._singles:  # one a request: a copy in the answer is long enough
            self._single = self._singles[0]
            attributes.append(self._single)
        data = stun.build(stun.REQUEST, txid, attributes, self.key)
        if len(data) < _PADDED:
            attributes.append((stun.PADDING, bytes(_PADDED - len(data))))
            data = stun.build(stun.REQUEST, txid, attributes, self.key)
        self._transmit(txid, 0, data, now)

    def _transmit(self, txid, attempt, data, now):
        self._request = (txid, now, attempt, data)
        self.bytes += len(data) + 28
        self._sends.append((self._flow, data, self.endpoint))

    def _gave_up(self, now):
        rest = _BACK_OFF[min(self._failures, len(_BACK_OFF) - 1)]
        self._failures += 1
        self._request = None
        self._rest_until = now + rest
        # A flow that was open while the router's NAT rule was not yet loaded stays broken for as
        # long as it keeps sending: try again from a fresh port.
        self._sends.append((self._flow, None, self.endpoint))
        self._flow += 1
        self.trouble = "no answer from the reflector at %s port %d" % self.endpoint

    def _take(self, message, source, now):
        if source != self.endpoint:
            self._count("wrong_source")
            return
        if message.klass == stun.INDICATION:
            if not message.authentic(self.key):
                self._count("wrong_key")
                return
            pushed = message.get(stun.WITNESS)
            self._count("witness" if pushed else "unexpected")
            if pushed:
                self._notices.append(("witness", pushed))
            return
        if self._request is None or message.txid != self._request[0]:
            self._count("late_answer")
            return
        if not message.authentic(self.key):
            self._refused(message, now)
            return
        self._request = None
        # Of a repeated request nobody knows which try was answered: an upper bound then, as is
        # right for the slack of a oneway tooth.
        self.rtt = now - self._asked_at
        self._learn(message, now)
        if message.klass == stun.ERROR:
            self._take_error(message, now)
        else:
            self._take_success(message, now)

    def _refused(self, message, now):
        # A 401 comes without a MAC, since the reflector knows no key for us: a hint, no proof.
        code = message.get(stun.ERROR_CODE, (0, ""))[0] if message.klass == stun.ERROR else 0
        self._count("refused_%d" % code)
        if code not in (401, 420):
            return
        reason = {
            401: "the reflector at %s port %d does not accept this device's key",
            420: "%s port %d answers as a plain STUN server, not as a natwatch reflector",
        }[code]
        self._request = None
        self._rest_until = now + _BACK_OFF[-1]
        self.trouble = reason % self.endpoint

    def _learn(self, message, now):
        self._failures = 0
        boot = message.get(stun.BOOT_ID)
        if boot is not None and boot != self.boot:
            if self.boot is not None:
                self._notices.append(("restarted",))
            self.boot = boot
        wall = message.get(stun.TIME)
        if wall is not None:
            self.wall = (wall, now)
        nonce = message.get(stun.NONCE)
        if nonce is not None:
            self._nonce = nonce
            self._nonce_at = now

    def _take_error(self, message, now):
        code = message.get(stun.ERROR_CODE, (0, ""))[0]
        self._count("error_%d" % code)
        self._stale += 1
        if code == 438 and message.has(stun.NONCE) and self._stale < _STALE_MOST:
            self._ask(now)
            return
        asked = self._single is not None
        self._told(None)
        if code == 420 and asked:  # a reflector older than this question; the rest it knows
            return
        self._rest_until = now + _BACK_OFF[-1]
        text = "the reflector at %s port %d refuses this device's requests with error %d"
        self.trouble = text % (self.endpoint + (code,))

    def _take_success(self, message, now):
        self._stale = 0
        self.answered_at = now
        self.mapped = message.get(stun.XOR_MAPPED_ADDRESS)
        self.ttl = message.get(stun.RECEIVED, (0, 0))[0] or None
        self.trouble = None
        records = message.get_all(stun.RECORD)
        told = [record.txid for record in records]
        self._audits = [txid for txid in self._audits if txid not in told]
        self._cancels = [txid for txid in self._cancels if txid not in told]
        for record in records:
            self._notices.append(("record", record))
        self._told(message)
        self._notices.append(("ready",))

    def _told(self, message):
        """The request with a single question was answered with *message*, None: refused."""
        if self._single is None:
            return
        number, asked = self._single
        self._singles.remove(self._single)
        self._single = None
        if number == stun.FETCH:
            copy = None if message is None else message.get(stun.COPY)
            self._notices.append(("copy", asked.txid, copy))
        else:
            told = None if message is None else message.get(stun.FORWARDED)
            self._notices.append(("forwarded", asked.port, told))

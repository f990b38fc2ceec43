"""Does the registrar live, does the SIP account work, what does the registrar hold: R9 and R7.

First OPTIONS (RFC 3261, 11): any answer proves life. Then, with a password, a REGISTER without
Contact (10.2.3), which fetches the bindings of the account and changes none: the phone's own
registration is never disturbed. Digest authentication as challenged (section 22).

After one failed authentication nothing more is sent with the password, or the registrar bans the
customer's address; natwatch.port.refusal remembers it for an hour.
"""

import binascii

from natwatch.probes.questions import text
from natwatch.wire import digest, sip_client
from natwatch.wire.sip import SipError

OK, WRONG_PASSWORD, REFUSED, REDIRECTED = "ok", "wrong password", "refused", "redirected"
NO_ANSWER, UNSUPPORTED, ENDLESS = "no answer", "unsupported", "challenged forever"
NOT_ASKED = "not asked"
RESTING = "resting"  # the password was refused within the hour

# RFC 3261, 17.1.2.2, timers E and F, with F cut from 32 s: sent at 0, 0.5, 1.5 and 3.5 s.
_T1 = 500  # ms
_T2 = 4000
_PATIENCE = 7500
_RENEWED = 3  # nonces after the first, before the registrar is said to challenge for ever
_HEADERS = 28  # bytes of IPv4 and UDP
_FLOW = 1
# Status -> what asks and what answers (22.2, 22.3).
_CHALLENGES = {
    401: ("www-authenticate", "Authorization"),
    407: ("proxy-authenticate", "Proxy-Authorization"),
}


class _Transaction:
    """One non-INVITE client transaction (17.1.2). Times are ms."""

    def __init__(self, method, branch, data, now):
        self.method = method
        self.branch = branch
        self.data = data
        self.first = now
        self.sent = 0
        self.gap = _T1
        self.timer = None
        self.provisional = None  # status of a provisional response
        self.rtt = None  # ms to the first answer, where only one request can have caused it


class Registration:
    """Ask *registrar*, (address, port), about *account*, {"registrar": host name, "user",
    "password" or None, "domain" or None}; *random* gives n random bytes. Before *not_before*, ms,
    nothing is asked that needs the password.

    One result: {"registrar", "options": {"status", "agent", "rtt": ms}, "register": {"state",
    "status", "algorithm", "contact": where a redirect leads}, "bindings": None (unknown) or as in
    wire.sip_client.bindings, "reason": None or a sentence about what is unknown or refused,
    "seconds", "bytes"}. ``failed``: the registrar did not accept the password.
    """

    def __init__(self, registrar, account, random, not_before=None):
        self.registrar = tuple(registrar)
        self.failed = False
        self.done = False
        self.counters = {}
        self.bytes = 0
        self._user = account["user"]
        self._password = account["password"]
        self._domain = account["domain"] or account["registrar"]
        self._random = random
        self._not_before = not_before
        self._call = binascii.hexlify(random(12)).decode()
        self._number = 0  # CSeq
        self._transaction = None
        self._answered = {}  # 401 or 407 -> [Challenge, uses of its nonce]
        self._renewed = 0
        self._odd = None  # a sentence about what came and was not believed
        self._sends = []
        self._results = []
        self._started = None
        self._reasons = []
        self._options = {"status": None, "agent": None, "rtt": None}
        self._register = {"state": NOT_ASKED, "status": None, "algorithm": None, "contact": None}
        self._bindings = None

    # The calls of the loop

    def start(self, now):
        self._started = now
        self._ask("OPTIONS", ["Accept: application/sdp"], now)

    def receive(self, _flow, data, source, now):
        self.bytes += len(data) + _HEADERS
        try:
            response = sip_client.response(data)
        except SipError as error:
            self._count(error.counter)
            if source == self.registrar:
                self._odd = "an answer that is no SIP response of ours: %s" % error
            return
        asked = self._transaction
        if asked is None or (response.branch, response.method) != (asked.branch, asked.method):
            self._count("unexpected")
        elif source != self.registrar:
            self._count("stray")
            self._odd = "asked %s, and %s answered" % (text(self.registrar), text(source))
        else:
            self._take(asked, response, now)

    def notice(self, notice, now):
        """The control flow has nothing to say here."""

    def unsent(self, _flow, error):
        self._odd = "the system refused to send (error %s)" % error

    def next_timer(self):
        return None if self._transaction is None else self._transaction.timer

    def handle_timer(self, now):
        asked = self._transaction
        if asked is None or now < asked.timer:
            return
        if now - asked.first >= _PATIENCE:
            self._silence(asked, now)
        else:
            self._transmit(asked, now)

    def take_sends(self):
        sends, self._sends = self._sends, []
        return sends

    def take_results(self):
        results, self._results = self._results, []
        return results

    def stop(self, now):
        """End before the end, without a result."""
        if not self.done:
            self.done = True
            self._transaction = None
            self._sends.append((_FLOW, None, self.registrar))

    # One transaction

    def _ask(self, method, extra, now):
        self._number += 1
        self._odd = None
        branch = binascii.hexlify(self._random(12)).decode()
        aor = "sip:%s@%s" % (sip_client.escaped(self._user), self._domain)
        data = sip_client.request(
            method, self._target(), aor, self._call, self._number, branch, extra
        )
        self._transaction = _Transaction(method, branch, data, now)
        self._transmit(self._transaction, now)

    def _target(self):
        return "sip:%s" % self._domain

    def _transmit(self, asked, now):
        asked.sent += 1
        asked.timer = min(now + asked.gap, asked.first + _PATIENCE)
        asked.gap = min(2 * asked.gap, _T2)
        self.bytes += len(asked.data) + _HEADERS
        self._sends.append((_FLOW, asked.data, self.registrar))

    def _take(self, asked, response, now):
        if asked.rtt is None and asked.sent == 1:
            asked.rtt = now - asked.first
        if response.status < 200:
            asked.provisional = response.status
            asked.timer = min(now + _T2, asked.first + _PATIENCE)
            return
        self._transaction = None
        if asked.method == "OPTIONS":
            self._live(response, asked, now)
        else:
            self._judge(response, asked, now)

    def _silence(self, asked, now):
        self._transaction = None
        where = text(self.registrar)
        sentence = "no answer to %s from %s within %.1f s"
        self._reasons.append(sentence % (asked.method, where, (now - asked.first) / 1000))
        if self._odd is not None:
            self._reasons.append(self._odd)
        if asked.method == "OPTIONS":
            # A provisional answer proves life as well; some registrars ignore OPTIONS.
            self._options["status"] = asked.provisional
            self._options["rtt"] = asked.rtt
            self._begin_register(now)
        else:
            self._end(NO_ANSWER, asked.provisional, None, now)

    # OPTIONS

    def _live(self, response, asked, now):
        agent = response.get("server") or response.get("user-agent")
        self._options = {
            "status": response.status,
            "agent": agent[:100] if agent else None,
            "rtt": asked.rtt,
        }
        self._begin_register(now)

    # REGISTER

    def _begin_register(self, now):
        if self._password is None:
            self._end(
                NOT_ASKED, None, "no password is configured, so the account is not tried", now
            )
        elif self._not_before is not None and now < self._not_before:
            minutes = (self._not_before - now + 59999) // 60000
            sentence = "the password was refused; it is not tried again for another %d min"
            self._end(RESTING, None, sentence % minutes, now)
        else:
            self._ask("REGISTER", [], now)

    def _judge(self, response, asked, now):
        status = response.status
        said = ("%d %s" % (status, response.phrase)).strip()
        if status < 300:
            self._bindings = sip_client.bindings(response)
            self._end(OK, status, None, now)
        elif status < 400:
            contacts = sip_client.bindings(response)
            self._register["contact"] = contacts[0]["contact"] if contacts else None
            where = self._register["contact"] or "nowhere"
            sentence = "the registrar redirects to %s, which is not followed"
            self._end(REDIRECTED, status, sentence % where, now)
        elif status in _CHALLENGES:
            self._challenged(response, asked, said, now)
        elif status == 403 and self._answered:
            self._wrong_password(status, said, now)
        else:
            self._end(REFUSED, status, "the registrar refuses REGISTER: %s" % said, now)

    def _challenged(self, response, asked, said, now):
        status = response.status
        offered = digest.challenges(response.all(_CHALLENGES[status][0]))
        chosen = digest.choose(offered)
        # A proxy's challenge and the registrar's are two questions (22.3).
        if status in self._answered:
            # Kamailio with one_time_nonce or nonce_count refuses a repeated request, whose first
            # answer was lost, without a word of stale: that says nothing of the password.
            if chosen is None or not (chosen.stale or asked.sent > 1):
                self._wrong_password(status, said, now)
                return
            self._renewed += 1
        if chosen is None:
            names = "; ".join([str(one) for one in offered])[:100] or "none"
            sentence = "the registrar's challenge cannot be answered here, it offers: %s"
            self._end(UNSUPPORTED, status, sentence % names, now)
        elif self._renewed > _RENEWED:
            sentence = "the registrar wanted another nonce %d times"
            self._end(ENDLESS, status, sentence % self._renewed, now)
        else:
            self._answered[status] = [chosen, 0]
            self._register["algorithm"] = chosen.algorithm
            self._ask("REGISTER", self._credentials(), now)

    def _credentials(self):
        lines = []
        for status in sorted(self._answered):
            entry = self._answered[status]
            entry[1] += 1
            cnonce = binascii.hexlify(self._random(8)).decode()
            value = digest.authorization(
                *(entry[0], "REGISTER", self._target(), self._user, self._password),
                *(cnonce, entry[1]),
            )
            lines.append("%s: %s" % (_CHALLENGES[status][1], value))
        return lines

    def _wrong_password(self, status, said, now):
        self.failed = True
        sentence = "the registrar does not accept user and password: %s"
        self._end(WRONG_PASSWORD, status, sentence % said, now)

    def _end(self, state, status, reason, now):
        self._register["state"] = state
        self._register["status"] = status
        if reason is not None:
            self._reasons.append(reason)
        self._results.append(
            {
                "registrar": list(self.registrar),
                "options": self._options,
                "register": self._register,
                "bindings": self._bindings,
                "reason": "; ".join(self._reasons)[:400] or None,
                "seconds": (now - self._started) / 1000,
                "bytes": self.bytes,
            }
        )
        self.stop(now)

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

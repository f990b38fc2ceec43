"""How large a datagram passes at the SIP port, each way, and whether fragments do.

"Registers, but calls fail" is often size: an INVITE with SDP over the MTU goes in fragments, which
some routers drop. Requests with PADDING (RFC 5780, 7.6) grow from 400 to 1,900 bytes; the answer
has the same padding, so it asks the way back, and the reflector's copies tell a request that did
not arrive from an answer that did not.
"""

import hashlib

from natwatch.probes.collecting import Collecting
from natwatch.wire import stun

SIZES = (400, 800, 1200, 1400, 1472, 1600, 1752, 1900)  # bytes of UDP payload
WHOLE = 1472  # the most that goes in one piece: Ethernet's 1,500 less the headers of IPv4 and UDP
_SMALL = (400, 800, 1200, 1400)  # go in one piece also where PPPoE or a tunnel takes some bytes
_TRIES = 3  # of each size: 24 datagrams; the reflector keeps 32 copies
_GAP = 60  # ms between two datagrams


class Size(Collecting):
    """One result: {"out", "in": largest payload that passed, bytes, or None; "fragments_out",
    "fragments_in": True, False or None (unknown); "reason": None or why nothing is known}."""

    def __init__(self, session):
        Collecting.__init__(self, session, (session.sip_port,), _GAP)
        self._asked = {}  # transaction id -> payload of the request
        self._answered = []  # (payload of the request, payload of its answer)

    def _plan(self, paths):
        return [(paths[0], size) for size in SIZES * _TRIES]

    def _datagram(self, path, size):
        txid = self.session.random(12)
        self._asked[txid] = size
        # 20 bytes of header and 4 of the attribute's own.
        return stun.build(stun.REQUEST, txid, [(stun.PADDING, bytes(size - 24))], fingerprint=False)

    def _heard(self, path, data, now):
        size = self._asked.get(bytes(data[8:20]))
        if size is not None and data[:2] == b"\x01\x01":  # a success answer
            # The same again, which anybody on the way can send for ever, says nothing more.
            if (size, len(data)) not in self._answered:
                self._answered.append((size, len(data)))

    def _collected(self, now):
        path = self.paths[0]
        digests = dict([(hashlib.sha256(data).digest(), size) for size, data in path.sent])
        arrived = [digests[copy.digest] for copy in path.copies if copy.digest in digests]
        result = judge(arrived, self._answered if self.reason is None else [])
        result["reason"] = self.reason
        self._end(result)


def judge(arrived, answered):
    """The result, from payloads that *arrived* and [(payload, payload of its answer)]."""
    came = [answer for _, answer in answered]
    sizes = set(arrived) | set([size for size, _ in answered])  # an answer proves its request
    out = len([size for size in sizes if size > WHOLE])
    small = not set(_SMALL).difference(sizes)
    # Of each larger size three tries were made. Silence of all of them counts only where every
    # smaller size passed; so it does on the way back, where the requests did arrive.
    fragments_out = True if out else (False if small else None)
    back = len([answer for answer in came if answer > WHOLE])
    whole = set([size for size, answer in answered if answer <= WHOLE])
    tried = [size for size in arrived if size >= WHOLE]
    fragments_in = True if back else (False if len(tried) >= 3 and len(whole) == 4 else None)
    return {
        "out": max(sizes) if sizes else None,
        "in": max(came) if came else None,
        "fragments_out": fragments_out,
        "fragments_in": fragments_in,
    }

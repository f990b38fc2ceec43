"""The routers' addresses on the way, by ICMP: python -m natwatch.port.hops ADDRESS PORT SOURCE

The program prints one line of JSON, as verdict() makes it. It sends STUN requests with a TTL of 1
to 8; a router where one ends says so by ICMP (RFC 792, time exceeded), and Linux keeps who said it
in the socket's error queue (ip(7), IP_RECVERR), for which no privilege is needed. It waits up to
2 s, so it runs in a child process. MicroPython can neither start one nor read that queue.
"""

import json
import os
import struct
import sys

from natwatch.port import child
from natwatch.wire import stun
from natwatch.wire.ip import ip_text

DEADLINE = 6000  # ms
_FARTHEST = 8  # TTL
_WAIT = 2.0  # s for everything
_REPEAT = 0.7  # s until those that were not answered are sent again
_RECVERR, _ERROR_QUEUE = 11, 0x2000  # IP_RECVERR, MSG_ERRQUEUE of Linux
# struct sock_extended_err: errno, origin, type, code, …; then a sockaddr_in of who said it.
_ERROR = "=IBBBBII"
_ICMP, _TIME_EXCEEDED = 2, 11


def verdict(state, hops=(), reason=None):
    """``state``: "answered", "silent", "unsupported" or "failed"; ``hops``: [{"hop": counted from
    the probe, "address": or None}, …], up to the last one that answered or stands before the far
    end; ``reason``: a sentence or None."""
    return {"state": state, "hops": list(hops), "reason": reason}


def start(far_end, source, now):
    """A Child that looks for the routers between *source* and *far_end*, (address, port).

    None: unsupported here. *source* is None where the machine's own address is unknown.
    """
    if not sys.platform.startswith("linux") or not child.supported():
        return None
    if source is None:
        return child.NoChild("no route to %s" % far_end[0])
    argv = child.python("natwatch.port.hops", far_end[0], str(far_end[1]), source)
    return child.start(argv, now + DEADLINE, "the search for hops")


def found_by(polled):
    """The verdict in what a Child's poll() gave."""
    return verdict("failed", reason=polled["error"]) if "error" in polled else polled


def look(far_end, source):
    """The verdict on the way from *source* to *far_end*."""
    try:
        addresses, reached = _listen(far_end, source)
    except OSError as error:
        return verdict("failed", reason="requests cannot be sent: error %s" % error.errno)
    last = reached - 1 if reached is not None else max(addresses or [0])
    hops = [{"hop": hop, "address": addresses.get(hop)} for hop in range(1, last + 1)]
    if not [entry for entry in hops if entry["address"] is not None]:
        return verdict("silent", hops, "no router on the way tells of itself by ICMP")
    return verdict("answered", hops)


def _listen(far_end, source):
    """({hop: address}, the smallest TTL with which the far end was reached or None).

    Each TTL has a socket of its own: some routers quote too little to tell the requests apart.
    """
    import select
    import socket
    import time

    flows = {}
    addresses, reached = {}, None
    poll = select.poll()
    begun = time.monotonic()
    try:
        for hop in range(1, _FARTHEST + 1):
            flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            flows[flow.fileno()] = (hop, flow)
            flow.bind((source, 0))
            flow.setblocking(False)
            flow.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop)
            flow.setsockopt(socket.IPPROTO_IP, _RECVERR, 1)
            flow.sendto(_request(), far_end)
            poll.register(flow.fileno(), select.POLLIN)
        repeated = False
        while len(addresses) < (_FARTHEST if reached is None else reached - 1):
            passed = time.monotonic() - begun
            if passed >= _WAIT:
                break
            if passed >= _REPEAT and not repeated:
                repeated = True
                _repeat(flows, addresses, reached, far_end)
            until = _WAIT if repeated else _REPEAT
            for descriptor, event in poll.poll(max(1, int(1000 * (until - passed)))):
                hop, flow = flows[descriptor]
                if event & select.POLLERR:
                    address = _offender(flow)
                    if address is not None:
                        addresses.setdefault(hop, address)
                elif event & select.POLLIN and _answered(flow, far_end):
                    reached = hop if reached is None else min(reached, hop)
        return addresses, reached
    finally:
        for _, flow in flows.values():
            flow.close()


def _request():
    return stun.build(stun.REQUEST, os.urandom(12), [])


def _repeat(flows, addresses, reached, far_end):
    for hop, flow in flows.values():
        if hop not in addresses and (reached is None or hop < reached):
            try:
                flow.sendto(_request(), far_end)
            except OSError:  # the error of the first one, which the poll has not told yet
                pass


def _offender(flow):
    """Who said that the TTL was used up; None: the error was another one."""
    try:
        _, messages, _, _ = flow.recvmsg(1, 512, _ERROR_QUEUE)
    except OSError:
        return None
    return offender([data for level, kind, data in messages if (level, kind) == (0, _RECVERR)])


def offender(errors):
    """The address in *errors*, [bytes of sock_extended_err and sockaddr_in], that an ICMP time
    exceeded came from; None if there is none."""
    size = struct.calcsize(_ERROR)
    for data in errors:
        if len(data) < size + 8:
            continue
        _, origin, kind, _, _, _, _ = struct.unpack(_ERROR, data[:size])
        if (origin, kind) == (_ICMP, _TIME_EXCEEDED):
            return ip_text(data[size + 4 : size + 8])
    return None


def _answered(flow, far_end):
    """Whether the far end itself answered; whatever else came is thrown away."""
    try:
        return flow.recvfrom(2048)[1] == far_end
    except OSError:
        return False


def main(arguments):
    child.end_within(DEADLINE)
    address, number, source = arguments
    print(json.dumps(look((address, int(number)), source)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a probe that is the router itself knows of that router: configured, beside measured.

``configured`` is as port.kernel gives it, None where the probe is no router.
"""

_APART = 1.0  # s by which a timer must lie outside of a bracket: pushes and clocks take their time


def is_router(measured):
    """Whether the probe is the router: then what it measured is the router's own line."""
    return measured["configured"] is not None and measured["configured"]["router"] is True


def lifetimes(measured):
    """Those of the measured lifetimes that a phone behind this router may have: all, where the
    probe is no router.

    One that outlived the router's own timer is the probe's alone: what comes to the router itself
    needs no binding where its firewall lets everything in. A phone's packets need it.
    """
    known = measured["lifetimes"]
    timers = measured["configured"]["timers"] if is_router(measured) else None
    if timers is None:
        return known
    return {key: known[key] for key in known if not _outlived(known[key], timers.get(key[1]))}


def judge(measured, ports, bracket):
    """[(code, evidence), …] for diagnosis.findings.

    *ports*: numbers of the SIP ports in use; *bracket*: (lo, hi) in s of udp/sip replied, or None.
    """
    if not is_router(measured):
        return []
    configured = measured["configured"]
    found = []
    timer = (configured["timers"] or {"replied": None})["replied"]
    if timer is not None and bracket is not None:
        evidence = {"state": "replied", "configured": timer, "measured": list(bracket)}
        if bracket[0] > timer + _APART:
            found.append(("router.timer.outlived", evidence))
        elif bracket[1] is not None and bracket[1] < timer - _APART:
            found.append(("router.timer.differs", evidence))
    if "sip" in (configured["helpers"] or []):
        found.append(("router.helper.sip", {}))
    for port in ports:
        leading = [one for one in configured["forwards"] or [] if covers(one, port)]
        if leading:  # of several the first rule counts
            to, to_port = leading[0]["to"], leading[0]["to_port"] or port
            found.append(("router.forward", {"port": port, "to": to, "to_port": to_port}))
    return found


def _outlived(lifetime, timer):
    known = None not in (lifetime, timer) and lifetime["lo"] is not None
    return known and lifetime["lo"] > timer + _APART


def covers(forward, port):
    """Whether the *forward*, one of port.kernel's, leads *port* somewhere."""
    low, high = forward["ports"]
    return low <= port <= high

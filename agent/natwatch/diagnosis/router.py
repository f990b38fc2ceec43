"""What a probe that is the router itself knows of that router: configured, beside measured.

``configured`` is as port.kernel gives it, None where the probe is no router.
"""

_APART = 1.0  # s by which a timer must lie outside of a bracket: pushes and clocks take their time


def is_router(measured):
    """Whether the probe is the router: then what it measured is the router's own line."""
    return measured["configured"] is not None and measured["configured"]["router"] is True


def judge(measured, ports, bracket):
    """[(code, evidence), …] for diagnosis.findings.

    *ports*: numbers of the SIP ports in use; *bracket*: (lo, hi) in s of udp/sip replied, or None.
    """
    if not is_router(measured):
        return []
    configured = measured["configured"]
    found = []
    timer = (configured["timers"] or {"replied": None})["replied"]
    if differs(timer, bracket):
        evidence = {"state": "replied", "configured": timer, "measured": list(bracket)}
        found.append(("router.timer.differs", evidence))
    if "sip" in (configured["helpers"] or []):
        found.append(("router.helper.sip", {}))
    for port in ports:
        leading = [one for one in configured["forwards"] or [] if covers(one, port)]
        if leading:  # of several the first rule counts
            to, to_port = leading[0]["to"], leading[0]["to_port"] or port
            found.append(("router.forward", {"port": port, "to": to, "to_port": to_port}))
    return found


def differs(timer, bracket):
    """Whether a *timer* of so many s is not what was measured as *bracket*; unknown: False."""
    if timer is None or bracket is None:
        return False
    lo, hi = bracket
    return lo > timer + _APART or (hi is not None and hi < timer - _APART)


def covers(forward, port):
    """Whether the *forward*, one of port.kernel's, leads *port* somewhere."""
    low, high = forward["ports"]
    return low <= port <= high

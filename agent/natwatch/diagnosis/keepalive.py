"""Which keepalive interval to set: a pure function of measured lifetimes, in seconds.

The first gap of a phone follows its REGISTER and the 200, two packets within 2 s, so a keepalive
must come within the lifetime of state ``replied``; that of ``stream`` never decides. Keepalives
that nobody answers must also come within the lifetime of ``oneway``: once a binding has died, they
alone make the next one. Tried on timers of 4 s (replied) and 16 s (stream): with an unanswered
keepalive every 8 s no push arrived, with one every 3 s all did.
"""

GOOD, THIN, NONE, UNKNOWN = "good", "thin", "none", "unknown"
REPLIED, ONEWAY = "replied", "oneway"
KEEP, SHORTEN = "keep", "shorten"

# What else can be done, as codes of the operator's requirements.
REGISTER_EXPIRES = "R7c"  # re-register before the binding dies
FORWARDING = "R7d"  # a port forward to the adapter, in each NAT

_SHARE = 0.8  # of the lifetime, where the margin for a lost keepalive cannot be had
_EXPIRES_SHARE = 0.9
_SHORTEST_PING = 5  # s; a registrar that pings all its phones more often is a load on itself


def advise(
    replied, oneway=None, answered=None, extends=None, least=20, most=170, in_use=None,
    register_least=60,
):  # fmt: skip
    """The keepalive interval that the measured lifetimes allow, as a dict.

    *replied* and *oneway* are brackets (lo, hi) in s, or None where not measured; *hi* None means
    that nothing died up to the search limit. *answered* says whether the far end answers the
    adapter's keepalives, *extends* whether packets from outside extend a binding (state
    ``refreshed``); None is unknown. *least* and *most* (s) are the adapter's range, *in_use* (s)
    its present interval. *register_least* (s) is the shortest Register Expires that the registrar
    takes (it refuses less with 423: RFC 3261, 10.3).

    The dict: ``interval_s`` (or None); ``margin``: good (2K + 1 < lo: one lost keepalive is
    survived), thin, none (no interval in the range holds the binding) or unknown; ``bound_by``, the
    state that decides, and ``lo``, its lower edge; ``reason``, a sentence; ``steps``, codes of what
    else to do; ``in_use``, and of it ``holds`` (true, false, None) and ``change``: keep, shorten or
    None. Only where they apply: ``server_ping_s`` and ``register_expires_s``.
    """
    advice = {"interval_s": None, "margin": UNKNOWN, "bound_by": None, "lo": None, "steps": []}
    missing = _missing(replied, oneway, answered)
    if missing is not None:
        advice["reason"] = missing
        return _compared(advice, None, None, in_use)
    bounds = [(REPLIED, replied)]
    if oneway is not None and answered is not True:
        bounds.append((ONEWAY, oneway))
    lo = min([bracket[0] for _, bracket in bounds])
    ends = [bracket[1] for _, bracket in bounds if bracket[1] is not None]
    bound_by = [state for state, bracket in bounds if bracket[0] == lo][0]
    advice["bound_by"] = bound_by
    advice["lo"] = lo
    interval = largest(lo, least, most)
    state = "a binding in state %s survives %s s of silence" % (bound_by, _seconds(lo))
    if interval is not None:
        advice["interval_s"] = interval
        advice["margin"] = GOOD
        text = "Send a keepalive every %d s: %s, so even one lost keepalive is survived."
        advice["reason"] = text % (interval, state)
    elif lo > least:
        interval = min(most, max(least, int(_SHARE * lo)))
        advice["interval_s"] = interval
        advice["margin"] = THIN
        text = "Send a keepalive every %d s: %s. The margin is thin: one lost keepalive loses it."
        advice["reason"] = text % (interval, state)
    else:
        advice["margin"] = NONE
        text = "No keepalive interval from %d to %d s holds the binding: %s, no more."
        advice["reason"] = text % (least, most, state)
        _other_steps(advice, replied[0], register_least)
    if extends is True and replied[0] > _SHORTEST_PING:
        advice["server_ping_s"] = int(_SHARE * replied[0])
        text = " Packets from outside extend the binding: a ping by the operator's server every"
        advice["reason"] += (
            text
            + " %d s holds it without any change at the customer's." % (advice["server_ping_s"])
        )
    return _compared(advice, lo, min(ends) if ends else None, in_use)


def largest(lo, least, most):
    """The largest integer K of *least*…*most* with 2K + 1 < *lo*, or None."""
    interval = min(most, int((lo - 1) / 2))
    if 2 * interval + 1 >= lo:  # lo - 1 is even: the edge itself does not hold
        interval -= 1
    return interval if interval >= least else None


def _missing(replied, oneway, answered):
    """Why there is no advice, or None."""
    if replied is None:
        return "No advice: the lifetime in state replied is not measured."
    if answered is False and oneway is None:
        return "No advice: keepalives go unanswered, and state oneway is not measured."
    return None


def _other_steps(advice, lo, register_least):
    """What is left where no keepalive holds the binding; *lo* (s) is that of ``replied``."""
    expires = int(_EXPIRES_SHARE * lo)
    if expires >= register_least:
        advice["steps"].append(REGISTER_EXPIRES)
        advice["register_expires_s"] = expires
        advice["reason"] += " Set Register Expires to %d s" % expires
    else:
        text = " Register Expires would have to be below %d s, which registrars refuse. Set up"
        advice["reason"] += text % register_least
    advice["steps"].append(FORWARDING)
    joint = ", or set up" if REGISTER_EXPIRES in advice["steps"] else ""
    advice["reason"] += (
        joint + " port forwarding to the adapter; behind two NATs the router alone is not enough."
    )


def _compared(advice, lo, hi, in_use):
    """*advice*, with what it means for the interval that is in use now."""
    advice["in_use"] = in_use
    advice["holds"] = None
    advice["change"] = None
    if in_use is None or lo is None:
        return advice
    if in_use < lo:
        advice["holds"] = True
    elif hi is not None and in_use >= hi:
        advice["holds"] = False
    if advice["interval_s"] is not None:
        advice["change"] = KEEP if in_use <= advice["interval_s"] else SHORTEN
    elif advice["holds"]:
        advice["change"] = KEEP
    return advice


def _seconds(value):
    return ("%.1f" % value).rstrip("0").rstrip(".")

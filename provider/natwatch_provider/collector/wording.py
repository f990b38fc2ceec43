"""The words of an alert: the old value, the new one, and what it means for a phone.

The line is read by people and by programs: its order is fixed, its values have no spaces.
"""

import json
from typing import Any

from natwatch.diagnosis.attribution import name
from natwatch_provider.store.alerts import Evidence
from natwatch_provider.store.keys import Key

from .detect import Change

_PORTS = {
    "udp/sip": "the SIP port",
    "udp/stun": "the STUN port",
    "udp/rtp": "a media port",
}


def describe(
    worst: Evidence, everything: list[Evidence], keepalive: float, box: dict[str, Any] | None
) -> dict[str, Any]:
    """The columns kind, text, keepalive_s and box of an alert with *everything* as evidence.

    *box*: the one that it is attributed to (natwatch.diagnosis.attribution), None: not known.
    """
    shrunk = any(one.rule == "relative" for one in everything)
    text = _meaning(worst, keepalive)
    return {
        "kind": "shrink" if shrunk else "short",
        "text": text if box is None else f"{text}; {_whose(box)}",
        "keepalive_s": keepalive,
        "box": None if box is None else json.dumps(box),
    }


def line(number: int, event: str, device: str, worst: Evidence, what: dict[str, Any]) -> str:
    """``ALERT 1 RAISED critical shrink device=… key=… old=… new=…: what it means``."""
    return (
        f"ALERT {number} {event} {worst.severity} {what['kind']} device={device} "
        f"key={_key(worst.key)} old={seconds(*worst.old)} new={seconds(*worst.new)}: "
        f"{what['text']}"
    )


def cleared(number: int, device: str, key: Key, change: Change) -> str:
    """``ALERT 1 CLEARED device=… key=… now=…: what it means``."""
    return (
        f"ALERT {number} CLEARED device={device} key={_key(key)} "
        f"now={seconds(change.new.lo, change.new.hi)}: {_good_again(key)}"
    )


def tenths(low: float) -> float:
    """*low* with one decimal and never more than it is: the silence that was waited for is not
    exact to the millisecond."""
    return int(low * 10 + 1e-6) / 10


def seconds(low: float | None, high: float | None) -> str:
    """A bracket as ``39.6-40.4s``, ``>600s`` where nothing was found dead, or ``unknown``."""
    if low is None:
        return "unknown"
    return f">{tenths(low):g}s" if high is None else f"{low:.1f}-{high:.1f}s"


def _meaning(worst: Evidence, keepalive: float) -> str:
    low, high = worst.new[0] or 0.0, worst.new[1]
    if worst.rule == "short":
        return (
            f"the NAT forgets the phone after {seconds(low, high)} of silence, sooner than its "
            f"keepalive every {keepalive:g}s; between two keepalives incoming calls do not arrive"
        )
    if worst.rule == "thin":
        return (
            f"the phone's keepalive every {keepalive:g}s still holds the binding, with a margin "
            "of under a quarter; one that comes late or is lost costs incoming calls"
        )
    if worst.key.state == "refreshed":
        return (
            f"a binding to {_PORTS[worst.key.port_class]} that both sides have used is forgotten "
            f"{low:.0f}s after the last packet that refreshed it"
        )
    if worst.key.port_class == "udp/rtp":
        return (
            f"a phone that sends no sound for longer than {low:.0f}s of a call (on hold, silence "
            "suppressed) no longer hears the other side"
        )
    if worst.key.port_class == "udp/stun":
        return (
            f"a binding to {_PORTS['udp/stun']} is forgotten after {low:.0f}s of silence; what "
            "the phone keeps open there must be refreshed sooner"
        )
    held = f"; one every {keepalive:g}s still holds the binding" if low >= keepalive else ""
    unanswered = " goes unanswered and" if worst.key.state == "oneway" else ""
    return (
        f"a phone whose keepalive{unanswered} is longer than {low:.0f}s loses incoming calls "
        f"between two keepalives{held}"
    )


def _whose(box: dict[str, Any]) -> str:
    """``it is the customer's router (hop 1, ACME X1) that forgets sooner: …``."""
    now = seconds(*box["now"])
    if box["was"] is None:
        text = f"the shortest is now {name(box)}: {now}"
    else:
        text = f"it is {name(box)} that forgets sooner: {seconds(*box['was'])} before, {now} now"
    for one in box["others"]:
        text += f"; {name(one)} keeps {seconds(*one['keeps'])}"
    return text


def _good_again(key: Key) -> str:
    if key.port_class == "udp/sip" and key.state != "refreshed":
        return "the NAT keeps the phone's binding long enough again; incoming calls arrive"
    return f"the NAT keeps bindings to {_PORTS[key.port_class]} as long as before again"


def _key(key: Key) -> str:
    return f"{key.port_class},{key.state}"

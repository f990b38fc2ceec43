"""Digest authentication as a SIP client does it: RFC 3261, section 22; RFC 7616; RFC 8760.

Algorithms MD5 and SHA-256, with qop "auth" or, as in RFC 2069, none. Some builds of MicroPython
have no md5: a challenge that allows nothing else cannot be answered there.
"""

import binascii
import hashlib

from natwatch.wire.sip_client import split, unquoted


def _available(name):
    """hashlib's function *name*, None where there is none or where it may not be used."""
    function = getattr(hashlib, name, None)
    try:
        return None if function is None or not function(b"") else function
    except ValueError:  # a system that allows approved algorithms only
        return None


PREFERRED = ("SHA-256", "MD5")  # RFC 8760, 2.1: the stronger one, wherever the list has it
HASHES = {"SHA-256": _available("sha256"), "MD5": _available("md5")}


class Challenge:
    """One challenge. *scheme* in lower case; *fields* {lower-case name: value without quotes}."""

    def __init__(self, scheme, fields):
        self.scheme = scheme
        self.fields = fields
        self.algorithm = fields.get("algorithm", "MD5").upper()
        self.stale = fields.get("stale", "").lower() == "true"
        offered = [one.strip().lower() for one in fields.get("qop", "").split(",") if one.strip()]
        self.qop = "auth" if "auth" in offered else None
        self._possible = not offered or self.qop is not None

    @property
    def answerable(self):
        """Whether a client that knows user and password can answer it here."""
        known = "realm" in self.fields and "nonce" in self.fields
        usable = HASHES.get(self.algorithm) is not None
        return self.scheme == "digest" and known and usable and self._possible

    def __str__(self):
        text = "%s %s" % (self.scheme, self.algorithm)
        return text + " qop=%s" % self.fields["qop"] if "qop" in self.fields else text


def challenges(values: list) -> list:
    """The Challenges in *values* of WWW-Authenticate or Proxy-Authenticate, in order.

    RFC 3261 (7.3.1) forbids several of them in one header with commas between, but they are met.
    """
    found = []  # (scheme, fields)
    for value in values:
        for part in split(value, ","):
            name, equals, text = part.strip().partition("=")
            scheme, blank, first = name.strip().partition(" ")
            if blank or not equals:
                found.append((scheme.lower(), {}))
                name = first
            if found and equals:
                found[-1][1].setdefault(name.strip().lower(), unquoted(text.strip()))
    return [Challenge(scheme, fields) for scheme, fields in found if scheme]


def choose(offered: list) -> "Challenge | None":
    """The one of *offered* to answer, None if none can be."""
    for algorithm in PREFERRED:
        for challenge in offered:
            if challenge.algorithm == algorithm and challenge.answerable:
                return challenge
    return None


def authorization(
    challenge: Challenge,
    method: str,
    uri: str,
    user: str,
    password: str,
    cnonce: str,
    count: int,
) -> str:
    """The value of Authorization or Proxy-Authorization for an answerable *challenge*.

    *count* is how often its nonce was used, this time included.
    """
    fields = challenge.fields
    secret = _hash(challenge, "%s:%s:%s" % (user, fields["realm"], password))
    asked = _hash(challenge, "%s:%s" % (method, uri))
    used = "%08x" % count
    between = [fields["nonce"]]
    if challenge.qop is not None:
        between += [used, cnonce, challenge.qop]
    proof = _hash(challenge, ":".join([secret] + between + [asked]))
    quoted = [("username", _escaped(user)), ("realm", fields["realm"]), ("nonce", fields["nonce"])]
    quoted += [("uri", uri), ("response", proof)]
    if "opaque" in fields:
        quoted.append(("opaque", fields["opaque"]))
    if challenge.qop is not None:
        quoted.append(("cnonce", cnonce))
    parts = ['%s="%s"' % pair for pair in quoted]
    if "algorithm" in fields:
        parts.append("algorithm=%s" % fields["algorithm"])
    if challenge.qop is not None:
        parts += ["qop=%s" % challenge.qop, "nc=%s" % used]
    return "Digest " + ", ".join(parts)


def _escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _hash(challenge, text):
    return binascii.hexlify(HASHES[challenge.algorithm](text.encode()).digest()).decode()

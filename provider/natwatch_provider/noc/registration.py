"""Is a phone registered, from where, until when: the registrar's word beside the probe's."""

import time
from dataclasses import asdict
from typing import Any, TextIO

from sqlalchemy import Connection

from natwatch.diagnosis.service import registered
from natwatch_provider.registrar.kamailio import Kamailio
from natwatch_provider.store import overview
from natwatch_provider.store.keys import context_of

from .tables import age, moment, table

Found = dict[str, Any]

_LONGEST = 100  # characters of a phone's own words
HERE, NOT_HERE, UNKNOWN = 0, 1, 3  # exit codes; 2: wrong arguments


def read(connection: Connection, device: str, registrar: Kamailio, user: str) -> Found:
    """The registrations of *user* beside the public address that *device* has last reported.

    ``here``: whether one was made from that address; None where that cannot be told. Raises
    RegistrarError.
    """
    last = overview.public_address(connection, device)
    bindings = [asdict(one) for one in registrar.bindings(user)]
    public = None if last is None else last["public"]
    # The rule of the device's own check, so that both say the same of the same.
    measured = {
        "registration": {"bindings": bindings},
        "addressing": {"mapped": public},
    }
    return {
        "device": device,
        "user": user,
        "public": public,
        "public_reported": None if last is None else last["time"],
        "registered": bool(bindings),
        "here": registered(measured),
        "asked": time.time(),
        "bindings": bindings,
    }


def code(found: Found) -> int:
    """The command's exit code for it."""
    return {True: HERE, False: NOT_HERE, None: UNKNOWN}[found["here"]]


def show(found: Found, now: float, out: TextIO) -> None:
    print(_verdict(found), file=out)
    if found["public"] is None:
        print(f"{found['device']} has not reported its public address yet", file=out)
    else:
        old = age(found["public_reported"], now)
        print(f"{found['device']}'s public address: {found['public']}, {old} ago", file=out)
    if not found["bindings"]:
        return
    print(file=out)
    rows = [
        [
            _from(one),
            "never" if one["expires"] is None else moment(found["asked"] + one["expires"]),
            "-" if one["expires"] is None else f"{one['expires']} s",
            _plain(one["user_agent"] or "-"),
            _plain(one["contact"]),
        ]
        for one in found["bindings"]
    ]
    table(["FROM", "UNTIL", "LEFT", "PHONE", "CONTACT"], rows, out)


def _verdict(found: Found) -> str:
    user = found["user"]
    if not found["registered"]:
        return f"NOT REGISTERED: the registrar holds nothing for {user}; no call can reach it"
    if found["here"]:
        return f"REGISTERED: {user}, from the probe's public address"
    if found["here"] is None:
        return f"REGISTERED: {user}, but whether from the probe's line cannot be told"
    if any(_near(one, found["public"]) for one in found["bindings"]):
        return (
            f"REGISTERED ELSEWHERE: {user}, from a neighbour of the probe's public address, as "
            "behind a carrier's NAT that has several"
        )
    return f"REGISTERED ELSEWHERE: {user}, not from the probe's public address"


def _near(binding: Found, public: str) -> bool:
    seen = binding["received"] or binding["address"]
    return context_of(None, seen) == context_of(None, public)


def _from(binding: Found) -> str:
    if binding["received"] is not None:
        return f"{binding['received']}:{binding['received_port']}"
    return f"{binding['address']} (by its contact)" if binding["address"] else "unknown"


def _plain(text: str) -> str:
    """*text* of a phone, without what would move the reader's cursor; the start of a long one,
    since each row of the table is filled up to the longest."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return "".join(character if character.isprintable() else "?" for character in text)

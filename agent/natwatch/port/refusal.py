"""Remembers for an hour that a registrar refused the account's password.

Who goes on trying a wrong password gets the customer's address banned, and the phone with it. So
the refusal stands in a file, and a restart does not forget it; a corrected password is tried at
once.
"""

import binascii
import hashlib
import json
import os

from natwatch.port import platform

HOUR = 3600  # seconds


class Refusal:
    """Kept in the file *path*, as a rule next to the configuration that holds the account.

    *seconds()* is the wall clock, right or wrong. Within a process the monotonic clock counts, so
    that a wall clock that jumps neither shortens nor lengthens the hour. *account* as in
    probes.registration; *now* is ms, monotonic.
    """

    def __init__(self, path, seconds=platform.seconds):
        self._path = path
        self._seconds = seconds
        self._mark = None  # of the account that was refused
        self._until = None  # ms

    def remember(self, account, now):
        """The registrar has just refused *account*."""
        self._mark = mark(account)
        self._until = now + HOUR * 1000
        self._write(int(self._seconds()))

    def not_before(self, account, now):
        """When (ms) *account* may be tried again; None: at once."""
        if self._until is not None and now >= self._until:
            self._forget()
        if self._until is None:
            self._read(now)
        return self._until if self._mark == mark(account) else None

    def _read(self, now):
        try:
            with open(self._path) as source:
                kept = json.loads(source.read(1000))
            refused, account = kept["refused"], kept["account"]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return
        if not isinstance(refused, int) or not isinstance(account, str):
            return
        passed = int(self._seconds()) - refused
        if passed >= HOUR:
            return
        self._mark = account
        if passed < 0:
            # The clock was set back. The hour begins again here, and in the file: it would last
            # until the clock comes to that day once more.
            passed = 0
            self._write(int(self._seconds()))
        self._until = now + (HOUR - passed) * 1000

    def _write(self, refused):
        """Whole and renamed. Where that cannot be, this process remembers it all the same."""
        try:
            with open(self._path + ".new", "w") as target:
                target.write(json.dumps({"refused": refused, "account": self._mark}))
            os.rename(self._path + ".new", self._path)
        except OSError:
            pass

    def _forget(self):
        self._mark = self._until = None
        try:
            os.remove(self._path)
        except OSError:
            pass


def mark(account):
    """What tells a corrected account from the refused one.

    Sixteen bits of a SHA-256: enough for that, and no use to whoever would guess the password
    from the file.
    """
    whole = "\0".join([account["registrar"], account["user"], account["password"] or ""])
    return binascii.hexlify(hashlib.sha256(whole.encode()).digest()[:2]).decode()

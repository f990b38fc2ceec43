"""Kamailio's location table, by JSON-RPC over HTTP (its modules usrloc, jsonrpcs and xhttp).

It is only ever read: ul.lookup of one address of record. What comes back is held to be foreign:
phones put into it what they like, and the URL may lead to something else.
"""

import contextlib
import http.client
import json
import queue
import re
import secrets
import socket
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TABLE = "location"  # what Kamailio's own configuration saves registrations in
PATH = "/RPC"  # where the URL names none
_LIMIT = 1 << 20  # bytes of an answer; a contact has less than one thousand
_MOST_EXPIRES = 2**32 - 1  # seconds; RFC 3261, 20.19
_GONE = ("expired", "deleted")  # of a contact that is about to be removed
# That nobody is registered is an error to Kamailio, and all its errors are 500. The second: what
# was registered has expired, and is not swept yet.
_ABSENT = ("AOR not found", "AOR has no contacts")

# sip:user@host:port;parameters, with an IPv6 host in brackets (RFC 3261, 25.1).
_URI = re.compile(
    r"sips?:(?:[^@>]*@)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?:[;?].*)?",
    re.IGNORECASE,
)


class RegistrarError(Exception):
    """The registrar cannot be asked: what was expected and what was found, in one sentence."""


@dataclass(frozen=True)
class Binding:
    """One registration of *aor*.

    *contact* is the phone's own word, a URI, *address* the host in it. *received* and
    *received_port* are where its REGISTER came from, where the registrar saw that this differs;
    None otherwise. *expires*: seconds from now, None: never.
    """

    aor: str
    contact: str
    address: str | None
    received: str | None
    received_port: int | None
    user_agent: str | None
    expires: int | None


class Kamailio:
    """The Kamailio whose xhttp module answers at *url*; each question takes *seconds* at most."""

    def __init__(self, url: str, seconds: float = 5.0) -> None:
        """ValueError, in one sentence, if *url* is none of ``http[s]://HOST[:PORT][/PATH]``."""
        self.url = url
        self.seconds = seconds
        wrong = ValueError(f"expected http://HOST:PORT/PATH, found {url!r}")
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise wrong from error
        if parts.scheme not in ("http", "https") or not self._host or "@" in parts.netloc:
            raise wrong
        if not url.isascii() or not url.isprintable() or " " in url:
            raise wrong
        self._secure = parts.scheme == "https"
        self._path = (parts.path or PATH) + (f"?{parts.query}" if parts.query else "")

    def bindings(self, aor: str) -> list[Binding]:
        """The registrations of *aor* (``user`` or ``user@domain``) that hold at this moment.

        Kamailio ignores the domain unless its usrloc has use_domain, and then wants one.
        RegistrarError if it cannot be asked, or answers something else.
        """
        result = self._call("ul.lookup", [TABLE, aor])
        if result is None:
            return []
        contacts = result.get("Contacts") if isinstance(result, dict) else None
        if not isinstance(contacts, list):
            raise self._odd("a list of Contacts", result)
        found = [self._binding(aor, one) for one in contacts]
        return [one for one in found if one is not None]

    def _binding(self, aor: str, one: Any) -> Binding | None:
        """None for one that has ended."""
        contact = one.get("Contact") if isinstance(one, dict) else None
        if not isinstance(contact, dict) or not isinstance(contact.get("Address"), str):
            raise self._odd("a Contact with its Address", one)
        expires = contact.get("Expires")
        if expires in _GONE:
            return None
        if expires == "permanent":
            expires = None
        elif not isinstance(expires, int) or isinstance(expires, bool) or expires > _MOST_EXPIRES:
            raise self._odd("seconds as Expires", expires)
        elif expires <= 0:
            return None
        received, port = _host_and_port(contact.get("Received"))
        agent = contact.get("User-Agent")
        return Binding(
            aor=aor,
            contact=contact["Address"],
            address=_host_and_port(contact["Address"])[0],
            received=received,
            received_port=port,
            user_agent=agent if isinstance(agent, str) and agent else None,
            expires=expires,
        )

    def _call(self, method: str, parameters: list[str]) -> Any:
        """What *method* gives; None where nobody is registered."""
        number = secrets.randbelow(1 << 31)
        question = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": number}
        status, body = self._post(json.dumps(question).encode())
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or "jsonrpc" not in answer:
            raise self._odd("an answer in JSON-RPC", body, f"status {status} and ")
        # Its errors come with HTTP statuses of their own; the JSON says it better.
        error = answer.get("error")
        if isinstance(error, dict):
            message = error.get("message")
            if isinstance(message, str) and message.startswith(_ABSENT):
                return None
            raise self._odd(f"the result of {method}", message, "the error ")
        if answer.get("id") != number or answer.get("result") is None:
            raise self._odd(f"the result of {method}", answer)
        return answer["result"]

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """(status, body) of the answer, in time.

        In a thread, since neither the look-up of a name nor a server that sends a byte now and
        then respects a time limit otherwise.
        """
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        answers: queue.SimpleQueue[tuple[int, bytes] | Exception] = queue.SimpleQueue()
        late = TimeoutError(f"no answer within {self.seconds:g} s")
        connection = kind(self._host, self._port, timeout=self.seconds)

        def ask() -> None:
            try:
                headers = {"Content-Type": "application/json", "Connection": "close"}
                connection.request("POST", self._path, body, headers)
                response = connection.getresponse()
                answers.put((response.status, response.read(_LIMIT + 1)))
            except TimeoutError:
                answers.put(late)
            except (OSError, http.client.HTTPException, ValueError) as error:
                answers.put(error)
            finally:
                connection.close()

        threading.Thread(target=ask, name="ask registrar", daemon=True).start()
        try:
            found = answers.get(timeout=self.seconds)
        except queue.Empty:
            _hang_up(connection)
            found = late
        if isinstance(found, Exception):
            raise self._odd("an answer", _reason(found)) from found
        if len(found[1]) > _LIMIT:
            raise self._odd(f"at most {_LIMIT} bytes", "more")
        return found

    def _odd(self, expected: str, found: Any, prefix: str = "") -> RegistrarError:
        text = ascii(found)
        text = text if len(text) <= 120 else f"{text[:120]}…"
        return RegistrarError(f"registrar {self.url}: expected {expected}, found {prefix}{text}")


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """End the thread that waits for *connection*."""
    held = connection.sock
    if held is not None:
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and error.args:
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__} {error}".strip()


def _host_and_port(uri: Any) -> tuple[str | None, int | None]:
    """Of a SIP URI; (None, None) of anything else, such as Kamailio's ``[not set]``."""
    parsed = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if parsed is None:
        return None, None
    port = int(parsed["port"] or 5060)
    return (parsed["host"].strip("[]"), port) if 0 < port < 65536 else (None, None)

"""A box whose clock is wrong checks certificates by the reflector's time: against real TLS."""

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from natwatch.port.stream import Endpoint, Stream, StreamClosed
from natwatch_provisioning.authority import Authority, Identity

NAME = "broker.test"
DAY = 86400.0


class Server:
    """Shakes hands with whoever comes, one after the other."""

    def __init__(self, identity: Identity) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            connection.settimeout(5)
            try:
                with self._context.wrap_socket(connection, server_side=True) as shaken:
                    shaken.recv(1)
            except OSError:
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


class World:
    """A server whose certificate begins in three days and holds for ten."""

    def __init__(self, folder: Path) -> None:
        self.begin = time.time() + 3 * DAY
        self.authority = Authority.create(folder / "ca", "Test authority")
        self.foreign = Authority.create(folder / "foreign", "Test authority")
        start = datetime.now(UTC) + timedelta(days=3)
        identity = self.authority.issue_server([NAME], folder / "broker", start=start, days=10)
        self.server = Server(identity)

    def outcome(self, told: float | None, authority: Authority, name: str = NAME) -> str:
        """How it ends where the reflector's time is *told*: "" if data may pass."""
        ca = str(authority.certificate)
        endpoint = Endpoint("127.0.0.1", self.server.port, name, ca)
        endpoint.time = lambda: told
        stream = None
        try:
            stream = Stream(endpoint)
            for _ in range(100):
                if stream.progress():
                    return ""
                poll = select.poll()
                poll.register(stream.fileno(), stream.interest())
                poll.poll(100)
        except StreamClosed as error:
            return str(error.args[0])
        finally:
            if stream is not None:
                stream.close()
        return "nothing within 10 s"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.server.close()


def test_the_reflectors_time_stands_in_for_a_clock_that_is_wrong(world: World) -> None:
    for told, expected in (
        (None, "not valid yet: is the clock of this device set?"),
        (world.begin - DAY, "not valid yet, by the reflector's time"),
        (world.begin + DAY, ""),
        (world.begin + 11 * DAY, "has expired, by the reflector's time"),
        (world.begin + 100 * 365 * DAY, "has expired, by the reflector's time"),
    ):
        found = world.outcome(told, world.authority)
        assert found.endswith(expected) and bool(found) == bool(expected), (told, found)


def test_it_stands_in_for_nothing_else(world: World) -> None:
    told = world.begin + DAY
    assert "not from the authority that we trust" in world.outcome(told, world.foreign)
    assert "for another name" in world.outcome(told, world.authority, "other.test")


def test_an_authority_whose_own_certificate_does_not_hold_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.begin + DAY
    real = ssl.SSLContext.get_ca_certs

    def expired(context: ssl.SSLContext) -> list[dict[str, object]]:
        return [{**one, "notAfter": "Jan  1 00:00:00 2020 GMT"} for one in real(context)]  # type: ignore[dict-item]

    monkeypatch.setattr(ssl.SSLContext, "get_ca_certs", expired)
    assert "has expired" in world.outcome(told, world.authority)

    def renewed(context: ssl.SSLContext) -> list[dict[str, object]]:
        return expired(context) + list(real(context))  # type: ignore[arg-type]

    monkeypatch.setattr(ssl.SSLContext, "get_ca_certs", renewed)
    assert world.outcome(told, world.authority) == ""

"""A server on loopback that says what it is told to where a registrar is expected."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

CONTACT: dict[str, Any] = {  # as Kamailio 5.6 tells it
    "Address": "sip:7001-0x55a3df71be90@192.168.1.30:5060",
    "Expires": 58,
    "Q": -1,
    "User-Agent": "baresip v1.0.0 (x86_64/linux)",
    "Received": "sip:203.0.113.9:1024",
    "Path": "[not set]",
    "State": "CS_NEW",
}


class RpcServer:
    """Answers each connection with *answer*: bytes as they are, or the result of the JSON-RPC
    call, with its id. *pause*: seconds between any two bytes of it.
    """

    def __init__(self, answer: Any, pause: float = 0.0) -> None:
        self.answer, self.pause = answer, pause
        self.calls: list[dict[str, Any]] = []
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/RPC"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            length = 0
            while line := lines.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            call = json.loads(lines.read(length))
        self.calls.append(call)
        data = self.answer
        if not isinstance(data, bytes):
            data = http(json.dumps({"jsonrpc": "2.0", "id": call["id"], **data}))
        if not self.pause:
            connection.sendall(data)
            return
        for byte in data:
            connection.sendall(bytes([byte]))
            if self._closed.wait(self.pause):
                return


def http(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    return (head + body).encode()


def result(*contacts: Any) -> dict[str, Any]:
    """What ul.lookup gives for these."""
    return {"result": {"AoR": "7001", "Contacts": [{"Contact": one} for one in contacts]}}


def error(message: Any) -> dict[str, Any]:
    return {"error": {"code": 500, "message": message}}


@contextlib.contextmanager
def serving(answer: Any, pause: float = 0.0) -> Iterator[RpcServer]:
    server = RpcServer(answer, pause)
    try:
        yield server
    finally:
        server.close()

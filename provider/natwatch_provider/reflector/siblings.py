"""How the processes behind the same ports tell one another what only one of them knows.

A datagram goes to the process that its source address selects. A device behind an address pool
may so have its teeth at one process and its control flow at another: where its witnesses go is
announced, and what an audit asks is asked of all (docs/protocol.md).

Each pair of processes has a pair of unnamed Unix sockets, made before they were started; nobody
else can write there. SOCK_SEQPACKET, since a Unix SOCK_DGRAM queue holds 10 messages by default
(net.unix.max_dgram_qlen), and a full queue is bounded by bytes here. Nothing waits: what does not
fit is dropped and counted. A lost question costs an audit 50 ms and an `unseen`, a lost
announcement the witnesses until the next control request.

Messages are JSON lists, of which the first member says what it is:

    ["control", device, tag, local, source]          announce()
    ["ask", request, device, transactions, cancel]   ask()
    ["records", request, records]                    the reply to "ask"
"""

import json
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

from natwatch.wire.stun import Record
from natwatch_provider.reflector.layout import Datagram, Endpoint

if TYPE_CHECKING:
    from natwatch_provider.reflector.core import Reflector

MAX_MESSAGE = 8_192  # bytes; 16 records, the most that one question can be about, take 2 kB
BATCH = 32  # messages read before the ports and the timers get their turn


def links(processes: int) -> list[list[socket.socket]]:
    """For each process its sockets to all the others."""
    ends: list[list[socket.socket]] = [[] for _ in range(processes)]
    for one in range(processes):
        for other in range(one):
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for number, sock in zip((one, other), pair, strict=True):
                sock.setblocking(False)
                ends[number].append(sock)
    return ends


class Siblings:
    """The other processes, as one of them sees them (control.Siblings)."""

    def __init__(self, socks: list[socket.socket]) -> None:
        self.counters: Counter[str] = Counter()
        self._socks = {sock.fileno(): sock for sock in socks}

    @property
    def others(self) -> int:
        """How many there are: so many replies come to each ask()."""
        return len(self._socks)

    def descriptors(self) -> set[int]:
        """What to wait for; receive() takes the readable one."""
        return set(self._socks)

    def announce(self, name: str, tag: bytes, local: Endpoint, source: Endpoint) -> None:
        """Tell them where the witnesses of this device's control flow go."""
        self._tell_all(["control", name, tag.hex(), local, source])

    def ask(self, request_id: int, name: str, txids: list[bytes], cancel: list[bytes]) -> None:
        """Ask them for the records of *txids* and *cancel*, canceling the latter first."""
        self._tell_all(["ask", request_id, name, _hex(txids), _hex(cancel)])

    def receive(self, fd: int, reflector: "Reflector", now: int) -> list[Datagram]:
        """Do what one sibling says at *now* (ms); the datagrams to send because of it."""
        sock = self._socks[fd]
        out: list[Datagram] = []
        for _ in range(BATCH):
            try:
                data = sock.recv(MAX_MESSAGE)
            except OSError:  # nothing more; or it died with messages of ours unread (ECONNRESET)
                break
            if not data:  # it died: the parent is about to end this process as well
                break
            kind, *values = json.loads(data)
            self.counters["sibling_" + kind] += 1
            if kind == "control":
                name, tag, local, source = values
                reflector.learn_control(name, bytes.fromhex(tag), tuple(local), tuple(source), now)
            elif kind == "ask":
                request_id, name, txids, cancel = values
                records = reflector.records(name, _unhex(txids), _unhex(cancel), now)
                self._tell(sock, ["records", request_id, [_pack(one) for one in records.values()]])
            else:
                request_id, packed = values
                known = {record.txid: record for record in map(_unpack, packed)}
                out += reflector.sibling_records(request_id, known, now)
        return out

    def _tell_all(self, message: list[Any]) -> None:
        for sock in self._socks.values():
            self._tell(sock, message)

    def _tell(self, sock: socket.socket, message: list[Any]) -> None:
        try:
            sock.send(json.dumps(message).encode())
        except OSError:  # full, or it died
            self.counters["sibling_dropped"] += 1


def _hex(txids: list[bytes]) -> list[str]:
    return [txid.hex() for txid in txids]


def _unhex(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def _pack(record: Record) -> list[Any]:
    return [
        record.txid.hex(), record.outcome, record.requests, record.answers, record.copies,
        record.idle, record.mapped,
    ]  # fmt: skip


def _unpack(values: list[Any]) -> Record:
    txid, outcome, requests, answers, copies, idle, mapped = values
    return Record(bytes.fromhex(txid), outcome, requests, answers, copies, idle, tuple(mapped))

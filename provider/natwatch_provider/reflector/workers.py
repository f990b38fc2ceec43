"""Several processes behind the same ports: one parent that serves nothing, and its workers.

The workers share the secret of the nonces and the boot id, so to a device they are one reflector.
If one dies, its part of the devices is served by nobody and the steering is out of order: all end
then, and a restart has a new boot id, by which devices know that their teeth are lost.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from natwatch_provider.reflector.core import Reflector
from natwatch_provider.reflector.siblings import Siblings, links
from natwatch_provider.reflector.sockets import Ports, Signals

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# A terminal and a service manager signal the whole group; the parent decides what follows.
NOT_FOR_WORKERS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
ANSWERS_WITHIN = 5.0  # seconds; a worker that has not answered by then is killed at the end
MAX_COUNTERS = 65_536  # bytes

# What the parent says to a worker; both are answered by its counters.
COUNT = b"count"
END = b"end"


class WorkerDied(Exception):
    """A worker ended by itself; the text says which and how."""


class Worker(NamedTuple):
    """A worker, as its parent sees it."""

    number: int  # from 1
    pid: int
    channel: socket.socket


class Workers:
    """Starts a worker for each of *ports*, which *build* gives its reflector."""

    def __init__(self, ports: list[Ports], build: Callable[[Siblings], Reflector]) -> None:
        self._workers: list[Worker] = []
        parent = os.getpid()
        socks = links(len(ports))
        channels = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in ports]
        # The workers' heaps begin as this one: no collection should touch, and so copy, it all.
        gc.freeze()
        # Held back until each worker ignores them, so that none can be killed before.
        signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_WORKERS)
        for index in range(len(ports)):
            pid = os.fork()
            if pid == 0:
                for signal_number in NOT_FOR_WORKERS:
                    signal.signal(signal_number, signal.SIG_IGN)
                _die_with(parent)
                for number, (ours, theirs) in enumerate(channels):
                    ours.close()
                    if number != index:
                        theirs.close()
                        ports[number].close()
                        _close(socks[number])
                _work(ports[index], build, Siblings(socks[index]), channels[index][1])
            self._workers.append(Worker(index + 1, pid, channels[index][0]))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_WORKERS)
        for index in range(len(ports)):
            channels[index][1].close()
            ports[index].close()
            _close(socks[index])

    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    def watch(self, signals: Signals, on_signals: Callable[[list[int]], bool]) -> None:
        """Wait until *on_signals*, called with the signals that came, returns False.

        *signals* must include SIGCHLD. Raises WorkerDied.
        """
        arrived: list[int] = []
        while True:
            self._look_for_dead()  # also at first: one may have died before SIGCHLD was watched
            if arrived and not on_signals(arrived):
                return
            select.select([signals.wake], [], [])
            arrived = signals.read()

    def counters(self) -> Counter[str]:
        """The sum of the workers' counters, of those that answer."""
        return self._tell(COUNT)

    def end(self) -> Counter[str]:
        """End all workers; the sum of their last counters."""
        total = self._tell(END)
        for worker in self._workers:
            worker.channel.close()
            # Whoever answered is about to end; whoever did not, hangs or is already dead.
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
        self._workers.clear()
        return total

    def _tell(self, what: bytes) -> Counter[str]:
        total: Counter[str] = Counter()
        for worker in self._workers:
            _tell(worker, what)
        for worker in self._workers:
            total.update(_heard(worker))
        return total

    def _look_for_dead(self) -> None:
        for worker in self._workers:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                total = len(self._workers)
                self._workers.remove(worker)
                raise WorkerDied(f"worker {worker.number} of {total} {_how(status)}")


def _tell(worker: Worker, what: bytes) -> None:
    worker.channel.settimeout(ANSWERS_WITHIN)
    try:
        worker.channel.send(what)
    except OSError:
        pass  # it died: _heard() finds nothing


def _heard(worker: Worker) -> dict[str, int]:
    try:
        data = worker.channel.recv(MAX_COUNTERS)
    except OSError:
        return {}
    return dict(json.loads(data)) if data else {}


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def _die_with(parent: int) -> None:
    """Let the kernel end this process with its parent, kill -9 included."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(1)


def _work(
    ports: Ports, build: Callable[[Siblings], Reflector], siblings: Siblings,
    channel: socket.socket,
) -> NoReturn:  # fmt: skip
    """The life of a worker. Never returns: what called fork() is the parent's business."""
    status = 1
    try:
        reflector = build(siblings)

        def on_parent() -> bool:
            said = channel.recv(16)
            if said:
                channel.send(json.dumps(reflector.counters + siblings.counters).encode())
            return said == COUNT

        ports.serve(reflector, channel.fileno(), on_parent, siblings)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)

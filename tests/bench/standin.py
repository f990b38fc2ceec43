"""A stand-in for a phone and for its registrar: registers, keeps alive, counts the calls.

On hosts of a lab:
    python -m tests.bench.standin registrar ADDRESS
    python -m tests.bench.standin phone ADDRESS KEEPALIVE_S SECONDS LOST …

The phone registers by one request and its answer, then sends a keepalive that nobody answers every
KEEPALIVE_S; keepalives with the numbers LOST (the first is 1) never leave it. Just before the next
keepalive that it does send is due, the registrar calls. The phone prints as JSON how many calls
there were and how many arrived.
"""

import json
import select
import socket
import sys
import time

_PORT = 5060
_BEFORE = 0.5  # s from a call to the keepalive that is due: the binding has idled nearly all of it
_KEEPALIVE = b"\r\n\r\n"  # RFC 5626, 4.4.1


def call_times(keepalive: float, seconds: float, lost: set[int]) -> list[float]:
    """Seconds after the registration at which calls come, one before each keepalive sent."""
    numbers = range(1, int(seconds / keepalive) + 1)
    return [number * keepalive - _BEFORE for number in numbers if number not in lost]


def phone(registrar: str, keepalive: float, seconds: float, lost: set[int]) -> dict[str, int]:
    """Lives for *seconds*; how many calls were made and how many arrived."""
    calls = call_times(keepalive, seconds, lost)
    arrived: set[int] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((registrar, _PORT))
        line.send(json.dumps(calls).encode())
        line.settimeout(5)
        line.recv(2048)
        began = time.monotonic()
        number = 0
        while number * keepalive <= seconds:
            number += 1
            due = began + number * keepalive
            while (wait := due - time.monotonic()) > 0:
                if select.select([line], [], [], wait)[0]:
                    arrived.add(int(line.recv(2048)))
            if number not in lost:
                line.send(_KEEPALIVE)
    return {"calls": len(calls), "arrived": len(arrived)}


def registrar(address: str) -> None:
    """Serves for ever: answers registrations, and calls back where they came from, when told to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, _PORT))
        print("ready", file=sys.stderr, flush=True)
        due: list[tuple[float, int, tuple[str, int]]] = []  # when, which call, to whom
        while True:
            wait = max(0.0, due[0][0] - time.monotonic()) if due else None
            if select.select([server], [], [], wait)[0]:
                data, phone_address = server.recvfrom(65535)
                if data != _KEEPALIVE:
                    server.sendto(b"200", phone_address)
                    now = time.monotonic()
                    times = json.loads(data)
                    due += [
                        (now + time, number, phone_address) for number, time in enumerate(times)
                    ]
                    due.sort()
            while due and due[0][0] <= time.monotonic():
                _, number, phone_address = due.pop(0)
                server.sendto(str(number).encode(), phone_address)


if __name__ == "__main__":
    if sys.argv[1] == "registrar":
        registrar(sys.argv[2])
    else:
        _, _, address, keepalive, seconds, *lost = sys.argv
        numbers = {int(number) for number in lost}
        print(json.dumps(phone(address, float(keepalive), float(seconds), numbers)))

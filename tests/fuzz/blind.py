"""Fuzzing without a look at the code: good inputs with bytes changed, cut, doubled and mixed.

The same seed gives the same inputs, so CI tries what a developer tries. It needs no package.
"""

import random
import signal
import traceback
from types import FrameType, ModuleType

MOST = 4096  # bytes of an input
PATIENCE = 10  # s for one input; the slowest parser takes some ms
KEPT = 10  # different failures, then it ends
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 31, 32, 63, 64, 127, 128, 192, 254, 255)


class Slow(Exception):
    """One input took longer than PATIENCE."""


class Failure:
    """*data* made the parser raise; *text* is the traceback's end."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        self.data = data
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self.place = f"{type(error).__name__} in {frame.filename}:{frame.lineno}"
        self.text = "".join(traceback.format_exception(error)[-3:])


def attempt(parser: ModuleType, data: bytes) -> Failure | None:
    """Try one input."""
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(PATIENCE)
    try:
        parser.one(data)
    except Exception as error:
        return Failure(data, error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def run(parser: ModuleType, inputs: int, seed: int) -> tuple[int, list[Failure]]:
    """(inputs tried, failures of different places)."""
    numbers = random.Random(seed)
    found: dict[str, Failure] = {}
    tried = 0
    while tried < inputs and len(found) < KEPT:
        failure = attempt(parser, made(parser, numbers))
        tried += 1
        if failure is not None:
            found.setdefault(failure.place, failure)
    return tried, list(found.values())


def made(parser: ModuleType, numbers: random.Random) -> bytes:
    """One input."""
    if numbers.random() < 0.02:
        return numbers.randbytes(numbers.randrange(200))
    data = bytearray(numbers.choice(parser.SEEDS))
    for _ in range(numbers.choice((0, 1, 1, 2, 3, 5, 9))):
        start = numbers.randrange(len(data) + 1)
        end = min(len(data), start + int(numbers.expovariate(0.1)))
        # Half of them change no length: where lengths are told, others are refused at once.
        change = numbers.choice((0, 0, 1, 1, 2, 3, 3, 4, 5, 6))
        if change == 0 and start < len(data):
            data[start] ^= numbers.randrange(1, 256)
        elif change == 1 and start < len(data):
            data[start] = numbers.choice(_NUMBERS)
        elif change == 2:
            data[start:start] = numbers.choice(parser.WORDS)
        elif change == 3:
            word = numbers.choice(parser.WORDS)
            data[start : start + len(word)] = word
        elif change == 4:
            del data[start:end]
        elif change == 5:
            data[start:start] = data[start:end] * numbers.choice((1, 1, 2, 30))
        elif change == 6:
            other = numbers.choice(parser.SEEDS)
            data[start:] = other[numbers.randrange(len(other) + 1) :]
    return bytes(data[:MOST])


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise Slow(f"one input took more than {PATIENCE} s")

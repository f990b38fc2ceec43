"""make fuzz: FUZZ_INPUTS inputs for each of FUZZ_PARSERS, and a table of what came of them.

Failing inputs are written to tests/fuzz/vectors, where they stay until they are committed with
what mends them. The exit status is how many parsers failed.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import PARSERS, VECTORS, blind, harness, vectors

MOST_INPUTS = 1_000_000
PATIENCE = 3600  # s a parser; what is not reached by then is said
HEADINGS = ("parser", "inputs", "seconds", "edges", "failures", "with")


@dataclass
class Row:
    name: str
    inputs: int = 0
    seconds: float = 0.0
    edges: int | None = None  # of the code that were reached, where that is known
    failures: list[bytes] = field(default_factory=list)
    how: str = "blind"

    def cells(self) -> list[str]:
        edges = "-" if self.edges is None else f"{self.edges}"
        numbers = [f"{self.inputs:,}", f"{self.seconds:.0f}", edges, f"{len(self.failures)}"]
        return [self.name, *numbers, self.how]


def main() -> int:
    inputs = int(os.environ.get("FUZZ_INPUTS") or MOST_INPUTS)
    seed = int(os.environ.get("FUZZ_SEED") or 1)
    names = (os.environ.get("FUZZ_PARSERS") or " ".join(PARSERS)).split()
    unknown = [name for name in names if name not in PARSERS]
    if unknown:
        print(f"expected parsers of {' '.join(PARSERS)}, found {unknown[0]}", file=sys.stderr)
        return 2
    can = importlib.util.find_spec("atheris") is not None
    if not can:
        print("atheris is not installed here: fuzzing blindly, without a look at what is reached")
    _show(list(HEADINGS))
    rows = []
    for name in names:
        row = guided(name, inputs, seed) if can else blindly(name, inputs, seed)
        for data in row.failures:
            keep(name, data)
        _show(row.cells())
        rows.append(row)
    failed = [row.name for row in rows if row.failures or row.inputs < inputs]
    print(f"{len(rows) - len(failed)} of {len(rows)} parsers took {inputs:,} inputs each")
    return len(failed)


def blindly(name: str, inputs: int, seed: int) -> Row:
    start = time.monotonic()
    tried, failures = blind.run(harness(name), inputs, seed)
    for failure in failures:
        print(failure.text, file=sys.stderr)
    return Row(name, tried, time.monotonic() - start, failures=[one.data for one in failures])


def guided(name: str, inputs: int, seed: int) -> Row:
    row = Row(name, how="atheris")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus, found = Path(folder, "corpus"), Path(folder, "found")
        corpus.mkdir()
        found.mkdir()
        parser = harness(name)
        for number, data in enumerate(parser.SEEDS):
            (corpus / f"{number:03}").write_bytes(data)
        for path in vectors(name):
            (corpus / path.name).write_bytes(path.read_bytes())
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in parser.WORDS))
        argv = [sys.executable, "-m", "tests.fuzz.guided", name]
        argv += [f"-runs={inputs}", f"-seed={seed}", f"-max_len={blind.MOST}", f"-dict={words}"]
        argv += [f"-timeout={blind.PATIENCE}", f"-artifact_prefix={found}/", "-rss_limit_mb=1024"]
        argv += [f"-max_total_time={PATIENCE}", "-len_control=20", str(corpus)]
        done = subprocess.run(argv, capture_output=True)
        told = done.stderr.decode("utf-8", "replace")
        row.failures = [path.read_bytes() for path in sorted(found.iterdir())]
        if row.failures or done.returncode:
            print(done.stdout.decode("utf-8", "replace")[-3000:], told[-3000:], file=sys.stderr)
    row.seconds = time.monotonic() - start
    numbers = [int(number) for number in re.findall(r"^#(\d+)\t", told, re.M)]
    ended = re.search(r"^Done (\d+) runs", told, re.M)
    row.inputs = int(ended[1]) if ended else max(numbers, default=0)
    edges = re.findall(r"cov: (\d+)", told)
    row.edges = int(edges[-1]) if edges else None
    return row


def keep(name: str, data: bytes) -> None:
    (VECTORS / name).mkdir(parents=True, exist_ok=True)
    (VECTORS / name / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _show(cells: list[str]) -> None:
    print("{:<12}{:>12}{:>9}{:>8}{:>10}  {}".format(*cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())

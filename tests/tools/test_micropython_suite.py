"""The runner of the agent's suite: a failure is seen, nothing run is not a success."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MICROPYTHON = ROOT / ".cache/micropython/micropython"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the runner and a suite of its own."""
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "agent").mkdir()
    shutil.copytree(ROOT / "tests/micropython", tmp_path / "tests/micropython")
    return tmp_path


def run(tree: Path, *names: str, **files: str) -> tuple[int, str]:
    for name, text in files.items():
        (tree / "tests/unit" / f"{name}.py").write_text(text)
    argv = [str(MICROPYTHON), "tests/micropython/run.py", *names]
    done = subprocess.run(argv, cwd=tree, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


GOOD = "def test_good():\n    assert True\n"
BAD = "def test_bad():\n    assert 1 == 2\n"


def test_a_suite_that_passes_says_how_many(tree: Path) -> None:
    status, said = run(tree, test_a=GOOD, test_b=GOOD, fake_clock="raise ValueError\n")
    assert (status, said.splitlines()[-1]) == (0, "2 passed, 0 failed")


def test_a_failure_is_named_with_its_traceback_and_the_rest_still_runs(tree: Path) -> None:
    status, said = run(tree, test_a=BAD + GOOD)
    assert status == 1
    assert "FAILED test_a.test_bad" in said and "AssertionError" in said
    assert said.splitlines()[-1] == "1 passed, 1 failed"


def test_a_file_that_cannot_be_imported_is_a_failure(tree: Path) -> None:
    status, said = run(tree, test_a="import no_such_module\n", test_b=GOOD)
    assert status == 1
    assert "test_a: cannot be imported" in said and said.endswith("1 passed, 1 failed\n")


def test_a_file_for_cpython_only_is_skipped_with_its_reason(tree: Path) -> None:
    text = 'import no_such_module\n\nCPYTHON_ONLY = "the reason"\n' + BAD
    status, said = run(tree, test_a=text, test_b=GOOD)
    assert status == 0 and "skipped test_a: the reason" in said


def test_a_name_chooses_files_and_one_that_fits_nothing_fails(tree: Path) -> None:
    assert run(tree, "b", test_a=BAD, test_b=GOOD)[0] == 0
    assert run(tree, "typing_error")[0] == 1


def test_the_parts_together_are_the_whole(tree: Path) -> None:
    files = {f"test_{letter}": GOOD for letter in "abcde"}
    assert run(tree, "1/2", **files)[1].endswith("3 passed, 0 failed\n")
    assert run(tree, "2/2")[1].endswith("2 passed, 0 failed\n")

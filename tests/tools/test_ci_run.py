""".ci/run adds up what the suites say, and fails when any step does."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What make prints for test and lint, their statuses; the closing counts, the status of all.
CASES = {
    "all is well": (
        ("skipped test_a: why\n23 passed, 0 failed\n562 passed, 2 skipped in 67.8s (0:01:07)", 0),
        ("All checks passed!", 0),
        ("585 passed, 2 skipped, 0 failed", 0),
    ),
    "tests fail on both interpreters": (
        ("20 passed, 3 failed\n2 failed, 560 passed, 1 error in 60.00s", 2),
        ("Success", 0),
        ("580 passed, 0 skipped, 6 failed", 1),
    ),
    "only the lint fails": (
        ("23 passed, 0 failed\n562 passed in 1.00s", 0),
        ("Found 16 errors.", 2),
        ("585 passed, 0 skipped, 1 failed", 1),
    ),
    "the set-up breaks": (("setup: no network", 2), ("", 2), ("0 passed, 0 skipped, 2 failed", 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_last_line_counts_and_the_status_agrees(case: str, tmp_path: Path) -> None:
    (test_says, test_status), (lint_says, lint_status), (counts, status) = CASES[case]
    (tmp_path / "test").write_text(test_says + "\n")
    (tmp_path / "lint").write_text(lint_says + "\n")
    make = tmp_path / "make"
    make.write_text(
        f'#!/bin/sh\ncat "{tmp_path}/$2"\n[ "$2" = test ] && exit {test_status}\n'
        f"exit {lint_status}\n"
    )
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci/run"], capture_output=True, text=True, env=environment)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1].startswith(f"===== {counts} in ")

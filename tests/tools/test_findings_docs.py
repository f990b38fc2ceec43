"""Every finding is documented under its code, with its requirement and severity."""

import re
from pathlib import Path

from natwatch.diagnosis.findings import CODES

PAGE = (Path(__file__).parents[2] / "docs/findings.md").read_text()


def test_every_code_has_its_row() -> None:
    for code, (requirement, severity) in CODES.items():
        assert f"| `{code}` | {requirement} | {severity} |" in PAGE, code


def test_no_row_is_of_a_code_that_is_gone() -> None:
    rows = re.findall(r"^\| `([a-z]+(?:\.[a-z]+)+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(CODES)

"""Every finding is documented under its code, with its requirement and severity."""

from pathlib import Path

from natwatch.diagnosis.findings import CODES

PAGE = (Path(__file__).parents[2] / "docs/findings.md").read_text()


def test_every_code_has_its_row() -> None:
    for code, (requirement, severity) in CODES.items():
        assert f"| `{code}` | {requirement} | {severity} |" in PAGE, code


def test_no_row_is_of_a_code_that_is_gone() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and "." in line[:24]]
    assert len([row for row in rows if row.split("`")[1] in CODES]) == len(CODES)

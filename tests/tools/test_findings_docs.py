"""Every finding is documented under its code, with its requirement and severity."""

import json
import re
from pathlib import Path

import jsonschema
from test_combine import HOME, INNER_SHORT, ONE, both, told

from natwatch.diagnosis.findings import CODES
from natwatch.diagnosis.layers import combine

PAGE = (Path(__file__).parents[2] / "docs/findings.md").read_text()


def test_every_code_has_its_row() -> None:
    for code, (requirement, severity) in CODES.items():
        assert f"| `{code}` | {requirement} | {severity} |" in PAGE, code


def test_no_row_is_of_a_code_that_is_gone() -> None:
    rows = re.findall(r"^\| `([a-z]+(?:\.[a-z]+)+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(CODES)


def test_what_is_known_of_the_boxes_has_the_documented_form() -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs/check.schema.json").read_text())
    part = {"$defs": schema["$defs"], **schema["properties"]["layers"]}
    heard = told(upnp="100.64.7.2", model="X1", hops=[(1, "192.168.1.1")])
    for layers, evidence in ((INNER_SHORT, heard), (ONE, None), (both(None), heard)):
        jsonschema.validate(combine(layers, evidence, HOME), part)

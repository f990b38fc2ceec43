"""The provider profile: the one that ships is good, a wrong one gets one sentence."""

import json
from pathlib import Path

import pytest

from natwatch_provider.collector import profile

ENFORTA = Path(__file__).parents[2] / "provisioning" / "profiles" / "enforta.json"
GOOD = json.loads(ENFORTA.read_text())


def test_the_profile_that_ships_is_good() -> None:
    assert profile.load(str(ENFORTA)) == profile.Profile("Enforta", 20.0)


WRONG = (
    ("[]", "the file: expected an object"),
    ("{", "expected JSON"),
    (json.dumps({**GOOD, "extra": 1}), "field extra: expected one of name"),
    (json.dumps({**GOOD, "name": 7}), "field name: expected a text, found 7"),
    (json.dumps({**GOOD, "support": None}), "field support: expected an object, found None"),
    (
        json.dumps({**GOOD, "support": {"phone": "1"}}),
        "field support.mail: expected a text, found None",
    ),
    (
        json.dumps({**GOOD, "keepalive_s": {"min": 20, "max": 170}}),
        "field keepalive_s.default: expected seconds",
    ),
    (
        json.dumps({**GOOD, "keepalive_s": {"min": "20", "max": 170, "default": 20}}),
        "field keepalive_s.min: expected seconds from 1 to 86400, found '20'",
    ),
    (
        json.dumps({**GOOD, "keepalive_s": {"min": 20, "max": 170, "default": 10}}),
        "field keepalive_s.default: expected 20 to 170 seconds, as min and max say, found 10",
    ),
)


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_wrong_profile_gets_a_sentence_that_names_the_field(
    text: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        profile.load(str(path))
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.json: expected a readable file"):
        profile.load(f"{tmp_path}/none.json")

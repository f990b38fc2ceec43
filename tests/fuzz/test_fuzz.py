"""What failed once, and some thousand bad inputs for each parser, the same ones every time."""

import pytest

from tests.fuzz import PARSERS, VECTORS, blind, harness, vectors

INPUTS = 20_000  # some seconds; `make fuzz` takes a million
SLOW = {"probe": 1500, "reflector": 1500, "collector": 4000}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_takes_whatever_comes(name: str) -> None:
    parser = harness(name)
    for data in [*parser.SEEDS, *(path.read_bytes() for path in vectors(name))]:
        failure = blind.attempt(parser, data)
        assert failure is None, (data, failure.text)
    tried, failures = blind.run(parser, SLOW.get(name, INPUTS), seed=1)
    assert not failures, "\n".join(f"{one.data!r}\n{one.text}" for one in failures)
    assert tried == SLOW.get(name, INPUTS)


def test_every_vector_belongs_to_a_parser() -> None:
    assert {path.name for path in VECTORS.iterdir() if path.is_dir()} <= set(PARSERS)


def test_a_parser_that_raises_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = harness("nat_pmp")
    monkeypatch.setattr(parser.nat_pmp, "_MAX_BYTES", 10**9)
    monkeypatch.setattr(parser.nat_pmp, "NatPmpError", KeyError)
    _, failures = blind.run(parser, 2000, seed=1)
    assert failures

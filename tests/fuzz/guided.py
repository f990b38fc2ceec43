"""Fuzzing with atheris, which sees what each input reached: python -m tests.fuzz.guided PARSER …

The arguments after the parser's name are libFuzzer's.
"""

import sys

import atheris


def main(arguments: list[str]) -> None:
    # Before its first import, or the parser's code would not tell what was reached.
    with atheris.instrument_imports(include=["natwatch", "natwatch_provider"]):
        from tests.fuzz import harness

        parser = harness(arguments[0])
    atheris.Setup(["fuzz", *arguments[1:]], parser.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])

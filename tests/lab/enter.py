"""Runs a program in a fresh lab container: python -m tests.lab.enter PROGRAM [ARGUMENT…]

Inside, nothing of the machine's network is seen, and `ip netns` starts empty. Everything
that the program starts ends with it.
"""

import os
import sys

from tests.lab import container


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: python -m tests.lab.enter PROGRAM [ARGUMENT…]", file=sys.stderr)
        return 2
    argv = sys.argv[1:]

    def execute() -> int:
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            print(f"lab: expected a program, found {argv[0]}: {error.strerror}", file=sys.stderr)
            return 127

    return container.run(execute)


if __name__ == "__main__":
    sys.exit(main())

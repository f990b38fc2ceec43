"""python -m natwatch, micropython -m natwatch, and the program natwatch."""

import sys


def main():
    """Run the command line; Ctrl-C while it is still being loaded ends it without a word, too."""
    try:
        from natwatch.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

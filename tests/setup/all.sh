#!/bin/sh
# Makes everything the demo and the tests need: Debian packages, .venv, MicroPython.
#
# Each step does nothing if its stamp holds the checksum of what it was made from, and
# writes the stamp last, so an interrupted step is simply done again. One set-up at a time:
# `make test` and `make demo` may be started together.
set -eu
cd "$(dirname "$0")/../.."
. tests/setup/stamp.sh
mkdir -p .cache
exec 9>.cache/setup.lock
if ! flock --timeout 1 9; then
    echo "setup: another set-up is running in this tree; waiting for it"
    flock 9
fi
# The steps inherit the lock: a pip orphaned by a kill has ended before the next set-up begins.
tests/setup/debian.sh
tests/setup/venv.sh
tests/setup/micropython.sh

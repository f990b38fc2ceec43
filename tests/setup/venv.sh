#!/bin/sh
# Makes .venv with the pinned packages, and our three packages installed editable.
set -eu
. tests/setup/stamp.sh

ours='agent provider provisioning'
sum=$(checksum constraints/*.txt constraints/optional/*.txt agent/pyproject.toml provider/pyproject.toml \
    provisioning/pyproject.toml tests/setup/venv.sh)
stamp=.venv/natwatch.stamp
# The programs in .venv/bin name their interpreter by its path: a tree that was moved begins anew.
[ "$(cat .venv/natwatch.path 2>/dev/null)" = "$PWD" ] || rm -rf .venv
if up_to_date "$stamp" "$sum" && [ -x .venv/bin/python ]; then
    exit 0
fi

python=${PYTHON3:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: expected Python 3.11 or newer, found $("$python" --version);" \
        "run make with PYTHON3=/path/to/python3.11" >&2
    exit 2
fi
echo "setup: .venv with $(cat constraints/*.txt | wc -l) pinned Python packages"
rm -f "$stamp"
.venv/bin/python -m pip --version >/dev/null 2>&1 || {
    rm -rf .venv
    "$python" -m venv .venv
}
pip='.venv/bin/python -m pip --disable-pip-version-check --quiet'
# The build back end is pinned like the rest, so nothing is fetched behind pip's back.
for file in constraints/*.txt; do set -- "$@" -r "$file"; done
$pip install --no-deps "$@"
# What has no build for every machine: without it one target does less, and says so.
for file in constraints/optional/*.txt; do
    $pip install --no-deps --only-binary :all: -r "$file" 2>/dev/null ||
        echo "setup: no build for this machine of what $file names; going on without it"
done
set --
for package in $ours; do set -- "$@" -e "$package"; done
$pip install --no-deps --no-build-isolation "$@"
$pip check
echo "$PWD" >.venv/natwatch.path
write_stamp "$stamp" "$sum"

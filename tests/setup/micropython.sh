#!/bin/sh
# Puts the MicroPython of Debian trixie at .cache/micropython/micropython.
#
# On trixie that is the installed package. On bookworm the package and the libraries that it
# links are fetched from the trixie suite of the mirror that this machine's apt uses, with
# lists of its own (the machine's apt never hears of trixie), checked against Debian's
# signature, unpacked, and started through that libc's own loader.
set -eu
. tests/setup/stamp.sh

packages='micropython libmbedtls21 libmbedx509-7 libmbedcrypto16 libffi8 libc6'
home=$PWD/.cache/micropython
stamp=$home/natwatch.stamp
# shellcheck source=/dev/null
. /etc/os-release
sum=$(checksum tests/setup/micropython.sh /etc/os-release)
if up_to_date "$stamp" "$sum" && [ -x "$home/micropython" ]; then
    exit 0
fi

wrapper() {
    printf '#!/bin/sh\n%s\n' "$1" >"$home/micropython"
    chmod 755 "$home/micropython"
}

# shellcheck disable=SC2016  # apt-get replaces $(…) itself
debian_mirror() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$VERSION_CODENAME //p" | head -n 1
}

# Everything apt would read or write outside the cache is turned to it.
apt() {
    command=$1
    shift
    apt-get "$command" -qq \
        -o Dir::Etc::SourceList="$home/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$home/apt" -o Dir::State::Status="$home/apt/status" \
        -o Dir::Cache="$home/apt" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false \
        -o Debug::NoLocking=1 "$@"
}

rm -rf "$home"
mkdir -p "$home/apt/lists/partial" "$home/apt/archives/partial" "$home/root"
if [ "${VERSION_ID:-0}" -ge 13 ]; then
    # shellcheck disable=SC2016
    wrapper 'exec /usr/bin/micropython "$@"'
else
    echo "setup: MicroPython and its libraries from Debian trixie"
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then
        echo "setup: expected a Debian mirror for $VERSION_CODENAME in this machine's apt" \
            "sources, found none; add one" >&2
        exit 2
    fi
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$key] $mirror trixie main" >"$home/apt/sources.list"
    : >"$home/apt/status"
    apt update
    # shellcheck disable=SC2086  # one word a package
    (cd "$home/apt/archives" && apt download $packages)
    for file in "$home"/apt/archives/*.deb; do dpkg -x "$file" "$home/root"; done
    rm -rf "$home/apt"
    loader=$(cd "$home/root" && find . -name 'ld-linux*' -o -name 'ld64.so*' | head -n 1)
    libraries=$(cd "$home/root" && dirname "$(find . -name 'libffi.so*' | head -n 1)")
    # shellcheck disable=SC2016  # the wrapper finds its folder when it runs
    wrapper 'root=${0%/*}/root
exec "$root/'"$loader"'" --library-path "$root/'"$libraries"'" "$root/usr/bin/micropython" "$@"'
fi
"$home/micropython" -c 'import sys, socket, json
assert sys.implementation[1] >= (1, 23), "MicroPython 1.23 or newer expected, found %s" % sys.version'
write_stamp "$stamp" "$sum"

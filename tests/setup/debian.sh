#!/bin/sh
# Installs the Debian packages that are missing, after naming them. Starts no daemon:
# the lab runs its own mosquitto, Kamailio and PostgreSQL, in its own namespaces.
set -eu

# What is looked for, and the package that has it. A path may be a pattern.
WANTED='
nft                                 nftables
ip                                  iproute2
conntrack                           conntrack
unshare                             util-linux
mosquitto                           mosquitto
/usr/lib/postgresql/*/bin/initdb    postgresql
turnutils_natdiscovery              coturn
/usr/sbin/stund                     stun-server
stun                                stun-client
baresip                             baresip-core
kamailio                            kamailio
dnsmasq                             dnsmasq-base
miniupnpd                           miniupnpd-nftables
/usr/lib/*/faketime/libfaketimeMT.so.1  libfaketime
shellcheck                          shellcheck
gpgv                                gpgv
/usr/share/keyrings/debian-archive-keyring.gpg  debian-archive-keyring
'
POLICY=/usr/sbin/policy-rc.d
MARK='# written by natwatch tests/setup/debian.sh'

# Daemons' programs are in sbin, which an ordinary user's PATH lacks.
PATH="$PATH:/usr/sbin:/sbin"

if ! command -v "${PYTHON3:-python3}" >/dev/null; then
    echo "setup: expected Python 3.11 or newer, found no ${PYTHON3:-python3};" \
        "install python3, or run make with PYTHON3=/path/to/python3.11" >&2
    exit 2
fi

present() {
    case $1 in
        /*) for match in $1; do [ -e "$match" ] && return 0; done; return 1 ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

python_can_make_environments() {
    "${PYTHON3:-python3}" -c 'import venv, ensurepip' 2>/dev/null
}

# Debian 12 has no MicroPython that is new enough; micropython.sh unpacks trixie's there.
micropython_is_packaged() {
    # shellcheck source=/dev/null
    . /etc/os-release
    [ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 13 ]
}

missing_packages() {
    echo "$WANTED" | while read -r what package; do
        [ -z "$what" ] || present "$what" || echo "$package"
    done
    python_can_make_environments || echo python3-venv
    ! micropython_is_packaged || present micropython || echo micropython
}

lists_are_fresh() {
    find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 2>/dev/null | grep -q .
}

# Packages start their daemons from invoke-rc.d, which asks policy-rc.d first. Ours says no
# as long as this process lives, so that one left behind by a kill forbids nothing; the
# next run removes it. A policy that somebody else put there is left alone.
forbid_daemons() {
    if [ ! -e "$POLICY" ] || grep -qxF "$MARK" "$POLICY"; then
        trap 'rm -f "$POLICY"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\n%s\n[ ! -d /proc/%s ] || exit 101\n' "$MARK" "$$" >"$POLICY.new"
        chmod 755 "$POLICY.new"
        mv "$POLICY.new" "$POLICY"
    fi
}

# Only units that this run brought in: never a daemon that the machine's owner had before.
keep_from_starting_at_boot() {
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
            mosquitto | postgresql | nftables | coturn | kamailio)
                systemctl disable --quiet "$package" || true
                ;;
            stun-server) systemctl disable --quiet stun || true ;;
        esac
    done
}

if [ -f "$POLICY" ] && grep -qxF "$MARK" "$POLICY" && [ "$(id -u)" = 0 ]; then
    rm -f "$POLICY"
fi
missing=$(missing_packages | sort -u | tr '\n' ' ')
missing=${missing% }
[ -n "$missing" ] || exit 0

echo "setup: these Debian packages are missing: $missing"
if [ "$(id -u)" != 0 ]; then
    echo "setup: expected them or root rights, found neither;" \
        "run 'sudo apt-get install --no-install-recommends $missing' first" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
forbid_daemons
log=.cache/apt.log
# A third party's source that does not answer must not stop us: apt-get install decides.
lists_are_fresh || apt-get update -qq >"$log" 2>&1 || true
# shellcheck disable=SC2086  # one word a package
apt-get install -y -qq --no-install-recommends $missing >>"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    echo "setup: expected apt-get to install $missing, found it failing as above (all of it is" \
        "in $log); run 'apt-get update', then make again" >&2
    exit 2
}
# shellcheck disable=SC2086
keep_from_starting_at_boot $missing

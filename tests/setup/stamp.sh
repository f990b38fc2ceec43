# shellcheck shell=sh
# What a set-up step was made from, kept beside what it made. Sourced from the tree's root.

# checksum FILE... — one line that changes when a file's name or content does.
checksum() {
    sha256sum "$@" | sha256sum | cut -d' ' -f1
}

# up_to_date STAMP SUM — whether STAMP holds SUM.
up_to_date() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

# write_stamp STAMP SUM — last thing a step does; whole or not at all.
write_stamp() {
    echo "$2" >"$1.new"
    mv "$1.new" "$1"
}

"""port/uci.py: OpenWrt's configuration, which other programs write."""

from natwatch.port import uci

SEEDS = [
    b"config redirect 'phone'\n\toption src 'wan'\n"
    b"\toption dest_ip \"192.168.1.20\"\n\tlist proto 'udp'\n",
    b"package firewall\n# comment\nconfig zone\n option masq 1\n list helper sip\\ x\n",
]
WORDS = [
    b"config ",
    b"option ",
    b"list ",
    b"redirect",
    b"'",
    b'"',
    b"\\",
    b"#",
    b"\n",
    b"\0",
    b"\xff",
]


def one(data: bytes) -> None:
    lines = data.split(b"\n")
    found, unread = uci.sections(lines, ("redirect", "zone"))
    assert 0 <= unread <= len(lines) and len(found) <= 512
    for kind, options in found:
        assert kind in ("redirect", "zone") and len(options) <= 64
        for name, values in options.items():
            assert isinstance(name, str) and 0 < len(values) <= 64
            uci.switched(options, name, True)

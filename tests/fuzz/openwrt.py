"""port/openwrt.py: forwards and helpers, from the firewall's file as a whole."""

import os
import tempfile
from pathlib import Path

from natwatch.port import openwrt
from tests.fuzz import uci

ROOT = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
FILE = Path(ROOT.name) / openwrt.PATH
FILE.parent.mkdir(parents=True)

SEEDS = [
    *uci.SEEDS,
    b"config redirect\n option src wan\n option dest_ip 192.168.1.20/32\n"
    b" option src_dport 5060-5070\n"
    b" option dest_port '5060:5070'\n option proto 'tcp udp'\n"
    b" option target DNAT\n option family ipv4\n",
    b"config defaults\n option auto_helper 0\n"
    b"config rule\n option set_helper sip\n option enabled no\n",
]
WORDS = [
    *uci.WORDS,
    b"option src_dport ",
    b"option dest_port ",
    b"dest_ip",
    b"65536",
    b"-",
    b":",
    b"/32",
]
WORDS += [b"option enabled ''", b"\xc2\xb2", b"option target ''"]


def one(data: bytes) -> None:
    FILE.write_bytes(data)
    found = openwrt.load(ROOT.name + "/")
    assert found is not None and found["unread"] >= 0 and len(found["forwards"]) <= openwrt.MOST
    for forward in found["forwards"]:
        low, high = forward["ports"]
        assert 1 <= low <= high <= 65535
        assert forward["to_port"] is None or 1 <= forward["to_port"] <= 65535

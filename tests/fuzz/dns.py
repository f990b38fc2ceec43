"""wire/dns.py: what a resolver answers."""

from natwatch.wire import dns

NAME = "sip.example"
QUESTION = dns.query(0x4141, NAME, dns.A)[12:]
HEAD = b"\x41\x41\x81\x80\0\1"
SEEDS = [
    HEAD + b"\0\1\0\0\0\0" + QUESTION + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x6d\x45\xb0\x82",
    HEAD + b"\0\2\0\0\0\1" + QUESTION + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1a\xc0\x10"
    b"\xc0\x29\0\1\0\1\0\0\0\x3c\0\4\x6d\x45\xb0\x82" + b"\0\0\x29\x10\0\0\0\0\0\0\0",
    HEAD + b"\0\1\0\0\0\0" + dns.query(1, "_sip._udp." + NAME, dns.SRV)[12:]
    + b"\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\x0a\0\0\0\0\x13\xc4\1b\xc0\x16",
]  # fmt: skip
WORDS = [
    b"\xc0\x0c",
    b"\0\1\0\1",
    b"\0\5\0\1",
    b"\0\x21\0\1",
    b"\0\4",
    b"\x3f",
    b"\xc0\xff",
    QUESTION,
]


def one(data: bytes) -> None:
    try:
        found = dns.parse(data)
        found.values()
        found.addresses(NAME)
    except dns.DnsError as error:
        assert error.counter and str(error)
        return
    for name, _, ttl, value in found.records + found.additional:
        assert len(name) <= 253 and 0 <= ttl < 1 << 31, (name, ttl)
        text = value[3] if isinstance(value, tuple) else value
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_."), text

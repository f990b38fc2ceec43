"""wire/digest.py: a registrar's challenge."""

from natwatch.wire import digest

SEEDS = [
    b'Digest realm="r, s", nonce="n", algorithm=SHA-256, qop="auth,auth-int", stale=TRUE',
    b'Digest realm="sip.example", nonce="a\\"b", opaque="", Basic realm="x"\n'
    b"Digest nonce=1,realm=2",
]
WORDS = [b"Digest ", b"realm=", b"nonce=", b"algorithm=MD5", b"algorithm=SHA-256", b'qop="auth"']
WORDS += [b"opaque=", b"stale=true", b'"', b"\\", b",", b"=", b"\n"]


def one(data: bytes) -> None:
    try:
        values = data.decode().split("\n")
    except UnicodeError:
        return  # never reaches it: sip.parse() refuses what is no text
    offered = digest.challenges(values)
    assert len(offered) <= len(data)
    for challenge in offered:
        str(challenge)
    chosen = digest.choose(offered)
    if chosen is None:
        return
    assert chosen.answerable
    text = digest.authorization(chosen, "REGISTER", "sip:a", 'u"', "p", "c", 1)
    assert text.startswith("Digest ") and "\n" not in text

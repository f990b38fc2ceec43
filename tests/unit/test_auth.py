"""HMAC-SHA256 against RFC 4231, and what may be a device id."""

from natwatch.wire import auth


def unhex(text):
    return bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)])


# RFC 4231, section 4: key, data, HMAC-SHA-256. Case 5 is a truncated output: compared so.
RFC_4231 = (
    (
        unhex("0b" * 20),
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        unhex("aa" * 20),
        unhex("dd" * 50),
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        bytes(range(1, 26)),
        unhex("cd" * 50),
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (unhex("0c" * 20), b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        unhex("aa" * 131),
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        unhex("aa" * 131),
        b"This is a test using a larger than block-size key and a larger than block-size data."
        b" The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
)


def test_the_hmac_agrees_with_the_vectors_of_rfc_4231():
    for key, data, expected in RFC_4231:
        digest = auth.hmac_sha256(key, data)
        assert len(digest) == 32
        assert digest[: len(expected) // 2] == unhex(expected), data


def test_a_key_of_exactly_one_block_is_not_hashed():
    # Padding a key with zeros leaves HMAC unchanged up to the block size; from 65 bytes on
    # the key is hashed and the padding shows.
    assert auth.hmac_sha256(b"k", b"m") == auth.hmac_sha256(b"k" + bytes(63), b"m")
    assert auth.hmac_sha256(b"k", b"m") != auth.hmac_sha256(b"k" + bytes(64), b"m")


def test_same_compares_content_and_length():
    assert auth.same(b"", b"")
    assert auth.same(b"abc", b"abc")
    for other in (b"abd", b"ab", b"abcd", b"bbc", b""):
        assert not auth.same(b"abc", other), other


def test_a_device_id_can_stand_in_a_topic_and_a_certificate():
    for name in ("a", "box-17", "A_b-9", "x" * 64):
        assert auth.valid_device_id(name), name
    for name in ("", "x" * 65, "a/b", "a+", "#", "a b", "a.b", "é", "a\x00", None, 7, b"a"):
        assert not auth.valid_device_id(name), name


def test_each_device_and_each_master_has_its_own_key():
    keys = [auth.device_key(m, d) for m in (b"m" * 32, b"n" * 32) for d in ("box-1", "box-2")]
    assert len(set(keys)) == 4
    assert auth.device_key(b"m" * 32, "box-1") == auth.hmac_sha256(b"m" * 32, b"box-1")

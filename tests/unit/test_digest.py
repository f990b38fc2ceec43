"""Digest authentication: the vectors of the RFCs, and challenges as they are met."""

from natwatch.wire import digest
from natwatch.wire.sip_client import split, unquoted


def response_to(header, method, uri, user, password, cnonce, count=1):
    """{name: value} of what answers the challenge *header*."""
    challenge = digest.choose(digest.challenges([header]))
    value = digest.authorization(challenge, method, uri, user, password, cnonce, count)
    assert value.startswith("Digest ")
    pairs = [part.strip().partition("=") for part in split(value[7:], ",")]
    return dict([(name, unquoted(text)) for name, _, text in pairs])


def test_the_example_of_rfc_2617_3_5():
    header = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int",'
        ' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    fields = response_to(header, "GET", "/dir/index.html", "Mufasa", "Circle Of Life", "0a4f113b")
    assert fields["response"] == "6629fae49393a05397450978507c4ef1"
    assert fields["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"
    assert fields["nc"] == "00000001" and fields["qop"] == "auth"
    assert "algorithm" not in fields, "only what was asked is echoed"


def test_the_examples_of_rfc_7616_3_9_1():
    for algorithm, response in (
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ):
        header = (
            'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%s,'
            ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
            ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' % algorithm
        )
        cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        fields = response_to(header, "GET", "/dir/index.html", "Mufasa", "Circle of Life", cnonce)
        assert fields["response"] == response and fields["algorithm"] == algorithm


def test_without_qop_the_digest_is_that_of_rfc_2069():
    # Its example, 2.4, with the digest as corrected by erratum 749.
    header = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    fields = response_to(header, "GET", "/dir/index.html", "Mufasa", "CircleOfLife", "unused")
    assert fields["response"] == "1949323746fe6a43ef61f9606e7febea"
    assert "cnonce" not in fields and "nc" not in fields and "qop" not in fields


def test_commas_quotes_and_blanks_stay_where_they_are():
    header = 'Digest realm = "a, \\"b\\", c" ,nonce="x=1,y==",  stale=TRUE , opaque="" '
    (challenge,) = digest.challenges([header])
    assert challenge.fields["realm"] == 'a, \\"b\\", c'
    assert challenge.fields["nonce"] == "x=1,y==" and challenge.stale
    value = digest.authorization(challenge, "REGISTER", "sip:x", 'u"\\', "p", "c", 1)
    assert 'realm="a, \\"b\\", c"' in value and 'opaque=""' in value
    assert 'username="u\\"\\\\"' in value


def test_of_several_challenges_the_strongest_that_can_be_answered_is_chosen():
    md5, sha = 'Digest realm="r", nonce="1"', 'digest realm="r",nonce="2",algorithm=sha-256'
    other = 'Digest realm="r", nonce="3", algorithm=SHA-512-256'
    only_int = 'Digest realm="r", nonce="4", algorithm=SHA-256, qop="auth-int"'
    for values, nonce in (
        ([md5], "1"),
        ([md5, sha], "2"),
        ([sha, md5], "2"),
        ([md5 + ", " + sha], "2"),
        ([other, md5], "1"),
        ([only_int, md5], "1"),
        (['Basic realm="r", ' + md5], "1"),
        (["Negotiate, " + md5], "1"),
    ):
        assert digest.choose(digest.challenges(values)).fields["nonce"] == nonce, values
    for values in (
        [],
        [""],
        [","],
        ["Digest"],
        ['Basic realm="r"'],
        [other],
        [only_int],
        ['Digest nonce="1"'],
        ['Digest realm="1"'],
        ['realm="r", nonce="1"'],
        ['Digest realm="r", nonce="1", algorithm='],
    ):
        assert digest.choose(digest.challenges(values)) is None, values


def test_an_absent_hash_makes_a_challenge_unanswerable():
    kept = digest.HASHES["MD5"]
    digest.HASHES["MD5"] = None
    try:
        assert digest.choose(digest.challenges(['Digest realm="r", nonce="1"'])) is None
    finally:
        digest.HASHES["MD5"] = kept

"""IP addresses as bytes and as text, on both interpreters."""

import binascii

from natwatch.wire.ip import ip_bytes, ip_text

unhex = binascii.unhexlify


def test_addresses_are_packed_and_read_back():
    for text, packed, back in (
        ("192.0.2.1", "c0000201", "192.0.2.1"),
        ("::", "00" * 16, "0:0:0:0:0:0:0:0"),
        ("::1", "00" * 15 + "01", "0:0:0:0:0:0:0:1"),
        ("2001:db8::ff", "20010db8" + "00" * 11 + "ff", "2001:db8:0:0:0:0:0:ff"),
        ("1:2:3:4:5:6:7:8", "00010002000300040005000600070008", "1:2:3:4:5:6:7:8"),
    ):
        assert ip_bytes(text) == unhex(packed)
        assert ip_text(unhex(packed)) == back


def test_what_is_no_address_raises_a_value_error():
    for text in (
        "",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.-1",
        "a.b.c.d",
        "1:2:3",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7:8:9",
        "::g",
    ):
        try:
            ip_bytes(text)
            raised = False
        except ValueError:
            raised = True
        assert raised, text

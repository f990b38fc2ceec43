"""port/upnp.py: the description that a router hands out, XML."""

from natwatch.port import upnp

SEEDS = [
    b'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1'
    b"</major></specVersion><device><manufacturer>ACME</manufacturer><modelName>X &amp; 1"
    b"</modelName><deviceList><device><modelName>inner</modelName></device></deviceList></device></root>",
    b"<root><device><modelName>\xd0\x96</modelName></device></root>",
]
WORDS = [
    b"<root>",
    b"<device>",
    b"<modelName>",
    b"</modelName>",
    b"<!DOCTYPE a [",
    b"<!ENTITY a 'b'>",
]
WORDS += [
    b"&#0;",
    b"&a;",
    b"<![CDATA[",
    b"]]>",
    b"<?xml version='1.0' encoding='utf-16'?>",
    b"xmlns:a='b'",
]
WORDS += [b"<?xml version='1.0' encoding='nonsense'?>"]


def one(data: bytes) -> None:
    try:
        named = upnp.identity(data)
    except ValueError as error:
        assert str(error)
        return
    for name in named:
        assert name is None or (0 < len(name) <= 64 and name.isprintable()), name

"""A router's description of itself, and what Linux keeps of an ICMP error."""

import struct

from natwatch.port import hops, upnp

CPYTHON_ONLY = "expat; MicroPython starts no child processes"

DEVICE = "<root xmlns='urn:schemas-upnp-org:device-1-0'><device>%s</device></root>"
INNER = "<deviceList><device><manufacturer>no</manufacturer></device></deviceList>"


def test_the_names_are_those_of_the_root_device():
    for name, text, expected in (
        ("both", "<manufacturer>ACME</manufacturer><modelName>X1</modelName>", ("ACME", "X1")),
        ("escaped", "<manufacturer>A &amp; B</manufacturer>", ("A & B", None)),
        ("white space", "<modelName>\n X\t1 </modelName>", (None, "X 1")),
        ("empty", "<modelName> </modelName>", (None, None)),
        ("orders for a terminal", "<modelName>X\u202e\u009b1</modelName>", (None, "X??1")),
        ("of an inner device", INNER, (None, None)),
        ("endless", "<modelName>%s</modelName>" % ("x" * 5000), (None, "x" * 64)),
        ("Russian", "<modelName>Роутер</modelName>", (None, "Роутер")),
    ):
        assert upnp.identity((DEVICE % text).encode()) == expected, name


def test_what_is_no_description_is_an_error():
    bomb = "<!DOCTYPE r [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>" + DEVICE % "&b;"
    outside = "<!DOCTYPE r SYSTEM 'http://192.0.2.1/x'>" + DEVICE % ""
    for text in ("", "<root>", "no", "<root>A & B</root>", bomb, outside, "\0", "\ud800"):
        try:
            upnp.identity(text.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            assert str(error), text
        else:
            raise AssertionError(text)


def error(origin=2, kind=11, address=(100, 64, 7, 1)):
    head = struct.pack("=IBBBBII", 113, origin, kind, 0, 0, 0, 0)
    return head + struct.pack("=HH", 2, 0) + bytes(address) + bytes(8)


def test_an_address_comes_from_a_time_exceeded_and_from_nothing_else():
    for name, errors, expected in (
        ("time exceeded", [error()], "100.64.7.1"),
        ("unreachable", [error(kind=3)], None),
        ("of our own host", [error(origin=1)], None),
        ("the second", [error(kind=3), error()], "100.64.7.1"),
        ("cut short", [error()[:20]], None),
        ("empty", [b""], None),
        ("none", [], None),
    ):
        assert hops.offender(errors) == expected, name


def test_a_child_that_failed_has_its_reason():
    for module in (upnp, hops):
        found = module.found_by({"error": "it broke"})
        assert (found["state"], found["reason"]) == ("failed", "it broke"), found
        assert module.found_by(module.verdict("silent")) == module.verdict("silent")

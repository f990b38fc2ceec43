"""OpenWrt's firewall file: forwards and helpers of it, and whatever else may stand there."""

import os

from natwatch.port import openwrt, uci

ROOT = "/tmp/natwatch-openwrt-%s" % os.urandom(6).hex()
TO = "192.168.1.30"


def load(text):
    """openwrt.load() of a file with *text*, str or bytes."""
    try:
        os.mkdir(ROOT)
        os.mkdir(ROOT + "/etc")
        os.mkdir(ROOT + "/etc/config")
    except OSError:
        pass
    path = ROOT + "/" + openwrt.PATH
    with open(path, "wb") as target:
        target.write(text if isinstance(text, bytes) else text.encode())
    try:
        return openwrt.load(ROOT + "/")
    finally:
        os.remove(path)
        for folder in ("/etc/config", "/etc", ""):
            os.rmdir(ROOT + folder)


def redirect(**options):
    """The text of one section; an option None is not there."""
    given = {"src": "wan", "src_dport": "5060", "dest_ip": TO}
    given.update(options)
    lines = ["\toption %s '%s'" % (name, given[name]) for name in given if given[name] is not None]
    return "\n".join(["config redirect"] + lines) + "\n"


def forward(low, high, to_port, to=TO):
    return {"ports": [low, high], "to": to, "to_port": to_port}


def test_words_are_quoted_and_commented_as_uci_does():
    for line, expected in (
        (b"", []),
        (b"  # nothing", []),
        (b"option a b", ["option", "a", "b"]),
        (b"\toption 'a' \"b c\"  # why", ["option", "a", "b c"]),
        (b"option a 'b\\c'", ["option", "a", "b\\c"]),
        (b'option a "b\\"c"', ["option", "a", 'b"c']),
        (b"option a b\\ c", ["option", "a", "b c"]),
        (b"option a b#c\r", ["option", "a", "b#c"]),
        (b"option a ''", ["option", "a", ""]),
        (b"option a 'x'y\"z\"", ["option", "a", "xyz"]),
        (b"option a 'open", None),
        (b'option a "open', None),
        (b"option a \\", None),
        (b"\xff", None),
        (b"a\0b", None),
        (b"x" * 2000, None),
    ):
        assert uci.words(line) == expected, line


def test_of_an_option_the_last_counts_and_of_a_list_all():
    lines = [b"config x name", b"option a 1", b"option a 2", b"list b 1", b"list b 2"]
    assert uci.sections(lines, ("x",)) == ([("x", {"a": ["2"], "b": ["1", "2"]})], 0)
    lines += [b"config y", b"option a 3", b"package p", b"odd", b"option a", b"config"]
    assert uci.sections(lines, ("x",)) == ([("x", {"a": ["2"], "b": ["1", "2"]})], 3)


def test_a_redirect_is_a_forward_of_udp_where_fw4_makes_one():
    for options, expected in (
        ({}, [forward(5060, 5060, 5060)]),
        ({"proto": "udp"}, [forward(5060, 5060, 5060)]),
        ({"proto": "TCP udp"}, [forward(5060, 5060, 5060)]),
        ({"proto": "17"}, [forward(5060, 5060, 5060)]),
        ({"proto": "tcp"}, []),
        ({"proto": "all"}, [forward(1, 65535, None)]),
        ({"proto": "all", "src_dport": None}, [forward(1, 65535, None)]),
        ({"src_dport": None}, [forward(1, 65535, None)]),
        ({"dest_port": "5070"}, [forward(5060, 5060, 5070)]),
        ({"src_dport": "8000-8100"}, [forward(8000, 8100, None)]),
        ({"src_dport": "8000:8100"}, [forward(8000, 8100, None)]),
        ({"src_dport": "8000-8100", "dest_port": "8000-8100"}, [forward(8000, 8100, None)]),
        ({"src_dport": "8000-8100", "dest_port": "5060"}, [forward(8000, 8100, 5060)]),
        ({"dest_ip": TO + "/32"}, [forward(5060, 5060, 5060)]),
        ({"target": "DNAT", "family": "ipv4", "enabled": "1"}, [forward(5060, 5060, 5060)]),
        ({"enabled": "0"}, []),
        ({"enabled": "off"}, []),
        ({"target": "SNAT"}, []),
        ({"family": "ipv6"}, []),
        ({"dest_ip": "fd00::1"}, []),
        ({"dest_ip": None}, []),
        ({"src": None}, []),
    ):
        told = load(redirect(**options))
        assert told["forwards"] == expected and told["unread"] == 0, (options, told)


def test_a_redirect_that_is_not_understood_is_counted():
    for options in (
        {"src_dport": "!5060"},
        {"src_dport": "sip"},
        {"src_dport": "5060-"},
        {"src_dport": "0"},
        {"src_dport": "70000"},
        {"src_dport": "5070-5060"},
        {"src_dport": "1-2-3"},
        {"src_dport": "\u00b2"},
        {"src_dport": ""},
        {"dest_port": "x"},
        {"src_dport": "8000-8100", "dest_port": "9000-9100"},
        {"dest_ip": "phone"},
        {"dest_ip": "192.168.1.0/24"},
        {"dest_ip": "!192.168.1.30"},
    ):
        told = load(redirect(**options))
        assert told["forwards"] == [] and told["unread"] == 1, (options, told)


def test_equal_forwards_are_one_and_a_host_has_no_more_than_48():
    assert load(redirect() * 3)["forwards"] == [forward(5060, 5060, 5060)]
    told = load("".join([redirect(src_dport="%d" % (6000 + n)) for n in range(50)]))
    assert len(told["forwards"]) == 48 and told["unread"] == 2


def test_the_helper_is_given_as_fw4_gives_it():
    lan, wan = "config zone\n\toption name lan\n", "config zone\n\toption masq 1\n"
    for text, given in (
        (lan + wan, True),
        (wan, False),
        ("config defaults\n\toption auto_helper 0\n" + lan, False),
        ("config defaults\n\toption auto_helper 0\n" + lan + "\tlist helper sip\n", True),
        (lan + "\toption auto_helper 0\n", False),
        ("config rule\n\toption target HELPER\n\toption set_helper sip\n", True),
        ("config rule\n\toption set_helper ftp\n", False),
        ("", False),
    ):
        assert load(text)["sip"] is given, text


def test_no_file_is_no_openwrt():
    assert openwrt.load("/nowhere/at/all/") is None


def test_a_long_file_is_read_in_part_and_says_so():
    told = load(redirect() + "# long\n" * 9000)
    assert told["forwards"] == [forward(5060, 5060, 5060)] and told["unread"] >= 1, told
    assert load("config redirect\n" * 600)["unread"] >= 88


def test_whatever_stands_there_ends_in_no_traceback():
    whole = (
        redirect(proto="udp", dest_port="5070") + "config zone\n\tlist helper 'sip'\n"
    ).encode()
    random = os.urandom(4 * 600)
    for index in range(600):
        place = int.from_bytes(random[4 * index : 4 * index + 2], "big") % len(whole)
        odd = bytes([random[4 * index + 2]]) * (random[4 * index + 3] % 3)
        told = load(whole[:place] + odd + whole[place + 1 :])
        assert len(told["forwards"]) <= 1 and told["unread"] >= 0, told
    for _ in range(60):
        told = load(os.urandom(300))
        assert told["forwards"] == [], told

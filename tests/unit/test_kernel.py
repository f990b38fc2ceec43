"""What the kernel of a router is set to, from trees of files made here, on both interpreters."""

import os

from natwatch.port import kernel

ROOT = "/tmp/natwatch-kernel-%s/" % os.urandom(6).hex()
ROUTES = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "wan\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "wan\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)
LAN = "br-lan\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
NETFILTER = "proc/sys/net/netfilter/"
ROUTER = {
    "proc/sys/net/ipv4/ip_forward": "1\n",
    "proc/net/route": ROUTES + LAN,
    NETFILTER + "nf_conntrack_udp_timeout": "30\n",
    NETFILTER + "nf_conntrack_udp_timeout_stream": "120\n",
    "proc/sys/kernel/osrelease": "6.6.73\n",
    "proc/modules": "nf_conntrack 98304 5 nf_nat, Live 0x0000000000000000\n",
    "sys/module/nf_conntrack/parameters": "",
}
LOADED = "nf_conntrack_sip 28672 1 nf_nat_sip, Live 0x0\n"
BUILT_IN = {"sys/module/nf_conntrack_sip/parameters": ""}
FIREWALL = """
config defaults
	option input 'REJECT'

config zone
	option name 'lan'

config zone
	option name 'wan'
	option masq '1'
"""
REDIRECT = """
config redirect
	option name 'SIP'
	option src 'wan'
	option src_dport '5060'
	option dest 'lan'
	option dest_ip '192.168.1.30'
"""
NOTHING = {"forwards": [], "helpers": [], "timers": [], "unread": 0, "foreign": False}
SIP = {"ports": [5060, 5060], "to": "192.168.1.30", "to_port": 5060}


def remove(path):
    try:
        names = os.listdir(path)
    except OSError:
        os.remove(path)
        return
    for name in names:
        remove(path + "/" + name)
    os.rmdir(path)


def make(files):
    """A tree of *files*, {path: text or bytes}; None: there is none."""
    for path in sorted(files):
        if files[path] is None:
            continue
        folder = ROOT[:-1]
        for part in path.split("/"):
            try:
                os.mkdir(folder)
            except OSError:
                pass
            folder = folder + "/" + part
        text = files[path]
        with open(folder, "wb") as target:
            target.write(text if isinstance(text, bytes) else text.encode())


def configured(changes=(), rules=None):
    """kernel.configured() of a router whose files have *changes*."""
    files = dict(ROUTER)
    files.update(dict(changes))
    make(files)
    try:
        return kernel.configured(ROOT, rules)
    finally:
        remove(ROOT[:-1])


def noted(told, words):
    return len([note for note in told["notes"] if words in note])


def test_a_router_tells_its_timers_by_the_state_of_a_binding():
    told = configured(rules=NOTHING)
    timers = {"oneway": 30, "replied": 30, "stream": 120}
    expected = {"router": True, "timers": timers, "helpers": [], "forwards": [], "notes": []}
    assert told == expected, told


def test_before_linux_5_the_first_answer_makes_a_stream():
    for release, replied in (
        ("4.14.221\n", 180),
        ("3.2.0-4-amd64\n", 180),
        ("5.0.0\n", 60),
        ("6.18.44-x\n", 60),
        ("", None),
        ("odd\n", None),
    ):
        told = configured(
            {
                "proc/sys/kernel/osrelease": release,
                NETFILTER + "nf_conntrack_udp_timeout": "60\n",
                NETFILTER + "nf_conntrack_udp_timeout_stream": "180\n",
            },
            NOTHING,
        )
        assert told["timers"] == {"oneway": 60, "replied": replied, "stream": 180}, told
        assert noted(told, "version could not be read") == (replied is None), told


def test_very_old_kernels_have_other_names():
    old = "proc/sys/net/ipv4/netfilter/ip_conntrack_udp_timeout"
    gone = {NETFILTER + "nf_conntrack_udp_timeout" + end: None for end in ("", "_stream")}
    told = configured(dict(gone, **{old: "31\n", old + "_stream": "121\n"}), NOTHING)
    assert told["router"] and told["timers"]["oneway"] == 31, told
    told = configured(gone, NOTHING)
    assert told["router"] is False and told["timers"] is None, told
    assert noted(told, "timers for UDP could not be read"), told


def test_who_is_no_router_is_told_apart_from_who_cannot_tell():
    route = "%s\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    for changes, router in (
        ({}, True),
        ({"proc/sys/net/ipv4/ip_forward": "0\n"}, False),
        ({"proc/sys/net/ipv4/ip_forward": None}, None),
        ({"proc/sys/net/ipv4/ip_forward": "x"}, None),
        ({"proc/net/route": None}, None),
        ({"proc/net/route": ""}, False),
        ({"proc/net/route": b"\xff\xfe\0"}, None),
        ({"proc/net/route": ROUTES}, False),
        ({"proc/net/route": LAN}, False),
        ({"proc/net/route": ROUTES + route % "docker0"}, False),
        ({"proc/net/route": ROUTES + route % "br-0123456789ab"}, False),
        ({"proc/net/route": ROUTES + route % "wg0"}, False),
        ({"proc/net/route": ROUTES + route % "eth1"}, True),
        ({"proc/net/route": ROUTES + (route % "eth1").replace("0001\t0", "0000\t0")}, False),
        ({"proc/net/route": ROUTES + (route % "eth1").replace("00FFFFFF", "FFFFFFFF")}, False),
        ({"proc/net/route": ROUTES + (route % "eth1").replace("0001\t0", "0201\t0")}, False),
        # A point-to-point line needs no gateway.
        ({"proc/net/route": LAN + "pppoe-wan 00000000 00000000 0001 0 0 0 00000000 0 0 0\n"}, True),
    ):
        assert configured(changes, NOTHING)["router"] is router, changes


def test_a_sip_helper_is_told_where_it_is_used_and_unknown_where_nobody_can_tell():
    modules = {"proc/modules": ROUTER["proc/modules"] + LOADED}
    loaded = dict(BUILT_IN, **modules)
    automatic = {NETFILTER + "nf_conntrack_helper": "1\n"}
    off = {NETFILTER + "nf_conntrack_helper": "0\n"}
    used = dict(NOTHING, helpers=["sip"])
    foreign = dict(NOTHING, foreign=True)
    blind = {"proc/modules": None, "sys/module/nf_conntrack/parameters": None}
    openwrt = {"etc/config/firewall": FIREWALL}
    quiet = {"etc/config/firewall": FIREWALL.replace("input 'REJECT'", "auto_helper 0")}
    old = {"proc/net/ip_tables_names": "nat\nfilter\n"}
    for changes, rules, helpers in (
        ({}, None, []),
        (blind, None, None),
        (modules, None, ["sip"]),
        (loaded, None, ["sip"]),
        (loaded, NOTHING, []),
        (loaded, used, ["sip"]),
        (loaded, foreign, ["sip"]),
        (dict(loaded, **old), NOTHING, ["sip"]),
        (dict(loaded, **openwrt), None, ["sip"]),
        (dict(loaded, **quiet), None, []),
        (BUILT_IN, None, None),
        (BUILT_IN, NOTHING, []),
        (BUILT_IN, used, ["sip"]),
        (BUILT_IN, foreign, None),
        (dict(BUILT_IN, **openwrt), None, ["sip"]),
        (dict(BUILT_IN, **quiet), None, []),
        (dict(BUILT_IN, **automatic), NOTHING, ["sip"]),
        (dict(BUILT_IN, **off), NOTHING, []),
        (dict(BUILT_IN, **off), None, None),
        (automatic, NOTHING, []),
    ):
        told = configured(changes, rules)
        assert told["helpers"] == helpers, (changes, rules, told)
        # What is not known has its sentence.
        assert helpers is not None or noted(told, "SIP helper"), told


def test_forwards_are_the_kernels_or_else_those_of_openwrts_configuration():
    openwrt = {"etc/config/firewall": FIREWALL + REDIRECT}
    empty = {"etc/config/firewall": FIREWALL}
    theirs = dict(SIP, to="192.168.1.31")
    old = {"proc/net/ip_tables_names": "nat\n"}
    for changes, rules, forwards, words in (
        ({}, None, None, "could not be listed"),
        ({}, {"error": "it needs root"}, None, "could not be listed: it needs root"),
        ({}, dict(NOTHING, forwards=[theirs]), [theirs], None),
        ({}, dict(NOTHING, unread=2), None, "2 rules that forward were not understood"),
        ({}, dict(NOTHING, foreign=True), None, "rules of iptables"),
        (old, NOTHING, None, "rules of iptables"),
        (old, dict(NOTHING, forwards=[theirs]), [theirs], "rules of iptables"),
        (openwrt, None, [SIP], "without UPnP's"),
        (openwrt, dict(NOTHING, forwards=[theirs]), [theirs], None),
        (openwrt, NOTHING, [], None),
        (dict(openwrt, **old), NOTHING, [SIP], "without UPnP's"),
        (empty, None, [], "without UPnP's"),
        ({"etc/config/firewall": "config x\n" + "odd\n"}, None, [], "not understood"),
    ):
        told = configured(changes, rules)
        assert told["forwards"] == forwards, (changes, rules, told)
        assert words is None or noted(told, words) == 1, (words, told)


def test_timers_that_rules_give_are_told_and_where_they_cannot_be_seen_that_is_told():
    timer = {"name": "port5060", "unreplied": 11, "replied": None}
    told = configured(rules=dict(NOTHING, timers=[timer]))
    assert noted(told, "another timer: port5060, 11 and None s") == 1, told
    assert noted(configured(), "to single ports cannot be seen") == 1


def test_bad_files_end_in_no_traceback_and_in_no_number():
    for bad in (
        "",
        "\n",
        "x",
        "-5\n",
        "99999999999999999999\n",
        b"\xff\xfe",
        "1 2\n",
        b"\0" * 99999,
    ):
        changes = {path: bad for path in ROUTER}
        changes["etc/config/firewall"] = bad
        told = configured(changes)
        assert told["timers"] is None and told["router"] is not True, told


def test_this_machine_can_be_asked_as_well():
    assert kernel.is_router("/") in (True, False, None)
    assert kernel.configured("/")["notes"]
    assert kernel.is_router("/nowhere/") is None

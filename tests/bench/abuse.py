"""make bench-abuse: strangers who lie about their address, while real agents measure.

    ABUSE_RATE=50000 ABUSE_SECONDS=30 ABUSE_AGENTS=50 ABUSE_PROCESSES=2 python -m tests.bench.abuse

Beside the agents' NAT a host *liar* is joined to the provider, and everything that the reflector
sends to an address of nobody goes there and is counted by the kernel. Exit status 1 if anything
was pushed to such an address, a verdict is wrong, the reflector's memory grew, fewer than 95 of
100 teeth are known, or fewer datagrams arrived than were to be sent.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from natwatch.wire.auth import device_key
from tests.bench.jobs import Job, Row, run, table
from tests.lab import HOME, REFLECTOR_A, REFLECTOR_B, Lab, Link, Topology
from tests.lab.stage import INTERPRETERS, ROOT, Stage, stop

TIMER = 12  # s, of the agents' NAT; a search takes about 30 s then
_LIMIT = 20  # s: longer lifetimes are not searched for
_LIAR = "198.18.0.2"
_CUSTOMERS = "203.0.113"  # the network of the agents' public address, which has .9
_SNIFFED = 400  # datagrams of agents that the liar has seen and sends again
_CLASSES = ("udp/stun", "udp/sip")
_KNOWN = 0.95
_GROWN = 4.0  # MB (10^6) of the reflector's memory that are no growth: what is bounded fills up
_SHORT = 0.98  # of the datagrams that were to come; timers of a busy machine are late

# Binding indications and SIP OPTIONS are what a push may be; the rest is answers.
_COUNT = f"""
counter pushes {{ }}
counter options {{ }}
counter answers {{ }}
chain incoming {{
    type filter hook prerouting priority -300;
    ip daddr {_LIAR} accept
    meta l4proto udp @th,64,16 0x0011 counter name pushes drop
    meta l4proto udp @th,64,32 0x4f505449 counter name options drop
    meta l4proto udp counter name answers drop
}}
"""


def topology(agents: int) -> Topology:
    """HOME with so many phones, of an address each, and the liar."""
    phones = [
        Link(f"phone{number}", f"192.168.1.{20 + number}/24", "router", "192.168.1.1/24")
        for number in range(agents)
    ]
    liar = Link("liar", f"{_LIAR}/24", "provider", "198.18.0.1/24")
    return replace(HOME, links=(*phones, HOME.links[1], liar))


def abuse(rate: int, seconds: int, agents: int, processes: int) -> list[Row]:
    """*rate* datagrams a second for so many *seconds* or until the agents' searches end."""
    with Lab(topology(agents)) as lab:
        stage = Stage(lab)
        lab.router.set_timers(udp=TIMER, stream=TIMER)
        _lead_to_the_liar(lab)
        reflector = stage.start_reflector("--processes", str(processes))
        stolen = device_key(stage.master, "stolen").hex()
        with lab.on("provider"):
            sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0x0800)
        sniffer.bind(("to-router", 0x0800))
        searches = [_search(stage, number) for number in range(agents)]
        sniffed = _sniff(sniffer, 2 + 0.12 * agents)
        before = _memory(reflector.pid)
        told = {
            **{"interface": "to-provider", "from_mac": _mac(lab, "liar", "to-provider")},
            **{"to_mac": _mac(lab, "provider", "to-liar"), "own": _LIAR, "seed": 1},
            **{"addresses": [REFLECTOR_A, REFLECTOR_B], "device": "stolen", "key": stolen},
            **{"customers": _CUSTOMERS, "rate": rate, "seconds": seconds, "sniffed": sniffed},
        }
        argv = [sys.executable, "-m", "tests.bench.flood", json.dumps(told)]
        flood = stage.spawn("flood", "liar", argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        came = _udp(lab)
        peak = before
        while flood.poll() is None:
            time.sleep(0.5)
            peak = max(peak, _memory(reflector.pid))
        printed, _ = flood.communicate()
        sent = json.loads(printed)
        results = [json.loads(search.communicate(timeout=120)[0] or "{}") for search in searches]
        arrived, overflowed = (now - then for now, then in zip(_udp(lab), came, strict=True))
        after = _memory(reflector.pid)
        caught = _caught(lab)
        stop(reflector)
        counters = stage.expect("reflector", "counters", 5).partition("counters ")[2]
    row: Row = {"what": "abuse", "rate": rate, "agents": agents, "processes": processes}
    row.update({"sent": sent["sent"], "sent_seconds": sent["seconds"], "nonce": sent["nonce"]})
    row.update({"arrived": arrived, "overflowed": overflowed, "sent_bytes": sent["bytes"]})
    row.update({"before": before, "peak": peak, "after": after, "caught": caught})
    row.update({"sniffed": len(sniffed), "counters": json.loads(counters)})
    return [{**row, **judge(results)}]


def judge(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What the searches said: verdicts, which of them are wrong, teeth and the known ones."""
    verdicts = [one for one in results if one.get("lo") is not None]
    teeth = {kind: sum(one.get(kind, 0) for one in results) for kind in _TEETH}
    return {
        "verdicts": len(verdicts),
        "wrong": [
            [one["lo"], one["hi"]]
            for one in verdicts
            if not one["lo"] <= TIMER <= (one["hi"] or _LIMIT)
        ],
        "reasons": sorted({one.get("reason") or "no result" for one in results} - {"no result"}),
        **teeth,
    }


_TEETH = ("alive", "expired", "unknown")


def _lead_to_the_liar(lab: Lab) -> None:
    """Whatever the provider sends to addresses of nobody."""
    ways = ("default", f"{_CUSTOMERS}.128/25")
    for way in ways:
        lab.run("provider", ["ip", "route", "add", way, "via", _LIAR])
    for name in ("all", "to-liar"):
        lab.sysctl("provider", f"net/ipv4/conf/{name}/rp_filter", 0)
    lab.nft("liar", "count", _COUNT)


def _search(stage: Stage, number: int) -> "subprocess.Popen[str]":
    program = list(INTERPRETERS.values())[number % 2]
    device = f"box-{number}"
    key_file = stage.folder / f"{device}.key"
    key_file.write_text(device_key(stage.master, device).hex())
    options = ["--reflector", REFLECTOR_A, "--device", device, "--key-file", str(key_file)]
    options += ["--json", "--class", _CLASSES[number // 2 % 2], "--state", "replied"]
    options += ["--limit", str(_LIMIT)]
    argv = [*program, "-m", "natwatch", "lifetime", *options]
    return stage.spawn(device, f"phone{number}", argv, stdout=subprocess.PIPE, text=True)


def _sniff(sniffer: socket.socket, seconds: float) -> list[str]:
    """What agents sent within so many seconds, in hex: UDP payloads of what is authenticated."""
    found: list[str] = []
    end = time.monotonic() + seconds
    with sniffer:
        sniffer.settimeout(0.2)
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                packet = sniffer.recv(4096)
                data = packet[28:]
                if packet[9] == socket.IPPROTO_UDP and packet[12:16] == b"\xcb\x00\x71\x09":
                    if len(data) > 60 and len(found) < _SNIFFED:
                        found.append(data.hex())
    return found


def _mac(lab: Lab, host: str, interface: str) -> str:
    found: str = json.loads(lab.run(host, ["ip", "-j", "link", "show", interface]))[0]["address"]
    return found


def _udp(lab: Lab) -> tuple[int, int]:
    """(datagrams that programs of the provider received, those for which there was no room)."""
    with lab.on("provider"):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp: "))
    fields = dict(zip(names, values, strict=True))
    return int(fields["InDatagrams"]), int(fields["RcvbufErrors"])


def _memory(pid: int) -> float:
    """Megabytes (10^6) of VmRSS of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for one in (str(pid), *children):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def _caught(lab: Lab) -> dict[str, list[int]]:
    """{name: [packets, bytes with IP headers]} of what came to addresses of nobody."""
    listed = json.loads(lab.run("liar", ["nft", "-j", "list", "counters"]))["nftables"]
    counters = [one["counter"] for one in listed if "counter" in one]
    return {one["name"]: [one["packets"], one["bytes"]] for one in counters}


# What is shown


def faults(row: Row) -> list[str]:
    """What the reflector or the agents did that they must not, a sentence each."""
    found = []
    pushed = row["caught"]["pushes"][0] + row["caught"]["options"][0]
    if pushed:
        found.append(f"{pushed} datagrams were pushed to addresses that proved nothing")
    if row["wrong"]:
        found.append(f"{len(row['wrong'])} verdicts are wrong: {row['wrong']}")
    if row["peak"] - row["before"] > _GROWN * row["processes"]:
        found.append(f"the reflector grew from {row['before']:.1f} to {row['peak']:.1f} MB")
    if known(row) < _KNOWN:
        found.append(f"{100 * known(row):.1f} % of the teeth are known")
    if not row["nonce"]:
        found.append("the stolen box got no nonce: its holds were worth nothing")
    return found


def known(row: Row) -> float:
    """The share of teeth whose fate is known."""
    teeth = sum(row[kind] for kind in _TEETH)
    return (row["alive"] + row["expired"]) / teeth if teeth else 0.0


def show(rows: list[Row]) -> int:
    """Prints; how many faults there were, a flood slower than it should have been among them."""
    bad = 0
    print(f"\nA flood of liars, agents behind one NAT of {TIMER} s, both interpreters\n")
    columns = "sent a second | read a second | no room a second | reflector MB before, peak, after"
    columns += " | pushed to liars | answers to liars | verdicts | wrong | teeth | >known %"
    cells = []
    for row in rows:
        seconds = row["sent_seconds"]
        cells.append([
            f"{row['sent'] / seconds:.0f}", f"{row['arrived'] / seconds:.0f}",
            f"{row['overflowed'] / seconds:.0f}",
            f"{row['before']:.1f}, {row['peak']:.1f}, {row['after']:.1f}",
            row["caught"]["pushes"][0] + row["caught"]["options"][0], row["caught"]["answers"][0],
            f"{row['verdicts']} of {row['agents']}", len(row["wrong"]),
            sum(row[kind] for kind in _TEETH), f"{100 * known(row):.1f}",
        ])  # fmt: skip
    table(columns, cells)
    for row in rows:
        print(f"\ncounters {json.dumps(row['counters'], sort_keys=True)}")
        print(f"answers to liars, bytes: {row['caught']['answers'][1]} for {row['sent_bytes']}")
        for reason in row["reasons"]:
            print(f"unknown: {reason}")
        told = faults(row)
        if row["sent"] < _SHORT * row["rate"] * row["sent_seconds"]:
            told.append(f"this machine sent {row['sent'] / row['sent_seconds']:.0f} a second only")
        for fault in told:
            print(f"not as promised: {fault}")
        bad += len(told)
    return bad


def main() -> int:
    rate, seconds, agents, processes = (
        int(os.environ.get(f"ABUSE_{name}", default))
        for name, default in (
            ("RATE", "50000"), ("SECONDS", "30"), ("AGENTS", "50"), ("PROCESSES", "2"),
        )
    )  # fmt: skip
    work = partial(abuse, rate, seconds, agents, processes)
    rows, errors = run([Job("abuse", 2.0 * seconds + 60, work)])
    for name, error in errors.items():
        print(f"no result for {name}: {error}")
    return 1 if show(rows) or errors else 0


if __name__ == "__main__":
    sys.exit(main())

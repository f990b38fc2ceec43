"""natwatch-noc: what it prints, and how it ends."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from natwatch_provider.noc import cli, tables
from natwatch_provider.store.database import Database
from tests.provider.reports import (
    HOME,
    LATEST,
    birth,
    envelope,
    latest_data,
    lifetime_data,
    message,
    report,
)
from tests.provider.test_ingest import Collector


@pytest.fixture
def filled(database: Database, address: str) -> str:
    """A database in which home-1 has shrunk from 40 to 15 s, and home-2 has said nothing."""
    collector = Collector(database)
    now = time.time()
    brackets = [(39.6, 40.4)] * 3 + [(14.6, 15.4)] * 2
    collector.take(birth(1, at=now))
    for seq, (lo, hi) in enumerate(brackets, 1):
        collector.take(report(seq, lifetime_data(lo, hi, seq), t=now - 100 + seq))
    unknown = lifetime_data(None, None, 6, reason="no witness came back")
    collector.take(report(6, unknown, t=now - 90))
    collector.take(report(1, {}, device="home-2", kind="health"))
    return address


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_devices_are_a_table(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--database", filled, "devices")
    assert (code, err) == (0, "")
    heading, first, second = out.splitlines()
    assert heading.split()[:5] == ["DEVICE", "NOW", "SEEN", "CALLS", "ARRIVE"]
    assert first.split()[:2] == ["home-1", "online"]
    assert "critical" in first and "14.6 to 15.4 s" in first
    assert second.split()[:2] == ["home-2", "online"] and "unknown" in second
    # aligned: each cell of a column begins where its title does
    assert first.index("critical") == heading.index("ALERT")
    assert first.index("14.6") == heading.index("SIP LIFETIME") == second.index("unknown")


def test_lifetimes_of_a_device_are_its_keys_and_its_measurements(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--database", filled, "lifetimes", "home-1")
    assert code == 0
    keys, measurements = out.split("\n\n")
    (key,) = keys.splitlines()[1:]
    assert "14.6 to 15.4 s" in key and "39.6 to 40.4 s" in key and HOME["gateway"] in key
    assert len(measurements.splitlines()) == 1 + 6
    assert "no witness came back" in measurements.splitlines()[1]
    _, out, _ = run(capsys, "--database", filled, "lifetimes", "home-1", "--limit", "2")
    assert len(out.split("\n\n")[1].splitlines()) == 1 + 2


def test_alerts_show_old_new_and_meaning(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--database", filled, "alerts")
    assert code == 0
    row, meaning = out.splitlines()[1], " ".join(out.splitlines()[3:])
    for part in ("critical", "home-1", "39.6 to 40.4 s", "14.6 to 15.4 s", "open"):
        assert part in row
    assert "every 20s" in meaning


@pytest.mark.parametrize(
    "verb", [["devices"], ["device", "home-1"], ["lifetimes", "home-1"], ["alerts", "--all"]]
)
def test_json_is_json_without_colour(
    filled: str, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--database", filled, *verb, "--json")
    assert code == 0 and json.loads(out) and "\033" not in out


def test_json_of_an_alert_has_its_evidence(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    (alert,) = json.loads(run(capsys, "--database", filled, "alerts", "--json")[1])
    assert {one["rule"] for one in alert["evidence"]} == {"relative", "short", "thin"}


def test_the_environment_names_the_database(
    filled: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATWATCH_DATABASE", filled)
    assert run(capsys, "devices")[0] == 0


def test_nothing_yet_is_said_in_words(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = Database(address)
    database.upgrade()
    database.close()
    assert "no device" in run(capsys, "--database", address, "devices")[1]
    assert run(capsys, "--database", address, "alerts")[1] == "no alert\n"


WRONG = (
    (["devices"], 2, "expected --database URL or NATWATCH_DATABASE, found neither"),
    (["--database", "mysql://x/y", "devices"], 2, "found 'mysql'"),
    (["--database", "sqlite:////nowhere/none.db", "devices"], 1, "found no such file"),
    (["--database", "postgresql://127.0.0.1:1/none", "devices"], 1, "cannot be read"),
    (["--database", "sqlite:///x", "lifetimes"], 2, "DEVICE"),
    (["--database", "sqlite:///x", "device"], 2, "DEVICE"),
    (["--database", "sqlite:////nowhere/none.db", "device", "a"], 1, "found no such file"),
    (["--database", "sqlite:///x", "lifetimes", "a", "--limit", "0"], 2, "found '0'"),
    (["--database", "sqlite:///x"], 2, "COMMAND"),
)


@pytest.mark.parametrize(("arguments", "code", "sentence"), WRONG)
def test_what_cannot_be_done_is_one_sentence_and_a_code(
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NATWATCH_DATABASE", raising=False)
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert sentence in err and "Traceback" not in err


def test_a_file_that_is_no_database_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be sure " * 40)
    code, _, err = run(capsys, "--database", f"sqlite:///{tmp_path}/text.db", "devices")
    assert code == 1 and len(err.splitlines()) == 1


def test_an_unknown_device_is_told_apart_from_a_silent_one(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("lifetimes", "device"):
        code, _, err = run(capsys, "--database", filled, verb, "home-9")
        assert code == 1 and "'home-9'" in err and len(err.splitlines()) == 1
    code, out, _ = run(capsys, "--database", filled, "lifetimes", "home-2")
    assert code == 0 and "has not reported a lifetime yet" in out


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0 and "examples:" in out and "natwatch-noc lifetimes home-1" in out


AGES = ((0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"))


@pytest.mark.parametrize(("seconds", "text"), [*AGES, (172800, "2 days"), (-5, "0 s")])
def test_an_age_is_in_the_unit_that_people_use(seconds: int, text: str) -> None:
    assert tables.age(1000.0, 1000.0 + seconds) == text


class Told:
    """A database to which one box, home-1, tells its reports, *ago* seconds before now."""

    def __init__(self, database: Database, address: str) -> None:
        self._collector, self.address, self._seq = Collector(database), address, 0

    def tell(self, data: dict[str, Any], kind: str = "lifetime", ago: float = 60.0) -> None:
        self._seq += 1
        if kind == "lifetime":
            data = {**data, "id": self._seq}
        now = time.time()
        payload = envelope(self._seq, data, kind=kind, t=now - ago)
        self._collector.take(message("report", payload, at=now))

    def page(self, capsys: pytest.CaptureFixture[str]) -> str:
        code, out, err = run(capsys, "--database", self.address, "device", "home-1")
        assert (code, err) == (0, "")
        assert max(len(line) for line in out.splitlines()) <= 80
        return out

    def cell(
        self, capsys: pytest.CaptureFixture[str], title: str = "CALLS ARRIVE", then: str = "VERDICT"
    ) -> str:
        """What stands in the column *title*, which is followed by *then*."""
        _, out, _ = run(capsys, "--database", self.address, "devices")
        heading, row = out.splitlines()
        column, after = heading.index(title), heading.index(then)
        return row[column:after].strip()


@pytest.fixture
def told(database: Database, address: str) -> Told:
    return Told(database, address)


CELLS = (
    ({}, 60, "99.8 %"),  # the day's share counts more than that of the last report
    ({"day": None}, 60, "91.7 %"),
    ({"day": None, "share": None, "reachable": None}, 60, "-"),
    ({"day": 100}, 60, "100.0 %"),
    ({"day": 99.97}, 60, "99.9 %"),
    ({"day": 0}, 60, "0.0 %"),
    ({"reachable": None}, 60, "99.8 %"),
    ({"reachable": False}, 60, "NO"),
    ({"reachable": False, "day": None, "share": None}, 60, "NO"),
    ({}, 2 * 86400, "-"),
    ({"reachable": False}, 2 * 86400, "-"),
)


@pytest.mark.parametrize(("fields", "ago", "cell"), CELLS)
def test_devices_show_whether_a_call_would_have_arrived(
    told: Told,
    fields: dict[str, Any],
    ago: float,
    cell: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told.tell(latest_data("resident", **fields), "resident", ago)
    assert told.cell(capsys) == cell


VERDICTS = (
    ({}, 60, "NOT READY"),
    ({"verdict": "ready"}, 86400, "ready"),
    ({"verdict": "unknown"}, 60, "unknown"),
    ({"verdict": "ready"}, 3 * 86400, "-"),
)


@pytest.mark.parametrize(("fields", "ago", "cell"), VERDICTS)
def test_devices_show_the_verdict_on_the_line(
    told: Told,
    fields: dict[str, Any],
    ago: float,
    cell: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told.tell(latest_data("check", **fields), "check", ago)
    assert told.cell(capsys, "VERDICT", "ALERT") == cell


def test_a_box_that_never_said_whether_calls_arrive_has_a_dash(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.tell(latest_data("advice"), "advice")
    assert told.cell(capsys) == told.cell(capsys, "VERDICT", "ALERT") == "-"


def test_the_page_of_a_box_has_all_that_is_known_each_with_its_age(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    for minutes, kind in enumerate(LATEST, 5):
        told.tell(latest_data(kind), kind, 60.0 * minutes)
    told.tell(lifetime_data(39.6, 40.4), ago=15 * 60)
    told.tell(lifetime_data(29.6, 30.4, **{"class": "udp/stun"}, state="oneway"), ago=16 * 60)
    told.tell(lifetime_data(600, None, state="refreshed", extends=True), ago=17 * 60)
    told.tell(lifetime_data(30, 31, state="replied", difference="SIP dies at 12 s"), ago=18 * 60)
    page = told.page(capsys)
    for line in (
        r"home-1: online, last seen \d+ s ago",
        r"calls arrive       99.8 % in 24 h; 91.7 % in the last 60 min  +5 min",
        r"                   11 arrived, 1 missed, 2 unknown in 60 min",
        r"keepalive advice   a keepalive every 24 s holds the binding, .* 8 min",
        r"                   every 24 s, margin thin",
        r"                   in use: every 30 s, does NOT hold",
        r"                   steps: R7c",
        r"mapping            address-and-port-dependent  +6 min",
        r"filtering          unknown: the alternate address 198.51.100.7 does",
        r"address pooling    single",
        r"port preservation  8 of 8 ports",
        r"hairpin            no",
        r"classic name       Port Restricted Cone \(pystun3: Restric Port NAT\)",
        r"                   pystun3 sees no mapping by port, since this NAT",
        r"keepalives         arrives: crlf, stun  +7 min",
        r"                   lost: empty",
        r"watching           4.84 MB a day planned  +9 min",
        r"ports              BLOCKED: 8500-8599, 9999  +10 min",
        r"                   1903 of 2004 known are open",
        r"                   1 of 23 requests to open ports were lost",
        r"voice              out: MOS 4.1 \(g711\), MOS 3.8 \(g729\)  +11 min",
        r"                   out: 2.0 % lost, jitter 1.2 ms",
        r"                   in: MOS 4.4 \(g711\), MOS 4.1 \(g729\)",
        r"                   in: 0.0 % lost, jitter 0.8 ms",
        r"                   round trip 22 ms",
        r"verdict            NOT READY: reach.blocked.rtp  +12 min",
        r"                   notes: nat.filtering.inbound",
        r"                   not met: R2",
        r"                   not measured: R5",
        r"which box is short the customer's router \(hop 1, ACME X1\) +13 min",
        r"                     stream 39.4 to 40.6 s, the shortest",
        r"                     replied 29.4 to 30.6 s",
        r"                   the carrier's NAT \(hop 3\)",
        r"                     stream 119.0 to 120.2 s",
        r"lifetimes now: gateway 192.168.1.1, public address 203.0.113.9",
        r"udp/sip   stream     39.6 to 40.4 s  every 40 s +15 min",
        r"udp/stun  oneway     29.6 to 30.4 s  checked every 6 h +16 min",
        r"udp/sip   refreshed  over 600 s      not planned +17 min",
        r"  udp/sip refreshed: packets from outside extend the binding",
        r"  udp/sip replied, 18 min ago: SIP dies at 12 s",
    ):
        assert re.search(f"^{line}", page, re.MULTILINE), line
    assert "another line" not in page


def test_the_page_of_a_box_that_measured_nothing_says_so(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--database", filled, "device", "home-2")
    assert code == 0
    titles = ("calls arrive", "verdict", "ports", "voice", "keepalive advice", "NAT behaviour")
    titles += ("which box is short",)
    for title in (*titles, "keepalives"):
        assert re.search(f"^{title} +not measured$", out, re.MULTILINE)
    assert "lifetimes: not measured" in out and "none reported" in out


def test_what_is_unknown_is_shown_with_its_reason(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"share": None, "day": None, "reachable": None, "reason": "no witness"}
    told.tell(latest_data("resident", **nothing), "resident")
    told.tell(latest_data("keepalives", kinds={}, reason="no answer"), "keepalives")
    told.tell(latest_data("check", verdict="unknown", codes=[], requirements={}), "check")
    told.tell(latest_data("media", out=None, rtt=None, reason="no copy came"), "media")
    nowhere = {"open": 0, "tries": 0, "lost": 0, "reason": "nothing answered"}
    told.tell(latest_data("reach", **nowhere), "reach")
    told.tell(latest_data("advice", margin="unknown", interval_s=None, reason="nothing"), "advice")
    classic = {"type": None, "name": None, "reason": "it crashed"}
    unknown = {"mapping": None, "mapping_reason": "it changed", "hairpin": None}
    told.tell(latest_data("nat", **unknown, classic=classic), "nat")
    told.tell(lifetime_data(39.6, 40.4))
    told.tell(lifetime_data(None, None, reason="the line was down"), ago=30)
    told.tell(lifetime_data(None, None, state="oneway", reason="no audit"), ago=30)
    page = told.page(capsys)
    for line in (
        r"calls arrive       at present unknown: no witness ",
        r"keepalive advice   unknown: nothing ",
        r"mapping            unknown: it changed ",
        r"hairpin            not measured",
        r"classic name       unknown by our own verdict \(pystun3: unknown: it\n +crashed\)",
        r"keepalives         unknown: no answer ",
        r"verdict            unknown ",
        r"voice              out: unknown: no copy came ",
        r"                   in: MOS 4.4",
        r"ports              at present unknown: nothing answered ",
        r"                   BLOCKED: 8500-8599, 9999",
        r"udp/sip  stream  39.6 to 40.4 s ",
        r"udp/sip  oneway  unknown ",
        r"  udp/sip stream: latest, 3\d s ago, unknown: the line was down",
        r"  udp/sip oneway: latest, 3\d s ago, unknown: no audit",
    ):
        assert re.search(f"^{line}", page, re.MULTILINE), line


def test_boxes_that_are_not_all_known_or_in_dispute_are_said_to_be(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.tell(latest_data("layers", complete=False, agree=False, reason="hop 2 hides"), "layers")
    page = " ".join(told.page(capsys).split())
    for text in (
        "there may be more: not every hop could be looked at",
        "DISAGREE on how many there are: timers says two, upnp says at least two unknown:",
        "unknown: hop 2 hides",
    ):
        assert text in page


def test_a_look_after_a_shrink_says_that_it_was_for_the_shortest_only(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    after = {"class": "udp/sip", "state": "stream", "lo": 14.6, "hi": 15.4}
    boxes = [{**LATEST["layers"]["boxes"][0], "stream": [22.067, None]}]
    told.tell(latest_data("layers", complete=False, after=after, boxes=boxes), "layers")
    page = " ".join(told.page(capsys).split())
    assert "after a shrink only the shortest is looked for" in page and "not every hop" not in page
    assert "over 22 s" in page, page


def test_the_health_of_a_box_stands_on_its_page(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.tell(latest_data("health"), "health")
    page = " ".join(told.page(capsys).split())
    for text in (
        "runs for 2 h, machine for 10 days",
        "24.5 MB of memory, 31 s of processor, 42 descriptors 48 °C",
        "1200 of 7900 MB of storage free",
        "clock: reflector, the system's is off by -86399.8 s, set 1 times",
        "3 reports waited reports DROPPED: lifetime 5 INTERNAL ERRORS: watch 2",
    ):
        assert text in page, page


def test_what_a_platform_does_not_tell_of_its_health_is_left_out(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"memory": {}, "uptime": {}, "counters": {}, "storage": None, "descriptors": None}
    spool = {"waiting": 0, "dropped": {}}
    clock = {"quality": "none", "offset": None, "jumps": 0}
    rest = {"cpu_s": None, "temperature": None, "spool": spool, "clock": clock}
    told.tell(latest_data("health", **nothing, **rest), "health")
    page = " ".join(told.page(capsys).split())
    assert "runs for unknown, machine for unknown 60 s clock: none, set 0 times lifetimes" in page


def test_an_alert_names_its_box_on_the_page_in_the_table_and_in_json(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, bracket in enumerate([(39.6, 40.4)] * 3 + [(14.6, 15.4)] * 2):
        told.tell(lifetime_data(*bracket), ago=100 - index)
    boxes = [{**LATEST["layers"]["boxes"][0], "stream": [14.4, 15.6]}]
    told.tell(latest_data("layers"), "layers", 200)
    told.tell(latest_data("layers", boxes=boxes, short={"stream": 0}), "layers", 10)
    words = "it is the customer's router (hop 1, ACME X1) that forgets sooner: 39.4-40.6s before"
    assert words in " ".join(told.page(capsys).split())
    _, out, _ = run(capsys, "--database", told.address, "alerts")
    assert words in " ".join(out.split())
    for verb in (["alerts"], ["device", "home-1"]):
        found = json.loads(run(capsys, "--database", told.address, *verb, "--json")[1])
        alert = found[0] if verb == ["alerts"] else found["alert"]
        assert (alert["box"]["owner"], alert["box"]["was"]) == ("router", [39.4, 40.6])


def test_a_way_of_which_no_packet_was_timed_has_no_jitter(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    way = {**LATEST["media"]["in"], "jitter": None, "delay_above_least": None, "loss_percent": 100}
    told.tell(latest_data("media", **{"in": way}), "media")
    assert "in: 100.0 % lost, jitter unknown" in told.page(capsys)


def test_what_was_unknown_before_the_latest_measurement_is_not_told(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.tell(lifetime_data(None, None, reason="the line was down"), ago=90)
    told.tell(lifetime_data(None, None, reason="the line was down"), ago=80)
    told.tell(lifetime_data(39.6, 40.4), ago=30)
    page = told.page(capsys)
    assert "the line was down" not in page
    assert page.count("udp/sip  stream") == 1


def test_an_unreachable_phone_and_an_open_alert_stand_on_the_page(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"reachable": False, "reason": "registration unanswered"}
    told.tell(latest_data("resident", **fields), "resident")
    for index, bracket in enumerate([(39.6, 40.4)] * 3 + [(14.6, 15.4)] * 2):
        told.tell(lifetime_data(*bracket), ago=100 - index)
    page = told.page(capsys)
    assert re.search("^calls arrive       NO: registration unanswered; 99.8 %", page, re.MULTILINE)
    assert "ALERT 1, critical, raised" in page and "udp/sip stream 14.6 to 15.4 s" in page


def test_what_was_measured_on_another_line_is_said_to_be(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    mobile = {"gateway": "192.168.8.1", "public": "198.51.100.7", "local": None}
    told.tell(latest_data("nat"), "nat", 3600)
    told.tell(latest_data("advice", context={"gateway": "192.168.8.1"}), "advice", 300)
    told.tell(lifetime_data(39.6, 40.4), ago=3000)
    told.tell(lifetime_data(29.6, 30.4, context=mobile), ago=60)
    now, other = told.page(capsys).split("lifetimes on another line: ")
    assert other.startswith("gateway 192.168.1.1") and "39.6 to 40.4 s" in other
    assert "lifetimes now: gateway 192.168.8.1" in now and "29.6 to 30.4 s" in now
    # of advice only the gateway is known, which is the same
    assert now.count("(on another line: gateway 192.168.1.1") == 1
    assert now.index("(on another line") > now.index("mapping")


def test_json_of_a_device_has_its_latest_reports_as_they_came(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.tell(latest_data("nat", newer="field"), "nat")
    told.tell(lifetime_data(39.6, 40.4, state="refreshed", extends=False))
    _, out, _ = run(capsys, "--database", told.address, "device", "home-1", "--json")
    found = json.loads(out)
    assert found["latest"]["nat"]["data"] == latest_data("nat", newer="field")
    assert [(one["lo"], one["extends"]) for one in found["keys"]] == [(39.6, False)]

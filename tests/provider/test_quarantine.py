"""What cannot be read: kept within bounds, acknowledged where it has a number, and shown."""

import base64
import json
import time
from typing import Any

import pytest

from natwatch_provider.collector.counts import REASONS
from natwatch_provider.collector.messages import Message
from natwatch_provider.noc import cli
from natwatch_provider.store import quarantine
from natwatch_provider.store.database import Database
from natwatch_provider.store.quarantine import Gone, Unread
from natwatch_provider.store.schema import device, quarantine_gone, report, stream
from natwatch_provider.store.schema import quarantine as table
from tests.provider.reports import BOOT, NEXT_BOOT, birth, envelope, message
from tests.provider.reports import report as report_of
from tests.provider.test_ingest import Collector


@pytest.fixture
def collector(database: Database) -> Collector:
    return Collector(database)


# What has a number although it cannot be used, and the reason.
NUMBERED = (
    ("unknown_version", report_of(1, v=2)),
    ("unknown_version", report_of(1, v=2, data="of another shape", mono=None)),
    ("bad_envelope", report_of(1, mono=-1.0)),
    ("bad_envelope", report_of(1, tq="sundial")),
    ("bad_envelope", report_of(1, kind="a kind with blanks")),
    ("bad_envelope", report_of(1, {"deep": float("nan")})),
)


@pytest.mark.parametrize(("reason", "odd"), NUMBERED)
def test_a_report_with_a_number_is_acknowledged_once_it_is_in_quarantine(
    collector: Collector, reason: str, odd: Message
) -> None:
    for _ in range(2):  # its device did not hear the first acknowledgement
        assert collector.take(odd, report_of(2)) == {("home-1", BOOT): [(1, 2)]}
    (row,) = collector.rows(table)
    assert (row["reason"], row["boot"], row["seq"]) == (reason, BOOT, 1)
    assert (row["payload"], row["size"], row["times"]) == (odd.payload, len(odd.payload), 1)
    assert [one["seq"] for one in collector.rows(report)] == [2]
    (one,) = collector.rows(stream)
    assert (one["high"], json.loads(one["gaps"])) == (2, [])


# What has none, and the reason.
UNNUMBERED = (
    ("not_json", message("report", b"garbage")),
    ("bad_envelope", message("report", b'{"v": 1}')),
    ("bad_envelope", report_of(1, boot="short")),
    ("bad_envelope", report_of(2**53 + 1)),
    ("unknown_version", report_of(0, v=2)),
    ("bad_state", message("state", envelope(1))),
    ("too_big", message("report", envelope(1) + b" " * 70000)),
    ("too_big", Message("natwatch/home-1/up/report", envelope(1), 1e6, cut=100_000_000)),
    ("unknown_topic", message("nonsense", envelope(1))),
)


@pytest.mark.parametrize(("reason", "odd"), UNNUMBERED)
def test_what_has_no_number_is_never_acknowledged_and_is_one_row_however_often_it_comes(
    collector: Collector, reason: str, odd: Message
) -> None:
    for _ in range(3):
        assert collector.take(odd) == {}
    (row,) = collector.rows(table)
    assert (row["device"], row["reason"], row["boot"], row["seq"]) == ("home-1", reason, None, None)
    assert (row["times"], row["size"]) == (3, len(odd.payload) + odd.cut)
    assert odd.payload.startswith(row["payload"]) and len(row["payload"]) <= 4096
    assert collector.rows(device) == []


def test_what_names_no_device_is_nobodys(collector: Collector) -> None:
    collector.take(Message("natwatch/no device/up/report", envelope(1), 1.0))
    collector.take(Message("\0" * 500, b"\0", 1.0))
    assert {row["device"] for row in collector.rows(table)} == {"?"}
    assert all(row["topic"].isprintable() for row in collector.rows(table))


def unread(number: int, name: str = "home-1", numbered: bool = False, size: int = 2000) -> Unread:
    payload = b"%6d" % number + b"." * (size - 6)
    boot, seq = (BOOT, number) if numbered else (None, None)
    return Unread(name, float(number), "t", payload, size, "not_json", "", boot, seq)


def kept(database: Database, name: str | None = None) -> list[int]:
    with database.reading() as connection:
        rows = quarantine.messages(connection, name, 10**6)
    return sorted(int(base64.b64decode(row["payload"])[:6]) for row in rows)


def test_a_device_has_its_bound_and_its_oldest_go_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "DEVICE_BYTES", 5 * 2512)
    with database.writing() as connection:
        assert quarantine.add(connection, [unread(1, "home-2")]) == []
        gone = quarantine.add(connection, [unread(n) for n in range(1, 9)])
        assert gone == [Gone("home-1", 3, 0)]
        assert quarantine.add(connection, [unread(9)]) == [Gone("home-1", 1, 0)]
    assert kept(database, "home-1") == [5, 6, 7, 8, 9]
    assert kept(database, "home-2") == [1]


def test_what_was_acknowledged_stays_longer_than_what_its_device_still_has(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "DEVICE_BYTES", 5 * 2512)
    with database.writing() as connection:
        quarantine.add(connection, [unread(n, numbered=True) for n in range(1, 4)])
        assert quarantine.add(connection, [unread(n) for n in range(4, 12)]) == [
            Gone("home-1", 6, 0)
        ]
        assert kept_in(connection) == [1, 2, 3, 10, 11]
        gone = quarantine.add(connection, [unread(n, numbered=True) for n in range(12, 16)])
        assert gone == [Gone("home-1", 4, 2)]
    assert kept(database) == [3, 12, 13, 14, 15]


def kept_in(connection: Any) -> list[int]:
    rows = quarantine.messages(connection, None, 100)
    return sorted(int(base64.b64decode(row["payload"])[:6]) for row in rows)


def test_all_devices_together_have_a_bound_too_and_invented_names_share_one_count(
    collector: Collector, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "ALL_BYTES", 10 * 2512)
    collector.take(birth(1))  # home-1 is known
    with database.writing() as connection:
        quarantine.add(connection, [unread(1)])
        for number in range(2, 30):
            quarantine.add(connection, [unread(number, f"box-{number}")])
    numbers = kept(database)
    assert len(numbers) <= 10 and numbers == list(range(30 - len(numbers), 30))
    gone = {row["device"]: row["messages"] for row in collector.rows(quarantine_gone)}
    assert gone == {"home-1": 1, "?": 28 - len(numbers)}


def test_what_had_to_go_is_counted_by_the_collector(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "DEVICE_BYTES", 3000)
    for seq in range(1, 9):
        collector.take(report_of(seq, v=2))
    assert collector.counts.of["quarantine_full"] > 0
    (row,) = collector.rows(quarantine_gone)
    assert row["reports"] == row["messages"] == 8 - len(collector.rows(table))


def test_a_birth_of_an_earlier_boot_is_counted_as_a_twin(collector: Collector) -> None:
    for one in (birth(1), birth(2), birth(1, NEXT_BOOT), birth(2, NEXT_BOOT)):
        collector.take(one)
    assert collector.counts.of["twin"] == 0
    collector.take(birth(3))
    assert collector.counts.of["twin"] == 1


def test_a_forged_message_changes_nothing_that_is_stored(collector: Collector) -> None:
    """It came all the same, by a broker without our access rules: it has the name, not the boot."""
    collector.take(birth(1), report_of(1))
    before = collector.rows(report)
    forged_will = {"online": False, "boot": NEXT_BOOT, "conn": 2**50}
    collector.take(message("state", json.dumps(forged_will).encode()))
    assert [row["online"] for row in collector.rows(device)] == [True]
    assert collector.take(report_of(1, boot=NEXT_BOOT)) == {("home-1", NEXT_BOOT): [(1, 1)]}
    assert collector.rows(report)[: len(before)] == before
    # the owner's next report and birth come through as ever, and the second tells of it
    assert collector.take(report_of(2)) == {("home-1", BOOT): [(2, 2)]}
    collector.take(birth(2))
    assert [row["boot"] for row in collector.rows(device)] == [BOOT]
    assert collector.counts.of["twin"] == 1


# A device's clock and mono, decades off; all of them received in 2023.
CLOCKS = (
    ("a clock in 1970", {"t": 5.0, "tq": "ntp", "mono": 1.0}, "rebuilt"),
    ("a clock in 2100", {"t": 4.1e9, "tq": "ntp", "mono": 1.0}, "rebuilt"),
    ("a clock before Christ", {"t": -9e14, "tq": "ntp", "mono": 1.0}, "rebuilt"),
    ("no clock, and a mono of ages", {"t": None, "tq": "none", "mono": 9e14}, "rebuilt"),
)


@pytest.mark.parametrize(("what", "fields", "tq"), CLOCKS)
def test_no_clock_makes_a_time_that_cannot_be(
    collector: Collector, what: str, fields: dict[str, Any], tq: str
) -> None:
    collector.take(message("report", envelope(1, **fields), at=1.7e9))
    (row,) = collector.rows(report)
    assert abs(row["time"] - row["received"]) < 60 and row["tq"] == tq
    # what that mono did to the boot's anchor must not reach the reports after it
    late = envelope(2, t=None, tq="none", mono=2.0)
    collector.take(message("report", late, at=1.7e9))
    row = collector.rows(report)[1]
    assert abs(row["time"] - row["received"]) < 60


def shown(capsys: pytest.CaptureFixture[str], address: str, *arguments: str) -> str:
    assert cli.main(["--database", address, "quarantine", *arguments]) == 0
    return capsys.readouterr().out


def test_the_noc_shows_what_is_in_quarantine(
    collector: Collector, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, address) == "nothing is in quarantine\n"
    now = time.time()
    collector.take(message("report", b"\x1b[2J garbage", at=now))
    collector.take(message("report", b"\x1b[2J garbage", at=now))
    collector.take(message("report", envelope(7, v=2), "home-2", at=now))
    out = shown(capsys, address)
    heading, second, first = out.splitlines()
    assert heading.split() == ["DEVICE", "LAST", "TIMES", "REASON", "REPORT", "BYTES", "WHAT"]
    assert second.split()[:7] == ["home-2", "0", "s", "ago", "1", "unknown_version", BOOT]
    assert first.split()[:7] == ["home-1", "0", "s", "ago", "2", "not_json", "-"]
    assert "\x1b" not in out
    assert "home-2" not in shown(capsys, address, "home-1")
    found = json.loads(shown(capsys, address, "home-1", "--json"))
    assert base64.b64decode(found["messages"][0]["payload"]) == b"\x1b[2J garbage"
    assert found["gone"] == []


def test_the_noc_says_what_had_to_go(
    collector: Collector,
    address: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quarantine, "DEVICE_BYTES", 1500)
    collector.take(*[report_of(seq, v=2) for seq in (1, 2, 3)])
    out = shown(capsys, address, "home-1")
    assert "home-1: 2 have made room for newer ones; 2 of them had been acknowledged" in out


def test_every_reason_fits_its_column() -> None:
    assert all(len(reason) <= 32 for reason in REASONS)

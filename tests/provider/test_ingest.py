"""From messages to rows and acknowledgements, on both databases, without a broker."""

import json
import logging
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from natwatch_provider.collector import pipeline as pipeline_module
from natwatch_provider.collector.counts import Counts
from natwatch_provider.collector.ingest import Ranges
from natwatch_provider.collector.judge import Rules
from natwatch_provider.collector.kinds import CHECKED
from natwatch_provider.collector.messages import Message
from natwatch_provider.collector.pipeline import Pipeline
from natwatch_provider.store import alerts, overview
from natwatch_provider.store.database import Database
from natwatch_provider.store.schema import (
    alert,
    alert_evidence,
    device,
    latest,
    lifetime,
    report,
    stream,
)
from tests.provider.postgres import Cluster
from tests.provider.reports import (
    BOOT,
    HOME,
    NEXT_BOOT,
    birth,
    latest_data,
    lifetime_data,
    message,
    will,
)
from tests.provider.reports import report as report_of

RULES = Rules(keepalive_s=20.0, span_s=0.0)


class Ears:
    """A source that only remembers what was settled."""

    def __init__(self) -> None:
        self.acks: list[dict[tuple[str, str], Ranges]] = []

    def receive(self, limit: int, gather_s: float) -> list[Message]:
        return []

    def settle(self, messages: list[Message], acks: Mapping[tuple[str, str], Ranges]) -> None:
        self.acks.append(dict(acks))


class Collector:
    """A pipeline with its ears. take() hands it one batch, and returns what it acknowledged."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ears = Ears()
        self.counts = Counts()
        self.stopping = threading.Event()
        self.pipeline = Pipeline(database, self.ears, RULES, self.counts, self.stopping)

    def take(self, *messages: Message) -> dict[tuple[str, str], Ranges]:
        self.ears.acks = []
        self.pipeline.take(list(messages))
        return self.ears.acks[0] if self.ears.acks else {}

    def rows(self, table: Any) -> list[Any]:
        with self.database.reading() as connection:
            return [row._mapping for row in connection.execute(select(table))]


@pytest.fixture
def collector(database: Database) -> Collector:
    return Collector(database)


def shrink(first: int, *brackets: tuple[float, float], **fields: Any) -> list[Message]:
    """Reports numbered from *first*, one a bracket."""
    return [
        report_of(seq, lifetime_data(lo, hi, seq, **fields))
        for seq, (lo, hi) in enumerate(brackets, first)
    ]


FORTY, FIFTEEN = (39.6, 40.4), (14.6, 15.4)


def test_a_repeated_report_is_stored_once_and_acknowledged_again(collector: Collector) -> None:
    assert collector.take(report_of(1)) == {("home-1", BOOT): [(1, 1)]}
    assert collector.take(report_of(1)) == {("home-1", BOOT): [(1, 1)]}
    assert collector.take(report_of(2), report_of(2)) == {("home-1", BOOT): [(2, 2)]}
    assert [row["seq"] for row in collector.rows(report)] == [1, 2]
    assert len(collector.rows(lifetime)) == 2
    assert collector.counts.of["duplicate"] == 2


def test_reports_out_of_order_and_with_gaps_are_acknowledged_as_what_they_are(
    collector: Collector,
) -> None:
    acks = collector.take(*[report_of(seq) for seq in (9, 2, 3, 7, 8, 3)])
    assert acks == {("home-1", BOOT): [(2, 3), (7, 9)]}
    assert collector.take(*[report_of(seq) for seq in (1, 4, 5, 6)]) == {
        ("home-1", BOOT): [(1, 1), (4, 6)]
    }
    assert sorted(row["seq"] for row in collector.rows(report)) == list(range(1, 10))
    assert [(row["high"], json.loads(row["gaps"])) for row in collector.rows(stream)] == [(9, [])]


def test_devices_and_boots_have_sequences_of_their_own(collector: Collector) -> None:
    acks = collector.take(report_of(1), report_of(1, device="home-2"), report_of(1, boot=NEXT_BOOT))
    assert acks == {
        ("home-1", BOOT): [(1, 1)],
        ("home-2", BOOT): [(1, 1)],
        ("home-1", NEXT_BOOT): [(1, 1)],
    }
    assert len(collector.rows(report)) == 3


def test_a_collector_killed_between_commit_and_acknowledgement_loses_and_doubles_nothing(
    database: Database,
) -> None:
    first = Collector(database)

    def die(messages: object, acks: object) -> None:
        raise SystemExit("killed")

    first.ears.settle = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        first.take(report_of(1), report_of(2))
    second = Collector(database)
    assert second.take(report_of(1), report_of(2), report_of(3)) == {("home-1", BOOT): [(1, 3)]}
    assert [row["seq"] for row in second.rows(report)] == [1, 2, 3]


def test_a_collector_killed_before_the_commit_acknowledges_nothing_and_stores_all_later(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        # after the rows were written, before the transaction ends
        patch.setattr("natwatch_provider.store.streams.save", die)
        with pytest.raises(SystemExit):
            collector.take(report_of(1))
    assert collector.ears.acks == [] and collector.rows(report) == []
    assert collector.take(report_of(1)) == {("home-1", BOOT): [(1, 1)]}


def test_garbage_among_good_reports_harms_none_of_them(collector: Collector) -> None:
    acks = collector.take(
        message("report", b"garbage"),
        report_of(1),
        message("report", b"{}"),
        message("state", b"{}"),
        report_of(2, {"id": "no lifetime"}),
        message("report", b"{}", device="no device"),
        report_of(3, {"never": "seen"}, kind="weather"),
        report_of(4),
    )
    assert acks == {("home-1", BOOT): [(1, 4)]}
    # what has an envelope is kept, so that a newer collector may still read it
    assert [row["seq"] for row in collector.rows(report)] == [1, 2, 3, 4]
    assert [row["seq"] for row in collector.rows(lifetime)] == [1, 4]
    counted = {name: number for name, number in collector.counts.of.items() if number}
    assert counted == {
        "stored": 4,
        "acknowledged": 4,
        "not_json": 1,
        "bad_envelope": 1,
        "bad_state": 1,
        "bad_lifetime": 1,
        "bad_device": 1,
        "unknown_kind": 1,
    }


def test_a_message_that_the_database_refuses_does_not_take_the_batch_with_it(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline_module.ingest

    def refuse_the_second(connection: Any, arrivals: Any, *more: Any) -> Any:
        if any(one.seq == 2 for one in arrivals):
            raise ValueError("a value that no column takes")
        return whole(connection, arrivals, *more)

    monkeypatch.setattr(pipeline_module, "ingest", refuse_the_second)
    acks = collector.take(report_of(1), report_of(2), report_of(3))
    assert acks == {("home-1", BOOT): [(1, 1), (3, 3)]}
    assert [row["seq"] for row in collector.rows(report)] == [1, 3]
    assert collector.counts.of["refused"] == 1


def test_garbage_costs_bounded_memory_and_few_lines(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    names = set(collector.counts.of)
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        for number in range(3000):
            collector.take(message("report", b"\x1b[2J" * 9, device=f"device-{number}"))
            collector.take(message(f"kind-{number}", b"{}"))
    assert set(collector.counts.of) == names
    assert collector.counts.of["not_json"] == collector.counts.of["unknown_topic"] == 3000
    assert len(caplog.records) == 2
    assert collector.rows(device) == []


def test_a_locked_database_is_said_once_and_nothing_is_acknowledged_until_it_is_free(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline_module, "RETRY_S", 0.01)
    whole, tries = pipeline_module.ingest, []

    def locked(*arguments: Any) -> Any:
        tries.append(len(collector.ears.acks))
        if len(tries) <= 5:
            raise OperationalError("…", None, sqlite3.OperationalError("database is locked"))
        return whole(*arguments)

    monkeypatch.setattr(pipeline_module, "ingest", locked)
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        assert collector.take(report_of(1)) == {("home-1", BOOT): [(1, 1)]}
    assert tries == [0] * 6
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "cannot be used: database is locked" in lines[0]
    assert "can be used again" in lines[1]


def test_a_stop_while_the_database_is_away_acknowledges_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_arguments: Any) -> Any:
        collector.stopping.set()
        raise OperationalError("…", None, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(pipeline_module, "ingest", gone)
    assert collector.take(report_of(1)) == {}
    assert collector.ears.acks == []


# Presence: what comes, and (online, boot, conn) after it.
PRESENCE = (
    ("a birth", [birth(1)], (True, BOOT, 1)),
    ("a will", [birth(1), will(1)], (False, BOOT, 1)),
    ("a late will of an old connection", [birth(1), birth(2), will(1)], (True, BOOT, 2)),
    ("a late birth of an old connection", [birth(2), birth(1)], (True, BOOT, 2)),
    ("a new boot", [birth(7), birth(1, NEXT_BOOT)], (True, NEXT_BOOT, 1)),
    ("a late will of an old boot", [birth(7), birth(1, NEXT_BOOT), will(7)], (True, NEXT_BOOT, 1)),
    ("a return", [birth(1), will(1), birth(2)], (True, BOOT, 2)),
    ("a report whose birth was missed", [report_of(1)], (True, BOOT, 0)),
    ("a report after a will", [birth(1), will(1), report_of(1)], (True, BOOT, 1)),
    (
        "a late report of an old boot",
        [birth(1), report_of(1), birth(1, NEXT_BOOT), will(1, NEXT_BOOT), report_of(2)],
        (False, NEXT_BOOT, 1),
    ),
    (
        "the reports of an old boot that only the spool on disk knew",
        [birth(1, NEXT_BOOT), report_of(1, late=True), will(1, NEXT_BOOT)],
        (False, NEXT_BOOT, 1),
    ),
)


@pytest.mark.parametrize(("what", "messages", "expected"), PRESENCE)
@pytest.mark.parametrize("at_once", [True, False])
def test_presence_follows_the_newest_boot_and_connection(
    collector: Collector, what: str, messages: list[Message], expected: Any, at_once: bool
) -> None:
    if at_once:
        collector.take(*messages)
    else:
        for one in messages:
            collector.take(one)
    (row,) = collector.rows(device)
    assert (row["online"], row["boot"], row["conn"]) == expected, what


def test_an_unclean_end_is_told_once(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fields = {"unclean": True, "last": {"boot": BOOT, "seq": 7}}
    collector.take(birth(1, NEXT_BOOT, **fields), birth(2, NEXT_BOOT, **fields))
    told = [one.getMessage() for one in caplog.records if "clean end" in one.getMessage()]
    assert len(told) == 1 and f"of boot {BOOT} it had on disk" in told[0]


def test_the_time_of_a_report_without_a_clock_follows_from_boot_and_mono(
    collector: Collector,
) -> None:
    collector.take(birth(1, mono=10.0, at=5010.0))  # so mono 0 was at 5000
    # both waited for long in the device
    collector.take(report_of(1, t=None, tq="none", mono=100.0))
    collector.take(report_of(2, t=12.0, tq="none", mono=200.0))
    assert [(row["time"], row["tq"]) for row in collector.rows(report)] == [
        (5100.0, "rebuilt"),
        (5200.0, "rebuilt"),
    ]
    assert [row["measured"] for row in collector.rows(lifetime)] == [5100.0, 5200.0]


def test_a_device_clock_is_believed_unless_it_is_ahead_of_ours(collector: Collector) -> None:
    collector.take(report_of(1, t=999_000.0, tq="reflector", mono=0.0))
    collector.take(report_of(2, t=9e9, tq="ntp", mono=1.0))
    assert [(row["time"], row["tq"]) for row in collector.rows(report)] == [
        (999_000.0, "reflector"),
        (1_000_002.0 + 1.0, "rebuilt"),
    ]


def test_a_shrink_from_40_to_15_is_one_alert_with_its_life(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        collector.take(*shrink(1, FORTY, FORTY, FORTY))
        collector.take(*shrink(4, FIFTEEN))
        assert caplog.records == []
        collector.take(*shrink(5, FIFTEEN))
        collector.take(*shrink(6, *[FIFTEEN] * 5))
        collector.take(*shrink(11, FORTY, FORTY, FORTY))
    assert [record.getMessage() for record in caplog.records] == [
        "ALERT 1 RAISED critical shrink device=home-1 key=udp/sip,stream old=39.6-40.4s "
        "new=14.6-15.4s: the NAT forgets the phone after 14.6-15.4s of silence, sooner than its "
        "keepalive every 20s; between two keepalives incoming calls do not arrive",
        "ALERT 1 CLEARED device=home-1 key=udp/sip,stream now=39.6-40.4s: the NAT keeps the "
        "phone's binding long enough again; incoming calls arrive",
    ]
    (row,) = collector.rows(alert)
    assert (row["severity"], row["cleared_by"]) == ("critical", "recovery")
    assert (row["old_lo"], row["new_lo"], row["new_hi"]) == (39.6, 14.6, 15.4)


def test_two_keys_are_one_alert_with_evidence_of_both(collector: Collector) -> None:
    for first, state in ((1, "stream"), (6, "replied")):
        collector.take(*shrink(first, FORTY, FORTY, FORTY, FIFTEEN, FIFTEEN, state=state))
    assert len(collector.rows(alert)) == 1
    found = {(row["state"], row["rule"]) for row in collector.rows(alert_evidence)}
    assert found == {
        (state, rule) for state in ("stream", "replied") for rule in ("relative", "short", "thin")
    }
    # the alert is open until the last of them is over
    collector.take(*shrink(11, FORTY, FORTY, FORTY, state="stream"))
    assert collector.rows(alert)[0]["cleared"] is None
    collector.take(*shrink(14, FORTY, FORTY, FORTY, state="replied"))
    assert collector.rows(alert)[0]["cleared"] is not None


def test_a_line_that_fell_over_to_another_is_no_shrink(collector: Collector) -> None:
    mobile = {"gateway": "192.168.8.1", "public": "198.51.100.7", "local": None}
    collector.take(*shrink(1, *[(119.6, 120.4)] * 5))
    collector.take(*shrink(6, *[(29.6, 30.4)] * 5, context=mobile))
    assert collector.rows(alert) == []


def test_an_alert_gets_worse_and_better_by_its_evidence(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        collector.take(*shrink(1, *[(119.6, 120.4)] * 3, *[(59.6, 60.4)] * 2))
        collector.take(*shrink(6, *[FIFTEEN] * 2))
        collector.take(*shrink(8, *[(59.6, 60.4)] * 3))
    heads = [" ".join(record.getMessage().split()[:4]) for record in caplog.records]
    assert heads == [
        "ALERT 1 RAISED warning",
        "ALERT 1 CHANGED critical",
        "ALERT 1 CHANGED warning",
    ]


def test_an_open_alert_follows_its_value_with_one_line_a_move(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    def around(*centres: float) -> list[tuple[float, float]]:
        return [(round(one - 0.4, 1), round(one + 0.4, 1)) for one in centres]

    moves = (
        (around(100, 100, 100, 50, 50), "RAISED", (49.6, 50.4)),
        (around(49.6, 49.4, 50.1, 49.6, 49.4, 50.1), "", (49.6, 50.4)),
        (around(26, 26), "CHANGED", (25.6, 26.4)),
        (around(26.2, 25.7, 26), "", (25.6, 26.4)),
        (around(22, 22), "CHANGED", (21.6, 22.4)),
        (around(50, 50, 50), "CHANGED", (49.6, 50.4)),
        (around(100, 100, 100), "CLEARED", (49.6, 50.4)),
    )
    seq = 1
    for brackets, event, (low, high) in moves:
        caplog.clear()
        with caplog.at_level(logging.INFO, "natwatch.collector"):
            for bracket in brackets:
                collector.take(*shrink(seq, bracket))
                seq += 1
        said = [record.getMessage() for record in caplog.records]
        assert [one.split()[2] for one in said] == ([event] if event else [])
        (row,) = collector.rows(alert)
        assert (row["severity"], row["new_lo"], row["new_hi"]) == ("warning", low, high)
        if event == "CHANGED":
            assert said[0].startswith(
                "ALERT 1 CHANGED warning shrink device=home-1 key=udp/sip,stream "
                f"old=99.6-100.4s new={low}-{high}s: a phone whose keepalive is longer than "
            )
            held = [one for one in collector.rows(alert_evidence) if one["cleared"] is None]
            assert {(one["new_lo"], one["new_hi"]) for one in held} == {(low, high)}


def test_a_second_key_that_is_about_as_bad_is_not_told_again(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        collector.take(*shrink(1, FORTY, FORTY, FORTY, FIFTEEN, FIFTEEN, state="stream"))
        collector.take(*shrink(6, FORTY, FORTY, FORTY, (14.1, 14.9), (14.1, 14.9), state="replied"))
    assert [record.getMessage().split()[2] for record in caplog.records] == ["RAISED"]
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        collector.take(*shrink(11, (4.1, 4.9), (4.1, 4.9), state="replied"))
        collector.take(*shrink(13, (4.6, 5.4), (4.6, 5.4), state="stream"))
    (_, changed) = [record.getMessage() for record in caplog.records]
    assert "CHANGED critical" in changed and "key=udp/sip,replied" in changed


def test_two_results_of_one_number_are_two_rows_and_one_witness(collector: Collector) -> None:
    coarse = lifetime_data(12.0, 16.0, 17, method="confirm")
    close = lifetime_data(*FIFTEEN, 17)
    collector.take(*shrink(1, FORTY, FORTY, FORTY), report_of(4, coarse), report_of(5, close))
    assert collector.rows(alert) == []
    assert [(row["measurement"], row["lo"]) for row in collector.rows(lifetime)][3:] == [
        (17, 12.0),
        (17, 14.6),
    ]
    collector.take(report_of(6, {**coarse, "id": 18}))
    (row,) = collector.rows(alert)
    assert (row["new_lo"], row["new_hi"]) == FIFTEEN


def test_the_keepalive_in_use_counts_more_than_the_profiles(collector: Collector) -> None:
    collector.take(birth(1))
    with collector.database.writing() as connection:
        connection.execute(update(device).values(keepalive_s=60.0))
    collector.take(*shrink(1, FORTY, FORTY))
    (row,) = collector.rows(alert)
    assert (row["kind"], row["severity"], row["keepalive_s"]) == ("short", "critical", 60.0)


def test_a_port_without_a_keepalive_is_not_judged_by_one(collector: Collector) -> None:
    fields = {"class": "udp/stun"}
    collector.take(*shrink(1, *[FIFTEEN] * 5, **fields))
    assert collector.rows(alert) == []


def test_an_accepted_alert_is_closed_and_its_baseline_begins_anew(collector: Collector) -> None:
    collector.take(*shrink(1, *[(119.6, 120.4)] * 3, *[(59.6, 60.4)] * 2))
    with collector.database.writing() as connection:
        assert alerts.accept(connection, 1, 1.0)
        assert not alerts.accept(connection, 1, 2.0)
        assert not alerts.accept(connection, 99, 2.0)
    collector.take(*shrink(6, *[(59.6, 60.4)] * 5))
    (row,) = collector.rows(alert)
    assert row["cleared_by"] == "accepted"
    with collector.database.reading() as connection:
        (key,) = overview.keys(connection, "home-1")
    assert (key["baseline_lo"], key["baseline_hi"]) == (59.6, 60.4)


def test_a_resent_report_is_no_second_measurement(collector: Collector) -> None:
    collector.take(*shrink(1, FORTY, FORTY, FORTY, FIFTEEN))
    for _ in range(3):
        collector.take(*shrink(4, FIFTEEN))
    assert collector.rows(alert) == []


def test_the_context_of_a_lifetime_is_kept(collector: Collector) -> None:
    collector.take(*shrink(1, FORTY))
    (row,) = collector.rows(lifetime)
    assert (row["gateway"], row["public"]) == (HOME["gateway"], HOME["public"])


def test_a_full_batch_of_many_devices_is_one_transaction(collector: Collector) -> None:
    acks = collector.take(*[report_of(1, device=f"home-{n}") for n in range(500)])
    assert len(acks) == 500
    assert len(collector.rows(report)) == 500


def resident(seq: int, share: float, **fields: Any) -> Message:
    return report_of(seq, latest_data("resident", share=share), kind="resident", **fields)


def shares(collector: Collector) -> list[tuple[str, float]]:
    return [(row["device"], json.loads(row["data"])["share"]) for row in collector.rows(latest)]


# What comes, in this order, and the share that is the latest then.
ORDERS = (
    ("the later one of a boot", [resident(1, 10), resident(2, 20)], 20),
    ("a late resend", [resident(2, 20), resident(1, 10)], 20),
    ("a clock that was set back", [resident(1, 10, t=1_000_200.0), resident(2, 20)], 20),
    (
        "a boot that came later",
        [resident(9, 10), resident(1, 20, boot=NEXT_BOOT, t=1.0e6 + 10)],
        20,
    ),
    (
        "a late resend of the boot before",
        [resident(1, 20, boot=NEXT_BOOT, t=1_000_010.0), resident(9, 10)],
        20,
    ),
    (
        "a resend without a clock, after the boot's birth",
        [
            birth(1, mono=0.0, at=1_000_000.0),
            resident(2, 20, mono=50.0, t=None, tq="none"),
            resident(1, 10, mono=5.0, t=None, tq="none"),
        ],
        20,
    ),
)


@pytest.mark.parametrize(("what", "messages", "share"), ORDERS)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_latest_report_of_a_kind_is_the_newest_made_not_the_last_come(
    collector: Collector, what: str, messages: list[Message], share: float, at_once: bool
) -> None:
    if at_once:
        collector.take(*messages)
    else:
        for one in messages:
            collector.take(one)
    assert shares(collector) == [("home-1", share)], what
    assert len(collector.rows(report)) == 2


def test_each_device_and_each_kind_has_a_latest_report_of_its_own(collector: Collector) -> None:
    collector.take(resident(1, 10), resident(1, 20, device="home-2"))
    others = [kind for kind in CHECKED if kind != "resident"]
    for seq, kind in enumerate(others, 2):
        collector.take(report_of(seq, latest_data(kind, newer=seq), kind=kind))
    found = {
        (row["device"], row["kind"]): json.loads(row["data"]) for row in collector.rows(latest)
    }
    assert len(found) == len(CHECKED) + 1
    assert found["home-1", "nat"] == latest_data("nat", newer=2)
    assert collector.counts.of["unknown_kind"] == 0


def test_a_wrong_report_is_kept_and_counted_and_is_not_the_latest(collector: Collector) -> None:
    collector.take(resident(1, 10))
    acks = collector.take(resident(2, 101), report_of(3, {}, kind="nat"), resident(1, 30))
    assert acks == {("home-1", BOOT): [(1, 3)]}
    assert shares(collector) == [("home-1", 10)]
    assert len(collector.rows(report)) == 3
    assert collector.counts.of["bad_resident"] == collector.counts.of["bad_nat"] == 1


def test_the_latest_report_is_gone_with_the_transaction(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise SystemExit("killed")

    collector.take(resident(1, 10))
    with monkeypatch.context() as patch:
        patch.setattr("natwatch_provider.store.streams.save", die)
        with pytest.raises(SystemExit):
            collector.take(resident(2, 20))
    assert shares(collector) == [("home-1", 10)]
    collector.take(resident(2, 20))
    assert shares(collector) == [("home-1", 20)]


def test_what_a_lifetime_says_of_refreshing_and_of_sip_is_kept(collector: Collector) -> None:
    fields = ({"state": "refreshed", "extends": False}, {"difference": "SIP dies sooner"}, {})
    for seq, one in enumerate(fields, 1):
        collector.take(*shrink(seq, FORTY, **one))
    found = [(row["extends"], row["difference"]) for row in collector.rows(lifetime)]
    assert found == [(False, None), (None, "SIP dies sooner"), (None, None)]


# Keys without a keepalive: their alert by the relative rule, and what it calls them.
OTHER_KEYS = (
    ("udp/rtp", "stream", "sends no sound for longer than 15s"),
    ("udp/rtp", "refreshed", "a binding to a media port that both sides have used is forgotten"),
    ("udp/sip", "refreshed", "a binding to the SIP port that both sides have used is forgotten"),
    ("udp/stun", "replied", "a binding to the STUN port is forgotten after 15s"),
    ("udp/sip", "oneway", "a phone whose keepalive goes unanswered and is longer than 15s"),
)


@pytest.mark.parametrize(("port_class", "state", "sentence"), OTHER_KEYS)
def test_a_shrink_of_any_key_is_told_in_words_that_fit_it(
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    port_class: str,
    state: str,
    sentence: str,
) -> None:
    brackets = [FORTY] * 3 + [FIFTEEN] * 2 + [FORTY] * 3
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        collector.take(*shrink(1, *brackets, **{"class": port_class}, state=state))
    raised, cleared = [record.getMessage() for record in caplog.records]
    assert f"RAISED warning shrink device=home-1 key={port_class},{state} " in raised
    assert sentence in raised and "CLEARED" in cleared
    assert ("incoming calls arrive" in cleared) == (state == "oneway")


def test_checks_alone_raise_nothing_and_confirm_no_watch(collector: Collector) -> None:
    collector.take(*shrink(1, FORTY, FORTY, FORTY, state="replied"))
    for seq, method in enumerate(("check", "watch", "check", "check"), 4):
        collector.take(*shrink(seq, FIFTEEN, state="replied", method=method))
    assert collector.rows(alert) == []
    collector.take(*shrink(8, FIFTEEN, state="replied", method="confirm"))
    assert len(collector.rows(alert)) == 1


def test_a_server_that_crashed_between_two_batches_is_found_again(cluster: Cluster) -> None:
    database = Database(cluster.new_database())
    database.upgrade()
    collector = Collector(database)
    assert collector.take(report_of(1)) == {("home-1", BOOT): [(1, 1)]}
    cluster.restart()
    acks = collector.take(report_of(1), report_of(2))
    assert acks == {("home-1", BOOT): [(1, 2)]}
    assert [row["seq"] for row in collector.rows(report)] == [1, 2]
    database.close()

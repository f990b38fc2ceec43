"""The store on SQLite and on PostgreSQL: schema, transactions, streams, alerts."""

import sqlite3
import threading
from dataclasses import replace

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from natwatch_provider.store import alerts, devices, latest, streams
from natwatch_provider.store.alerts import Evidence
from natwatch_provider.store.database import Database, _migrations, is_at_fault, is_away
from natwatch_provider.store.keys import Key, context_of
from natwatch_provider.store.schema import lifetime, metadata
from natwatch_provider.store.streams import MAX_GAPS, Stream
from tests.provider.postgres import Cluster

BOOT = "0123456789abcdef"
KEY = Key("udp/sip", "stream", "192.168.1.1|203.0.113.0/24")
WHAT = {"kind": "shrink", "text": "…", "keepalive_s": 20.0}


def evidence(severity: str = "critical", rule: str = "short") -> Evidence:
    return Evidence(KEY, rule, severity, (39.6, 40.4), (14.6, None))


def test_the_migrations_make_the_schema_that_the_code_knows(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_what_was_stored_before_the_latest_reports_were_kept_is_kept(address: str) -> None:
    database = Database(address)
    with database.writing() as connection:
        config = _migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO device (id, online, conn, first_seen, last_seen) "
            "VALUES ('home-1', true, 1, 1, 1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO lifetime (device, boot, seq, measurement, class, state, context, "
            "measured, lo, method, alive, expired, unknown, seconds, bindings, bytes) VALUES "
            "('home-1', 'b', 1, 1, 'udp/sip', 'stream', '-|-', 1, 39.6, 'comb', 1, 1, 0, 1, 1, 1)"
        )
    assert "expected schema version 0005, found 0001" in str(database.schema_trouble())
    database.upgrade()
    assert database.schema_trouble() is None
    with database.reading() as connection:
        (row,) = connection.execute(select(lifetime))
        assert (row.lo, row.extends, row.difference) == (39.6, None, None)
        assert latest.of_device(connection, "home-1") == {}
    database.close()


def test_an_upgrade_of_a_new_schema_changes_nothing(database: Database) -> None:
    database.upgrade()
    assert database.schema_trouble() is None


def test_two_collectors_upgrade_one_empty_database(address: str) -> None:
    troubles: list[BaseException] = []

    def upgrade() -> None:
        database = Database(address)
        try:
            database.upgrade()
        except BaseException as error:
            troubles.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


def test_an_empty_file_that_another_writes_to_is_waited_for(tmp_path) -> None:
    """Another collector in the middle of making the file what it must be."""
    path = tmp_path / "natwatch.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.rollback)
    timer.start()
    database = Database(f"sqlite:///{path}")
    try:
        database.upgrade()
        assert database.schema_trouble() is None
    finally:
        timer.join()
        other.close()
        database.close()


def test_a_database_without_schema_is_told_apart(address: str, tmp_path) -> None:
    (tmp_path / "natwatch.db").touch()
    database = Database(address)
    assert "found none" in str(database.schema_trouble())
    database.close()


def test_a_file_that_is_missing_is_named_and_not_made(tmp_path) -> None:
    trouble = Database(f"sqlite:///{tmp_path}/none.db").schema_trouble()
    assert "none.db" in str(trouble)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("address", ["", "nonsense", "mysql://a/b", "sqlite://"])
def test_an_address_that_is_no_database_gets_one_sentence(address: str) -> None:
    with pytest.raises(ValueError, match="expected a database such as sqlite:///") as caught:
        Database(address)
    assert "\n" not in str(caught.value)


def test_a_password_does_not_reach_the_log() -> None:
    assert "hush" not in str(Database("postgresql://me:hush@127.0.0.1/natwatch"))


STREAMS = (
    # sequence received, answers (False: duplicate), high, gaps
    ([1, 2, 3], [True, True, True], 3, []),
    ([1, 1], [True, False], 1, []),
    ([3, 1, 2], [True, True, True], 3, []),
    ([5], [True], 5, [(1, 4)]),
    ([5, 2, 2], [True, True, False], 5, [(1, 1), (3, 4)]),
    ([5, 1, 4, 2, 3, 3], [True] * 5 + [False], 5, []),
    ([2, 4, 6, 5, 5, 3], [True, True, True, True, False, True], 6, [(1, 1)]),
    ([2**53, 2**53], [True, False], 2**53, [(1, 2**53 - 1)]),
)


@pytest.mark.parametrize(("received", "answers", "high", "gaps"), STREAMS)
def test_a_stream_tells_new_reports_from_repeated_ones(received, answers, high, gaps) -> None:
    stream = Stream("home-1", BOOT)
    assert [stream.add(seq) for seq in received] == answers
    assert (stream.high, stream.gaps) == (high, gaps)


def test_a_stream_forgets_its_oldest_gaps_before_it_grows_without_end() -> None:
    stream = Stream("home-1", BOOT)
    for seq in range(2, 4 * MAX_GAPS, 2):
        stream.add(seq)
    assert len(stream.gaps) == MAX_GAPS
    assert stream.gaps[-1] == (stream.high - 1, stream.high - 1)


def test_the_anchor_is_the_earliest_that_reports_allow() -> None:
    stream = Stream("home-1", BOOT)
    stream.saw_report(received=1100.0, mono=50.0)
    stream.saw_report(received=1060.0, mono=55.0)
    stream.saw_report(received=1300.0, mono=60.0)
    assert stream.anchor == 1005.0


def test_the_first_confirmed_time_of_a_boot_is_its_clock() -> None:
    stream = Stream("home-1", BOOT)
    assert stream.saw_clock(1060.0, 55.0) is True
    assert stream.saw_clock(1300.0, 60.0) is False
    assert stream.clock == 1005.0


def test_a_stream_is_the_same_after_it_was_stored(database: Database) -> None:
    for sequence in ([9, 4], [7]):
        with database.writing() as connection:
            devices.lock(connection, ["home-1"], 1.0)
            found = streams.lock(connection, [("home-1", BOOT)])
            for seq in sequence:
                found[("home-1", BOOT)].add(seq)
            found[("home-1", BOOT)].saw_clock(1060.0, 55.0)
            streams.save(connection, found.values())
    with database.writing() as connection:
        stream = streams.lock(connection, [("home-1", BOOT)])[("home-1", BOOT)]
    assert (stream.high, stream.gaps, stream.clock) == (9, [(1, 3), (5, 6), (8, 8)], 1005.0)


def test_two_writers_of_one_device_wait_for_each_other(database: Database) -> None:
    """Each adds one to conn, fifty times; without the lock some would be lost."""

    def count() -> None:
        for _ in range(25):
            with database.writing() as connection:
                found = devices.lock(connection, ["home-1"], 1.0)
                found["home-1"].conn += 1
                devices.save(connection, found.values())

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.writing() as connection:
        assert devices.lock(connection, ["home-1"], 1.0)["home-1"].conn == 50


def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        raise ZeroDivisionError
    with database.reading() as connection:
        assert not devices.known(connection, "home-1")


def test_a_device_has_one_open_alert_whoever_raises_it(database: Database) -> None:
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        alerts.raise_(connection, "home-1", evidence(), WHAT, 1.0)
    with pytest.raises(IntegrityError), database.writing() as connection:
        alerts.raise_(connection, "home-1", evidence(), WHAT, 2.0)


def test_only_one_of_two_who_clear_an_alert_acts_on_it(database: Database) -> None:
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        number = alerts.raise_(connection, "home-1", evidence(), WHAT, 1.0)
        assert alerts.clear(connection, number, "recovery", 2.0)
        assert not alerts.clear(connection, number, "recovery", 3.0)
        assert alerts.open_alert(connection, "home-1") is None
        assert alerts.raise_(connection, "home-1", evidence(), WHAT, 4.0) != number


def test_a_change_to_what_an_alert_shows_already_is_no_change(database: Database) -> None:
    lower = replace(evidence(), new=(9.6, None))
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        number = alerts.raise_(connection, "home-1", evidence("warning"), WHAT, 1.0)
        for new in (evidence("critical"), lower, replace(lower, new=(9.6, 10.4))):
            assert alerts.change(connection, number, new, WHAT, 2.0)
            assert not alerts.change(connection, number, new, WHAT, 3.0)
        alerts.clear(connection, number, "recovery", 4.0)
        assert not alerts.change(connection, number, evidence(), WHAT, 5.0)


def test_evidence_with_a_new_value_takes_the_place_of_the_old(database: Database) -> None:
    lower = replace(evidence(), new=(9.6, 10.4))
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        number = alerts.raise_(connection, "home-1", evidence(), WHAT, 1.0)
        for one in (evidence(), evidence("warning", "relative"), lower):
            alerts.set_evidence(connection, number, one, 1.0)
        assert alerts.open_evidence(connection, number) == [
            lower,
            evidence("warning", "relative"),
        ]
        alerts.clear_evidence(connection, number, KEY, "short", 2.0)
        alerts.set_evidence(connection, number, lower, 3.0)  # raised again: another row
        assert len(alerts.open_evidence(connection, number)) == 2


CONTEXTS = (
    ("192.168.1.1", "203.0.113.9", "192.168.1.1|203.0.113.0/24"),
    ("192.168.1.1", "203.0.113.250", "192.168.1.1|203.0.113.0/24"),
    (None, None, "-|-"),
    ("10.0.0.1", None, "10.0.0.1|-"),
    ("fe80::1", "2001:db8:1:2::3", "fe80::1|2001:db8:1::/48"),
    ("192.168.1.1", "not an address", "192.168.1.1|not an address"),
)


@pytest.mark.parametrize(("gateway", "public", "context"), CONTEXTS)
def test_a_context_is_the_gateway_and_the_public_prefix(gateway, public, context) -> None:
    assert context_of(gateway, public) == context


def test_a_stopped_server_is_away_and_then_back(cluster: Cluster) -> None:
    database = Database(cluster.new_database())
    database.upgrade()
    cluster.pause()
    try:
        with pytest.raises(OperationalError) as caught, database.reading():
            pass
        assert is_away(caught.value)
    finally:
        cluster.restart()
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
    database.close()


# What SQLite says, and whether what was written is at fault for it.
FAULTS = (
    (sqlite3.OperationalError("database or disk is full"), False),
    (sqlite3.OperationalError("attempt to write a readonly database"), False),
    (sqlite3.DatabaseError("database disk image is malformed"), False),
    (sqlite3.DatabaseError("file is not a database"), False),
    (sqlite3.IntegrityError("NOT NULL constraint failed"), True),
    (sqlite3.DataError("string or blob too big"), True),
)


@pytest.mark.parametrize(("said", "fault"), FAULTS)
def test_a_database_that_refuses_everything_is_told_from_a_value_that_it_refuses(
    said: sqlite3.Error, fault: bool
) -> None:
    wrapped = DBAPIError.instance("INSERT", {}, said, sqlite3.Error)
    assert is_at_fault(wrapped) is fault
    assert is_at_fault(OverflowError("Python int too large to convert to SQLite INTEGER"))

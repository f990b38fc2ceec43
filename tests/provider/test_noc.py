"""natwatch-noc: what it prints, and how it ends."""

import json
import time
from pathlib import Path

import pytest

from natwatch_provider.noc import cli, tables
from natwatch_provider.store.database import Database
from tests.provider.reports import HOME, birth, lifetime_data, report
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
    assert heading.split()[:3] == ["DEVICE", "NOW", "LAST"]
    assert first.split()[:2] == ["home-1", "online"]
    assert "critical" in first and "14.6 to 15.4 s" in first and "micropython" in first
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


@pytest.mark.parametrize("verb", [["devices"], ["lifetimes", "home-1"], ["alerts", "--all"]])
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
    code, _, err = run(capsys, "--database", filled, "lifetimes", "home-9")
    assert code == 1 and "'home-9'" in err
    code, out, _ = run(capsys, "--database", filled, "lifetimes", "home-2")
    assert code == 0 and "has not reported a lifetime yet" in out


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0 and "examples:" in out and "natwatch-noc lifetimes home-1" in out


AGES = ((0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"))


@pytest.mark.parametrize(("seconds", "text"), [*AGES, (172800, "2 days"), (-5, "0 s")])
def test_an_age_is_in_the_unit_that_people_use(seconds: int, text: str) -> None:
    assert tables.age(1000.0, 1000.0 + seconds) == text

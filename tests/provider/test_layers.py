"""Which box a shrink is attributed to: reports of kind ``layers`` beside an alert, both ways."""

import json
import logging
from typing import Any

import pytest

from natwatch.diagnosis.attribution import attribute
from natwatch_provider.collector.messages import Message
from natwatch_provider.store import alerts, devices, reports
from natwatch_provider.store.alerts import Evidence
from natwatch_provider.store.database import Database
from natwatch_provider.store.keys import Key
from natwatch_provider.store.schema import alert, latest, report
from tests.provider.reports import BOOT, HOME, NEXT_BOOT, latest_data
from tests.provider.reports import report as report_of
from tests.provider.test_ingest import FIFTEEN, FORTY, Collector, shrink

MOBILE = {"gateway": "192.168.8.1", "public": "198.51.100.7", "local": None}
OTHER_GATEWAY = {**HOME, "gateway": "192.168.2.1"}
OTHER_PREFIX = {**HOME, "public": "203.0.114.9"}
SAME_PREFIX = {**HOME, "public": "203.0.113.200"}
LONG = [119.0, 120.2]


@pytest.fixture
def collector(database: Database) -> Collector:
    return Collector(database)


def layers(
    router: Any, carrier: Any, short: int | None, state: str = "stream", **fields: Any
) -> dict[str, Any]:
    """The data of a report: two boxes with lifetimes in *state*, None where not known."""
    boxes = [
        {"first": 1, "last": 1, "owner": "router", "model": "ACME X1", state: router},
        {"first": 2, "last": 2, "owner": "carrier", state: carrier},
    ]
    return latest_data("layers", boxes=boxes, short={state: short}, clear=[], **fields)


def told(seq: int, data: dict[str, Any], **fields: Any) -> Message:
    return report_of(seq, data, kind="layers", **fields)


BEFORE = layers([39.4, 40.6], LONG, 0)
ROUTER = layers([14.4, 15.6], LONG, 0)
CARRIER = layers([39.4, 40.6], [14.4, 15.6], 1)

# Forty seconds (1 to 3), then fifteen (5 and 6): raised by the last.
HEALTHY, SHRUNK = shrink(1, FORTY, FORTY, FORTY), shrink(5, FIFTEEN, FIFTEEN)

BY_ROUTER = (
    "; it is the customer's router (hop 1, ACME X1) that forgets sooner: 39.4-40.6s before, "
    "14.4-15.6s now; the carrier's NAT (hop 2) keeps 119.0-120.2s"
)
BY_CARRIER = (
    "; it is the carrier's NAT (hop 2) that forgets sooner: 119.0-120.2s before, 14.4-15.6s now; "
    "the customer's router (hop 1, ACME X1) keeps 39.4-40.6s"
)
NOW_ROUTER = (
    "; the shortest is now the customer's router (hop 1, ACME X1): 14.4-15.6s; "
    "the carrier's NAT (hop 2) keeps 119.0-120.2s"
)


def said(collector: Collector, caplog: pytest.LogCaptureFixture, *messages: Message) -> list[str]:
    """The alert's lines when *messages* come one by one."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "natwatch.collector"):
        for one in messages:
            collector.take(one)
    return [line.getMessage() for line in caplog.records if line.getMessage().startswith("ALERT")]


def box(collector: Collector) -> Any:
    (row,) = collector.rows(alert)
    return None if row["box"] is None else json.loads(row["box"])


# What comes after forty seconds and fifteen, and what the alert then says of the box.
AFTERWARDS = (
    ("the router shrank", [told(4, BEFORE), told(7, ROUTER)], BY_ROUTER),
    ("the carrier's NAT shrank", [told(4, BEFORE), told(7, CARRIER)], BY_CARRIER),
    ("nothing is known of before", [told(7, ROUTER)], NOW_ROUTER),
    ("before comes last", [told(7, ROUTER), told(4, BEFORE)], BY_ROUTER),
    (
        "of before one thing and another is known",
        [told(4, layers(None, LONG, 1)), told(3, BEFORE, boot=NEXT_BOOT), told(7, ROUTER)],
        BY_ROUTER,
    ),
    ("another address of the prefix", [told(7, {**ROUTER, "context": SAME_PREFIX})], NOW_ROUTER),
    (
        "before is of another line",
        [told(4, {**BEFORE, "context": OTHER_GATEWAY}), told(7, ROUTER)],
        NOW_ROUTER,
    ),
    (
        "of before the sources disagree",
        [told(4, {**BEFORE, "agree": False}), told(7, ROUTER)],
        NOW_ROUTER,
    ),
    (
        "another box outlasts the look",
        [
            told(
                7,
                {
                    **ROUTER,
                    "boxes": [ROUTER["boxes"][0], {**ROUTER["boxes"][1], "stream": [22.067, None]}],
                },
            )
        ],
        NOW_ROUTER.replace("119.0-120.2s", ">22s"),
    ),
    ("before it was as short", [told(4, ROUTER), told(7, ROUTER)], NOW_ROUTER),
    (
        "one look that found nothing",
        [told(7, ROUTER), told(8, {**ROUTER, "short": {}})],
        NOW_ROUTER,
    ),
)

NOBODY = (
    ("another gateway", {**ROUTER, "context": OTHER_GATEWAY}),
    ("another public prefix", {**ROUTER, "context": OTHER_PREFIX}),
    ("the backup line", {**ROUTER, "context": MOBILE}),
    ("an unknown context", {**ROUTER, "context": {}}),
    ("sources that disagree", {**ROUTER, "agree": False}),
    ("two that are equally short", layers([14.4, 15.6], [14.4, 15.6], None)),
    ("the shortest not known", layers([14.4, 15.6], None, None)),
    ("no lifetime at all", layers(None, None, 0)),
    ("nothing that died", layers([600, None], None, 0)),
    ("another state", layers([14.4, 15.6], LONG, 0, "replied")),
    ("another lifetime than the alert's", layers([29.4, 30.6], LONG, 0)),
    ("a wrong report", {**ROUTER, "complete": None}),
)


@pytest.mark.parametrize(("what", "messages", "text"), AFTERWARDS)
def test_an_open_alert_names_the_box_as_soon_as_it_is_known(
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    what: str,
    messages: list[Message],
    text: str,
) -> None:
    (raised,) = said(collector, caplog, *HEALTHY, *SHRUNK)
    assert "RAISED" in raised and raised.endswith("incoming calls do not arrive")
    lines = said(collector, caplog, *messages)
    assert lines, what
    expected = raised.replace("RAISED", "CHANGED") + text
    assert lines[-1] == expected
    assert lines.count(expected) == 1
    (row,) = collector.rows(alert)
    assert row["text"].endswith(text) and row["changed"] > row["raised"]


@pytest.mark.parametrize(("what", "data"), NOBODY)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_not_known_or_is_of_another_line_names_nobody(
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    what: str,
    data: dict[str, Any],
    first: bool,
) -> None:
    reports = [told(4, BEFORE), told(7, data)]
    order = [*reports, *SHRUNK] if first else [*SHRUNK, *reports]
    (line,) = said(collector, caplog, *HEALTHY, *order)
    assert "RAISED" in line and line.endswith("incoming calls do not arrive"), what
    assert box(collector) is None


@pytest.mark.parametrize("at_once", [True, False])
def test_a_report_that_comes_before_the_alert_is_taken_when_it_is_raised(
    collector: Collector, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    messages = [*HEALTHY, told(4, BEFORE), told(7, ROUTER), *SHRUNK]
    if at_once:
        with caplog.at_level(logging.INFO, "natwatch.collector"):
            collector.take(*messages)
        (line,) = [record.getMessage() for record in caplog.records]
    else:
        (line,) = said(collector, caplog, *messages)
    assert "RAISED" in line and line.endswith(BY_ROUTER)


def test_what_was_measured_before_the_shrink_is_no_state_of_now(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = said(collector, caplog, *HEALTHY, told(4, ROUTER), *SHRUNK)
    assert line.endswith("incoming calls do not arrive")
    # between the two measurements that raise it, it is
    (changed,) = said(collector, caplog, told(7, ROUTER, t=1_000_005.5))
    assert changed.endswith(NOW_ROUTER)


def test_a_box_is_told_once_however_often_it_is_reported(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    lines = said(collector, caplog, *HEALTHY, told(4, BEFORE), *SHRUNK, told(7, ROUTER))
    assert [line.split()[2] for line in lines] == ["RAISED", "CHANGED"]
    before = collector.rows(alert)
    again = [told(7, ROUTER), told(7, ROUTER), told(8, ROUTER)]
    again.append(told(9, layers([14.9, 15.4], [118.0, 121.0], 0)))
    assert said(collector, caplog, *again) == []
    assert collector.rows(alert) == before


def test_another_box_is_told_and_so_is_what_the_first_one_kept_before(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    said(collector, caplog, *HEALTHY, *SHRUNK, told(7, ROUTER))
    assert box(collector)["was"] is None
    (line,) = said(collector, caplog, told(4, BEFORE))
    assert line.endswith(BY_ROUTER)
    (line,) = said(collector, caplog, told(8, CARRIER))
    assert line.endswith(BY_CARRIER)


def test_an_alert_whose_value_moves_forgets_the_box_until_it_is_measured_again(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    said(collector, caplog, *HEALTHY, told(4, BEFORE), *SHRUNK, told(7, ROUTER))
    (line,) = said(collector, caplog, *shrink(8, (5.0, 6.0), (5.0, 6.0)))
    assert "CHANGED critical" in line and "router" not in line
    assert box(collector) is None
    (line,) = said(collector, caplog, told(10, layers([5.0, 6.0], LONG, 0)))
    assert "39.4-40.6s before" not in line and "14.4-15.6s before, 5.0-6.0s now" in line


def test_the_box_has_its_place_its_model_and_both_values(collector: Collector) -> None:
    collector.take(*HEALTHY, told(4, BEFORE), *SHRUNK, told(7, ROUTER))
    assert box(collector) == {
        "owner": "router",
        "first": 1,
        "last": 1,
        "model": "ACME X1",
        "state": "stream",
        "was": [39.4, 40.6],
        "now": [14.4, 15.6],
        "others": [{"owner": "carrier", "first": 2, "last": 2, "model": None, "keeps": LONG}],
    }


def test_the_box_of_a_state_that_the_alert_does_not_show_counts_as_well(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    messages = shrink(1, FORTY, FORTY, FORTY, FIFTEEN, FIFTEEN)
    messages += shrink(6, FORTY, FORTY, FORTY, (9.6, 10.4), (9.6, 10.4), state="replied")
    assert len(said(collector, caplog, *messages)) == 2
    (line,) = said(collector, caplog, told(11, ROUTER))
    assert "key=udp/sip,replied" in line and line.endswith(NOW_ROUTER)
    assert box(collector)["state"] == "stream"


@pytest.mark.parametrize("key", [("udp/stun", "stream"), ("udp/sip", "oneway")])
def test_a_key_that_layers_say_nothing_of_has_no_box(
    collector: Collector, caplog: pytest.LogCaptureFixture, key: tuple[str, str]
) -> None:
    fields = {"class": key[0], "state": key[1]}
    messages = shrink(1, FORTY, FORTY, FORTY, FIFTEEN, FIFTEEN, **fields)
    (line,) = said(collector, caplog, *messages, told(6, ROUTER))
    assert "RAISED" in line and "router" not in line


def test_an_alert_that_shows_another_port_has_no_box_of_the_sip_ports(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    hundred, fifty = (99.6, 100.4), (49.6, 50.4)
    messages = shrink(1, hundred, hundred, hundred, fifty, fifty)
    messages += shrink(6, hundred, hundred, hundred, FIFTEEN, FIFTEEN, **{"class": "udp/stun"})
    (*_, line) = said(collector, caplog, *messages)
    assert "CHANGED warning shrink device=home-1 key=udp/stun,stream" in line
    assert said(collector, caplog, told(11, layers([49.4, 50.6], LONG, 0))) == []
    assert box(collector) is None


def test_without_an_open_alert_a_report_is_only_kept(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    assert said(collector, caplog, *HEALTHY, told(4, BEFORE)) == []
    lines = said(collector, caplog, *SHRUNK, *shrink(7, FORTY, FORTY, FORTY), told(10, ROUTER))
    assert [line.split()[2] for line in lines] == ["RAISED", "CLEARED"]
    assert box(collector) is None
    kept = {row["kind"]: json.loads(row["data"]) for row in collector.rows(latest)}
    assert kept["layers"] == ROUTER


def test_a_wrong_report_is_acknowledged_kept_and_counted(collector: Collector) -> None:
    acks = collector.take(told(1, BEFORE), told(2, {**BEFORE, "boxes": 7}))
    assert acks == {("home-1", BOOT): [(1, 2)]}
    assert len(collector.rows(report)) == 2
    assert [json.loads(row["data"]) for row in collector.rows(latest)] == [BEFORE]
    assert collector.counts.of["bad_layers"] == 1


def test_only_one_of_two_who_name_a_box_acts_on_it(database: Database) -> None:
    key = Key("udp/sip", "stream", "192.168.1.1|203.0.113.0/24")
    worst = Evidence(key, "relative", "warning", FORTY, FIFTEEN, 5.0)
    what = {"kind": "shrink", "text": "…", "keepalive_s": 20.0, "box": None}
    with database.writing() as connection:
        devices.lock(connection, ["home-1"], 1.0)
        number = alerts.raise_(connection, "home-1", worst, what, 1.0)
        alerts.set_evidence(connection, number, worst, 1.0)
        assert alerts.open_evidence(connection, number) == [worst]
        assert alerts.attribute(connection, number, '{"a": 1}', "… it", 2.0)
        assert not alerts.attribute(connection, number, '{"a": 1}', "… it", 3.0)
        assert alerts.attribute(connection, number, '{"a": 2}', "… it", 4.0)
        alerts.clear(connection, number, "recovery", 5.0)
        assert not alerts.attribute(connection, number, '{"a": 3}', "… it", 6.0)


def test_the_history_of_layers_is_found_by_an_index_of_its_own(
    collector: Collector, database: Database
) -> None:
    collector.take(told(2, ROUTER), told(1, BEFORE), *shrink(3, FORTY), told(4, CARRIER))
    collector.take(told(1, BEFORE, device="home-2"))
    with database.reading() as connection:
        found = reports.layers(connection, "home-1", 2)
        assert [(one["time"], one["data"]) for one in found] == [
            (1_000_004.0, CARRIER),
            (1_000_002.0, ROUTER),
        ]
        if database.is_sqlite:
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT time, data FROM report "
                "WHERE device = ? AND kind = 'layers' ORDER BY time DESC, id DESC LIMIT 2",
                ("home-1",),
            ).all()
            assert "ix_report_layers" in str(plan)


PLACES = (
    # first and last hop of the box before, and what is known of it then
    ((1, 1), [39.4, 40.6]),
    ((1, 2), [39.4, 40.6]),  # a router that checks the TTL first
    ((2, 2), None),
)


@pytest.mark.parametrize(("hops", "was"), PLACES)
def test_a_box_is_known_again_by_its_place(hops: tuple[int, int], was: Any) -> None:
    before = latest_data(
        "layers", boxes=[{**BEFORE["boxes"][0], "first": hops[0], "last": hops[1]}]
    )
    found = attribute(ROUTER, [before], "stream", FIFTEEN)
    assert found["was"] == was


def test_a_place_that_may_be_either_of_two_boxes_is_neither() -> None:
    after = layers([14.4, 15.6], LONG, 0)
    after["boxes"][0].update(last=2)
    assert attribute(after, [BEFORE], "stream", FIFTEEN)["was"] is None

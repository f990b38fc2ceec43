"""The health report: what the platform tells, and what it does not."""

import json

from test_service import service, told_of

from natwatch import port
from natwatch.daemon.health import FIRST, Health
from natwatch.port import health

LINUX = ("rss", "peak", "cpu_s", "storage", "machine_s", "descriptors")


def test_linux_tells_of_memory_processor_storage_and_descriptors():
    found = health.read(".")
    for name in LINUX:
        assert found[name] is not None, name
    assert 500000 < found["rss"] <= found["peak"] < 2**33
    assert 0 <= found["cpu_s"] < found["machine_s"]
    assert 0 < found["storage"]["free"] <= found["storage"]["size"]
    assert 3 <= found["descriptors"] < 1000


def test_an_open_file_is_one_descriptor_more():
    before = health.read(".", "")["descriptors"]
    with open("/proc/self/status") as _file:
        assert health.read(".")["descriptors"] == before + 1


def test_what_the_platform_does_not_tell_is_none():
    found = health.read("/nowhere/at/all", "/nowhere/at/all")
    assert [found[name] for name in sorted(found)] == [None] * 7


def test_a_file_with_nonsense_in_it_is_none_and_no_error():
    real = health._text
    try:
        for text in ("", "x", "VmRSS:", "VmRSS: many kB", ") ) x", "1 (a) b c", "\n\n:"):
            health._text = lambda path, text=text: text
            found = health.read("/nowhere", "/nowhere")
            assert found["rss"] is None and found["cpu_s"] is None, text
    finally:
        health._text = real


def test_the_hottest_zone_is_told_in_degrees():
    text, listed = health._text, health._listed
    try:
        health._listed = lambda path: ["cooling_device0", "thermal_zone0", "thermal_zone1"]
        health._text = lambda path: "48250\n" if "zone1" in path else "39000\n"
        assert health._temperature("") == 48.25
        health._text = lambda path: ""
        assert health._temperature("") is None
    finally:
        health._text, health._listed = text, listed


def test_it_is_due_soon_after_the_start_and_then_every_hour():
    made = Health(3600000, ".", 5000)
    due = [now for now in range(5000, 7200000, 1000) if made.due(now)]
    assert due == [5000 + FIRST, 5000 + FIRST + 3600000]
    assert not Health(0, ".", 0).due(10**9)


def test_a_report_has_every_part_and_fits_a_kibibyte():
    made, _ = service()
    turn = made.loop.turn
    made.loop.turn = lambda: turn(0)
    made.start()
    made.health._at = 0
    for number in range(20):
        made.loop.counters["send_error_%d" % number] = 10**6
    made.turn()
    made.turn()
    data = told_of(made, "health")
    names = ["clock", "context", "counters", "cpu_s", "descriptors", "memory", "spool"]
    names += ["storage", "temperature", "uptime"]
    assert sorted(data) == names
    assert len(json.dumps(data)) <= 1024, json.dumps(data)
    assert data["counters"]["send_error_7"] == 10**6
    assert data["uptime"]["process"] < 60 and data["clock"]["quality"] == "est"
    assert told_of(made, "health") is None, "once"
    made.close()


def test_without_proc_the_daemon_reports_all_the_same():
    real = health.read
    made, lines = service()
    turn = made.loop.turn
    made.loop.turn = lambda: turn(0)
    made.start()
    made.health._at = 0
    try:
        health.read = lambda folder: real("/nowhere", "/nowhere")
        made.turn()
    finally:
        health.read = real
    data = told_of(made, "health")
    assert data["memory"] == {"rss": None, "peak": None} and data["storage"] is None, lines
    made.close()


def test_more_counters_than_any_device_has_are_not_told():
    made, _ = service()
    counters = {"counter_%03d_with_a_very_long_name_indeed" % n: n for n in range(200)}
    data = Health(1000, ".", 0).data(made.clock, made.findings.spool, counters, port.now())
    assert len(data["counters"]) <= 64
    assert max([len(name) for name in data["counters"]]) <= 32
    made.loop.close()

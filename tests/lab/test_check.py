"""natwatch check against real NATs and firewalls: the truth is set here, the verdict is read."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.lab import CARRIER, HOME, R2, Lab
from tests.lab.stage import PROFILE, ROOT, Stage

SCHEMA = json.loads((ROOT / "docs/check.schema.json").read_text())
NOTES = {
    "nat.filtering.inbound", "nat.binding.thin", "nat.ports.changed", "nat.mapping.dependent"
}  # fmt: skip


def run(
    prepare: Callable[[Lab], None],
    interpreter: str,
    *options: str,
    topology: Any = HOME,
    profile: Path = PROFILE,
) -> tuple[int, dict[str, Any]]:
    """(exit status, report) of one check behind NATs that *prepare* has set."""
    with Lab(topology) as lab:
        stage = Stage(lab, profile=profile)
        prepare(lab)
        stage.start_reflector()
        process = stage.check("box", interpreter, *options)
        out, _ = process.communicate(timeout=280)
        assert out, stage.log("box")
        report: dict[str, Any] = json.loads(out)
        jsonschema.validate(report, SCHEMA)
        return process.returncode, report


def codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def state(report: dict[str, Any], requirement: str) -> str:
    (row,) = [row for row in report["requirements"] if row["id"] == requirement]
    return str(row["state"])


def evidence(report: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = [finding for finding in report["findings"] if finding["code"] == code]
    return dict(found["evidence"])


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_plain_nat_of_30_and_120_seconds_is_ready(interpreter: str) -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=30, stream=120)
        lab.router.set_filter(allow=R2)

    status, report = run(prepare, interpreter)
    assert (status, report["verdict"]) == (0, "ready"), report
    assert codes(report) <= NOTES, report["findings"]
    assert state(report, "R2") == state(report, "R3") == "met", report["requirements"]
    assert state(report, "R5") == "met", (report["requirements"], report["alg"])
    assert state(report, "R9") == "not measured", report["requirements"]
    assert report["rtp"]["asked"] == report["rtp"]["open"] == 2001, report["rtp"]
    assert report["rtp"]["bytes"] <= 500_000 and report["rtp"]["seconds"] <= 60, report["rtp"]
    assert 20 <= report["keepalive"]["interval_s"] < 30, report["keepalive"]
    assert report["size"]["out"] == 1900 and report["size"]["fragments_in"], report["size"]
    assert report["left_out"] == [] and not report["cut_short"]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_nat_that_forgets_after_15_seconds_is_too_quick_for_any_keepalive(
    interpreter: str,
) -> None:
    status, report = run(
        lambda lab: lab.router.set_timers(udp=15, stream=15), interpreter, "--quick"
    )
    assert (status, report["verdict"]) == (1, "findings"), report
    assert codes(report) - NOTES == {"nat.binding.short"}, report["findings"]
    assert 13 < evidence(report, "nat.binding.short")["lo"] <= 15, report["findings"]
    assert "forwarding" in [step["step"] for step in report["advice"]], report["advice"]


@pytest.mark.lab
def test_blocked_voice_ports_are_named_as_ranges_and_nothing_else_is() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=60, stream=120)
        lab.router.set_filter(drop=[("udp", "8500-8599, 9999")])

    status, report = run(prepare, "micropython")
    assert status == 1 and codes(report) - NOTES == {"reach.blocked.rtp"}, report["findings"]
    found = evidence(report, "reach.blocked.rtp")
    assert found["blocked"] == [[8500, 8599], [9999, 9999]] and not found["sampled"], found


@pytest.mark.lab
def test_a_blocked_sip_port_is_named() -> None:
    status, report = run(
        lambda lab: lab.router.set_filter(drop=[("udp", "5060")]), "cpython", "--quick"
    )
    assert status == 1 and "reach.blocked.sip" in codes(report), report["findings"]
    assert codes(report) - NOTES <= {"reach.blocked.sip", "keepalive.lost"}, report["findings"]
    assert report["advice"][0]["step"] == "firewall", report["advice"]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_blocked_stun_ports_are_named_and_the_rest_is_measured_all_the_same(
    interpreter: str,
) -> None:
    status, report = run(
        lambda lab: lab.router.set_filter(drop=[("udp", "3478, 3479")]), interpreter, "--quick"
    )
    assert status == 1 and codes(report) - NOTES == {"reach.blocked.stun"}, report["findings"]
    assert state(report, "R6") in ("met", "noted"), report["requirements"]


@pytest.mark.lab
def test_half_of_the_operators_network_blocked_is_one_finding() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_filter(allow=[("udp", "109.69.176.128/26", "5060, 3478, 3479, 8000-10000")])

    status, report = run(prepare, "cpython", "--quick")
    assert status == 1 and codes(report) - NOTES == {"reach.blocked.address"}, report["findings"]


@pytest.mark.lab
def test_behind_a_symmetric_nat_few_ports_are_asked_and_it_is_ready() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_mapping("random,fully-random")
        lab.router.set_timers(udp=30, stream=120)

    status, report = run(prepare, "cpython")
    assert status == 0 and codes(report) <= NOTES, report["findings"]
    assert "nat.mapping.dependent" in codes(report), report["findings"]
    assert report["rtp"]["asked"] == 23 and report["rtp"]["sampled"], report["rtp"]
    assert [part["what"] for part in report["left_out"]] == ["ports"], report["left_out"]


@pytest.mark.lab
def test_a_sip_alg_shows_by_its_timer_and_no_keepalive_is_taken_from_it() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=8, stream=8)
        lab.router.set_sip_alg(True)

    status, report = run(prepare, "cpython", "--quick")
    assert status == 1, report
    assert "sip.alg.timer" in codes(report), (report["findings"], report["lifetimes"])
    assert report["keepalive"]["lo"] <= 8, report["keepalive"]
    changes = evidence(report, "sip.alg.rewrites")["changes"]
    assert sorted(changes) == ["INVITE", "REGISTER"], changes
    assert any("192.168.1.20" in a and "203.0.113.9" in b for a, b in changes["INVITE"]), changes
    control = [row["verdict"] for row in report["alg"]["control"].values()]
    assert control == ["untouched"] * 2, report["alg"]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_router_that_drops_invite_is_told_apart_from_one_that_rewrites(
    interpreter: str,
) -> None:
    def prepare(lab: Lab) -> None:
        # The first bytes of the UDP payload are "INVI".
        rule = "udp dport 5060 @th,64,32 0x494e5649 drop"
        lab.nft(
            "router", "fussy", f"chain fussy {{ type filter hook forward priority 1; {rule}\n }}"
        )

    status, report = run(prepare, interpreter, "--quick")
    assert status == 1 and codes(report) - NOTES == {"sip.alg.drops"}, report["findings"]
    assert evidence(report, "sip.alg.drops") == {"methods": ["INVITE"], "also_elsewhere": []}


@pytest.mark.lab
def test_a_lossy_line_is_lossy_and_nothing_else() -> None:
    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=30, stream=120)
        lab.router.set_loss(0.05, 0.05)

    status, report = run(prepare, "cpython")
    assert status == 1 and codes(report) - NOTES == {"line.loss"}, report["findings"]
    assert 6 < evidence(report, "line.loss")["requests"] < 14, report["findings"]


@pytest.mark.lab
def test_a_carriers_nat_behind_the_customers_is_ready_where_both_keep_long() -> None:
    status, report = run(lambda lab: None, "cpython", "--quick", topology=CARRIER)
    assert status == 0 and codes(report) <= NOTES, report["findings"]


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_router_that_drops_fragments_is_told(interpreter: str) -> None:
    def prepare(lab: Lab) -> None:
        # Before -400, where the kernel puts fragments together.
        rule = "ip frag-off & 0x3fff != 0 drop\n"
        chain = f"chain whole {{ type filter hook prerouting priority -450; {rule} }}"
        lab.nft("router", "whole", chain)

    status, report = run(prepare, interpreter, "--quick")
    assert status == 1 and codes(report) - NOTES == {"line.fragments"}, report["findings"]
    found = evidence(report, "line.fragments")
    assert found["ways"] == ["out", "in"] and found["largest"][0] == 1472, found


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_check_that_is_cut_short_prints_what_it_has_and_says_so(interpreter: str) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        stage.start_reflector()
        html = stage.folder / "report.html"
        process = stage.check("box", interpreter, "--html", str(html))
        stage.expect("box", "voice ports: ", 60)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert out, (process.returncode, stage.log("box"))
        report = json.loads(out)
        assert process.returncode == 1 and report["cut_short"], report
        assert report["ports"] and report["nat"] and report["rtp"] is None, report
        assert report["verdict"] == "unknown", report
        text = html.read_text()
        assert "cut short" in text and text.endswith("</html>\n"), text


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_without_a_reflector_the_status_is_three_and_a_sentence_says_where(
    interpreter: str,
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        process = stage.check("box", interpreter, "--quick")
        process.communicate(timeout=60)
        assert process.returncode == 3, stage.log("box")
        assert "no answer from 109.69.176.130 at ports 3478, 3479, 5060" in stage.log("box")


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_another_operator_is_another_file_with_other_ports_and_no_code_changed(
    interpreter: str,
) -> None:
    ports = "5070, 3400, 3401, 20000-20400"

    def prepare(lab: Lab) -> None:
        lab.router.set_timers(udp=35, stream=120)
        lab.router.set_filter(allow=[("udp", "109.69.176.128/25", ports)], drop=[("udp", "20200")])

    another = Path(__file__).parent / "another-operator.json"
    status, report = run(prepare, interpreter, profile=another)
    assert status == 1 and codes(report) - NOTES == {"reach.blocked.rtp"}, report["findings"]
    found = evidence(report, "reach.blocked.rtp")
    assert found["blocked"] == [[20200, 20200]] and found["asked"] == 401, found
    assert report["operator"] == "Any Phone", report
    assert 15 <= report["keepalive"]["interval_s"] <= 17, report["keepalive"]
    for name in ("R0", "R1", "R3", "R4", "R5", "R6"):
        assert state(report, name) in ("met", "noted"), (name, report["requirements"])

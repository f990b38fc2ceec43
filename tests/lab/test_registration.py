"""The SIP account through a real NAT, on both interpreters, against the lab's registrar.

Kamailio shows that it works with what operators run, ours what else a registrar may do.
"""

import binascii
import json
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from natwatch.wire import digest, sip_client
from tests.lab import HOME, PUBLIC, Lab
from tests.lab.stage import INTERPRETERS, ROOT, Stage
from tests.lab.topology import REGISTRAR

ENDPOINT = (REGISTRAR, 5060)
DOMAIN = "operator.example"
ACCOUNT: dict[str, Any] = {
    "registrar": DOMAIN,
    "user": "74951234567",
    "password": "secret, too",
    "domain": None,
}
USERS = {ACCOUNT["user"]: ACCOUNT["password"]}


def start_ours(stage: Stage, *options: str, **switches: Any) -> None:
    argv = [*INTERPRETERS["cpython"], "-m", "tests.lab.registrar", *map(str, ENDPOINT)]
    argv += ["--users", json.dumps(USERS), "--switches", json.dumps(switches), *options]
    stage.spawn("registrar", "provider", argv, cwd=ROOT)
    stage.expect("registrar", "ready", 20)


def start_kamailio(stage: Stage) -> None:
    stage.start_kamailio(USERS, "SHA-256")


REGISTRARS: dict[str, Callable[[Stage], None]] = {"ours": start_ours, "kamailio": start_kamailio}


def ask(stage: Stage, interpreter: str, **changes: Any) -> dict[str, Any]:
    """The engine's result, from host ``phone``."""
    argv = [*INTERPRETERS[interpreter], str(ROOT / "tests/lab/registering.py")]
    argv += [*map(str, ENDPOINT), json.dumps({**ACCOUNT, **changes}), str(stage.folder / "refused")]
    process = stage.spawn("probe", "phone", argv, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in stage.log("probe"), stage.log("probe")
    result: dict[str, Any] = json.loads(out)
    return result


def requests(stage: Stage) -> list[dict[str, Any]]:
    """What the lab's registrar was asked."""
    lines = stage.log("registrar").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def register_phone(lab: Lab, expires: int) -> None:
    """A phone on host ``phone`` registers through the NAT."""
    aor, uri = f"sip:{ACCOUNT['user']}@{DOMAIN}", f"sip:{DOMAIN}"
    with lab.on("phone"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("0.0.0.0", 5060))
        phone.settimeout(5)
        lines = ["Contact: <sip:phone@192.168.1.20:5060>", f"Expires: {expires}"]
        extra = lines
        for number in (1, 2):
            branch = binascii.hexlify(os.urandom(8)).decode()
            call = "phone" + str(os.getpid())
            data = sip_client.request("REGISTER", uri, aor, call, number, branch, extra)
            phone.sendto(data, ENDPOINT)
            answer = sip_client.response(phone.recv(4096))
            challenge = digest.choose(digest.challenges(answer.all("www-authenticate")))
            if challenge is not None:
                user, password = next(iter(USERS.items()))
                value = digest.authorization(
                    challenge, "REGISTER", uri, str(user), str(password), "cnonce", 1
                )
                extra = [*lines, f"Authorization: {value}"]
        assert answer.status == 200, answer.phrase


@pytest.mark.lab
@pytest.mark.parametrize("registrar", sorted(REGISTRARS))
@pytest.mark.parametrize("interpreter", sorted(INTERPRETERS))
def test_the_phones_registration_is_seen_from_where_until_when_and_left_alone(
    interpreter: str, registrar: str
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        REGISTRARS[registrar](stage)
        none = ask(stage, interpreter)
        assert none["register"]["state"] == "ok" and none["bindings"] == [], none
        register_phone(lab, 600)
        for _ in range(2):
            result = ask(stage, interpreter)
            assert result["register"]["state"] == "ok", result
            assert result["options"]["status"] == 200 and result["options"]["agent"], result
            (binding,) = result["bindings"]
            assert binding["contact"] == "sip:phone@192.168.1.20:5060", binding
            assert (binding["address"], binding["port"]) == ("192.168.1.20", 5060), binding
            assert 580 < binding["expires"] <= 600, binding
            assert binding["received"] == PUBLIC, binding
            assert result["seconds"] < 5 and result["bytes"] < 5000, result


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", sorted(INTERPRETERS))
def test_a_wrong_password_is_sent_once_an_hour_and_a_corrected_one_at_once(
    interpreter: str,
) -> None:
    with Lab(HOME) as lab:
        stage = Stage(lab)
        start_ours(stage, algorithms=["SHA-256", "MD5"])
        wrong = ask(stage, interpreter, password="else")
        assert wrong["register"]["state"] == "wrong password", wrong
        assert wrong["register"]["algorithm"] == "SHA-256", wrong
        for _ in range(2):
            again = ask(stage, interpreter, password="else")
            assert again["register"]["state"] == "resting", again
            assert again["options"]["status"] == 200 and " 60 min" in again["reason"], again
        assert len([one for one in requests(stage) if one["credentials"]]) == 1
        right = ask(stage, interpreter)
        assert right["register"]["state"] == "ok", right
        for one in requests(stage):
            assert one["contact"] is None and one["expires"] is None, one
            assert one["source"][0] == PUBLIC and one["source"][1] != 5060, one


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", sorted(INTERPRETERS))
def test_every_other_end_is_called_by_its_name(interpreter: str) -> None:
    redirect = [302, ["Contact: <sip:192.0.2.77>"]]
    for switches, state, status in (
        ({"algorithms": ["SHA-256"], "qop": None}, "ok", 200),
        ({"always_stale": True}, "challenged forever", 401),
        ({"answers": {"REGISTER": redirect}}, "redirected", 302),
        ({"answers": {"REGISTER": [423, ["Min-Expires: 60"]]}}, "refused", 423),
        ({"algorithms": ["SHA-512-256"]}, "unsupported", 401),
        ({"silent": ["REGISTER"]}, "no answer", None),
    ):
        with Lab(HOME) as lab:
            stage = Stage(lab)
            start_ours(stage, **switches)
            result = ask(stage, interpreter)
            found = (result["register"]["state"], result["register"]["status"])
            assert found == (state, status), (switches, result)
            assert result["options"]["status"] == 200, result


@pytest.mark.lab
@pytest.mark.parametrize("interpreter", sorted(INTERPRETERS))
def test_foreign_answers_are_no_answers_except_those_that_are_sip(interpreter: str) -> None:
    for options, understood in (
        (("--misbehave", "folded"), True),
        (("--misbehave", "followed"), True),
        (("--misbehave", "64 KB"), False),
        (("--misbehave", "nuls"), False),
        (("--misbehave", "no via"), False),
        (("--misbehave", "length"), False),
        (("--origin", "5070"), False),
    ):
        with Lab(HOME) as lab:
            stage = Stage(lab)
            start_ours(stage, *options)
            # Without a password, since silence takes its time twice with one.
            result = ask(stage, interpreter, **({} if understood else {"password": None}))
            assert (result["options"]["status"] == 200) is understood, (options, result)
            state = "ok" if understood else "not asked"
            assert result["register"]["state"] == state, (options, result)
            assert result["seconds"] < 9, (options, result)

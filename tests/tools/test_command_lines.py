"""The device's command line on both interpreters: exit codes, one sentence, no traceback."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERPRETERS = {
    "cpython": [sys.executable],
    "micropython": [str(ROOT / ".cache/micropython/micropython")],
}
GOOD = {"device": "nw-1", "reflector": {"address": "127.0.0.1", "key": "0f" * 32}}


@pytest.fixture(params=list(INTERPRETERS))
def natwatch(request: pytest.FixtureRequest) -> list[str]:
    return [*INTERPRETERS[request.param], "-m", "natwatch"]


def run(argv: list[str], **more: object) -> "subprocess.CompletedProcess[str]":
    environment = {"MICROPYPATH": str(ROOT / "agent"), "PYTHONPATH": str(ROOT / "agent")}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        argv, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, **more
    )


def one_sentence(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_terminal_without_the_letters_gets_question_marks_instead_of_a_traceback() -> None:
    # KOI8-R has Russian letters and no dash, ASCII neither; the measuring took minutes.
    program = (
        "import sys; from natwatch import cli; cli.nat = lambda _: 0 if cli.tell('да —\\n') else 1"
    )
    argv = [sys.executable, "-c", program + "; sys.exit(cli.main(['nat']))"]
    for encoding, told in (("koi8-r", "да ?\n"), ("ascii", "?? ?\n"), ("utf-8", "да —\n")):
        environment = {"PYTHONPATH": str(ROOT / "agent"), "PYTHONIOENCODING": encoding}
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode(encoding) == told


def test_bad_configurations_end_with_two_and_one_sentence(
    natwatch: list[str], tmp_path: Path
) -> None:
    for text, words in (
        (json.dumps({**GOOD, "colour": 1}), ("colour", "unknown", "device")),
        (json.dumps({**GOOD, "device": 7}), ("device", "expected", "found 7")),
        (json.dumps({"device": "nw-1"}), ("reflector", "found nothing")),
        (json.dumps({**GOOD, "profile": "nowhere.json"}), ("nowhere.json", "no such file")),
        (json.dumps({**GOOD, "profile": "/dev/null"}), ("/dev/null", "expected JSON")),
        (json.dumps(GOOD)[:-1], ("expected JSON",)),
        ("[" * 50000, ("expected JSON, found text",)),
        ("[" * 200000, ("expected JSON of",)),
        ("", ("expected JSON",)),
    ):
        file = tmp_path / "box.json"
        file.write_text(text)
        one_sentence(run([*natwatch, "run", "--config", str(file)]), "box.json", *words)
    (tmp_path / "latin1.json").write_bytes(b'{"device": "\xff"}')
    one_sentence(run([*natwatch, "run", "--config", str(tmp_path / "latin1.json")]))
    one_sentence(run([*natwatch, "run", "--config", str(tmp_path)]), "cannot be read")
    one_sentence(run([*natwatch, "run", "--config", str(tmp_path / "none")]), "cannot be read")


def test_odd_arguments_end_with_two_and_one_sentence(natwatch: list[str], tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0f" * 32)
    good = ["lifetime", "--reflector", "127.0.0.1", "--device", "nw-1", "--key-file", str(key)]
    for arguments, words in (
        (["dance"], ("dance", "run, check, lifetime, layers, nat or advice")),
        (["run"], ("--config",)),
        (["run", "--config"], ("expected a value",)),
        (["lifetime"], ("--reflector",)),
        ([*good, "--state", "solid"], ("--state", "oneway")),
        ([*good, "--class", "tcp"], ("--class", "udp/sip")),
        ([*good, "--server", "127.0.0.1"], ("--reflector", "beside --server")),
        (["nat"], ("--reflector", "--server")),
        (["nat", "--server", "127.0.0.1:http"], ("--server", "1 to 65535")),
        (["nat", "--server", "stun.example"], ("--server", "IPv4")),
        (["lifetime", "--server", "127.0.0.1", "--state", "oneway"], ("--state", "replied")),
        (["lifetime", "--server", "127.0.0.1", "--class", "udp/sip"], ("--class", "port decides")),
        (["advice", "--server", "127.0.0.1"], ("--server", "unknown option")),
        ([*good, "--limit", "ten"], ("--limit", "5 to 890")),
        ([*good, "--reflector", "reflector.example"], ("--reflector", "IPv4")),
        ([*good, "--key-file", "/bin/ls"], ("64 hex digits",)),
    ):
        one_sentence(run([*natwatch, *arguments]), *words)


def test_output_that_nobody_takes_is_no_traceback(natwatch: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run([*natwatch, "--version"], stdout=full)
    assert done.returncode == 1 and done.stderr == ""
    command = " ".join(f"'{word}'" for word in natwatch)
    done = run(["/bin/sh", "-c", f"{command} --help | /bin/true"], stdout=subprocess.DEVNULL)
    assert done.stderr == ""


def test_ctrl_c_ends_the_daemon_without_a_traceback(natwatch: list[str], tmp_path: Path) -> None:
    file = tmp_path / "box.json"
    file.write_text(json.dumps(GOOD))
    for seconds in (0.15, 1.0):
        daemon = subprocess.Popen(
            [*natwatch, "run", "--config", str(file)],
            env={"MICROPYPATH": str(ROOT / "agent"), "PYTHONPATH": str(ROOT / "agent")},
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job ignores SIGINT, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        time.sleep(seconds)
        daemon.send_signal(signal.SIGINT if seconds < 1 else signal.SIGTERM)
        _, said = daemon.communicate(timeout=20)
        # On a busy machine the first signal may meet Python's own start-up, before our first line.
        assert "Traceback" not in said or "agent/natwatch" not in said, said

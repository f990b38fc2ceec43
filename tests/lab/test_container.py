"""A container takes everything with it, however it ends, and hides it while it lives."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import HOME, Lab

ROOT = Path(__file__).parents[2]
# In Debian's own Python, because an ordinary user may be unable to read the tree's.
# setpriv becomes the program, so that a kill reaches it.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
ORDINARY = [*NOBODY, "/usr/bin/python3", "-B"]
ENTER = ["-m", "tests.lab.enter"]
BUILD = """
import sys, time
from tests.lab import HOME, Lab
with Lab(HOME) as lab:
    lab.router.set_timers(udp=7, ports={5060: (200, 300)})
    lab.router.set_sip_alg(True)
    lab.router.set_loss(0.1, 0.1)
    lab.spawn("phone", ["sleep", sys.argv[1]])
    lab.run("phone", ["sh", "-c", "echo x >/dev/udp/1 2>/dev/null; true"])
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def processes_with(word: str) -> list[int]:
    """The ids of processes that have *word* as an argument."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(int(folder.name))
    return found


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.fixture
def mark() -> str:
    """A number of seconds to sleep that no other process sleeps: it finds ours again."""
    return f"600.{os.getpid()}{time.monotonic_ns()}"


@pytest.fixture
def started(mark: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a lab in a container, with a sleep of *mark* seconds on its phone."""
    running = []

    def start(python: list[str], seconds: float = 600) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*python, *ENTER, python[-2] if "-B" in python else python[0]]
            + ["-c", BUILD, mark, str(seconds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        running.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert line == "ready\n", line + process.stdout.read()
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def container_of(mark: str) -> tuple[int, set[str]]:
    """The sleeping process's id, and the namespaces that it lives in."""
    (sleeper,) = processes_with(mark)[-1:]
    return sleeper, {os.readlink(f"/proc/{sleeper}/ns/{kind}") for kind in ("net", "mnt", "pid")}


def namespaces_in_use() -> set[str]:
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(os.readlink(link))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_process_and_no_namespace(
    number: int, mark: str, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started([sys.executable])
    _, namespaces = container_of(mark)
    assert namespaces <= namespaces_in_use()
    process.send_signal(number)
    process.wait(10)
    # With its last process the kernel frees a namespace, and may give its number to the lab of
    # another test at once: so the processes are looked for, not the numbers.
    assert eventually(lambda: not processes_with(mark))


def test_the_programs_own_end_ends_what_it_left_running(
    mark: str, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started([sys.executable], seconds=0)
    assert process.wait(10) == 0
    assert eventually(lambda: not processes_with(mark))


def test_the_machines_own_network_is_neither_seen_nor_changed(
    mark: str, started: Callable[..., subprocess.Popen[str]]
) -> None:
    def machine() -> str:
        names = subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
        return names + Path("/proc/net/dev").read_text().split("lo:")[0] + str(sorted(interfaces()))

    def interfaces() -> list[str]:
        return [line.split(":")[0] for line in Path("/proc/net/dev").read_text().splitlines()]

    before = machine()
    started([sys.executable])
    assert machine() == before


def test_an_ordinary_user_has_the_whole_lab(
    mark: str, started: Callable[..., subprocess.Popen[str]]
) -> None:
    if os.getuid() == 0:
        if subprocess.run([*ORDINARY, "-c", "import tests.lab"], cwd=ROOT).returncode:
            pytest.skip("user nobody cannot read this tree, or has no /usr/bin/python3 >= 3.11")
        process = started(ORDINARY, 0)
    else:
        process = started([sys.executable], 0)
    assert process.wait(10) == 0


def test_without_namespaces_one_sentence_and_status_2() -> None:
    # A filter of system calls is what a hardened container has; here a limit does it.
    script = "echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_net_namespaces"
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    done = subprocess.run(
        [*limited, f'{script}; exec "$@"', "sh", sys.executable, *ENTER, "true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert (
        done.stderr.startswith("lab: expected root, or a kernel") and done.stderr.count("\n") == 1
    )


def test_the_status_of_the_program_is_the_status_of_the_container() -> None:
    for script, status in (("exit 7", 7), ("kill -9 $$", 137), ("true", 0)):
        done = subprocess.run([sys.executable, *ENTER, "sh", "-c", script], cwd=ROOT)
        assert done.returncode == status, script


@pytest.mark.lab
def test_inside_only_the_labs_own_processes_are_seen() -> None:
    with Lab(HOME) as lab:
        lab.spawn("phone", ["sleep", "60"])
        assert len(list(Path("/proc").glob("[0-9]*"))) <= 4
        assert shutil.which("ip") and lab.run("phone", ["ip", "-o", "link"]).count("\n") == 2


@pytest.mark.lab
@pytest.mark.parametrize("timer", [11, 23])
def test_labs_side_by_side_have_their_own_hosts_and_timers(timer: int) -> None:
    # Both run at the same time under xdist; the names and addresses are the same.
    with Lab(HOME) as lab:
        lab.router.set_timers(udp=timer)
        time.sleep(1)
        path = "/proc/sys/net/netfilter/nf_conntrack_udp_timeout"
        assert lab.run("router", ["cat", path]).strip() == str(timer)


def test_ctrl_c_reaches_the_program_once_and_the_terminal_comes_back() -> None:
    inside = (
        "import time\n"
        "try:\n print('up', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n print('stopped', flush=True); time.sleep(0.5); print('tidy')\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        script = '"$0" -m tests.lab.enter "$0" -c "$1"; echo status $?; read word; echo got $word'
        os.execvp("sh", ["sh", "-c", script, sys.executable, inside])
    try:
        assert "up" in said_until(terminal, "up")
        os.write(terminal, b"\x03")
        assert "stopped" in said_until(terminal, "status 0").split("tidy")[0]
        os.write(terminal, b"hello\n")
        said_until(terminal, "got hello")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def said_until(terminal: int, word: str) -> str:
    """What a program writes to its terminal, up to *word*; fails after ten seconds."""
    said = ""
    while word not in said:
        assert select.select([terminal], [], [], 10)[0], said
        said += os.read(terminal, 1000).decode()
    return said

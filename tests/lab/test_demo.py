"""make demo: it shows the alert and ends by itself; ended by hand it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.stage import ROOT

DEMO = [sys.executable, "-m", "tests.lab.demo"]


def descendants(pid: int) -> list[int]:
    """Every process below *pid*, as /proc tells."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def test_the_demonstration_ends_by_itself_with_the_alert_told() -> None:
    done = subprocess.run(DEMO, cwd=ROOT, capture_output=True, text=True, timeout=360)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ALERT 1 RAISED critical shrink device=demo-box" in done.stdout
    for line in ("old value  39.", "new value  1", "for a phone: the NAT forgets the phone"):
        assert line in done.stdout, done.stdout


def test_ctrl_c_ends_the_demonstration_and_all_that_it_started() -> None:
    demo = subprocess.Popen(
        DEMO,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, PYTHONUNBUFFERED="1"),
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "searching for the lifetime" in line:
            break
    started = descendants(demo.pid)
    assert len(started) > 5, started  # keeper, init, the demonstration, and its programs
    demo.send_signal(signal.SIGINT)
    out, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, out
    assert "nothing" in out or "no process" in out
    time.sleep(0.5)
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []

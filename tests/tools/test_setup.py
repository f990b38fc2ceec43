"""The set-up: quick and silent when there is nothing to do; else it names what is missing."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_second_set_up_is_quick_and_says_nothing() -> None:
    subprocess.run(["tests/setup/all.sh"], cwd=ROOT, check=True)
    start = time.monotonic()
    done = subprocess.run(["tests/setup/all.sh"], cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - start
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert seconds < 5  # 0.2 on an idle machine; a download takes longer than that


def test_two_set_ups_at_once_both_succeed() -> None:
    both = [
        subprocess.Popen(["tests/setup/all.sh"], cwd=ROOT, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [one.wait(60) for one in both] == [0, 0]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that an ordinary user of a machine without shellcheck finds."""
    for file in Path("/usr/bin").iterdir():
        if file.name not in ("shellcheck", "id"):
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    return tmp_path


def test_an_ordinary_user_is_told_the_command_for_what_is_missing(machine: Path) -> None:
    # The script adds the folders of daemons to PATH; shellcheck is in neither.
    done = subprocess.run(
        ["tests/setup/debian.sh"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": str(machine), "PYTHON3": shutil.which("python3") or ""},
    )
    assert done.returncode == 2
    assert done.stdout == "setup: these Debian packages are missing: shellcheck\n"
    assert "'sudo apt-get install --no-install-recommends shellcheck'" in done.stderr
    assert done.stderr.count("\n") == 1


def copy_of_the_step(tmp_path: Path) -> Path:
    """A tree in which the virtual environment's step can be tried without a download."""
    shutil.copytree(ROOT / "tests/setup", tmp_path / "tests/setup")
    shutil.copytree(ROOT / "constraints", tmp_path / "constraints")
    for name in ("agent", "provider", "provisioning"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / name / "pyproject.toml", tmp_path / name)
    return tmp_path


def test_an_interrupted_step_is_done_again(tmp_path: Path) -> None:
    tree = copy_of_the_step(tmp_path)
    log = tree / "calls"
    fake = tree / "python"
    # Makes the environment, is killed at the first install, and works the second time.
    fake.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >>{log}\n'
        'case "$*" in\n'
        f"*'venv .venv') mkdir -p .venv/bin && cp {fake} .venv/bin/python ;;\n"
        f"*install*) [ -e {tree}/again ] || {{ touch {tree}/again; kill -9 $PPID; }} ;;\n"
        "esac\n"
    )
    fake.chmod(0o755)
    environment = {**os.environ, "PYTHON3": str(fake)}

    def step() -> int:
        return subprocess.run(["tests/setup/venv.sh"], cwd=tree, env=environment).returncode

    assert step() == -9
    assert not (tree / ".venv/natwatch.stamp").exists()
    assert step() == 0
    calls = log.read_text().count("install")
    assert step() == 0 and log.read_text().count("install") == calls
    (tree / "constraints/tools.txt").write_text("ruff==0.0.1\n")
    assert step() == 0 and log.read_text().count("install") > calls

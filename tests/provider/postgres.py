"""A PostgreSQL cluster of a test run's own: in a temporary folder, on a Unix socket only.

It ends with the process that started it, whatever ends that: the kernel tells it so. Its
folder is removed at the end, or by the next run where this one was killed.
"""

import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_PREFIX = "natwatch-postgresql-"
_PR_SET_PDEATHSIG = 1
_START_S = 60


class Cluster:
    """A running server. new_database() gives the address of an empty database in it."""

    def __init__(self) -> None:
        _remove_left_over()
        self._folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        self._owner = _unprivileged()
        if self._owner:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        self._databases = 0
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def new_database(self) -> str:
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://natwatch@/{name}?host={self._folder}"

    def restart(self) -> None:
        """Stop at once, as in a power cut, and start again."""
        self._end(signal.SIGQUIT)
        self._start_server()

    def pause(self) -> None:
        """Stop until restart()."""
        self._end(signal.SIGINT)

    def stop(self) -> None:
        self._end(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._run("initdb", "-D", f"{self._folder}/data", "-A", "trust", "-U", "natwatch", "-N")
        self._start_server()

    def _start_server(self) -> None:
        if self._server is not None:
            self._end(signal.SIGINT)
        options = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        settings = [f"--{name}={value}" for name, value in options.items()]
        self._server = subprocess.Popen(
            [_program("postgres"), "-D", f"{self._folder}/data", *settings],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=(Path(self._folder) / "log").open("ab"),
            preexec_fn=self._become_owner,
        )
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self._conninfo("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((Path(self._folder) / "log").read_text()) from None
                time.sleep(0.05)

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(timeout=_START_S)
            self._server = None

    def _conninfo(self, database: str) -> str:
        return f"host={self._folder} user=natwatch dbname={database}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_program(program), *arguments],
            cwd=self._folder,
            check=True,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            preexec_fn=self._become_owner,
        )

    def _become_owner(self) -> None:
        """In the child: leave root, which PostgreSQL refuses, and end with the parent."""
        if self._owner:
            os.setgroups([])
            os.setgid(self._owner.pw_gid)
            os.setuid(self._owner.pw_uid)
        # after setuid, which would undo it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, unless we are root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _program(name: str) -> str:
    # Debian puts the server's programs outside PATH
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    if not found:
        raise RuntimeError(f"expected Debian's package postgresql, found no {name}; make setup")
    return found[-1]


def _remove_left_over() -> None:
    for folder in glob.glob(f"{tempfile.gettempdir()}/{_PREFIX}*"):
        pid = Path(folder).name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)

"""Devices of make chaos: each with its spool on a small disk, and all that was ever seen in it."""

import glob
import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from natwatch.daemon import record
from tests.lab.stage import INTERPRETERS, Stage, stop

FLUSH = 2  # s, the batching window of the agents
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
_WATCH = [[kind, state] for kind in ("udp/sip", "udp/stun") for state in ("replied", "stream")]

Name = tuple[str, int]  # boot, seq


class Start:
    """One start of a box, times of time.monotonic(); *expected*: what its birth has to say."""

    def __init__(self, expected: dict[str, Any]) -> None:
        self.at = time.monotonic()
        self.expected = expected
        self.boot: str | None = None
        self.ended: float | None = None
        self.clean = False
        self.failing: float | None = None  # since when it could not write, to its very end


class Box:
    """A device: its spool on a tmpfs of its own, and all that was ever seen in it."""

    def __init__(self, stage: Stage, name: str, interpreter: str, size: int) -> None:
        self.name = name
        self.interpreter = interpreter
        self.mount = small_disk(stage.folder / f"disk-{name}", 4 * size)
        self.folder = self.mount / "spool"
        self.clock = stage.folder / f"{name}.clock"
        self.clock.write_text("+0")
        self.process: subprocess.Popen[Any] | None = None
        self.starts: list[Start] = []
        self.written: dict[Name, tuple[str, bytes]] = {}  # kind, payload
        self.taken: set[Name] = set()  # with the flash
        self.dropped_before: Counter[str] = Counter()
        self._filled: float | None = None  # when the disk was
        self._stage = stage
        self._seen: dict[Path, tuple[int, list[Any]]] = {}
        self._log_at = 0
        spool = {"path": str(self.folder), "bytes": size, "flush_s": FLUSH, "bytes_per_day": 0}
        self._config = stage.configure(name, spool=spool, watch=_WATCH, health_every_s=1)

    @property
    def alive(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        if self.process is not None:
            return
        state = self.look()
        expected: dict[str, Any] = {"unclean": False, "last": None}
        if state is not None:
            expected["unclean"] = not state["closed"]
            expected["last"] = {"boot": state["boot"], "seq": state["seq"]}
        self._log_at = len(self._stage.log(self.name)) if self.starts else 0
        argv = [*INTERPRETERS[self.interpreter], "-m", "natwatch"]
        argv += ["run", "--config", str(self._config)]
        if FAKETIME is not None:
            settings = (
                *(f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={self.clock}"),
                *("FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"),
            )
            argv = ["env", *settings, *argv]
        self.starts.append(Start(expected))
        self.process = self._stage.spawn(self.name, "phone", argv)

    def end(self, clean: bool = False) -> str | None:
        """Kill -9, or a polite end; what is wrong with how it ended."""
        process, self.process = self.process, None
        if process is None:
            return None
        fault = None
        if process.poll() is not None:
            fault = f"{self.name} ended by itself, status {process.returncode}"
        elif clean:
            try:
                status = stop(process)
                fault = f"{self.name}: status {status} of a clean end" if status else None
            except subprocess.TimeoutExpired:
                process.kill()
                fault = f"{self.name} did not end within 20 s of SIGINT"
        process.kill()
        process.wait()
        start = self.starts[-1]
        start.ended = time.monotonic()
        start.failing = self._filled if self._fails() else None
        state = self.look()
        if state is not None and state["boot"] not in {one.boot for one in self.starts[:-1]}:
            start.boot = state["boot"]
            start.clean = state["closed"]
        return fault

    def look(self) -> dict[str, Any] | None:
        """Note what stands in the files; their last state, its seq as a start will tell it."""
        state, highest = None, {}
        files = {}
        for path in sorted(self.folder.glob("*.spool")):
            try:
                if self._seen.get(path, (-1, []))[0] != path.stat().st_size:
                    data = path.read_bytes()
                    found = [(kind, body) for kind, _, _, body in record.records(data)]
                    self._seen[path] = len(data), found
            except FileNotFoundError:
                continue  # the agent has just let go of it
            files[path] = self._seen[path]
        self._seen = files
        for _, found in files.values():
            for kind, body in found:
                if kind == record.STATE:
                    state = record.read_state(body)
                elif kind == record.REPORT:
                    boot, _, seq, name, _, payload = record.read_report(body)
                    self.written.setdefault((boot, seq), (name, payload))
                    highest[boot] = max(seq, highest.get(boot, 0))
        if state is not None:
            state["seq"] = max(state["seq"], highest.get(state["boot"], 0))
        return state

    def reflash(self) -> None:
        """Ended already: another flash, and all that was in the old one is gone with it."""
        state = self.look()
        self.dropped_before.update(state["dropped"] if state else {})
        self.taken |= set(self.written)
        for path in self.folder.glob("*.spool"):
            path.unlink()
        self._seen = {}

    def be_quiet(self) -> None:
        config = json.loads(self._config.read_text())
        config["health_every_s"] = 600
        self._config.write_text(json.dumps(config))

    def fill(self) -> None:
        if not self._fails():
            self._filled = time.monotonic()
        fill(self.mount)

    def free(self) -> None:
        free(self.mount)

    def _fails(self) -> bool:
        """Whether this start said that it cannot write, and not yet that it can again."""
        said = self._stage.log(self.name)[self._log_at :]
        return said.rfind("the folder cannot be used") > said.rfind("spool: written again")


def small_disk(folder: Path, size: int) -> Path:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    return folder


def fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def free(disk: Path) -> None:
    (disk / "filler").unlink(missing_ok=True)

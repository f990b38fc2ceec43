"""Memory of agents that have searched and watch two keys, connected to a broker."""

import time
from functools import partial
from pathlib import Path

from tests.bench.jobs import INTERPRETERS, Job, Row, table
from tests.lab import HOME, Lab
from tests.lab.stage import Stage

_WATCH = [["udp/sip", "stream"], ["udp/sip", "replied"]]


def jobs() -> list[Job]:
    return [Job(f"memory, TLS {secure}", 150, partial(memory, secure)) for secure in (False, True)]


def memory(secure: bool) -> list[Row]:
    """Beside the two watches runs the resident flow, as by default."""
    rows = []
    with Lab(HOME) as lab:
        stage = Stage(lab, secure=secure)
        lab.router.set_timers(udp=12, stream=12)
        stage.start_reflector()
        stage.start_broker()
        stage.start_collector()
        agents = {}
        for number, interpreter in enumerate(INTERPRETERS):
            agents[interpreter] = stage.start_agent(
                interpreter, interpreter, watch=_WATCH, resident={"port": 5062 + 2 * number}
            )
        for interpreter, process in agents.items():
            stage.expect(interpreter, "replied: watching", 200)
            time.sleep(30)
            row: Row = {"what": "memory", "how": interpreter, "tls": secure}
            rows.append({**row, **_memory(process.pid)})
    return rows


def _memory(pid: int) -> dict[str, float]:
    """Megabytes (10^6) of VmRSS and VmHWM."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        name: int(fields[field].split()[0]) * 1024 / 1e6
        for name, field in (("resident", "VmRSS"), ("peak", "VmHWM"))
    }


def show(rows: list[Row]) -> int:
    """Figures without a promise."""
    print("\nMemory of the running agent: two keys watched, a resident flow, the broker\n")
    table(
        "interpreter | TLS | >resident MB | >peak MB",
        [
            [
                *(row["how"], "yes" if row["tls"] else "no"),
                *(f"{row['resident']:.1f}", f"{row['peak']:.1f}"),
            ]
            for row in rows
            if row["what"] == "memory"
        ],
    )
    return 0

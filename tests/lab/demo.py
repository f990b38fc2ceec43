"""make demo: a NAT timeout shrinks and the NOC is told, with real parts, in a few minutes.

KEEP=1 leaves everything up afterwards and says what to try.
"""

import os
import re
import sys
import textwrap
import threading
import time
from pathlib import Path

from tests.lab import HOME, R2, Lab, container
from tests.lab.lab import LabError
from tests.lab.stage import Stage, wait_for

OLD, NEW = 40, 15  # seconds
DEVICE = "demo-box"
_PATIENCE = 200  # s for each step; all of them together take under four minutes


class Narrator:
    """Plain lines with the time since the start; relays what the programs log."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._colour = sys.stdout.isatty()
        self.done = threading.Event()
        self.muted = ""  # whose lines are not wanted any more

    def say(self, text: str, who: str = "demo") -> None:
        passed = int(time.monotonic() - self._began)
        line = f"{passed // 60}:{passed % 60:02d}  {who:<9} {text}"
        if self._colour and who == "demo":
            line = f"\033[1m{line}\033[0m"
        with self._lock:
            print(line, flush=True)

    def relay(self, stage: Stage, name: str, who: str) -> None:
        """Print each new line of a program's log, without the program's own time stamp."""

        def follow() -> None:
            with open(stage.logs[name], errors="replace") as log:
                while not self.done.is_set():
                    line = log.readline()
                    if line.endswith("\n") and who != self.muted and not self.done.is_set():
                        self.say(re.sub(r"^[\d:T.\-Z]+ ", "", line.rstrip()), who)
                    elif not line:
                        time.sleep(0.1)

        threading.Thread(target=follow, daemon=True).start()


def main() -> int:
    container.die_with_parent()  # make may be killed, too
    return container.run(show)


def show() -> int:
    narrator = Narrator()
    try:
        with Lab(HOME) as lab:
            play(lab, narrator)
            if os.environ.get("KEEP", "0") not in ("", "0"):
                keep(lab, narrator)
            narrator.done.set()
    except KeyboardInterrupt:
        narrator.done.set()
        narrator.say("stopped; no process, no namespace, no file is left")
        return 130
    except LabError as error:
        narrator.done.set()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    narrator.say("all of it is gone again: no process, no namespace, no file is left")
    return 0


def play(lab: Lab, narrator: Narrator) -> None:
    stage = Stage(lab)
    narrator.say(
        "a home (phone, router with NAT) and a provider, as network namespaces; about 4 minutes"
    )
    lab.router.set_timers(udp=OLD, stream=OLD)
    lab.router.set_filter(allow=R2)
    stage.start_reflector()
    stage.start_broker()
    stage.start_collector()
    narrator.relay(stage, "collector", "collector")
    narrator.say("running: reflector, Mosquitto over TLS, collector on SQLite")
    narrator.say(f"the router's NAT keeps a UDP binding {OLD} s; the probe does not know that")
    stage.start_agent(DEVICE)
    narrator.relay(stage, DEVICE, "probe")
    narrator.say(
        "the probe opens many bindings to port 5060 at once, lets each be silent for another"
    )
    narrator.say("time, and hears from which ones a push still arrives (3 results: the baseline)")

    wait_for(lambda: stage.baseline(DEVICE), _PATIENCE, "a baseline", lambda: stage.log(DEVICE))
    lab.router.set_timers(udp=NEW, stream=NEW)
    changed = time.monotonic()
    narrator.say(f"NOW the router's NAT is set to {NEW} s, as a firmware update might do")
    narrator.say("(bindings that were open already keep their old timer)")
    line = stage.expect("collector", r"ALERT \d+ RAISED critical", _PATIENCE)
    took = time.monotonic() - changed
    time.sleep(0.5)  # let the relayed lines come out first
    narrator.say(f"the alert stands in the database {took:.0f} s after the change")
    announce(line)
    print(noc_table(lab, stage, "alerts"))


def announce(line: str) -> None:
    """The alert for people: old value, new value, what it means for a phone."""
    found = re.search(r"old=(\S+) new=([^\s:]+): (.*)", line)
    if found is None:
        raise SystemExit(f"expected an alert line with old and new value, found: {line}")
    old, new, meaning = found.groups()
    bar = "-" * 78
    told = textwrap.fill(
        f"for a phone: {meaning}", 76, initial_indent="    ", subsequent_indent="    "
    )
    print(f"\n{bar}\n  ALERT for {DEVICE}: the NAT timeout shrank")
    print(f"    old value  {old}\n    new value  {new}   (alive at the first, dead at the second)")
    print(f"{told}\n{bar}\n")


def noc_table(lab: Lab, stage: Stage, *arguments: str) -> str:
    program = Path(sys.executable).parent / "natwatch-noc"
    return lab.run("provider", [str(program), "--database", stage.database, *arguments])


def keep(lab: Lab, narrator: Narrator) -> None:
    """Say what to try, and wait for Ctrl-C."""
    programs = Path(sys.executable).parent
    user = "--user --preserve-credentials " if container.of_ordinary_user() else ""
    enter = f"nsenter {user}--mount --net --pid --target $(pgrep -P {os.environ[container.KEEPER]})"
    noc = f"{programs}/natwatch-noc --database sqlite:///{lab.scratch}/natwatch.db"
    router = "nsenter --net=/run/netns/router"
    timer = "net.netfilter.nf_conntrack_udp_timeout_stream"
    narrator.say("KEEP=1: everything stays up. In another terminal, first")
    print(f"\n    {enter}\n\nand in that shell")
    for command, what in (
        (f"{noc} devices", "the fleet"),
        (f"{noc} lifetimes {DEVICE}", "what it measured"),
        (f"{noc} alerts --all", "its alerts"),
        (f"{router} conntrack -L", "the NAT's bindings, the ground truth"),
        (f"{router} sysctl -w {timer}={OLD}", "heal the NAT: the alert clears in three minutes"),
        (f"tail -f {lab.scratch}/*.log", "what all the programs say"),
    ):
        print(f"    {command}\n        # {what}")
    print("\nCtrl-C here ends it all.", flush=True)
    narrator.muted = "probe"
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())

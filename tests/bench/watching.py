"""What watching costs on the wire: python -m tests.bench.watching, about six minutes.

Counted at the device's interface, Ethernet headers taken off, for one key at the default budget.
"""

import re
import sys
import time

from tests.lab import HOME, R2, Lab, container
from tests.lab.stage import Stage

_TIMER = 20  # s
_ROUNDS = 5


def show() -> int:
    with Lab(HOME) as lab:
        stage = Stage(lab, secure=False)
        lab.router.set_timers(udp=_TIMER, stream=_TIMER)
        lab.router.set_filter(allow=R2)
        stage.start_reflector()
        stage.start_agent("box", budget={})
        line = stage.expect("box", "watching", 120)
        period = float(re.findall(r"every ([\d.]+) s", line)[0])
        print(f"one round every {period} s; counting {_ROUNDS} of them", flush=True)
        time.sleep(_TIMER + 10)
        before = lab.traffic("phone", "router")
        time.sleep(_ROUNDS * period)
        after = lab.traffic("phone", "router")
    packets = after.packets_in + after.packets_out - before.packets_in - before.packets_out
    size = after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out - 14 * packets
    print(f"a round: {size / _ROUNDS:.0f} bytes in {packets / _ROUNDS:.0f} packets")
    print(f"a day, at this period: {size / _ROUNDS * 86400 / period / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(container.run(show))

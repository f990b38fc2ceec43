"""The indirect evidence, on either interpreter: gather.py REFLECTOR PORT; its result as JSON."""

import json
import sys

from natwatch import port
from natwatch.evidence import Evidence
from natwatch.oneshot import measure


def main() -> None:
    engine = Evidence((sys.argv[1], int(sys.argv[2])), port.random)
    begun = port.now()
    (result,) = measure(None, [engine], lambda now: "asking the gateway")
    print(json.dumps({"result": result, "counters": engine.counters, "ms": port.now() - begun}))


main()

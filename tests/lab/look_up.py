"""One look-up, on either interpreter: look_up.py NAME NETWORK [RESOLVER…]; its result as JSON."""

import json
import sys

from natwatch import port
from natwatch.oneshot import measure
from natwatch.probes.dns import Dns
from natwatch.wire.ipv4 import network_of


def main() -> None:
    name, network, resolvers = sys.argv[1], sys.argv[2], sys.argv[3:]
    engine = Dns(resolvers, name, network_of(network), port.random)
    begun = port.now()
    (result,) = measure(None, [engine], lambda now: "looking up " + name)
    seen = {"result": result, "counters": engine.counters, "ms": port.now() - begun}
    print(json.dumps(seen))


main()

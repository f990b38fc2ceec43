"""The adapter and its forward, asked once, on either interpreter; the results as one line of JSON.

PYTHON forward_once.py REFLECTOR DEVICE KEY ADAPTER PORT
"""

import binascii
import json
import sys

from natwatch import port
from natwatch.oneshot import measure
from natwatch.port import network
from natwatch.probes.adapter import Adapter
from natwatch.probes.forward import Forward
from natwatch.probes.session import Session


def main(reflector: str, device: str, key: str, address: str, number: str) -> None:
    endpoint = (address, int(number))
    adapter = measure(None, [Adapter(endpoint, port.random)], lambda now: "adapter")[0]
    session = Session(device, binascii.unhexlify(key), reflector, port.random)
    forward = Forward(session, endpoint[1], adapter["agent"])
    found = measure(session, [forward], lambda now: "forward")
    told = {"adapter": adapter, "forward": found[0], "on_segment": network.on_segment(address)}
    print(json.dumps(told))


main(*sys.argv[1:])

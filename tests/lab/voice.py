"""One voice-like stream, on either interpreter: voice.py ADDRESS DEVICE KEY-IN-HEX PORT SECONDS

Prints the engine's result as JSON.
"""

import binascii
import json
import sys

from natwatch import port
from natwatch.oneshot import measure
from natwatch.probes.media import Media
from natwatch.probes.session import Session


def main() -> None:
    address, device, key, number, seconds = sys.argv[1:]
    session = Session(device, binascii.unhexlify(key), address, port.random)
    engine = Media(session, int(number), int(seconds))
    print(json.dumps(measure(session, [engine], lambda now: "streaming")))


main()

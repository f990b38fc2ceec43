"""A sweep over all voice ports beside a control flow, on either interpreter; one line of JSON.

PYTHON sweep_once.py REFLECTOR DEVICE KEY
"""

import json
import sys

from natwatch import port
from natwatch.oneshot import measure
from natwatch.probes.reach import Reach
from natwatch.probes.session import Session

address, device, key = sys.argv[1:]
session = Session(device, bytes.fromhex(key), address, port.random)
sweep = Reach(address, [(8000, 10000)], port.random)
print(json.dumps(measure(session, [sweep], lambda now: "sweeping")[0]))

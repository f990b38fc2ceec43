"""The registration engine as a program, on either interpreter: ADDRESS PORT ACCOUNT REFUSAL-FILE

ACCOUNT is the engine's, as JSON; the result is printed as JSON.
"""

import json
import sys

from natwatch import port
from natwatch.oneshot import measure
from natwatch.port.refusal import Refusal
from natwatch.probes.registration import Registration


def main() -> None:
    account = json.loads(sys.argv[3])
    refusal = Refusal(sys.argv[4])
    not_before = refusal.not_before(account, port.now())
    engine = Registration((sys.argv[1], int(sys.argv[2])), account, port.random, not_before)
    (result,) = measure(None, [engine], lambda now: "asking the registrar")
    if engine.failed:
        refusal.remember(account, port.now())
    print(json.dumps(result))


main()

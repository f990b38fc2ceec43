"""One start of a spool on disk, on either interpreter: INTERPRETER spooler.py FOLDER BOOT DO…

DO is put:N (append N reports), ack:BOOT:FIRST:LAST, flush, tear (cut three bytes off the newest
file) or close, in their order. Prints what it found at the start and its birth as one JSON object.
"""

import json
import os
import sys

HERE = sys.argv[0][: -len("spooler.py")]
sys.path.insert(0, HERE + "../../agent")

from natwatch.daemon.journal import Journal  # noqa: E402
from natwatch.daemon.spool import Spool  # noqa: E402
from natwatch.port.disk import Folder  # noqa: E402
from natwatch.wire import telemetry  # noqa: E402


def main():
    path, boot = sys.argv[1:3]
    journal = Journal(Folder(path), 65536, 0, print)
    spool = Spool(boot, window=10**6, journal=journal)
    spool.load(0)
    found = []
    while True:
        payload = spool.next(0)
        if payload is None:
            break
        one = telemetry.decode(payload)
        found.append([one.boot, one.seq, one.kind, one.data])
    print(json.dumps({"found": found, "birth": spool.birth()}))
    for do in sys.argv[3:]:
        words = do.split(":")
        if words[0] == "put":
            for number in range(int(words[1])):
                data = {"text": "ёж", "number": number}
                spool.append("health", data, None, "none", 1.5)
        elif words[0] == "ack":
            spool.acknowledge(words[1], [(int(words[2]), int(words[3]))])
        elif words[0] == "flush":
            assert spool.flush(0)
        elif words[0] == "close":
            spool.close(0)
        else:
            newest = path + "/" + sorted(os.listdir(path))[-1]
            with open(newest, "rb") as file:
                data = file.read()
            with open(newest, "wb") as file:
                file.write(data[:-3])


main()

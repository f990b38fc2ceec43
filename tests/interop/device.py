"""A device that is only a link: device.py SETTINGS, run by either interpreter.

SETTINGS is a JSON file: {"device", "boot", "driver": "own"|"paho", "reports": how many to
spool at the start, "brokers": [Endpoint's arguments, …]}. Prints one JSON object a line: the
link's events as lists, and {"held": reports not released, "dropped": {…}} at each change.
A number in a line on stdin spools as many reports more; its end stops the device, which then
prints also "longest": ms of the longest stay in the link.
"""

import json
import random
import select
import sys

sys.path.insert(0, __file__[: -len("tests/interop/device.py")] + "agent")

from natwatch import port  # noqa: E402
from natwatch.daemon.link import Link  # noqa: E402
from natwatch.daemon.spool import Spool  # noqa: E402
from natwatch.port.stream import Endpoint  # noqa: E402

PATIENCE = 50  # ms


def tell(value):
    write(json.dumps(value) + "\n")


def write(text):
    sys.stdout.write(text)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


def make_link(settings, spool):
    if settings["driver"] == "paho":
        from natwatch.daemon.link_paho import Driver
    else:
        from natwatch.daemon.link_own import Driver
    endpoints = [Endpoint(**broker) for broker in settings["brokers"]]

    def describe(now):
        return {"interpreter": port.interpreter, "mono": now / 1000}

    return Link(settings["device"], endpoints, spool, Driver, random.random, describe)


def poll(link, patience):
    """(the link's mask or 0, whether stdin has something)"""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    if link.fileno() >= 0:
        poller.register(link.fileno(), link.interest())
    masks = dict(poller.poll(patience))
    return masks.get(link.fileno(), 0), 0 in masks


def turn(link, patience):
    """One turn of the loop; (has stdin something, ms spent in the link)."""
    mask, typed = poll(link, patience)
    began = port.now()
    if mask:
        link.ready(mask, began)
    timer = link.next_timer()
    if timer is not None and timer <= began:
        link.handle_timer(began)
    return typed, port.now() - began


def run(settings):
    spool = Spool(settings["boot"])

    def spool_more(count):
        for _ in range(count):
            spool.append("lifetime", {"id": 1}, None, "none", port.now() / 1000)

    spool_more(settings["reports"])
    link = make_link(settings, spool)
    link.start(port.now())
    state = None
    longest = 0
    while True:
        typed, spent = turn(link, PATIENCE)
        longest = max(longest, spent)
        for event in link.take_events():
            tell([str(part, "utf-8") if isinstance(part, bytes) else part for part in event])
        if state != [len(spool), sum(link.dropped.values())]:
            state = [len(spool), sum(link.dropped.values())]
            tell({"held": len(spool), "dropped": link.dropped})
        if typed:
            line = sys.stdin.readline()
            if not line:
                break
            spool_more(int(line))
    link.close()
    tell({"held": len(spool), "dropped": link.dropped, "longest": longest})


with open(sys.argv[1]) as file:
    run(json.load(file))

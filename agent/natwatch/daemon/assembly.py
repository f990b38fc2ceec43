"""Puts a daemon together from its configuration: the one place that chooses the broker driver."""

from natwatch import VERSION, port
from natwatch.daemon.journal import Journal
from natwatch.daemon.link import Link
from natwatch.daemon.service import Service
from natwatch.daemon.spool import Spool
from natwatch.diagnosis import profile
from natwatch.port.disk import Folder
from natwatch.port.stream import Endpoint


def _driver():
    """paho where it can be had, our own client elsewhere (MicroPython has no paho)."""
    if port.interpreter == "micropython":
        from natwatch.daemon.link_own import Driver
    else:
        from natwatch.daemon.link_paho import Driver
    return Driver


def _fraction():
    drawn = port.random(2)
    return (drawn[0] << 8 | drawn[1]) / 65536


def _spool(settings, boot, say):
    """The spool for the configuration's section *settings*, None: in memory only."""
    if settings is None:
        return Spool(boot)
    folder = Folder(settings["path"])
    journal = Journal(folder, settings["bytes"], settings["bytes_per_day"], say)
    spool = Spool(boot, journal=journal, flush=settings["flush_s"])
    spool.load(port.now())
    return spool


def assemble(config, boot, say):
    """The Service for *config*; *boot* is the 16 hex digits of this start.

    Raises ProfileError if the profile that *config* names cannot be used.
    """
    chosen = None if config["profile"] is None else profile.load(config["profile"])
    spool = _spool(config["spool"], boot, say)

    def describe(now):
        """The birth's own fields."""
        birth = {"version": VERSION, "interpreter": port.interpreter, "mono": now / 1000}
        birth.update(spool.birth())
        return birth

    link = None
    if config["brokers"]:
        tls = config["tls"] or {"ca": None, "certificate": None, "key": None}
        endpoints = [
            Endpoint(
                broker["host"],
                broker["port"],
                broker["server_name"],
                tls["ca"],
                tls["certificate"],
                tls["key"],
            )
            for broker in config["brokers"]
        ]
        link = Link(config["device"], endpoints, spool, _driver(), _fraction, describe)
    return Service(config, spool, link, say, chosen)

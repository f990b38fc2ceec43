"""The router's word by UPnP IGD: python -m natwatch.port.upnp GATEWAY SOURCE

The program prints one line of JSON, as verdict() makes it. It searches on the network of *SOURCE*,
the probe's own address, for the description of the router *GATEWAY* itself; a URL that leads
elsewhere is not followed, so that nothing on the LAN can have the probe ask others. miniupnpc
then asks for the external address (GetExternalIPAddress of UPnP's WANIPConnection). All of it
blocks, so it runs in a child process, and only where there are child processes: on CPython.
"""

import json
import sys

from natwatch.document import plain
from natwatch.port import child
from natwatch.wire import ssdp
from natwatch.wire.ipv4 import number_of

DEADLINE = 12000  # ms; the search takes 3 s at most, a router's web server its time
_SEARCH = 3.0  # s
_REPEAT = 1.0  # s until the search is sent again
_PATIENCE = 3  # s for the router's web server to send something
_DESCRIPTION = 65536  # bytes; miniupnpd's has 4,000
_MEMORY = 512 << 20  # bytes of address space: miniupnpc reads as much as it is sent
_NAMELESS = "%s names no external address by UPnP: it has none, or none that it will forward"
_NAME = 64  # characters of a manufacturer or model


def verdict(state, reason=None, external=None, manufacturer=None, model=None):
    """``state``: "answered", "silent", "refused", "unsupported" or "failed"; ``reason``: a
    sentence or None."""
    return {
        "state": state,
        "external": external,
        "manufacturer": manufacturer,
        "model": model,
        "reason": reason,
    }


def start(gateway, source, now):
    """A Child that asks *gateway* from *source*; None: unsupported here.

    *source* is None where the machine's own address is unknown.
    """
    if source is None:
        return child.NoChild("no route to %s" % gateway) if child.supported() else None
    argv = child.python("natwatch.port.upnp", gateway, source)
    return child.start(argv, now + DEADLINE, "the question by UPnP")


def found_by(polled):
    """The verdict in what a Child's poll() gave."""
    return verdict("failed", polled["error"]) if "error" in polled else polled


def ask(gateway, source):
    """The verdict on *gateway*, searched from *source*."""
    try:
        import miniupnpc
    except ImportError:
        return verdict("unsupported", "miniupnpc is not installed")
    try:
        location, other = _discover(gateway, source)
    except OSError as error:
        return verdict("failed", "the search cannot be sent: error %s" % error.errno)
    if location is None:
        return verdict("silent", _silence(gateway, other))
    try:
        description = _fetch(gateway, location, source)
    except (OSError, ValueError) as error:
        text = "the description of %s cannot be read: %s"
        return verdict("failed", text % (gateway, plain(str(error))))
    found = _external(miniupnpc.UPnP(), gateway, location)
    try:
        found["manufacturer"], found["model"] = identity(description)
    except ValueError:  # some routers write an & as it is; miniupnpc does not mind
        pass
    return found


def _discover(gateway, source):
    """(URL of the gateway's description or None, address of another router that answered).

    Both to the group, as every router expects it, and to the gateway alone, since some switches
    pass no multicast.
    """
    import socket
    import time

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.bind((source, 0))
        flow.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        flow.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        begun = time.monotonic()
        sends = [begun, begun + _REPEAT]
        other = None
        while True:
            now = time.monotonic()
            if sends and now >= sends[0]:
                sends.pop(0)
                for target in ssdp.ROUTERS:
                    for address in (ssdp.GROUP, gateway):
                        flow.sendto(ssdp.search(target, 1), (address, ssdp.PORT))
            until = sends[0] if sends else begun + _SEARCH
            if not sends and now >= until:
                return None, other
            flow.settimeout(max(0.001, until - now))
            try:
                data, sender = flow.recvfrom(2049)
                target, location = ssdp.parse(data)
            except (TimeoutError, ssdp.SsdpError):
                continue
            if target not in ssdp.ROUTERS:
                continue
            if sender[0] == gateway:
                return location, other
            other = sender[0]


def _silence(gateway, other):
    text = "%s does not answer UPnP" % gateway
    return text if other is None else text + "; %s does, but is not on the way" % other


def _fetch(gateway, location, source):
    """The bytes of the description. Raises OSError, ValueError, and SsdpError: it is elsewhere."""
    import http.client

    number, path = ssdp.place(location, gateway)
    line = http.client.HTTPConnection(
        gateway, number, timeout=_PATIENCE, source_address=(source, 0)
    )
    try:
        line.request("GET", path, headers={"Connection": "close"})
        answer = line.getresponse()
        if answer.status != 200:
            raise ValueError("expected HTTP status 200, found %d" % answer.status)
        data = answer.read(_DESCRIPTION + 1)
    except http.client.HTTPException as error:
        raise ValueError("expected HTTP, found %s" % type(error).__name__)
    finally:
        line.close()
    if len(data) > _DESCRIPTION:
        raise ValueError("expected at most %d bytes, found more" % _DESCRIPTION)
    return data


def identity(description):
    """(manufacturer, model) of the root device in a *description*, bytes of XML; each may be None.

    A document type is refused, so there are no entities to expand. Raises ValueError.
    """
    import xml.parsers.expat as expat

    path, texts = [], {}

    def begin(name, _attributes):
        path.append(name.rpartition(" ")[2])

    def end(_name):
        path.pop()

    def text(data):
        if path[:2] == ["root", "device"] and len(path) == 3:
            texts[path[2]] = (texts.get(path[2], "") + data)[: 4 * _NAME]

    def refuse(*_declared):
        raise ValueError("expected no document type, found one")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(description, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise ValueError("expected XML, found %s" % error)
    return _named(texts.get("manufacturer")), _named(texts.get("modelName"))


def _named(text):
    cleaned = plain(" ".join((text or "").split()))[:_NAME]
    return cleaned or None


def _external(igd, gateway, location):
    # miniupnpc raises plain Exception; its own errors begin with its name, a router's do not.
    try:
        ssdp.place(igd.selectigd(location), gateway)
        external = igd.externalipaddress()
    except ssdp.SsdpError as error:
        return verdict("failed", "%s is to be asked elsewhere: %s" % (gateway, error))
    except Exception as error:
        text = plain(str(error))
        own = text.startswith(("Miniupnpc", "No UPnP")) or not text
        said = "%s answers UPnP with %s" % (gateway, text or type(error).__name__)
        return verdict("failed" if own else "refused", said)
    if number_of(external) is None or external == "0.0.0.0":
        return verdict("answered", _NAMELESS % gateway)
    return verdict("answered", external=external)


def main(arguments):
    import resource

    child.end_within(DEADLINE)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    gateway, source = arguments
    print(json.dumps(ask(gateway, source)))


if __name__ == "__main__":
    main(sys.argv[1:])

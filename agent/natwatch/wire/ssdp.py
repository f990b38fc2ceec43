"""The search for a router's UPnP description: SSDP, UPnP Device Architecture 1.1, section 1.3."""

GROUP = "239.255.255.250"
PORT = 1900
# An Internet Gateway Device; the newer version answers to the older's name, most of the time.
ROUTERS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)

_MAX_BYTES = 2048
_URL = 512  # characters


class SsdpError(ValueError):
    """These bytes are no answer to a search. *counter* names the reason."""

    def __init__(self, counter, text):
        super().__init__(text)
        self.counter = counter


def search(target: str, seconds: int) -> bytes:
    """A search for *target*; who answers does so within *seconds*."""
    text = 'M-SEARCH * HTTP/1.1\r\nHOST: %s:%d\r\nMAN: "ssdp:discover"\r\nMX: %d\r\nST: %s\r\n\r\n'
    return (text % (GROUP, PORT, seconds, target)).encode()


def parse(data: bytes) -> tuple:
    """(target, URL of the description) of an answer. Raises SsdpError."""
    if len(data) > _MAX_BYTES:
        raise SsdpError("huge", "expected at most %d bytes, found %d" % (_MAX_BYTES, len(data)))
    lines = _text(data).split("\r\n")
    status = lines[0].split(" ")
    if not status[0].startswith("HTTP/1.") or status[1:2] != ["200"]:
        raise SsdpError("not_answer", "expected HTTP/1.1 200, found %r" % lines[0][:70])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon and name.lower() not in headers:
            headers[name.lower()] = value.strip()
    if not headers.get("st") or not headers.get("location"):
        raise SsdpError("incomplete", "expected ST and LOCATION, found %s" % sorted(headers)[:9])
    return headers["st"], headers["location"]


def place(url: str, host: str) -> tuple:
    """(port, path) of a *url* at the address *host* itself. Raises SsdpError: elsewhere.

    As strict as can be, since another library that reads the same URL must not see another host:
    no names, no user, no other scheme.
    """
    start = "http://" + host
    rest = url[len(start) :]
    number, slash, _ = rest.partition("/")
    digits = number[1:] if number[:1] == ":" else ("80" if not number else "")
    odd = [one for one in url if not "!" <= one <= "~"]
    wrong = [one for one in digits if one not in "0123456789"]
    if not url.startswith(start) or not slash or odd or wrong or not 0 < len(digits) <= 5:
        raise SsdpError("elsewhere", "expected http://%s:PORT/…, found %r" % (host, url[:70]))
    if not 0 < int(digits) < 65536 or len(url) > _URL:
        raise SsdpError("url", "expected a port and up to %d characters, found more" % _URL)
    return int(digits), rest[len(number) :]


def _text(data):
    try:
        return bytes(data).decode()
    except (UnicodeError, ValueError):
        raise SsdpError("not_text", "expected text, found other bytes")

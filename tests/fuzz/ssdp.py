"""wire/ssdp.py: who answers the search for a router, and where it says its description is."""

from natwatch.wire import ssdp

HOST = "192.168.1.1"
SEEDS = [
    b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"LOCATION: http://192.168.1.1:5000/rootDesc.xml\r\nUSN: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nst:a\r\nlocation:http://192.168.1.1/\r\n\r\n",
]
WORDS = [
    b"HTTP/1.1 200",
    b"\r\n",
    b"LOCATION: ",
    b"http://192.168.1.1",
    b":80/",
    b"@",
    b"\xff",
    b"ST: ",
]


def one(data: bytes) -> None:
    try:
        target, url = ssdp.parse(data)
        port, path = ssdp.place(url, HOST)
    except ssdp.SsdpError as error:
        assert error.counter and str(error)
        return
    assert target and 0 < port < 65536 and path.startswith("/") and len(url) <= 512
    assert url.split("/")[2].split(":")[0] == HOST

"""A router that says by UPnP, NAT-PMP and PCP what a test has it say: igd.py SETTINGS

SETTINGS, a JSON object: "address" (ours, where it listens), "external" (the address that it tells),
and, if it is to be odd, "location" and "control" (URLs), "description" (the whole text), "fault" (a
UPnP error code), "mute" (no NAT-PMP and PCP). Each HTTP request is a line on standard output.
"""

import http.server
import json
import socket
import socketserver
import struct
import sys
import threading
from typing import Any

HTTP = 5000
_GROUP = "239.255.255.250"
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<manufacturer>ACME &amp; Sons</manufacturer><modelName>X1\u202e  v2</modelName>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType>
<manufacturer>other</manufacturer><modelName>other</modelName>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>
<serviceList><service><serviceType>%s</serviceType><controlURL>%s</controlURL></service>
</serviceList></device></deviceList></device></deviceList></device></root>"""
_ANSWER = """<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">
<s:Body>%s</s:Body></s:Envelope>"""
_EXTERNAL = """<u:GetExternalIPAddressResponse xmlns:u="%s">
<NewExternalIPAddress>%s</NewExternalIPAddress></u:GetExternalIPAddressResponse>"""
_FAULT = """<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>
<UPnPError><errorCode>%d</errorCode><errorDescription>no</errorDescription></UPnPError></detail>
</s:Fault>"""


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    loops = [_search]
    if not settings.get("mute"):
        loops.append(_port_mapping)
    server = socketserver.ThreadingTCPServer((settings["address"], HTTP), _handler(settings))
    for loop in loops:
        threading.Thread(target=loop, args=(settings,), daemon=True).start()
    server.serve_forever()


def _search(settings: dict[str, Any]) -> None:
    address = settings["address"]
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("0.0.0.0", 1900))
    membership = socket.inet_aton(_GROUP) + socket.inet_aton(address)
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    location = settings.get("location") or f"http://{address}:{HTTP}/desc.xml"
    print("ready", flush=True)
    while True:
        data, sender = listener.recvfrom(2048)
        target = data.partition(b"\r\nST: ")[2].partition(b"\r\n")[0].decode()
        text = f"HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: {location}\r\n\r\n"
        listener.sendto(text.encode(), sender)


def _port_mapping(settings: dict[str, Any]) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((settings["address"], 5351))
    external = socket.inet_aton(settings["external"])
    while True:
        data, sender = listener.recvfrom(2048)
        if data[0] == 0:
            listener.sendto(struct.pack(">BBHI", 0, 128, 0, 1) + external, sender)
        else:
            head = struct.pack(">BBBB", 2, 0x81, 0, 0) + data[4:8] + bytes(16)
            body = data[24:42] + struct.pack(">H", 9) + bytes(10) + b"\xff\xff" + external
            listener.sendto(head + body, sender)


def _handler(settings: dict[str, Any]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = settings.get("description")
            self._send(200, text or _DESCRIPTION % (_SERVICE, settings.get("control") or "/ctl"))

        def do_POST(self) -> None:
            fault = settings.get("fault")
            body = _FAULT % fault if fault else _EXTERNAL % (_SERVICE, settings["external"])
            self._send(500 if fault else 200, _ANSWER % body)

        def _send(self, status: int, text: str) -> None:
            print(self.command, self.path, flush=True)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


if __name__ == "__main__":
    main()

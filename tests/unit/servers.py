"""A foreign STUN server for the simulated line: RFC 5780, with faults that are met in the field."""

from natwatch.wire import stun

FIRST, SECOND = "198.51.100.21", "198.51.100.22"
PORT, ALTERNATE_PORT = 3478, 3479
SERVER = (FIRST, PORT)


class StunServer:
    """Answers at two addresses and two ports each. Switches are faults; any may be set any time."""

    def __init__(self, world):
        self.world = world
        self.dead = set()  # endpoints that answer nothing
        self.silent = False
        self.classic = False  # only RFC 3489's attributes, and no RESPONSE-PORT: dropped
        self.names_other = True  # OTHER-ADDRESS
        self.other = None  # an OTHER-ADDRESS that is not the truth
        self.ignores_change = False  # answers CHANGE-REQUEST from the endpoint asked
        self.refuses = []  # attributes answered with 420
        self.ignores_response_port = False  # answers to where the request came from
        self.wrong_source = None  # answers come from this endpoint
        for address in (FIRST, SECOND):
            world.servers[address] = self

    def receive(self, data, source, local, now):
        if self.silent or local in self.dead or local[1] not in (PORT, ALTERNATE_PORT):
            return
        message = stun.parse(data)
        refused = [number for number in self.refuses if message.has(number)]
        if refused:
            about = [(stun.ERROR_CODE, (420, "Unknown")), (stun.UNKNOWN_ATTRIBUTES, refused)]
            self._send(stun.build(stun.ERROR, message.txid, about), local, source)
            return
        port = message.get(stun.RESPONSE_PORT)
        if port is not None and self.classic:
            return
        destination = source
        if port is not None and not self.ignores_response_port:
            destination = (source[0], port[0] << 8 | port[1])
        origin = self._origin(local, message.get(stun.CHANGE_REQUEST, 0))
        answer = stun.build(stun.SUCCESS, message.txid, self._about(source, local), None)
        if origin not in self.dead:
            self._send(answer, origin, destination)

    def _about(self, mapped, local):
        other = self.other or self._turned(local, True, True)
        if self.classic:
            return [(stun.MAPPED_ADDRESS, mapped), (stun.CHANGED_ADDRESS, other)]
        about = [(stun.XOR_MAPPED_ADDRESS, mapped), (stun.MAPPED_ADDRESS, mapped)]
        if self.names_other:
            about.append((stun.OTHER_ADDRESS, other))
        return about

    def _turned(self, local, address, port):
        turned = {FIRST: SECOND, SECOND: FIRST, PORT: ALTERNATE_PORT, ALTERNATE_PORT: PORT}
        return (
            turned[local[0]] if address else local[0],
            turned[local[1]] if port else local[1],
        )

    def _origin(self, local, change):
        if self.ignores_change:
            return local
        return self._turned(local, change & stun.CHANGE_IP, change & stun.CHANGE_PORT)

    def _send(self, data, origin, destination):
        self.world.to_device(data, self.wrong_source or origin, destination)

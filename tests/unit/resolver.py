"""A resolver for the simulated line, and the bytes of answers, right and wrong."""

import struct

from natwatch.wire import dns

OTHER_TYPE = 16  # TXT


def name_bytes(name):
    """A name as it stands in a message, uncompressed and unchecked."""
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join([bytes([len(label)]) + label for label in labels]) + b"\0"


def record(name, kind, value, ttl=300, klass=1):
    """A record's bytes. *value*: an address, a name, (priority, weight, port, target), or bytes."""
    if kind == dns.A and isinstance(value, str):
        value = bytes([int(part) for part in value.split(".")])
    elif kind == dns.CNAME and isinstance(value, str):
        value = name_bytes(value)
    elif kind == dns.SRV and isinstance(value, tuple):
        value = struct.pack(">HHH", *value[:3]) + name_bytes(value[3])
    return name_bytes(name) + struct.pack(">HHIH", kind, klass, ttl, len(value)) + value


def answer(ident, name, kind, records=(), additional=(), rcode=0, flags=0x8180, klass=1):
    """An answer's bytes; *records* and *additional* as record() makes them."""
    counts = (1, len(records), 0, len(additional))
    head = struct.pack(">HH", ident, flags | rcode) + struct.pack(">HHHH", *counts)
    question = name_bytes(name) + struct.pack(">HH", kind, klass)
    return head + question + b"".join(records) + b"".join(additional)


def asked_in(data):
    """(ident, name, type) of a query."""
    labels, offset = [], 12
    while data[offset]:
        labels.append(bytes(data[offset + 1 : offset + 1 + data[offset]]).decode())
        offset += 1 + data[offset]
    kind = struct.unpack(">H", data[offset + 1 : offset + 3])[0]
    return struct.unpack(">H", data[:2])[0], ".".join(labels), kind


class Resolver:
    """Knows the *records*, {(name, type): [value, …]}; a name that is not there does not exist.

    Switches are faults; any may be set any time.
    """

    def __init__(self, world, address, records):
        self.world = world
        self.records = records
        self.ttl = 300
        self.silent = 0  # so many queries more get no answer
        self.deaf_to = ()  # types that get no answer
        self.rcodes = []  # of the next answers, which then have no record
        self.beside = {}  # SRV target -> [address, …] in the additional section
        self.flags = 0x8180  # an answer, recursion desired and available
        self.slow = 0  # ms
        self.queries = []  # (when, source, ident, name, type)
        self.before = None  # before(resolver, query, source, local): what else is to be sent
        self.instead = None  # instead(ident, name, type): bytes of the answer
        world.servers[address] = self

    def receive(self, data, source, local, now):
        ident, name, kind = asked_in(data)
        self.queries.append((now, source, ident, name, kind))
        if self.silent or kind in self.deaf_to or local[1] != 53:
            self.silent -= 1 if self.silent else 0
            return
        if self.before is not None:
            self.before(self, (ident, name, kind), source, local)
        if self.instead is not None:
            made = self.instead(ident, name, kind)
        else:
            made = self._answer(ident, name, kind)
        self.world.at(now + self.slow, self.world.to_device, made, local, source)

    def _answer(self, ident, name, kind):
        if self.rcodes:
            return answer(ident, name, kind, rcode=self.rcodes.pop(0), flags=self.flags)
        found, beside, owner = [], [], name
        for _ in range(4):
            alias = self.records.get((owner, dns.CNAME))
            if alias is None:
                break
            found.append(record(owner, dns.CNAME, alias[0], self.ttl))
            owner = alias[0]
        values = self.records.get((owner, kind), [])
        found += [record(owner, kind, value, self.ttl) for value in values]
        if kind == dns.SRV:
            for _, _, _, target in values:
                for address in self.beside.get(target, ()):
                    beside.append(record(target, dns.A, address, self.ttl))
        # A name that has names below it exists (RFC 8020).
        there = [known for known, _ in self.records if (known + ".").endswith("." + owner + ".")]
        exists = there or [known for known, _ in self.records if known == owner]
        rcode = dns.NOERROR if exists else dns.NXDOMAIN
        return answer(ident, name, kind, found, beside, rcode, self.flags)

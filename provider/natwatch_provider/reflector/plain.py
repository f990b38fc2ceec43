"""What strangers get: RFC 8489 and RFC 5780 for modern clients, RFC 3489 for classic ones.

Nothing is remembered about a stranger. Answers carry neither SOFTWARE nor FINGERPRINT: the
address they go to is unproven, so they are kept as small as their purpose allows (36 bytes more
than the request at most).
"""

import struct

from natwatch.wire.stun import (
    CHANGE_IP,
    CHANGE_PORT,
    CHANGE_REQUEST,
    CHANGED_ADDRESS,
    ERROR,
    ERROR_CODE,
    MAGIC_COOKIE,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    PADDING,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    SOURCE_ADDRESS,
    SUCCESS,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    Message,
    build,
)
from natwatch_provider.reflector.layout import Datagram, Endpoint, Layout


def answer(
    message: Message, source: Endpoint, local: Endpoint, layout: Layout
) -> tuple[str, Datagram]:
    """A counter's name and the answer to a Binding request that came from *source* to *local*.

    Raises StunError where an attribute has an impossible length.
    """
    if message.unknown:
        return "plain_unknown_attribute", _error(message, source, local, 420)
    destination = source
    if message.has(RESPONSE_PORT):
        port = message.get(RESPONSE_PORT)
        # RFC 5780, 7.5 writes 4 bytes, coturn's client sends 2; with PADDING it forbids it.
        if len(port) not in (2, 4) or port[:2] == b"\0\0" or message.has(PADDING):
            return "plain_bad_request", _error(message, source, local, 400)
        destination = (source[0], struct.unpack(">H", port[:2])[0])
    origin = layout.other(local, message.get(CHANGE_REQUEST, 0))
    data = _success(message, source, origin, layout.other(local, CHANGE_IP | CHANGE_PORT))
    return "plain", Datagram(origin, destination, data)


def _success(message: Message, source: Endpoint, origin: Endpoint, other: Endpoint) -> bytes:
    attributes: list[tuple[int, object]]
    if message.cookie == MAGIC_COOKIE:
        attributes = [(XOR_MAPPED_ADDRESS, source), (RESPONSE_ORIGIN, origin)]
        attributes.append((OTHER_ADDRESS, other))
    else:
        attributes = [(MAPPED_ADDRESS, source), (SOURCE_ADDRESS, origin)]
        attributes.append((CHANGED_ADDRESS, other))
    if message.has(PADDING):
        # RFC 5780, 7.6 wants the interface's MTU; as much as was sent makes the same
        # fragments for an honest client and no amplifier for a liar.
        attributes.append((PADDING, message.get(PADDING)))
    return _build(SUCCESS, message, attributes)


def _error(message: Message, source: Endpoint, local: Endpoint, code: int) -> Datagram:
    attributes: list[tuple[int, object]] = [(ERROR_CODE, (code, ""))]
    if code == 420:
        unknown = sorted(set(message.unknown))
        if len(unknown) % 2 and message.cookie != MAGIC_COOKIE:
            unknown.append(unknown[-1])  # RFC 3489, 11.2.9: repeated, since it knows no padding
        attributes.append((UNKNOWN_ATTRIBUTES, unknown))
    return Datagram(local, source, _build(ERROR, message, attributes))


def _build(klass: int, message: Message, attributes: list[tuple[int, object]]) -> bytes:
    data = build(klass, message.txid, attributes, cookie=message.cookie, fingerprint=False)
    return bytes(data)

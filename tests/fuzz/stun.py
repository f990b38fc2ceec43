"""wire/stun.py: every datagram at the reflector, every answer at the probe."""

from natwatch.wire import stun

KEY = bytes(range(32))
TXID = b"twelve bytes"
ENDPOINT = ("192.0.2.1", 5060)
VALUES = [
    [(stun.USERNAME, "box-1"), (stun.NONCE, b"1234567812345678"), (stun.CONTROL, bytes(4))],
    [(stun.HOLD, stun.Hold(True, 10_000, 3, 0, bytes(4), False, False, False))],
    [(stun.EARLIER, [1_000, 2_000]), (stun.AUDIT, [TXID]), (stun.CANCEL, [TXID])],
    [(stun.XOR_MAPPED_ADDRESS, ENDPOINT), (stun.OTHER_ADDRESS, ENDPOINT)],
    [(stun.RECORD, stun.Record(TXID, stun.HELD, mapped=ENDPOINT)), (stun.TIME, 1_700_000_000_000)],
    [(stun.ERROR_CODE, (438, "stale")), (stun.BOOT_ID, b"bootboot")],
    [(stun.FETCH, stun.Fetch(TXID, 0)), (stun.COPY, stun.Copy(0, 1))],
    [(stun.FORWARD, stun.Forward(5060, True)), (stun.FORWARDED, stun.Forwarded(stun.SILENT))],
    [(stun.PUSH, stun.Pushed(TXID, 1, 3, 10_000)), (stun.WITNESS, stun.Pushed(TXID, 1, 3, 9))],
    [(stun.CHANGE_REQUEST, 6), (stun.PADDING, bytes(80)), (stun.RECEIVED, (64, 0))],
]
SEEDS = [stun.build(stun.REQUEST, TXID, value, KEY) for value in VALUES[:2]]
SEEDS += [  # without FINGERPRINT, or nothing that was changed would be looked into
    stun.build(stun.SUCCESS, TXID, value, fingerprint=False) for value in VALUES
]
WORDS = [number.to_bytes(2, "big") for number in stun.ATTRIBUTES]


def one(data: bytes) -> None:
    try:
        message = stun.parse(data)
    except stun.StunError as error:
        assert error.counter and str(error)
        return
    assert message.klass in range(4) and 0 <= message.method < 4096
    assert len(message.txid) == 12
    message.authentic(KEY)
    for number in stun.ATTRIBUTES:
        message.has(number)
        try:
            message.get(number)
            values = message.get_all(number)
        except stun.StunError as error:
            assert error.counter and str(error)
        else:
            assert bool(values) == message.has(number)
            if number == stun.RECORD:
                assert len(values) <= len(data) // 12

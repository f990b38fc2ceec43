"""wire/media.py: what a voice stream and STAMP bring back, and what comes to the reflector."""

from natwatch.wire import media

SSRC = b"ssrc"
SEEDS = [
    media.packet(7, SSRC),
    media.reflected(media.packet(7, SSRC), 3, 500, 501, [(6, 480), (5, 460)]),
    media.stamp_request(1, 1_700_000_000_123),
    media.stamp_answer(media.stamp_request(1, 1_700_000_000_123), 1_700_000_000_124, 64),
]
WORDS = [b"\0" * 8, b"\xff\xff\xff\xff", SSRC]


def one(data: bytes) -> None:
    if media.looks_like_rtp(data):
        assert 0 <= media.sequence_of(data) < 65536 and len(media.ssrc_of(data)) == 4
        if len(data) == media.SIZE:
            assert (
                len(media.reflected(data, 9, 70_000, 70_001, [(1, 69_000), (2, 2)])) == media.SIZE
            )
    try:
        told = media.parse_reflected(data, SSRC)
    except media.MediaError as error:
        assert error.counter and str(error)
    else:
        for number, sequence, at in told.earlier():
            assert 0 < number < told.number and 0 <= sequence < 65536 and 0 <= at <= told.received
    if media.looks_like_stamp(data):
        assert len(media.stamp_answer(data, 1_700_000_000_000, 64)) == len(data)
    try:
        stamp = media.parse_stamp_answer(data)
    except media.MediaError as error:
        assert error.counter and str(error)
    else:
        assert 0 <= stamp.ttl < 256

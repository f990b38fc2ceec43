"""The spool: nothing leaves without an acknowledgement, except the oldest of a full one."""

from natwatch.daemon.spool import RESEND, WINDOW, Spool
from natwatch.wire import telemetry

BOOT = "0123456789abcdef"


def spool_of(count, capacity=1000):
    spool = Spool(BOOT, capacity)
    for _ in range(count):
        spool.append("lifetime", {"id": 1}, None, "none", 1.5)
    return spool


def taken(spool, now):
    """The seqs of all reports that are due at *now*."""
    seqs = []
    while True:
        payload = spool.next(now)
        if payload is None:
            return seqs
        seqs.append(telemetry.decode(payload).seq)


def numbers(first, last):
    return list(range(first, last + 1))


def test_a_report_travels_in_its_envelope():
    spool = Spool(BOOT)
    seq = spool.append("lifetime", {"lo": 39.6}, 1700000000.5, "ntp", 12.25)
    envelope = telemetry.decode(spool.next(0))
    assert (envelope.boot, envelope.seq, envelope.t, envelope.tq) == (
        BOOT,
        seq,
        1700000000.5,
        "ntp",
    )
    assert (envelope.mono, envelope.kind, envelope.data) == (12.25, "lifetime", {"lo": 39.6})


def test_reports_leave_in_order_and_no_more_than_the_window():
    spool = spool_of(WINDOW + 5)
    assert taken(spool, 0) == numbers(1, WINDOW)
    assert spool.next_timer() == RESEND


def test_nothing_is_released_without_an_acknowledgement():
    spool = spool_of(3)
    taken(spool, 0)
    assert len(spool) == 3
    assert spool.acknowledge(BOOT, [(1, 1), (3, 3)]) == 2
    assert len(spool) == 1


def test_an_acknowledgement_makes_room_in_the_window():
    spool = spool_of(WINDOW + 5)
    taken(spool, 0)
    spool.acknowledge(BOOT, [(4, 6)])
    assert spool.next_timer() == 0
    assert taken(spool, 1) == numbers(WINDOW + 1, WINDOW + 3)


def test_what_is_not_acknowledged_is_sent_again_after_30_s():
    spool = spool_of(2)
    assert taken(spool, 5) == [1, 2]
    assert spool.next_timer() == 5 + RESEND == 30005
    assert taken(spool, 30004) == []
    assert taken(spool, 30005) == [1, 2]
    assert taken(spool, 30006) == []


def test_what_never_flew_goes_before_what_the_collector_never_accepts():
    spool = spool_of(WINDOW)
    taken(spool, 0)
    spool.append("lifetime", {}, None, "none", 2)
    assert taken(spool, 0) == []
    assert taken(spool, RESEND) == [WINDOW + 1] + numbers(1, WINDOW - 1)
    assert spool.next_timer() == 2 * RESEND


def test_a_repeated_acknowledgement_does_nothing():
    spool = spool_of(2)
    taken(spool, 0)
    assert spool.acknowledge(BOOT, [(1, 2)]) == 2
    assert spool.acknowledge(BOOT, [(1, 2)]) == 0
    assert spool.acknowledge(BOOT, [(7, 900)]) == 0


def test_another_boots_acknowledgement_releases_nothing():
    spool = spool_of(2)
    taken(spool, 0)
    assert spool.acknowledge("f" * 16, [(1, 2)]) == 0
    assert len(spool) == 2


def test_a_lost_connection_makes_all_wait_again_in_order():
    spool = spool_of(WINDOW + 2)
    taken(spool, 0)
    spool.acknowledge(BOOT, [(2, 2)])
    spool.requeue()
    assert spool.next_timer() == 0
    assert taken(spool, 1) == [1] + numbers(3, WINDOW + 1)


def test_a_late_acknowledgement_releases_what_waits_again():
    spool = spool_of(2)
    taken(spool, 0)
    spool.requeue()
    assert spool.acknowledge(BOOT, [(1, 2)]) == 2
    assert spool.next_timer() is None


def test_a_full_spool_drops_the_oldest_and_counts_it_by_kind():
    spool = spool_of(3, capacity=3)
    spool.append("health", {}, None, "none", 2)
    assert spool.dropped == {"lifetime": 1}
    assert taken(spool, 0) == [2, 3, 4]
    spool.append("health", {}, None, "none", 2)
    assert taken(spool, RESEND) == [5, 3, 4]
    assert spool.dropped == {"lifetime": 2}


def test_an_empty_spool_wants_no_timer():
    assert Spool(BOOT).next_timer() is None
    assert Spool(BOOT).next(0) is None

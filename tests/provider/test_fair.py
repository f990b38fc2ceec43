"""Lines of devices between the broker and the database."""

import threading
import time

from natwatch_provider.collector.fair import FairQueue
from natwatch_provider.collector.messages import Message, device_of


def message(device: str, number: int, size: int = 10) -> Message:
    return Message(f"natwatch/{device}/up/report", b"%*d" % (size, number), 0.0)


def fill(queue: FairQueue, device: str, count: int, size: int = 10) -> list[tuple[str, str]]:
    return [one for number in range(count) for one in queue.put(message(device, number, size), 0.0)]


def test_each_device_is_served_in_turn_and_in_its_own_order() -> None:
    queue = FairQueue()
    fill(queue, "flood", 300)
    fill(queue, "a", 2)
    fill(queue, "b", 1)
    got = [(device_of(one.topic), int(one.payload)) for one in queue.get(6, 0.0, 0.0)]
    assert got == [("flood", 0), ("a", 0), ("b", 0), ("flood", 1), ("a", 1), ("flood", 2)]
    assert len(queue.get(1000, 0.0, 0.0)) == 297
    assert queue.get(1, 0.0, 0.0) == []


def test_a_line_is_bounded_in_bytes_and_the_others_do_not_notice() -> None:
    queue = FairQueue(line_bytes=20_000, all_bytes=10**6)
    dropped = fill(queue, "flood", 100, size=1000)
    assert dropped == [("flooded", "flood")] * len(dropped) and len(dropped) > 85
    assert fill(queue, "home", 5) == []


def test_where_all_is_full_the_longest_line_makes_room() -> None:
    queue = FairQueue(line_bytes=200_000, all_bytes=300_000)
    fill(queue, "flood-1", 150)
    assert fill(queue, "flood-2", 250) != []
    before = time.monotonic()
    assert queue.put(message("home", 1), 5.0) in (
        [("flooded", "flood-1")],
        [("flooded", "flood-2")],
    )
    assert time.monotonic() - before < 1
    assert "home" in [device_of(one.topic) for one in queue.get(3, 0.0, 0.0)]


def test_among_the_honest_a_full_queue_holds_the_broker_back() -> None:
    queue = FairQueue(all_bytes=100_000)
    for number in range(20):
        fill(queue, f"home-{number}", 4)
    while not (dropped := queue.put(message("home-x", 0), 0.0)):
        pass
    assert dropped == [("queue_full", "home-x")]
    timer = threading.Timer(0.1, queue.get, (20, 0.0, 0.0))
    timer.start()
    assert queue.put(message("late", 1), 5.0) == []
    timer.join()


def test_an_empty_queue_is_waited_for_and_costs_nothing() -> None:
    queue = FairQueue()
    timer = threading.Timer(0.1, queue.put, (message("home", 1), 0.0))
    timer.start()
    assert len(queue.get(10, 5.0, 0.0)) == 1
    timer.join()
    assert not queue._lines and not queue._weights and queue._all == 0

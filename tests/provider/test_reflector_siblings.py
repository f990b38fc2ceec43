"""Two cores behind the same ports: what one does not know, the other is asked for."""

import pytest

from natwatch.wire import stun
from natwatch_provider.reflector import control
from tests.provider.reflector_rig import CONTROL, HOME, SIP, TOOTH, Rig

TXID = b"tooth-number"
OTHER = b"other-number"


class Others:
    """Stands for the other processes: remembers what it was told and asked."""

    def __init__(self, others: int = 2) -> None:
        self.others = others
        self.announced: list[tuple[str, bytes, tuple[str, int], tuple[str, int]]] = []
        self.asked: list[tuple[int, str, list[bytes], list[bytes]]] = []

    def announce(
        self, name: str, tag: bytes, local: tuple[str, int], source: tuple[str, int]
    ) -> None:
        self.announced.append((name, tag, local, source))

    def ask(self, request_id: int, name: str, txids: list[bytes], cancel: list[bytes]) -> None:
        self.asked.append((request_id, name, txids, cancel))


def ask(rig: Rig, *attributes: tuple[int, object]) -> list[stun.Message]:
    """What answers a control request at once."""
    data = rig.request((stun.NONCE, rig.nonce()), (stun.CONTROL, b"tag1"), *attributes)
    return [stun.parse(answer.data) for answer in rig.receive(data, HOME, CONTROL)]


def outcomes(message: stun.Message) -> dict[bytes, str]:
    return {one.txid: stun.OUTCOMES[one.outcome] for one in message.get_all(stun.RECORD)}


def record(outcome: int = stun.PUSHED) -> stun.Record:
    return stun.Record(TXID, outcome, requests=1, answers=1, copies=3, mapped=TOOTH)


def test_an_answer_waits_for_every_sibling_and_tells_what_one_knew() -> None:
    others = Others()
    rig = Rig(siblings=others)
    rig.receive(rig.hold(txid=OTHER), TOOTH, SIP)
    assert ask(rig, (stun.AUDIT, [OTHER, TXID])) == []
    [(request_id, name, txids, cancel)] = others.asked
    assert (name, txids, cancel) == ("box-1", [TXID], [])
    assert rig.reflector.sibling_records(request_id, {}, rig.now) == []
    [answer] = rig.reflector.sibling_records(request_id, {TXID: record()}, rig.now)
    assert (answer.local, answer.destination) == (CONTROL, HOME)
    message = stun.parse(answer.data)
    assert message.authentic(rig.key) and message.klass == stun.SUCCESS
    assert outcomes(message) == {OTHER: "held", TXID: "pushed"}
    assert [one.txid for one in message.get_all(stun.RECORD)] == [OTHER, TXID]


def test_what_no_sibling_told_within_50_ms_is_unseen() -> None:
    others = Others()
    rig = Rig(siblings=others)
    ask(rig, (stun.AUDIT, [TXID]))
    rig.reflector.sibling_records(others.asked[0][0], {}, rig.now)
    start = rig.now
    [(when, answer)] = rig.pass_time(start + 1_000)
    assert when == start + 50
    assert outcomes(stun.parse(answer.data)) == {TXID: "unseen"}
    assert rig.counters["sibling_missing"] == 1
    assert rig.reflector.sibling_records(others.asked[0][0], {TXID: record()}, rig.now) == []
    assert rig.counters["sibling_late"] == 1


def test_what_is_known_here_is_answered_at_once() -> None:
    others = Others()
    rig = Rig(siblings=others)
    rig.receive(rig.hold(txid=TXID), TOOTH, SIP)
    [message] = ask(rig, (stun.AUDIT, [TXID]))
    assert outcomes(message) == {TXID: "held"}
    [message] = ask(rig, (stun.CANCEL, [TXID]))
    assert outcomes(message) == {TXID: "canceled"}
    assert others.asked == []


def test_without_others_nothing_waits() -> None:
    rig = Rig(siblings=Others(others=0))
    [message] = ask(rig, (stun.AUDIT, [TXID]))
    assert outcomes(message) == {TXID: "unseen"}
    list(rig.pass_time(rig.now + 1_000_000))
    assert not [name for name in rig.counters if name.startswith("sibling")]


def test_a_cancel_reaches_the_sibling_that_has_the_tooth() -> None:
    others = Others()
    here, there = Rig(siblings=others), Rig()
    there.receive(there.hold(txid=TXID), TOOTH, SIP)
    assert ask(here, (stun.CANCEL, [TXID])) == []
    [(request_id, name, txids, cancel)] = others.asked
    records = there.reflector.records(name, txids, cancel, there.now)
    assert here.reflector.sibling_records(request_id, {}, here.now) == []
    [answer] = here.reflector.sibling_records(request_id, records, here.now)
    assert outcomes(stun.parse(answer.data)) == {TXID: "canceled"}
    assert list(there.pass_time(there.now + 1_000_000)) == []


def test_a_sibling_is_told_nothing_of_other_devices() -> None:
    rig = Rig()
    rig.receive(rig.hold(txid=TXID), TOOTH, SIP)
    assert list(rig.reflector.records("box-1", [TXID, OTHER], [], rig.now)) == [TXID]
    assert rig.reflector.records("box-2", [TXID], [TXID], rig.now) == {}
    assert rig.audit(TXID)[0].outcome == stun.HELD


def test_witnesses_go_to_a_control_flow_that_a_sibling_announced() -> None:
    others = Others()
    here, there = Rig(siblings=others), Rig()
    there.receive(there.hold(copies=2, txid=TXID), TOOTH, SIP)
    ask(here)
    [(name, tag, local, source)] = others.announced
    assert (name, tag, local, source) == ("box-1", b"tag1", CONTROL, HOME)
    there.reflector.learn_control(name, bytes(4), local, source, there.now)
    sent = [datagram for _, datagram in there.pass_time(there.now + 60_000)]
    [witness] = [one for one in sent if one.destination == HOME]
    assert witness.local == CONTROL
    message = stun.parse(witness.data)
    assert message.authentic(there.key) and message.has(stun.WITNESS)


def test_a_refused_control_request_is_not_announced() -> None:
    others = Others()
    rig = Rig(siblings=others)
    rig.control((stun.PADDING, bytes(80)), nonce=b"AAAAAAAAAAAAAAAA")
    rig.control((stun.AUDIT, [rig.txid() for _ in range(17)]))
    assert others.announced == []


def test_only_so_many_answers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_WAITING", 1)
    rig = Rig(siblings=Others())
    assert ask(rig, (stun.AUDIT, [TXID])) == []
    [message] = ask(rig, (stun.AUDIT, [TXID]))
    assert outcomes(message) == {TXID: "unseen"}
    assert rig.counters["sibling_no_room"] == 1


def test_a_copy_that_a_sibling_may_have_is_not_said_to_be_missing() -> None:
    rig = Rig(siblings=Others())
    [message] = ask(rig, (stun.FETCH, stun.Fetch(TXID, 0)))
    assert message.klass == stun.SUCCESS and not message.has(stun.COPY)

"""What is sent: exactly one verdict each, in order, within bounds, and never later than its deadline."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import APP_ID, ME, PACKAGE

from mimc_proto._requests import MAX_PACKET, RequestEncoder
from mimc_proto.config import Delivery, SessionConfig
from mimc_proto.errors import LocalProtocolError, QueueFull
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    UcJoin,
    UcMessage,
    UcPacket,
    UcQuit,
    User,
)
from mimc_proto.session.events import Acknowledged, Failed, FailReason, Rejected
from mimc_proto.session.outbox import Kind, Outbox, Outgoing

BOB = User(app_id=APP_ID, account="bob")
GROUP = Group(app_id=APP_ID, topic_id=15)
TARGETS: dict[Kind, Any] = {
    Kind.P2P: b"bob", Kind.P2T: 15, Kind.ONLINE: b"bob", Kind.UNLIMITED: 15, Kind.JOIN: 15, Kind.QUIT: 15,
}  # fmt: skip
MESSAGES = [Kind.P2P, Kind.P2T, Kind.UNLIMITED]


def make(**settings: Any) -> Outbox:
    return Outbox("me", SessionConfig(**settings))


def at_least_once(**settings: Any) -> Outbox:
    return make(delivery=Delivery.AT_LEAST_ONCE, **settings)


def add(outbox: Outbox, packet_id: str | None = None, kind: Kind = Kind.P2P, **changes: Any) -> str:
    """Queue a send that has ten seconds."""
    fields = {
        "target": TARGETS[kind], "payload": b"hi", "is_store": True, "biz_type": None, "deadline": 10.0, **changes,
    }  # fmt: skip
    return outbox.add(kind, packet_id=packet_id, **fields)


def take(outbox: Outbox, count: int = 1000) -> list[str]:
    """What a link does with the queue."""
    taken: list[str] = []
    while outbox.queue and len(taken) < count:
        packet_id, item = outbox.queue.popitem(last=False)
        item.taken = True
        taken.append(packet_id)
    return taken


def sent(outbox: Outbox, packet_id: str = "p", kind: Kind = Kind.P2P, **changes: Any) -> Outbox:
    """The outbox with one send more, which was taken."""
    add(outbox, packet_id, kind, **changes)
    assert take(outbox)[-1] == packet_id
    return outbox


def ack(packet_id: str = "p", **fields: Any) -> PacketAck:
    return PacketAck(packet_id=packet_id, **fields)


def failed(*packet_ids: str, reason: FailReason = FailReason.TIMEOUT, arrived: bool = True) -> list[Failed]:
    return [Failed(packet_id=packet_id, reason=reason, may_have_arrived=arrived) for packet_id in packet_ids]


def unchanged(outbox: Outbox) -> tuple[Any, ...]:
    return len(outbox), list(outbox.queue), outbox.deadline(), outbox.full(0)


# ---------------------------------------------------------------------------------------------------------- queueing


def test_ids_are_the_sessions_prefix_and_a_count() -> None:
    outbox = make()
    assert [add(outbox) for _ in range(3)] == ["me_1", "me_2", "me_3"]


def test_a_made_id_is_not_used_again_when_its_verdict_came() -> None:
    outbox = make()
    add(outbox, "mine")
    for name in ("me_2", "me_3"):
        assert add(outbox) == name
        assert outbox.withdraw(name) is not None


def test_made_ids_that_step_over_given_ones_do_not_step_back() -> None:
    outbox = make()
    add(outbox)
    take(outbox)
    outbox.acknowledged(ack("me_1"))
    add(outbox, "me_3")
    assert [add(outbox) for _ in range(3)] == ["me_4", "me_5", "me_6"]


def test_an_id_may_be_given() -> None:
    outbox = make()
    assert add(outbox, "mine") == "mine"
    assert list(outbox.queue) == ["mine"]


def test_an_id_that_waits_already_is_refused() -> None:
    outbox = sent(make(), "mine")
    before = unchanged(outbox)
    with pytest.raises(LocalProtocolError, match="packet_id: expected an id of its own, got mine, which waits already"):
        add(outbox, "mine")
    assert unchanged(outbox) == before


def test_an_id_whose_verdict_came_may_be_given_again() -> None:
    outbox = sent(make(), "mine")
    outbox.acknowledged(ack("mine"))
    assert add(outbox, "mine") == "mine"


def test_made_ids_step_over_given_ones() -> None:
    outbox = make()
    add(outbox, "me_2")
    add(outbox, "me_3")
    assert add(outbox) not in ("me_2", "me_3")
    assert len(outbox) == 3


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"payload": "text"}, "payload"),
        ({"payload": bytearray(b"x")}, "payload"),
        ({"payload": bytes(15_361)}, "payload"),
        ({"biz_type": 7}, "biz_type"),
        ({"biz_type": "\ud800"}, "biz_type"),
        ({"biz_type": "b" * 1025}, "biz_type"),
        ({"packet_id": ""}, "packet_id"),
        ({"packet_id": "i" * 129}, "packet_id"),
        ({"packet_id": 7}, "packet_id"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused_at_the_call_and_changes_nothing(changes: Any, where: str) -> None:
    outbox = make()
    before = unchanged(outbox)
    with pytest.raises(LocalProtocolError) as caught:
        add(outbox, **changes)
    assert caught.value.where == where
    assert unchanged(outbox) == before
    assert add(outbox) == "me_1"


def test_the_largest_payload_is_a_setting() -> None:
    outbox = make(max_payload=3)
    add(outbox, payload=b"abc")
    with pytest.raises(LocalProtocolError, match=r"expected at most 3 bytes \(max_payload\), got 4"):
        add(outbox, payload=b"abcd")


def test_sends_without_a_verdict_are_bounded_in_number() -> None:
    outbox = make(max_pending=2)
    sent(outbox, "a")
    assert not outbox.full(0)
    add(outbox, "b")
    assert outbox.full(0)
    before = unchanged(outbox)
    with pytest.raises(QueueFull, match=r"send: 2 sends of 4 bytes wait .* \(max_pending=2, max_pending_bytes="):
        add(outbox, "c")
    assert unchanged(outbox) == before


def test_sends_without_a_verdict_are_bounded_in_bytes() -> None:
    outbox = make(max_pending_bytes=5)
    add(outbox, "a", payload=b"123")
    assert not outbox.full(2)
    assert outbox.full(3)
    with pytest.raises(QueueFull):
        add(outbox, "b", payload=b"123")
    add(outbox, "b", payload=b"12")
    assert outbox.full(1)


def test_every_verdict_makes_room() -> None:
    outbox = make(max_pending=1, max_pending_bytes=2)
    outbox = sent(outbox, "p")
    outbox.acknowledged(ack())
    add(outbox, "q")
    outbox.withdraw("q")
    sent(outbox, "p", Kind.JOIN)
    outbox.answered("p", Kind.JOIN, 0, "")
    add(outbox, "r", deadline=1.0)
    outbox.overdue(1.0)
    sent(outbox, "s")
    outbox.link_lost()
    assert not outbox.full(2)
    assert len(outbox) == 0


# -------------------------------------------------------------------------------------------------------------- acks


@pytest.mark.parametrize("kind", MESSAGES)
def test_an_ack_tells_sequence_time_and_index(kind: Kind) -> None:
    outbox = sent(make(), kind=kind)
    verdict = outbox.acknowledged(ack(sequence=9, timestamp=5, code=0, conv_index=3))
    assert verdict == Acknowledged(packet_id="p", sequence=9, timestamp=5, code=0, conv_index=3)
    assert len(outbox) == 0


@pytest.mark.parametrize("code", [None, 0, 100, 200])
def test_a_code_of_acceptance_or_none_at_all_accepts(code: int | None) -> None:
    assert sent(make()).acknowledged(ack(code=code, error_message="odd")) == Acknowledged(
        packet_id="p", sequence=None, timestamp=None, code=code or 0
    )


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({"sequence": 1}, True),
        ({"sequence": 1, "error_message": ""}, True),
        ({"sequence": 1, "error_message": "blocked"}, False),
        ({"sequence": 0}, False),
        ({"sequence": -1}, False),
        ({}, False),
    ],
)
def test_another_code_accepts_only_with_a_sequence_and_without_an_error(fields: Any, accepted: bool) -> None:
    verdict = sent(make()).acknowledged(ack(code=5, **fields))
    if accepted:
        assert verdict == Acknowledged(packet_id="p", sequence=1, timestamp=None, code=5)
    else:
        assert verdict == Rejected(packet_id="p", code=5, message=fields.get("error_message") or "")


@pytest.mark.parametrize("kind", [Kind.P2P, Kind.JOIN])
def test_a_refusal_says_nothing_of_what_was_sent_on_a_link_before(kind: Kind) -> None:
    outbox = sent(at_least_once(), kind=kind)
    assert outbox.link_lost() == []
    assert take(outbox) == ["p"]
    if kind is Kind.P2P:
        verdict = outbox.acknowledged(ack(code=5))
    else:
        settled = outbox.answered("p", kind, 5, "")
        assert settled is not None
        verdict = settled[1]
    assert verdict == Rejected(packet_id="p", code=5, message="", may_have_arrived=True)


def test_a_sequence_and_a_time_of_zero_are_none() -> None:
    verdict = sent(make()).acknowledged(ack(code=0, sequence=0, timestamp=0))
    assert verdict == Acknowledged(packet_id="p", sequence=None, timestamp=None, code=0)


def test_the_codes_of_acceptance_can_be_set() -> None:
    outbox = make(accepted_codes=frozenset({7}))
    assert isinstance(sent(outbox).acknowledged(ack(code=7)), Acknowledged)
    assert isinstance(sent(outbox).acknowledged(ack(code=100)), Rejected)
    assert isinstance(sent(outbox).acknowledged(ack(code=0)), Rejected)
    assert isinstance(sent(outbox).acknowledged(ack()), Acknowledged)


def test_an_ack_that_nobody_waits_for_is_no_verdict() -> None:
    outbox = make()
    assert outbox.acknowledged(ack("stranger")) is None
    sent(outbox).acknowledged(ack())
    assert outbox.acknowledged(ack()) is None


def test_an_ack_of_a_message_that_was_never_sent_is_no_verdict() -> None:
    outbox = make()
    add(outbox, "p")
    assert outbox.acknowledged(ack()) is None
    assert take(outbox) == ["p"]


@pytest.mark.parametrize("kind", [Kind.JOIN, Kind.QUIT])
@pytest.mark.parametrize("code", [0, 5])
def test_joining_and_leaving_have_answers_of_their_own(kind: Kind, code: int) -> None:
    outbox = sent(make(), kind=kind)
    assert outbox.acknowledged(ack(code=code)) is None
    settled = outbox.answered("p", kind, code, "full")
    assert settled is not None
    item, verdict = settled
    assert (item.kind, item.target) == (kind, 15)
    if code:
        assert verdict == Rejected(packet_id="p", code=5, message="full")
    else:
        assert verdict == Acknowledged(packet_id="p", sequence=None, timestamp=None)
    assert len(outbox) == 0


def test_an_online_message_is_acknowledged_by_its_receiver_and_not_by_the_server() -> None:
    outbox = sent(make(), kind=Kind.ONLINE)
    assert outbox.acknowledged(ack(sequence=9)) is None
    settled = outbox.answered("p", Kind.ONLINE, 1, "")
    assert settled is not None
    assert settled[1] == Acknowledged(packet_id="p", sequence=None, timestamp=None)
    assert outbox.answered("p", Kind.ONLINE, 1, "") is None


def test_an_online_message_that_the_server_refuses_is_rejected() -> None:
    verdict = sent(make(), kind=Kind.ONLINE).acknowledged(ack(code=5, error_message="blocked"))
    assert verdict == Rejected(packet_id="p", code=5, message="blocked")


def test_a_receiver_may_refuse_an_online_message() -> None:
    settled = sent(make(), kind=Kind.ONLINE).answered("p", Kind.ONLINE, 2, "busy")
    assert settled is not None
    assert settled[1] == Rejected(packet_id="p", code=2, message="busy")


def test_answers_of_another_kind_or_to_nobody_are_no_verdicts() -> None:
    outbox = sent(make(), kind=Kind.JOIN)
    assert outbox.answered("p", Kind.QUIT, 0, "") is None
    assert outbox.answered("stranger", Kind.JOIN, 0, "") is None
    add(outbox, "queued", Kind.JOIN)
    assert outbox.answered("queued", Kind.JOIN, 0, "") is None
    assert len(outbox) == 2


# ---------------------------------------------------------------------------------------------------------- failures


def test_what_waits_in_the_queue_can_be_withdrawn_and_was_never_sent() -> None:
    outbox = make()
    add(outbox, "p")
    assert outbox.withdraw("p") == failed("p", reason=FailReason.WITHDRAWN, arrived=False)[0]
    assert take(outbox) == []
    assert outbox.withdraw("p") is None


def test_what_is_on_its_way_cannot_be_withdrawn() -> None:
    outbox = sent(make())
    assert outbox.withdraw("p") is None
    assert outbox.withdraw("stranger") is None
    assert isinstance(outbox.acknowledged(ack()), Acknowledged)


def test_a_send_is_overdue_at_its_deadline_whether_it_was_taken_or_not() -> None:
    outbox = make()
    sent(outbox, "taken", deadline=5.0)
    add(outbox, "queued", deadline=6.0)
    add(outbox, "later", deadline=7.0)
    assert outbox.overdue(4.9) == []
    assert outbox.overdue(6.0) == [*failed("taken"), *failed("queued", arrived=False)]
    assert take(outbox) == ["later"]
    assert outbox.acknowledged(ack("taken")) is None


def test_the_earliest_deadline_counts_in_whatever_order_they_come() -> None:
    outbox = make()
    for name, deadline in (("a", 10.0), ("b", 4.0), ("c", 12.0), ("d", 2.0), ("e", 6.0)):
        add(outbox, name, deadline=deadline)
    assert outbox.deadline() == 2.0
    assert [verdict.packet_id for verdict in outbox.overdue(11.0)] == ["d", "b", "e", "a"]
    assert outbox.deadline() == 12.0


def test_an_early_deadline_counts_also_when_the_one_before_it_has_its_verdict() -> None:
    outbox = make()
    sent(outbox, "a", deadline=10.0)
    sent(outbox, "b", deadline=4.0)
    outbox.acknowledged(ack("a"))
    assert outbox.deadline() == 4.0
    outbox.acknowledged(ack("b"))
    assert outbox.deadline() is None


def test_a_deadline_between_two_others_counts_in_its_turn() -> None:
    outbox = make()
    for name, deadline in (("a", 10.0), ("b", 14.0), ("c", 12.0)):
        add(outbox, name, deadline=deadline)
    assert [verdict.packet_id for verdict in outbox.overdue(12.0)] == ["a", "c"]


def test_the_deadline_of_a_send_that_has_its_verdict_does_not_count() -> None:
    outbox = make()
    for name, deadline in (("a", 10.0), ("b", 4.0), ("c", 12.0)):
        sent(outbox, name, deadline=deadline)
    outbox.acknowledged(ack("b"))
    assert outbox.deadline() == 10.0
    outbox.acknowledged(ack("a"))
    assert outbox.deadline() == 12.0
    outbox.acknowledged(ack("c"))
    assert outbox.deadline() is None


def test_an_id_that_is_used_again_has_its_new_deadline_only() -> None:
    outbox = make()
    sent(outbox, "first", deadline=1.0)
    sent(outbox, "p", deadline=5.0)
    outbox.acknowledged(ack())
    add(outbox, "p", deadline=9.0)
    outbox.acknowledged(ack("first"))
    assert outbox.deadline() == 9.0
    assert outbox.overdue(8.0) == []


@pytest.mark.parametrize("early", [False, True], ids=["rising deadlines", "early deadlines"])
def test_settled_sends_are_not_kept_behind_one_that_waits(early: bool) -> None:
    outbox = make()
    sent(outbox, "old", deadline=1000.0)
    for number in range(2000):
        sent(outbox, f"n{number}", deadline=500.0 - number / 10 if early else 2000.0 + number)
        outbox.acknowledged(ack(f"n{number}"))
    assert len(outbox._timeline) + len(outbox._heap) < 100
    assert outbox.deadline() == 1000.0


def test_compacting_keeps_the_order_of_those_that_wait() -> None:
    outbox = make()
    for number in range(200):
        sent(outbox, f"n{number}", deadline=100.0 + number * (-1) ** number)
    for number in range(1, 180):
        outbox.acknowledged(ack(f"n{number}"))
    expected = sorted((100.0 + number * (-1) ** number, f"n{number}") for number in (0, *range(180, 200)))
    assert [verdict.packet_id for verdict in outbox.overdue(1000.0)] == [name for _, name in expected]


# ---------------------------------------------------------------------------------------------------------- lost links


def test_when_the_link_is_lost_what_was_taken_fails_and_what_waits_stays() -> None:
    outbox = make()
    sent(outbox, "a")
    sent(outbox, "b")
    add(outbox, "c")
    assert outbox.link_lost() == failed("a", "b", reason=FailReason.LINK_LOST)
    assert take(outbox) == ["c"]


def test_at_least_once_what_was_taken_is_sent_again_first_and_in_order() -> None:
    outbox = at_least_once()
    for name in "abc":
        sent(outbox, name)
    add(outbox, "d")
    assert outbox.link_lost() == []
    assert take(outbox, 2) == ["a", "b"]
    assert outbox.link_lost() == []
    assert take(outbox) == ["a", "b", "c", "d"]


def test_at_least_once_an_acknowledged_message_is_not_sent_again() -> None:
    outbox = at_least_once()
    for name in "abc":
        sent(outbox, name)
    outbox.acknowledged(ack("b"))
    outbox.link_lost()
    assert take(outbox) == ["a", "c"]


def test_at_least_once_the_deadline_stays_and_the_message_may_have_arrived() -> None:
    outbox = sent(at_least_once(), deadline=7.0)
    outbox.link_lost()
    assert outbox.deadline() == 7.0
    assert outbox.overdue(7.0) == failed("p")
    assert take(outbox) == []


def test_a_message_that_waits_to_be_sent_again_can_be_withdrawn_but_may_have_arrived() -> None:
    outbox = sent(at_least_once())
    outbox.link_lost()
    assert outbox.withdraw("p") == failed("p", reason=FailReason.WITHDRAWN)[0]


@pytest.mark.parametrize("reason", [FailReason.KICKED, FailReason.CLOSED])
def test_at_the_end_of_the_session_everything_left_has_its_verdict(reason: FailReason) -> None:
    outbox = at_least_once()
    for name in "ab":
        sent(outbox, name)
    outbox.link_lost()
    take(outbox, 1)
    add(outbox, "c")
    assert outbox.end(reason) == [*failed("a", "b", reason=reason), *failed("c", reason=reason, arrived=False)]
    assert (len(outbox), outbox.end(reason), outbox.deadline()) == (0, [], None)


# ---------------------------------------------------------------------------------------------------------- encoding


def encoded(kind: Kind, **changes: Any) -> Packet:
    """The packet of a send as a server reads it."""
    outbox = make(max_payload=54 * 1024)
    add(outbox, "p", kind, **changes)
    item: Outgoing = outbox.queue["p"]
    return Packet.decode(item.encode(RequestEncoder(ME, PACKAGE), b"p"))


@pytest.mark.parametrize("biz_type", [None, "", "TEXT"])
@pytest.mark.parametrize("is_store", [True, False])
def test_messages_are_those_of_the_protocol(is_store: bool, biz_type: str | None) -> None:
    plain: Any = {"payload": b"hi", "is_store": is_store, "biz_type": biz_type}
    changes: Any = {"is_store": is_store, "biz_type": biz_type}
    assert encoded(Kind.P2P, **changes).body == P2PMessage(sender=ME, recipient=BOB, **plain)
    assert encoded(Kind.P2T, **changes).body == P2TMessage(sender=ME, recipient=GROUP, **plain)
    unlimited = UcMessage(group=GROUP, user=ME, packet_id="p", **plain)
    assert encoded(Kind.UNLIMITED, **changes).body == UcPacket(user=ME, packet_id="p", body=unlimited)


@pytest.mark.parametrize("biz_type", [None, "TEXT"])
def test_an_online_message_is_never_stored(biz_type: str | None) -> None:
    body = encoded(Kind.ONLINE, biz_type=biz_type).body
    assert body == OnlineMessage(sender=ME, recipient=BOB, payload=b"hi", is_store=False, biz_type=biz_type)


def test_joining_and_leaving_name_the_group() -> None:
    assert encoded(Kind.JOIN).body == UcPacket(user=ME, packet_id="p", body=UcJoin(group=GROUP))
    assert encoded(Kind.QUIT).body == UcPacket(user=ME, packet_id="p", body=UcQuit(group=GROUP))


@pytest.mark.parametrize("kind", Kind)
def test_whatever_the_flag_is_a_message_that_was_taken_can_be_encoded(kind: Kind) -> None:
    assert encoded(kind, is_store="yes").packet_id == "p"


@pytest.mark.parametrize("kind", Kind)
def test_the_longest_of_everything_fits_a_packet(kind: Kind) -> None:
    me = User(app_id=(1 << 63) - 1, account="m" * 1024, uuid=(1 << 63) - 1, resource="r" * 128)
    target = b"b" * 1024 if TARGETS[kind] == b"bob" else (1 << 64) - 1
    outbox = make(max_payload=54 * 1024)
    add(outbox, "p" * 128, kind, target=target, payload=bytes(54 * 1024), biz_type="t" * 1024)
    item = outbox.queue["p" * 128]
    assert len(item.encode(RequestEncoder(me, "k" * 1024), b"p" * 128)) <= MAX_PACKET


def test_kinds_are_told_apart_by_identity() -> None:
    assert len({hash(kind) for kind in Kind}) == len(Kind)

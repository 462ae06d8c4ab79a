"""The verbs of a session: sends with their verdicts, receipts, groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.links import APP_ID
from support.session_bed import (
    TEAM,
    Hand,
    OpenLink,
    a_limit,
    a_list,
    ack,
    in_state,
    kinds,
    receipts,
)

from mimc_proto import LocalProtocolError, QueueFull
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    Pull,
    UcJoin,
    UcMessage,
    UcPacket,
    UcQuit,
)
from mimc_proto.session import ClientSession
from mimc_proto.session.events import Acknowledged, Failed, FailReason, Rejected
from mimc_proto.states import SessionState

# ---------------------------------------------------------------------------------------------------------- sending


def test_each_kind_of_send_says_what_it_was_told() -> None:
    hand = Hand().bound()
    session = hand.session
    session.send("bob", b"1", now=0.0, biz_type="b", is_store=False, packet_id="mine")
    session.send_group(7, b"2", now=0.0)
    session.send_online("bob", b"3", now=0.0, biz_type="b")
    session.send_unlimited(8, b"4", now=0.0, is_store=False, biz_type="b", packet_id="ours")
    packets = hand.packets()
    assert (packets[0].packet_id, packets[3].packet_id) == ("mine", "ours")
    p2p, p2t, online, outer = (packet.body for packet in packets)
    assert isinstance(p2p, P2PMessage)
    assert (p2p.recipient.account, p2p.payload, p2p.biz_type, p2p.is_store) == ("bob", b"1", "b", False)
    assert isinstance(p2t, P2TMessage)
    assert (p2t.recipient.topic_id, p2t.payload, p2t.is_store) == (7, b"2", True)
    assert isinstance(online, OnlineMessage)
    assert (online.recipient.account, online.payload, online.biz_type) == ("bob", b"3", "b")
    assert isinstance(outer, UcPacket)
    assert isinstance(outer.body, UcMessage)
    assert (outer.body.group.topic_id, outer.body.payload, outer.body.is_store) == (8, b"4", False)
    assert outer.body.biz_type == "b"


def test_a_message_is_stored_if_nothing_else_is_said() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"1", now=0.0)
    hand.session.send_group(7, b"2", now=0.0)
    hand.session.send_unlimited(8, b"3", now=0.0)
    assert [body.is_store for body in hand.bodies()] == [True] * 3  # type: ignore[attr-defined]


def test_a_message_to_a_group_may_have_an_id_and_a_type_of_its_own() -> None:
    hand = Hand().bound()
    hand.session.send_group(7, b"2", now=0.0, biz_type="b", packet_id="mine")
    [packet] = hand.packets()
    assert isinstance(packet.body, P2TMessage)
    assert (packet.packet_id, packet.body.biz_type) == ("mine", "b")


@pytest.mark.parametrize("account", ["b", "x" * 1024])
def test_the_shortest_and_the_longest_account_can_be_sent_to(account: str) -> None:
    hand = Hand().bound()
    hand.session.send(account, b"hi", now=0.0)
    [body] = hand.bodies()
    assert isinstance(body, P2PMessage)
    assert body.recipient.account == account


@pytest.mark.parametrize(
    "send",
    [
        lambda session: session.send("bob", b"hi", now=0.0),
        lambda session: session.send_online("bob", b"hi", now=0.0),
        lambda session: session.send_group(7, b"hi", now=0.0),
        lambda session: session.join_unlimited(7, now=0.0),
    ],
)
def test_nothing_is_sent_and_no_group_joined_when_the_session_has_ended(send: Callable[[ClientSession], str]) -> None:
    session = in_state(SessionState.ENDED).session
    with pytest.raises(LocalProtocolError, match="ENDED"):
        send(session)
    assert session.unsettled == 0


def test_given_addresses_come_before_known_ones() -> None:
    hand = Hand(addresses=[("10.0.0.7", 1)], known_addresses=[("10.0.0.8", 2)])
    hand.session.connect(0.0)
    link = hand.asked(OpenLink)
    assert (link.host, link.port) == ("10.0.0.7", 1)
    assert hand.session.known_addresses == (("10.0.0.8", 2),)


@pytest.mark.parametrize("state", [SessionState.NEW, SessionState.CONNECTING, SessionState.OFFLINE])
def test_what_is_sent_while_nobody_is_online_waits_for_the_login(state: SessionState) -> None:
    hand = in_state(state)
    hand.session.send("bob", b"early", now=0.0)
    assert hand.session.unsettled == 1
    assert hand.session.get_timer() is not None
    hand.timer(1.0)
    if state is not SessionState.CONNECTING:
        hand.ready()
    hand.frames()
    hand.say(hand.peer.bind_answer())
    [body] = hand.bodies()
    assert isinstance(body, P2PMessage)
    assert body.payload == b"early"


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"account": ""}, "account"),
        ({"account": "x" * 1025}, "account"),
        ({"account": 5}, "account"),
        ({"account": "\ud800"}, "account"),
        ({"payload": "text"}, "payload"),
        ({"payload": b"x" * 15_361}, "payload"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"packet_id": ""}, "packet_id"),
        ({"biz_type": "x" * 1025}, "biz_type"),
        ({"now": float("nan")}, "now"),
    ],
)
def test_a_send_that_cannot_be_made_is_refused_and_leaves_nothing(arguments: dict[str, Any], where: str) -> None:
    hand = Hand().bound()
    with pytest.raises(LocalProtocolError) as caught:
        hand.session.send(**{"account": "bob", "payload": b"hi", "now": 0.0, **arguments})
    assert caught.value.where == where
    assert hand.session.unsettled == 0
    assert hand.commands() == []


def test_a_group_has_a_number() -> None:
    with pytest.raises(LocalProtocolError, match="group_id: expected a whole number"):
        Hand().bound().session.send_group(-1, b"hi", now=0.0)


def test_a_full_outbox_says_so_before_and_after() -> None:
    session = Hand(settings={"max_pending": 2, "max_pending_bytes": 10}).bound().session
    assert session.room_for(10)
    assert not session.room_for(11)
    session.send("bob", b"1", now=0.0)
    session.send("bob", b"2", now=0.0)
    assert not session.room_for(0)
    with pytest.raises(QueueFull):
        session.send("bob", b"3", now=0.0)


@pytest.mark.parametrize("code", [None, 0, 100, 200])
def test_an_accepted_message_is_acknowledged_with_sequence_and_timestamp(code: int | None) -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    verdict = Acknowledged(packet_id=packet_id, sequence=5, timestamp=9, code=code or 0)
    assert hand.push(ack(packet_id, code=code)) == [verdict]
    assert hand.session.unsettled == 0


def test_a_refused_message_is_rejected_with_code_and_text() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    answer = hand.push(ack(packet_id, code=4, sequence=0, error_message="no"))
    assert answer == [Rejected(packet_id=packet_id, code=4, message="no")]


def test_what_waits_can_be_withdrawn_and_what_is_on_its_way_cannot() -> None:
    hand = Hand().bound()
    first = hand.session.send("bob", b"hi", now=0.0)
    assert hand.session.withdraw(first, 0.0)
    assert hand.session.events() == [Failed(packet_id=first, reason=FailReason.WITHDRAWN, may_have_arrived=False)]
    second = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    assert not hand.session.withdraw(second, 0.0)
    assert not hand.session.withdraw("unknown", 0.0)
    assert kinds(hand.push(ack(second))) == ["Acknowledged"]


def test_a_withdrawal_may_be_what_a_logout_waits_for() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.session.logout(0.0, 5.0)
    hand.session.withdraw(packet_id, 0.0)
    assert hand.commands() == ["UBND"]


@pytest.mark.parametrize("end", ["takeover", "close", "logout"])
def test_the_end_of_the_session_settles_all_that_has_no_verdict(end: str) -> None:
    hand = Hand().bound()
    taken, queued = (hand.session.send("bob", text, now=0.0) for text in (b"1", b"2"))
    hand.frames(max_bytes=1)
    if end == "takeover":
        hand.session.receive_data(hand.link_id, hand.peer.kick("single-resource-kick"), 0.0)
    elif end == "close":
        hand.session.close(0.0)
    else:
        hand.session.logout(0.0)
        hand.session.receive_data(hand.link_id, hand.peer.kick(), 0.0)
    reason = FailReason.KICKED if end == "takeover" else FailReason.CLOSED
    assert [event for event in hand.session.events() if isinstance(event, Failed)] == [
        Failed(packet_id=taken, reason=reason, may_have_arrived=True),
        Failed(packet_id=queued, reason=reason, may_have_arrived=False),
    ]


# -------------------------------------------------------------------------------------------------------- receiving


def test_a_receipt_is_consumed_once_and_never_after_the_end() -> None:
    hand = Hand().bound()
    [receipt] = receipts(hand.push(a_list(1)))
    hand.session.consumed(receipt, 0.0)
    with pytest.raises(LocalProtocolError, match="not consumed yet"):
        hand.session.consumed(receipt, 0.0)
    with pytest.raises(LocalProtocolError, match="now: expected seconds, got NaN"):
        hand.session.consumed(receipt, float("nan"))
    hand.session.close(0.0)
    hand.session.consumed(receipt, 0.0)


# -------------------------------------------------------------------------------------------------- unlimited groups


def test_no_more_groups_are_joined_than_may_be() -> None:
    hand = Hand(joined_groups=[7], settings={"max_groups": 1}).bound()
    with pytest.raises(QueueFull, match=r"^join_unlimited: 1 groups are joined already \(max_groups\)"):
        hand.session.join_unlimited(8, now=0.0)


def test_what_waits_is_asked_for_once_and_not_when_nobody_will_be_online_again() -> None:
    hand = Hand()
    hand.session.connect(0.0)
    hand.session.pull(0.0)  # the server pushes by itself after the login
    hand.bound()
    assert hand.bodies() == []
    hand.session.pull(0.0)
    assert [type(body) for body in hand.bodies()] == [Pull]
    hand.session.close(0.0)
    with pytest.raises(LocalProtocolError, match="ENDED"):
        hand.session.pull(0.0)


def test_a_send_may_have_a_timeout_of_its_own() -> None:
    hand = Hand().bound()
    short = hand.session.send("bob", b"hi", now=0.0, timeout=0.5)
    hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    assert hand.timer(0.4) == []
    assert hand.timer(0.5) == [Failed(packet_id=short, reason=FailReason.TIMEOUT, may_have_arrived=True)]


@pytest.mark.parametrize(
    "send",
    [
        lambda session, **times: session.send("bob", b"hi", **times),
        lambda session, **times: session.send_group(7, b"hi", **times),
        lambda session, **times: session.send_online("bob", b"hi", **times),
        lambda session, **times: session.send_unlimited(7, b"hi", **times),
        lambda session, **times: session.join_unlimited(7, **times),
        lambda session, **times: session.quit_unlimited(7, **times),
    ],
)
def test_a_timeout_counts_from_the_call_on(send: Callable[..., str]) -> None:
    session = Hand().bound().session
    send(session, now=5.0, timeout=2.0)
    assert session.get_timer() == 7.0


def test_a_pull_and_a_withdrawal_let_time_pass() -> None:
    hand = Hand().bound()
    for now in (0.0, 1.0):
        hand.session.pull(now)
        assert [type(body) for body in hand.bodies()] == [Pull]
    first, _ = (hand.session.send("bob", b"hi", now=1.0) for _ in range(2))
    hand.session.logout(1.0, 2.0)
    hand.session.withdraw(first, 3.0)
    assert hand.commands() == ["UBND"]  # the drain is over


def test_joining_and_leaving_may_have_a_timeout_of_their_own() -> None:
    session = Hand().bound().session
    session.join_unlimited(7, now=0.0, timeout=2.0)
    assert session.get_timer() == 2.0
    session.quit_unlimited(7, now=0.0, timeout=1.0)
    assert session.get_timer() == 1.0


def test_only_a_limit_notice_can_be_skipped() -> None:
    hand = Hand().bound()
    hand.push(a_list(1))
    hand.push(a_limit(50))
    with pytest.raises(LocalProtocolError, match="limit notice"):
        hand.session.skip(1, 0.0)
    hand.session.skip(2, 0.0)
    with pytest.raises(LocalProtocolError, match="not consumed yet"):
        hand.session.skip(2, 0.0)


def test_joining_and_leaving_need_no_room_in_bytes() -> None:
    session = Hand(settings={"max_pending_bytes": 2}).bound().session
    session.send("bob", b"hi", now=0.0)
    session.join_unlimited(7, now=0.0)
    session.quit_unlimited(7, now=0.0)
    assert session.unsettled == 3


def test_groups_are_asked_for_and_left_by_their_number() -> None:
    hand = Hand(joined_groups=[8]).bound()
    hand.bodies()
    hand.session.join_unlimited(7, now=0.0)
    hand.session.quit_unlimited(8, now=0.0)
    assert hand.bodies() == [UcJoin(group=TEAM), UcQuit(group=Group(app_id=APP_ID, topic_id=8))]
    assert hand.session.joined_groups == (8,)  # until the answers come


def test_what_is_not_consumed_yet_is_counted() -> None:
    hand = Hand().bound()
    hand.push(a_list(1, 2))
    assert hand.session.unconsumed == 2
    hand.session.consumed(1, 0.0)
    assert hand.session.unconsumed == 0


def test_what_the_server_pushes_again_is_counted() -> None:
    hand = Hand().bound()
    hand.push(a_list(1, 2))
    hand.push(a_list(2, 3))
    assert hand.session.repeats == 1

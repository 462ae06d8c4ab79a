"""What a session says and hears on its links: lists, acknowledgements and their proof, pulls, groups, live messages."""

from __future__ import annotations

from support.links import APP_ID, RESOURCE, UUID, credentials
from support.session_bed import (
    BOB,
    TEAM,
    Bed,
    FetchToken,
    Hand,
    OpenLink,
    Traced,
    a_limit,
    a_list,
    ack,
    group_messages,
    in_group,
    kinds,
    online_message,
    over_the_mark,
    receipts,
)

from mimc_proto import Delivery
from mimc_proto.packets import (
    Group,
    OnlineMessageAck,
    Packet,
    Pull,
    SequenceAck,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
)
from mimc_proto.session import events as said
from mimc_proto.session._traffic import MOST_UNCONFIRMED
from mimc_proto.session.events import Acknowledged, Failed, FailReason, GroupDismissed, MessagesDropped, Rejected
from mimc_proto.testing import AckRule, token_answer


def test_a_message_without_an_answer_times_out_from_the_call_on() -> None:
    bed = Bed(answer_timeout=60.0).login()
    bed.server.acks = AckRule(times=0)
    short, usual = bed.send(timeout=2.0), bed.send()
    bed.run(2.0)
    assert bed.verdict(short) == Failed(packet_id=short, reason=FailReason.TIMEOUT, may_have_arrived=True)
    assert bed.verdict(usual) is None
    bed.run(8.0)
    assert bed.verdict(usual) == Failed(packet_id=usual, reason=FailReason.TIMEOUT, may_have_arrived=True)


def test_an_ack_is_the_verdict_of_a_message() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    assert hand.push(ack(packet_id)) == [Acknowledged(packet_id=packet_id, sequence=5, timestamp=9)]


def test_a_late_or_foreign_ack_is_traced_and_ignored() -> None:
    trace = Traced()
    hand = Hand(trace=trace).bound()
    assert hand.push(ack("evil\n" + "x" * 200)) == []
    [line] = [line for line in trace.lines if line.startswith("in nobody waits for the ack of")]
    assert "\n" not in line
    assert len(line) < 150
    assert Hand().bound().push(ack("nobody's")) == []


def test_a_lost_link_fails_what_was_taken_and_keeps_what_was_not() -> None:
    hand = Hand().bound()
    taken, queued = (hand.session.send("bob", text, now=0.0) for text in (b"1", b"2"))
    hand.frames(max_bytes=1)
    hand.session.link_lost(hand.link_id, None, 0.0)
    verdicts = [event for event in hand.session.events() if isinstance(event, Failed)]
    assert verdicts == [Failed(packet_id=taken, reason=FailReason.LINK_LOST, may_have_arrived=True)]
    hand.timer(1.0)
    hand.bound()
    assert [packet.packet_id for packet in hand.packets()] == [queued]


def test_an_online_message_is_acknowledged_by_its_receiver_only() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send_online("bob", b"hi", now=0.0)
    hand.frames()
    assert hand.push(ack(packet_id)) == []
    received = OnlineMessageAck(packet_id=packet_id, uuid=UUID, resource=RESOURCE, code=1)
    assert hand.push(received) == [Acknowledged(packet_id=packet_id, sequence=None, timestamp=None)]
    assert hand.push(received) == []


def test_an_online_message_to_somebody_who_is_absent_costs_no_link() -> None:
    hand = Hand(settings={"online_timeout": 12.0}).bound()
    packet_id = hand.session.send_online("bob", b"hi", now=0.0)
    hand.frames()
    assert hand.timer(12.0) == [Failed(packet_id=packet_id, reason=FailReason.TIMEOUT, may_have_arrived=True)]
    assert hand.session.online


# -------------------------------------------------------------------------------------------------------- receiving


def test_a_list_is_acknowledged_when_it_was_consumed_and_not_before() -> None:
    hand = Hand().bound()
    [delivered] = hand.push(a_list(3, 1, 2))
    assert isinstance(delivered, said.MessagesDelivered)
    assert [item.sequence for item in delivered.messages if isinstance(item, said.Message)] == [1, 2, 3]
    assert hand.bodies() == []
    hand.session.consumed(delivered.receipt, 0.0)
    [acknowledgement] = hand.bodies()
    assert isinstance(acknowledgement, SequenceAck)
    assert acknowledgement.sequence == 3
    assert hand.bodies() == []


def test_acknowledgements_wait_for_earlier_receipts_and_outlive_the_link() -> None:
    hand = Hand().bound()
    first, second = receipts(hand.push(a_list(1)) + hand.push(a_list(2)))
    hand.session.consumed(second, 0.0)
    assert hand.bodies() == []
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.session.consumed(first, 0.0)
    hand.timer(1.0)
    hand.bound()
    assert [body.sequence for body in hand.bodies() if isinstance(body, SequenceAck)] == [2]
    assert hand.push(a_list(1, 2)) == []
    assert [body.sequence for body in hand.bodies() if isinstance(body, SequenceAck)] == [2]


def test_a_limit_notice_that_is_skipped_is_acknowledged_one_that_is_consumed_is_pulled_once() -> None:
    hand = Hand().bound()
    [skipped] = receipts(hand.push(a_limit(50)))
    hand.session.skip(skipped, 0.0)
    assert [type(body) for body in hand.bodies()] == [SequenceAck]
    [wanted] = receipts(hand.push(a_limit(60)))
    assert hand.push(a_limit(60)) == []
    hand.session.consumed(wanted, 0.0)
    assert [type(body) for body in hand.bodies()] == [Pull]
    hand.timer(5.0)
    assert hand.bodies() == []


def test_nothing_has_to_answer_the_pull_that_an_application_asked_for() -> None:
    hand = Hand(settings={"answer_timeout": 3.0}).bound()
    hand.consume(hand.push(a_limit(50)))
    assert [type(body) for body in hand.bodies()] == [Pull]
    assert hand.session.get_timer() == 15.0  # PING
    assert hand.timer(14.0) == []


def test_nothing_is_pulled_while_there_is_no_link() -> None:
    hand = Hand().bound()
    hand.consume(hand.push(a_limit(50)))
    hand.session.link_lost(hand.link_id, None, 5.0)
    assert hand.session.get_timer() == 5.5  # the next link


def test_pulls_are_paced() -> None:
    hand = Hand().bound()
    hand.session.pull(0.0)
    assert [type(body) for body in hand.bodies()] == [Pull]
    hand.session.pull(0.5)
    assert hand.bodies() == []
    assert hand.session.get_timer() == 1.0
    hand.timer(1.0)
    assert [type(body) for body in hand.bodies()] == [Pull]


def test_what_was_dropped_is_pulled_at_the_low_mark_and_nothing_after_it_is_taken_before() -> None:
    hand, _ = over_the_mark()
    assert [type(body) for body in hand.bodies()] == [SequenceAck, Pull]
    assert hand.session.get_timer() == 1.0
    assert hand.push(a_list(5)) == []
    [delivered] = hand.push(a_list(3, 4))
    assert isinstance(delivered, said.MessagesDelivered)
    assert len(delivered.messages) == 2
    assert hand.session.get_timer() == 15.0


def test_a_pull_without_an_answer_gets_a_new_link() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0)
    hand.frames()
    for now in (1.0, 2.0):
        assert hand.timer(now) == []
        assert [type(body) for body in hand.bodies()] == [Pull]
    lost = hand.timer(3.0)
    assert kinds(lost) == ["Offline", "LinkLost"]
    assert "PULL was not answered within 3 s" in lost[1].problem  # type: ignore[union-attr]
    assert kinds(hand.session.requests()) == ["CloseLink"]
    hand.timer(4.0)
    hand.bound()
    assert kinds(hand.push(a_list(5))) == ["MessagesDelivered"]


def test_the_answer_of_a_pull_is_waited_for_between_two_pulls() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0, pull_interval=2.0)
    hand.frames()
    hand.timer(2.0)
    hand.frames()
    assert hand.session.get_timer() == 3.0


def test_a_list_that_is_dropped_as_well_is_no_answer_to_a_pull() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0)
    hand.frames()
    assert hand.push(a_list(5)) == []
    assert kinds(hand.timer(3.0)) == ["Offline", "LinkLost"]


def test_a_limit_notice_is_an_answer_to_a_pull() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0)
    hand.frames()
    assert kinds(hand.push(a_limit(60))) == ["TooManyWaiting"]
    assert hand.timer(3.0) == []


def test_a_kick_answers_for_a_pull() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0)
    hand.frames()
    hand.say(hand.peer.kick("maintenance"))
    assert hand.timer(4.0) == []
    assert hand.session.requests() == []
    hand.timer(30.0)
    assert hand.commands() == ["PING", "BIND"]
    assert kinds(hand.say(hand.peer.bind_answer())) == ["Online"]
    assert hand.timer(30.5) == []


def test_online_messages_are_acknowledged_on_arrival_dropped_or_not() -> None:
    hand = Hand(settings={"high_messages": 1, "low_messages": 1}).bound()
    [delivered] = hand.push(online_message(), "o1")
    assert isinstance(delivered, said.MessagesDelivered)
    assert delivered.messages[0].payload == b"now"
    assert hand.push(online_message(), "o2") == [MessagesDropped(online=1, unlimited=0)]
    expected = [OnlineMessageAck(packet_id=name, uuid=77, resource="pc", code=1) for name in ("o1", "o2")]
    assert hand.bodies() == expected
    hand.session.consumed(delivered.receipt, 0.0)
    assert hand.bodies() == []


def test_an_online_message_that_cannot_be_answered_is_delivered_all_the_same() -> None:
    trace = Traced()
    hand = Hand(trace=trace).bound()
    nameless = Packet(body=online_message()).encode()
    assert kinds(hand.push(nameless, "h1")) == ["MessagesDelivered"]
    endless = Packet(packet_id="x" * 70_000, body=online_message()).encode()
    assert kinds(hand.push(endless, "h2")) == ["MessagesDelivered"]
    assert kinds(Hand().bound().push(Packet(packet_id="x" * 70_000, body=online_message()).encode(), "h3"))
    assert hand.bodies() == []
    assert any(line.startswith("out a OnlineMessageAck is not sent") for line in trace.lines)


def test_an_online_message_of_nobody_is_delivered_and_not_answered() -> None:
    hand = Hand().bound()
    assert kinds(hand.push(online_message().replace(sender=None), "o1")) == ["MessagesDelivered"]
    assert hand.bodies() == []


def test_messages_of_unlimited_groups_are_acknowledged_on_arrival_and_delivered_once() -> None:
    hand = Hand(settings={"high_messages": 2, "low_messages": 1}).bound()
    [delivered] = hand.push(group_messages(1, 2))
    assert isinstance(delivered, said.MessagesDelivered)
    assert [type(item) for item in delivered.messages] == [said.UnlimitedMessage] * 2
    assert hand.push(group_messages(1, 2)) == []
    assert hand.push(group_messages(3)) == [MessagesDropped(online=0, unlimited=1)]
    assert [body.sequence for body in hand.bodies() if isinstance(body, UcSequenceAck)] == [2, 2, 3]


def test_messages_of_unlimited_groups_without_a_sequence_are_never_taken_for_repeats() -> None:
    hand = Hand().bound()
    body = UcMessageList(group=TEAM, messages=(UcMessage(group=TEAM, payload=b"all", user=BOB),))
    for _ in range(2):
        assert kinds(hand.push(in_group(body))) == ["MessagesDelivered"]


def test_a_list_of_a_group_without_a_highest_sequence_is_not_acknowledged() -> None:
    hand = Hand().bound()
    assert hand.push(in_group(UcMessageList(group=TEAM))) == []
    assert hand.bodies() == []


def test_nothing_that_was_not_due_is_said_to_be_not_sent() -> None:
    trace = Traced()
    hand = Hand(trace=trace).bound()
    hand.push(Packet(body=online_message()).encode(), "h1")
    hand.push(in_group(UcMessageList(group=TEAM)))
    assert hand.bodies() == []
    hand.session.logout(0.0)
    assert hand.commands() == ["UBND"]
    assert kinds(hand.push(online_message(), "o1")) == ["MessagesDelivered"]
    assert [line for line in trace.lines if "is not sent" in line] == []


def test_a_broken_packet_is_told_and_ends_nothing() -> None:
    hand = Hand().bound()
    assert kinds(hand.push(b"\xff\xff", "h1")) == ["Unreadable"]
    assert hand.session.online


def test_packets_without_a_meaning_here_are_ignored_and_traced() -> None:
    trace = Traced()
    hand = Hand(trace=trace).bound()
    plain = Hand().bound()
    for body in (Pull(uuid=UUID, resource=RESOURCE, app_id=APP_ID), in_group(UcPong(payload=b""))):
        assert hand.push(body) == plain.push(body) == []
    assert hand.say(hand.peer.answer("NOTIFY")) == []
    assert "in a Pull is ignored" in trace.lines


def test_an_answer_to_a_bind_that_the_link_has_forgotten_lets_the_next_one_go() -> None:
    hand = Hand().bound()
    hand.say(hand.peer.kick("token-expired"))
    [fetch] = hand.session.requests()
    assert isinstance(fetch, FetchToken)
    hand.session.token_fetched(fetch.request_id, token_answer(credentials(token="new")), 0.0)
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.kick("token-expired"))  # late: about the token before
    hand.say(hand.peer.answer("NOTIFY"))
    assert hand.commands() == []
    hand.say(hand.peer.bind_answer())
    assert hand.commands() == ["BIND"]


def test_a_refused_login_is_told() -> None:
    hand = Hand().ready()
    assert hand.commands() == ["BIND"]
    assert kinds(hand.say(hand.peer.bind_answer(False, "wait", "overloaded"))) == ["LoginRefused", "Ended"]


# -------------------------------------------------------------------------------------------------- unlimited groups


def test_joining_and_leaving_have_verdicts_and_keep_the_list() -> None:
    hand = Hand().bound()
    joined = hand.session.join_unlimited(7, now=0.0)
    assert not hand.session.joined_groups
    assert [type(body) for body in hand.bodies()] == [UcJoin]
    assert hand.push(in_group(UcJoinAnswer(group=TEAM, code=0), joined)) == [
        Acknowledged(packet_id=joined, sequence=None, timestamp=None)
    ]
    assert list(hand.session.joined_groups) == [7]
    left = hand.session.quit_unlimited(7, now=0.0)
    assert [type(body) for body in hand.bodies()] == [UcQuit]
    refused = UcQuitAnswer(group=TEAM, code=3, text="stay")
    assert hand.push(in_group(refused, left)) == [Rejected(packet_id=left, code=3, message="stay")]
    assert list(hand.session.joined_groups) == [7]
    left = hand.session.quit_unlimited(7, now=0.0)
    hand.frames()
    silent = UcQuitAnswer(group=TEAM, code=3)
    assert hand.push(in_group(silent, left)) == [Rejected(packet_id=left, code=3, message="")]
    left = hand.session.quit_unlimited(7, now=0.0)
    hand.frames()
    assert kinds(hand.push(in_group(UcQuitAnswer(group=TEAM, code=0), left))) == ["Acknowledged"]
    assert not hand.session.joined_groups
    assert hand.push(in_group(UcQuitAnswer(group=TEAM, code=0), left)) == []


def test_a_dismissed_group_is_told_and_forgotten() -> None:
    hand = Hand(joined_groups=[7]).bound()
    assert hand.push(in_group(UcDismiss(group=TEAM))) == [GroupDismissed(group_id=7)]
    assert hand.session.joined_groups == ()
    assert hand.push(in_group(UcDismiss(group=Group(app_id=APP_ID)))) == [GroupDismissed(group_id=0)]


def test_groups_are_pinged_at_once_after_each_login_and_then_in_their_interval() -> None:
    hand = Hand(joined_groups=[7, 8]).bound()
    both = UcPing(groups=(TEAM, TEAM.replace(topic_id=8)))
    assert hand.bodies() == [both]
    assert hand.session.get_timer() == 10.0
    hand.timer(5.0)
    assert hand.bodies() == []
    hand.push(in_group(UcPong(payload=b"")))
    assert hand.session.get_timer() == 10.0
    hand.timer(10.0)
    assert hand.bodies() == [both]
    hand.session.link_lost(hand.link_id, None, 11.0)
    hand.timer(12.0)
    hand.bound()
    assert hand.bodies() == [both]


# ------------------------------------------------------------------------------- what the server has, and what is due


def test_an_answer_to_what_followed_an_acknowledgement_proves_it() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    for sequence in (1, 2):
        hand.consume(hand.push(a_list(sequence)))
        hand.frames()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    other = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    hand.push(ack(other))
    assert hand.push(a_list(1)) == []  # still known
    hand.push(ack(packet_id))
    hand.frames()
    third = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    hand.push(ack(third))
    assert kinds(hand.push(a_list(1))) == ["MessagesDelivered"]  # the server would not push it again


def test_each_acknowledgement_is_proved_by_what_followed_it_and_not_by_the_answer_to_what_came_before() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    answers = []
    for sequence in (1, 2, 3):
        hand.consume(hand.push(a_list(sequence)))
        hand.frames()
        answers.append(ack(hand.session.send("bob", b"hi", now=0.0)))
        hand.frames()
    hand.push(answers[0])
    hand.frames()
    answers.append(ack(hand.session.send("bob", b"hi", now=0.0)))
    hand.frames()
    assert hand.push(a_list(2)) == []  # only the first is proved
    for answer in answers[1:]:
        hand.push(answer)
    [delivered] = hand.push(a_list(1, 2))
    assert isinstance(delivered, said.MessagesDelivered)
    assert [item.sequence for item in delivered.messages if isinstance(item, said.Message)] == [1, 2]


def test_a_pong_proves_an_acknowledgement_only_if_its_ping_came_after_it() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    hand.timer(15.0)
    assert hand.commands() == ["PING"]
    for sequence in (1, 2):
        [receipt] = receipts(hand.push(a_list(sequence)))
        hand.session.consumed(receipt, 15.0)
    hand.frames()
    hand.say(hand.peer.answer("PING"))
    assert hand.push(a_list(1)) == []
    hand.frames()
    hand.timer(30.0)
    assert hand.commands() == ["PING"]
    hand.say(hand.peer.answer("PING"))
    assert kinds(hand.push(a_list(1))) == ["MessagesDelivered"]


def test_pongs_of_an_old_link_prove_nothing_on_the_next() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    hand.timer(15.0)
    assert hand.commands() == ["PING"]
    hand.say(hand.peer.answer("PING"))
    hand.session.link_lost(hand.link_id, None, 16.0)
    hand.timer(17.0)
    hand.bound()
    hand.timer(32.0)
    assert hand.commands() == ["PING"]
    for sequence in (1, 2):
        hand.consume(hand.push(a_list(sequence)))
    hand.frames()
    hand.say(hand.peer.answer("PING"))  # that ping came before the acknowledgement
    assert hand.push(a_list(1)) == []


def test_a_pong_after_a_kick_does_not_prove_an_acknowledgement_that_crossed_it() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    for sequence in (1, 2):
        hand.consume(hand.push(a_list(sequence)))
    assert [type(body) for body in hand.bodies()] == [SequenceAck]
    hand.timer(15.0)
    assert hand.commands() == ["PING"]
    hand.say(hand.peer.kick("be-gone"), hand.peer.answer("PING"))
    hand.timer(16.0)
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.bind_answer())
    assert hand.push(a_list(1)) == []  # the service ignored what crossed its KICK


def test_an_ack_after_a_kick_does_not_prove_an_acknowledgement_that_crossed_it() -> None:
    hand = Hand(settings={"remembered": 1, "delivery": Delivery.AT_LEAST_ONCE, "login_gap": 0.5}).bound()
    for sequence in (1, 2):
        hand.consume(hand.push(a_list(sequence)))
    assert [type(body) for body in hand.bodies()] == [SequenceAck]
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    hand.say(hand.peer.kick("be-gone"))
    hand.timer(1.0)
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.bind_answer())
    assert kinds(hand.push(ack(packet_id))) == ["Acknowledged"]
    assert hand.push(a_list(1)) == []


def test_a_ping_asks_where_very_much_is_not_proved() -> None:
    hand = Hand(settings={"high_messages": 9999}).bound()
    count = MOST_UNCONFIRMED + 1
    for top in range(count, 0, -count // 3):
        [receipt] = receipts(hand.push(a_list(*range(max(1, top - count // 3), top + 1))))
        hand.session.consumed(receipt, 0.0)
    assert [frame.command for frame in hand.frames()] == ["SECMSG"]
    assert hand.commands() == ["PING"]
    assert hand.commands() == []
    hand.say(hand.peer.answer("PING"))
    assert hand.commands() == []


def test_an_acknowledgement_that_waits_to_be_written_is_not_proved_by_what_overtakes_it() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    hand.consume(hand.push(a_list(1)))
    hand.frames()
    assert hand.push(online_message(), "o1")
    hand.push(online_message(), "o2")
    [receipt] = receipts(hand.push(a_list(2, 3)))
    hand.session.consumed(receipt, 0.0)
    assert [type(body) for body in hand.bodies(max_bytes=1)] == [OnlineMessageAck]
    hand.say(hand.peer.answer("PING"))  # of a ping from before, if there had been one
    assert [type(body) for body in hand.bodies()] == [OnlineMessageAck, SequenceAck]
    assert hand.push(a_list(2, 3)) == []


def test_the_pong_of_a_ping_that_overtook_an_acknowledgement_proves_nothing() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    for name in ("o1", "o2"):
        hand.push(online_message(), name)
    [receipt] = receipts(hand.push(a_list(1, 2)))
    hand.session.consumed(receipt, 0.0)
    assert [type(body) for body in hand.bodies(max_bytes=1)] == [OnlineMessageAck]
    hand.timer(15.0)
    assert [frame.command for frame in hand.frames(max_bytes=1)] == ["PING"]
    hand.say(hand.peer.answer("PING"))
    assert hand.push(a_list(1)) == []
    assert SequenceAck in [type(body) for body in hand.bodies()]


def test_what_comes_before_a_link_is_open_is_ignored() -> None:
    hand = Hand()
    hand.session.connect(0.0)
    link = hand.asked(OpenLink)
    hand.session.receive_data(link.link_id, b"early", 0.0)
    assert hand.session.events() == hand.session.requests() == []


def test_what_belongs_to_an_old_link_is_ignored() -> None:
    hand = Hand().bound()
    hand.session.receive_data(hand.link_id + 1, b"garbage of another", 0.0)
    assert hand.session.online
    hand.session.send("bob", b"hi", now=0.0)
    assert hand.session.data_to_send(hand.link_id + 1) == []
    assert hand.commands() == ["SECMSG"]


def test_what_has_no_room_in_the_link_is_said_when_there_is_some() -> None:
    hand = Hand(settings={"max_pending_bytes": 1}).bound()
    consumed = hand.push(a_list(1))
    for size in (60_000,) * 5 + (10_000,) * 3 + (1000,) * 3 + (100,) * 10 + (10,) * 5:
        hand.push(Packet(packet_id="x" * size, body=online_message()).encode(), f"h{size}")
    hand.session.pull(0.0)
    hand.consume(consumed)
    hand.timer(0.0)
    assert {type(body) for body in hand.bodies(1 << 30)} == {OnlineMessageAck}
    hand.timer(1.0)
    assert [type(body) for body in hand.bodies()] == [Pull, SequenceAck]


def test_a_logout_says_the_last_acknowledgement_first() -> None:
    hand = Hand().bound()
    [receipt] = receipts(hand.push(a_list(1)))
    hand.session.logout(0.0, 5.0)
    assert hand.commands() == ["UBND"]  # nothing is acknowledged that was not consumed
    hand = Hand().bound()
    [receipt] = receipts(hand.push(a_list(1)))
    hand.session.consumed(receipt, 0.0)
    hand.session.logout(0.0, 5.0)
    assert hand.commands() == ["SECMSG", "UBND"]


def test_a_drain_ends_with_the_last_verdict() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.session.logout(0.0, 5.0)
    assert hand.commands() == ["SECMSG"]
    hand.push(ack(packet_id))
    assert hand.commands() == ["UBND"]


def test_a_drain_without_a_link_has_nothing_to_wait_for_when_all_is_said() -> None:
    hand = Hand().bound()
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.session.events()
    hand.session.logout(0.0, 5.0)
    assert kinds(hand.session.events()) == ["Ended"]


def test_consuming_while_logging_out_is_harmless() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"hi", now=0.0)
    [receipt] = receipts(hand.push(a_list(1)))
    hand.session.logout(0.0, 5.0)
    hand.session.consumed(receipt, 0.0)
    assert hand.commands() == ["SECMSG", "SECMSG"]


def test_answers_stop_where_a_peer_sends_without_reading() -> None:
    hand = Hand(settings={"max_pending": 64, "high_messages": 1000}).bound()
    for number in range(100):
        hand.push(online_message(), f"o{number}")
    assert len(hand.bodies()) == 32


def test_frames_are_taken_up_to_the_room_there_is() -> None:
    hand = Hand().bound()
    for _ in range(3):
        hand.session.send("bob", b"x" * 1000, now=0.0)
    hand.session.pull(0.0)
    assert [len(hand.frames(1)) for _ in range(5)] == [1, 1, 1, 1, 0]


def test_a_frame_of_the_sessions_own_takes_from_the_room_of_messages() -> None:
    hand = Hand().bound()
    hand.push(Packet(packet_id="x" * 5000, body=online_message()).encode(), "h1")
    for _ in range(3):
        hand.session.send("bob", b"hi", now=0.0)
    own, one, _, _ = [len(frame) for frame in hand.session.data_to_send(hand.link_id)]
    hand.push(Packet(packet_id="x" * 5000, body=online_message()).encode(), "h2")
    for _ in range(3):
        hand.session.send("bob", b"hi", now=0.0)
    assert len(hand.session.data_to_send(hand.link_id, own + one + 1)) == 3


def test_a_kick_ends_what_is_due_on_the_link_until_the_next_login() -> None:
    hand = Hand(joined_groups=[7], settings={"pull_interval": 60.0, "group_ping_interval": 7.0}).bound()
    assert [type(body) for body in hand.bodies()] == [UcPing]
    hand.push(in_group(UcPong(payload=b"")))
    hand.session.pull(0.0)
    hand.say(hand.peer.kick("maintenance"))
    assert hand.session.get_timer() == 10.0  # BIND, and neither pull nor group ping
    hand.timer(10.0)
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.bind_answer())
    hand.session.pull(10.0)
    assert [type(body) for body in hand.bodies()] == [Pull, UcPing]


def test_what_waits_for_its_ack_fails_when_the_session_ends() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    assert Failed(packet_id=packet_id, reason=FailReason.KICKED, may_have_arrived=True) in hand.say(
        hand.peer.kick("single-resource-kick")
    )
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.session.close(0.0)
    assert Failed(packet_id=packet_id, reason=FailReason.CLOSED, may_have_arrived=False) in hand.session.events()

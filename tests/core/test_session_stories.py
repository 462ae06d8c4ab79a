"""What happens to sends, receipts and acknowledgements when links, logins and logouts get in between."""

from __future__ import annotations

import pytest
from support.session_bed import Bed, Hand, Traced, a_limit, a_list, kinds, online_message, over_the_mark, receipts

from mimc_proto import Framing
from mimc_proto.config import Delivery
from mimc_proto.packets import Command, OnlineMessageAck, P2PMessage, Pull, SequenceAck, UcPing
from mimc_proto.session.events import (
    Acknowledged,
    Ended,
    EndReason,
    Failed,
    FailReason,
    LinkLost,
    Message,
)
from mimc_proto.session.requests import CloseLink, OpenLink
from mimc_proto.testing import AckRule, Conditions


def test_a_tiny_outbox_leaves_room_for_what_the_session_says_by_itself() -> None:
    hand = Hand(settings={"max_pending": 1, "max_pending_bytes": 1}, joined_groups=[7]).bound()
    hand.consume(hand.push(a_list(1)))
    hand.push(online_message(), "o1")
    hand.session.pull(0.0)
    assert {type(body) for body in hand.bodies()} == {OnlineMessageAck, SequenceAck, UcPing, Pull}


def test_at_least_once_sends_what_was_taken_again_first_with_its_id_and_deadline() -> None:
    hand = Hand(settings={"delivery": Delivery.AT_LEAST_ONCE}).bound()
    ids = [hand.session.send("bob", text, now=0.0) for text in (b"1", b"2", b"3")]
    hand.frames(max_bytes=400)
    hand.session.link_lost(hand.link_id, None, 0.0)
    assert not [event for event in hand.session.events() if isinstance(event, Failed)]
    hand.timer(1.0)
    hand.bound()
    assert [packet.packet_id for packet in hand.packets()] == ids
    assert [event.packet_id for event in hand.timer(10.0) if isinstance(event, Failed)] == ids


def test_a_taken_message_keeps_waiting_across_a_kick() -> None:
    hand = Hand().bound()
    packet_id = hand.session.send("bob", b"hi", now=0.0)
    hand.frames()
    assert kinds(hand.say(hand.peer.kick("maintenance"))) == ["Offline"]
    hand.timer(10.0 - 1e-6)
    assert hand.session.unsettled == 1
    assert kinds(hand.timer(10.0)) == ["Failed"]
    assert packet_id


def test_an_online_message_has_a_timeout_of_its_own() -> None:
    hand = Hand(settings={"online_timeout": 3.0}).bound()
    hand.session.send_online("bob", b"hi", now=0.0)
    assert kinds(hand.timer(3.0)) == ["Failed"]


def test_what_is_lost_with_a_link_proves_nothing() -> None:
    hand = Hand(settings={"remembered": 1}).bound()
    hand.consume(hand.push(a_list(1)))
    hand.consume(hand.push(a_list(2)))
    hand.frames()
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.timer(1.0)
    hand.bound()
    hand.say(hand.peer.answer("PING"))
    assert hand.push(a_list(1, 2)) == []


def test_a_drain_offline_waits_also_until_an_acknowledgement_was_said() -> None:
    hand = Hand().bound()
    [receipt] = receipts(hand.push(a_list(1)))
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.session.consumed(receipt, 0.0)
    hand.session.logout(0.0, 5.0)
    hand.timer(1.0)
    hand.ready()
    hand.frames()
    hand.say(hand.peer.bind_answer())
    assert hand.commands() == ["SECMSG", "UBND"]


def test_an_overdue_timer_of_everything_at_once_raises_nothing() -> None:
    hand = Hand(joined_groups=[7]).bound()
    hand.session.send("bob", b"hi", now=0.0)
    events = hand.timer(1e6)
    assert kinds(events) == ["Failed"]
    assert [type(item) for item in hand.session.requests()] in ([], [CloseLink], [CloseLink, OpenLink])


def test_a_limit_notice_answers_a_pull() -> None:
    hand, _ = over_the_mark(answer_timeout=3.0)
    hand.frames()
    assert kinds(hand.push(a_limit(9))) == ["TooManyWaiting"]
    assert "LinkLost" not in kinds(hand.timer(3.0))


# ------------------------------------------------------------------------------------------- with a server around it


def test_everything_arrives_in_order_from_a_server_that_ignores_the_window() -> None:
    bed = Bed(consume=0.4, high_messages=60, low_messages=10).login()
    bed.server.window = None
    sequences = bed.server.deliver("alice", *[b"x" * 100] * 500)
    most = 0

    def arrived() -> bool:
        nonlocal most
        most = max(most, sum(len(getattr(event, "messages", ())) for event in bed.driver.unconsumed))
        return len(bed.driver.messages) >= 500

    bed.clock.run_until(arrived)
    bed.run(5.0)
    assert [item.sequence for item in bed.driver.messages if isinstance(item, Message)] == sequences
    assert most <= 60
    assert bed.of(LinkLost) == []
    assert bed.server.unacknowledged("alice", "pc") == 0


def test_acks_get_through_while_the_application_consumes_nothing() -> None:
    bed = Bed(consume=None, high_messages=10, low_messages=5).login()
    bed.server.window = None
    bed.server.deliver("alice", *[b"x"] * 100)
    packet_id = bed.send()
    bed.run(1.0)
    assert isinstance(bed.verdict(packet_id), Acknowledged)


def test_a_list_that_is_pushed_again_after_a_reconnect_is_not_delivered_twice() -> None:
    bed = Bed(consume=None).login()
    bed.server.deliver("alice", b"1", b"2")
    bed.run(1.0)
    bed.network.pipe.cut()
    bed.run(5.0)
    assert bed.session.online
    assert len(bed.driver.messages) == 2
    bed.driver.consume_next()
    bed.run(0.0)
    assert bed.server.unacknowledged("alice", "pc") == 0


def test_a_program_that_stalled_gives_its_link_a_second_chance() -> None:
    bed = Bed().login()
    packet_id = bed.send(timeout=100.0)
    bed.run(0.0)
    bed.driver.sleep()
    bed.server.deliver("alice", b"while asleep")
    bed.run(40.0)
    bed.driver.wake_up()
    bed.run(1.0)
    assert bed.of(LinkLost) == []
    assert isinstance(bed.verdict(packet_id), Acknowledged)
    assert len(bed.driver.messages) == 1


def test_a_drain_waits_for_acks_and_then_leaves_at_once() -> None:
    bed = Bed().login()
    bed.server.acks = AckRule(delay=2.0)
    packet_id = bed.send()
    bed.session.logout(bed.now, 8.0)
    bed.clock.run_until(lambda: bed.of(Ended))
    assert bed.now == 2.0
    assert isinstance(bed.verdict(packet_id), Acknowledged)


def test_at_least_once_gets_its_ack_on_the_next_link() -> None:
    bed = Bed(delivery=Delivery.AT_LEAST_ONCE).login()
    bed.network.pipe.down.drop()
    packet_id = bed.send()
    bed.run(1.0)
    bed.network.pipe.cut()
    bed.run(3.0)
    assert isinstance(bed.verdict(packet_id), Acknowledged)
    assert [item.payload for item in bed.server.bodies(P2PMessage)] == [b"hi", b"hi"]


def test_a_torn_frame_costs_the_link_and_the_session_goes_on() -> None:
    bed = Bed().login()
    bed.network.pipe.down.cut(after_bytes=17)
    packet_id = bed.send()
    bed.run(3.0)
    assert bed.verdict(packet_id) == Failed(packet_id=packet_id, reason=FailReason.LINK_LOST, may_have_arrived=True)
    assert bed.session.online


def test_traces_hold_no_token_key_text_or_account_secret() -> None:
    trace = Traced()
    bed = Bed(options={"trace": trace}).login()
    bed.send(b"very secret text")
    bed.server.deliver("alice", b"another secret")
    bed.run(1.0)
    told = "\n".join(trace.lines)
    user = bed.driver.user
    assert len(trace.lines) > 5
    for secret in (user.token, user.security_key, "secret text", "another secret"):
        assert secret not in told


@pytest.mark.parametrize("silent", [Command.CONN, Command.BIND, Command.PING, Command.UBND])
def test_a_server_that_is_silent_never_makes_a_session_busy(silent: Command) -> None:
    bed = Bed().connect()
    bed.server.silence(silent)
    bed.network.pipe.cut()
    bed.run(300.0)
    assert len(bed.network.attempts) < 60
    bed.session.close(bed.now)
    bed.run()
    assert bed.of(Ended) == [Ended(reason=EndReason.CLOSED)]


def test_bytes_may_come_one_by_one_and_late() -> None:
    bed = Bed(conditions=Conditions(latency=0.05, chunk=1)).login()
    bed.server.deliver("alice", b"1", b"2")
    packet_id = bed.send()
    bed.run(1.0)
    assert isinstance(bed.verdict(packet_id), Acknowledged)
    assert [item.payload for item in bed.driver.messages] == [b"1", b"2"]
    assert bed.server.unacknowledged("alice", "pc") == 0


def test_on_websocket_messages_go_both_ways_and_garbage_costs_the_link() -> None:
    bed = Bed(framing=Framing.WEBSOCKET).login()
    bed.server.deliver("alice", b"1")
    packet_id = bed.send()
    bed.run(1.0)
    assert isinstance(bed.verdict(packet_id), Acknowledged)
    assert len(bed.driver.messages) == 1
    bed.server.link.raw(b"no packet")
    bed.run(3.0)
    assert len(bed.of(LinkLost)) == 1
    assert bed.session.online
    bed.session.logout(bed.now)
    bed.run(1.0)
    assert bed.of(Ended) == [Ended(reason=EndReason.LOGGED_OUT)]


def test_the_deadline_of_an_answer_begins_when_the_message_is_taken_however_long_it_was_silent_before() -> None:
    bed = Bed(conditions=Conditions(latency=0.5))
    bed.login()
    bed.clock.run_for(10.5)  # nearly the time of a PING
    packet_id = bed.session.send("bob", b"hi", now=bed.clock.now)
    bed.clock.run_for(5.0)
    assert isinstance(bed.driver.verdicts[packet_id], Acknowledged)
    assert not bed.driver.of(LinkLost)

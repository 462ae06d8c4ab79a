"""Appending: sequences, positions, receivers, refusals."""

from collections.abc import Callable

from mimc_server.store import AckCode, Delivery, Kind, Member, Refused, StoreConfig, Stored
from support.store_bed import APP, NOON, Bed


def test_the_first_sequence_is_that_of_the_clock(bed: Bed) -> None:
    stored = bed.send("alice", "bob")
    assert (stored.sequence, stored.timestamp) == (NOON * 10_000 + 1, NOON)


def test_sequences_rise_by_one_within_a_millisecond(bed: Bed) -> None:
    first, second = bed.append(bed.message("alice", "bob"), bed.message("alice", "carol"))
    assert isinstance(first, Stored)
    assert isinstance(second, Stored)
    assert second.sequence == first.sequence + 1


def test_sequences_rise_when_the_clock_goes_back(bed: Bed) -> None:
    first = bed.send("alice", "bob")
    bed.now -= 3_600_000
    second = bed.send("alice", "bob")
    assert second.sequence == first.sequence + 1
    assert second.timestamp == NOON - 3_600_000


def test_applications_have_sequences_of_their_own(bed: Bed) -> None:
    first = bed.send("alice", "bob")
    other = bed.send("alice", "bob", app_id=2, sender=bed.user("alice", app_id=2))
    assert other.sequence == first.sequence


def test_a_message_lies_in_its_receivers_inbox_as_it_was_sent(bed: Bed) -> None:
    message = bed.message("alice", "bob", b"text", resource="pad", biz_type="TEXT")
    stored = bed.append_one(message)
    [found] = bed.inbox("bob")
    assert (found.position, found.sequence, found.timestamp, found.conv_index) == (1, stored.sequence, NOON, 1)
    for name in ("app_id", "sender", "resource", "packet_id", "kind", "target", "payload", "biz_type", "is_store"):
        assert getattr(found, name) == getattr(message, name), name


def test_positions_are_dense_in_each_inbox(bed: Bed) -> None:
    stored = [bed.send("alice", target) for target in ("bob", "carol", "bob")]
    assert [delivery.position for answer in stored for delivery in answer.deliveries] == [1, 1, 2]


def test_a_message_to_an_unknown_account_makes_the_account(bed: Bed) -> None:
    stored = bed.send("alice", "newcomer")
    assert stored.deliveries == (Delivery(receiver=bed.uuid("newcomer"), position=1),)


def test_a_message_to_oneself_is_delivered(bed: Bed) -> None:
    bed.send("alice", "alice", b"note")
    assert bed.payloads("alice") == [b"note"]


def test_a_group_message_lies_in_all_inboxes_but_the_senders(bed: Bed) -> None:
    group = bed.group("alice", "bob", "carol")
    stored = bed.send("bob", group.topic_id, b"to all")
    assert {delivery.receiver for delivery in stored.deliveries} == {bed.uuid("alice"), bed.uuid("carol")}
    assert [bed.payloads(account) for account in ("alice", "bob", "carol")] == [[b"to all"], [], [b"to all"]]


def test_a_message_in_a_group_of_one_is_stored_for_nobody(bed: Bed) -> None:
    group = bed.group("alice")
    assert bed.send("alice", group.topic_id).deliveries == ()


def test_those_who_join_later_do_not_get_what_was_sent_before(bed: Bed) -> None:
    group = bed.group("alice")
    bed.send("alice", group.topic_id, b"before")
    bed.store.add_members(group.topic_id, [bed.uuid("bob")], unlimited=False)
    bed.send("alice", group.topic_id, b"after")
    assert bed.payloads("bob") == [b"after"]


def test_an_online_message_takes_a_sequence_and_no_place(bed: Bed) -> None:
    bob = bed.uuid("bob")
    first = bed.send("alice", "bob", kind=Kind.ONLINE)
    assert first.deliveries == (Delivery(receiver=bob, position=None),)
    assert first.conv_index == 0
    assert bed.send("alice", "bob").sequence == first.sequence + 1
    assert len(bed.inbox("bob")) == 1


def test_an_online_message_to_an_unknown_account_goes_nowhere_and_makes_no_account(
    make_bed: Callable[[StoreConfig], Bed],
) -> None:
    bed = make_bed(StoreConfig(max_users=2))
    assert bed.send("alice", "nobody", kind=Kind.ONLINE).deliveries == ()
    assert bed.user("bob")


def test_an_unlimited_message_takes_a_sequence_and_no_place(bed: Bed) -> None:
    group = bed.group("alice", "bob", unlimited=True)
    first = bed.send("alice", group.topic_id, kind=Kind.UNLIMITED)
    second = bed.send("alice", group.topic_id, kind=Kind.UNLIMITED)
    assert (first.deliveries, second.deliveries) == ((), ())
    assert second.sequence == first.sequence + 1
    assert (first.conv_index, second.conv_index) == (1, 2)
    assert bed.inbox("bob") == ()


def test_a_conversation_is_counted_over_both_directions(bed: Bed) -> None:
    indexes = [bed.send(*pair).conv_index for pair in (("alice", "bob"), ("bob", "alice"), ("alice", "bob"))]
    assert indexes == [1, 2, 3]


def test_conversations_are_counted_apart(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    targets: tuple[str | int, ...] = ("bob", "carol", "alice", group.topic_id)
    assert [bed.send("alice", target).conv_index for target in targets] == [1, 1, 1, 1]


def test_a_refused_message_leaves_no_gap(bed: Bed) -> None:
    bed.store.block(bed.uuid("carol"), bed.uuid("alice"))
    first = bed.send("alice", "bob")
    bed.refusal(bed.message("alice", "carol"))
    second = bed.send("alice", "bob")
    assert second.sequence == first.sequence + 1
    assert second.conv_index == 2


def test_a_batch_is_answered_in_order_and_a_refusal_stops_nobody_else(bed: Bed) -> None:
    answers = bed.append(bed.message("alice", "bob", b"1"), bed.message("alice", 15), bed.message("alice", "bob", b"2"))
    assert [type(answer) for answer in answers] == [Stored, Refused, Stored]
    assert bed.payloads("bob") == [b"1", b"2"]


def test_an_empty_batch_has_no_answers(bed: Bed) -> None:
    assert list(bed.append()) == []


def test_a_blocked_sender_is_refused_also_online(bed: Bed) -> None:
    bed.store.block(bed.uuid("bob"), bed.uuid("alice"))
    for kind in (Kind.P2P, Kind.ONLINE):
        assert bed.refusal(bed.message("alice", "bob", kind=kind)).code == AckCode.BLOCKED
    assert bed.send("bob", "alice")


def test_a_block_between_users_does_not_count_in_a_group(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    bed.store.block(bed.uuid("bob"), bed.uuid("alice"))
    bed.send("alice", group.topic_id, b"to all")
    assert bed.payloads("bob") == [b"to all"]


def test_whom_a_group_has_blocked_is_refused(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    bed.store.block_in_group(group.topic_id, bed.uuid("bob"))
    assert bed.refusal(bed.message("bob", group.topic_id)).code == AckCode.BLOCKED
    bed.store.unblock_in_group(group.topic_id, bed.uuid("bob"))
    assert bed.send("bob", group.topic_id)


def test_a_group_that_does_not_exist_is_refused(bed: Bed) -> None:
    unlimited = bed.group("alice", unlimited=True)
    for message in (
        bed.message("alice", 15),
        bed.message("alice", unlimited.topic_id, kind=Kind.P2T),
        bed.message("alice", "an account", kind=Kind.P2T),
        bed.message("alice", 15, kind=Kind.UNLIMITED),
    ):
        assert bed.refusal(message).code == AckCode.NO_SUCH_GROUP


def test_a_group_of_another_application_does_not_exist(bed: Bed) -> None:
    group = bed.group("alice")
    stranger = bed.user("alice", app_id=2)
    message = bed.message("alice", group.topic_id, app_id=2, sender=stranger)
    assert bed.refusal(message).code == AckCode.NO_SUCH_GROUP


def test_only_members_send_to_a_group(bed: Bed) -> None:
    for unlimited, kind in ((False, Kind.P2T), (True, Kind.UNLIMITED)):
        group = bed.group("alice", unlimited=unlimited)
        assert bed.refusal(bed.message("bob", group.topic_id, kind=kind)).code == AckCode.NOT_A_MEMBER


def test_an_unknown_sender_is_refused(bed: Bed) -> None:
    nobody = Member(uuid=4711, account="nobody")
    assert bed.refusal(bed.message("alice", "bob", sender=nobody)).code == AckCode.BAD_REQUEST
    assert bed.refusal(bed.message("alice", "bob", app_id=2)).code == AckCode.BAD_REQUEST


def test_a_session_that_was_taken_over_is_refused(bed: Bed) -> None:
    old = bed.login("alice")
    new = bed.login("alice")
    assert bed.refusal(bed.message("alice", "bob", epoch=old.epoch)).code == AckCode.TAKEN_OVER
    assert bed.send("alice", "bob", epoch=new.epoch)


def test_a_session_sends_on_its_own_resource_only(bed: Bed) -> None:
    phone = bed.login("alice", "phone")
    message = bed.message("alice", "bob", epoch=phone.epoch, resource="pad")
    assert bed.refusal(message).code == AckCode.TAKEN_OVER


def test_what_a_session_sent_before_it_ended_is_stored(bed: Bed) -> None:
    session = bed.login("alice")
    bed.logout("alice")
    assert bed.send("alice", "bob", epoch=session.epoch)


def test_a_full_store_refuses_messages_that_would_make_a_user(make_bed: Callable[[StoreConfig], Bed]) -> None:
    bed = make_bed(StoreConfig(max_users=1))
    refused = bed.refusal(bed.message("alice", "newcomer"))
    assert refused.code == AckCode.STORE_FAILED
    assert "StoreConfig.max_users" in refused.message
    assert bed.store.inbox_end(bed.store.user(APP, "alice", NOON).uuid) == (0, 0)

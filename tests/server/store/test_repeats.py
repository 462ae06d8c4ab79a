"""Messages that come again are answered as before and stored once."""

from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.store import AckCode, Delivery, Kind, StoreConfig, Stored
from support.store_bed import DAY, Bed


def test_a_repeat_is_answered_as_the_first_was_and_not_stored_again(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    first = bed.append_one(message)
    bed.now += 5_000
    again = bed.append_one(message)
    assert again == first.replace(deliveries=(), repeated=True)
    assert len(bed.inbox("bob")) == 1


def test_a_repeat_in_the_same_batch_is_answered_as_the_first_was(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    first, again = bed.append(message, message)
    assert isinstance(first, Stored)
    assert not first.repeated
    assert again == first.replace(deliveries=(), repeated=True)
    assert len(bed.inbox("bob")) == 1


def test_a_repeat_takes_no_sequence(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    first = bed.append_one(message)
    bed.append_one(message)
    assert bed.send("alice", "bob").sequence == first.sequence + 1


@pytest.mark.parametrize(
    "changes",
    [{"payload": b"other"}, {"packet_id": "other"}, {"resource": "pad"}, {"target": "carol"}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_differs_in_one_thing_is_a_new_message(bed: Bed, changes: dict[str, Any]) -> None:
    message = bed.message("alice", "bob")
    bed.append_one(message)
    assert not bed.append_one(message.replace(**changes)).repeated


def test_the_same_id_of_another_user_is_a_new_message(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    bed.append_one(message)
    assert not bed.append_one(message.replace(sender=bed.user("carol"))).repeated


def test_an_account_is_not_taken_for_a_group(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    message = bed.message("alice", group.topic_id)
    bed.append_one(message)
    assert not bed.append_one(message.replace(kind=Kind.P2P, target=str(group.topic_id))).repeated


def test_both_messages_of_one_id_are_known_afterwards(bed: Bed) -> None:
    one = bed.message("alice", "bob", b"one")
    other = one.replace(payload=b"other")
    sequences = [bed.append_one(message).sequence for message in (one, other, one, other)]
    assert sequences[:2] == sequences[2:]
    assert bed.payloads("bob") == [b"one", b"other"]


def test_a_repeat_comes_from_a_new_session_too(bed: Bed) -> None:
    message = bed.message("alice", "bob", epoch=bed.login("alice").epoch)
    bed.append_one(message)
    assert bed.append_one(message.replace(epoch=bed.login("alice").epoch)).repeated


def test_a_repeat_of_a_session_that_was_taken_over_is_refused(bed: Bed) -> None:
    message = bed.message("alice", "bob", epoch=bed.login("alice").epoch)
    bed.append_one(message)
    bed.login("alice")
    assert bed.refusal(message).code == AckCode.TAKEN_OVER


def test_what_was_stored_stays_stored_when_its_sender_is_blocked_later(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    bed.append_one(message)
    bed.store.block(bed.uuid("bob"), bed.uuid("alice"))
    assert bed.append_one(message).repeated


def test_a_refused_message_may_be_sent_again(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    bed.store.block(bed.uuid("bob"), bed.uuid("alice"))
    bed.refusal(message)
    bed.store.unblock(bed.uuid("bob"), bed.uuid("alice"))
    assert not bed.append_one(message).repeated


def test_group_messages_are_known_too(bed: Bed) -> None:
    for unlimited, kind in ((False, Kind.P2T), (True, Kind.UNLIMITED)):
        message = bed.message("alice", bed.group("alice", "bob", unlimited=unlimited).topic_id, kind=kind)
        assert [bed.append_one(message).repeated for _ in range(2)] == [False, True]


def test_an_online_message_is_never_a_repeat(bed: Bed) -> None:
    bob = bed.uuid("bob")
    message = bed.message("alice", "bob", kind=Kind.ONLINE)
    bed.append_one(message)
    again = bed.append_one(message)
    assert not again.repeated
    assert again.deliveries == (Delivery(receiver=bob, position=None),)


def test_a_repeat_is_known_for_24_hours(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    bed.append_one(message)
    bed.now += DAY
    bed.store.sweep(bed.now)
    assert bed.append_one(message).repeated


def test_after_24_hours_it_is_a_new_message(bed: Bed) -> None:
    message = bed.message("alice", "bob")
    bed.append_one(message)
    bed.now += DAY + 1
    assert not bed.append_one(message).repeated
    assert len(bed.inbox("bob")) == 2


def test_a_message_read_and_removed_is_still_known(bed: Bed) -> None:
    bed.login("bob")
    message = bed.message("alice", "bob", is_store=False)
    bed.ack("bob", bed.append_one(message).sequence)
    assert bed.inbox("bob") == ()
    assert bed.append_one(message).repeated


def test_what_a_batch_has_begun_with_is_known_to_its_end_whatever_the_limit(
    make_bed: Callable[[StoreConfig], Bed],
) -> None:
    bed = make_bed(StoreConfig(max_repeats=2))
    messages = [bed.message("alice", "bob") for _ in range(3)]
    answers = bed.append(*messages, messages[0])
    assert [type(answer) is Stored and answer.repeated for answer in answers] == [False, False, False, True]
    assert not bed.append_one(messages[0]).repeated

"""What a `MemoryStore` does when it is full: it never drops what somebody has yet to read."""

from mimc_server.store import AckCode, Kind, MemoryStore, StoreConfig, Stored
from mimc_server.store.memory.inbox import Inbox, StoredMessage
from mimc_server.store.memory.log import Log, size_of
from support.store_bed import DAY, NOON, Bed

ROOM = 100_000
PAYLOAD = bytes(9_000)


def full_bed() -> Bed:
    """Room for about ten messages, all of which bob has read."""
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    bed.login("bob")
    for _ in range(10):
        sent = bed.send("alice", "bob", PAYLOAD)
    bed.ack("bob", sent.sequence)
    return bed


def stored(bed: Bed, count: int, target: str = "bob") -> int:
    """How many of so many large messages are stored."""
    return sum(isinstance(bed.append(bed.message("alice", target, PAYLOAD))[0], Stored) for _ in range(count))


def test_what_all_have_read_makes_room_the_oldest_first() -> None:
    bed = full_bed()
    assert stored(bed, 1) == 1
    left = [message.position for message in bed.inbox("bob")]
    assert left == list(range(12 - len(left), 12))
    assert 8 <= len(left) < 11


def test_a_store_never_holds_more_than_it_may() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    bed.login("bob")
    for _ in range(50):
        bed.ack("bob", bed.send("alice", "bob", PAYLOAD).sequence)
        assert sum(len(message.payload) for message in bed.inbox("bob")) <= ROOM


def test_what_is_unread_is_never_dropped_and_new_messages_are_refused() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    count = stored(bed, 50)
    assert 8 <= count <= 11
    refused = bed.refusal(bed.message("alice", "bob", PAYLOAD))
    assert refused.code == AckCode.STORE_FAILED
    assert "StoreConfig.max_bytes" in refused.message
    assert len(bed.inbox("bob")) == count


def test_a_refused_message_may_be_sent_again_when_there_is_room() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    bed.login("bob")
    stored(bed, 50)
    message = bed.message("alice", "bob", PAYLOAD)
    bed.refusal(message)
    bed.ack("bob", bed.store.inbox_end(bed.uuid("bob"))[1])
    assert not bed.append_one(message).repeated


def test_messages_read_and_unread_give_way_by_what_was_read_and_not_by_age() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    bed.login("bob")
    bed.send("alice", "carol", b"unread and oldest")
    for _ in range(30):
        bed.ack("bob", bed.send("alice", "bob", PAYLOAD).sequence)
    assert bed.payloads("carol") == [b"unread and oldest"]


def test_unread_messages_give_their_room_back_with_their_age() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    count = stored(bed, 50)
    bed.now += 7 * DAY + 1
    bed.store.sweep(bed.now)
    assert stored(bed, 50) == count


def test_unstored_messages_give_their_room_back_when_they_are_read() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    bed.login("bob")
    for _ in range(50):
        bed.ack("bob", bed.send("alice", "bob", PAYLOAD, is_store=False).sequence)
    assert stored(bed, 5) == 5


def test_nothing_is_kept_of_an_unstored_message_that_all_have_passed() -> None:
    log = Log(StoreConfig())
    message = Bed(MemoryStore()).message("alice", "bob", is_store=False)
    stored = StoredMessage(message, 1, NOON, 1, size_of(message, 1))
    stored.inboxes.append(Inbox())
    log.add(stored)
    assert log.held == stored.bytes
    log.passed([stored])
    assert (log.held, log.read) == (0, 0)


def test_a_group_message_takes_room_until_the_last_receiver_has_read_it() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=ROOM)))
    group = bed.group("alice", "bob", "carol")
    bed.login("bob")
    bed.login("carol")
    for _ in range(9):
        sent = bed.send("alice", group.topic_id, PAYLOAD)
        bed.ack("bob", sent.sequence)
    assert bed.refusal(bed.message("alice", group.topic_id, PAYLOAD * 2)).code == AckCode.STORE_FAILED
    bed.ack("carol", sent.sequence)
    assert bed.send("alice", group.topic_id, PAYLOAD * 2)
    assert bed.payloads("bob") == bed.payloads("carol")


def test_what_nobody_can_read_later_needs_no_room() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_bytes=1)))
    group = bed.group("alice", unlimited=True)
    assert bed.send("alice", group.topic_id, kind=Kind.UNLIMITED, is_store=False)
    assert bed.send("alice", "alice", kind=Kind.ONLINE)


def test_a_full_store_starts_no_new_conversation() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_conversations=1)))
    bed.send("alice", "bob")
    refused = bed.refusal(bed.message("alice", "carol"))
    assert refused.code == AckCode.STORE_FAILED
    assert "StoreConfig.max_conversations" in refused.message
    assert bed.send("bob", "alice").conv_index == 2


def test_the_oldest_repeats_are_forgotten_first() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_repeats=2)))
    messages = [bed.message("alice", "bob") for _ in range(3)]
    bed.append(*messages)
    assert [bed.append_one(message).repeated for message in reversed(messages)] == [True, True, False]


def test_of_too_many_idle_resources_the_longest_idle_is_forgotten() -> None:
    bed = Bed(MemoryStore(StoreConfig(max_resources=2)))
    for resource in ("in use", "oldest", "older", "newest"):
        bed.login("bob", resource)
    sent = bed.send("alice", "bob")
    bed.ack("bob", sent.sequence, "in use")
    for resource in ("oldest", "older", "newest"):
        bed.now += 1
        bed.logout("bob", resource)
    assert [bed.login("bob", resource).position for resource in ("older", "newest", "oldest")] == [0, 0, 1]

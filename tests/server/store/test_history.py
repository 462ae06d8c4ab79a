"""What was said in a conversation, for both sides and for as long as it is kept."""

from mimc_server.store import Conversation, HistoryMessage, Kind, StoreConfig
from support.store_bed import APP, DAY, Bed

WEEK = 7 * DAY
ALL = 1 << 62


def p2p(bed: Bed, one: str = "alice", other: str = "bob", app_id: int = APP) -> Conversation:
    return Conversation(app_id=app_id, kind=Kind.P2P, one=bed.uuid(one), other=bed.uuid(other))


def of_group(topic_id: int, kind: Kind = Kind.P2T) -> Conversation:
    return Conversation(app_id=APP, kind=kind, one=topic_id)


def payloads(
    bed: Bed, conversation: Conversation, first: int = 0, last: int = ALL, most: int = 100, **options: bool
) -> list[bytes]:
    return [message.payload for message in bed.store.history(conversation, first, last, most, **options)]


def test_a_history_holds_what_both_sides_said_in_order(bed: Bed) -> None:
    bed.send("alice", "bob", b"1")
    bed.send("bob", "alice", b"2")
    bed.send("alice", "carol", b"not theirs")
    bed.send("alice", "bob", b"3")
    assert payloads(bed, p2p(bed)) == [b"1", b"2", b"3"]
    assert payloads(bed, p2p(bed, "bob", "alice")) == [b"1", b"2", b"3"]


def test_a_message_in_a_history_is_as_it_was_sent(bed: Bed) -> None:
    bed.send("alice", "bob", b"before")
    sent = bed.send("bob", "alice", b"hi", packet_id="p", resource="pad", biz_type="TEXT")
    [_, shown] = bed.store.history(p2p(bed), 0, ALL, 10)
    assert shown == HistoryMessage(
        sequence=sent.sequence,
        timestamp=sent.timestamp,
        conv_index=2,
        sender=bed.user("bob"),
        resource="pad",
        packet_id="p",
        kind=Kind.P2P,
        target="alice",
        payload=b"hi",
        biz_type="TEXT",
    )


def test_what_one_says_to_oneself_is_a_conversation(bed: Bed) -> None:
    bed.send("alice", "alice", b"note")
    [shown] = bed.store.history(p2p(bed, "alice", "alice"), 0, ALL, 10)
    assert (shown.payload, shown.target) == (b"note", "alice")
    assert payloads(bed, p2p(bed)) == []


def test_a_range_includes_its_first_sequence_and_not_its_last(bed: Bed) -> None:
    one, two, three = (bed.send("alice", "bob", text).sequence for text in (b"1", b"2", b"3"))
    assert payloads(bed, p2p(bed), one, three) == [b"1", b"2"]
    assert payloads(bed, p2p(bed), two, two) == []
    assert payloads(bed, p2p(bed), -(1 << 70), 1 << 70) == [b"1", b"2", b"3"]


def test_of_more_than_asked_the_oldest_come_or_the_newest(bed: Bed) -> None:
    for text in (b"1", b"2", b"3", b"4"):
        bed.send("alice", "bob", text)
    assert payloads(bed, p2p(bed), most=2) == [b"1", b"2"]
    assert payloads(bed, p2p(bed), most=2, newest=True) == [b"3", b"4"]
    assert payloads(bed, p2p(bed), most=0) == payloads(bed, p2p(bed), most=0, newest=True) == []


def test_a_group_has_a_history_and_so_has_an_unlimited_one(bed: Bed) -> None:
    group, unlimited = bed.group("alice", "bob"), bed.group("alice", unlimited=True)
    bed.send("alice", group.topic_id, b"normal")
    bed.send("alice", unlimited.topic_id, b"unlimited", kind=Kind.UNLIMITED)
    [shown] = bed.store.history(of_group(group.topic_id), 0, ALL, 10)
    assert (shown.payload, shown.target, shown.kind) == (b"normal", group.topic_id, Kind.P2T)
    assert payloads(bed, of_group(unlimited.topic_id, Kind.UNLIMITED)) == [b"unlimited"]
    assert payloads(bed, of_group(unlimited.topic_id)) == payloads(bed, of_group(group.topic_id, Kind.UNLIMITED)) == []


def test_what_was_not_to_be_stored_is_in_no_history(bed: Bed) -> None:
    group = bed.group("alice", unlimited=True)
    bed.send("alice", "bob", b"passing", is_store=False)
    bed.send("alice", group.topic_id, b"passing", kind=Kind.UNLIMITED, is_store=False)
    bed.send("alice", "bob", b"now", kind=Kind.ONLINE)
    assert payloads(bed, p2p(bed)) == payloads(bed, of_group(group.topic_id, Kind.UNLIMITED)) == []


def test_another_application_sees_nothing_of_it(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    bed.send("alice", group.topic_id)
    bed.send("alice", "bob")
    assert payloads(bed, p2p(bed, app_id=APP + 1)) == []
    assert bed.store.history(of_group(group.topic_id).replace(app_id=APP + 1), 0, ALL, 10) == []


def test_a_dismissed_group_has_no_history_and_its_members_still_read_it(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    bed.login("bob")
    bed.send("alice", group.topic_id, b"unread")
    bed.store.dismiss_group(group.topic_id, unlimited=False)
    assert payloads(bed, of_group(group.topic_id)) == []
    assert bed.payloads("bob") == [b"unread"]
    bed.now += WEEK + 1
    bed.store.sweep(bed.now)
    assert (bed.payloads("bob"), bed.store.statistics().messages) == ([], 0)


def test_what_only_a_dismissed_groups_history_had_is_gone(bed: Bed) -> None:
    unlimited = bed.group("alice", unlimited=True)
    bed.send("alice", unlimited.topic_id, kind=Kind.UNLIMITED)
    bed.store.dismiss_group(unlimited.topic_id, unlimited=True)
    assert bed.store.statistics().messages == 0


def test_a_history_outlives_the_inboxes_and_ends_when_its_time_is_over(bed: Bed) -> None:
    bed.send("alice", "bob", b"old")
    bed.now += WEEK + 1
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == []
    assert payloads(bed, p2p(bed)) == [b"old"]
    bed.now += 176 * DAY
    bed.send("alice", "bob", b"young")
    bed.store.sweep(bed.now)
    assert payloads(bed, p2p(bed)) == [b"young"]


def test_indexes_go_on_when_a_history_is_gone(bed: Bed) -> None:
    bed.send("alice", "bob")
    bed.now += 184 * DAY
    bed.store.sweep(bed.now)
    assert bed.send("bob", "alice").conv_index == 2


def test_what_was_read_stays_in_the_history(bed: Bed) -> None:
    bed.login("bob")
    bed.ack("bob", bed.send("alice", "bob", b"read").sequence)
    bed.store.sweep(bed.now)
    assert payloads(bed, p2p(bed)) == [b"read"]


def test_a_conversation_that_never_was_has_no_history(bed: Bed) -> None:
    bed.user("alice")
    assert payloads(bed, p2p(bed)) == []
    assert payloads(bed, Conversation(app_id=APP, kind=Kind.P2P, one=1, other=2)) == []
    assert payloads(bed, of_group(1 << 62)) == []


def test_the_youngest_history_goes_last_whatever_is_swept_first() -> None:
    assert StoreConfig().history > StoreConfig().retention

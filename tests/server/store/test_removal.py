"""What is removed, and when: bodies that need not be stored, and all that is past its retention."""

from support.store_bed import DAY, Bed

WEEK = 7 * DAY


def test_an_unstored_message_waits_for_a_user_who_never_logged_in(bed: Bed) -> None:
    bed.send("alice", "bob", b"passing", is_store=False)
    bed.store.sweep(bed.now)
    assert bed.payloads("bob", bed.login("bob").position) == [b"passing"]


def test_an_unstored_message_goes_when_it_is_acknowledged(bed: Bed) -> None:
    bed.login("bob")
    sent = bed.send("alice", "bob", b"passing", is_store=False)
    assert bed.payloads("bob") == [b"passing"]
    bed.ack("bob", sent.sequence)
    assert bed.payloads("bob") == []


def test_a_stored_message_stays_when_it_is_acknowledged(bed: Bed) -> None:
    bed.login("bob")
    bed.ack("bob", bed.send("alice", "bob", b"kept").sequence)
    assert bed.payloads("bob") == [b"kept"]


def test_an_unstored_message_waits_for_the_hindmost_resource(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    sent = bed.send("alice", "bob", b"passing", is_store=False)
    bed.ack("bob", sent.sequence, "phone")
    assert bed.payloads("bob") == [b"passing"]
    bed.ack("bob", sent.sequence, "pad")
    assert bed.payloads("bob") == []


def test_an_unstored_message_does_not_wait_for_a_cursor_that_expired(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    bed.logout("bob", "pad")
    bed.now += WEEK - 1
    sent = bed.send("alice", "bob", b"passing", is_store=False)
    bed.ack("bob", sent.sequence, "phone")
    assert bed.payloads("bob") == [b"passing"]
    bed.now += 1
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == []


def test_when_the_last_cursor_expires_what_was_not_read_still_waits(bed: Bed) -> None:
    bed.login("bob")
    read = bed.send("alice", "bob", b"read", is_store=False)
    bed.ack("bob", read.sequence)
    bed.logout("bob")
    bed.now += WEEK
    bed.send("alice", "bob", b"passing", is_store=False)
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == [b"passing"]


def test_when_all_cursors_have_expired_what_any_of_them_acknowledged_is_read(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    bed.logout("bob", "phone")
    bed.now += 1
    bed.logout("bob", "pad")
    bed.now += DAY
    sent = bed.send("alice", "bob", b"passing", is_store=False)
    bed.ack("bob", sent.sequence, "phone")
    bed.now += 6 * DAY - 1
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == [b"passing"]
    bed.now += 1
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == []


def test_an_unstored_group_message_goes_from_each_inbox_by_itself(bed: Bed) -> None:
    group = bed.group("alice", "bob", "carol")
    bed.login("bob")
    sent = bed.send("alice", group.topic_id, b"passing", is_store=False)
    bed.ack("bob", sent.sequence)
    assert bed.payloads("bob") == []
    assert bed.payloads("carol") == [b"passing"]


def test_messages_go_when_they_are_past_the_retention_read_or_not(bed: Bed) -> None:
    bed.login("bob")
    read = bed.send("alice", "bob", b"read")
    bed.ack("bob", read.sequence)
    bed.send("alice", "bob", b"unread")
    bed.now += 1
    bed.send("alice", "bob", b"younger")
    bed.now += WEEK
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == [b"younger"]


def test_a_group_message_goes_from_all_inboxes(bed: Bed) -> None:
    group = bed.group("alice", "bob", "carol")
    bed.send("alice", group.topic_id)
    bed.now += WEEK + 1
    bed.store.sweep(bed.now)
    assert bed.payloads("bob") == bed.payloads("carol") == []


def test_positions_go_on_after_everything_was_removed(bed: Bed) -> None:
    session = bed.login("bob")
    bed.send("alice", "bob")
    bed.now += WEEK + 1
    bed.store.sweep(bed.now)
    later = bed.send("alice", "bob", b"later")
    [delivery] = later.deliveries
    assert delivery.position == 2
    assert bed.payloads("bob", session.position) == [b"later"]
    assert bed.ack("bob", later.sequence) == 2


def test_a_long_inbox_is_the_same_after_its_front_was_removed(bed: Bed) -> None:
    bed.login("bob")
    sent = [bed.send("alice", "bob", b"%d" % number, is_store=False) for number in range(100)]
    for number in range(0, 99, 3):
        assert bed.ack("bob", sent[number].sequence) == number + 1
        assert bed.payloads("bob") == [b"%d" % left for left in range(number + 1, 100)]
    assert bed.login("bob", "new").position == 97
    assert bed.send("alice", "bob").deliveries[0].position == 101


def test_a_late_acknowledgement_of_what_was_removed_for_its_age_skips_nothing_else(bed: Bed) -> None:
    bed.login("bob")
    old = bed.send("alice", "bob", b"old")
    bed.now += WEEK + 1
    newer = [bed.send("alice", "bob", b"%d" % number) for number in range(2)]
    bed.store.sweep(bed.now)
    assert bed.ack("bob", old.sequence) == 1
    assert bed.ack("bob", newer[0].sequence) == 2
    assert bed.payloads("bob", 2) == [b"1"]

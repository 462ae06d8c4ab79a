"""Reading an inbox in pages."""

from hypothesis import given
from hypothesis import strategies as st
from mimc_server.store import InboxMessage, InboxPage, StoreConfig
from support.store_bed import STORES, Bed

ALL = 1_000_000


def bytes_of(page: InboxPage) -> list[bytes]:
    return [message.payload for message in page.messages]


def test_an_inbox_that_nobody_wrote_to_is_empty(bed: Bed) -> None:
    empty = InboxPage(messages=(), examined=0, more=False)
    assert bed.store.read_inbox(bed.uuid("bob"), 0, ALL, ALL) == empty
    assert bed.store.inbox_end(bed.uuid("bob")) == (0, 0)


def test_the_inbox_of_nobody_is_empty(bed: Bed) -> None:
    assert bed.store.read_inbox(4711, 3, ALL, ALL) == InboxPage(messages=(), examined=3, more=False)
    assert bed.store.inbox_end(4711) == (0, 0)


def test_the_end_of_an_inbox_is_its_newest_message(bed: Bed) -> None:
    bed.send("alice", "bob")
    newest = bed.send("alice", "bob")
    assert bed.store.inbox_end(bed.uuid("bob")) == (2, newest.sequence)


def test_the_end_stays_when_everything_was_removed(bed: Bed) -> None:
    bed.login("bob")
    newest = bed.send("alice", "bob", is_store=False)
    bed.ack("bob", newest.sequence)
    assert bed.store.inbox_end(bed.uuid("bob")) == (1, newest.sequence)


def test_messages_after_a_position_come_in_order(bed: Bed) -> None:
    for payload in (b"1", b"2", b"3"):
        bed.send("alice", "bob", payload)
    page = bed.store.read_inbox(bed.uuid("bob"), 1, ALL, ALL)
    assert (bytes_of(page), page.examined, page.more) == ([b"2", b"3"], 3, False)


def test_a_page_holds_no_more_messages_than_asked_for(bed: Bed) -> None:
    for payload in (b"1", b"2", b"3"):
        bed.send("alice", "bob", payload)
    page = bed.store.read_inbox(bed.uuid("bob"), 0, 2, ALL)
    assert (bytes_of(page), page.examined, page.more) == ([b"1", b"2"], 2, True)


def test_a_page_holds_no_more_bytes_than_asked_for(bed: Bed) -> None:
    for payload in (b"12345", b"6789", b"x"):
        bed.send("alice", "bob", payload)
    page = bed.store.read_inbox(bed.uuid("bob"), 0, ALL, 9)
    assert (bytes_of(page), page.examined, page.more) == ([b"12345", b"6789"], 2, True)


def test_a_page_holds_one_message_however_large_it_is(bed: Bed) -> None:
    bed.send("alice", "bob", b"12345")
    bed.send("alice", "bob", b"6")
    page = bed.store.read_inbox(bed.uuid("bob"), 0, 0, 1)
    assert (bytes_of(page), page.more) == ([b"12345"], True)


def test_beyond_the_end_there_is_nothing(bed: Bed) -> None:
    bed.send("alice", "bob")
    for after in (1, 5):
        assert bed.store.read_inbox(bed.uuid("bob"), after, ALL, ALL) == InboxPage(
            messages=(), examined=after, more=False
        )


def test_removed_positions_are_skipped_and_reported(bed: Bed) -> None:
    bed.login("bob")
    bed.send("alice", "bob", b"kept")
    bed.send("alice", "bob", b"1", is_store=False)
    last = bed.send("alice", "bob", b"2", is_store=False)
    bed.ack("bob", last.sequence)
    page = bed.store.read_inbox(bed.uuid("bob"), 0, ALL, ALL)
    assert (bytes_of(page), page.examined, page.more) == ([b"kept"], 3, False)


def test_a_full_page_looks_on_to_the_next_message(bed: Bed) -> None:
    bed.login("bob")
    bed.send("alice", "bob", b"1")
    gone = bed.send("alice", "bob", b"2", is_store=False)
    bed.send("alice", "bob", b"3")
    bed.ack("bob", gone.sequence)
    page = bed.store.read_inbox(bed.uuid("bob"), 0, 1, ALL)
    assert (bytes_of(page), page.examined, page.more) == ([b"1"], 2, True)


@given(
    sizes=st.lists(st.integers(0, 20), max_size=30),
    removed=st.integers(0, 30),
    max_messages=st.integers(1, 7),
    max_bytes=st.integers(1, 50),
)
def test_page_by_page_everything_is_read_once(
    sizes: list[int], removed: int, max_messages: int, max_bytes: int
) -> None:
    """Law: the pages of an inbox, each read after what the last one examined, hold every message once and in order."""
    for make_store in STORES.values():
        bed = Bed(make_store(StoreConfig()))
        bed.login("bob")
        sent = [
            bed.send("alice", "bob", bytes([number]) * size, is_store=number % 3 != 0)
            for number, size in enumerate(sizes)
        ]
        if sent and removed:
            bed.ack("bob", sent[min(removed, len(sent)) - 1].sequence)
        expected = bed.inbox("bob")
        found: list[InboxMessage] = []
        position, more = 0, True
        while more:
            page = bed.store.read_inbox(bed.uuid("bob"), position, max_messages, max_bytes)
            assert 1 <= len(page.messages) <= max_messages or not page.more
            assert len(page.messages) <= 1 or sum(len(message.payload) for message in page.messages) <= max_bytes
            found += page.messages
            position, more = page.examined, page.more
        assert tuple(found) == expected
        assert position == len(sent)

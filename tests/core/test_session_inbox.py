"""What is received: each message once, acknowledged in order and never too early, and never more than fits."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import message

from mimc_proto.config import SessionConfig
from mimc_proto.errors import LocalProtocolError, PacketError
from mimc_proto.events import LimitReached, MessagesReceived
from mimc_proto.packets import BadPacket, Packet, UnknownBody
from mimc_proto.session.events import MessagesDelivered, OnlineMessage, TooManyWaiting
from mimc_proto.session.inbox import Inbox


def make(**settings: Any) -> Inbox:
    return Inbox(SessionConfig(**settings))


def small(**settings: Any) -> Inbox:
    """An inbox that takes four messages, or ten bytes, and pulls again at two, or five bytes."""
    return make(**{"high_messages": 4, "high_bytes": 10, "low_messages": 2, "low_bytes": 5, **settings})


def the_list(*sequences: int, last: int | None = None, size: int = 0, skipped: Any = ()) -> MessagesReceived:
    """A list of messages of ``size`` bytes each."""
    packets = tuple(message(sequence, payload=bytes(size)) for sequence in sequences)
    return MessagesReceived(packets=packets, skipped=skipped, max_sequence=max(sequences) if last is None else last)


def deliver(inbox: Inbox, *sequences: int, **options: Any) -> int:
    """The receipt of a list that was taken."""
    event = inbox.on_list(the_list(*sequences, **options))
    assert event is not None
    return event.receipt


def delivered(inbox: Inbox, *sequences: int, **options: Any) -> list[int] | None:
    """The sequences that a list delivers; None if it gives no event."""
    event = inbox.on_list(the_list(*sequences, **options))
    return None if event is None else [item.sequence for item in event.messages]  # type: ignore[union-attr]


def said(inbox: Inbox) -> int | None:
    """The SEQUENCE_ACK that is due, which goes out now."""
    due, inbox.ack_due = inbox.ack_due, None
    return due


def answered(inbox: Inbox) -> bool:
    """Whether a list came that answers a pull; told once."""
    told, inbox.pull_answered = inbox.pull_answered, False
    return told


def notice(last: int = 99) -> LimitReached:
    return LimitReached(min_sequence=1, max_sequence=last)


def noticed(inbox: Inbox, last: int = 99) -> int:
    """The receipt of a limit notice."""
    event = inbox.on_limit(notice(last))
    assert event is not None
    return event.receipt


def online(size: int = 0) -> OnlineMessage:
    return OnlineMessage(
        packet_id="o", from_account="bob", from_resource="", payload=bytes(size), biz_type="", from_uuid=7, timestamp=1
    )


# ---------------------------------------------------------------------------------------------------------- delivery


def test_a_list_is_one_event_with_its_messages_in_order_and_a_receipt() -> None:
    event = make().on_list(the_list(3, 4, 7))
    assert event is not None
    assert [item.sequence for item in event.messages] == [3, 4, 7]  # type: ignore[union-attr]
    assert (event.receipt, event.skipped) == (1, ())


def test_receipts_are_never_used_twice() -> None:
    inbox = make()
    assert [deliver(inbox, 1), deliver(inbox, 2), noticed(inbox)] == [1, 2, 3]
    inbox.consumed(1)
    live = inbox.on_live((online(),))
    assert live is not None
    assert live.receipt == 4


def test_a_list_pushed_again_is_not_delivered_twice() -> None:
    inbox = make()
    deliver(inbox, 1, 2)
    assert delivered(inbox, 1, 2) is None
    assert delivered(inbox, 1, 2, 3) == [3]


def test_what_came_again_is_counted_but_not_in_a_list_that_is_dropped() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 2, 3, 4) == [4]
    assert inbox.repeats == 2
    assert delivered(inbox, 3, 4, 5, 6) is None
    assert (inbox.dropped, inbox.repeats) == (5, 2)
    inbox.consumed(receipt)
    assert delivered(inbox, 4, 5, 6) == [5, 6]
    assert inbox.repeats == 3


def test_what_was_consumed_and_acknowledged_is_not_delivered_again_either() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1, 2))
    assert said(inbox) == 2
    inbox.on_bound()
    assert delivered(inbox, 1, 2) is None


def test_a_lower_sequence_that_is_new_is_delivered() -> None:
    inbox = make()
    deliver(inbox, 10)
    assert delivered(inbox, 9) == [9]


def test_what_cannot_be_read_is_told_once_with_the_list() -> None:
    bad = BadPacket(error=PacketError("broken"), sequence=2, inside_list=True)
    other = Packet(sequence=3, body=UnknownBody(type=77))
    inbox = make()
    event = inbox.on_list(the_list(1, last=3, skipped=(bad, other)))
    assert event is not None
    assert event.skipped == (bad, other)
    assert inbox.on_list(the_list(1, last=3, skipped=(bad, other))) is None


def test_a_list_of_nothing_readable_is_delivered_for_what_was_skipped() -> None:
    bad = BadPacket(error=PacketError("broken"), inside_list=True)
    inbox = make()
    event = inbox.on_list(the_list(last=5, skipped=(bad,)))
    assert event == MessagesDelivered(receipt=1, messages=(), skipped=(bad,))
    inbox.consumed(1)
    assert said(inbox) == 5


def test_repeats_inside_one_list_do_not_shorten_the_memory() -> None:
    inbox = make(remembered=3)
    twin = message(1)
    inbox.consumed(deliver(inbox, 1, skipped=(twin, twin, twin)))
    inbox.seen.confirm(1)
    deliver(inbox, 2)
    assert delivered(inbox, 1, last=2) is None


# -------------------------------------------------------------------------------------------------- acknowledgements


def test_nothing_is_acknowledged_before_it_is_consumed() -> None:
    inbox = make()
    receipt = deliver(inbox, 1, 2)
    assert said(inbox) is None
    inbox.consumed(receipt)
    assert said(inbox) == 2
    assert said(inbox) is None


def test_the_acknowledgement_covers_what_the_list_says_and_not_only_its_messages() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1, 2, last=7))
    assert said(inbox) == 7


def test_a_later_list_is_acknowledged_only_when_all_earlier_ones_are_consumed() -> None:
    inbox = make()
    first, second, third = deliver(inbox, 1), deliver(inbox, 2), deliver(inbox, 3)
    inbox.consumed(second)
    inbox.consumed(third)
    assert said(inbox) is None
    inbox.consumed(first)
    assert said(inbox) == 3


def test_acknowledgements_that_were_not_said_yet_are_one() -> None:
    inbox = make()
    for sequence in (1, 2, 3):
        inbox.consumed(deliver(inbox, sequence))
    assert said(inbox) == 3
    assert said(inbox) is None


def test_an_acknowledgement_that_was_not_said_yet_never_shrinks() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1, last=9))
    inbox.consumed(deliver(inbox, 2))
    assert said(inbox) == 9


def test_receipts_outlive_the_link() -> None:
    inbox = make()
    receipt = deliver(inbox, 1, 2)
    inbox.on_bound()
    inbox.consumed(receipt)
    assert said(inbox) == 2


def test_an_acknowledgement_that_was_not_said_outlives_the_link_too() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1, 2))
    inbox.on_bound()
    assert said(inbox) == 2


def test_a_list_of_repeats_only_is_acknowledged_at_once_if_nothing_is_before_it() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1, 2))
    said(inbox)
    inbox.on_list(the_list(1, 2))
    assert said(inbox) == 2


def test_a_list_of_repeats_only_is_acknowledged_in_its_turn() -> None:
    inbox = make()
    receipt = deliver(inbox, 1, 2)
    inbox.on_list(the_list(1, 2, last=5))
    assert said(inbox) is None
    inbox.consumed(receipt)
    assert said(inbox) == 5


def test_an_empty_list_is_acknowledged_in_its_turn() -> None:
    inbox = make()
    receipt = deliver(inbox, 1)
    assert inbox.on_list(the_list(last=9)) is None
    assert said(inbox) is None
    inbox.consumed(receipt)
    assert said(inbox) == 9


def test_lists_of_repeats_do_not_heap_up() -> None:
    inbox = make()
    receipt, later = deliver(inbox, 1), deliver(inbox, 2)
    inbox.consumed(later)
    for last in (2, 9, 3, *[2] * 1000):
        inbox.on_list(the_list(1, last=last))
    assert len(inbox._order) == 2
    inbox.consumed(receipt)
    assert said(inbox) == 9


def test_repeats_behind_a_notice_wait_for_it() -> None:
    inbox = make()
    first, limit = deliver(inbox, 1), noticed(inbox, 50)
    inbox.consumed(limit)
    inbox.on_list(the_list(1, last=60))
    assert said(inbox) is None
    inbox.consumed(first)
    assert said(inbox) == 60


@pytest.mark.parametrize("wrong", [0, 2, -1, None, "1", [], 1.0, True], ids=repr)
def test_only_an_open_receipt_can_be_consumed(wrong: Any) -> None:
    inbox = make()
    deliver(inbox, 1)
    with pytest.raises(LocalProtocolError, match="receipt: expected a receipt that is not consumed yet"):
        inbox.consumed(wrong)
    inbox.consumed(1)
    assert said(inbox) == 1


def test_a_receipt_can_be_consumed_once() -> None:
    inbox = make()
    inbox.consumed(deliver(inbox, 1))
    with pytest.raises(LocalProtocolError, match="got 1"):
        inbox.consumed(1)


# ------------------------------------------------------------------------------------------------------ limit notices


def test_a_notice_tells_what_waits() -> None:
    assert make().on_limit(notice(50)) == TooManyWaiting(receipt=1, min_sequence=1, max_sequence=50)


def test_a_notice_that_is_consumed_is_pulled_and_never_acknowledged() -> None:
    inbox = make()
    inbox.consumed(noticed(inbox))
    assert inbox.wants_pull()
    assert said(inbox) is None
    inbox.pull_due = False  # the PULL goes out, once
    assert not inbox.wants_pull()


def test_a_notice_that_is_skipped_is_acknowledged_and_not_pulled() -> None:
    inbox = make()
    inbox.consumed(noticed(inbox, 50), skip=True)
    assert said(inbox) == 50
    assert not inbox.wants_pull()


@pytest.mark.parametrize(("skip", "acknowledged"), [(False, None), (True, 99)])
def test_a_notice_waits_for_what_is_before_it(skip: bool, acknowledged: int | None) -> None:
    inbox = make()
    first, limit = deliver(inbox, 1), noticed(inbox)
    inbox.consumed(limit, skip=skip)
    assert (said(inbox), inbox.wants_pull()) == (None, False)
    inbox.consumed(first)
    assert inbox.wants_pull() is not skip
    assert said(inbox) == (acknowledged or 1)


def test_a_notice_is_a_barrier_for_what_comes_after_it() -> None:
    inbox = make()
    limit, later = noticed(inbox), deliver(inbox, 100)
    inbox.consumed(later)
    assert said(inbox) is None
    inbox.consumed(limit)
    assert said(inbox) == 100


def test_a_notice_that_is_repeated_while_the_application_has_it_is_no_second_event() -> None:
    inbox = make()
    limit = noticed(inbox)
    assert inbox.on_limit(notice()) is None
    inbox.on_bound()
    assert inbox.on_limit(notice()) is None
    inbox.consumed(limit)
    assert inbox.on_limit(notice()) is not None


def test_only_a_notice_can_be_skipped() -> None:
    inbox = make()
    receipt = deliver(inbox, 1)
    live = inbox.on_live((online(),))
    assert live is not None
    for wrong in (receipt, live.receipt):
        with pytest.raises(LocalProtocolError, match=r"^receipt: .* limit notice \(TooManyWaiting\)"):
            inbox.consumed(wrong, skip=True)
    inbox.consumed(receipt)
    assert said(inbox) == 1


def test_a_login_answers_a_notice_so_nothing_is_pulled_then() -> None:
    inbox = make()
    inbox.consumed(noticed(inbox))
    inbox.on_bound()
    assert not inbox.wants_pull()


# ------------------------------------------------------------------------------------------------------ back-pressure


@pytest.mark.parametrize(("count", "size"), [(5, 0), (3, 4)], ids=["messages", "bytes"])
def test_a_list_that_would_pass_the_high_mark_is_dropped_and_not_acknowledged(count: int, size: int) -> None:
    inbox = small()
    receipt = deliver(inbox, 1)
    sequences = range(2, 2 + count - 1) if size == 0 else range(2, 2 + count)
    assert delivered(inbox, *sequences, size=size) is None
    assert inbox.dropped == 2
    inbox.consumed(receipt)
    assert said(inbox) == 1


def test_a_list_that_just_fits_is_taken() -> None:
    inbox = small()
    deliver(inbox, 1, size=1)
    assert delivered(inbox, 2, 3, 4, size=3) == [2, 3, 4]


def test_when_the_application_has_nothing_any_list_is_taken() -> None:
    inbox = small()
    inbox.consumed(deliver(inbox, *range(1, 100), size=100))
    assert delivered(inbox, *range(100, 200), size=100) == [*range(100, 200)]


def test_after_a_drop_no_list_is_taken_until_one_begins_there() -> None:
    inbox = small()
    inbox.consumed(deliver(inbox, 1))
    deliver(inbox, 2, 3, 4)
    assert delivered(inbox, 5, 6) is None
    assert delivered(inbox, 7) is None
    inbox.consumed(2)
    assert delivered(inbox, 7) is None
    assert delivered(inbox, 5, 6) == [5, 6]
    assert delivered(inbox, 7) == [7]


def test_a_list_that_begins_before_the_drop_ends_it_as_well() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert delivered(inbox, 3, 4, 5) == [4, 5]
    assert inbox.dropped is None


def test_the_lowest_dropped_sequence_counts() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 6, 7) is None
    assert delivered(inbox, 4, 5) is None
    assert inbox.dropped == 4
    assert delivered(inbox, 4, 5, 6) is None
    assert delivered(inbox, 8, 9) is None
    assert inbox.dropped == 4


def test_what_was_known_of_a_dropped_list_does_not_count() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 2, 3, 4, 5) is None
    assert inbox.dropped == 4


def test_a_dropped_list_without_sequences_is_known_by_its_end() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3, 4)
    assert inbox.on_list(the_list(last=9, skipped=(BadPacket(error=PacketError("broken")),))) is None
    assert inbox.dropped == 9
    assert delivered(inbox, 10) is None


def test_repeats_need_no_room() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    assert delivered(inbox, 1, 2, 3) is None
    assert said(inbox) is None
    inbox.consumed(receipt)
    assert said(inbox) == 3


def test_repeats_need_no_room_even_when_more_is_in_hand_than_fits() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3, 4, 5, 6)
    assert delivered(inbox, 1, 2) is None
    assert inbox.dropped is None


def test_a_list_that_is_taken_answers_a_pull_and_one_that_is_dropped_does_not() -> None:
    inbox = small()
    assert not answered(inbox)
    deliver(inbox, 1, 2, 3, 4)
    assert answered(inbox)
    assert delivered(inbox, 5) is None
    answered(inbox)  # that was no pull's answer, as none had been sent
    assert delivered(inbox, 6) is None
    assert not answered(inbox)
    inbox.consumed(1)
    assert delivered(inbox, 5) == [5]
    assert answered(inbox)


def test_a_list_that_ends_before_the_drop_does_not_end_it() -> None:
    """A server may push what is new between the parts of its answer to PULL."""
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert delivered(inbox, 2, 3) is None
    assert inbox.dropped == 4
    assert inbox.wants_pull()
    assert delivered(inbox, 6) is None  # its acknowledgement would lose 4 and 5
    assert delivered(inbox, 4, 5) == [4, 5]
    assert delivered(inbox, 6) == [6]


def test_what_is_new_waits_until_all_has_come_that_was_dropped() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    for sequences in ((4, 5), (6, 7), (8,)):
        assert delivered(inbox, *sequences) is None
    inbox.consumed(receipt)
    assert said(inbox) == 3
    assert delivered(inbox, 4, 5) == [4, 5]
    assert delivered(inbox, 9) is None  # 6, 7 and 8 are still to come
    assert inbox.wants_pull()
    inbox.consumed(2)
    assert said(inbox) == 5
    assert delivered(inbox, 6, 7, 8) == [6, 7, 8]
    assert delivered(inbox, 10) is None
    inbox.consumed(3)
    assert said(inbox) == 8
    assert delivered(inbox, 9, 10) == [9, 10]
    assert inbox.dropped is None
    assert delivered(inbox, 11) == [11]


def test_what_goes_on_and_does_not_fit_is_where_it_goes_on_next() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    assert delivered(inbox, 6, 7) is None
    inbox.consumed(receipt)
    assert delivered(inbox, 4, 5) == [4, 5]
    assert delivered(inbox, 6, 7, 8) is None
    assert inbox.dropped == 6
    inbox.consumed(2)
    assert delivered(inbox, 7) is None
    assert delivered(inbox, 6, 7) == [6, 7]


def test_the_end_of_a_dropped_list_is_waited_for_when_its_beginning_comes_alone() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert delivered(inbox, 4) == [4]
    assert delivered(inbox, 6) is None  # its acknowledgement would lose 5
    assert delivered(inbox, 5) == [5]
    assert delivered(inbox, 6) == [6]


def test_repeats_that_reach_what_was_dropped_do_not_keep_what_is_before_them_from_being_acknowledged() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 1, 2, last=9) is None
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert said(inbox) == 3


def test_no_acknowledgement_reaches_what_was_dropped() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3, last=9)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert said(inbox) is None
    assert delivered(inbox, 4, 5) == [4, 5]
    inbox.consumed(2)
    assert said(inbox) == 5


def test_an_acknowledgement_that_would_just_reach_what_was_dropped_is_not_said() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3, last=4)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    assert said(inbox) is None


def test_a_list_that_begins_before_the_drop_and_does_not_fit_either_leaves_the_lowest() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    assert delivered(inbox, 3, 6, 7) is None
    assert inbox.dropped == 4


@pytest.mark.parametrize("last", [5, 9])
def test_an_acknowledgement_that_was_not_said_yet_does_not_reach_what_was_dropped_either(last: int) -> None:
    inbox = small()
    inbox.consumed(deliver(inbox, 1, last=last))
    deliver(inbox, 2, 3, 4)
    assert inbox.ack_due == last
    assert delivered(inbox, 5, 6) is None
    assert said(inbox) is None


def test_an_acknowledgement_below_what_was_dropped_stays_due() -> None:
    inbox = small()
    inbox.consumed(deliver(inbox, 1))
    deliver(inbox, 2, 3, 4)
    assert delivered(inbox, 5, 6) is None
    assert said(inbox) == 1


def test_what_was_left_is_pulled_at_the_low_mark() -> None:
    inbox = small()
    for sequence in (1, 2, 3, 4):
        deliver(inbox, sequence)
    assert delivered(inbox, 5) is None
    assert not inbox.wants_pull()
    inbox.consumed(1)
    assert not inbox.wants_pull()
    inbox.consumed(2)
    assert inbox.wants_pull()


def test_the_low_mark_counts_bytes_too() -> None:
    inbox = small()
    deliver(inbox, 1, size=6)
    assert delivered(inbox, 2, size=6) is None
    assert not inbox.wants_pull()
    inbox.consumed(1)
    assert inbox.wants_pull()


@pytest.mark.parametrize(("size", "low"), [(5, True), (6, False)])
def test_the_low_mark_itself_is_low(size: int, low: bool) -> None:
    inbox = small()
    deliver(inbox, 1, size=size)
    assert delivered(inbox, 2, size=6) is None
    assert inbox.wants_pull() is low


def test_without_a_drop_nothing_is_pulled() -> None:
    inbox = small()
    inbox.consumed(deliver(inbox, 1))
    assert not inbox.wants_pull()


def test_a_new_link_begins_afresh() -> None:
    inbox = small()
    receipt = deliver(inbox, 1, 2, 3)
    assert delivered(inbox, 4, 5) is None
    inbox.consumed(receipt)
    inbox.on_bound()
    assert not inbox.wants_pull()
    assert delivered(inbox, 6) == [6]


def test_what_cannot_be_read_takes_room_for_all_its_bytes() -> None:
    inbox = small(high_messages=1000, high_bytes=1000)
    deliver(inbox, 1)
    assert (
        delivered(inbox, 2, size=10, skipped=(Packet(sequence=3, body=UnknownBody(type=77, payload=bytes(1000))),))
        is None
    )
    assert delivered(inbox, 2, skipped=(message(2, payload=bytes(1000)),)) is None
    assert delivered(inbox, 2, skipped=(BadPacket(error=PacketError("broken"), packet_id="i" * 1001),)) is None
    assert delivered(inbox, 2, skipped=(BadPacket(error=PacketError("broken")),)) == [2]


def test_unconfirmed_sequences_are_bounded_as_well() -> None:
    inbox = make(remembered=1, max_remembered=3)
    for sequence in (1, 2, 3, 4):
        inbox.consumed(deliver(inbox, sequence))
    assert delivered(inbox, 5) is None
    assert inbox.wants_pull()
    inbox.seen.confirm(4)
    assert delivered(inbox, 5) == [5]


# ------------------------------------------------------------------------------------------------------ live messages


def test_live_messages_are_delivered_with_a_receipt_that_acknowledges_nothing() -> None:
    inbox = make()
    assert inbox.on_live((online(), online())) == MessagesDelivered(receipt=1, messages=(online(), online()))
    inbox.consumed(1)
    assert said(inbox) is None


def test_live_messages_hold_no_acknowledgement_up() -> None:
    inbox = make()
    inbox.on_live((online(),))
    inbox.consumed(deliver(inbox, 1))
    assert said(inbox) == 1


@pytest.mark.parametrize(("count", "size"), [(4, 0), (1, 11)], ids=["messages", "bytes"])
def test_live_messages_over_the_mark_are_dropped(count: int, size: int) -> None:
    inbox = small()
    assert inbox.on_live((online(),)) is not None
    assert inbox.on_live((online(size),) * count) is None
    inbox.consumed(1)
    assert inbox.on_live((online(size),) * count) is not None


def test_live_messages_that_wait_count_with_all_their_bytes() -> None:
    inbox = small()
    assert inbox.on_live((online(6),)) is not None
    assert inbox.on_live((online(5),)) is None
    assert inbox.on_live((online(4),)) is not None


def test_live_messages_and_lists_do_not_take_each_others_room() -> None:
    inbox = small()
    deliver(inbox, 1, 2, 3, 4)
    assert inbox.on_live((online(),) * 4) is not None
    inbox.consumed(1)
    assert delivered(inbox, 5, 6, 7, 8) == [5, 6, 7, 8]


def test_what_the_application_has_in_hand_is_counted() -> None:
    inbox = small()
    deliver(inbox, 1, 2)
    inbox.on_live((online(),))
    assert inbox.in_hand == 3
    inbox.consumed(1)
    inbox.consumed(2)
    assert inbox.in_hand == 0

"""The inbox against servers: an honest one that ignores how much waits here, and one that says anything at all.

Laws: each message is delivered at most once, and exactly once in the end; no acknowledgement covers what the
application did not finish or what was dropped; what the application has in its hands stays within the marks.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.links import message

from mimc_proto.config import SessionConfig
from mimc_proto.events import LimitReached, MessagesReceived
from mimc_proto.session.events import MessagesDelivered, TooManyWaiting
from mimc_proto.session.inbox import Inbox

HIGH, HIGH_BYTES = 5, 12
CONFIG = SessionConfig(
    high_messages=HIGH, high_bytes=HIGH_BYTES, low_messages=2, low_bytes=4, remembered=2, max_remembered=40
)


def fits(hands: list[dict[int, int]]) -> bool:
    """Whether what lists left in the application's hands is within the marks."""
    count, size = sum(map(len, hands)), sum(sum(items.values()) for items in hands)
    return len(hands) <= 1 or (count <= HIGH and size <= HIGH_BYTES)


class HonestServer(RuleBasedStateMachine):
    """Pushes from its cursor on, as fast as it likes; a PULL or a new link sets it back to the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox(CONFIG)
        self.stored: dict[int, int] = {}  # sequence: size
        self.cursor = self.pushed = 0
        self.noticed = False  # it sends no list until the notice is answered
        self.on_the_way: deque[MessagesReceived | LimitReached | int] = deque()  # a number: what it confirms
        self.hands: dict[int, dict[int, int]] = {}  # receipt: sequences and sizes
        self.notices: dict[int, int] = {}  # receipt: last sequence
        self.delivered: set[int] = set()
        self.finished: set[int] = set()
        self.skipped = 0

    @rule(gap=st.integers(1, 3), size=st.integers(0, 5))
    def store(self, gap: int, size: int) -> None:
        """Somebody sent the user a message."""
        self.stored[max(self.stored, default=0) + gap] = size

    @precondition(lambda self: not self.noticed)
    @rule(most=st.integers(1, 7))
    def push(self, most: int) -> None:
        """The next list goes out."""
        waiting = [sequence for sequence in self.stored if sequence > self.pushed][:most]
        if waiting:
            self.pushed = waiting[-1]
            packets = tuple(message(sequence, payload=bytes(self.stored[sequence])) for sequence in waiting)
            self.on_the_way.append(MessagesReceived(packets=packets, skipped=(), max_sequence=self.pushed))

    @precondition(lambda self: not self.noticed)
    @rule()
    def notice(self) -> None:
        """Too much waits: a notice goes out instead of lists."""
        waiting = [sequence for sequence in self.stored if sequence > self.cursor]
        if waiting:
            self.noticed = True
            self.on_the_way.append(LimitReached(min_sequence=waiting[0], max_sequence=waiting[-1]))

    @precondition(lambda self: self.on_the_way)
    @rule()
    def arrive(self) -> None:
        """What was sent first arrives first."""
        event = self.on_the_way.popleft()
        if isinstance(event, int):
            self.inbox.seen.confirm(event)
            return
        if isinstance(event, LimitReached):
            notice = self.inbox.on_limit(event)
            if notice is not None:
                self.notices[notice.receipt] = notice.max_sequence
            return
        result = self.inbox.on_list(event)
        if result is not None:
            sequences = [item.sequence for item in result.messages]  # type: ignore[union-attr]
            assert sequences == sorted(sequences)
            assert not self.delivered.intersection(sequences)
            self.delivered.update(sequences)
            self.hands[result.receipt] = {sequence: self.stored[sequence] for sequence in sequences}

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def consume(self, data: st.DataObject) -> None:
        """In any order."""
        receipt = data.draw(st.sampled_from(sorted(self.hands)))
        self.inbox.consumed(receipt)
        self.finished.update(self.hands.pop(receipt))

    @precondition(lambda self: self.notices)
    @rule(skip=st.booleans())
    def answer_notice(self, skip: bool) -> None:
        """Skip it, or want what it speaks of."""
        receipt, last = self.notices.popitem()
        self.inbox.consumed(receipt, skip=skip)
        if skip:
            self.skipped = max(self.skipped, last)

    @precondition(lambda self: self.inbox.ack_due is not None)
    @rule(lost=st.booleans(), confirmed=st.booleans())
    def acknowledge(self, lost: bool, confirmed: bool) -> None:
        """SEQUENCE_ACK goes out, and is lost with its link or not; the answer to a later request comes in its turn."""
        due, self.inbox.ack_due = self.inbox.ack_due, None
        assert due is not None
        if lost:
            self.reconnect()
            return
        self.cursor = max(self.cursor, due)
        self.pushed = max(self.pushed, self.cursor)
        self.noticed = False
        if confirmed:
            self.on_the_way.append(due)

    @precondition(lambda self: self.inbox.wants_pull())
    @rule()
    def pull(self) -> None:
        """PULL goes out."""
        self.inbox.pull_due = False
        self.pushed, self.noticed = self.cursor, False

    @rule()
    def reconnect(self) -> None:
        """A new link: what was on its way is lost."""
        self.on_the_way.clear()
        self.pushed, self.noticed = self.cursor, False
        self.inbox.on_bound()

    @invariant()
    def nothing_unfinished_is_acknowledged(self) -> None:
        """What the server may forget is finished, or was skipped on purpose."""
        for sequence in self.stored:
            if sequence <= max(self.cursor, self.inbox.ack_due or 0):
                assert sequence in self.finished or sequence <= self.skipped, sequence

    @invariant()
    def the_marks_hold(self) -> None:
        """Of messages and bytes; and what is kept of them is no more than there is."""
        assert fits([*self.hands.values()])
        assert len(self.inbox.seen.known) <= 40 + 7

    def teardown(self) -> None:
        """When the application goes on and the link holds, everything arrives, once."""
        for _ in range(4 * len(self.stored) + 20):
            while self.on_the_way:
                self.arrive()
            for receipt in sorted(self.hands):
                self.inbox.consumed(receipt)
                self.finished.update(self.hands.pop(receipt))
            if self.notices:
                self.inbox.consumed(self.notices.popitem()[0])
            if self.inbox.ack_due is not None:
                self.acknowledge(lost=False, confirmed=True)
            if self.inbox.wants_pull():
                self.pull()
            if not self.noticed:
                self.push(3)
            self.nothing_unfinished_is_acknowledged()
        assert all(sequence in self.finished or sequence <= self.skipped for sequence in self.stored)
        assert self.cursor == max(self.stored, default=0)


TestHonestServer = HonestServer.TestCase
TestHonestServer.settings = settings(stateful_step_count=60, deadline=None)


SEQUENCES = st.integers(1, 25)
LISTS = st.tuples(st.sets(SEQUENCES, max_size=7), SEQUENCES, st.integers(0, 4))
STEPS = st.one_of(
    st.tuples(st.just("list"), LISTS),
    st.tuples(st.just("limit"), SEQUENCES),
    st.tuples(st.just("consume"), st.integers(0, 5)),
    st.tuples(st.just("skip"), st.integers(0, 5)),
    st.tuples(st.just("say"), st.none()),
    st.tuples(st.just("bound"), st.none()),
)


class Reference:
    """The receipts in their order, as plainly as can be."""

    def __init__(self) -> None:
        self.order: list[list[Any]] = []  # [receipt, last sequence, is a notice, open]
        self.delivered: set[int] = set()
        self.hands: dict[int, dict[int, int]] = {}
        self.may_say = 0  # the most that may be acknowledged

    def finish(self, receipt: int, skip: bool, dropped: int | None) -> None:
        """Also says how far all before is finished, without a gap."""
        self.hands.pop(receipt, None)
        for row in self.order:
            if row[0] == receipt:
                row[3] = False
                row[2] = row[2] and not skip
        self.advance(dropped)

    def advance(self, dropped: int | None) -> None:
        """What was dropped there, and what is behind it, comes again."""
        while self.order and not self.order[0][3]:
            _, last, is_notice, _ = self.order.pop(0)
            if not is_notice and (dropped is None or last < dropped):
                self.may_say = max(self.may_say, last)


@given(st.lists(STEPS, max_size=60))
@example([("list", ({1}, 1, 0)), ("list", ({3, 4, 5, 6, 7}, 1, 0)), ("list", (set(), 2, 0)), ("consume", 0)])
def test_whatever_a_server_says_nothing_comes_twice_nothing_is_said_too_early_and_memory_is_bounded(
    steps: list[tuple[str, Any]],
) -> None:
    inbox, model = Inbox(CONFIG), Reference()
    for step, value in steps:
        if step == "list":
            sequences, last, size = value
            packets = tuple(message(sequence, payload=bytes(size)) for sequence in sorted(sequences))
            known, was_dropped = set(inbox.seen.known), inbox.dropped
            event: MessagesDelivered | TooManyWaiting | None
            event = inbox.on_list(MessagesReceived(packets=packets, skipped=(), max_sequence=last))
            if event is not None:
                fresh = {item.sequence: size for item in event.messages}  # type: ignore[union-attr]
                assert model.delivered.isdisjoint(fresh)
                assert was_dropped is None or min(sequences) <= was_dropped
                model.delivered.update(fresh)
                model.hands[event.receipt] = fresh
                model.order.append([event.receipt, last, False, True])
            elif sequences <= known and (was_dropped is None or min(sequences, default=last) <= was_dropped):
                model.order.append([None, last, False, False])  # it brought nothing new
                model.advance(inbox.dropped)
        elif step == "limit":
            event = inbox.on_limit(LimitReached(min_sequence=None, max_sequence=value))
            if event is not None:
                model.order.append([event.receipt, value, True, True])
        elif step in ("consume", "skip"):
            waiting = [row for row in model.order if row[3]]
            if waiting:
                row = waiting[value % len(waiting)]
                skip = step == "skip" and row[2]
                inbox.consumed(row[0], skip=skip)
                model.finish(row[0], skip, inbox.dropped)
        elif step == "say":
            inbox.ack_due = None
        else:
            inbox.on_bound()
        assert inbox.ack_due is None or inbox.ack_due <= model.may_say
        assert inbox.ack_due is None or inbox.dropped is None or inbox.ack_due < inbox.dropped
        assert fits([*model.hands.values()])
        assert len(inbox._order) <= 2 * len([row for row in model.order if row[0] is not None]) + 1

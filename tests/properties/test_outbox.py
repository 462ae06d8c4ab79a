"""The outbox against a plain model: one verdict for each send, first in first out, within its bounds and deadlines."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mimc_proto.config import Delivery, SessionConfig
from mimc_proto.errors import LocalProtocolError, QueueFull
from mimc_proto.packets import PacketAck
from mimc_proto.session.events import Acknowledged, Failed, FailReason, Rejected, Verdict
from mimc_proto.session.outbox import Kind, Outbox

MOST, MOST_BYTES = 12, 40


@dataclasses.dataclass
class Send:
    """What the model knows of one send."""

    deadline: float
    size: int
    waits: bool = True
    was_taken: bool = False


class OutboxMachine(RuleBasedStateMachine):
    """Every step is done to both; the model keeps sends in the order of their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.model: dict[str, Send] = {}
        self.accepted = self.verdicts = 0

    @initialize(delivery=st.sampled_from(Delivery))
    def begin(self, delivery: Delivery) -> None:
        """Small bounds, so that they are met."""
        self.again = delivery is Delivery.AT_LEAST_ONCE
        config = SessionConfig(max_pending=MOST, max_pending_bytes=MOST_BYTES, delivery=delivery)
        self.outbox = Outbox("me", config)

    def settle(self, verdicts: list[Failed], expected: list[str], reason: FailReason) -> None:
        assert [verdict.packet_id for verdict in verdicts] == expected
        for verdict in verdicts:
            send = self.model.pop(verdict.packet_id)  # KeyError: a second verdict
            assert verdict.reason is reason
            assert verdict.may_have_arrived is send.was_taken
        self.verdicts += len(verdicts)

    @rule(given=st.none() | st.sampled_from("abcdef"), size=st.integers(0, 12), patience=st.integers(1, 30))
    def send(self, given: str | None, size: int, patience: int) -> None:
        """Queue one, with an id of its own or a made one."""
        deadline = self.now + patience
        full = len(self.model) >= MOST or sum(send.size for send in self.model.values()) + size > MOST_BYTES
        assert self.outbox.full(size) is full
        try:
            packet_id = self.outbox.add(Kind.P2P, b"bob", bytes(size), True, None, given, deadline)
        except QueueFull:
            assert full
        except LocalProtocolError:
            assert given in self.model
        else:
            assert not full
            assert packet_id not in self.model
            assert given in (None, packet_id)
            self.model[packet_id] = Send(deadline, size)
            self.accepted += 1

    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        """The link encodes a few."""
        expected = [packet_id for packet_id, send in self.model.items() if send.waits][:count]
        taken: list[str] = []
        while self.outbox.queue and len(taken) < count:
            packet_id, item = self.outbox.queue.popitem(last=False)
            item.taken = True
            taken.append(packet_id)
        assert taken == expected
        for packet_id in taken:
            self.model[packet_id].waits, self.model[packet_id].was_taken = False, True

    @rule(data=st.data(), code=st.sampled_from([None, 0, 5, 100]))
    def ack(self, data: st.DataObject, code: int | None) -> None:
        """An ack of something, or of nothing."""
        packet_id = data.draw(st.sampled_from([*self.model, "stranger"]))
        verdict: Verdict | None = self.outbox.acknowledged(PacketAck(packet_id=packet_id, code=code))
        send = self.model.get(packet_id)
        if send is None or not send.was_taken:
            assert verdict is None
        else:
            assert type(verdict) is (Rejected if code == 5 else Acknowledged)
            assert verdict.packet_id == packet_id
            del self.model[packet_id]
            self.verdicts += 1

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Take one back."""
        packet_id = data.draw(st.sampled_from([*self.model]))
        verdict = self.outbox.withdraw(packet_id)
        if self.model[packet_id].waits:
            assert verdict is not None
            self.settle([verdict], [packet_id], FailReason.WITHDRAWN)
        else:
            assert verdict is None

    @rule(seconds=st.integers(0, 8))
    def time_passes(self, seconds: int) -> None:
        """Exactly those whose deadline has passed fail, the earliest first."""
        self.now += seconds
        verdicts = self.outbox.overdue(self.now)
        deadlines = [self.model[verdict.packet_id].deadline for verdict in verdicts]
        assert deadlines == sorted(deadlines)
        overdue = {packet_id for packet_id, send in self.model.items() if send.deadline <= self.now}
        assert {verdict.packet_id for verdict in verdicts} == overdue
        self.settle(verdicts, [verdict.packet_id for verdict in verdicts], FailReason.TIMEOUT)

    @rule()
    def lose_link(self) -> None:
        """What was taken fails or waits again, in its old place."""
        taken = [packet_id for packet_id, send in self.model.items() if not send.waits]
        verdicts = self.outbox.link_lost()
        if self.again:
            assert verdicts == []
            for packet_id in taken:
                self.model[packet_id].waits = True
        else:
            self.settle(verdicts, taken, FailReason.LINK_LOST)

    @invariant()
    def they_agree(self) -> None:
        """Queue, number and next deadline; and nothing settled is kept for long."""
        assert list(self.outbox.queue) == [packet_id for packet_id, send in self.model.items() if send.waits]
        assert len(self.outbox) == len(self.model) <= MOST
        assert self.outbox.deadline() == min((send.deadline for send in self.model.values()), default=None)
        assert len(self.outbox._timeline) + len(self.outbox._heap) <= 2 * MOST + 66

    def teardown(self) -> None:
        """The end gives what is left its verdict."""
        self.settle(self.outbox.end(FailReason.CLOSED), list(self.model), FailReason.CLOSED)
        assert self.verdicts == self.accepted
        assert (len(self.outbox), self.outbox.deadline(), list(self.outbox.queue)) == (0, None, [])


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("delivery", Delivery, ids=lambda delivery: delivery.value)
def test_ten_thousand_sends_cost_no_more_memory_than_those_that_wait(delivery: Delivery) -> None:
    outbox = Outbox("me", SessionConfig(delivery=delivery))
    for number in range(10_000):
        packet_id = outbox.add(Kind.P2P, b"bob", b"", True, None, None, 1e6 - number % 7)
        outbox.queue.popitem(last=False)[1].taken = True
        assert isinstance(outbox.acknowledged(PacketAck(packet_id=packet_id, code=0)), Acknowledged)
    assert len(outbox._timeline) + len(outbox._heap) <= 66

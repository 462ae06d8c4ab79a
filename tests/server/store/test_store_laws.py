"""The laws of the store contract, against a model of a few lines, whatever happens in whatever order."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mimc_server.store import Kind, NewMessage, Refused, StoreConfig, Stored
from support.store_bed import DAY, STORES, Bed

WEEK = 7 * DAY
ACCOUNTS = ("alice", "bob", "carol")  # few, so that much meets
RESOURCES = ("phone", "pad")

accounts = st.sampled_from(ACCOUNTS)
resources = st.sampled_from(RESOURCES)
repeated = st.booleans()
durations = st.sampled_from([0, 1, 5, 1_000, DAY // 2, DAY, DAY + 1, 3 * DAY, WEEK, WEEK + 1])
kinds = st.sampled_from([Kind.P2P, Kind.P2P, Kind.P2T, Kind.UNLIMITED, Kind.ONLINE])


@dataclasses.dataclass
class Session:
    """A resource as the model knows it."""

    epoch: int
    position: int
    live: bool = True
    idle_since: int = 0


@dataclasses.dataclass
class Entry:
    """A message that was stored."""

    message: NewMessage
    answer: Stored


class StoreLaws(RuleBasedStateMachine):
    """Three users, one group of each kind."""

    make_bed: ClassVar[Any]

    @initialize()
    def start(self) -> None:
        self.bed: Bed = type(self).make_bed()
        self.groups = {
            Kind.P2T: self.bed.group(*ACCOUNTS).topic_id,
            Kind.UNLIMITED: self.bed.group(*ACCOUNTS, unlimited=True).topic_id,
        }
        self.last_sequence = 0
        self.inboxes: dict[str, list[Entry]] = {account: [] for account in ACCOUNTS}
        self.stored: list[Entry] = []
        self.sessions: dict[tuple[str, str], Session] = {}
        self.unswept: list[tuple[str, int]] = []  # owners and positions of cursors that expired since the last sweep
        self.old_epochs: list[tuple[str, str, int]] = []
        self.floors = dict.fromkeys(ACCOUNTS, 0)  # positions
        self.blocked: set[tuple[str, str]] = set()
        for account in ACCOUNTS:
            self.claim(account, "phone")

    # ---- the model

    def forget_idle(self) -> None:
        for key, session in list(self.sessions.items()):
            if not session.live and session.idle_since + WEEK <= self.bed.now:
                del self.sessions[key]
                self.old_epochs.append((*key, session.epoch))
                self.unswept.append((key[0], session.position))

    def expected_start(self, account: str) -> int:
        too_old = sum(self.age(entry) > WEEK for entry in self.inboxes[account])
        return max(self.floors[account], too_old)

    def age(self, entry: Entry) -> int:
        return self.bed.now - (entry.answer.sequence - 1) // 10_000

    def first_of(self, message: NewMessage) -> Stored | None:
        """What a repeat has to be answered with."""
        for entry in reversed(self.stored):
            if entry.message.replace(epoch=0) == message.replace(epoch=0) and self.age(entry) <= DAY:
                return entry.answer.replace(deliveries=(), repeated=True)
        return None

    def receivers(self, message: NewMessage) -> set[str]:
        if message.kind is Kind.P2P:
            return {str(message.target)}
        return set(ACCOUNTS) - {message.sender.account} if message.kind is Kind.P2T else set()

    def check_answer(self, message: NewMessage, answer: Stored | Refused) -> None:
        key = (message.sender.account, message.resource)
        current = self.sessions.get(key)
        if message.epoch and (current is None or current.epoch != message.epoch):
            assert isinstance(answer, Refused)
            return
        first = None if message.kind is Kind.ONLINE else self.first_of(message)
        if first is not None:
            assert answer == first, "a repeat is answered as the first was"
            return
        if message.kind in (Kind.P2P, Kind.ONLINE) and (message.target, message.sender.account) in self.blocked:
            assert isinstance(answer, Refused)
            return
        assert isinstance(answer, Stored), answer
        self.check_stored(message, answer)

    def check_stored(self, message: NewMessage, answer: Stored) -> None:
        assert answer.sequence == max(self.last_sequence + 1, self.bed.now * 10_000 + 1), "unique and rising"
        self.last_sequence = answer.sequence
        entry = Entry(message, answer)
        if message.kind is Kind.ONLINE:
            return
        self.stored.append(entry)
        same = [other for other in self.stored if self.conversation(other) == self.conversation(entry)]
        assert answer.conv_index == len(same), "dense in its conversation"
        expected = {}
        for account in self.receivers(message):
            self.inboxes[account].append(entry)
            expected[self.bed.uuid(account)] = len(self.inboxes[account])
        found = {delivery.receiver: delivery.position for delivery in answer.deliveries}
        assert found == expected, "in all inboxes, at dense positions"

    @staticmethod
    def conversation(entry: Entry) -> object:
        message = entry.message
        if message.kind is Kind.P2P:
            return frozenset((message.sender.account, message.target))
        return message.target

    # ---- what may happen

    @rule(account=accounts, resource=resources)
    def claim(self, account: str, resource: str) -> None:
        self.forget_idle()
        old = self.sessions.get((account, resource))
        claim = self.bed.login(account, resource)
        if old:
            self.old_epochs.append((account, resource, old.epoch))
            assert claim.position == old.position, "a cursor stays where it is"
        else:
            assert claim.position == self.expected_start(account)
        assert claim.epoch > max((old[2] for old in self.old_epochs), default=0)
        self.sessions[account, resource] = Session(claim.epoch, claim.position)

    @rule(account=accounts, resource=resources)
    def release(self, account: str, resource: str) -> None:
        self.forget_idle()
        session = self.sessions.get((account, resource))
        if session:
            self.bed.logout(account, resource)
            if session.live:
                session.live, session.idle_since = False, self.bed.now

    @rule(data=st.data(), count=st.integers(0, 5))
    def append(self, data: st.DataObject, count: int) -> None:
        batch = [self.draw_message(data) for _ in range(count)]
        if data.draw(repeated) and batch:
            batch.append(batch[0])
        answers = self.bed.append(*batch)
        self.forget_idle()
        assert len(answers) == len(batch)
        for message, answer in zip(batch, answers, strict=True):
            self.check_answer(message, answer)

    def draw_message(self, data: st.DataObject) -> NewMessage:
        if data.draw(repeated) and self.stored:
            return data.draw(st.sampled_from(self.stored)).message
        sender, kind = data.draw(accounts), data.draw(kinds)
        sessions = [0, *(s.epoch for (a, r), s in self.sessions.items() if (a, r) == (sender, "phone"))]
        old = [epoch for a, r, epoch in self.old_epochs if (a, r) == (sender, "phone")]
        return self.bed.message(
            sender,
            self.groups.get(kind) or data.draw(accounts),
            data.draw(st.binary(max_size=3)),
            kind=kind,
            epoch=data.draw(st.sampled_from(sessions + old)),
            is_store=data.draw(st.booleans()),
        )

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.forget_idle()
        if not self.sessions:
            return
        account, resource = data.draw(st.sampled_from(sorted(self.sessions)))
        session = self.sessions[account, resource]
        inbox = self.inboxes[account]
        known = [entry.answer.sequence for entry in inbox]
        sequence = data.draw(st.sampled_from([0, self.last_sequence, 1 << 62, *known]))
        sequence += data.draw(st.sampled_from([-1, 0, 0, 0, 1]))
        reached = sum(one <= sequence for one in known)
        position = self.bed.ack(account, sequence, resource)
        assert position is not None
        assert position >= session.position, "never back"
        # What was removed for its age counts as acknowledged as soon as anything is.
        too_old = sum(self.age(entry) > WEEK for entry in inbox)
        assert max(session.position, reached) <= position <= max(session.position, reached, too_old)
        session.position = position
        self.floors[account] = max(self.floors[account], position)

    @rule(data=st.data())
    def acknowledge_for_an_old_session(self, data: st.DataObject) -> None:
        if self.old_epochs:
            account, resource, epoch = data.draw(st.sampled_from(self.old_epochs))
            assert self.bed.ack(account, self.last_sequence, resource, epoch=epoch) is None

    @rule(one=accounts, other=accounts)
    def block_or_unblock(self, one: str, other: str) -> None:
        change = self.bed.store.unblock if (one, other) in self.blocked else self.bed.store.block
        change(self.bed.uuid(one), self.bed.uuid(other))
        self.blocked ^= {(one, other)}

    @rule(milliseconds=durations)
    def time_passes(self, milliseconds: int) -> None:
        self.bed.now += milliseconds

    @rule()
    def sweep(self) -> None:
        self.forget_idle()
        self.bed.store.sweep(self.bed.now)
        self.unswept.clear()
        for account in ACCOUNTS:
            assert all(self.bed.now - (found.sequence - 1) // 10_000 <= WEEK for found in self.bed.inbox(account))

    # ---- what always holds

    @invariant()
    def what_a_cursor_has_yet_to_pass_is_there(self) -> None:
        for account in ACCOUNTS:
            inbox = self.inboxes[account]
            found = {message.position: message for message in self.bed.inbox(account)}
            for position, message in found.items():
                entry = inbox[position - 1]
                assert message.sequence == entry.answer.sequence
                assert message.payload == entry.message.payload
            waiting = self.hindmost(account)
            unswept = [waiting, *(position for owner, position in self.unswept if owner == account)]
            for position, entry in enumerate(inbox, 1):
                if self.age(entry) <= WEEK and (position > waiting or entry.message.is_store):
                    assert position in found, "acknowledged to its sender, and gone"
                if position <= min(unswept) and not entry.message.is_store:
                    assert position not in found, "passed by all, and kept"

    def hindmost(self, account: str) -> int:
        """Up to here all live cursors have come; without any, a new one would begin here."""
        positions = [session.position for (owner, _), session in self.sessions.items() if owner == account]
        return min(positions, default=self.floors[account])

    @invariant()
    def the_end_is_the_newest(self) -> None:
        for account in ACCOUNTS:
            inbox = self.inboxes[account]
            newest = inbox[-1].answer.sequence if inbox else 0
            assert self.bed.store.inbox_end(self.bed.uuid(account)) == (len(inbox), newest)


@pytest.mark.parametrize("name", STORES)
def test_the_laws_hold(name: str) -> None:
    class Machine(StoreLaws):
        make_bed = staticmethod(lambda: Bed(STORES[name](StoreConfig())))

    run_state_machine_as_test(Machine, settings=settings(stateful_step_count=60))

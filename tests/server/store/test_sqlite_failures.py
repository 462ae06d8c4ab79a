"""An `SqliteStore` whose medium fails now and then does what a `MemoryStore` does without those calls that failed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mimc_server.store import (
    Acknowledgement,
    Conversation,
    Kind,
    MemoryStore,
    NewMessage,
    Store,
    StoreConfig,
    StoreError,
)
from support.store_bed import APP, DAY, NOON, sqlite_store

ACCOUNTS = ("alice", "bob", "carol")
Call = Callable[[Store], Any]
accounts = st.sampled_from(ACCOUNTS)
repeated = st.booleans()
resources = st.sampled_from(["phone", "pad"])
payloads = st.binary(max_size=2)
CONFIG = StoreConfig(max_repeats=5, max_resources=1, max_groups_of_user=3, max_conversations=4)


class Faulty:
    """A connection that fails after so many statements; None: never."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.left: int | None = None

    def _count(self, query: str) -> None:
        if self.left is not None and query != "ROLLBACK":
            self.left -= 1
            if self.left < 0:
                raise sqlite3.OperationalError("disk I/O error")

    def execute(self, query: str, *values: Any) -> Any:
        self._count(query)
        return self.connection.execute(query, *values)

    def executemany(self, query: str, *values: Any) -> Any:
        self._count(query)
        return self.connection.executemany(query, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


class Two(RuleBasedStateMachine):
    """The same calls for both stores."""

    @initialize()
    def start(self) -> None:
        self.now = NOON
        self.good: Store = MemoryStore(CONFIG)
        self.store = sqlite_store(CONFIG)
        self.medium = Faulty(self.store._connection)
        self.store._connection = self.store._repeats._connection = self.medium  # type: ignore[assignment]
        self.epochs: dict[tuple[int, str], int] = {}
        self.topics: dict[bool, int] = {}
        self.sent: list[NewMessage] = []
        for account in ACCOUNTS:
            self.both(self.user(account), None)
        for unlimited in (False, True):
            self.topics[unlimited] = self.both(self.group(unlimited), None).topic_id

    def user(self, account: str) -> Call:
        return lambda store: store.user(APP, account, self.now)

    def group(self, unlimited: bool) -> Call:
        return lambda store: self.make_group(store, unlimited)

    def make_group(self, store: Store, unlimited: bool) -> Any:
        uuids = [self.uuid(account) for account in ACCOUNTS]
        return store.create_group(APP, uuids[0], "a", uuids, self.now, unlimited=unlimited)

    def uuid(self, account: str) -> int:
        member = self.good.find_account(APP, account)
        assert member is not None
        return member.uuid

    def both(self, call: Call, fails_after: int | None) -> Any:
        """The answer of both, which is the same; or None, if the medium failed and nothing was changed."""
        self.medium.left = fails_after
        try:
            answer = call(self.store)
        except StoreError:
            assert (self.medium.left or 0) < 0
            return None
        finally:
            self.medium.left = None
        assert answer == call(self.good)
        return answer

    failures = st.none() | st.none() | st.integers(0, 25)

    @rule(account=accounts, resource=resources, fails=failures)
    def claim(self, account: str, resource: str, fails: int | None) -> None:
        uuid = self.uuid(account)
        claimed = self.both(lambda store: store.claim(uuid, resource, "n1", self.now), fails)
        if claimed is not None:
            self.epochs[uuid, resource] = claimed.epoch

    @rule(account=accounts, resource=resources, fails=failures)
    def release(self, account: str, resource: str, fails: int | None) -> None:
        uuid = self.uuid(account)
        self.both(lambda store: store.release(uuid, resource, self.epochs.get((uuid, resource), 1), self.now), fails)

    @rule(fails=failures)
    def release_node(self, fails: int | None) -> None:
        self.both(lambda store: store.release_node("n1", self.now), fails)

    @rule(data=st.data(), count=st.integers(1, 4), together=st.booleans(), fails=failures)
    def append(self, data: st.DataObject, count: int, together: bool, fails: int | None) -> None:
        batch = [self.draw_message(data) for _ in range(count)]

        def call(store: Store) -> Any:
            if not together:
                return store.append(batch, self.now)
            with store.transaction():
                return [store.append([message], self.now) for message in batch]

        if self.both(call, fails) is not None:
            self.sent += batch

    def draw_message(self, data: st.DataObject) -> NewMessage:
        if data.draw(repeated) and self.sent:
            return data.draw(st.sampled_from(self.sent))
        kind = data.draw(st.sampled_from([Kind.P2P, Kind.P2P, Kind.P2T, Kind.UNLIMITED, Kind.ONLINE]))
        sender = data.draw(accounts)
        of_group = kind in (Kind.P2T, Kind.UNLIMITED)
        return NewMessage(
            app_id=APP,
            sender=self.good.user(APP, sender, self.now),
            resource="phone",
            epoch=data.draw(st.sampled_from([0, self.epochs.get((self.uuid(sender), "phone"), 7)])),
            packet_id=str(len(self.sent)),
            kind=kind,
            target=self.topics[kind is Kind.UNLIMITED] if of_group else data.draw(accounts),
            payload=data.draw(payloads),
            biz_type=None,
            is_store=data.draw(st.booleans()),
        )

    @rule(data=st.data(), account=accounts, resource=resources, fails=failures)
    def acknowledge(self, data: st.DataObject, account: str, resource: str, fails: int | None) -> None:
        uuid = self.uuid(account)
        known = [message.sequence for message in self.good.read_inbox(uuid, 0, 1000, 1 << 30).messages]
        sequence = data.draw(st.sampled_from([0, 1 << 62, *known])) + data.draw(st.sampled_from([-1, 0, 1]))
        epoch = self.epochs.get((uuid, resource), 1)
        ack = Acknowledgement(uuid=uuid, resource=resource, epoch=epoch, sequence=sequence)
        self.both(lambda store: store.acknowledge([ack], self.now), fails)

    @rule(one=accounts, other=accounts, blocks=st.booleans(), fails=failures)
    def block(self, one: str, other: str, blocks: bool, fails: int | None) -> None:
        uuids = self.uuid(one), self.uuid(other)
        self.both(lambda store: store.block(*uuids) if blocks else store.unblock(*uuids), fails)

    @rule(account=accounts, unlimited=st.booleans(), joins=st.booleans(), fails=failures)
    def change_group(self, account: str, unlimited: bool, joins: bool, fails: int | None) -> None:
        topic, uuid = self.topics[unlimited], self.uuid(account)

        def call(store: Store) -> Any:
            change = store.add_members if joins else store.remove_members
            return change(topic, [uuid], unlimited=unlimited)

        self.both(call, fails)

    @rule(unlimited=st.booleans(), fails=failures)
    def begin_groups_anew(self, unlimited: bool, fails: int | None) -> None:
        topic = self.topics[unlimited]
        if self.both(lambda store: store.dismiss_group(topic, unlimited=unlimited), fails):
            self.topics[unlimited] = self.both(self.group(unlimited), None).topic_id

    @rule(milliseconds=st.sampled_from([0, 1, 1000, DAY, 3 * DAY, 7 * DAY + 1]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(fails=failures)
    def sweep(self, fails: int | None) -> None:
        self.both(lambda store: store.sweep(self.now), fails)

    @rule()
    def begin_anew_from_the_file(self) -> None:
        self.store._undo()

    @invariant()
    def both_show_the_same(self) -> None:
        for account in ACCOUNTS:
            uuid = self.uuid(account)
            assert self.store.inbox_end(uuid) == self.good.inbox_end(uuid)
            for after in (0, 2):
                for most in (1, 3, 1000):
                    page = self.store.read_inbox(uuid, after, most, 1 << 30)
                    assert page == self.good.read_inbox(uuid, after, most, 1 << 30)
            for unlimited in (False, True):
                groups = self.store.groups_of(APP, uuid, unlimited=unlimited)
                assert groups == self.good.groups_of(APP, uuid, unlimited=unlimited)

    @invariant()
    def both_have_the_same_histories(self) -> None:
        one, other = self.uuid("alice"), self.uuid("bob")
        kinds = (Kind.P2P, one, other), (Kind.P2T, self.topics[False], 0), (Kind.UNLIMITED, self.topics[True], 0)
        for kind, first, second in kinds:
            conversation = Conversation(app_id=APP, kind=kind, one=first, other=second)
            shown = self.store.history(conversation, 0, 1 << 62, 1000)
            assert shown == self.good.history(conversation, 0, 1 << 62, 1000)


def test_whatever_fails_whenever_it_is_as_if_it_had_not_been_asked() -> None:
    run_state_machine_as_test(Two, settings=settings(stateful_step_count=40))

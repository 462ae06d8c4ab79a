"""The stores that there are, and short words for what the tests of their contract do."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mimc_server.store import (
    Acknowledgement,
    Appended,
    Claim,
    Group,
    InboxMessage,
    Kind,
    Member,
    MemoryStore,
    NewMessage,
    Refused,
    SqliteStore,
    Store,
    StoreConfig,
    Stored,
)

__all__ = ["APP", "DAY", "NOON", "STORES", "Bed", "makes"]


def sqlite_store(config: StoreConfig) -> SqliteStore:
    """One in a folder that lives as long as it."""
    folder = tempfile.TemporaryDirectory(prefix="mimc-store-")
    store = SqliteStore(Path(folder.name, "store.db"), config)
    weakref.finalize(store, folder.cleanup)
    return store


STORES: dict[str, Callable[[StoreConfig], Store]] = {"memory": MemoryStore, "sqlite": sqlite_store}
"""Every store that the tests of the contract are run on."""


@contextlib.contextmanager
def makes(kind: str) -> Iterator[Callable[[StoreConfig], Store]]:
    """What makes stores of a kind; they are closed at the end."""
    with contextlib.ExitStack() as ends:

        def make(config: StoreConfig) -> Store:
            store = STORES[kind](config)
            ends.callback(store.close)
            return store

        yield make


APP = 2882303761517613988
NOON = 1_700_049_600_000
"""Where the clock of a bed starts, Unix milliseconds."""
DAY = 86_400_000
"""In milliseconds."""


class Bed:
    """A store with a clock. Users are named by their accounts; sessions are on resource "phone" if not said."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self._packets = 0
        self._epochs: dict[tuple[str, str], int] = {}

    def user(self, account: str, app_id: int = APP) -> Member:
        return self.store.user(app_id, account, self.now)

    def uuid(self, account: str) -> int:
        return self.user(account).uuid

    def login(self, account: str, resource: str = "phone", node: str = "n1") -> Claim:
        claim = self.store.claim(self.uuid(account), resource, node, self.now)
        self._epochs[account, resource] = claim.epoch
        return claim

    def logout(self, account: str, resource: str = "phone") -> None:
        self.store.release(self.uuid(account), resource, self._epochs[account, resource], self.now)

    def ack(self, account: str, sequence: int, resource: str = "phone", epoch: int | None = None) -> int | None:
        used = self._epochs[account, resource] if epoch is None else epoch
        ack = Acknowledgement(uuid=self.uuid(account), resource=resource, epoch=used, sequence=sequence)
        [position] = self.store.acknowledge([ack], self.now)
        return position

    def message(self, sender: str, target: str | int, payload: bytes = b"hi", /, **changes: Any) -> NewMessage:
        """P2P to an account, P2T to an id; sent without a session."""
        self._packets += 1
        message = NewMessage(
            app_id=APP,
            sender=self.user(sender),
            resource="phone",
            epoch=0,
            packet_id=f"packet_{self._packets}",
            kind=Kind.P2P if isinstance(target, str) else Kind.P2T,
            target=target,
            payload=payload,
            biz_type=None,
            is_store=True,
        )
        return message.replace(**changes)

    def append(self, *batch: NewMessage) -> Sequence[Appended]:
        return self.store.append(list(batch), self.now)

    def append_one(self, message: NewMessage) -> Stored:
        [stored] = self.append(message)
        assert isinstance(stored, Stored), stored
        return stored

    def send(self, sender: str, target: str | int, payload: bytes = b"hi", /, **changes: Any) -> Stored:
        return self.append_one(self.message(sender, target, payload, **changes))

    def refusal(self, message: NewMessage) -> Refused:
        [refused] = self.append(message)
        assert isinstance(refused, Refused), refused
        return refused

    def inbox(self, account: str, after: int = 0) -> tuple[InboxMessage, ...]:
        return self.store.read_inbox(self.uuid(account), after, 1_000_000, 1 << 40).messages

    def payloads(self, account: str, after: int = 0) -> list[bytes]:
        return [message.payload for message in self.inbox(account, after)]

    def group(self, owner: str, *members: str, unlimited: bool = False, name: str = "group") -> Group:
        uuids = [self.uuid(account) for account in members]
        group = self.store.create_group(APP, self.uuid(owner), name, uuids, self.now, unlimited=unlimited)
        assert isinstance(group, Group), group
        return group

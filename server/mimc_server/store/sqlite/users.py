"""Users: uuids, revoked tokens, blocks; and applications and settings, of which there are few."""

from __future__ import annotations

import os

from ...applications import Application
from ..config import StoreConfig
from ..contract import Member, StoreFull, UnknownUser
from .medium import Medium

__all__ = ["Cursor", "User", "Users"]

FIRST_UUID = 1_532_000_000_000_000
"""Official uuids have 16 digits; all that this store gives stay below 2**53 with any number of users it can hold."""

MOST_CACHED = 100_000
"""Users that are kept in memory; beyond it the older half is forgotten, and who is needed read again, which costs more
than a message."""

_COLUMNS = "uuid, app_id, account, floor, good_from, gone, gone_sequence"


class Cursor:
    """A resource's place in its user's inbox, and the session that holds it."""

    __slots__ = ("claimed", "epoch", "last_seen", "node", "position", "resource", "sequence")

    def __init__(
        self, resource: str, sequence: int, position: int, epoch: int, node: str, claimed: int, last_seen: int
    ) -> None:
        self.resource = resource
        self.sequence = sequence
        self.position = position
        self.epoch = epoch
        self.node = node
        self.claimed = claimed
        self.last_seen = last_seen


class User:
    """A user as the database has it. All positions of its inbox up to ``gone`` are removed, ``end`` is the newest one,
    and ``fleeting`` says how many messages in it are not to be stored. ``tail`` are the sequences of its newest
    positions, as far as they are known."""

    __slots__ = (
        "app_id",
        "blocked",
        "cursors",
        "end",
        "fleeting",
        "floor",
        "gone",
        "gone_sequence",
        "good_from",
        "member",
        "newest",
        "tail",
    )

    def __init__(
        self,
        uuid: int,
        app_id: int,
        account: str,
        floor: int = 0,
        good_from: int = 0,
        gone: int = 0,
        gone_sequence: int = 0,
    ) -> None:
        self.member = Member(uuid=uuid, account=account)
        self.app_id = app_id
        self.floor = floor
        self.good_from = good_from
        self.end = self.gone = gone
        self.newest = self.gone_sequence = gone_sequence
        self.fleeting = 0
        self.tail: list[int] = []
        self.blocked: set[int] | None = None
        self.cursors: dict[str, Cursor] | None = None


class Users(Medium):
    """The part of `Store` that is about users."""

    def __init__(self, path: str | os.PathLike[str], config: StoreConfig | None = None) -> None:
        self._users: dict[int, User] = {}
        self._accounts: dict[tuple[int, str], User] = {}
        self._user_count = -1
        super().__init__(path, config)

    def _forget(self) -> None:
        super()._forget()
        self._users.clear()
        self._accounts.clear()
        self._user_count = -1

    # ---- applications

    def put_application(self, application: Application) -> None:
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO application VALUES (?, ?, ?, ?)", tuple(application))

    def remove_application(self, app_id: int) -> bool:
        with self._writing():
            return self._connection.execute("DELETE FROM application WHERE app_id = ?", (app_id,)).rowcount > 0

    def applications(self) -> list[Application]:
        with self._reading():
            rows = self._connection.execute("SELECT * FROM application ORDER BY app_id").fetchall()
        return [
            Application(app_id=app_id, package=package, key_digest=key, secret_digest=secret)
            for app_id, package, key, secret in rows
        ]

    def setting(self, name: str) -> bytes | None:
        with self._reading():
            row = self._one("SELECT value FROM setting WHERE name = ?", name)
        return row and bytes(row[0])

    def put_setting(self, name: str, value: bytes) -> None:
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    # ---- users

    def user(self, app_id: int, account: str, wall_ms: int) -> Member:
        found = self._by_account(app_id, account)
        if found is None:
            with self._writing():
                found = self._new_user(app_id, account)
                if found is None:
                    raise StoreFull(f"there are {self._user_count} users already, which is StoreConfig.max_users")
        return found.member

    def find_user(self, app_id: int, uuid: int) -> Member | None:
        user = self._by_uuid(uuid)
        return user.member if user and user.app_id == app_id else None

    def find_account(self, app_id: int, account: str) -> Member | None:
        user = self._by_account(app_id, account)
        return user.member if user else None

    def users(self, app_id: int, after_uuid: int, most: int) -> list[Member]:
        query = "SELECT uuid, account FROM user WHERE app_id = ? AND uuid > ? ORDER BY uuid LIMIT ?"
        with self._reading():
            rows = self._connection.execute(query, (app_id, after_uuid, most)).fetchall()
        return [Member(uuid=uuid, account=account) for uuid, account in rows]

    def revoke_tokens(self, uuid: int, before_ms: int) -> None:
        with self._writing():
            user = self._known(uuid)
            if before_ms > user.good_from:
                self._connection.execute("UPDATE user SET good_from = ? WHERE uuid = ?", (before_ms, uuid))
                user.good_from = before_ms

    def tokens_good_from(self, uuid: int) -> int:
        user = self._by_uuid(uuid)
        return user.good_from if user else 0

    def block(self, uuid: int, blocked: int) -> None:
        with self._writing():
            user, other = self._known(uuid), self._known(blocked)
            self._connection.execute("INSERT OR IGNORE INTO block VALUES (?, ?)", (uuid, other.member.uuid))
            user.blocked = None

    def unblock(self, uuid: int, blocked: int) -> None:
        with self._writing():
            self._known(uuid).blocked = None
            self._connection.execute("DELETE FROM block WHERE uuid = ? AND blocked = ?", (uuid, blocked))

    def is_blocked(self, uuid: int, blocked: int) -> bool:
        user = self._by_uuid(uuid)
        return user is not None and blocked in self._blocked_by(user)

    # ---- inside

    def _by_uuid(self, uuid: int) -> User | None:
        user = self._users.get(uuid)
        if user is None and -(1 << 63) <= uuid < 1 << 63:
            with self._reading():
                user = self._loaded(self._one(f"SELECT {_COLUMNS} FROM user WHERE uuid = ?", uuid))
        return user

    def _by_account(self, app_id: int, account: str) -> User | None:
        user = self._accounts.get((app_id, account))
        if user is None:
            query = f"SELECT {_COLUMNS} FROM user WHERE app_id = ? AND account = ?"
            with self._reading():
                user = self._loaded(self._one(query, app_id, account))
        return user

    def _loaded(self, row: tuple[int, int, str, int, int, int, int] | None) -> User | None:
        if row is None:
            return None
        user = User(*row)
        last = self._one(
            "SELECT position, sequence FROM inbox WHERE receiver = ? ORDER BY position DESC LIMIT 1", row[0]
        )
        if last is not None:
            user.end, user.newest = last
            query = "SELECT count(*) FROM inbox WHERE receiver = ? AND fleeting = 1"
            user.fleeting = self._number(query, row[0])
        return self._keep(user)

    def _keep(self, user: User) -> User:
        self._users[user.member.uuid] = self._accounts[user.app_id, user.member.account] = user
        return user

    def _trim(self) -> None:
        """At the end of what may have read many users; nothing that was read before may be used after it."""
        if len(self._users) > MOST_CACHED:
            for uuid in list(self._users)[: MOST_CACHED // 2]:
                user = self._users.pop(uuid)
                del self._accounts[user.app_id, user.member.account]

    def _known(self, uuid: int) -> User:
        user = self._by_uuid(uuid)
        if user is None:
            raise UnknownUser(f"no user of this store has the uuid {uuid}: its token came from another one")
        return user

    def _blocked_by(self, user: User) -> set[int]:
        if user.blocked is None:
            with self._reading():
                rows = self._connection.execute("SELECT blocked FROM block WHERE uuid = ?", (user.member.uuid,))
                user.blocked = {blocked for (blocked,) in rows}
        return user.blocked

    def _new_user(self, app_id: int, account: str) -> User | None:
        """None if there is no room."""
        if self._user_count < 0:
            self._user_count = self._number("SELECT count(*) FROM user")
        if self._user_count >= self.config.max_users:
            return None
        uuid = FIRST_UUID + self._user_count
        self._connection.execute("INSERT INTO user (uuid, app_id, account) VALUES (?, ?, ?)", (uuid, app_id, account))
        self._user_count += 1
        return self._keep(User(uuid, app_id, account))

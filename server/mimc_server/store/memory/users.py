"""Users: uuids, revoked tokens, blocks; and what the layers above keep for each of them."""

from __future__ import annotations

from ..config import StoreConfig
from ..contract import Member, StoreFull, UnknownUser
from .inbox import Inbox

__all__ = ["Cursor", "User", "Users"]

FIRST_UUID = 1_532_000_000_000_000
"""Official uuids have 16 digits; all that this store gives stay below 2**53 with any number of users it can hold."""


class Cursor:
    """A resource's place in its user's inbox, and the session that holds it."""

    __slots__ = ("claimed", "epoch", "last_seen", "node", "position", "resource", "sequence", "user")

    def __init__(self, user: User, resource: str, sequence: int, position: int) -> None:
        self.user = user
        self.resource = resource
        self.sequence = sequence
        self.position = position
        self.epoch = 0
        self.node = ""
        self.claimed = False
        self.last_seen = 0


class User:
    """All that is kept of a user; ``floor`` is the highest sequence that any of its resources ever acknowledged."""

    __slots__ = ("app_id", "blocked", "cursors", "floor", "good_from", "groups", "inbox", "member")

    def __init__(self, app_id: int, member: Member) -> None:
        self.app_id = app_id
        self.member = member
        self.inbox = Inbox()
        self.cursors: dict[str, Cursor] = {}
        self.floor = 0
        self.good_from = 0
        self.blocked: set[int] = set()
        self.groups: dict[int, bool] = {}
        """Ids of the groups it is in, and whether they are unlimited."""


class Users:
    """The part of `Store` that is about users."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        self.config = config or StoreConfig()
        self._accounts: dict[tuple[int, str], User] = {}
        self._users: dict[int, User] = {}

    def user(self, app_id: int, account: str, wall_ms: int) -> Member:
        found = self._accounts.get((app_id, account)) or self._new_user(app_id, account)
        if found is None:
            raise StoreFull(f"there are {len(self._users)} users already, which is StoreConfig.max_users")
        return found.member

    def find_user(self, app_id: int, uuid: int) -> Member | None:
        user = self._users.get(uuid)
        return user.member if user and user.app_id == app_id else None

    def find_account(self, app_id: int, account: str) -> Member | None:
        user = self._accounts.get((app_id, account))
        return user.member if user else None

    def users(self, app_id: int, after_uuid: int, most: int) -> list[Member]:
        found: list[Member] = []
        for uuid in range(max(after_uuid + 1, FIRST_UUID), FIRST_UUID + len(self._users)):
            if len(found) >= most:
                break
            user = self._users[uuid]
            if user.app_id == app_id:
                found.append(user.member)
        return found

    def revoke_tokens(self, uuid: int, before_ms: int) -> None:
        user = self._known(uuid)
        user.good_from = max(user.good_from, before_ms)

    def tokens_good_from(self, uuid: int) -> int:
        user = self._users.get(uuid)
        return user.good_from if user else 0

    def block(self, uuid: int, blocked: int) -> None:
        self._known(uuid).blocked.add(self._known(blocked).member.uuid)

    def unblock(self, uuid: int, blocked: int) -> None:
        self._known(uuid).blocked.discard(blocked)

    def is_blocked(self, uuid: int, blocked: int) -> bool:
        user = self._users.get(uuid)
        return user is not None and blocked in user.blocked

    def _known(self, uuid: int) -> User:
        user = self._users.get(uuid)
        if user is None:
            raise UnknownUser(f"no user of this store has the uuid {uuid}: its token came from another one")
        return user

    def _new_user(self, app_id: int, account: str) -> User | None:
        """None if there is no room."""
        if len(self._users) >= self.config.max_users:
            return None
        user = User(app_id, Member(uuid=FIRST_UUID + len(self._users), account=account))
        self._accounts[app_id, account] = self._users[user.member.uuid] = user
        return user

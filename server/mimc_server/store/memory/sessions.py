"""Sessions, and the cursors that outlive them."""

from __future__ import annotations

from collections import OrderedDict

from ..config import StoreConfig
from ..contract import Claim
from .groups import Groups
from .log import Log
from .users import Cursor, User

__all__ = ["Sessions"]


class Sessions(Groups):
    """The part of `Store` that is about sessions."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        super().__init__(config)
        self._log = Log(self.config)
        self._last_epoch = 0  # one for all, so that an epoch stays the highest when its cursor is forgotten
        self._idle: OrderedDict[Cursor, None] = OrderedDict()  # without a session; the longest idle first

    def claim(self, uuid: int, resource: str, node: str, wall_ms: int) -> Claim:
        user = self._known(uuid)
        self._forget_idle(wall_ms)
        cursor = user.cursors.get(resource) or self._new_cursor(user, resource, wall_ms)
        previous = cursor.node if cursor.claimed else ""
        self._idle.pop(cursor, None)
        self._last_epoch += 1
        cursor.claimed, cursor.node, cursor.epoch, cursor.last_seen = True, node, self._last_epoch, wall_ms
        return Claim(epoch=cursor.epoch, sequence=cursor.sequence, position=cursor.position, previous_node=previous)

    def release(self, uuid: int, resource: str, epoch: int, wall_ms: int) -> None:
        self._forget_idle(wall_ms)
        cursor = self._held(uuid, resource, epoch)
        if cursor and cursor.claimed:
            self._let_go(cursor, wall_ms)

    def release_node(self, node: str, wall_ms: int) -> None:
        for user in self._users.values():
            for cursor in list(user.cursors.values()):
                if cursor.claimed and cursor.node == node:
                    self._let_go(cursor, wall_ms)

    def _held(self, uuid: int, resource: str, epoch: int) -> Cursor | None:
        """The cursor of a resource, if this is its epoch."""
        user = self._users.get(uuid)
        cursor = user.cursors.get(resource) if user else None
        return cursor if cursor and cursor.epoch == epoch else None

    def _new_cursor(self, user: User, resource: str, wall_ms: int) -> Cursor:
        inbox = user.inbox
        position = max(inbox.position_of(user.floor), inbox.position_before(self.config.horizon(wall_ms)))
        cursor = Cursor(user, resource, inbox.sequence_at(position), position)
        user.cursors[resource] = cursor
        self._pass(user)
        return cursor

    def _let_go(self, cursor: Cursor, wall_ms: int) -> None:
        cursor.claimed, cursor.last_seen = False, wall_ms
        self._idle[cursor] = None
        cursors = cursor.user.cursors.values()
        if len(cursors) > self.config.max_resources:
            idle = [other for other in cursors if not other.claimed]
            if len(idle) > self.config.max_resources:
                self._forget(min(idle, key=lambda other: (other.last_seen, other.epoch)))  # of a node many end at once

    def _forget_idle(self, wall_ms: int) -> None:
        latest = wall_ms - round(self.config.cursor_idle * 1000)
        while self._idle and (cursor := next(iter(self._idle))).last_seen <= latest:
            self._forget(cursor)

    def _forget(self, cursor: Cursor) -> None:
        self._idle.pop(cursor)
        del cursor.user.cursors[cursor.resource]
        self._pass(cursor.user)

    def _pass(self, user: User) -> None:
        """The hindmost cursor of a user may have moved: what all have passed is read."""
        inbox = user.inbox
        hindmost = min((cursor.position for cursor in user.cursors.values()), default=inbox.position_of(user.floor))
        if hindmost > inbox.passed:
            self._log.passed(inbox.pass_to(hindmost))

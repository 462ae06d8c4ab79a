"""Inboxes and the cursors in them: what is read, acknowledged, and removed because all have passed it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from ..contract import Acknowledgement, Claim, InboxMessage, InboxPage, Kind, Member
from .groups import Groups
from .users import Cursor, User

__all__ = ["TAIL", "Inboxes"]

TAIL = 1024
"""Positions of a user whose sequences are kept in memory: those that are delivered and not acknowledged, mostly."""

_PAGE = """
SELECT inbox.position, inbox.sequence, timestamp, conv_index, conversation.app_id, sender, sender_user.account,
       resource, packet_id, conversation.kind, one, payload, biz_type, kept
FROM inbox JOIN message ON message.id = inbox.message
JOIN conversation ON conversation.id = conversation JOIN user AS sender_user ON sender_user.uuid = sender
WHERE inbox.receiver = ? AND inbox.position > ? AND inbox.message IS NOT NULL ORDER BY inbox.position LIMIT ?
"""


class Inboxes(Groups):
    """The part of `Store` that is about reading, and about sessions."""

    _nothing_to_gain = False
    """Whether a search for messages that all have read found none, and none were read since."""

    def _forget(self) -> None:
        super()._forget()
        self._nothing_to_gain = False

    def read_inbox(self, receiver: int, after_position: int, max_messages: int, max_bytes: int) -> InboxPage:
        user = self._by_uuid(receiver)
        if user is None:
            return InboxPage(messages=(), examined=after_position, more=False)
        found: list[InboxMessage] = []
        room = max_bytes
        with self._reading():
            rows = self._connection.execute(_PAGE, (receiver, after_position, max(1, max_messages) + 1))
            for row in rows:
                room -= len(row[11])
                if found and (len(found) >= max_messages or room < 0):
                    rows.close()
                    return InboxPage(messages=tuple(found), examined=row[0] - 1, more=True)
                found.append(self._as_read(user, row))
        return InboxPage(messages=tuple(found), examined=max(after_position, user.end), more=False)

    @staticmethod
    def _as_read(receiver: User, row: tuple[Any, ...]) -> InboxMessage:
        position, sequence, timestamp, index, app_id, uuid, account, *rest = row
        resource, packet, number, one, payload, biz_type, kept = rest
        kind = Kind(number)
        return InboxMessage(
            position=position,
            sequence=sequence,
            timestamp=timestamp,
            conv_index=index,
            app_id=app_id,
            sender=Member(uuid=uuid, account=account),
            resource=resource,
            packet_id=packet,
            kind=kind,
            target=receiver.member.account if kind is Kind.P2P else one,
            payload=payload,
            biz_type=biz_type,
            is_store=kept >= 0,
        )

    def inbox_end(self, receiver: int) -> tuple[int, int]:
        user = self._by_uuid(receiver)
        return (user.end, user.newest) if user else (0, 0)

    # ---- acknowledgements

    def acknowledge(self, acks: list[Acknowledgement], wall_ms: int) -> list[int | None]:
        with self._writing():
            moved: dict[tuple[int, str], tuple[User, Cursor]] = {}
            answers = [self._acknowledge(ack, wall_ms, moved) for ack in acks]
            if moved:
                self._nothing_to_gain = False
                places = [(c.sequence, c.position, u.member.uuid, c.resource) for u, c in moved.values()]
                update = "UPDATE cursor SET sequence = ?, position = ? WHERE uuid = ? AND resource = ?"
                self._connection.executemany(update, places)
                for user in {user.member.uuid: user for user, _ in moved.values()}.values():
                    self._pass(user)
            self._trim()
            return answers

    def _acknowledge(
        self, ack: Acknowledgement, wall_ms: int, moved: dict[tuple[int, str], tuple[User, Cursor]]
    ) -> int | None:
        user = self._by_uuid(ack.uuid)
        cursor = self._held(user, ack.resource, ack.epoch, wall_ms) if user else None
        if user is None or cursor is None:
            return None
        position = self._position_of(user, ack.sequence)
        if position > cursor.position:
            cursor.position, cursor.sequence = position, self._sequence_at(user, position)
            user.floor = max(user.floor, cursor.sequence)
            moved[ack.uuid, ack.resource] = user, cursor
        return cursor.position

    # ---- positions

    def _position_of(self, user: User, sequence: int) -> int:
        """The last position with this sequence or a lower one; never before those that are removed at the front."""
        if sequence >= user.newest:
            return user.end
        tail = user.tail
        if tail and sequence >= tail[0]:
            return user.end - len(tail) + bisect_right(tail, sequence)
        low, high = user.gone, user.end - len(tail)
        while low < high:
            middle = (low + high + 1) // 2
            if self._sequence_at(user, middle) <= sequence:
                low = middle
            else:
                high = middle - 1
        return low

    def _sequence_at(self, user: User, position: int) -> int:
        """The sequence of a position that is not before those removed at the front; 0 for position 0."""
        if position == user.gone:
            return user.gone_sequence
        known = position - user.end + len(user.tail) - 1
        if known >= 0:
            return user.tail[known]
        query = "SELECT sequence FROM inbox WHERE receiver = ? AND position = ?"
        return self._number(query, user.member.uuid, position)

    # ---- cursors

    def _cursors(self, user: User, wall_ms: int) -> dict[str, Cursor]:
        """Those that live, by resource; one that was idle for too long is forgotten on the way."""
        cursors = self._known_cursors(user)
        latest = wall_ms - round(self.config.cursor_idle * 1000)
        idle = [cursor for cursor in cursors.values() if not cursor.claimed and cursor.last_seen <= latest]
        if idle:
            self._forget_cursors(user, cursors, idle)
        return cursors

    def _known_cursors(self, user: User) -> dict[str, Cursor]:
        cursors = user.cursors
        if cursors is None:
            query = "SELECT resource, sequence, position, epoch, node, claimed, last_seen FROM cursor WHERE uuid = ?"
            rows = self._connection.execute(query, (user.member.uuid,)).fetchall()
            cursors = user.cursors = {row[0]: Cursor(*row) for row in rows}
            # a floor is written when a cursor goes: with each acknowledgement it would cost as much again
            user.floor = max(user.floor, *(cursor.sequence for cursor in cursors.values()), 0)
        return cursors

    def _forget_cursors(self, user: User, cursors: dict[str, Cursor], gone: Iterable[Cursor]) -> None:
        for cursor in gone:
            del cursors[cursor.resource]
            delete = "DELETE FROM cursor WHERE uuid = ? AND resource = ?"
            self._connection.execute(delete, (user.member.uuid, cursor.resource))
        self._connection.execute("UPDATE user SET floor = ? WHERE uuid = ?", (user.floor, user.member.uuid))
        self._pass(user)

    def _held(self, user: User, resource: str, epoch: int, wall_ms: int) -> Cursor | None:
        """The cursor of a resource, if this is its epoch."""
        cursor = self._known_cursors(user).get(resource)
        if cursor is None or cursor.epoch != epoch:
            return None
        return cursor if cursor.claimed else self._cursors(user, wall_ms).get(resource)  # which may have idled for long

    def claim(self, uuid: int, resource: str, node: str, wall_ms: int) -> Claim:
        with self._writing():
            user = self._known(uuid)
            cursors = self._cursors(user, wall_ms)
            cursor = cursors.get(resource) or self._new_cursor(user, cursors, resource, wall_ms)
            previous = cursor.node if cursor.claimed else ""
            cursor.epoch = self._next("epoch", 1)
            cursor.claimed, cursor.node, cursor.last_seen = 1, node, wall_ms
            row = (uuid, resource, cursor.sequence, cursor.position, cursor.epoch, node, 1, wall_ms)
            self._connection.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._trim()
            return Claim(epoch=cursor.epoch, sequence=cursor.sequence, position=cursor.position, previous_node=previous)

    def _new_cursor(self, user: User, cursors: dict[str, Cursor], resource: str, wall_ms: int) -> Cursor:
        horizon = self.config.horizon(wall_ms)
        position = max(self._position_of(user, user.floor), self._position_of(user, horizon - 1))
        cursor = Cursor(resource, self._sequence_at(user, position), position, 0, "", 0, 0)
        cursors[resource] = cursor
        self._pass(user)
        return cursor

    def release(self, uuid: int, resource: str, epoch: int, wall_ms: int) -> None:
        with self._writing():
            user = self._by_uuid(uuid)
            cursor = self._held(user, resource, epoch, wall_ms) if user else None
            if user and cursor and cursor.claimed:
                self._let_go(user, cursor, wall_ms)

    def release_node(self, node: str, wall_ms: int) -> None:
        with self._writing():
            held = self._connection.execute(
                "SELECT uuid FROM cursor WHERE claimed = 1 AND node = ?", (node,)
            ).fetchall()
            for uuid in dict.fromkeys(uuid for (uuid,) in held):
                user = self._known(uuid)
                for cursor in list(self._cursors(user, wall_ms).values()):
                    if cursor.claimed and cursor.node == node:
                        self._let_go(user, cursor, wall_ms)
                self._trim()

    def _let_go(self, user: User, cursor: Cursor, wall_ms: int) -> None:
        cursor.claimed, cursor.last_seen = 0, wall_ms
        update = "UPDATE cursor SET claimed = 0, last_seen = ? WHERE uuid = ? AND resource = ?"
        self._connection.execute(update, (wall_ms, user.member.uuid, cursor.resource))
        cursors = self._cursors(user, wall_ms)
        if len(cursors) > self.config.max_resources:
            idle = [other for other in cursors.values() if not other.claimed]
            if len(idle) > self.config.max_resources:
                oldest = min(idle, key=lambda other: (other.last_seen, other.epoch))  # of a node many end at one time
                self._forget_cursors(user, cursors, [oldest])

    # ---- what is not to be stored

    def _pass(self, user: User) -> None:
        """The hindmost cursor of a user may have moved: what all have passed and is not to be stored goes."""
        if not user.fleeting:
            return
        hindmost = self._hindmost(user)
        query = "SELECT position, message FROM inbox WHERE receiver = ? AND position <= ? AND fleeting = 1"
        uuid = user.member.uuid
        passed = self._connection.execute(query, (uuid, hindmost)).fetchall()
        if passed:
            self._take_out([(uuid, position) for position, _ in passed])
            messages = [message for _, message in passed]
            update = "UPDATE message SET unread = unread - 1 WHERE id = ?"
            self._connection.executemany(update, [(message,) for message in messages])
            self._delete_messages(messages, "unread = 0")
            self._forget_front(user, len(passed))

    def _delete_messages(self, messages: Iterable[int], which: str = "1") -> None:
        """Delete messages; how many there were in their conversations is not forgotten."""
        chosen = f"id IN (SELECT value FROM json_each(?)) AND {which}"
        numbers = json.dumps(list(messages))
        newest = f"SELECT conversation, max(conv_index) AS last FROM message WHERE {chosen} GROUP BY conversation"
        self._connection.execute(
            f"UPDATE conversation SET last_index = max(last_index, gone.last) FROM ({newest}) AS gone"
            " WHERE conversation.id = gone.conversation",
            (numbers,),
        )
        self._connection.execute(f"DELETE FROM message WHERE {chosen}", (numbers,))

    def _hindmost(self, user: User) -> int:
        """Up to here all cursors of a user have come; without any, a new one would begin here."""
        cursors = self._known_cursors(user).values()
        return min((cursor.position for cursor in cursors), default=self._position_of(user, user.floor))

    def _take_out(self, places: list[tuple[int, int]]) -> None:
        """Remove the messages at these places (receiver, position)."""
        update = "UPDATE inbox SET message = NULL, fleeting = 0 WHERE receiver = ? AND position = ?"
        self._connection.executemany(update, places)

    def _forget_front(self, user: User, fleeting: int) -> None:
        """Messages were taken out, of which so many were fleeting: places at the front need not be kept."""
        uuid = user.member.uuid
        rows = self._connection.execute(
            "SELECT position, sequence, message FROM inbox WHERE receiver = ? AND position > ? ORDER BY position",
            (uuid, user.gone),
        )
        for position, sequence, message in rows:
            if message is not None:
                break
            user.gone, user.gone_sequence = position, sequence
        rows.close()
        user.fleeting -= fleeting
        self._connection.execute("DELETE FROM inbox WHERE receiver = ? AND position <= ?", (uuid, user.gone))
        update = "UPDATE user SET gone = ?, gone_sequence = ? WHERE uuid = ?"
        self._connection.execute(update, (user.gone, user.gone_sequence, uuid))

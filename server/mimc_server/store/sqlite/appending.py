"""Storing messages: what is checked one by one, and written for a whole batch."""

from __future__ import annotations

import os

from mimc_proto._record import new_record

from ..config import StoreConfig, sequence_floor
from ..contract import AckCode, Appended, Delivery, Kind, NewMessage, Refused, Stored
from .groups import Topic, no_such_group
from .inboxes import TAIL
from .repeats import Repeats
from .retention import Retention
from .users import User

__all__ = ["Appending", "Parties"]

Parties = tuple[int, int, int]
"""A conversation: the uuids of a pair, the lower first, or the id of a group and 0; and its `Kind`."""

MOST_CACHED = 100_000
"""Conversations that are kept in memory; beyond it the older half is forgotten."""

_CONVERSATION = """
SELECT id, max(last_index, coalesce(
    (SELECT conv_index FROM message WHERE conversation = conversation.id ORDER BY sequence DESC LIMIT 1), 0))
FROM conversation WHERE one = ? AND other = ? AND kind = ?
"""

_P2P, _UNLIMITED, _ONLINE = Kind.P2P, Kind.UNLIMITED, Kind.ONLINE  # an enum member costs four times a global


class _Batch:
    """What is to be written."""

    __slots__ = (
        "conversations",
        "first",
        "inbox",
        "messages",
        "oldest",
        "receivers",
        "repeats",
        "sequences",
        "taken",
        "used",
    )

    def __init__(self, used: int, oldest: int) -> None:
        self.used, self.taken = used, 0
        self.oldest = oldest
        self.first: dict[bytes, Stored] = {}
        self.messages: list[tuple[object, ...]] = []
        self.inbox: list[tuple[int, int, int, int | None, int]] = []
        self.repeats: list[tuple[int, bytes, int, int, int]] = []
        self.receivers: dict[int, User] = {}
        self.conversations: dict[int, int] = {}
        self.sequences: dict[int, int] = {}


class Appending(Retention):
    """The part of `Store` that stores messages."""

    def __init__(self, path: str | os.PathLike[str], config: StoreConfig | None = None) -> None:
        self._conversations: dict[Parties, tuple[int, int]] = {}  # ids and last indexes
        self._conversation_count = self._next_message = -1
        self._last: dict[int, int] = {}  # sequences, by application
        super().__init__(path, config)

    def _forget(self) -> None:
        super()._forget()
        self._conversations.clear()
        self._conversation_count = self._next_message = -1
        self._last.clear()

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        with self._writing():
            writes = _Batch(self._used(), sequence_floor(wall_ms, self.config.repeat_window))
            answers = [self._append(message, wall_ms, writes) for message in batch]
            self._write(writes)
            self._trim()
            return answers

    def _trim(self) -> None:
        super()._trim()
        if len(self._conversations) > MOST_CACHED:
            for parties in list(self._conversations)[: MOST_CACHED // 2]:
                del self._conversations[parties]

    # ---- one message

    def _append(self, message: NewMessage, wall_ms: int, writes: _Batch) -> Appended:
        sender = self._by_uuid(message.sender.uuid)
        if sender is None or sender.app_id != message.app_id:
            return Refused(code=AckCode.BAD_REQUEST, message="the sender is no user of this application")
        if message.epoch and self._held(sender, message.resource, message.epoch, wall_ms) is None:
            return Refused(code=AckCode.TAKEN_OVER, message="another link has taken over this resource")
        if message.kind is _ONLINE:
            return self._append_online(message, wall_ms, writes)
        digest = Repeats.digest(message)
        first = writes.first.get(digest) or self._repeats.first(digest, writes.oldest)
        if first is not None:
            return first
        appended = self._append_p2p if message.kind is _P2P else self._append_to_group
        answer = appended(message, sender, wall_ms, writes)
        if type(answer) is Stored:
            numbers = (answer.sequence, answer.timestamp, answer.conv_index)
            writes.first[digest] = new_record(Stored, (*numbers, (), True))
            writes.repeats.append((message.app_id, digest, *numbers))
        return answer

    def _append_online(self, message: NewMessage, wall_ms: int, writes: _Batch) -> Appended:
        receiver = self._by_account(message.app_id, str(message.target))
        if receiver is not None and message.sender.uuid in self._blocked_by(receiver):
            return _blocked("the receiver")
        deliveries = () if receiver is None else (Delivery(receiver=receiver.member.uuid, position=None),)
        sequence = self._sequence(message.app_id, wall_ms, writes)
        return Stored(sequence=sequence, timestamp=wall_ms, conv_index=0, deliveries=deliveries)

    def _append_p2p(self, message: NewMessage, sender: User, wall_ms: int, writes: _Batch) -> Appended:
        account = str(message.target)
        receiver = self._by_account(message.app_id, account)
        if receiver is not None and sender.member.uuid in self._blocked_by(receiver):
            return _blocked("the receiver")
        if not self._has_room(message, 1, writes):
            return _full("StoreConfig.max_bytes")
        one = sender.member.uuid
        if receiver is None:
            if self._conversations_are_full():
                return _full("StoreConfig.max_conversations")
            receiver = self._new_user(message.app_id, account)
            if receiver is None:
                return _full("StoreConfig.max_users")
        other = receiver.member.uuid
        parties = (one, other, 1) if one < other else (other, one, 1)
        conversation = self._conversation(message.app_id, parties)
        if conversation is None:
            return _full("StoreConfig.max_conversations")
        return self._store(message, parties, conversation, (receiver,), wall_ms, writes)

    def _append_to_group(self, message: NewMessage, sender: User, wall_ms: int, writes: _Batch) -> Appended:
        unlimited, target = message.kind is _UNLIMITED, message.target
        topic = self._topic(target, unlimited) if isinstance(target, int) else None
        if topic is None or topic.app_id != message.app_id:
            return no_such_group(target)
        uuid = sender.member.uuid
        if self._one("SELECT 1 FROM topic_block WHERE topic_id = ? AND uuid = ?", topic.topic_id, uuid):
            return _blocked("the group")
        if not self._is_in(topic, uuid):
            return Refused(code=AckCode.NOT_A_MEMBER, message=f"the sender is not in group {target}")
        receivers = () if unlimited else self._receivers(topic, uuid)
        if (receivers or message.is_store) and not self._has_room(message, len(receivers), writes):
            return _full("StoreConfig.max_bytes")
        parties = (topic.topic_id, 0, int(message.kind))
        conversation = self._conversation(message.app_id, parties)
        assert conversation is not None  # groups are limited by their own number
        return self._store(message, parties, conversation, receivers, wall_ms, writes)

    def _receivers(self, topic: Topic, sender: int) -> tuple[User, ...]:
        found = [self._by_uuid(uuid) for uuid in self._members(topic) if uuid != sender]
        return tuple(user for user in found if user is not None)

    def _store(
        self,
        message: NewMessage,
        parties: Parties,
        conversation: tuple[int, int],
        receivers: tuple[User, ...],
        wall_ms: int,
        writes: _Batch,
    ) -> Stored:
        """Nothing can refuse it from here on."""
        number, last_index = conversation
        index = last_index + 1
        self._conversations[parties] = number, index
        sequence = self._sequence(message.app_id, wall_ms, writes)
        is_store, message_id = message.is_store, None
        if receivers or is_store:
            if self._next_message < 0:
                self._next_message = self._number("SELECT coalesce(max(id), 0) + 1 FROM message")
            message_id = self._next_message
            self._next_message += 1
            sent = (message.sender.uuid, message.resource, message.packet_id, message.payload, message.biz_type)
            kept, unread = (1, 0) if is_store else (-1, len(receivers))
            writes.messages.append((message_id, number, sequence, wall_ms, index, *sent, kept, unread))
        else:
            writes.conversations[number] = index  # nothing else will tell
        deliveries = []
        for user in receivers:
            user.end += 1
            user.newest = sequence
            tail = user.tail
            tail.append(sequence)
            if len(tail) > 2 * TAIL:
                del tail[:TAIL]
            if not is_store:
                user.fleeting += 1
            uuid = user.member.uuid
            writes.receivers[uuid] = user
            writes.inbox.append((uuid, user.end, sequence, message_id, not is_store))
            deliveries.append(new_record(Delivery, (uuid, user.end)))
        return new_record(Stored, (sequence, wall_ms, index, tuple(deliveries), False))

    def _sequence(self, app_id: int, wall_ms: int, writes: _Batch) -> int:
        last = self._last.get(app_id)
        if last is None:
            row = self._one("SELECT last FROM sequence WHERE app_id = ?", app_id)
            last = row[0] if row else 0
        sequence = self._last[app_id] = writes.sequences[app_id] = max(last + 1, wall_ms * 10_000 + 1)
        return sequence

    def _conversation(self, app_id: int, parties: Parties) -> tuple[int, int] | None:
        """Its id and its last index, a new one if need be; None if there is no room for another pair."""
        known = self._conversations.get(parties)
        if known is not None:
            return known
        one, other, kind = parties
        row = self._one(_CONVERSATION, one, other, kind)
        if row is None:
            if kind == _P2P and self._conversations_are_full():
                return None
            insert = "INSERT INTO conversation (app_id, kind, one, other, last_index) VALUES (?, ?, ?, ?, 0)"
            number = self._connection.execute(insert, (app_id, kind, one, other)).lastrowid
            self._conversation_count += kind == _P2P and self._conversation_count >= 0
            row = (number, 0)
        self._conversations[parties] = row
        return row[0], row[1]

    def _conversations_are_full(self) -> bool:
        if self._conversation_count < 0:
            self._conversation_count = self._number("SELECT count(*) FROM conversation WHERE kind = 1")
        return self._conversation_count >= self.config.max_conversations

    # ---- a batch

    def _write(self, writes: _Batch) -> None:
        many = self._connection.executemany
        if writes.messages:
            many("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", writes.messages)
        if writes.inbox:
            many("INSERT INTO inbox VALUES (?, ?, ?, ?, ?)", writes.inbox)
        if writes.conversations:
            indexes = [(index, number) for number, index in writes.conversations.items()]
            many("UPDATE conversation SET last_index = ? WHERE id = ?", indexes)
        if writes.sequences:
            many("INSERT OR REPLACE INTO sequence VALUES (?, ?)", list(writes.sequences.items()))
        if writes.repeats:
            self._repeats.remember(writes.repeats)
        for user in writes.receivers.values():
            if user.fleeting:
                self._pass(user)  # what is not to be stored, and nobody has yet to read


def _blocked(by: str) -> Refused:
    return Refused(code=AckCode.BLOCKED, message=f"{by} has blocked the sender")


def _full(limit: str) -> Refused:
    return Refused(code=AckCode.STORE_FAILED, message=f"the store is full: {limit}")

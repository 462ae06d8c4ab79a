"""The store itself: messages and their sequences, acknowledgements, and the passing of time."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import AbstractContextManager, nullcontext

from mimc_proto._record import new_record

from ...applications import Application
from ..config import StoreConfig, sequence_floor
from ..contract import (
    AckCode,
    Acknowledgement,
    Appended,
    Conversation,
    Delivery,
    HistoryMessage,
    InboxPage,
    Kind,
    NewMessage,
    Refused,
    Statistics,
    Stored,
)
from .groups import no_such_group
from .inbox import StoredMessage
from .log import size_of
from .repeats import Repeats
from .sessions import Sessions
from .users import User

__all__ = ["MemoryStore"]

_P2P, _UNLIMITED, _ONLINE = Kind.P2P, Kind.UNLIMITED, Kind.ONLINE  # an enum member costs four times a global


class _Application:
    """What is numbered and remembered for an application as a whole."""

    __slots__ = ("last_sequence", "repeats")

    def __init__(self, config: StoreConfig) -> None:
        self.last_sequence = 0
        self.repeats = Repeats(config.max_repeats)

    def next_sequence(self, wall_ms: int) -> int:
        least = wall_ms * 10_000 + 1
        self.last_sequence = self.last_sequence + 1 if self.last_sequence >= least else least
        return self.last_sequence


class MemoryStore(Sessions):
    """Fulfils `Store`. One thread at a time may call it."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        super().__init__(config)
        self._numbers: dict[int, _Application] = {}
        self._conversations: dict[tuple[int, int], int] = {}  # last index by (lower uuid, higher uuid)
        self._histories: dict[tuple[int, ...], dict[int, StoredMessage]] = {}
        self._applications: dict[int, Application] = {}
        self._settings: dict[str, bytes] = {}

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()  # there is no medium that could fail

    def close(self) -> None:
        pass

    # ---- applications

    def put_application(self, application: Application) -> None:
        self._applications[application.app_id] = application

    def remove_application(self, app_id: int) -> bool:
        return self._applications.pop(app_id, None) is not None

    def applications(self) -> list[Application]:
        return sorted(self._applications.values())

    def setting(self, name: str) -> bytes | None:
        return self._settings.get(name)

    def put_setting(self, name: str, value: bytes) -> None:
        self._settings[name] = value

    # ---- groups

    def dismiss_group(self, topic_id: int, *, unlimited: bool) -> bool:
        history = self._histories.pop((topic_id,), None)
        if history is not None:
            self._log.forget_history(history)
        return super().dismiss_group(topic_id, unlimited=unlimited)

    # ---- messages

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        self._forget_idle(wall_ms)
        self._forget_repeats(wall_ms)
        answers = [self._append(message, wall_ms) for message in batch]
        for application in self._numbers.values():
            application.repeats.trim()
        return answers

    def read_inbox(self, receiver: int, after_position: int, max_messages: int, max_bytes: int) -> InboxPage:
        user = self._users.get(receiver)
        if user is None:
            return InboxPage(messages=(), examined=after_position, more=False)
        return user.inbox.page(after_position, max_messages, max_bytes)

    def acknowledge(self, acks: list[Acknowledgement], wall_ms: int) -> list[int | None]:
        self._forget_idle(wall_ms)
        return [self._acknowledge(ack) for ack in acks]

    def inbox_end(self, receiver: int) -> tuple[int, int]:
        user = self._users.get(receiver)
        return (user.inbox.end, user.inbox.newest) if user else (0, 0)

    def history(
        self, conversation: Conversation, from_sequence: int, to_sequence: int, most: int, *, newest: bool = False
    ) -> list[HistoryMessage]:
        one, other = conversation.one, conversation.other
        if conversation.kind is _P2P:
            user = self._users.get(one)
            own = user is not None and user.app_id == conversation.app_id
            key: tuple[int, ...] = (min(one, other), max(one, other))
        else:
            group = self._groups[conversation.kind is _UNLIMITED].get(one)
            own = group is not None and group.owner.app_id == conversation.app_id
            key = (one,)
        messages = self._histories.get(key, {}) if own else {}
        sequences = list(messages)
        found = sequences[bisect_left(sequences, from_sequence) : bisect_left(sequences, to_sequence)]
        chosen = found[max(0, len(found) - most) :] if newest else found[:most]
        return [_as_shown(messages[sequence]) for sequence in chosen]

    def statistics(self) -> Statistics:
        groups = sum(map(len, self._groups.values()))
        return Statistics(users=len(self._users), groups=groups, messages=len(self._log), bytes=self._log.held)

    def sweep(self, wall_ms: int) -> bool:
        self._forget_idle(wall_ms)
        self._forget_repeats(wall_ms)
        self._log.expire(wall_ms)
        return False

    def _acknowledge(self, ack: Acknowledgement) -> int | None:
        cursor = self._held(ack.uuid, ack.resource, ack.epoch)
        if cursor is None:
            return None
        user, inbox = cursor.user, cursor.user.inbox
        position = inbox.position_of(ack.sequence)
        if position > cursor.position:
            cursor.position, cursor.sequence = position, inbox.sequence_at(position)
            user.floor = max(user.floor, cursor.sequence)
            self._pass(user)
        return cursor.position

    def _forget_repeats(self, wall_ms: int) -> None:
        for application in self._numbers.values():
            application.repeats.forget_before(sequence_floor(wall_ms, self.config.repeat_window))

    # ---- appending

    def _append(self, message: NewMessage, wall_ms: int) -> Appended:
        sender = self._users.get(message.sender.uuid)
        if sender is None or sender.app_id != message.app_id:
            return Refused(code=AckCode.BAD_REQUEST, message="the sender is no user of this application")
        if message.epoch and self._held(message.sender.uuid, message.resource, message.epoch) is None:
            return Refused(code=AckCode.TAKEN_OVER, message="another link has taken over this resource")
        application = self._numbers.get(message.app_id)
        if application is None:
            application = self._numbers[message.app_id] = _Application(self.config)
        if message.kind is _ONLINE:
            return self._append_online(application, message, wall_ms)
        key = Repeats.key(message)
        first = application.repeats.first(key)
        if first is not None:
            return first
        appended = self._append_p2p if message.kind is _P2P else self._append_to_group
        answer = appended(application, message, sender, wall_ms)
        if type(answer) is Stored:
            application.repeats.remember(key, answer)
        return answer

    def _append_online(self, application: _Application, message: NewMessage, wall_ms: int) -> Appended:
        receiver = self._accounts.get((message.app_id, str(message.target)))
        if receiver is not None and message.sender.uuid in receiver.blocked:
            return _blocked("the receiver")
        deliveries = () if receiver is None else (Delivery(receiver=receiver.member.uuid, position=None),)
        sequence = application.next_sequence(wall_ms)
        return Stored(sequence=sequence, timestamp=wall_ms, conv_index=0, deliveries=deliveries)

    def _append_p2p(self, application: _Application, message: NewMessage, sender: User, wall_ms: int) -> Appended:
        account = str(message.target)
        receiver = self._accounts.get((message.app_id, account))
        if receiver is not None and sender.member.uuid in receiver.blocked:
            return _blocked("the receiver")
        size = size_of(message, 1)
        if not self._log.room_for(size):
            return _full("StoreConfig.max_bytes")
        # no uuid is 0: with somebody new there cannot be a conversation
        one, other = sender.member.uuid, 0 if receiver is None else receiver.member.uuid
        conv_index = self._conversations.get((one, other) if one < other else (other, one), 0) + 1
        if conv_index == 1 and len(self._conversations) >= self.config.max_conversations:
            return _full("StoreConfig.max_conversations")
        receiver = receiver or self._new_user(message.app_id, account)
        if receiver is None:
            return _full("StoreConfig.max_users")
        other = receiver.member.uuid
        conversation = (one, other) if one < other else (other, one)
        self._conversations[conversation] = conv_index
        return self._commit(application, message, (receiver,), conversation, conv_index, size, wall_ms)

    def _append_to_group(self, application: _Application, message: NewMessage, sender: User, wall_ms: int) -> Appended:
        unlimited, target = message.kind is _UNLIMITED, message.target
        group = self._groups[unlimited].get(target) if isinstance(target, int) else None
        if group is None or group.owner.app_id != message.app_id:
            return no_such_group(target)
        if sender.member.uuid in group.blocked:
            return _blocked("the group")
        if sender.member.uuid not in group.members:
            return Refused(code=AckCode.NOT_A_MEMBER, message=f"the sender is not in group {target}")
        receivers = () if unlimited else tuple(user for user in group.members.values() if user is not sender)
        size = size_of(message, len(receivers))
        if (receivers or message.is_store) and not self._log.room_for(size):
            return _full("StoreConfig.max_bytes")
        group.last_index += 1
        return self._commit(application, message, receivers, (group.topic_id,), group.last_index, size, wall_ms)

    def _commit(
        self,
        application: _Application,
        message: NewMessage,
        receivers: tuple[User, ...],
        conversation: tuple[int, ...],
        conv_index: int,
        size: int,
        wall_ms: int,
    ) -> Stored:
        """Into all inboxes; nothing can fail from here on."""
        sequence = application.next_sequence(wall_ms)
        stored = StoredMessage(message, sequence, wall_ms, conv_index, size)
        if message.is_store:
            stored.history = self._histories.setdefault(conversation, {})
        inboxes, deliveries = stored.inboxes, []
        for user in receivers:
            inboxes.append(user.inbox)
            # twice as fast as the constructor, and a group has up to 500 of these
            deliveries.append(new_record(Delivery, (user.member.uuid, user.inbox.append(stored))))
        self._log.add(stored)
        return new_record(Stored, (sequence, wall_ms, conv_index, tuple(deliveries), False))


def _blocked(by: str) -> Refused:
    return Refused(code=AckCode.BLOCKED, message=f"{by} has blocked the sender")


def _full(limit: str) -> Refused:
    return Refused(code=AckCode.STORE_FAILED, message=f"the store is full: {limit}")


def _as_shown(stored: StoredMessage) -> HistoryMessage:
    message = stored.message
    return HistoryMessage(
        sequence=stored.sequence,
        timestamp=stored.timestamp,
        conv_index=stored.conv_index,
        sender=message.sender,
        resource=message.resource,
        packet_id=message.packet_id,
        kind=message.kind,
        target=message.target,
        payload=message.payload,
        biz_type=message.biz_type,
    )

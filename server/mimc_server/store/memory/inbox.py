"""A user's inbox: messages at dense positions, of which some are removed."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from ..contract import InboxMessage, InboxPage, NewMessage

__all__ = ["Inbox", "StoredMessage"]

SLACK = 32
"""Removed positions at the front that are not worth moving the others for."""


class StoredMessage:
    """One message, however many inboxes it is in; ``unread`` counts those that some live cursor has yet to pass.

    ``history`` is that of its conversation while it is kept for it, else None.
    """

    __slots__ = ("bytes", "conv_index", "history", "inboxes", "message", "sequence", "timestamp", "unread")

    def __init__(self, message: NewMessage, sequence: int, timestamp: int, conv_index: int, size: int) -> None:
        self.message = message
        self.sequence = sequence
        self.timestamp = timestamp
        self.conv_index = conv_index
        self.bytes = size
        self.inboxes: list[Inbox] = []
        self.unread = 0
        self.history: dict[int, StoredMessage] | None = None


class Inbox:
    """Positions from 1. All up to ``gone`` are removed, and ``passed`` is where the hindmost live cursor is."""

    __slots__ = ("_messages", "_sequences", "_skipped", "gone", "gone_sequence", "newest", "passed")

    def __init__(self) -> None:
        self._messages: list[StoredMessage | None] = []
        self._sequences = array("q")
        self._skipped = 0  # the position before the first element of both
        self.gone = self.passed = 0
        self.gone_sequence = self.newest = 0
        """Sequences of the last removed position at the front and of the last position ever, 0 if there is none."""

    @property
    def end(self) -> int:
        """The last position ever given, 0 if none was."""
        return self._skipped + len(self._messages)

    def append(self, message: StoredMessage) -> int:
        """The position it has from now on."""
        self._messages.append(message)
        self._sequences.append(message.sequence)
        self.newest = message.sequence
        return self._skipped + len(self._messages)

    def position_of(self, sequence: int) -> int:
        """The last position with this sequence or a lower one; never before those that are removed at the front."""
        return self._skipped + bisect_right(self._sequences, sequence, self.gone - self._skipped)

    def position_before(self, sequence: int) -> int:
        """The last position with a lower sequence; never before those that are removed at the front."""
        return self._skipped + bisect_left(self._sequences, sequence, self.gone - self._skipped)

    def sequence_at(self, position: int) -> int:
        """The sequence of a position that is not before those removed at the front; 0 for position 0."""
        if position == self.gone:
            return self.gone_sequence
        return self._sequences[position - self._skipped - 1]

    def page(self, after: int, max_messages: int, max_bytes: int) -> InboxPage:
        """What `Store.read_inbox` answers."""
        end = self.end
        examined = max(after, self.gone)
        found: list[InboxMessage] = []
        room = max_bytes
        for index in range(examined - self._skipped, len(self._messages)):
            stored = self._messages[index]
            if stored is not None:
                room -= len(stored.message.payload)
                if found and (len(found) >= max_messages or room < 0):
                    break
                found.append(_as_read(stored, self._skipped + index + 1))
            examined = self._skipped + index + 1
        return InboxPage(messages=tuple(found), examined=examined, more=examined < end)

    def pass_to(self, position: int) -> list[StoredMessage]:
        """All live cursors are at ``position`` or beyond: removes what need not be kept, and gives what was passed."""
        passed = []
        for index in range(max(self.passed, self.gone) - self._skipped, position - self._skipped):
            stored = self._messages[index]
            if stored is not None:
                passed.append(stored)
                if not stored.message.is_store:
                    self._messages[index] = None
        self.passed = max(self.passed, position)
        self._forget_front()
        return passed

    def remove(self, sequence: int) -> None:
        """Remove one message, if it is still here."""
        position = self.position_of(sequence)
        if position > self.gone and self.sequence_at(position) == sequence:
            self._messages[position - self._skipped - 1] = None
            self._forget_front()

    def _forget_front(self) -> None:
        gone = self.gone
        first = self._skipped + 1
        while gone < self.end and self._messages[gone + 1 - first] is None:
            gone += 1
        if gone == self.gone:
            return
        self.gone, self.gone_sequence = gone, self._sequences[gone - first]
        removed = gone - self._skipped
        if removed > SLACK and removed > len(self._messages) // 2:  # a move costs less than what was removed before it
            del self._messages[:removed], self._sequences[:removed]
            self._skipped = gone


def _as_read(stored: StoredMessage, position: int) -> InboxMessage:
    message = stored.message
    return InboxMessage(
        position=position,
        sequence=stored.sequence,
        timestamp=stored.timestamp,
        conv_index=stored.conv_index,
        app_id=message.app_id,
        sender=message.sender,
        resource=message.resource,
        packet_id=message.packet_id,
        kind=message.kind,
        target=message.target,
        payload=message.payload,
        biz_type=message.biz_type,
        is_store=message.is_store,
    )

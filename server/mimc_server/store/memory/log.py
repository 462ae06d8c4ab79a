"""All messages that are kept, and the room they take."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from ..config import StoreConfig
from ..contract import NewMessage
from .inbox import StoredMessage

__all__ = ["Log", "size_of"]

MESSAGE_BYTES, PLACE_BYTES = 600, 32
"""What a message takes beside what its sender chose, and each of its places in an inbox (measured: 550, and 25)."""

LEAST_GAIN, ENOUGH = 0.01, 0.9
"""The part of the room that must be gained for a walk through the log to pay, and the part used after it."""


def size_of(message: NewMessage, receivers: int) -> int:
    """The bytes that a message takes."""
    chosen = len(message.payload) + len(message.packet_id) + len(message.biz_type or "")
    return MESSAGE_BYTES + chosen + PLACE_BYTES * receivers


class Log:
    """Messages of each application by their sequence, which is also the order in which they were added."""

    __slots__ = ("_applications", "_config", "held", "read")

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._applications: dict[int, dict[int, StoredMessage]] = {}
        self.held = self.read = 0
        """Bytes of all messages, and of those that all their receivers have passed."""

    def add(self, stored: StoredMessage) -> None:
        """Keep a message. One without a place in any inbox is not kept: nothing could read it."""
        stored.unread = len(stored.inboxes)
        if stored.unread:
            self._applications.setdefault(stored.message.app_id, {})[stored.sequence] = stored
            self.held += stored.bytes

    def passed(self, messages: Iterable[StoredMessage]) -> None:
        """Each of these messages was passed in one of its inboxes."""
        for stored in messages:
            stored.unread -= 1
            if not stored.unread:
                self.read += stored.bytes
                if not stored.message.is_store:
                    self._remove(stored)

    def room_for(self, size: int) -> bool:
        """Whether so much more may be added, after messages went that all have read if need be."""
        most = self._config.max_bytes
        if self.held + size <= most:
            return True
        if self.read >= max(most * LEAST_GAIN, size):
            self._remove_read(round(most * ENOUGH) - size)
        return self.held + size <= most

    def expire(self, wall_ms: int) -> None:
        """Remove what is past the retention, read or not."""
        horizon = self._config.horizon(wall_ms)
        for messages in self._applications.values():
            for stored in list(takewhile(lambda stored: stored.sequence < horizon, messages.values())):
                self._remove(stored)

    def _remove_read(self, goal: int) -> None:
        """Remove messages that all have read, the oldest first, until no more than so much is held."""
        for messages in self._applications.values():
            for stored in list(messages.values()):
                if self.held <= goal:
                    return
                if not stored.unread:
                    self._remove(stored)

    def _remove(self, stored: StoredMessage) -> None:
        del self._applications[stored.message.app_id][stored.sequence]
        self.held -= stored.bytes
        if not stored.unread:
            self.read -= stored.bytes
        for inbox in stored.inboxes:
            inbox.remove(stored.sequence)

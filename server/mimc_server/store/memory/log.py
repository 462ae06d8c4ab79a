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
    """Messages of each application by their sequence, which is also the order in which they were added.

    A message is kept for its receivers until the retention is over, and for the history of its conversation if it has
    one; what all have read makes room when that is short.
    """

    __slots__ = ("_all", "_config", "_placed", "held", "read")

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._all: dict[int, dict[int, StoredMessage]] = {}
        self._placed: dict[int, dict[int, StoredMessage]] = {}  # those that lie in inboxes
        self.held = self.read = 0
        """Bytes of all messages, and of those that all their receivers have passed."""

    def __len__(self) -> int:
        return sum(map(len, self._all.values()))

    def add(self, stored: StoredMessage) -> None:
        """Keep a message, unless nothing could ever read it."""
        stored.unread = len(stored.inboxes)
        if not stored.unread and stored.history is None:
            return
        app_id, sequence = stored.message.app_id, stored.sequence
        self._all.setdefault(app_id, {})[sequence] = stored
        self.held += stored.bytes
        if stored.unread:
            self._placed.setdefault(app_id, {})[sequence] = stored
        else:
            self.read += stored.bytes
        if stored.history is not None:
            stored.history[sequence] = stored

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
        """Remove what is past its retention, read or not: from inboxes first, from histories later."""
        horizon = self._config.horizon(wall_ms)
        for messages in self._placed.values():
            for stored in _older(messages, horizon):
                self._take_out(stored)
                if stored.history is None:
                    self._remove(stored)
        horizon = self._config.history_horizon(wall_ms)
        for messages in self._all.values():
            for stored in _older(messages, horizon):
                self._remove(stored)

    def forget_history(self, history: dict[int, StoredMessage]) -> None:
        """A conversation is over for good; who has yet to read its messages still can."""
        for stored in list(history.values()):
            stored.history = None
            if not stored.unread:
                self._remove(stored)
        history.clear()

    def _remove_read(self, goal: int) -> None:
        """Remove messages that all have read, the oldest first, until no more than so much is held."""
        for messages in self._all.values():
            for stored in list(messages.values()):
                if self.held <= goal:
                    return
                if not stored.unread:
                    self._remove(stored)

    def _take_out(self, stored: StoredMessage) -> None:
        """Out of the inboxes it is in."""
        self._placed[stored.message.app_id].pop(stored.sequence, None)
        for inbox in stored.inboxes:
            inbox.remove(stored.sequence)
        stored.inboxes.clear()
        if stored.unread:
            stored.unread = 0
            self.read += stored.bytes

    def _remove(self, stored: StoredMessage) -> None:
        if stored.inboxes:
            self._take_out(stored)
        del self._all[stored.message.app_id][stored.sequence]
        self.held -= stored.bytes
        self.read -= stored.bytes
        if stored.history is not None:
            del stored.history[stored.sequence]


def _older(messages: dict[int, StoredMessage], horizon: int) -> list[StoredMessage]:
    return list(takewhile(lambda stored: stored.sequence < horizon, messages.values()))

"""The store itself: histories, retention, how much there is, and copies of the whole."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..contract import Conversation, HistoryMessage, Kind, Member, Statistics
from .appending import Appending
from .snapshot import Snapshot, integrity

__all__ = ["SqliteStore"]

_HISTORY = """
SELECT sequence, timestamp, conv_index, sender, user.account, resource, packet_id, payload, biz_type
FROM message JOIN user ON user.uuid = sender
WHERE conversation = ? AND kept = 1 AND sequence >= ? AND sequence < ? ORDER BY sequence
"""
_MOST = (1 << 63) - 1


class SqliteStore(Appending):
    """Fulfils `Store`. One thread at a time may call it, and one process at a time may use the file.

    ``path`` is the database; it and its folder are made if need be, for their owner alone. Raises `StoreError` if the
    file cannot be used, another process uses it, or it is no database of this service.
    """

    def history(
        self, conversation: Conversation, from_sequence: int, to_sequence: int, most: int, *, newest: bool = False
    ) -> list[HistoryMessage]:
        with self._reading():
            kind = conversation.kind
            number = self._history_of(conversation)
            if number is None:
                return []
            first, last = (max(-_MOST, min(_MOST, sequence)) for sequence in (from_sequence, to_sequence))
            order = " DESC LIMIT ?" if newest else " LIMIT ?"
            rows = self._connection.execute(_HISTORY + order, (number, first, last, max(0, most))).fetchall()
            if newest:
                rows.reverse()
            return [self._as_shown(conversation, kind, row) for row in rows]

    def _history_of(self, conversation: Conversation) -> int | None:
        """The number of a conversation, if it is this application's."""
        one, other, kind = conversation.one, conversation.other, conversation.kind
        if kind is Kind.P2P:
            one, other = min(one, other), max(one, other)
        elif self._topic(one, kind is Kind.UNLIMITED) is None:
            return None
        query = "SELECT id, app_id FROM conversation WHERE one = ? AND other = ? AND kind = ?"
        row = self._one(query, one, other, int(kind))
        return row[0] if row and row[1] == conversation.app_id else None

    def _as_shown(
        self,
        conversation: Conversation,
        kind: Kind,
        row: tuple[int, int, int, int, str, str, str, bytes, str | None],
    ) -> HistoryMessage:
        sequence, timestamp, index, uuid, account, resource, packet_id, payload, biz_type = row
        target: str | int = conversation.one
        if kind is Kind.P2P:
            receiver = conversation.one if uuid == conversation.other else conversation.other
            target = self._known(receiver).member.account
        return HistoryMessage(
            sequence=sequence,
            timestamp=timestamp,
            conv_index=index,
            sender=Member(uuid=uuid, account=account),
            resource=resource,
            packet_id=packet_id,
            kind=kind,
            target=target,
            payload=payload,
            biz_type=biz_type,
        )

    def dismiss_group(self, topic_id: int, *, unlimited: bool) -> bool:
        with self._writing():
            dismissed = super().dismiss_group(topic_id, unlimited=unlimited)
            if dismissed:
                kind = Kind.UNLIMITED if unlimited else Kind.P2T
                of_group = "conversation IN (SELECT id FROM conversation WHERE one = ? AND other = 0 AND kind = ?)"
                self._connection.execute(f"UPDATE message SET kept = 0 WHERE kept = 1 AND {of_group}", (topic_id, kind))
                placed = "EXISTS (SELECT 1 FROM inbox WHERE inbox.message = message.id)"
                query = f"SELECT id FROM message WHERE kept = 0 AND {of_group} AND NOT {placed}"
                over = self._connection.execute(query, (topic_id, kind)).fetchall()
                self._delete_messages(number for (number,) in over)
            return dismissed

    # ---- the whole

    def statistics(self) -> Statistics:
        with self._reading():
            if self._user_count < 0:
                self._user_count = self._number("SELECT count(*) FROM user")
            return Statistics(
                users=self._user_count,
                groups=self._number("SELECT count(*) FROM topic"),
                messages=self._number("SELECT count(*) FROM message"),
                bytes=self._used(),
            )

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; nothing of a good one. Reads all of it."""
        return integrity(self._connection)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Make a copy of the database as it is now, for its owner alone; what was there is replaced when it is whole.

        May be called from any thread, also while another one uses the store, which goes on meanwhile. What a
        transaction has not committed is not in it. Raises `StoreError`. To restore, stop the service and put the copy
        in the place of the database, without the ``-wal`` and ``-shm`` files of the old one.
        """
        with self.snapshot() as snapshot:
            snapshot.backup(path)

    def snapshot(self, cancelled: Callable[[], bool] = lambda: False) -> Snapshot:
        """The database as it is now; may be called from any thread, also while another one uses the store."""
        return Snapshot(self.path, cancelled)

"""How long messages stay: in inboxes until their retention is over, in histories longer, and less if room is short."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Protocol

from ..config import StoreConfig, sequence_floor
from ..contract import NewMessage
from .inboxes import Inboxes
from .repeats import Repeats

__all__ = ["Retention", "Room"]

SWEPT = 10_000
"""Rows of each kind that one sweep removes: it takes some tenths of a second."""

SEARCHED = 20
"""Messages that are looked at in one go for some that all have read: no more go than must."""

ENOUGH = 0.9
"""The part of the room that is used after some was made."""

MESSAGE_BYTES, PLACE_BYTES = 400, 60
"""What a message takes in the file beside what its sender chose, and each of its places in an inbox (measured)."""


class Room(Protocol):
    """Bytes of the file that are used, and those that the messages of a batch will take."""

    used: int
    taken: int


class Retention(Inboxes):
    """The part of `Store` that removes messages."""

    def __init__(self, path: str | os.PathLike[str], config: StoreConfig | None = None) -> None:
        super().__init__(path, config)
        self._repeats = Repeats(self._connection, self.config.max_repeats)

    def _forget(self) -> None:
        super()._forget()
        self._repeats.forget()

    # ---- room

    def _used(self) -> int:
        """Bytes of the file in which there is something."""
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._number("PRAGMA page_size")

    def _has_room(self, message: NewMessage, receivers: int, writes: Room) -> bool:
        """Whether another message fits, after some went that all have read if need be."""
        chosen = len(message.payload) + len(message.packet_id) + len(message.biz_type or "")
        taken = writes.taken + MESSAGE_BYTES + chosen + PLACE_BYTES * receivers
        if writes.used + taken > self.config.max_bytes and not self._nothing_to_gain:
            self._nothing_to_gain = not self._make_room(taken)
            writes.used = self._used()
        if writes.used + taken > self.config.max_bytes:
            return False
        writes.taken = taken
        return True

    def _make_room(self, size: int) -> bool:
        """Remove messages that all have read, the oldest first, until there is enough room; whether there were any."""
        goal, last, removed = round(self.config.max_bytes * ENOUGH) - size, 0, 0
        while self._used() > goal:
            query = "SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?"
            found = [number for (number,) in self._connection.execute(query, (last, SEARCHED))]
            if not found:
                break
            unread = self._unread(found[0], found[-1])
            read = [number for number in found if number not in unread]
            self._remove_places("message IN (SELECT value FROM json_each(?))", json.dumps(read))
            self._delete_messages(read)
            last, removed = found[-1], removed + len(read)
        return removed > 0

    def _unread(self, first: int, last: int) -> set[int]:
        """Of the messages with these ids those that somebody has yet to read."""
        query = "SELECT message, receiver, position FROM inbox WHERE message BETWEEN ? AND ?"
        places = self._connection.execute(query, (first, last)).fetchall()
        passed = {uuid: self._hindmost(self._known(uuid)) for _, uuid, _ in places}
        return {message for message, uuid, position in places if position > passed[uuid]}

    # ---- age

    def sweep(self, wall_ms: int) -> bool:
        with self._writing():
            more = [
                self._sweep_cursors(wall_ms),
                self._sweep_inboxes(self.config.horizon(wall_ms)),
                self._sweep_histories(self.config.history_horizon(wall_ms)),
                self._repeats.sweep(sequence_floor(wall_ms, self.config.repeat_window)),
            ]
            self._nothing_to_gain = False
            self._trim()
            return any(more)

    def _sweep_cursors(self, wall_ms: int) -> bool:
        latest = wall_ms - round(self.config.cursor_idle * 1000)
        query = "SELECT DISTINCT uuid FROM cursor WHERE claimed = 0 AND last_seen <= ? LIMIT ?"
        users = self._connection.execute(query, (latest, SWEPT)).fetchall()
        for (uuid,) in users:
            self._cursors(self._known(uuid), wall_ms)
        return len(users) == SWEPT

    def _sweep_inboxes(self, horizon: int) -> bool:
        """Messages that waited for too long leave the inboxes. Ids rise with time, so they are the lowest."""
        done = self._expired()
        query = "SELECT id, sequence FROM message WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (done, SWEPT)).fetchall()
        old = [number for number, sequence in rows if sequence < horizon]
        if not old:
            return False
        self._remove_places("message BETWEEN ? AND ?", old[0], old[-1])
        self._delete_messages(old, "kept <= 0")
        self._connection.execute("INSERT OR REPLACE INTO counter VALUES ('expired', ?)", (old[-1],))
        return len(old) == SWEPT

    def _expired(self) -> int:
        """The highest id of those that have left the inboxes for their age."""
        row = self._one("SELECT value FROM counter WHERE name = 'expired'")
        return row[0] if row else 0

    def _remove_places(self, which: str, *values: object) -> None:
        """Take messages out of all inboxes they are in."""
        query = f"SELECT receiver, position, fleeting FROM inbox WHERE {which}"
        places = self._connection.execute(query, values).fetchall()
        self._take_out([(receiver, position) for receiver, position, _ in places])
        fleeting: Counter[int] = Counter()
        for receiver, _, count in places:
            fleeting[receiver] += count
        for receiver, count in fleeting.items():
            self._forget_front(self._known(receiver), count)

    def _sweep_histories(self, horizon: int) -> bool:
        query = "SELECT id, sequence FROM message WHERE id <= ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (self._expired(), SWEPT)).fetchall()
        old = [number for number, sequence in rows if sequence < horizon]
        self._delete_messages(old)
        return len(old) == SWEPT

"""What was stored lately, so that a message that comes again is answered as before and not stored twice.

Rows are only ever added at the end and removed at the front; where each is, is kept in memory (about 0.2 KiB for each),
because an index on something as random as a digest would cost more than all else that a message writes.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from mimc_proto._record import new_record

from ..contract import NewMessage, Stored

__all__ = ["Repeats"]

DIGEST = 16
SWEPT = 10_000


class Repeats:
    """The repeats of all applications. ``limit`` of each are remembered."""

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._rows: dict[bytes, int] | None = None  # ids by digest
        self._counts: dict[int, int] = {}
        self._next = 0

    def forget(self) -> None:
        """What is in memory may not be what the file says."""
        self._rows = None

    @staticmethod
    def digest(message: NewMessage) -> bytes:
        """What two messages share if one repeats the other. The target says the kind as well: accounts are text, and
        groups of both kinds are numbered together."""
        head = f"{message.app_id} {message.sender.uuid} {message.target!r} {message.packet_id!r} {message.resource!r}\n"
        whole = head.encode(errors="surrogatepass") + message.payload  # a repr has no line breaks: it ends at the first
        return blake2b(whole, digest_size=DIGEST).digest()

    def first(self, digest: bytes, oldest: int) -> Stored | None:
        """How the first of them was answered, marked as repeated; None if its sequence is lower than ``oldest``."""
        row_id = self._known().get(digest)
        if row_id is None:
            return None
        query = "SELECT sequence, timestamp, conv_index FROM repeat WHERE id = ?"
        sequence, timestamp, index = self._connection.execute(query, (row_id,)).fetchone()
        return None if sequence < oldest else new_record(Stored, (sequence, timestamp, index, (), True))

    def remember(self, rows: list[tuple[int, bytes, int, int, int]]) -> None:
        """Messages were stored that were no repeats: application, digest, sequence, timestamp and index of each."""
        known, counts, number = self._known(), self._counts, self._next
        numbered = []
        for row in rows:
            known[row[1]] = number
            counts[row[0]] = counts.get(row[0], 0) + 1
            numbered.append((number, *row))
            number += 1
        self._next = number
        self._connection.executemany("INSERT INTO repeat VALUES (?, ?, ?, ?, ?, ?)", numbered)
        for app_id in {row[0] for row in rows}:
            if counts[app_id] > self._limit:
                query = "SELECT id, digest, app_id FROM repeat WHERE app_id = ? ORDER BY id LIMIT ?"
                self._remove(self._connection.execute(query, (app_id, counts[app_id] - self._limit)).fetchall())

    def sweep(self, oldest: int) -> bool:
        """Remove what has a lower sequence; whether there is more."""
        query = "SELECT id, digest, app_id, sequence FROM repeat ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (SWEPT,)).fetchall()
        old = [row[:3] for row in rows if row[3] < oldest]
        self._remove(old)
        return len(old) == SWEPT

    def _remove(self, rows: list[tuple[int, bytes, int]]) -> None:
        known = self._known()
        for row_id, digest, app_id in rows:
            if known.get(digest) == row_id:
                del known[digest]
            self._counts[app_id] -= 1
        self._connection.executemany("DELETE FROM repeat WHERE id = ?", [(row[0],) for row in rows])

    def _known(self) -> dict[bytes, int]:
        known = self._rows
        if known is None:
            known = self._rows = {}
            self._counts = {}
            self._next = 1
            for row_id, app_id, digest in self._connection.execute("SELECT id, app_id, digest FROM repeat ORDER BY id"):
                known[digest] = row_id
                self._counts[app_id] = self._counts.get(app_id, 0) + 1
                self._next = row_id + 1
        return known

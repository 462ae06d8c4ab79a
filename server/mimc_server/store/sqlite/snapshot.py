"""The database as it was at one moment, read beside the store that goes on writing it.

Readers of a write-ahead log hold nobody up: only the log cannot be emptied while one of them is there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import quote

from ..contract import Statistics, StoreError

__all__ = ["Snapshot", "integrity"]

PAGES = 1024
"""Pages that are copied at once, 4 MiB: then it can be broken off."""

INSTRUCTIONS = 100_000
"""Of SQLite's machine, a few milliseconds: then a query can be broken off."""


class Snapshot:
    """What a database holds now, for one thread, whatever it is; a context manager.

    The file is not changed. ``cancelled`` is asked now and then: what is under way when it gives True raises
    `StoreError`, as does everything that fails.
    """

    def __init__(self, path: str | os.PathLike[str], cancelled: Callable[[], bool] = lambda: False) -> None:
        self._path = Path(path).absolute()
        self._cancelled = cancelled
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("BEGIN")
                self._connection.execute(
                    "SELECT count(*) FROM sqlite_schema"
                ).fetchone()  # from here on it stands still
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self._path}: {error}") from error
        self._connection.set_progress_handler(cancelled, INSTRUCTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def statistics(self) -> Statistics:
        """`Store.statistics`."""
        read = self._connection.execute
        try:
            users, groups, messages = (
                read(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("user", "topic", "message")
            )
            pages, free, size = (
                read(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
            )
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self._path}: {error}") from error
        return Statistics(users=users, groups=groups, messages=messages, bytes=(pages - free) * size)

    def check(self) -> list[str]:
        """`SqliteStore.check`."""
        return integrity(self._connection)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """`SqliteStore.backup`."""
        target = Path(path)
        try:
            part = self._place_beside(target)
            try:
                os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                self._copy(part)
                part.replace(target)
                _sync(target.parent)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except (OSError, ValueError, sqlite3.Error) as error:  # ValueError for what no path can be
            reason = getattr(error, "strerror", None) or error  # Python's words for it name the file once more
            raise StoreError(f"cannot copy the database to {target}: {reason}") from error

    def _place_beside(self, target: Path) -> Path:
        """Where the copy is made until it is whole; there is nothing yet. Raises `StoreError` for a target that is not
        to be replaced."""
        if target.absolute().parent.resolve() / target.name in _files(self._path):
            raise StoreError(f"expected another file than the database, got {target}")
        if target.exists() and not target.is_file():  # root would replace a device as readily
            raise StoreError(f"expected a file or nothing at {target}, found something else")
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)  # what a backup that was killed has left
        return part

    def _copy(self, path: Path) -> None:
        """One file, with nothing beside it, that has reached the disk."""
        copy = sqlite3.connect(path)
        try:
            self._connection.backup(copy, pages=PAGES, progress=self._look, sleep=0)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        _sync(path)

    def _look(self, *_: object) -> None:
        if self._cancelled():
            raise StoreError("the backup was broken off")


def integrity(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with a database; nothing of a good one."""
    try:
        found = [text for (text,) in connection.execute("PRAGMA integrity_check").fetchall()]
    except sqlite3.Error as error:  # it cannot even be read
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise StoreError("the check was broken off") from error
        return [str(error)]
    return [] if found == ["ok"] else found


def _files(database: Path) -> list[Path]:
    """A database, and what stands beside it."""
    real = database.resolve()
    return [real.with_name(real.name + suffix) for suffix in ("", "-wal", "-shm", "-journal", ".lock")]


def _sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

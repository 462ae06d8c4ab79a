"""The file: opened, locked, and written in transactions that happen wholly or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config import StoreConfig
from ..contract import StoreError
from .schema import migrate

__all__ = ["Medium"]

CACHE_KIB = 64 * 1024
"""Memory for pages of the database."""

CHECKPOINT_PAGES = 16_000
"""Pages in the write-ahead log at which they are moved into the database, 64 MiB: many were written more than once."""

MOST_LOG = 64 * 1024 * 1024
"""Bytes that the file of the log keeps when it is empty."""


class Medium:
    """An SQLite database. Raises `StoreError` for whatever goes wrong with it."""

    def __init__(self, path: str | os.PathLike[str], config: StoreConfig | None = None) -> None:
        self.config = config or StoreConfig()
        self.path = Path(path)
        self._open = False
        self._failure: StoreError | None = None
        self._closed = False
        self._lock = _locked(self.path)
        try:
            self._connection = _opened(self.path)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, (sqlite3.Error, StoreError)):
                raise StoreError(f"cannot use {self.path}: {error}") from error
            raise

    def close(self) -> None:
        """Let go of the file. May be called again."""
        if not self._closed:
            self._closed = True
            self._connection.close()
            os.close(self._lock)

    def _forget(self) -> None:
        """Drop what is kept in memory of the file."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """`Store.transaction`."""
        if self._open:
            raise StoreError("expected one transaction at a time")
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
        self._open, self._failure = True, None
        try:
            yield
            if self._failure is None:
                with self._errors():
                    self._connection.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        finally:
            failure, self._failure, self._open = self._failure, None, False
        if failure is not None:
            raise failure

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Around each method that changes something: a part of the transaction there is, or one of its own."""
        if not self._open:
            with self.transaction(), self._errors():
                yield
            return
        if self._failure is not None:
            raise self._failure
        try:
            with self._errors():
                yield
        except StoreError as error:
            if type(error) is StoreError:  # the others are answers
                self._failure = error
                self._undo()
            raise
        except BaseException:
            self._failure = StoreError("the transaction was broken off")
            self._undo()
            raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Around each method that changes nothing."""
        if self._failure is not None:
            raise self._failure
        with self._errors():
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the database failed: {error}") from error

    def _undo(self) -> None:
        """Back to what the file says."""
        self._forget()
        with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    # ------------------------------------------------------------------------------------------------- short words

    def _one(self, query: str, *values: Any) -> Any:
        """The first row, or None."""
        return self._connection.execute(query, values).fetchone()

    def _number(self, query: str, *values: Any) -> int:
        """The one number that a query gives."""
        number: int = self._connection.execute(query, values).fetchone()[0]
        return number

    def _next(self, counter: str, first: int) -> int:
        """The next of numbers that are given once."""
        query = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return self._number(query, counter, first)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {MOST_LOG}")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _locked(path: Path) -> int:
    """An open lock beside the database, which nobody else holds; makes the folder and an empty file, for us alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror or error}") from error
    try:
        _lock(lock)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except BlockingIOError:
        os.close(lock)
        raise StoreError(f"another process uses {path}: stop it, or name another file") from None
    except OSError as error:
        os.close(lock)
        raise StoreError(f"cannot use {path}: {error.strerror or error}") from error
    return lock


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(str(error)) from error
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

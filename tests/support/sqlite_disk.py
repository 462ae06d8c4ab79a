"""A disk below SQLite: it counts what is synced, fails when it is told to, and shows what a power cut would leave.

SQLite reads and writes its files through a table of functions (a "VFS"). `Disk` puts itself between SQLite and the
table of this system, for the files of one folder. The real functions do the work; the shared memory of the write-ahead
log passes by, for no power cut leaves anything of it.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["FAILED", "FULL", "READ_ONLY", "SYNC_FAILED", "Disk", "Image", "unavailable"]

READ_ONLY, FAILED, FULL, SYNC_FAILED = 8, 10 | 3 << 8, 13, 10 | 4 << 8
"""What SQLite calls it if a disk cannot be written at all, fails, is full, or fails at a sync."""

SECTOR = 512

# The name goes on as the pointer that it is: SQLite keeps it for as long as the file is open.
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
        ("others", ctypes.c_void_p * 13),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("close", _CLOSE),
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", ctypes.c_void_p * 13),
    ]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


Image = dict[str, bytes]
"""What is on a disk: files by their names."""

_Change = tuple[int, bytes | None]
"""Bytes that were written at an offset, or None: the file ends there."""


class _Content:
    """A file: what is on the disk, and what was written and not synced since."""

    def __init__(self, content: bytes) -> None:
        self.synced = bytearray(content)
        self.waiting: list[_Change] = []

    def sync(self) -> None:
        for change in self.waiting:
            _apply(self.synced, change)
        self.waiting.clear()

    def after_cut(self, rng: Random | None) -> bytes:
        """What a power cut leaves: what is synced, and of the rest any part, whole or not, in any order."""
        left = bytearray(self.synced)
        if rng is not None:
            for offset, data in rng.sample(self.waiting, rng.randint(0, len(self.waiting))):
                torn = data is not None and rng.random() < 0.2
                _apply(left, (offset, data[: rng.randrange(0, len(data), SECTOR)] if data and torn else data))
        return bytes(left)


def _apply(content: bytearray, change: _Change) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


def _library() -> ctypes.CDLL:
    """SQLite as Python's own module uses it. Raises `AttributeError` if that keeps it to itself."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    return library


def unavailable() -> str:
    """Why there can be no `Disk` here; empty if there can."""
    try:
        _library()
    except (AttributeError, OSError) as error:
        return f"this Python's SQLite cannot be reached: {error}"
    return ""


class Disk:
    """The disk of a folder, while it is `mounted`.

    ``fault`` and ``sync_fault`` are what writes and syncs fail with; 0: they do not. ``before`` is called before every
    write and every sync that does something.
    """

    def __init__(self, folder: Path) -> None:
        self.fault = self.sync_fault = 0
        self.syncs: list[str] = []
        """Names of the files that were synced, one for each time."""
        self.before: Callable[[], object] = lambda: None
        self._folder = folder
        self._contents: dict[str, _Content] = {}
        self._opened: dict[int, str] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        self._kept: list[Any] = []

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Databases that are opened in this block are on this disk; they are closed before it ends."""
        library = _library()
        below = library.sqlite3_vfs_find(None)
        vfs = _Vfs.from_buffer_copy(below.contents)
        vfs.name, vfs.next = b"disk-of-a-test", None

        def opened(_: int, name: int | None, file: int, flags: int, out: Any) -> int:
            status: int = below.contents.open(ctypes.addressof(below.contents), name, file, flags, out)
            path = Path(ctypes.string_at(name).decode()) if name else None
            if status == 0 and path is not None and path.parent == self._folder:
                self._take(file, path)
            return status

        def deleted(_: int, name: bytes, synced: int) -> int:
            if self._is_here(name):
                if self.fault:
                    return self.fault
                self._contents.pop(Path(name.decode()).name, None)
            status: int = below.contents.delete(ctypes.addressof(below.contents), name, synced)
            return status

        vfs.open, vfs.delete = _OPEN(opened), _DELETE(deleted)
        library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
        try:
            yield
        finally:
            library.sqlite3_vfs_unregister(ctypes.byref(vfs))
            assert not self._opened

    def image(self, rng: Random | None = None) -> Image:
        """What a power cut at this moment leaves: only what is synced, or by chance some of the rest as well."""
        return {name: content.after_cut(rng) for name, content in self._contents.items()}

    # --------------------------------------------------------------------------------------------------------- inside

    def _is_here(self, name: bytes) -> bool:
        return Path(name.decode()).parent == self._folder

    def _take(self, address: int, path: Path) -> None:
        """Put our functions between SQLite and a file that was opened."""
        file = _File.from_address(address)
        below = ctypes.addressof(file.methods.contents)
        if below not in self._tables:
            self._tables[below] = file.methods.contents, self._table(file.methods.contents)
        file.methods = ctypes.pointer(self._tables[below][1])
        self._opened[address] = path.name
        if path.name not in self._contents:
            self._contents[path.name] = _Content(path.read_bytes())

    def _table(self, below: _Methods) -> _Methods:
        def close(file: int) -> int:
            del self._opened[file]
            status: int = below.close(file)
            return status

        def write(file: int, data: int, size: int, offset: int) -> int:
            self.before()
            status: int = self.fault or below.write(file, data, size, offset)
            if status == 0:
                self._content(file).waiting.append((offset, ctypes.string_at(data, size)))
            return status

        def truncate(file: int, size: int) -> int:
            self.before()
            status: int = self.fault or below.truncate(file, size)
            if status == 0:
                self._content(file).waiting.append((size, None))
            return status

        def sync(file: int, flags: int) -> int:
            self.before()
            status: int = self.sync_fault or below.sync(file, flags)
            if status == 0:
                self._content(file).sync()
                self.syncs.append(self._opened[file])
            return status

        table = _Methods.from_buffer_copy(below)
        table.close, table.write = _CLOSE(close), _WRITE(write)
        table.truncate, table.sync = _TRUNCATE(truncate), _SYNC(sync)
        return table

    def _content(self, file: int) -> _Content:
        return self._contents[self._opened[file]]

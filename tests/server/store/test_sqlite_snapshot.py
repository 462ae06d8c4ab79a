"""The database read beside the store that writes it: copies and checks of one moment, which hold nobody up."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from mimc_server.store import Snapshot, SqliteStore, StoreError
from mimc_server.store.sqlite import snapshot as module
from support.store_bed import Bed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mimc.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path)


@pytest.fixture
def bed(store: SqliteStore) -> Bed:
    return Bed(store)


def payloads_in(copy: Path) -> list[bytes]:
    restored = Bed(SqliteStore(copy))
    found = restored.payloads("bob")
    restored.store.close()
    return found


def test_it_shows_one_moment_whatever_is_written_after_it(store: SqliteStore, bed: Bed, tmp_path: Path) -> None:
    bed.send("alice", "bob", b"before")
    bed.group("alice", "bob")
    with store.snapshot() as snapshot:
        before = store.statistics()
        bed.send("alice", "bob", b"after")
        bed.send("carol", "bob", b"after")
        assert snapshot.statistics().replace(bytes=0) == before.replace(bytes=0)
        assert store.statistics().messages == 3
        assert snapshot.check() == []
        snapshot.backup(tmp_path / "copy.db")
    assert payloads_in(tmp_path / "copy.db") == [b"before"]


def test_a_backup_ends_while_messages_keep_coming(
    store: SqliteStore, bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGES", 1)
    pauses = 0

    def come() -> bool:
        """Between any two pages another message is stored; a copy that began anew each time would never end."""
        nonlocal pauses
        pauses += 1
        assert pauses < 1000
        bed.send("alice", "bob", b"meanwhile")
        return False

    bed.send("alice", "bob", b"before")
    with store.snapshot(come) as snapshot:
        snapshot.backup(tmp_path / "copy.db")
    assert pauses > 10
    assert payloads_in(tmp_path / "copy.db") == [b"before"]


def test_what_is_not_committed_is_not_in_a_copy(store: SqliteStore, bed: Bed, tmp_path: Path) -> None:
    bed.send("alice", "bob", b"before")
    with store.transaction():
        bed.send("alice", "bob", b"within")
        store.backup(tmp_path / "copy.db")
    assert payloads_in(tmp_path / "copy.db") == [b"before"]


def test_a_copy_is_for_its_owner_alone_and_has_nothing_beside_it(store: SqliteStore, bed: Bed, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    bed.send("alice", "bob")
    store.backup(folder / "copy.db")
    [copy] = folder.iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_what_a_killed_backup_left_is_replaced(store: SqliteStore, bed: Bed, tmp_path: Path) -> None:
    bed.send("alice", "bob", b"1")
    (tmp_path / "copy.db").write_text("an older copy")
    part = tmp_path / "copy.db.part"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    part.symlink_to(victim)  # or somebody laid a trap there
    store.backup(tmp_path / "copy.db")
    assert victim.read_text() == "precious"
    assert not part.exists()
    assert payloads_in(tmp_path / "copy.db") == [b"1"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock"])
def test_the_database_itself_is_no_place_for_its_copy(
    store: SqliteStore, bed: Bed, path: Path, tmp_path: Path, suffix: str
) -> None:
    bed.send("alice", "bob", b"1")
    (tmp_path / "link").symlink_to(path.parent)
    for folder in (path.parent, tmp_path / "link", path.parent / ".." / "data"):
        with pytest.raises(StoreError, match="expected another file than the database"):
            store.backup(folder / (path.name + suffix))
    assert bed.payloads("bob") == [b"1"]
    assert store.check() == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has none")
def test_only_a_file_is_replaced(store: SqliteStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "as-stdout").symlink_to("pipe")
    for name in ("pipe", "as-stdout"):
        with pytest.raises(StoreError, match=rf"expected a file or nothing at .*/{name}, found something else"):
            store.backup(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "as-stdout").is_symlink()


@pytest.mark.parametrize("target", ["/", "/tmp/a\0b", f"/tmp/{'a' * 300}"], ids=["root", "no path", "too long"])
def test_what_can_be_no_file_is_told(store: SqliteStore, target: str) -> None:
    with pytest.raises(StoreError):
        store.backup(target)


def test_a_copy_that_is_broken_off_leaves_nothing(store: SqliteStore, bed: Bed, tmp_path: Path) -> None:
    bed.send("alice", "bob", b"1")
    (tmp_path / "copy.db").write_text("an older copy")
    with store.snapshot(lambda: True) as snapshot, pytest.raises(StoreError, match="the backup was broken off"):
        snapshot.backup(tmp_path / "copy.db")
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "data"]
    assert (tmp_path / "copy.db").read_text() == "an older copy"


def test_a_check_can_be_broken_off(store: SqliteStore, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INSTRUCTIONS", 1)
    bed.send("alice", "bob", b"1")
    over = False
    with store.snapshot(lambda: over) as snapshot:
        over = True
        with pytest.raises(StoreError, match="the check was broken off"):
            snapshot.check()
        with pytest.raises(StoreError, match=r"cannot read .*: interrupted"):
            snapshot.statistics()


def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*none\.db: unable to open database file"):
        Snapshot(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Snapshot(tmp_path / "text.db")


def test_names_with_odd_characters_are_names(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c %41&mode=rwc" / "mimc.db"
    bed = Bed(SqliteStore(path))
    bed.send("alice", "bob", b"1")
    with Snapshot(path) as snapshot:
        assert snapshot.statistics().messages == 1


def test_the_file_is_never_written_to(store: SqliteStore) -> None:
    with Snapshot(store.path) as snapshot, pytest.raises(sqlite3.OperationalError, match="readonly"):
        snapshot._connection.execute("DELETE FROM user")

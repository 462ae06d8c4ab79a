"""The file of an `SqliteStore`: who may use it, what it is, how it is copied, and what is true after any end."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from mimc_server.store import Conversation, Kind, SqliteStore, StoreConfig, StoreError
from mimc_server.store.sqlite import appending, users
from mimc_server.store.sqlite.schema import APPLICATION_ID
from support.store_bed import APP, Bed

ALL = 1 << 62

KILLED = """
import sys
sys.path[:0] = {path!r}
from mimc_server.store import SqliteStore
from support.store_bed import Bed
bed = Bed(SqliteStore({database!r}))
print("ready", flush=True)
number = {first}
while True:
    batch = [bed.message("alice", "bob", str(number + n).encode(), packet_id=str(number + n)) for n in range(5)]
    for n, stored in enumerate(bed.append(*batch)):
        print(number + n, stored.sequence, flush=True)
    number += 5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mimc.db"


def opened(path: Path, config: StoreConfig | None = None) -> Bed:
    return Bed(SqliteStore(path, config))


def modes(path: Path) -> list[str]:
    return sorted({oct(stat.S_IMODE(file.stat().st_mode)) for file in (path.parent, *path.parent.iterdir())})


def test_everything_is_there_when_it_is_opened_again(path: Path) -> None:
    bed = opened(path)
    group = bed.group("alice", "bob")
    claim = bed.login("bob")
    one = bed.send("alice", "bob", b"1")
    bed.send("alice", group.topic_id, b"2", is_store=False)
    bed.ack("bob", one.sequence)
    first = bed.message("bob", "alice", b"3")
    stored = bed.append_one(first)
    bed.store.close()
    again = opened(path)
    assert again.payloads("bob", 1) == [b"2"]
    assert again.login("bob").replace(epoch=0) == claim.replace(
        epoch=0, sequence=one.sequence, position=1, previous_node="n1"
    )
    assert again.append_one(first) == stored.replace(deliveries=(), repeated=True)
    assert again.send("alice", "bob").sequence > stored.sequence
    assert again.store.group(APP, group.topic_id, unlimited=False) == group


def test_a_floor_outlives_its_cursor_also_if_the_file_was_opened_in_between(path: Path) -> None:
    a_day = StoreConfig(cursor_idle=86_400.0)
    bed = opened(path, a_day)
    bed.login("bob")
    one = bed.send("alice", "bob")
    bed.send("alice", "bob")
    bed.ack("bob", one.sequence)
    bed.logout("bob")
    for days in (0, 2):  # the cursor is there, and it is not
        bed.store.close()
        bed = opened(path, a_day)
        bed.now += days * 86_400_000
        bed.store.sweep(bed.now)
        new = bed.login("bob", f"after {days} days")
        assert (new.position, new.sequence) == (1, one.sequence)
        bed.logout("bob", f"after {days} days")


def test_more_than_is_kept_in_memory_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (users, appending):
        monkeypatch.setattr(module, "MOST_CACHED", 4)
    bed = opened(path)
    for round_ in range(1, 4):
        for number in range(9):
            bed.login(f"user{number}")
            stored = bed.send(f"user{number}", f"user{(number + 1) % 9}")
            assert [delivery.position for delivery in stored.deliveries] == [round_]
            assert stored.conv_index == round_
    for number in range(9):
        assert len(bed.payloads(f"user{number}", 0)) == 3


def test_only_its_owner_can_read_it(path: Path) -> None:
    bed = opened(path)
    bed.send("alice", "bob")
    assert modes(path) == ["0o600", "0o700"]
    bed.store.close()


def test_a_second_user_of_the_file_is_told_so(path: Path) -> None:
    first = SqliteStore(path)
    with pytest.raises(StoreError, match=r"another process uses .*mimc\.db: stop it"):
        SqliteStore(path)
    first.close()
    SqliteStore(path).close()


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot use"):
        SqliteStore(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE something (else_ INTEGER)")
    other.close()
    with pytest.raises(StoreError, match=r"cannot use .*mimc\.db: expected a database of this service"):
        SqliteStore(path)


def test_a_newer_database_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 1000")
    database.close()
    with pytest.raises(StoreError, match=r"cannot use .*mimc\.db: the database is of version 1000"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot use"):
        SqliteStore(tmp_path / "file" / "mimc.db")
    with pytest.raises(StoreError, match="cannot use"):
        SqliteStore(tmp_path)


def test_what_is_committed_has_reached_the_disk(path: Path) -> None:
    store = SqliteStore(path)
    asked = {name: store._one(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous", "application_id")}
    assert asked == {"journal_mode": "wal", "synchronous": 2, "application_id": APPLICATION_ID}
    store.close()


def test_a_copy_is_whole_and_does_not_change(path: Path, tmp_path: Path) -> None:
    bed = opened(path)
    bed.send("alice", "bob", b"before")
    copy = tmp_path / "copy.db"
    bed.store.backup(copy)  # type: ignore[attr-defined]
    bed.send("alice", "bob", b"after")
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("copy")] == ["copy.db"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restored = opened(copy)
    assert restored.payloads("bob") == [b"before"]
    assert restored.store.check() == []  # type: ignore[attr-defined]


def test_a_copy_that_cannot_be_made_leaves_the_older_one(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="cannot copy the database"):
        store.backup(tmp_path / "no such folder" / "copy.db")
    assert store.check() == []


def test_a_damaged_file_is_found(path: Path) -> None:
    bed = opened(path)
    for _ in range(300):
        bed.send("alice", "bob", bytes(500))
    bed.store.close()
    with path.open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * 9_000)
    again = SqliteStore(path)
    assert again.check() != []


@pytest.mark.parametrize("round_", range(3))
def test_what_was_told_as_stored_is_there_after_a_kill(path: Path, round_: int) -> None:
    rng = random.Random(round_)
    told: dict[int, int] = {}
    for _ in range(2):
        program = KILLED.format(path=[str(Path(__file__).parents[2]), *sys.path], database=str(path), first=len(told))
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = iter(process.stdout)
            assert next(lines) == "ready\n"
            for _ in range(rng.randrange(1, 300)):
                number, sequence = next(lines).split()
                told[int(number)] = int(sequence)
            os.kill(process.pid, signal.SIGKILL)
            for line in lines:  # what it told before it was killed
                if line.endswith("\n"):
                    number, sequence = line.split()
                    told[int(number)] = int(sequence)
    bed = opened(path)
    assert bed.store.check() == []  # type: ignore[attr-defined]
    conversation = Conversation(app_id=APP, kind=Kind.P2P, one=bed.uuid("alice"), other=bed.uuid("bob"))
    shown = bed.store.history(conversation, 0, ALL, 1_000_000)
    stored = {int(message.packet_id): message.sequence for message in shown}
    assert len(stored) == len(shown)
    assert {number: stored.get(number) for number in told} == told
    assert [message.sequence for message in bed.inbox("bob")] == sorted(stored.values())


def test_a_disk_that_is_full_gives_no_false_answer_and_goes_on_when_there_is_room(path: Path) -> None:
    bed = opened(path)
    before = bed.send("alice", "bob", b"before")
    store = bed.store
    assert isinstance(store, SqliteStore)
    pages = store._number("PRAGMA page_count")
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    messages = [bed.message("alice", "bob", bytes(15_000)) for _ in range(100)]
    with pytest.raises(StoreError, match="full"):
        [bed.append(message) for message in messages]
    kept = len(bed.payloads("bob"))
    store._connection.execute("PRAGMA max_page_count = 1000000")
    after = bed.send("alice", "bob", b"after")
    assert after.sequence > before.sequence
    assert len(bed.payloads("bob")) == kept + 1
    assert [message.position for message in bed.inbox("bob")] == list(range(1, kept + 2))
    assert store.check() == []


def test_a_disk_that_cannot_be_written_still_gives_what_is_there(path: Path) -> None:
    bed = opened(path)
    bed.send("alice", "bob", b"kept")
    store = bed.store
    assert isinstance(store, SqliteStore)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="readonly"):
        bed.send("alice", "bob", b"lost")
    assert bed.payloads("bob") == [b"kept"]
    store._connection.execute("PRAGMA query_only = OFF")
    bed.send("alice", "bob", b"later")
    assert bed.payloads("bob") == [b"kept", b"later"]


def test_what_all_have_read_makes_room_the_oldest_first(path: Path) -> None:
    bed = opened(path, StoreConfig(max_bytes=400_000))
    bed.login("bob")
    for number in range(100):
        sent = bed.send("alice", "bob", b"%d" % number + bytes(9_000))
        bed.ack("bob", sent.sequence)
    left = [int(payload.rstrip(b"\0")) for payload in bed.payloads("bob")]
    assert left == list(range(left[0], 100))
    assert 10 < len(left) < 60


def test_what_nobody_has_read_is_not_dropped_for_room(path: Path) -> None:
    bed = opened(path, StoreConfig(max_bytes=300_000))
    sent = 0
    while True:
        [answer] = bed.append(bed.message("alice", "bob", bytes(9_000)))
        if not hasattr(answer, "sequence"):
            break
        sent += 1
    assert "StoreConfig.max_bytes" in answer.message
    assert len(bed.payloads("bob")) == sent > 5
    bed.login("bob")
    bed.ack("bob", ALL)
    assert bed.send("alice", "bob", b"there is room again")


def test_a_long_sweep_is_done_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_server.store.sqlite.retention.SWEPT", 10)
    monkeypatch.setattr("mimc_server.store.sqlite.repeats.SWEPT", 10)
    bed = opened(path)
    for _ in range(35):
        bed.send("alice", "bob")
    bed.now += 200 * 86_400_000
    sweeps = 1
    while bed.store.sweep(bed.now):
        sweeps += 1
    assert sweeps == 4
    assert (bed.payloads("bob"), bed.store.statistics().messages) == ([], 0)

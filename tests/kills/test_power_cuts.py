"""What is acknowledged is on the disk, not only on its way there: a power cut at any moment leaves it.

`Disk` is below SQLite, which does all that it does, and says after each write what a power cut would leave.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from mimc_server.store import SqliteStore, Stored, StoreError
from support.sqlite_disk import FAILED, FULL, READ_ONLY, SYNC_FAILED, Disk, Image, unavailable
from support.store_bed import DAY, Bed

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

SEEDS = range(int(os.environ.get("MIMC_EXAMPLES", "50")) // 10)
WAL = "mimc.db-wal"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "data")
    with made.mounted():
        yield made


def opened(tmp_path: Path) -> Bed:
    return Bed(SqliteStore(tmp_path / "data" / "mimc.db"))


def after(image: Image, place: Path) -> Bed:
    """A store on what a power cut left."""
    place.mkdir()
    for name, content in image.items():
        (place / name).write_bytes(content)
    return Bed(SqliteStore(place / "mimc.db"))


def check(store: object) -> list[str]:
    assert isinstance(store, SqliteStore)
    return store.check()


def test_every_commit_waits_for_the_disk_and_a_batch_waits_once(disk: Disk, tmp_path: Path) -> None:
    bed = opened(tmp_path)
    bed.user("alice"), bed.user("bob")
    for number in range(5):
        disk.syncs.clear()
        bed.append(*[bed.message("alice", "bob", b"%d %d" % (number, part)) for part in range(50)])
        assert disk.syncs == [WAL]
        left = after(disk.image(), tmp_path / f"left {number}")
        assert len(left.payloads("bob")) == 50 * (number + 1)
        left.store.close()
    disk.syncs.clear()
    with bed.store.transaction():
        for _ in range(10):
            bed.send("alice", "bob")
        claim = bed.login("bob")
        bed.ack("bob", bed.inbox("bob")[0].sequence)
        assert disk.syncs == []
    assert disk.syncs == [WAL]
    left = after(disk.image(), tmp_path / "left")
    assert left.store.claim(left.uuid("bob"), "phone", "n1", left.now).position == claim.position + 1
    left.store.close()
    bed.store.close()


def test_without_a_sync_a_power_cut_may_take_everything(disk: Disk, tmp_path: Path) -> None:
    """These tests can fail: what is written and not synced is not in what they look at."""
    bed = opened(tmp_path)
    bed.user("alice"), bed.user("bob")
    store = bed.store
    assert isinstance(store, SqliteStore)
    store._connection.execute("PRAGMA synchronous = OFF")
    bed.send("alice", "bob")
    left = after(disk.image(), tmp_path / "left")
    assert left.payloads("bob") == []
    left.store.close()
    store.close()


class Told:
    """What a store was asked for and has answered, in the order of the answers."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.acknowledged = 0

    def holds_in(self, bed: Bed, sequences: int, acknowledged: int) -> None:
        """All of the first so many answers."""
        assert check(bed.store) == []
        kept = [message.sequence for message in bed.inbox("bob")]
        assert kept[:sequences] == self.sequences[:sequences]
        assert len(kept) - sequences <= MOST_IN_A_BATCH
        claim = bed.store.claim(bed.uuid("bob"), "phone", "n1", bed.now)
        assert claim.position >= acknowledged
        again = bed.send("alice", "bob", b"afterwards")
        assert again.sequence > max(kept, default=0)
        bed.store.close()


MOST_IN_A_BATCH = 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_at_any_moment_leaves_what_was_answered(
    disk: Disk, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimc_server.store.sqlite.medium.CHECKPOINT_PAGES", 20)  # so that there are many of them
    rng, told = Random(seed), Told()
    cuts: list[tuple[int, int, Image]] = []

    def cut() -> None:
        if rng.random() < 0.02:
            cuts.append((len(told.sequences), told.acknowledged, disk.image(rng if rng.random() < 0.8 else None)))

    bed = opened(tmp_path)
    bed.user("alice"), bed.user("bob"), bed.login("bob")
    disk.before = cut
    for _ in range(60):
        if rng.random() < 0.7:
            batch = [
                bed.message("alice", "bob", rng.randbytes(rng.choice([10, 3000]))) for _ in range(rng.randint(1, 5))
            ]
            told.sequences += [stored.sequence for stored in bed.append(*batch) if isinstance(stored, Stored)]
        elif told.acknowledged < len(told.sequences):
            position = rng.randint(told.acknowledged + 1, len(told.sequences))
            assert bed.ack("bob", told.sequences[position - 1]) == position
            told.acknowledged = position
        if rng.random() < 0.05:
            bed.store.close()
            bed = opened(tmp_path)
            bed.login("bob")
    disk.before = lambda: None
    bed.store.close()
    assert disk.syncs.count("mimc.db") > 3  # checkpoints
    assert len(cuts) > 3
    for number, (sequences, acknowledged, image) in enumerate(cuts):
        told.holds_in(after(image, tmp_path / f"cut {number}"), sequences, acknowledged)


@pytest.mark.parametrize("fault", [FULL, FAILED, READ_ONLY, SYNC_FAILED])
def test_a_disk_that_fails_is_no_answer_and_what_was_answered_before_and_after_is_there(
    disk: Disk, tmp_path: Path, fault: int
) -> None:
    bed = opened(tmp_path)
    told = [bed.send("alice", "bob", b"before")]
    for _ in range(3):
        disk.sync_fault = fault
        disk.fault = 0 if fault == SYNC_FAILED else fault
        with pytest.raises(StoreError):
            bed.send("alice", "bob", b"refused")
        with pytest.raises(StoreError):
            bed.group("alice", "bob")
        disk.fault = disk.sync_fault = 0
        told.append(bed.send("alice", "bob", b"after"))
        assert bed.payloads("bob") == [b"before", *[b"after"] * (len(told) - 1)]
    left = after(disk.image(), tmp_path / "left")
    assert [message.sequence for message in left.inbox("bob")] == [stored.sequence for stored in told]
    assert check(left.store) == check(bed.store) == []
    left.store.close()
    bed.store.close()


def test_a_database_cannot_be_made_on_a_disk_that_fails(disk: Disk, tmp_path: Path) -> None:
    for fault in (FULL, FAILED, READ_ONLY):
        disk.fault = fault
        with pytest.raises(StoreError, match="cannot use"):
            opened(tmp_path)
    disk.fault = 0
    bed = opened(tmp_path)
    bed.send("alice", "bob")
    bed.store.close()


def test_a_sweep_that_fails_takes_nothing_away(disk: Disk, tmp_path: Path) -> None:
    bed = opened(tmp_path)
    bed.send("alice", "bob", b"old")
    bed.now += 200 * DAY
    bed.send("alice", "bob", b"new")
    disk.fault = FULL
    with pytest.raises(StoreError):
        bed.store.sweep(bed.now)
    disk.fault = 0
    assert bed.payloads("bob") == [b"old", b"new"]
    assert bed.store.sweep(bed.now) is False
    assert bed.payloads("bob") == [b"new"]
    bed.store.close()

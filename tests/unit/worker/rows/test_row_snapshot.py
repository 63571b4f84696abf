"""Snapshots on a real disk: taken while rows change, believed only when whole, and no harm where they cannot be written."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.core.columns import hash_id
from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError
from stream.log.records import Place
from stream.worker.rows.replica import Replica, ReplicaRefused
from stream.worker.rows.row_snapshot import HEADER_BYTES
from stream.worker.rows.snapshot_folder import LEFT_BEHIND_S, UNUSED_S, FolderFull, SnapshotFolder
from stream.worker.rows.snapshots import RowSnapshots

PLACE = Place("riskstream-accounts-rows", 3)
ROW = np.dtype([("schema", "<u2"), ("key", "S64"), ("count", "<i8", (8,))])
MB = 1 << 20
BLOCK = 3 * ROW.itemsize
FILE = "riskstream-accounts-rows-3.snapshot"


class Hop:
    """Two tables of trivial rows."""

    name = "accounts"

    def changelog(self, partition: int) -> Place:
        return PLACE._replace(partition=partition)

    def replica(self, partition: int) -> Replica[None]:
        return Replica(self.changelog(partition), None, RowTable(ROW, 1), (RowTable(ROW, 1),))


class Counted:
    def __init__(self) -> None:
        self.results: Counter[str] = Counter()

    def snapshot(self, result: str) -> None:
        self.results[result] += 1

    def thread_restarted(self, thread: str) -> None:
        self.results[f"restarted {thread}"] += 1


def put(table: RowTable, name: str, count: int) -> None:
    slots = table.claim(np.array([hash_of(name)], np.uint64), np.array([name.encode()], "S64"))
    table.rows["count"][slots] = count
    table.mark_changed(slots)


def hash_of(name: str) -> int:
    return int(hash_id(name.encode()))


def counts(table: RowTable) -> dict[bytes, int]:
    return {bytes(row["key"]): int(row["count"][0]) for row in table.sorted_rows()}


class Day:
    """A hop's rows, and the snapshots of them."""

    def __init__(self, path: Path, limit: int = MB, identity: str = "c/t") -> None:
        self.folder = SnapshotFolder(path, limit)
        self.identity = identity
        self.counted = Counted()
        self.now = 0.0
        self.snapshots = RowSnapshots(
            self.folder, lambda topic: self.identity, 60.0, self.counted, lambda: self.now, BLOCK
        )
        self.table, self.beside = RowTable(ROW, 1), RowTable(ROW, 1)
        for number in range(20):
            put(self.table, f"a{number}", number)
        put(self.beside, "c1", 100)

    def marked(self, offset: int) -> None:
        self.snapshots.marked(PLACE, (self.table, self.beside), {PLACE: offset})

    def finish(self) -> None:
        while self.snapshots.step():
            pass

    def written(self) -> Day:
        self.now = 61.0
        self.marked(7)
        self.finish()
        self.marked(9)
        self.finish()
        assert self.counted.results == {"written": 1}
        return self

    def taken(self) -> Replica[Any] | None:
        return self.snapshots.take(Hop(), 3)


def test_what_did_not_change_meanwhile_comes_back_and_reading_goes_on_behind_the_first_marker(tmp_path: Path) -> None:
    day = Day(tmp_path).written()
    replica = day.taken()
    assert replica is not None
    assert counts(replica.table) == counts(day.table)
    assert counts(replica.tables[1]) == {b"c1": 100}
    assert (replica.next_offset, replica.vouched) == (8, 9)


def test_nothing_is_begun_before_it_is_due_or_finished_before_a_second_marker(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.marked(5)
    assert not day.snapshots.step()
    day.now = 61.0
    day.marked(6)
    day.finish()
    assert day.snapshots.awaits(PLACE)
    assert day.taken() is None
    day.marked(8)
    day.finish()
    assert day.taken() is not None
    day.marked(10)
    assert not day.snapshots.step(), "the next one is due an interval later"


def test_a_marker_that_comes_while_rows_are_still_copied_does_not_finish_it(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.now = 61.0
    day.marked(6)
    day.snapshots.step()
    day.marked(8)
    day.finish()
    assert day.snapshots.awaits(PLACE)


def test_rows_that_change_and_a_table_that_grows_meanwhile_are_as_old_or_as_new_as_they_may_be(tmp_path: Path) -> None:
    day = Day(tmp_path)
    before = counts(day.table)
    day.now = 61.0
    day.marked(6)
    day.snapshots.step()
    for number in range(200):  # the table moves to a larger array
        put(day.table, f"b{number}", 1)
    put(day.table, "a19", 500)
    day.finish()
    day.marked(9)
    day.finish()
    replica = day.taken()
    assert replica is not None
    assert counts(replica.table) == before | {b"a19": 500}, "what came after the first marker stands in the changelog"


def test_rows_that_are_no_longer_the_hops_are_not_finished_by_a_marker_of_others(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.now = 61.0
    day.marked(6)
    day.finish()
    day.snapshots.forget()
    day.now = 62.0
    day.marked(9)
    day.finish()
    assert day.taken() is None
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]


@pytest.mark.parametrize("at", [0, 13, HEADER_BYTES, HEADER_BYTES + 100, -1])
def test_one_flipped_bit_anywhere_is_refused(tmp_path: Path, at: int) -> None:
    day = Day(tmp_path).written()
    content = bytearray((tmp_path / FILE).read_bytes())
    content[at] ^= 4
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(RiskstreamError):
        day.taken()
    assert day.counted.results["refused"] == 1


@pytest.mark.parametrize("size", [0, 100, HEADER_BYTES, HEADER_BYTES + 50, -1])
def test_a_torn_file_is_refused(tmp_path: Path, size: int) -> None:
    day = Day(tmp_path).written()
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:size])
    with pytest.raises(ReplicaRefused):
        day.taken()


def test_the_snapshot_of_another_cluster_or_of_a_topic_made_anew_is_refused(tmp_path: Path) -> None:
    day = Day(tmp_path).written()
    day.identity = "c/t2"
    with pytest.raises(ReplicaRefused, match="another cluster, or of a topic of this name that was made before"):
        day.taken()


def test_the_file_of_another_partition_is_refused(tmp_path: Path) -> None:
    day = Day(tmp_path).written()
    os.rename(tmp_path / FILE, tmp_path / FILE.replace("3", "4"))
    with pytest.raises(ReplicaRefused, match=r"one of riskstream-accounts-rows\[3\]"):
        day.snapshots.take(Hop(), 4)


def test_a_full_disk_is_told_counted_and_survived(tmp_path: Path) -> None:
    """The kernel's own ENOSPC: what is written to this name goes to /dev/full."""
    day = Day(tmp_path)
    temporary = tmp_path / f"riskstream-accounts-rows-3.{os.getpid()}.tmp"
    temporary.symlink_to("/dev/full")
    day.now = 61.0
    day.marked(6)
    day.finish()
    assert day.snapshots.failure == (
        "riskstream-accounts-rows[3]: no snapshot: No space left on device; a recovery reads the changelog instead"
    )
    assert day.counted.results == {"failed": 1}
    assert list(tmp_path.iterdir()) == []
    day.now = 122.0
    day.marked(8)
    day.finish()
    day.marked(9)
    day.finish()
    assert day.counted.results == {"failed": 1, "written": 1}
    assert day.snapshots.failure == ""


def test_a_folder_that_cannot_be_made_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    day = Day(tmp_path / "file")
    day.now = 61.0
    day.marked(6)
    day.finish()
    assert "no snapshot: File exists" in day.snapshots.failure or "Not a directory" in day.snapshots.failure


def test_more_than_the_limit_is_not_written(tmp_path: Path) -> None:
    day = Day(tmp_path, limit=HEADER_BYTES + 100)
    day.now = 61.0
    day.marked(6)
    day.finish()
    assert "raise RISKSTREAM_SNAPSHOT_LIMIT_MB" in day.snapshots.failure
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_can_read_a_snapshot(tmp_path: Path) -> None:
    day = Day(tmp_path / "made").written()
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "made" / FILE).stat().st_mode) == 0o600
    assert day.taken() is not None


def test_what_a_dead_process_left_and_what_nobody_renews_makes_room(tmp_path: Path) -> None:
    old, older, fresh = (tmp_path / name for name in ("a.1.tmp", "b.snapshot", "c.snapshot"))
    for path, age in ((old, LEFT_BEHIND_S), (older, UNUSED_S), (fresh, UNUSED_S - 60)):
        path.write_bytes(b"x")
        at = 1_000_000.0 - age - 1
        os.utime(path, (at, at))
    folder = SnapshotFolder(tmp_path, 10, lambda: 1_000_000.0)
    folder.create("d", 5).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.snapshot", f"d.{os.getpid()}.tmp"]
    with pytest.raises(FolderFull):
        folder.create("e", 10)

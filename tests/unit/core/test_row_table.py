"""A table of rows grows where it lies, keeps what others hold, and travels whole."""

from __future__ import annotations

import os
import pickle

import numpy as np

from benchmarks.process_meter import ProcessMeter
from stream.core.table.row_memory import RowMemory
from stream.core.table.row_table import RowTable

ROW = np.dtype([("schema", "u2"), ("key", "S64"), ("n", "i8"), ("more", "u1", 1_926)])
COUNT = 30_000


def filled(count: int) -> tuple[RowTable, np.ndarray]:
    table = RowTable(ROW, 1)
    hashes = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for start in range(0, count, 500):
        part = slice(start, min(start + 500, count))
        slots = table.claim(hashes[part], hashes[part].astype("S64"))
        table.rows["n"][slots] = np.arange(part.start, part.stop)
    return table, hashes


def test_every_row_is_found_after_the_table_and_its_index_have_grown() -> None:
    table, hashes = filled(COUNT)
    assert table.lookup(hashes).tolist() == list(range(COUNT))
    assert table.rows["n"][:COUNT].tolist() == list(range(COUNT))
    assert table.lookup(np.array([5], np.uint64)).tolist() == [-1]


def test_who_holds_rows_keeps_them_while_the_table_grows() -> None:
    table, hashes = filled(500)
    held = table.rows[:500]
    table.claim(hashes + np.uint64(1), hashes.astype("S64"))
    held["n"] = -1
    assert table.rows["n"][:500].tolist() == list(range(500))
    assert len(table.rows) > 500
    assert held["n"].tolist() == [-1] * 500


def test_room_for_rows_to_come_takes_no_memory_and_growing_copies_nothing() -> None:
    meter = ProcessMeter(os.getpid())
    memory = RowMemory(ROW, COUNT)
    memory.rows["n"] = 7
    before, peak = meter.rss_mb(), meter.peak_rss_mb()
    memory.grow(10 * COUNT)
    assert meter.rss_mb() - before < COUNT * ROW.itemsize / 2**20 / 10
    assert meter.peak_rss_mb() - max(peak, before) < COUNT * ROW.itemsize / 2**20 / 2
    assert memory.rows["n"][:COUNT].tolist() == [7] * COUNT


def test_a_table_travels_whole() -> None:
    table, hashes = filled(700)
    table.mark_changed(np.array([3]))
    again = pickle.loads(pickle.dumps(table, 5))
    assert again.rows[:700].tobytes() == table.rows[:700].tobytes()
    assert again.changed().tolist() == [3]
    assert again.lookup(hashes).tolist() == list(range(700))
    again.claim(np.array([5], np.uint64), np.array([b"x"]))
    assert len(again) == 701
    assert len(pickle.loads(pickle.dumps(RowTable(ROW, 1), 5))) == 0


def test_rows_are_handed_on_for_writing_where_they_lie() -> None:
    table = RowTable(np.dtype([("schema", "u2"), ("key", "S64"), ("n", "i8")]), schema=7)
    names = np.array([b"a", b"b" * 64, b"cc", b"d"], "S64")
    table.rows["n"][table.claim(np.arange(1, 5, dtype=np.uint64), names)] = 10, 20, 30, 40
    chosen = np.array([1, 3])
    keys, rows = table.stored(chosen)
    assert list(keys) == [b"b" * 64, b"d"]
    assert list(keys.prefixed(b"\x01")) == [b"\x01" + b"b" * 64, b"\x01d"]
    assert list(rows) == [table.rows[slot].tobytes() for slot in chosen]
    table.rows["n"][1] = 21
    assert rows.structs(table.dtype)["n"].tolist() == [21, 40]
    del keys, rows
    table.claim(np.arange(5, 500, dtype=np.uint64), np.array([f"e{i}".encode() for i in range(495)], "S64"))
    assert table.rows["n"][:4].tolist() == [10, 21, 30, 40]

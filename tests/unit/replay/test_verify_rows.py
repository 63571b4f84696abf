"""Stored rows against what they must be: missing, other, foreign and erased ones are named, each by its place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from stream.arrays.packed import Packed
from stream.core.table.row_table import RowTable
from stream.replay.oracle.verify import RecordedItem, Verified
from stream.replay.oracle.verify_rows import BESIDE, MARKER_KEY, StoredRows

ROW = np.dtype([("schema", "u2"), ("key", "S64"), ("count", "i8")])


def row(key: str, count: int) -> bytes:
    made = np.zeros(1, ROW)
    made["schema"], made["key"], made["count"] = 1, key.encode(), count
    return made.tobytes()


def tables() -> dict[str, RowTable]:
    return {"account": RowTable(ROW, 1), "customer": RowTable(ROW, 1)}


def topic(*records: tuple[bytes, bytes]) -> Iterator[RecordedItem]:
    return (RecordedItem(offset, 0, key, value, {}) for offset, (key, value) in enumerate(records))


def told(*records: tuple[bytes, bytes], says: dict[str, int] | None = None, compare: bool = True) -> list[str]:
    """Differences from a line with accounts a (1) and b (2) and one customer c (3)."""
    result, computed = Verified(), tables()
    computed["account"].put(Packed.of([row("a", 1), row("b", 2)]))
    computed["customer"].put(Packed.of([row("c", 3)]))
    stored = StoredRows("rows/0", tables, topic(*records), result)
    if compare:
        stored.compare(computed, says)
    stored.close("batch 7")
    return [str(difference) for difference in result.differences]


HONEST = ((b"a", row("a", 0)), (b"a", row("a", 1)), (b"b", row("b", 2)), (BESIDE + b"c", row("c", 3)))
MARKER = (MARKER_KEY, orjson.dumps({"sequence": 7, "feedback": 4}))


def test_rows_as_computed_are_equal() -> None:
    assert told(*HONEST, MARKER, says={"feedback": 4}) == []


def test_an_erased_row_is_named_where_it_was_erased_and_as_gone() -> None:
    assert told(*HONEST, MARKER, (b"a", b"")) == [
        "rows/0/5: the account row of a was erased; nothing led to that",
        "rows/0: the account row of a is gone",
    ]


def test_a_row_that_compaction_has_taken_after_it_was_erased_is_gone() -> None:
    assert told(*HONEST[2:], MARKER) == ["rows/0: the account row of a is gone"]


def test_other_foreign_and_unreadable_rows_are_named() -> None:
    found = told(
        *HONEST, MARKER, (b"b", row("b", 9)), (b"x", row("x", 1)), (b"a", row("b", 2)), (b"y", b"\x09\x00short"),
        (BESIDE + b"c", row("c", 4)),
    )  # fmt: skip
    assert found == [
        "rows/0/7: not the row of account a",
        "rows/0/8: not the row of account y",
        "rows/0: a row of account x that nothing led to",
        "rows/0: the account row of b differs: count is 9, computed 2",
        "rows/0: the customer row of c differs: count is 4, computed 3",
    ]


def test_a_marker_that_says_otherwise_or_stands_for_nothing_on_record_is_named() -> None:
    assert told(*HONEST, MARKER, says={"feedback": 5}) == ["rows/0/4: its marker says feedback 4, computed 5"]
    assert told(*HONEST, MARKER, compare=False) == ["rows/0/4: a marker of batch 7, which is not on record"]
    assert told(*HONEST, compare=False) == ["rows/0: rows without a marker that says what they stand for"]

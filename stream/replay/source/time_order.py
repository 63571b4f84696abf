"""Rows in the order of their event times, whatever the order of the file: newest first, or account after account."""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.errors import RiskstreamError
from stream.replay.source.file_rows import Rows, listed

NO_TIME = -(2**63)
"""Of a row whose time cannot be read: it stays behind the row before it."""
MAX_ROWS = 200_000_000
"""Most rows that are sorted: 24 bytes of memory each; the rows themselves wait in a file without a name."""
_BLOCK_ROWS = 4_096


def in_time_order(
    rows: Iterable[Rows], times_of: Callable[[Rows], npt.NDArray[np.int64]], limit: int = MAX_ROWS
) -> Iterator[Rows]:
    """All rows by event time; those of one time in the file's order.

    Parameters
    ----------
    rows
        In the file's order.
    times_of
        Event times of rows, µs; :data:`NO_TIME` where there is none.
    limit
        Most rows.

    Raises
    ------
    RiskstreamError
        There are more.
    """
    starts, times = array("q"), array("q")
    last = 0
    with tempfile.TemporaryFile(prefix="riskstream-sort-") as spool:
        for block in rows:
            for time in times_of(block).tolist():
                last = last if time == NO_TIME else time
                times.append(last)
            if len(times) > limit:
                raise RiskstreamError(f"more than {limit:,} rows to sort; sort the file itself, or split it by time")
            for row in _records(block):
                starts.append(spool.tell())
                pickle.dump(row, spool, pickle.HIGHEST_PROTOCOL)
        order = np.argsort(np.frombuffer(times, np.int64), kind="stable") if len(times) else np.zeros(0, np.int64)
        for start in range(0, len(order), _BLOCK_ROWS):
            found = []
            for place in order[start : start + _BLOCK_ROWS].tolist():
                spool.seek(starts[place])
                found.append(pickle.load(spool))  # noqa: S301 - written above, in a file without a name
            yield _rows(found)


def _records(block: Rows) -> Iterator[tuple[Any, ...]]:
    """Each row as (line, why it is unreadable, its JSON, its cells by column)."""
    names = list(block.columns)
    columns = [listed(cells) for cells in block.columns.values()]
    cells: Iterable[tuple[Any, ...]] = zip(*columns, strict=True) if columns else ((),) * len(block)
    for index, (line, row) in enumerate(zip(block.lines.tolist(), cells, strict=True)):
        value = None if block.values is None else block.values[index]
        yield line, block.unreadable.get(index), value, dict(zip(names, row, strict=True))


def _rows(records: list[tuple[Any, ...]]) -> Rows:
    names = list(records[0][3])
    values = None if records[0][2] is None else [record[2] for record in records]
    return Rows(
        np.array([record[0] for record in records], np.int64),
        {name: [record[3][name] for record in records] for name in names},
        values,
        {index: record[1] for index, record in enumerate(records) if record[1] is not None},
    )

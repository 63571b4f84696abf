"""Rows of a file before the edge: cells by column, or JSON lines as they are, and where each row stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.contracts.refusal import Refused

Column: TypeAlias = "list[Any] | pa.Array[Any]"
"""Cells of a column: plain values, or an Arrow array of timestamps."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a file; sliced and measured like a list.

    Parameters
    ----------
    lines
        int64[n]: the line each begins on, of Parquet and of a sheet its row; from 1.
    columns
        The n cells of each wanted column.
    values
        The n rows as they are, where they are JSON of the contract already.
    unreadable
        By the index of a row that is no row of such a file: what is wrong with it; ``malformed`` where it is text.
    """

    lines: npt.NDArray[np.int64]
    columns: dict[str, Column] = field(default_factory=dict)
    values: list[bytes] | None = None
    unreadable: Mapping[int, str | Refused] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, part: slice) -> Rows:
        start, stop, _ = part.indices(len(self))
        return Rows(
            self.lines[start:stop],
            {name: cells[start:stop] for name, cells in self.columns.items()},
            None if self.values is None else self.values[start:stop],
            {index - start: text for index, text in self.unreadable.items() if start <= index < stop},
        )

    def chosen(self, places: list[int]) -> Rows:
        """Some of the rows, in the order of ``places``."""
        index = np.asarray(places, np.int64)
        return Rows(
            self.lines[index],
            {name: _picked(cells, places) for name, cells in self.columns.items()},
            None if self.values is None else [self.values[place] for place in places],
            {new: self.unreadable[old] for new, old in enumerate(places) if old in self.unreadable}
            if self.unreadable
            else {},
        )

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """One behind the other."""
        if len(parts) == 1:
            return parts[0]
        unreadable: dict[int, str | Refused] = {}
        start = 0
        for part in parts:
            unreadable.update({index + start: text for index, text in part.unreadable.items()})
            start += len(part)
        values = None if parts[0].values is None else [value for part in parts for value in part.values or ()]
        columns = {name: _chained([part.columns[name] for part in parts]) for name in parts[0].columns}
        return cls(np.concatenate([part.lines for part in parts]), columns, values, unreadable)


def listed(column: Column) -> list[Any]:
    """A column's cells as plain values; a time that Python cannot hold is its microseconds as text."""
    if isinstance(column, list):
        return column
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_attempted(value) for value in column]


def _attempted(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return str(value.value)


def regrouped(blocks: Iterable[Rows], rows: int, skip: int = 0) -> Iterator[Rows]:
    """The same rows without the first ``skip``, exactly ``rows`` at a time but for the last."""
    waiting: list[Rows] = []
    count = 0
    for block in blocks:
        if skip:
            passed = min(skip, len(block))
            skip -= passed
            block = block[passed:]
        if not len(block):
            continue
        waiting.append(block)
        count += len(block)
        if count >= rows:
            whole = Rows.joined(waiting)
            for start in range(0, count - rows + 1, rows):
                yield whole[start : start + rows]
            rest = whole[count - count % rows :]
            waiting, count = [rest] if len(rest) else [], len(rest)
    if count:
        yield Rows.joined(waiting)


def _picked(cells: Column, places: list[int]) -> Column:
    return [cells[place] for place in places] if isinstance(cells, list) else cells.take(pa.array(places, pa.int64()))


def _chained(parts: list[Column]) -> Column:
    if all(isinstance(part, list) for part in parts):
        return [cell for part in parts for cell in part]
    arrays: list[Any] = list(parts)
    chained: Column = pa.concat_arrays(arrays)
    return chained

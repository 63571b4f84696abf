"""Times in rows that lie ahead of a bound, brought back: what the mending of every kind of row shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.core.table.row_table import RowTable

SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Fields of a row that hold times in one unit."""

    names: tuple[str, ...]
    unit_us: int
    ahead: int = 0
    """So many units they may rightly lie ahead of the row's other times."""


def cap_times(rows: npt.NDArray[np.void], clocks: tuple[Clock, ...], until: int, limit: int) -> npt.NDArray[np.bool_]:
    """Times beyond ``limit`` become ``until`` (µs since the epoch); returns which rows changed, bool[n]."""
    changed = np.zeros(len(rows), np.bool_)
    for clock in clocks:
        latest, now = limit // clock.unit_us + clock.ahead, until // clock.unit_us + clock.ahead
        for name in clock.names:
            values = rows[name]
            ahead = values > latest
            values[ahead] = now
            changed |= ahead if ahead.ndim == 1 else ahead.any(axis=1)
    return changed


def mark_rows(table: RowTable, changed: npt.NDArray[np.bool_]) -> None:
    """Say of a table's first rows which changed, bool[n]."""
    table.mark_changed(np.flatnonzero(changed).astype(np.int64))

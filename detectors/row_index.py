"""Rows of a queue by hash: an open-addressing table, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = -1
SMALLEST = 256
_HASH, _ROW = 0, 1


class RowIndex:
    """Where the rows of a queue are: rows come at its end under the next number and leave at its front.

    A row that left needs no call: its number is below the queue's first, and its place is taken again. 16 bytes a
    place, of which at most three fifths are taken.

    Examples
    --------
    >>> index = RowIndex()
    >>> index.enter(np.array([7, 9, 7], "u8"), 0, 0, 0).tolist()
    [0, 1]
    >>> index.find(9, 0), index.find(9, 2), index.find(8, 0)
    (1, -1, -1)
    """

    def __init__(self) -> None:
        self._taken = 0
        self._table = _empty(SMALLEST)

    @property
    def places(self) -> int:
        """Length of the table."""
        return len(self._table[0])

    def enter(self, hashes: NDArray[np.uint64], mask: int, start: int, end: int) -> NDArray[np.int64]:
        """Number the hashes that are new from ``end`` on; returns their places, int64[k], rising.

        Parameters
        ----------
        hashes
            uint64[n]; of a repeated one the first counts.
        mask
            Only hashes are entered that have none of these bits.
        start, end
            First row of the queue, and the one behind its last.
        """
        self._reserve(len(hashes), start)
        places = np.empty(len(hashes), np.int64)
        counts = np.zeros(2, np.int64)
        _enter(*self._table, hashes, np.uint64(mask), start, end, places, counts)
        self._taken += int(counts[1])
        return places[: counts[0]]

    def find(self, wanted: int, start: int) -> int:
        """The row of a hash, -1 where none from ``start`` on has it."""
        return int(_find(*self._table, np.uint64(wanted), start))

    def clear(self) -> None:
        """Forget every row."""
        self._taken = 0
        self._table[1].fill(EMPTY)

    def _reserve(self, extra: int, start: int) -> None:
        if (self._taken + extra) * 5 <= self.places * 3:
            return
        waiting = int(np.count_nonzero(self._table[1][:, _ROW] >= start))
        size = SMALLEST
        # room to go on, for this walks everything
        while (waiting + extra) * 5 > size * 3 or waiting * 5 > size * 2:
            size *= 2
        table = _empty(size)
        _enter_again(*self._table, *table, start)
        self._table, self._taken = table, waiting


def _empty(size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash and row of each place, [size, 2] side by side in memory, seen as uint64 and as int64."""
    table = np.full((size, 2), EMPTY, np.int64)
    return table.view(np.uint64), table


@njit(cache=True, nogil=True, inline="always")
def _first_place(wanted: Any, mask: Any) -> Any:
    """Samples by hash have low bits in common, and small numbers have no high ones: both count."""
    return (wanted ^ (wanted >> np.uint64(32))) & mask


@njit(cache=True, nogil=True)
def _enter(table: Any, rows: Any, hashes: Any, mask: Any, start: int, end: int, places: Any, counts: Any) -> None:
    """``counts``, int64[2], written: rows entered, and how many of them took an empty place."""
    turn = np.uint64(table.shape[0] - 1)
    for i in range(hashes.shape[0]):
        wanted = hashes[i]
        if wanted & mask != 0:
            continue
        place: Any = np.int64(_first_place(wanted, turn))
        free: Any = -1
        known = False
        while rows[place, _ROW] != EMPTY and not known:
            if rows[place, _ROW] < start:
                if free < 0:
                    free = place
            else:
                known = table[place, _HASH] == wanted
            place = (place + 1) & np.int64(turn)
        if known:
            continue
        if free < 0:
            free = place
            counts[1] += 1
        table[free, _HASH] = wanted
        rows[free, _ROW] = end + counts[0]
        places[counts[0]] = i
        counts[0] += 1


@njit(cache=True, nogil=True)
def _find(table: Any, rows: Any, wanted: Any, start: int) -> int:
    turn = np.uint64(table.shape[0] - 1)
    place = np.int64(_first_place(wanted, turn))
    while rows[place, _ROW] != EMPTY and (rows[place, _ROW] < start or table[place, _HASH] != wanted):
        place = (place + 1) & np.int64(turn)
    found: int = rows[place, _ROW]
    return found


@njit(cache=True, nogil=True)
def _enter_again(table: Any, rows: Any, wider: Any, wider_rows: Any, start: int) -> None:
    """Put every row that has not left into an empty table."""
    turn = np.uint64(wider.shape[0] - 1)
    for i in range(table.shape[0]):
        if rows[i, _ROW] == EMPTY or rows[i, _ROW] < start:
            continue
        place = np.int64(_first_place(table[i, _HASH], turn))
        while wider_rows[place, _ROW] != EMPTY:
            place = (place + 1) & np.int64(turn)
        wider[place, _HASH] = table[i, _HASH]
        wider_rows[place, _ROW] = rows[i, _ROW]

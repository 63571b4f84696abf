"""A table of fixed-size rows found by the 64-bit hash of their key.

The rows of one hop and one partition: a numpy structured array that grows by a quarter, an open-addressing index
from hash to slot, and the set of slots changed since they were last written. The row's bytes are its changelog
record and its dump.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.errors import RiskstreamError

_EMPTY = -1


class RowsFull(RiskstreamError):
    """The table reached its limit of rows."""


class UnknownSchema(RiskstreamError):
    """A stored row has a layout this version does not know."""


@njit(cache=True, nogil=True)
def _lookup(hashes: Any, slots: Any, wanted: Any, found: Any) -> None:
    """Slot of each wanted hash, -1 where it is not in the index."""
    mask = np.uint64(hashes.shape[0] - 1)
    for i in range(wanted.shape[0]):
        found[i] = _EMPTY
        place = wanted[i] & mask
        while slots[np.int64(place)] != _EMPTY:
            if hashes[np.int64(place)] == wanted[i]:
                found[i] = slots[np.int64(place)]
                break
            place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def _claim(hashes: Any, slots: Any, wanted: Any, skip_zero: Any, next_slot: Any, found: Any, created: Any) -> int:
    """Slot of each wanted hash; a new one takes the next free slot. Returns how many were new."""
    mask = np.uint64(hashes.shape[0] - 1)
    new = 0
    for i in range(wanted.shape[0]):
        if skip_zero and wanted[i] == 0:
            found[i] = _EMPTY
            continue
        place = wanted[i] & mask
        while slots[np.int64(place)] != _EMPTY and hashes[np.int64(place)] != wanted[i]:
            place = (place + np.uint64(1)) & mask
        if slots[np.int64(place)] == _EMPTY:
            hashes[np.int64(place)] = wanted[i]
            slots[np.int64(place)] = next_slot + new
            created[new] = i
            new += 1
        found[i] = slots[np.int64(place)]
    return new


class RowTable:
    """Rows of one dtype, found by hash.

    Parameters
    ----------
    dtype
        Struct with the fields ``schema`` (uint16) and ``key`` (S64).
    schema
        Schema version written into new rows.
    limit
        Most rows; one more raises :class:`RowsFull`.

    Examples
    --------
    >>> import numpy as np
    >>> table = RowTable(np.dtype([("schema", "u2"), ("key", "S64"), ("n", "i8")]), schema=1)
    >>> table.claim(np.array([7, 9, 7], "u8"), np.array([b"a", b"b", b"a"], "S64")).tolist()
    [0, 1, 0]
    >>> table.lookup(np.array([9, 8], "u8")).tolist()
    [1, -1]
    """

    def __init__(self, dtype: np.dtype[np.void], schema: int, limit: int = 20_000_000) -> None:
        self.dtype = dtype
        self.schema = schema
        self.limit = limit
        self.count = 0
        self.rows = np.zeros(64, dtype)
        self._hashes = np.zeros(256, np.uint64)
        self._slots = np.full(256, _EMPTY, np.int32)
        self._changed = np.zeros(64, np.bool_)

    def __len__(self) -> int:
        return self.count

    def lookup(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Slots of known keys, -1 for others; int64[n]."""
        found = np.empty(len(hashes), np.int64)
        _lookup(self._hashes, self._slots, hashes, found)
        return found

    def claim(
        self, hashes: npt.NDArray[np.uint64], keys: npt.NDArray[np.bytes_], *, skip_zero: bool = False
    ) -> npt.NDArray[np.int64]:
        """Slots of keys, made where they are new; with ``skip_zero`` hash 0 means "no key" and yields -1."""
        self._reserve(len(hashes))
        found = np.empty(len(hashes), np.int64)
        created = np.empty(len(hashes), np.int64)
        new = _claim(self._hashes, self._slots, hashes, skip_zero, self.count, found, created)
        if new:
            fresh = slice(self.count, self.count + new)
            self.rows["key"][fresh] = keys[created[:new]]
            self.rows["schema"][fresh] = self.schema
            self.count += new
        return found

    def mark_changed(self, slots: npt.NDArray[np.int64]) -> None:
        """Remember which rows differ from their last written copy; slots below 0 are passed over."""
        self._changed[slots[slots >= 0]] = True

    def changed(self) -> npt.NDArray[np.int64]:
        """Slots changed since :meth:`forget_changes`, ascending."""
        return np.flatnonzero(self._changed[: self.count])

    def forget_changes(self, slots: npt.NDArray[np.int64]) -> None:
        """Say that these rows have been written."""
        self._changed[slots] = False

    def put(self, hashes: npt.NDArray[np.uint64], stored: npt.NDArray[np.void]) -> None:
        """Store whole rows as they were written (recovery); later ones of the same key win.

        Raises
        ------
        UnknownSchema
            A row's schema version is not this table's.
        """
        if len(stored) and not np.all(stored["schema"] == self.schema):
            other = int(stored["schema"][stored["schema"] != self.schema][0])
            raise UnknownSchema(
                f"a stored row has schema version {other}, this version knows {self.schema}: "
                "run the version of riskstream that wrote it, or remove the row topics and replay the input"
            )
        slots = self.claim(hashes, stored["key"])
        self.rows[slots] = stored

    def sorted_rows(self) -> Iterator[np.void]:
        """The rows in ascending order of their keys."""
        for slot in np.argsort(self.rows["key"][: self.count], kind="stable"):
            yield self.rows[slot]

    def _reserve(self, extra: int) -> None:
        needed = self.count + extra
        if needed > self.limit:
            raise RowsFull(f"{needed} rows would pass the limit of {self.limit}: raise the limit or add partitions")
        if needed > len(self.rows):
            size = max(needed, len(self.rows) + len(self.rows) // 4)
            grown = np.zeros(size, self.dtype)
            grown[: self.count] = self.rows[: self.count]
            self.rows = grown
            changed = np.zeros(size, np.bool_)
            changed[: self.count] = self._changed[: self.count]
            self._changed = changed
        if needed * 5 > len(self._slots) * 3:
            self._grow_index(needed)

    def _grow_index(self, needed: int) -> None:
        size = len(self._slots)
        while needed * 5 > size * 3:
            size *= 2
        taken = self._slots != _EMPTY
        hashes, slots = self._hashes[taken], self._slots[taken]
        order = np.argsort(slots)
        self._hashes = np.zeros(size, np.uint64)
        self._slots = np.full(size, _EMPTY, np.int32)
        found = np.empty(len(hashes), np.int64)
        created = np.empty(len(hashes), np.int64)
        _claim(self._hashes, self._slots, hashes[order], False, 0, found, created)

"""From a 64-bit hash to a slot: an open-addressing table, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

EMPTY = -1


class SlotIndex:
    """Slots by hash.

    Between 12 and 24 bytes of memory for each, in a table that doubles when three fifths of it are taken.

    Examples
    --------
    >>> index = SlotIndex()
    >>> index.put(np.array([7, 9], "u8"), np.array([4, 5]))
    >>> index.lookup(np.array([9, 8], "u8")).tolist()
    [5, -1]
    >>> index.remove(np.array([9, 8], "u8"))
    >>> index.lookup(np.array([7, 9], "u8")).tolist()
    [4, -1]
    """

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.zeros(256, np.uint64)
        self._slots = np.full(256, EMPTY, np.int32)

    def lookup(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Slots of known hashes, -1 for others; int64[n]."""
        found = np.empty(len(hashes), np.int64)
        _lookup(self._hashes, self._slots, hashes, found)
        return found

    def claim(
        self, hashes: npt.NDArray[np.uint64], free: npt.NDArray[np.int64], *, skip_zero: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Slots of hashes, new ones taking those of ``free`` in turn (as many as there are hashes), and the places of those
        that were new; with ``skip_zero`` hash 0 yields -1."""
        self.reserve(len(hashes))
        found, created = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int64)
        new = _claim(self._hashes, self._slots, hashes, skip_zero, free, found, created)
        self._count += new
        return found, created[:new]

    def put(self, hashes: npt.NDArray[np.uint64], slots: npt.NDArray[np.int64]) -> None:
        """Say where new hashes are; of one that is known the slot changes."""
        self.reserve(len(hashes))
        self._count += _put(self._hashes, self._slots, hashes, slots)

    def remove(self, hashes: npt.NDArray[np.uint64]) -> None:
        """Take hashes out; those that are not known are passed over."""
        self._count -= _remove(self._hashes, self._slots, hashes)

    @property
    def places(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
        """The table, for :func:`slot_of` and :func:`put_slot`. Not to be kept: it moves when it grows."""
        return self._hashes, self._slots

    def count_new(self, new: int) -> None:
        """Say how many new hashes :func:`put_slot` put; room for them was reserved."""
        self._count += new

    def reserve(self, extra: int) -> None:
        """Make room for so many more hashes."""
        size, needed = len(self._slots), self._count + extra
        if needed * 5 <= size * 3:
            return
        while needed * 5 > size * 3:
            size *= 2
        hashes, slots = np.zeros(size, np.uint64), np.full(size, EMPTY, np.int32)
        _put_again(self._hashes, self._slots, hashes, slots)
        self._hashes, self._slots = hashes, slots


@njit(cache=True, nogil=True)
def _lookup(hashes: Any, slots: Any, wanted: Any, found: Any) -> None:
    """Slot of each wanted hash, -1 where it is not in the index."""
    mask = np.uint64(hashes.shape[0] - 1)
    for i in range(wanted.shape[0]):
        found[i] = EMPTY
        place = wanted[i] & mask
        while slots[np.int64(place)] != EMPTY:
            if hashes[np.int64(place)] == wanted[i]:
                found[i] = slots[np.int64(place)]
                break
            place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def _claim(hashes: Any, slots: Any, wanted: Any, skip_zero: Any, free: Any, found: Any, created: Any) -> int:
    """Slot of each wanted hash; a new one takes the next free slot. Returns how many were new."""
    new = 0
    for i in range(wanted.shape[0]):
        if skip_zero and wanted[i] == 0:
            found[i] = EMPTY
            continue
        place = _place(hashes, slots, wanted[i])
        if slots[place] == EMPTY:
            hashes[place] = wanted[i]
            slots[place] = free[new]
            created[new] = i
            new += 1
        found[i] = slots[place]
    return new


@njit(cache=True, nogil=True)
def _place(hashes: Any, slots: Any, wanted: Any) -> int:
    """Where a hash lies, or would lie."""
    mask = np.uint64(hashes.shape[0] - 1)
    place = wanted & mask
    while slots[np.int64(place)] != EMPTY and hashes[np.int64(place)] != wanted:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)


@njit(cache=True, nogil=True)
def slot_of(places: Any, wanted: Any) -> int:
    """Slot of a hash in :attr:`SlotIndex.places`, -1 where it is not."""
    hashes, slots = places
    return np.int64(slots[_place(hashes, slots, wanted)])


@njit(cache=True, nogil=True)
def put_slot(places: Any, new: Any, slot: Any) -> None:
    """Put a hash that is new into :attr:`SlotIndex.places`, which has room."""
    hashes, slots = places
    place = _place(hashes, slots, new)
    hashes[place] = new
    slots[place] = slot


@njit(cache=True, nogil=True)
def _put(hashes: Any, slots: Any, new_hashes: Any, new_slots: Any) -> int:
    new = 0
    for i in range(new_hashes.shape[0]):
        place = _place(hashes, slots, new_hashes[i])
        if slots[place] == EMPTY:
            new += 1
        hashes[place] = new_hashes[i]
        slots[place] = new_slots[i]
    return new


@njit(cache=True, nogil=True)
def _put_again(hashes: Any, slots: Any, wider_hashes: Any, wider_slots: Any) -> None:
    """Put every hash of an index into a wider, empty one."""
    for i in range(hashes.shape[0]):
        if slots[i] != EMPTY:
            place = _place(wider_hashes, wider_slots, hashes[i])
            wider_hashes[place] = hashes[i]
            wider_slots[place] = slots[i]


@njit(cache=True, nogil=True)
def _remove(hashes: Any, slots: Any, gone: Any) -> int:
    """Empty the places of hashes; what was put further along because of them moves up. Returns how many were there."""
    mask, removed = hashes.shape[0] - 1, 0
    for i in range(gone.shape[0]):
        hole = _place(hashes, slots, gone[i])
        if slots[hole] == EMPTY:
            continue
        removed += 1
        at = (hole + 1) & mask
        while slots[at] != EMPTY:
            home = np.int64(hashes[at] & np.uint64(mask))
            if ((at - home) & mask) >= ((at - hole) & mask):
                hashes[hole] = hashes[at]
                slots[hole] = slots[at]
                hole = at
            at = (at + 1) & mask
        hashes[hole] = 0
        slots[hole] = EMPTY
    return removed

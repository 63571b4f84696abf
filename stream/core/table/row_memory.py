"""Memory of a table's rows that grows where it lies.

The rows lie in a private anonymous mapping. The kernel gives a page when it is first written to, so room for rows to
come takes no memory; and it moves pages to another address without copying them (``mremap``), so growing takes
microseconds, where copying a gigabyte of rows would hold a hop up for most of a second and take twice the memory.
"""

from __future__ import annotations

import mmap
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE_BYTES = 64 << 20
"""From this size on a table asks for large pages."""


class RowMemory:
    """Zeroed rows of one dtype.

    Parameters
    ----------
    dtype
        Packed struct.
    size
        Rows there is room for, at least 1.

    Examples
    --------
    >>> memory = RowMemory(np.dtype([("n", "i8")]), 2)
    >>> memory.rows["n"] = 5, 6
    >>> memory.grow(1_000_000)
    >>> len(memory.rows), memory.rows["n"][:3].tolist()
    (1000000, [5, 6, 0])
    """

    def __init__(self, dtype: np.dtype[np.void], size: int) -> None:
        self._dtype = dtype
        self._moving = threading.Lock()
        self._pages = _pages(size * dtype.itemsize)
        self.rows = self._view(size)

    def grow(self, size: int) -> None:
        """Make room for more rows; :attr:`rows` is a new array from now on.

        Whoever still holds the array of before, or a row of it, keeps that memory: then the rows are copied.
        """
        with self._moving:
            before = len(self.rows)
            del self.rows
            try:
                self._pages.resize(size * self._dtype.itemsize)
            except (BufferError, SystemError):  # looked at, or a system without mremap
                held = np.frombuffer(self._pages, np.uint8, before * self._dtype.itemsize)
                self._pages = _pages(size * self._dtype.itemsize)
                np.frombuffer(self._pages, np.uint8)[: len(held)] = held
            _prefer_large_pages(self._pages)
            self.rows = self._view(size)

    def still(self) -> threading.Lock:
        """Held while rows get another key or none: a copy made meanwhile never has half of one."""
        return self._moving

    def copy(self, first: int, stop: int) -> bytes:
        """The bytes of some rows, for another thread than the one that changes them: it never sees them move, but
        maybe in the midst of a change."""
        with self._moving:
            return self.rows[first:stop].tobytes()

    def _view(self, size: int) -> npt.NDArray[np.void]:
        return np.frombuffer(self._pages, self._dtype, size)


def _prefer_large_pages(pages: Any) -> None:
    """Rows of a big table are looked up all over: pages of 2 MiB are taken faster and miss the TLB less often. A small
    table would mostly waste one."""
    if len(pages) >= LARGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)


def _pages(length: int) -> Any:
    # shared anonymous memory, mmap's default, could not grow
    return mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

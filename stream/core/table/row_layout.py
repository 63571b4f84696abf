"""Layouts of stored rows, and how a row of an earlier one becomes a row of today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def _nothing(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """What no field of the old layout says stays zero."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The layout of one schema version.

    Parameters
    ----------
    dtype
        Its struct, with the fields ``schema`` and ``key``.
    complete
        Called with old rows and the new ones, whose fields of the same name are already filled, for what is to be
        derived.
    beside
        Called with old rows; gives rows of the table beside, for what this layout had in one and today's has in two.

    Examples
    --------
    A field that is new is zero; of a longer sub-array the old one fills the beginning.

    >>> old = np.zeros(1, [("schema", "u2"), ("key", "S64"), ("n", "i4"), ("last", "f8", 2)])
    >>> old["n"], old["last"] = 7, [1.0, 2.0]
    >>> today = np.dtype([("schema", "u2"), ("key", "S64"), ("n", "i8"), ("last", "f8", 3), ("more", "u1")])
    >>> row = RowLayout(old.dtype).upgraded(old, today, 2)[0]
    >>> int(row["schema"]), int(row["n"]), row["last"].tolist(), int(row["more"])
    (2, 7, [1.0, 2.0, 0.0], 0)
    """

    dtype: np.dtype[np.void]
    complete: Callable[[npt.NDArray[np.void], npt.NDArray[np.void]], None] = _nothing
    beside: Callable[[npt.NDArray[np.void]], npt.NDArray[np.void]] | None = None

    def upgraded(self, rows: npt.NDArray[np.void], today: np.dtype[np.void], schema: int) -> npt.NDArray[np.void]:
        """Rows of this layout in today's."""
        if self.dtype == today and self.complete is _nothing:
            return rows
        new = np.zeros(len(rows), today)
        for name in self.dtype.names or ():
            if name in (today.names or ()):
                _fill(new[name], rows[name])
        new["schema"] = schema
        self.complete(rows, new)
        return new


def _fill(new: npt.NDArray[np.generic], old: npt.NDArray[np.generic]) -> None:
    shared = tuple(slice(min(a, b)) for a, b in zip(new.shape, old.shape, strict=True))
    new[shared] = old[shared]

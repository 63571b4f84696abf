"""Keys of stored rows: a changelog record must hold the row of its own key, or it is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def same_keys(keys: Any, starts: Any, lengths: Any, rows: Any, at: Any, width: Any) -> Any:
    """Whether stored rows hold the keys of the records that they came in, bool[n].

    Parameters
    ----------
    keys, starts, lengths
        uint8: all keys' bytes; int64[n] each: where a record's key begins, without a prefix, and how long it is.
    rows, at, width
        uint8: all values' bytes; int64[n]: where the key stands in each; its room there, filled up with 0.
    """
    same = np.zeros(starts.shape[0], np.bool_)
    for i in range(starts.shape[0]):
        if lengths[i] > width:
            continue
        equal = True
        for j in range(width):
            byte = keys[starts[i] + j] if j < lengths[i] else 0
            if rows[at[i] + j] != byte:
                equal = False
                break
        same[i] = equal
    return same

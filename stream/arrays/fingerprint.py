"""64-bit hashes of bytes and of a transaction's content, compiled.

Not cryptographic: they find rows and tell a repeat from a conflict among an account's last few transactions.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_33 = np.uint64(33)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@njit(cache=True)
def _finish(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _33)) * _MIX_1
    h = (h ^ (h >> _33)) * _MIX_2
    return h ^ (h >> _33)


@njit(cache=True)
def hash_bytes(buf: NDArray[np.uint8], start: int, length: int) -> np.uint64:
    """:func:`stream.core.columns.hash_id` of ``buf[start:start + length]``, bit for bit."""
    if length == 0:
        return _ZERO
    h = _FNV_OFFSET
    for k in range(np.uint64(start), np.uint64(start + length)):
        h = (h ^ np.uint64(buf[k])) * _FNV_PRIME
    h = _finish(h)
    return h if h != _ZERO else _ONE


@njit(cache=True)
def chain(h: np.uint64, part: np.uint64) -> np.uint64:
    """A hash of a sequence: ``h`` of what came before, with one part more; order matters."""
    return _finish((h ^ part) * _FNV_PRIME + _ONE)


@njit(cache=True, nogil=True)
def chain_each(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """:func:`chain` of each pair, uint64[n]."""
    out = np.empty(first.shape[0], np.uint64)
    for i in range(first.shape[0]):
        out[i] = chain(first[i], second[i])
    return out

"""Familiar pairs, counted from input and truth alone: what the engine believes of a pair does not enter.

An account and a payee are a familiar pair when the account made at least three genuine payments to the payee before
this one, the first of them at least 14 days ago.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.errors import RiskstreamError

PAYMENTS = 3
AGE_US = 14 * 86_400_000_000
PAIR = np.dtype([("key", "u8"), ("first", "i8"), ("genuine", "i8")])


@njit(cache=True, nogil=True)
def _place(pairs, key):  # type: ignore[no-untyped-def]
    """Where a key stands in the table, or the free place it would take."""
    mask = np.uint64(pairs.shape[0] - 1)
    place = key & mask
    while pairs[np.int64(place)]["key"] != 0 and pairs[np.int64(place)]["key"] != key:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)


@njit(cache=True, nogil=True)
def _count(pairs, accounts, payees, times, genuine, familiar):  # type: ignore[no-untyped-def]
    """Walk payments in order; returns how many pairs were new."""
    new = 0
    for i in range(accounts.shape[0]):
        familiar[i] = False
        if payees[i] == 0:
            continue
        key = (accounts[i] * np.uint64(0x9E3779B97F4A7C15)) ^ payees[i]
        key = key if key != 0 else np.uint64(1)
        pair = pairs[_place(pairs, key)]
        if pair["key"] != 0:
            familiar[i] = pair["genuine"] >= PAYMENTS and times[i] - pair["first"] >= AGE_US
        if not genuine[i]:
            continue
        if pair["key"] == 0:
            pair["key"] = key
            pair["first"] = times[i]
            new += 1
        pair["genuine"] += 1
    return new


@njit(cache=True, nogil=True)
def _move(pairs, grown):  # type: ignore[no-untyped-def]
    for i in range(pairs.shape[0]):
        if pairs[i]["key"] != 0:
            grown[_place(grown, pairs[i]["key"])] = pairs[i]


class FamiliarPairs:
    """Genuine payments of each pair so far: 24 bytes a place, at most ``limit`` pairs.

    Examples
    --------
    >>> pairs, day = FamiliarPairs(), 86_400_000_000
    >>> times = np.array([0, 1, 2, 20, 21], np.int64) * day
    >>> pairs.walk(np.full(5, 7, np.uint64), np.full(5, 9, np.uint64), times, np.array([1, 1, 0, 1, 1], bool)).tolist()
    [False, False, False, False, True]
    """

    def __init__(self, limit: int = 200_000_000) -> None:
        self.limit = limit
        self.count = 0
        self._pairs = np.zeros(1024, PAIR)

    def walk(
        self,
        accounts: npt.NDArray[np.uint64],
        payees: npt.NDArray[np.uint64],
        event_time: npt.NDArray[np.int64],
        genuine: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Whether each payment is to a familiar payee, bool[n]; then the payment counts for the next ones.

        Parameters
        ----------
        accounts, payees
            uint64[n] hashes; payee 0 is none.
        event_time
            int64[n], µs.
        genuine
            bool[n], from the truth.

        Raises
        ------
        RiskstreamError
            More pairs than the limit.
        """
        self._reserve(len(accounts))
        familiar = np.zeros(len(accounts), np.bool_)
        with np.errstate(over="ignore"):  # plain Python warns where a 64-bit hash wraps as it should
            self.count += int(_count(self._pairs, accounts, payees, event_time, genuine, familiar))
        return familiar

    def _reserve(self, extra: int) -> None:
        needed = self.count + extra
        if needed > self.limit:
            raise RiskstreamError(f"{needed} pairs of account and payee pass the limit of {self.limit}: use --limit")
        size = len(self._pairs)
        while needed * 2 > size:
            size *= 2
        if size > len(self._pairs):
            grown = np.zeros(size, PAIR)
            _move(self._pairs, grown)
            self._pairs = grown

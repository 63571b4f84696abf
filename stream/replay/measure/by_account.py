"""Counts by account, for intervals that resample whole accounts; bounded by the accounts of the history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.replay.measure.friction import COUNTED, Interval, intervals

_COMPACT_ROWS = 200_000


class ByAccount:
    """Sums of :data:`stream.replay.measure.friction.COUNTED` for each account.

    Examples
    --------
    >>> sums = ByAccount()
    >>> sums.add(np.array([7, 8, 7], np.uint64), np.eye(3, len(COUNTED), dtype=np.int64))
    >>> len(sums), sums.table().sum(axis=1).tolist()
    (2, [2, 1])
    """

    def __init__(self) -> None:
        self._accounts = [np.zeros(0, np.uint64)]
        self._tables = [np.zeros((0, len(COUNTED)), np.int64)]
        self._rows = 0

    def __len__(self) -> int:
        self._compact()
        return len(self._accounts[0])

    def add(self, account: npt.NDArray[np.uint64], counted: npt.NDArray[np.int64]) -> None:
        """Add events: uint64[n] hashes and int64[n, columns] of what each counts for."""
        self._accounts.append(account)
        self._tables.append(counted)
        self._rows += len(account)
        if self._rows > _COMPACT_ROWS + 2 * len(self._accounts[0]):
            self._compact()

    def table(self) -> npt.NDArray[np.int64]:
        """The sums, int64[accounts, columns], ascending by the account's hash."""
        self._compact()
        return self._tables[0]

    def intervals(self, seed: int) -> dict[str, Interval]:
        """95 % intervals of friction and recall."""
        return intervals(self.table(), seed)

    def _compact(self) -> None:
        accounts, place = np.unique(np.concatenate(self._accounts), return_inverse=True)
        table = np.zeros((len(accounts), len(COUNTED)), np.int64)
        np.add.at(table, place, np.concatenate(self._tables))
        self._accounts, self._tables, self._rows = [accounts], [table], 0

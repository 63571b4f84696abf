"""Whose an account is, as a history says it: what work is shared out by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.errors import RiskstreamError


class CustomerOf:
    """Customer of each account, by hash; 16 bytes an account.

    An account and its customer belong to one share. A history in which an account changes its customer can't be shared
    out with the bytes of one, and is refused.

    Examples
    --------
    >>> known = CustomerOf()
    >>> known.learn(np.array([7, 9, 7], np.uint64), np.array([1, 9, 1], np.uint64))
    >>> known.of(np.array([9, 7, 8], np.uint64), np.array([5, 7, 3], np.uint64)).tolist()
    [9, 1, 3]
    """

    def __init__(self) -> None:
        self._accounts = np.zeros(0, np.uint64)
        self._customers = np.zeros(0, np.uint64)

    def learn(self, accounts: npt.NDArray[np.uint64], customers: npt.NDArray[np.uint64]) -> None:
        """Take pairs of hashes, uint64[n].

        Raises
        ------
        RiskstreamError
            An account has two customers.
        """
        distinct, first, place = np.unique(accounts, return_index=True, return_inverse=True)
        theirs = customers[first]
        same = bool((theirs[place] == customers).all())
        at = np.searchsorted(self._accounts, distinct)
        there = np.zeros(len(distinct), np.bool_)
        inside = at < len(self._accounts)
        there[inside] = self._accounts[at[inside]] == distinct[inside]
        if not same or not (self._customers[at[there]] == theirs[there]).all():
            raise RiskstreamError(
                "an account appears under two customers: such a history cannot be shared out; give --workers 1"
            )
        if not there.all():
            self._accounts = np.insert(self._accounts, at[~there], distinct[~there])
            self._customers = np.insert(self._customers, at[~there], theirs[~there])

    def of(self, accounts: npt.NDArray[np.uint64], default: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Customers of some accounts; of one that is not known, the default."""
        found = default.copy()
        if len(self._accounts):
            at = np.minimum(np.searchsorted(self._accounts, accounts), len(self._accounts) - 1)
            there = self._accounts[at] == accounts
            found[there] = self._customers[at[there]]
        return found

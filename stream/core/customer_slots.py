"""Which customers need a row: those of several accounts.

An account's row names the customer it alone stands for: the first that paid from it, unless another account stands for
that one already. Whoever pays from an account that does not stand for him has several and gets a customer row, for good.
All this depends on the ids of the records and their order, and is read off the rows again after a recovery.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.columns import hash_id
from stream.core.customer import begin_customer
from stream.core.rows import RowTable
from stream.core.slot_index import EMPTY, SlotIndex, put_slot, slot_of


class CustomerSlots:
    """Finds the customer row of each record of a batch.

    Parameters
    ----------
    accounts, customers
        The tables of one partition.
    """

    def __init__(self, accounts: RowTable, customers: RowTable) -> None:
        self._accounts = accounts
        self._customers = customers
        self._account_of = SlotIndex()
        self._loads = 0

    def settle(
        self, transactions: npt.NDArray[np.void], accounts: npt.NDArray[np.int64], found: npt.NDArray[np.int64],
        start: int,
    ) -> int:  # fmt: skip
        """Find the slots of customer rows from a record on, up to the first one whose customer must get a row.

        Parameters
        ----------
        transactions : columns.TRANSACTION[n]
        accounts : int64[n]
            Slots of their accounts.
        found : int64[n]
            Out: slots of customer rows, -1 where the account alone stands for the customer.
        start
            The record to begin with.

        Returns
        -------
        int
            n, or the record before which :meth:`begin` is to be called, when all before it have been walked.
        """
        self._read_after_loads()
        self._account_of.reserve(len(transactions))
        new = np.zeros(1, np.int64)
        stop = int(
            _settle(
                self._accounts.rows, transactions, accounts, self._customers.index, self._account_of.places, found,
                start, new,
            )
        )  # fmt: skip
        self._account_of.count_new(int(new[0]))
        return stop

    def accounts_of(self, customers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Hashes of the accounts that stand for these customers."""
        self._read_after_loads()
        slots = self._account_of.lookup(customers)
        keys = self._accounts.rows["key"][slots[slots >= 0]]
        return np.array([hash_id(key.decode()) for key in keys.tolist()], np.uint64)

    def begin(self, transactions: npt.NDArray[np.void], at: int) -> None:
        """Make the row of a record's customer; it begins with what the account knows that stood for the customer."""
        hashes = transactions["customer_hash"][at : at + 1].copy()
        slot = self._customers.claim(hashes, transactions["customer_id"][at : at + 1])[0]
        account = self._account_of.lookup(hashes)[0]
        if account >= 0:
            begin_customer(self._customers.rows, slot, self._accounts.rows, account)

    def _read_after_loads(self) -> None:
        """Rows that a recovery put into the table say for whom they stand."""
        if self._loads != self._accounts.loads:
            self._loads = self._accounts.loads
            stands_for = self._accounts.rows["customer"][: len(self._accounts)]
            known = np.flatnonzero(stands_for)
            self._account_of.put(stands_for[known], known)


@njit(cache=True, nogil=True)
def _settle(
    rows: Any, transactions: Any, accounts: Any, customers: Any, account_of: Any, found: Any, start: Any, new: Any
) -> int:
    """See :meth:`CustomerSlots.settle`; ``new`` counts the accounts that from now on stand for a customer."""
    for i in range(start, transactions.shape[0]):
        customer = transactions[i]["customer_hash"]
        found[i] = EMPTY
        if customer == transactions[i]["account_hash"]:
            continue
        found[i] = slot_of(customers, customer)
        row = rows[accounts[i]]
        if found[i] != EMPTY or row["customer"] == customer:
            continue
        if row["customer"] != 0 or slot_of(account_of, customer) != EMPTY:
            return i
        row["customer"] = customer
        put_slot(account_of, customer, accounts[i])
        new[0] += 1
    return transactions.shape[0]  # type: ignore[no-any-return]

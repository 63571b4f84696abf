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

from stream.core.account.customer import begin_customer
from stream.core.account.idle_accounts import idle_accounts, is_idle_account, last_met, remembers_fraud
from stream.core.columns import hash_id
from stream.core.table.row_table import RowTable
from stream.core.table.slot_index import EMPTY, SlotIndex, put_slot, slot_of

DONE, BEGIN, FORGOTTEN, WALK = 0, 1, 2, 3


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
        self, transactions: npt.NDArray[np.void], accounts: npt.NDArray[np.int64], horizons: npt.NDArray[np.int64],
        found: npt.NDArray[np.int64], start: int,
    ) -> tuple[int, int]:  # fmt: skip
        """Find the slots of customer rows from a record on, up to the first one before which something is to be done.

        Parameters
        ----------
        transactions : columns.TRANSACTION[n]
        accounts : int64[n]
            Slots of their accounts.
        horizons : int64[n, 2]
            What is forgotten as each comes, µs: rows of accounts and customers last met before the first of both.
        found : int64[n]
            Out: slots of customer rows, -1 where the account alone stands for the customer.
        start
            The record to begin with: all before it have been walked.

        Returns
        -------
        int, int
            n, or the record that stopped it; and why: :data:`BEGIN` (:meth:`begin` is to be called for it when all before it
            have been walked), :data:`FORGOTTEN` (it is the first one, and its account is to be made anew), or :data:`WALK`
            (what is before it is to be walked first: only then is it known what is forgotten).
        """
        self._read_after_loads(int(horizons[start, 0]))
        self._account_of.reserve(len(transactions))
        counts = np.zeros(2, np.int64)
        stop = int(
            _settle(
                self._accounts.rows, self._customers.rows, transactions, accounts, self._customers.index,
                self._account_of.places, horizons, found, start, counts,
            )
        )  # fmt: skip
        self._account_of.count_new(int(counts[0]))
        return stop, int(counts[1])

    def accounts_of(self, customers: npt.NDArray[np.uint64], horizon: int) -> npt.NDArray[np.uint64]:
        """Hashes of the accounts that stand for these customers; those last met before the horizon (µs) are forgotten."""
        self._read_after_loads(horizon)
        slots = self._account_of.lookup(customers)
        keys = self._accounts.rows["key"][slots[slots >= 0]]
        return np.array([hash_id(key.decode()) for key in keys.tolist()], np.uint64)

    def begin(self, transactions: npt.NDArray[np.void], at: int, horizon: int) -> None:
        """Make the row of a record's customer; it begins with what the account knows that stood for the customer."""
        hashes = transactions["customer_hash"][at : at + 1].copy()
        before = self._customers.lookup(hashes)[0]
        slot = self._customers.claim(hashes, transactions["customer_id"][at : at + 1])[0]
        if before >= 0:
            self._customers.clear(slot)
        account = self._account_of.lookup(hashes)[0]
        if account >= 0 and stands_for(self._accounts.rows, account, hashes[0], horizon):
            begin_customer(self._customers.rows, slot, self._accounts.rows, account, horizon)
        else:
            self._customers.rows["window_time"][slot] = max(horizon, 0)

    def forget(self, accounts: npt.NDArray[np.int64]) -> None:
        """Accounts of these slots are about to be taken out of their table."""
        customers = self._accounts.rows["customer"][accounts]
        mine = (customers != 0) & (self._account_of.lookup(customers) == accounts)
        self._account_of.remove(customers[mine])

    def _read_after_loads(self, horizon: int) -> None:
        """Rows that a recovery put into the table say for whom they stand; where two do, the one that is not forgotten."""
        if self._loads != self._accounts.loads:
            self._loads = self._accounts.loads
            rows = self._accounts.rows[: self._accounts.slots]
            known = np.flatnonzero(rows["customer"])
            known = known[np.argsort(~idle_accounts(rows[known], horizon), kind="stable")]
            self._account_of.put(rows["customer"][known], known)


@njit(cache=True, nogil=True)
def stands_for(rows: Any, account: Any, customer: Any, horizon: Any) -> bool:
    """Whether an account that once stood for a customer does so still."""
    return rows[account]["customer"] == customer and not is_idle_account(rows[account], horizon)


@njit(cache=True, nogil=True)
def _may_be_forgotten(row: Any, horizon: Any, oldest: Any, is_first: Any) -> bool:
    """Whether an account looks forgotten. Records of this part that are not walked yet can only have met it later than it says;
    and where it has no attempt yet, no earlier than the ``oldest`` event time of the part."""
    if last_met(row) < horizon:
        return True
    return row["attempts"] == 0 and not is_first and oldest < horizon


@njit(cache=True, nogil=True)
def _settle(
    rows: Any, customer_rows: Any, transactions: Any, accounts: Any, customers: Any, account_of: Any, horizons: Any,
    found: Any, start: Any, counts: Any,
) -> int:  # fmt: skip
    """See :meth:`CustomerSlots.settle`. ``counts``: accounts that from now on stand for a customer, and why it stopped."""
    oldest = transactions[start]["event_time"]
    for i in range(start, transactions.shape[0]):
        horizon, first = horizons[i, 0], i == start
        row = rows[accounts[i]]
        if _may_be_forgotten(row, horizon, oldest, first) and not remembers_fraud(row):
            counts[1] = FORGOTTEN if first else WALK
            return i
        why = _settle_one(
            rows,
            customer_rows,
            transactions[i],
            accounts[i],
            customers,
            account_of,
            horizon,
            oldest,
            first,
            found,
            i,
            counts,
        )
        if why != DONE:
            counts[1] = why
            return i
        oldest = min(oldest, transactions[i]["event_time"])
    return transactions.shape[0]  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _settle_one(
    rows: Any, customer_rows: Any, transaction: Any, account: Any, customers: Any, account_of: Any, horizon: Any, oldest: Any,
    first: Any, found: Any, i: Any, counts: Any,
) -> int:  # fmt: skip
    customer = transaction["customer_hash"]
    found[i] = EMPTY
    if customer == transaction["account_hash"]:
        return DONE
    slot = slot_of(customers, customer)
    if slot != EMPTY:
        if customer_rows[slot]["window_time"] >= horizon:
            found[i] = slot
            return DONE
        if not first:
            return WALK
    row = rows[account]
    if row["customer"] == customer:
        return DONE
    other = slot_of(account_of, customer)
    if other != EMPTY:
        if not first and rows[other]["customer"] == customer and _may_be_forgotten(rows[other], horizon, oldest, first):
            return WALK
        if stands_for(rows, other, customer, horizon):
            return BEGIN
    if row["customer"] != 0:
        return BEGIN
    row["customer"] = customer
    put_slot(account_of, customer, account)
    counts[0] += other == EMPTY
    return DONE

"""Which customers need a row: those of several accounts.

An account's row names the customer it alone stands for: the first that paid from it, unless another account stands for
that one already. Whoever pays from an account that does not stand for him has several and gets a customer row, for good.
All this depends on the ids of the records and their order, and is read off the rows again after a recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.core.customer import begin_customer
from stream.core.rows import RowTable
from stream.core.slot_index import SlotIndex


@dataclass(frozen=True, slots=True)
class Beginning:
    """A customer gets a row before a record of a batch is walked.

    Parameters
    ----------
    at
        Place of the record.
    account
        Slot of the account that stood for the customer until then, -1 where none did.
    """

    at: int
    account: int


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

    def find(
        self, transactions: npt.NDArray[np.void], accounts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], list[Beginning]]:
        """Slots of customer rows, -1 where there is none (yet), and the rows that are to begin within the batch.

        Parameters
        ----------
        transactions : columns.TRANSACTION[n]
        accounts : int64[n]
            Slots of their accounts.
        """
        hashes = transactions["customer_hash"]
        found = np.full(len(hashes), -1, np.int64)
        other = np.flatnonzero(hashes != transactions["account_hash"])
        if len(other) == 0:
            return found, []
        self._read_after_loads()
        found[other] = self._customers.lookup(np.ascontiguousarray(hashes[other]))
        stands_for = self._accounts.rows["customer"][accounts[other]]
        unsettled = other[(found[other] < 0) & (stands_for != hashes[other])]
        return found, self._settle(hashes, accounts, unsettled.tolist())

    def begin(self, beginning: Beginning, transactions: npt.NDArray[np.void], found: npt.NDArray[np.int64]) -> None:
        """Make a customer's row; this record and later ones of the batch find it."""
        at = beginning.at
        hashes = transactions["customer_hash"]
        slot = self._customers.claim(hashes[at : at + 1].copy(), transactions["customer_id"][at : at + 1])[0]
        if beginning.account >= 0:
            begin_customer(self._customers.rows, slot, self._accounts.rows, beginning.account)
        found[at:][hashes[at:] == hashes[at]] = slot

    def _settle(
        self, hashes: npt.NDArray[np.uint64], accounts: npt.NDArray[np.int64], unsettled: list[int]
    ) -> list[Beginning]:
        begun: dict[int, Beginning] = {}
        rows = self._accounts.rows
        for at in unsettled:
            customer, account = int(hashes[at]), int(accounts[at])
            stands_for = int(rows["customer"][account])
            if customer in begun or stands_for == customer:
                continue
            first = int(self._account_of.lookup(hashes[at : at + 1].copy())[0])
            if stands_for == 0 and first < 0:
                rows["customer"][account] = customer
                self._account_of.put(hashes[at : at + 1].copy(), accounts[at : at + 1])
            else:
                begun[customer] = Beginning(at, first)
        return list(begun.values())

    def _read_after_loads(self) -> None:
        """Rows that a recovery put into the table say for whom they stand."""
        if self._loads != self._accounts.loads:
            self._loads = self._accounts.loads
            stands_for = self._accounts.rows["customer"][: len(self._accounts)]
            known = np.flatnonzero(stands_for)
            self._account_of.put(stands_for[known], known)

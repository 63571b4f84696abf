"""First hop: transactions and feedback of one input partition become frames with account features.

``AccountHop`` holds the rows of one partition and walks batches in order. It knows no Kafka: the worker, the replay
tool and the simulator of bad days are shells around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.currency import Currencies
from rules.policy import shipped
from stream.core import account, account_outcomes, account_reversal, account_row, customer, told_row
from stream.core.account_row_history import OLDER
from stream.core.columns import hash_id
from stream.core.customer_row_history import OLDER as OLDER_CUSTOMERS
from stream.core.customer_slots import CustomerSlots
from stream.core.frame import FORWARDED
from stream.core.frames import Frames
from stream.core.mending import Step, forwarded_step, mend_accounts
from stream.core.rows import RowTable

_NOTHING_FORWARDED = np.zeros(0, FORWARDED)
_FORWARDED_AS_TOLD = (
    "kind", "verdict", "occurred_at", "transaction_hash", "account_hash", "transaction_id", "account_id", "feedback_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HopSettings:
    """What shapes rows and must be the same wherever they are computed again.

    Parameters
    ----------
    partitions
        Number of payee partitions.
    maturity_us
        Age at which a payment without an adverse outcome becomes normal, µs.
    lateness_us
        Lateness bound, µs.
    """

    partitions: int
    maturity_us: int
    lateness_us: int


@dataclass(frozen=True, slots=True)
class Profiled:
    """What came of one batch.

    Parameters
    ----------
    frames
        Payee partition and frame bytes, ascending by partition; partitions without records are left out.
    status
        uint8[n] of the transactions: DECIDED, DUPLICATE or CONFLICT (``account.py``).
    repeated_feedback
        Feedback records of the batch that had been told before, and did nothing.
    reversals
        How many reversals of the batch by what became of them: ``account_reversal.RESULTS``.
    """

    frames: tuple[tuple[int, bytes], ...]
    status: npt.NDArray[np.uint8]
    repeated_feedback: int = 0
    reversals: tuple[int, ...] = (0,) * len(account_reversal.RESULTS)


class AccountHop:
    """Rows and batches of one input partition."""

    def __init__(self, partition: int, settings: HopSettings) -> None:
        self.partition = partition
        self.settings = settings
        self.table = RowTable(account_row.ACCOUNT_ROW, account_row.SCHEMA_VERSION, older=OLDER)
        self.customers = RowTable(customer.CUSTOMER_ROW, customer.SCHEMA_VERSION, older=OLDER_CUSTOMERS)
        """Rows of customers with several accounts."""
        self.told = RowTable(told_row.TOLD_ROW, told_row.SCHEMA_VERSION)
        """What accounts were told, for those that were told anything."""
        self._customer_slots = CustomerSlots(self.table, self.customers)
        self.highest = np.full(1, np.iinfo(np.int64).min // 2, np.int64)
        """The partition's highest event time so far, µs: what lateness is measured against."""

    def process(
        self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void], rates: Currencies | None = None,
        steps: Sequence[Step] = (),
    ) -> Profiled:  # fmt: skip
        """Walk one batch: its transactions in order, then its feedback in order, then the steps that mend times.

        Parameters
        ----------
        transactions : columns.TRANSACTION[n]
        feedback : columns.FEEDBACK[m]
        rates
            What amounts are compared by; whoever walks the batch again must have the same. None: the shipped ones.
        steps
            As the batch's record has them.
        """
        frames = Frames(transactions, self.settings.partitions)
        reversals = np.zeros(len(account_reversal.RESULTS), np.int64)
        status = self._profile(transactions, frames, rates or shipped().common.currencies, reversals)
        forwarded, repeated = self._learn(feedback)
        if steps:
            forwarded = np.concatenate([forwarded, *(self._mend(step) for step in steps)])
        return Profiled(frames.encoded(forwarded), status, repeated, tuple(reversals.tolist()))

    def mend(self, step: Step) -> int:
        """Bring times that lie ahead of the broker's back to it; returns how many rows were changed."""
        if self.highest[0] > step.limit:
            self.highest[0] = step.until
        return mend_accounts(self.table, self.customers, self.told, step)

    def _mend(self, step: Step) -> npt.NDArray[np.void]:
        self.mend(step)
        return forwarded_step(step, f"mended-{self.partition}-{step.offset}", self.partition, self.settings.partitions)

    def excerpt(self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]) -> AccountHop:
        """A hop of its own with copies of the rows that these records concern: to try what walking them does."""
        hop = AccountHop(self.partition, self.settings)
        customers = np.unique(np.concatenate([transactions["customer_hash"], feedback["customer_hash"]]))
        own = np.concatenate([transactions["account_hash"], feedback["account_hash"]])
        self.table.copy_to(hop.table, np.unique(np.concatenate([own, self._customer_slots.accounts_of(customers)])))
        self.customers.copy_to(hop.customers, customers)
        self.told.copy_to(hop.told, np.unique(own))
        hop.highest[:] = self.highest
        return hop

    def _profile(
        self, transactions: npt.NDArray[np.void], frames: Frames, rates: Currencies, reversals: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Walk the transactions, in parts where a customer's row begins in between; returns what became of each."""
        count = len(transactions)
        status, customer_slots = np.zeros(count, np.uint8), np.empty(count, np.int64)
        if count == 0:
            return status
        slots = self.table.claim(np.ascontiguousarray(transactions["account_hash"]), transactions["account_id"])
        start = 0
        while start < count:
            stop = self._customer_slots.settle(transactions, slots, customer_slots, start)
            account.profile(
                self.table.rows, self.customers.rows, transactions, slots, customer_slots, rates.arrays, self.settings.maturity_us,
                self.settings.lateness_us, self.highest, self.partition, frames.to, frames.next, frames.records,
                status, reversals, start, stop,
            )  # fmt: skip
            if stop < count:
                self._customer_slots.begin(transactions, stop)
            start = stop
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        return status

    def _learn(self, feedback: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], int]:
        """Apply feedback; returns what the payees must hear, and how many records were repeats."""
        if len(feedback) == 0:
            return _NOTHING_FORWARDED, 0
        accounts = np.ascontiguousarray(feedback["account_hash"])
        slots, told_slots = self.table.lookup(accounts), self.told.claim(accounts, feedback["account_id"])
        superseded = np.array([hash_id(identifier) for identifier in feedback["supersedes"].tolist()], np.uint64)
        customers = np.ascontiguousarray(feedback["customer_hash"])
        customer_slots = np.where(customers == accounts, -1, self.customers.lookup(customers))
        found = np.zeros(len(feedback), account_outcomes.TOLD_OF)
        account_outcomes.learn_outcomes(
            self.table.rows, self.customers.rows, self.told.rows, feedback, superseded, slots, customer_slots, told_slots,
            found,
        )  # fmt: skip
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        self.told.mark_changed(told_slots)
        repeated = found["status"] == account_outcomes.REPEATED
        return self._forwarded(feedback, found, repeated), int(np.count_nonzero(repeated))

    def _forwarded(
        self, feedback: npt.NDArray[np.void], found: npt.NDArray[np.void], repeated: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.void]:
        """What was not a repeat; before a record that takes another back, what that one said, with ``takes_back`` set."""
        lines: list[npt.NDArray[np.void]] = []
        for at in np.flatnonzero(~repeated).tolist():
            record = np.zeros(1, FORWARDED)
            for name in _FORWARDED_AS_TOLD:
                record[name] = feedback[name][at]
            record["source_partition"], record["source_offset"] = self.partition, feedback["offset"][at]
            record["payee_hash"], record["event_time"] = found["payee"][at], found["event_time"][at]
            if found["takes_back"][at]:
                undone = record.copy()
                undone["takes_back"] = 1
                undone["verdict"], undone["kind"] = found["superseded_verdict"][at], found["superseded_kind"][at]
                undone["transaction_hash"] = found["superseded_transaction"][at]
                undone["payee_hash"] = found["superseded_payee"][at]
                lines.append(undone)
            lines.append(record)
        return np.concatenate(lines) if lines else _NOTHING_FORWARDED

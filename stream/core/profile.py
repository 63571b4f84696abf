"""First hop: transactions and feedback of one input partition become frames with account features.

``AccountHop`` holds the rows of one partition and walks batches in order. It knows no Kafka: the worker, the replay
tool and the simulator of bad days are shells around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.core import account, account_outcomes, account_row, customer
from stream.core.account_row_history import OLDER
from stream.core.customer_slots import CustomerSlots
from stream.core.frame import FORWARDED
from stream.core.frames import Frames
from stream.core.rows import RowTable

_NOTHING_FORWARDED = np.zeros(0, FORWARDED)


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
    """

    frames: tuple[tuple[int, bytes], ...]
    status: npt.NDArray[np.uint8]


class AccountHop:
    """Rows and batches of one input partition."""

    def __init__(self, partition: int, settings: HopSettings) -> None:
        self.partition = partition
        self.settings = settings
        self.table = RowTable(account_row.ACCOUNT_ROW, account_row.SCHEMA_VERSION, older=OLDER)
        self.customers = RowTable(customer.CUSTOMER_ROW, customer.SCHEMA_VERSION, older=customer.OLDER)
        """Rows of customers with several accounts."""
        self._customer_slots = CustomerSlots(self.table, self.customers)
        self.highest = np.full(1, np.iinfo(np.int64).min // 2, np.int64)
        """The partition's highest event time so far, µs: what lateness is measured against."""

    def process(self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]) -> Profiled:
        """Walk one batch: its transactions in order, then its feedback in order.

        Parameters
        ----------
        transactions : columns.TRANSACTION[n]
        feedback : columns.FEEDBACK[m]
        """
        frames = Frames(transactions, self.settings.partitions)
        status = self._profile(transactions, frames)
        return Profiled(frames.encoded(self._learn(feedback)), status)

    def excerpt(self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]) -> AccountHop:
        """A hop of its own with copies of the rows that these records concern: to try what walking them does."""
        hop = AccountHop(self.partition, self.settings)
        customers = np.unique(np.concatenate([transactions["customer_hash"], feedback["customer_hash"]]))
        own = np.concatenate([transactions["account_hash"], feedback["account_hash"]])
        self.table.copy_to(hop.table, np.unique(np.concatenate([own, self._customer_slots.accounts_of(customers)])))
        self.customers.copy_to(hop.customers, customers)
        hop.highest[:] = self.highest
        return hop

    def _profile(self, transactions: npt.NDArray[np.void], frames: Frames) -> npt.NDArray[np.uint8]:
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
                self.table.rows, self.customers.rows, transactions, slots, customer_slots, self.settings.maturity_us,
                self.settings.lateness_us, self.highest, self.partition, frames.to, frames.next, frames.records,
                status, start, stop,
            )  # fmt: skip
            if stop < count:
                self._customer_slots.begin(transactions, stop)
            start = stop
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        return status

    def _learn(self, feedback: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        if len(feedback) == 0:
            return _NOTHING_FORWARDED
        forwarded = np.zeros(len(feedback), FORWARDED)
        slots = self.table.lookup(np.ascontiguousarray(feedback["account_hash"]))
        payees, event_times = np.zeros(len(feedback), np.uint64), np.zeros(len(feedback), np.int64)
        customers = np.ascontiguousarray(feedback["customer_hash"])
        customer_slots = np.where(customers == feedback["account_hash"], -1, self.customers.lookup(customers))
        account_outcomes.learn_outcomes(
            self.table.rows, self.customers.rows, feedback, slots, customer_slots, payees, event_times
        )
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        for name in (
            "kind",
            "verdict",
            "occurred_at",
            "transaction_hash",
            "transaction_id",
            "account_id",
            "feedback_id",
        ):
            forwarded[name] = feedback[name]
        forwarded["source_partition"] = self.partition
        forwarded["source_offset"] = feedback["offset"]
        forwarded["payee_hash"] = payees
        forwarded["account_hash"] = feedback["account_hash"]
        forwarded["event_time"] = event_times
        return forwarded

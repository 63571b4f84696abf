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
from stream.core.features import ACCOUNT_WIDTH
from stream.core.frame import FORWARDED, PROFILED, encode_frame
from stream.core.rows import RowTable


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
        profiled, status = self._profile(transactions)
        forwarded = self._learn(feedback)
        return Profiled(self._frames(profiled, forwarded), status)

    def _profile(self, transactions: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint8]]:
        count = len(transactions)
        status, late = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        if count == 0:
            return np.zeros(0, PROFILED), status
        features = np.zeros((count, ACCOUNT_WIDTH))
        hashes = np.ascontiguousarray(transactions["account_hash"])
        slots = self.table.claim(hashes, transactions["account_id"])
        customer_slots, begins = self._customer_slots.find(transactions, slots)
        start = 0
        for beginning, stop in zip([None, *begins], [*(begin.at for begin in begins), count], strict=True):
            if beginning is not None:
                self._customer_slots.begin(beginning, transactions, customer_slots)
            part = slice(start, stop)
            account.profile(
                self.table.rows, self.customers.rows, transactions[part], slots[part], customer_slots[part],
                self.settings.maturity_us, self.settings.lateness_us, self.highest, features[part], status[part], late[part],
            )  # fmt: skip
            start = stop
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        kept = status == account_row.DECIDED
        if not kept.all():
            transactions, features, late = transactions[kept], features[kept], late[kept]
        profiled = np.zeros(len(transactions), PROFILED)
        for name in (
            "slips", "timestamp", "event_time", "decide_by", "amount_minor", "currency", "account_hash",
            "payee_hash", "device_hash", "transaction_hash", "transaction_id", "customer_id", "account_id", "payee_id",
        ):  # fmt: skip
            profiled[name] = transactions[name]
        profiled["source_partition"] = self.partition
        profiled["source_offset"] = transactions["offset"]
        profiled["late"] = late
        profiled["features"] = features
        return profiled, status

    def _learn(self, feedback: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        forwarded = np.zeros(len(feedback), FORWARDED)
        if len(feedback) == 0:
            return forwarded
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

    def _frames(self, profiled: npt.NDArray[np.void], forwarded: npt.NDArray[np.void]) -> tuple[tuple[int, bytes], ...]:
        to, feedback_to = self._route(profiled), self._route(forwarded)
        frames = []
        for partition in range(self.settings.partitions):
            mine, feedback_mine = profiled[to == partition], forwarded[feedback_to == partition]
            if len(mine) or len(feedback_mine):
                frames.append((partition, encode_frame(mine, feedback_mine)))
        return tuple(frames)

    def _route(self, records: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
        """Payee partition of each record; where no payee is known the account decides."""
        payees = records["payee_hash"]
        chosen: npt.NDArray[np.uint64] = np.where(payees != 0, payees, records["account_hash"])
        return chosen % np.uint64(self.settings.partitions)

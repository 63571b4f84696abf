"""First hop: transactions and feedback of one input partition become frames with account features.

``AccountHop`` holds the rows of one partition and walks batches in order. It knows no Kafka: the worker, the replay
tool and the simulator of bad days are shells around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from rules.exchange_rates import Currencies
from rules.policy import shipped
from stream.core.account import account_outcomes, account_reversal, account_row, customer, feedback_row
from stream.core.account import account_walk as account
from stream.core.account.account_mending import mend_accounts
from stream.core.account.account_row_history import OLDER
from stream.core.account.customer_row_history import OLDER as OLDER_CUSTOMERS
from stream.core.account.customer_slots import BEGIN, FORGOTTEN, CustomerSlots
from stream.core.account.idle_accounts import idle_accounts, idle_customers, idle_feedback
from stream.core.columns import hash_id
from stream.core.frame.frame import FORWARDED
from stream.core.frame.frames import FrameRoom
from stream.core.frame.mended_step import MendingStep, forwarded_step
from stream.core.table.forgetting import BEFORE_ALL, NEVER, Horizons, Idle, IdleLimits, Sweep
from stream.core.table.row_table import MOST_ROWS, RowTable
from stream.errors import require_seam

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
    idle
        After how long rows are forgotten, where no record says otherwise.
    idle_payees_us
        The same for payees, µs; 0: never.
    row_limit
        Most rows of one table.
    """

    partitions: int
    maturity_us: int
    lateness_us: int
    idle: IdleLimits = NEVER
    idle_payees_us: int = 0
    row_limit: int = MOST_ROWS


@dataclass(frozen=True, slots=True)
class Profiled:
    """What came of one batch.

    Parameters
    ----------
    frames
        Payee partition and frame bytes, ascending by partition; partitions without records are left out.
    status
        uint8[n] of the transactions: DECIDED, DUPLICATE or CONFLICT (``account_walk.py``).
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
        limit = settings.row_limit
        self.table = RowTable(account_row.ACCOUNT_ROW, account_row.SCHEMA_VERSION, limit, older=OLDER)
        self.customers = RowTable(customer.CUSTOMER_ROW, customer.SCHEMA_VERSION, limit, older=OLDER_CUSTOMERS)
        """Rows of customers with several accounts."""
        self.told = RowTable(feedback_row.FEEDBACK_ROW, feedback_row.SCHEMA_VERSION, limit, older=feedback_row.OLDER)
        """What accounts were told, for those that were told anything."""
        self.horizons = Horizons(2)
        """What is forgotten: accounts and customers, pairs."""
        self._customer_slots = CustomerSlots(self.table, self.customers)
        self.highest = np.full(1, np.iinfo(np.int64).min // 2, np.int64)
        """The partition's highest event time so far, µs: what lateness is measured against."""
        self._sweeps = (
            Sweep(self.table, "last_seen"),
            Sweep(self.customers, "window_time"),
            Sweep(self.told, "touched", 1_000_000),
        )

    def process(
        self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void], rates: Currencies | None = None,
        steps: Sequence[MendingStep] = (), idle: IdleLimits | None = None, reached: npt.NDArray[np.int64] | None = None,
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
        idle
            After how long rows are forgotten, for which the same holds. None: the settings'.
        reached
            The partition's highest event time up to each transaction, µs, where transactions of others count too.
        """
        frames = FrameRoom(transactions, self.settings.partitions)
        reversals = np.zeros(len(account_reversal.RESULTS), np.int64)
        limits = (self.settings.idle if idle is None else idle).numbers()
        horizons = self.horizons.advance(np.ascontiguousarray(transactions["event_time"]), limits, reached)
        status = self._profile(transactions, frames, rates or shipped().common.currencies, reversals, horizons)
        require_seam(
            len(frames) == np.count_nonzero(status == account_row.DECIDED),
            "frames hold other payments than were decided on",
        )
        forwarded, repeated = self._learn(feedback)
        if steps:
            forwarded = np.concatenate([forwarded, *(self._mend(step, limits) for step in steps)])
        return Profiled(frames.encoded(forwarded), status, repeated, tuple(reversals.tolist()))

    def mend(self, step: MendingStep, limits: list[int] | None = None) -> int:
        """Bring times that lie ahead of the broker's back to it; returns how many rows were changed.

        Where the horizons were ahead too (``limits`` are those of now, µs; None: the settings'), all that was forgotten by them is taken out first:
        whether a sweep had come by must not tell what is remembered after they go back.
        """
        if self.highest[0] > step.limit:
            self.highest[0] = step.until
        if self.horizons.reached > step.limit:
            self.forget_all()
            self.horizons.go_back(step.until, limits or self.settings.idle.numbers())
            for sweep in self._sweeps:
                sweep.begin_anew()
        return mend_accounts(self.table, self.customers, self.told, step)

    def _mend(self, step: MendingStep, limits: list[int]) -> npt.NDArray[np.void]:
        self.mend(step, limits)
        return forwarded_step(step, f"mended-{self.partition}-{step.offset}", self.partition, self.settings.partitions)

    def excerpt(self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]) -> AccountHop:
        """A hop of its own with copies of the rows that these records concern: to try what walking them does."""
        hop = AccountHop(self.partition, self.settings)
        customers = np.unique(np.concatenate([transactions["customer_hash"], feedback["customer_hash"]]))
        own = np.concatenate([transactions["account_hash"], feedback["account_hash"]])
        self.table.copy_to(
            hop.table,
            np.unique(np.concatenate([own, self._customer_slots.accounts_of(customers, self.horizons.at[0])])),
        )
        self.customers.copy_to(hop.customers, customers)
        self.told.copy_to(hop.told, np.unique(own))
        hop.highest[:] = self.highest
        hop.horizons = self.horizons.copy()
        return hop

    def forget(self, most: int) -> int:
        """Take out up to so many forgotten rows of each table, as far as the next ones looked at are; returns how many. Whatever
        is taken out, no later result is another."""
        horizon = self.horizons.at[0]
        return sum(
            self._take_out(table, sweep.find(horizon, most, partial(self.idle, table)))
            for table, sweep in zip(self._tables(), self._sweeps, strict=True)
        )

    def written(self) -> None:
        """Say that all rows have been written, and all tombstones; without that none that changed is taken out."""
        for table in self._tables():
            table.written()

    def forget_all(self) -> None:
        """Take out all forgotten rows: two hops that walked the same records then hold the same."""
        for table in self._tables():
            slots = table.taken()
            self._take_out(table, slots[self.idle(table, slots, self.horizons.at[0])])

    def idle(self, table: RowTable, slots: npt.NDArray[np.int64], horizon: int) -> npt.NDArray[np.bool_]:
        """Which rows of one of its tables are forgotten at a horizon (µs), bool[n]."""
        rows = table.rows[slots]
        if table is self.table:
            return idle_accounts(rows, horizon)
        return idle_customers(rows, horizon) if table is self.customers else idle_feedback(rows, horizon)

    def _tables(self) -> tuple[RowTable, ...]:
        return self.table, self.customers, self.told

    def _take_out(self, table: RowTable, slots: npt.NDArray[np.int64]) -> int:
        if table is self.table:
            self._customer_slots.forget(slots)
        table.remove(slots)
        return len(slots)

    def _profile(
        self, transactions: npt.NDArray[np.void], frames: FrameRoom, rates: Currencies, reversals: npt.NDArray[np.int64],
        horizons: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint8]:  # fmt: skip
        """Walk the transactions, in parts where a row begins in between; returns what became of each."""
        count = len(transactions)
        status, customer_slots = np.zeros(count, np.uint8), np.empty(count, np.int64)
        if count == 0:
            return status
        slots = self.table.claim(np.ascontiguousarray(transactions["account_hash"]), transactions["account_id"])
        start = 0
        while start < count:
            stop, why = self._customer_slots.settle(transactions, slots, horizons, customer_slots, start)
            account.profile(
                self.table.rows, self.customers.rows, transactions, slots, customer_slots, rates.arrays, self.settings.maturity_us,
                self.settings.lateness_us, self.highest, self.partition, frames.to, frames.next, frames.records,
                status, reversals, horizons, start, stop,
            )  # fmt: skip
            if why == BEGIN:
                self._customer_slots.begin(transactions, stop, int(horizons[stop, 0]))
            elif why == FORGOTTEN:
                self.table.clear(int(slots[stop]))
            start = stop
        self.table.mark_changed(slots)
        self.customers.mark_changed(customer_slots)
        return status

    def _learn(self, feedback: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], int]:
        """Apply feedback; returns what the payees must hear, and how many records were repeats."""
        if len(feedback) == 0:
            return _NOTHING_FORWARDED, 0
        accounts = np.ascontiguousarray(feedback["account_hash"])
        horizon, pairs_horizon = self.horizons.at
        slots = _remembered(self.table.lookup(accounts), partial(self.idle, self.table), horizon)
        told_slots = self.told.claim(accounts, feedback["account_id"])
        for slot in np.unique(told_slots[self.idle(self.told, told_slots, horizon)]).tolist():
            self.told.clear(slot)
        superseded = np.array([hash_id(identifier) for identifier in feedback["supersedes"].tolist()], np.uint64)
        customers = np.ascontiguousarray(feedback["customer_hash"])
        customer_slots = np.where(customers == accounts, -1, self.customers.lookup(customers))
        customer_slots = _remembered(customer_slots, partial(self.idle, self.customers), horizon)
        found = np.zeros(len(feedback), account_outcomes.TOLD_OF)
        account_outcomes.learn_outcomes(
            self.table.rows, self.customers.rows, self.told.rows, feedback, superseded, slots, customer_slots, told_slots,
            found, self.horizons.reached, pairs_horizon,
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


def _remembered(slots: npt.NDArray[np.int64], idle: Idle, horizon: int) -> npt.NDArray[np.int64]:
    """Slots whose rows are not forgotten, -1 for others."""
    known = np.flatnonzero(slots >= 0)
    if horizon == BEFORE_ALL or not len(known):
        return slots
    slots = slots.copy()
    slots[known[idle(slots[known], horizon)]] = -1
    return slots

"""Second hop, first half: frames become full features, payee rows learn who pays them and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.account.account_outcomes import FRAUD
from stream.core.edge.payment_key import payments_of
from stream.core.features import FEATURES, WIDTH
from stream.core.frame.frame import FORWARDED, PROFILED, Frame, reversals_of
from stream.core.frame.mended_step import MendingStep, steps_among
from stream.core.payee import payee_row
from stream.core.payee import payee_walk as payee
from stream.core.payee.idle_payees import idle_payees, known_frauds
from stream.core.payee.payee_mending import mend_payees
from stream.core.payee.payee_row_history import BUSY_OLDER, OLDER
from stream.core.table.forgetting import Horizons, Sweep
from stream.core.table.row_table import MOST_ROWS, RowTable

_DECIDED = np.array([column for column, feature in enumerate(FEATURES) if feature.row == "policy"])
"""Columns that are filled when deciding."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came of one batch of frames, in the order of ``risk.profiled.v1``.

    Parameters
    ----------
    transactions : PROFILED[n]
    features : float64[n, WIDTH]
        All columns but those filled when deciding, which are NaN.
    partition, frame, place : int64[n]
        Partition and offset of each transaction's frame, and its place in it.
    feedback : FORWARDED[m]
    feedback_frame, feedback_place : int64[m]
    """

    transactions: npt.NDArray[np.void]
    features: npt.NDArray[np.float64]
    partition: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    feedback: npt.NDArray[np.void]
    feedback_frame: npt.NDArray[np.int64]
    feedback_place: npt.NDArray[np.int64]

    def part(self, start: int, stop: int) -> Received:
        """Some of the transactions as if nobody had decided about them yet; feedback stays behind."""
        return self.chosen(np.arange(start, stop))

    def chosen(self, rows: npt.NDArray[np.int64]) -> Received:
        """The same for any rows."""
        features = self.features[rows]
        features[:, _DECIDED] = np.nan
        opaque = self.transactions.view(np.dtype((np.void, PROFILED.itemsize)))
        transactions = opaque[rows].view(PROFILED)
        transactions.flags.writeable = False
        return Received(
            transactions, features, self.partition[rows], self.frame[rows], self.place[rows],
            self.feedback[:0], self.feedback_frame[:0], self.feedback_place[:0],
        )  # fmt: skip


def together(parts: Sequence[Received]) -> Received:
    """Transactions of several partitions as one batch, to be decided at once; their feedback stays with the parts."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Received(
        _joined([part.transactions for part in parts], PROFILED),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.partition for part in parts]),
        np.concatenate([part.frame for part in parts]),
        np.concatenate([part.place for part in parts]),
        first.feedback[:0], first.feedback_frame[:0], first.feedback_place[:0],
    )  # fmt: skip


class PayeeHop:
    """Rows and batches of one partition of ``risk.profiled.v1``.

    Parameters
    ----------
    maturity_us
        As in :class:`stream.core.account.account_hop.HopSettings`.
    idle_us
        After how long rows are forgotten, µs; 0: never. Whoever walks the same frames again must have the same.
    row_limit
        Most rows of one table.
    """

    def __init__(self, partition: int, maturity_us: int, idle_us: int = 0, row_limit: int = MOST_ROWS) -> None:
        self.partition = partition
        self.maturity_us = maturity_us
        self.idle_us = idle_us
        self.row_limit = row_limit
        self.horizons = Horizons(1)
        """What is forgotten."""
        self.busy = RowTable(payee_row.BUSY_ROW, payee_row.BUSY_SCHEMA_VERSION, row_limit, older=BUSY_OLDER)
        """Busy rows of those payees that need one; see ``payee_row.py``."""
        self.table = RowTable(
            payee_row.PAYEE_ROW, payee_row.SCHEMA_VERSION, row_limit, older=OLDER, beside=self.busy
        )  # fmt: skip
        self._sweep = Sweep(self.table, "last_seen")

    def process(self, frames: Sequence[tuple[int, Frame]], reached: npt.NDArray[np.int64] | None = None) -> Received:
        """Walk frames (offset, frame) in order: in each its payments, then its feedback.

        Parameters
        ----------
        reached
            The highest event time up to each payment, µs, where payments of others count too.
        """
        counts = [len(frame.transactions) for _, frame in frames]
        feedback_counts = [len(frame.feedback) for _, frame in frames]
        transactions = _joined([frame.transactions for _, frame in frames], PROFILED)
        feedback = _joined([frame.feedback for _, frame in frames], FORWARDED)
        features = np.empty((len(transactions), WIDTH))
        start = stop = heard = 0
        for count, told in zip(counts, feedback_counts, strict=True):
            stop += count
            if told:  # what frames before it paid is walked first
                self._receive(transactions[start:stop], features[start:stop], _part(reached, start, stop))
                self._learn(feedback[heard : heard + told])
                start, heard = stop, heard + told
        self._receive(transactions[start:stop], features[start:stop], _part(reached, start, stop))
        offsets = np.array([offset for offset, _ in frames], np.int64)
        (of, at), (remembered_feedback, told_at) = _places(offsets, counts), _places(offsets, feedback_counts)
        if any(frame.places is not None for _, frame in frames):
            _keep_places([frame.places for _, frame in frames], counts, at)
            _keep_places([frame.feedback_places for _, frame in frames], feedback_counts, told_at)
        return Received(
            transactions, features, np.full(len(transactions), self.partition, np.int64), of, at, feedback, remembered_feedback, told_at
        )  # fmt: skip

    def excerpt(self, frames: Sequence[tuple[int, Frame]]) -> PayeeHop:
        """A hop of its own with copies of the rows that these frames concern: to try what walking them does."""
        hop = PayeeHop(self.partition, self.maturity_us, self.idle_us, self.row_limit)
        hop.horizons = self.horizons.copy()
        payees = [records["payee_hash"] for _, frame in frames for records in (frame.transactions, frame.feedback)]
        hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *payees]))
        self.table.copy_to(hop.table, hashes)
        self.busy.copy_to(hop.busy, hashes)
        return hop

    def idle(self, slots: npt.NDArray[np.int64], horizon: int) -> npt.NDArray[np.bool_]:
        """Which payees are forgotten at a horizon (µs), bool[n]."""
        idle = idle_payees(self.table.rows[slots], np.zeros(len(slots), np.bool_), horizon)
        old = np.flatnonzero(idle)
        busy = self.busy.lookup(self.table.hashes(slots[old]))
        idle[old] = ~((busy >= 0) & known_frauds(self.busy.rows[np.maximum(busy, 0)]))
        return idle

    def forget(self, most: int) -> int:
        """As in the first hop: a payee goes with its busy row."""
        return self._take_out(self._sweep.find(self.horizons.at[0], most, self.idle))

    def written(self) -> None:
        """As in the first hop."""
        self.table.written()
        self.busy.written()

    def forget_all(self) -> None:
        """As in the first hop."""
        slots = self.table.taken()
        self._take_out(slots[self.idle(slots, self.horizons.at[0])])

    def _take_out(self, slots: npt.NDArray[np.int64]) -> int:
        if len(slots):
            busy = self.busy.lookup(self.table.hashes(slots))
            self.busy.remove(busy[busy >= 0])
            self.table.remove(slots)
        return len(slots)

    def _receive(
        self,
        transactions: npt.NDArray[np.void],
        features: npt.NDArray[np.float64],
        reached: npt.NDArray[np.int64] | None,
    ) -> None:
        done, count = 0, len(transactions)
        if count == 0:
            return
        horizons = self.horizons.advance(np.ascontiguousarray(transactions["event_time"]), [self.idle_us], reached)[
            :, 0
        ]
        hashes = np.ascontiguousarray(transactions["payee_hash"])
        taken_back = reversals_of(transactions)
        if taken_back.any():  # no payment to anybody
            hashes = np.where(taken_back, np.uint64(0), hashes)
        slots = self.table.claim(hashes, transactions["payee_id"], skip_zero=True)
        busy_slots = self.busy.lookup(hashes)
        while done < count:
            cut = payee.next_forgotten(
                self.table.rows, self.busy.rows, slots, busy_slots, transactions, horizons, done
            )  # fmt: skip
            if cut == done:
                self._begin_anew(slots, busy_slots, done)
                continue
            done = payee.receive(
                self.table.rows, self.busy.rows, slots[:cut], busy_slots, transactions, self.maturity_us, features, done
            )
            if done < cut:
                self._make_busy(hashes, slots, busy_slots, done)
        self.table.mark_changed(slots)
        self.busy.mark_changed(busy_slots)

    def _begin_anew(self, slots: npt.NDArray[np.int64], busy_slots: npt.NDArray[np.int64], at: int) -> None:
        """A payee that is forgotten is met again."""
        self.table.clear(int(slots[at]))
        busy = busy_slots[at]
        if busy >= 0:
            self.busy.remove(busy_slots[at : at + 1].copy())
            busy_slots[busy_slots == busy] = -1

    def _make_busy(
        self, hashes: npt.NDArray[np.uint64], slots: npt.NDArray[np.int64], busy_slots: npt.NDArray[np.int64], at: int
    ) -> None:
        """Give one payee of a batch its busy row; later records of the same payee find it too."""
        slot = slots[at]
        busy_slot = self.busy.claim(hashes[at : at + 1], self.table.rows["key"][slot : slot + 1])[0]
        payee_row.make_busy(self.table.rows, slot, self.busy.rows, busy_slot)
        later = busy_slots[at:]
        later[hashes[at:] == hashes[at]] = busy_slot

    def _learn(self, feedback: npt.NDArray[np.void]) -> None:
        if len(feedback) == 0:
            return
        hashes = np.ascontiguousarray(feedback["payee_hash"])
        slots, busy_slots = self.table.lookup(hashes), self.busy.lookup(hashes)
        known = np.flatnonzero(slots >= 0)
        forgotten = known[self.idle(slots[known], self.horizons.at[0])]
        slots[forgotten] = busy_slots[forgotten] = -1
        counted = (feedback["verdict"] == FRAUD) & (feedback["takes_back"] == 0) & (slots >= 0)
        for at in np.flatnonzero(counted).tolist():
            if busy_slots[at] < 0:
                self._make_busy(hashes, slots, busy_slots, at)
        payee.learn_outcomes(
            self.table.rows, self.busy.rows, slots, busy_slots, payments_of(feedback),
            np.ascontiguousarray(feedback["event_time"]), np.ascontiguousarray(feedback["occurred_at"]),
            np.ascontiguousarray(feedback["verdict"]), np.ascontiguousarray(feedback["takes_back"]), self.maturity_us,
        )  # fmt: skip
        self.table.mark_changed(slots)
        self.busy.mark_changed(busy_slots)
        for step in steps_among(feedback):
            self.mend(step)

    def mend(self, step: MendingStep) -> int:
        """Bring times that lie ahead of the broker's back to it; returns how many rows were changed."""
        if self.horizons.reached > step.limit:
            self.forget_all()
            self.horizons.go_back(step.until, [self.idle_us])
            self._sweep.begin_anew()
        return mend_payees(self.table, self.busy, step)


def _part(reached: npt.NDArray[np.int64] | None, start: int, stop: int) -> npt.NDArray[np.int64] | None:
    return None if reached is None else reached[start:stop]


def _keep_places(
    known: Sequence[npt.NDArray[np.int64] | None], counts: Sequence[int], places: npt.NDArray[np.int64]
) -> None:
    """Where records of a frame are left out the others keep the places they had."""
    start = 0
    for kept, count in zip(known, counts, strict=True):
        if kept is not None:
            places[start : start + count] = kept
        start += count


def _joined(parts: list[npt.NDArray[np.void]], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """All of them, read-only."""
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        joined = filled[0].view()
    else:
        # bytes behind bytes: numpy's own concatenation of structs walks their fields
        joined = np.frombuffer(bytearray().join([part.data for part in filled]), dtype)
    joined.flags.writeable = False
    return joined


def _places(
    offsets: npt.NDArray[np.int64], counts: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Offset of each record's frame, and its place in it: 0, 1, … within each frame."""
    total = sum(counts)
    frames, places = np.empty(total, np.int64), np.empty(total, np.int64)
    if total:
        _count_places(offsets, np.array(counts, np.int64), frames, places)
    return frames, places


@njit(cache=True, nogil=True)
def _count_places(offsets: Any, counts: Any, frames: Any, places: Any) -> None:
    at = 0
    for which in range(offsets.shape[0]):
        for place in range(counts[which]):
            frames[at] = offsets[which]
            places[at] = place
            at += 1

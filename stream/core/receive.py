"""Second hop, first half: frames become full features, payee rows learn who pays them and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.core import payee
from stream.core.features import ACCOUNT_WIDTH, WIDTH
from stream.core.frame import FORWARDED, PROFILED, Frame
from stream.core.rows import RowTable


@dataclass(frozen=True, slots=True)
class Received:
    """What came of one batch of frames, in the order of ``risk.profiled.v1``.

    Parameters
    ----------
    transactions : PROFILED[n]
    features : float64[n, WIDTH]
        All columns but those filled when deciding, which are NaN.
    frame, place : int64[n]
        Offset of each transaction's frame and its place in it.
    feedback : FORWARDED[m]
    feedback_frame, feedback_place : int64[m]
    """

    transactions: npt.NDArray[np.void]
    features: npt.NDArray[np.float64]
    frame: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    feedback: npt.NDArray[np.void]
    feedback_frame: npt.NDArray[np.int64]
    feedback_place: npt.NDArray[np.int64]


class PayeeHop:
    """Rows and batches of one partition of ``risk.profiled.v1``.

    Parameters
    ----------
    maturity_us
        As in :class:`stream.core.profile.HopSettings`.
    """

    def __init__(self, partition: int, maturity_us: int) -> None:
        self.partition = partition
        self.maturity_us = maturity_us
        self.table = RowTable(payee.PAYEE_ROW, payee.SCHEMA_VERSION)

    def process(self, frames: Sequence[tuple[int, Frame]]) -> Received:
        """Walk frames (offset, frame) in order: in each its payments, then its feedback."""
        counts = [len(frame.transactions) for _, frame in frames]
        transactions = _joined([frame.transactions for _, frame in frames], PROFILED)
        feedback = _joined([frame.feedback for _, frame in frames], FORWARDED)
        features = np.full((len(transactions), WIDTH), np.nan)
        features[:, :ACCOUNT_WIDTH] = transactions["features"]
        start, feedback_start = 0, 0
        for (_, frame), count in zip(frames, counts, strict=True):
            self._receive(transactions[start : start + count], features[start : start + count])
            end = feedback_start + len(frame.feedback)
            self._learn(feedback[feedback_start:end])
            start, feedback_start = start + count, end
        offsets = np.array([offset for offset, _ in frames], np.int64)
        feedback_counts = [len(frame.feedback) for _, frame in frames]
        return Received(
            transactions, features, np.repeat(offsets, counts), _places(counts),
            feedback, np.repeat(offsets, feedback_counts), _places(feedback_counts),
        )  # fmt: skip

    def _receive(self, transactions: npt.NDArray[np.void], features: npt.NDArray[np.float64]) -> None:
        if len(transactions) == 0:
            return
        hashes = np.ascontiguousarray(transactions["payee_hash"])
        slots = self.table.claim(hashes, transactions["payee_id"], skip_zero=True)
        payee.receive(
            self.table.rows, slots, np.ascontiguousarray(transactions["account_hash"]),
            np.ascontiguousarray(transactions["event_time"]), self.maturity_us, features,
        )  # fmt: skip
        self.table.mark_changed(slots)

    def _learn(self, feedback: npt.NDArray[np.void]) -> None:
        if len(feedback) == 0:
            return
        slots = self.table.lookup(np.ascontiguousarray(feedback["payee_hash"]))
        payee.learn_outcomes(
            self.table.rows, slots, np.ascontiguousarray(feedback["transaction_hash"]),
            np.ascontiguousarray(feedback["event_time"]), np.ascontiguousarray(feedback["occurred_at"]),
            np.ascontiguousarray(feedback["verdict"]), self.maturity_us,
        )  # fmt: skip
        self.table.mark_changed(slots)


def _joined(parts: list[npt.NDArray[np.void]], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    if len(parts) == 1:
        return parts[0]
    # bytes behind bytes: numpy's own concatenation of structs walks their fields
    return (
        np.frombuffer(bytearray().join([part.data.cast("B") for part in parts]), dtype) if parts else np.zeros(0, dtype)
    )


def _places(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """0, 1, … within each frame."""
    return np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, np.int64)

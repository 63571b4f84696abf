"""One partition of the input topics: transactions and feedback in the order of arrival, each at its event time.

Partitions are put in one order by event time, because records that were loaded after the fact (``produce``) are stamped
within moments. Feedback has no event time of its own. It stands where it arrived: behind the transactions of its
partition that Kafka stamped no later, before the next one. Between the two it stands at its Kafka timestamp, and where
the topic was loaded after the fact, at the time it says it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.core.edge.decode import Decoded, Refusal, decode_feedback, decode_transactions
from stream.replay.walk.merged_log import LogRecord, Timed

_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class InputTerms:
    """What reading the topics depends on beside them.

    Parameters
    ----------
    trusts
        Whether the policy lists an actor; feedback of others is passed over, as live.
    future_ms
        How far an event time may lie ahead of its Kafka timestamp, ms.
    maturity_us
        Age at which a payment without a verdict counts as genuine, µs.
    """

    trusts: Callable[[str], bool]
    future_ms: int
    maturity_us: int


@dataclass(frozen=True, slots=True, eq=False)
class PartitionBatch:
    """Transactions of one partition that were read together, and what the edge made of them."""

    partition: int
    records: Sequence[LogRecord]
    decoded: Decoded
    row: npt.NDArray[np.int64]
    """Of each record, its row among the accepted; -1 where it was refused."""
    refused: dict[int, Refusal]


@dataclass(frozen=True, slots=True, eq=False)
class PartitionPayment:
    """One transaction: the ``index``-th of its batch."""

    batch: PartitionBatch
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class FeedbackRecord:
    """One feedback record, ``columns.FEEDBACK`` [1]; None where it is passed over."""

    row: npt.NDArray[Any] | None


def arrivals(
    partition: int,
    partitions: int,
    terms: InputTerms,
    transactions: Iterator[Sequence[LogRecord]],
    feedback: Iterator[Sequence[LogRecord]],
) -> Iterator[list[Timed[PartitionPayment | FeedbackRecord]]]:
    """What arrived in one partition, in chunks, with the times to merge partitions by."""
    outcomes = _Peek(feedback)
    reached = -_NEVER
    for records in transactions:
        batch = _batch(partition, partitions, terms, records)
        times = np.full(len(records), -_NEVER, np.int64)
        times[batch.decoded.accepted] = batch.decoded.columns["event_time"]
        times = np.maximum.accumulate(np.maximum(times, reached))
        chunk: list[Timed[PartitionPayment | FeedbackRecord]] = []
        for index, (record, time) in enumerate(zip(records, times.tolist(), strict=True)):
            while outcomes.stamp < record.timestamp:
                chunk.append(_heard(outcomes.pop(), partition, partitions, terms, reached, time))
            chunk.append(Timed(time, PartitionPayment(batch, index)))
            reached = time
        yield chunk
    while outcomes.stamp < _NEVER:
        yield [_heard(outcomes.pop(), partition, partitions, terms, reached, _NEVER)]


def columns_of(
    records: Sequence[LogRecord],
) -> tuple[list[bytes | None], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Values, offsets and timestamps of records, as ``stream.core.edge.decode`` takes them."""
    return (
        [record.value for record in records],
        np.array([record.offset for record in records], np.int64),
        np.array([record.timestamp for record in records], np.int64),
    )


def _batch(partition: int, partitions: int, terms: InputTerms, records: Sequence[LogRecord]) -> PartitionBatch:
    decoded = decode_transactions(*columns_of(records), partition, partitions, future_ms=terms.future_ms)
    row = np.full(len(records), -1, np.int64)
    row[decoded.accepted] = np.arange(len(decoded.accepted))
    return PartitionBatch(partition, records, decoded, row, {refusal.index: refusal for refusal in decoded.refused})


def _heard(
    record: LogRecord, partition: int, partitions: int, terms: InputTerms, reached: int, following: int
) -> Timed[PartitionPayment | FeedbackRecord]:
    read = decode_feedback(*columns_of([record]), partition, partitions, trusted=terms.trusts).columns
    stamped = record.timestamp * 1_000
    time = stamped if stamped <= following or not len(read) else int(read["occurred_at"][0])
    return Timed(min(max(time, reached), following), FeedbackRecord(read if len(read) else None))


class _Peek:
    """Records of a partition, the next one's timestamp ahead of it."""

    def __init__(self, chunks: Iterator[Sequence[LogRecord]]) -> None:
        self._records = (record for chunk in chunks for record in chunk)
        self._next = next(self._records, None)

    @property
    def stamp(self) -> int:
        """Kafka timestamp of the next record, ms; without end where there is none."""
        return _NEVER if self._next is None else self._next.timestamp

    def pop(self) -> LogRecord:
        """The next record."""
        record = self._next
        assert record is not None, "asked for one that is not there"
        self._next = next(self._records, None)
        return record

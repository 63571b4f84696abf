"""The input topics as a source: transactions and feedback in the order in which they arrived.

What the edge refuses live is refused here, for the same reason. Feedback reaches rows and learner when event time enters
the next bucket after its arrival (``input_partition.py``); what it says in the end is, for whoever measures, the truth:
the last verdict of each transaction, and genuine where none came and the payment has matured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.core import columns
from stream.core.edge.decode import Decoded, Refusal, decode_feedback, decode_transactions
from stream.core.learning.stream_learner import LABEL_KINDS
from stream.replay.source.labels import FRAUD, GENUINE, UNLABELLED, Labels, TruthFile
from stream.replay.source.sources import Arrivals, Chunk
from stream.replay.source.tables import CHUNK_ROWS
from stream.replay.source.truth_index import TruthIndex
from stream.replay.walk.input_partition import (
    FeedbackRecord,
    InputTerms,
    PartitionBatch,
    PartitionPayment,
    arrivals,
    columns_of,
)
from stream.replay.walk.merged_log import TopicLog, merged

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
_KINDS = np.array([kind in LABEL_KINDS for kind in columns.FEEDBACK_KINDS])
_CODES = np.array([{"genuine": GENUINE, "fraud": FRAUD}.get(word, UNLABELLED) for word in columns.VERDICTS], np.int8)


class TopicSource:
    """Transactions of a topic, with feedback as it arrived; iterate over :meth:`chunks`.

    Parameters
    ----------
    log
        Where the topics are read.
    name
        What to call it.
    terms
        See there.
    truth
        Labels from a file; then the feedback topic is left alone, and labels come late by the label delay.
    """

    def __init__(self, log: TopicLog, name: str, terms: InputTerms, truth: TruthFile | None = None) -> None:
        self.name = name
        self.passed_over = 0
        """Feedback that cannot be read, or by an actor whom the policy does not list."""
        self._log = log
        self._terms = terms
        self._truth = truth
        self._partitions = log.partitions(TRANSACTIONS)

    @property
    def labelled(self) -> bool:
        """There is always the feedback topic."""
        return True

    @property
    def truth(self) -> TruthFile | None:
        """The labels of the TRUTH file, if there is one."""
        return self._truth

    @property
    def expected(self) -> int | None:
        """The offsets of the range."""
        return self._log.records(TRANSACTIONS)

    def chunks(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Chunk]:
        """The topics from the start of their range, at most ``rows`` records at a time, without the first ``start``."""
        verdicts = FeedbackTruth(self._log, self._terms, self._partitions) if self._truth is None else None
        first_row = position = 0
        for run in _cut(merged([self._arrivals(partition) for partition in range(self._partitions)]), rows):
            passed = run[: max(start - position, 0)]
            first_row += sum(isinstance(one, PartitionPayment) for one in passed)
            position += len(run)
            if len(passed) < len(run):
                chunk = self._chunk(run[len(passed) :], first_row, position, verdicts)
                first_row += len(chunk.values)
                yield chunk

    def _arrivals(self, partition: int) -> Iterator[Any]:
        outcomes = self._log.read(FEEDBACK, partition, ranged=False) if self._truth is None else iter(())
        transactions = self._log.read(TRANSACTIONS, partition, ranged=True)
        return arrivals(partition, self._partitions, self._terms, transactions, outcomes)

    def _chunk(
        self,
        run: list[PartitionPayment | FeedbackRecord],
        first_row: int,
        position: int,
        verdicts: FeedbackTruth | None,
    ) -> Chunk:
        payments = [one for one in run if isinstance(one, PartitionPayment)]
        decoded = _gathered(payments, first_row)
        values = [payment.batch.records[payment.index].value or b"" for payment in payments]
        if verdicts is None:
            assert self._truth is not None, "labels come from one of the two"
            labels = self._truth.of(np.ascontiguousarray(decoded.columns["transaction_hash"]))
            return Chunk(first_row, values, decoded, labels, position=position)
        heard = self._feedback(run, decoded.accepted)
        return Chunk(first_row, values, decoded, verdicts.of(decoded.columns), heard, position)

    def _feedback(self, run: list[PartitionPayment | FeedbackRecord], accepted: npt.NDArray[np.int64]) -> Arrivals:
        rows, before, passed = [np.zeros(0, columns.FEEDBACK)], [], 0
        for one in run:
            if isinstance(one, PartitionPayment):
                passed += 1
            elif one.row is None:
                self.passed_over += 1
            else:
                rows.append(one.row)
                before.append(passed)
        return Arrivals(np.concatenate(rows), np.searchsorted(accepted, np.array(before, np.int64)))


class FeedbackTruth:
    """What the whole feedback topic says of payments: the last verdict, else maturity.

    Parameters
    ----------
    log, terms
        As of :class:`TopicSource`.
    partitions
        Of the feedback topic.
    """

    def __init__(self, log: TopicLog, terms: InputTerms, partitions: int) -> None:
        self._index = TruthIndex()
        self._maturity_us = terms.maturity_us
        for partition in range(partitions):
            for records in log.read(FEEDBACK, partition, ranged=False):
                rows = decode_feedback(*columns_of(records), partition, partitions, trusted=terms.trusts).columns
                told = rows[_KINDS[rows["kind"]] & (_CODES[rows["verdict"]] != UNLABELLED)]
                self._index.add(told["transaction_id"].tolist(), _CODES[told["verdict"]], [""] * len(told))
        self._known_us = max((_event_time(log, p, partitions) for p in range(partitions)), default=0)

    def of(self, payments: npt.NDArray[Any]) -> Labels:
        """Labels of some payments (``transaction_hash``, ``event_time``); what has no verdict and is not mature has none."""
        codes, attacks = self._index.of(np.ascontiguousarray(payments["transaction_hash"]))
        matured = payments["event_time"] + self._maturity_us <= self._known_us
        codes[(codes == UNLABELLED) & matured] = GENUINE
        return Labels(codes, attacks)


def _event_time(log: TopicLog, partition: int, partitions: int) -> int:
    """Event time of a partition's last transaction, µs; 0 where it has none that can be read."""
    last = log.last(TRANSACTIONS, partition)
    if last is None:
        return 0
    read = decode_transactions(*columns_of([last]), partition, partitions, future_ms=2**60).columns
    return int(read["event_time"][0]) if len(read) else 0


def _gathered(payments: Sequence[PartitionPayment], first_row: int) -> Decoded:
    """Payments of several batches as one, in their order; ``offset`` is then their place in the whole."""
    by_batch: dict[int, tuple[PartitionBatch, list[tuple[int, int]]]] = {}
    refused = []
    for place, payment in enumerate(payments):
        row = int(payment.batch.row[payment.index])
        if row >= 0:
            by_batch.setdefault(id(payment.batch), (payment.batch, []))[1].append((place, row))
            continue
        refusal = payment.batch.refused[payment.index]
        where = f"partition {payment.batch.partition}, offset {payment.batch.records[payment.index].offset}"
        refused.append(Refusal(place, refusal.reason, f"{where}: {refusal.message}"))
    rows, places = [np.zeros(0, columns.TRANSACTION)], [np.zeros(0, np.int64)]
    for batch, pairs in by_batch.values():
        at = np.array(pairs, np.int64)
        rows.append(batch.decoded.columns[at[:, 1]])
        places.append(at[:, 0])
    accepted = np.concatenate(places)
    order = np.argsort(accepted)
    together = np.concatenate(rows)[order]
    together["offset"] = first_row + accepted[order]
    return Decoded(together, accepted[order], refused)


def _cut(
    runs: Iterator[list[PartitionPayment | FeedbackRecord]], rows: int
) -> Iterator[list[PartitionPayment | FeedbackRecord]]:
    """The same records, ``rows`` at a time."""
    waiting: list[PartitionPayment | FeedbackRecord] = []
    for run in runs:
        waiting += run
        while len(waiting) >= rows:
            yield waiting[:rows]
            del waiting[:rows]
    if waiting:
        yield waiting

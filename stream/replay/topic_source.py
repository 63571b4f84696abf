"""The input topics as a source: transactions and feedback in the order in which they arrived.

Partitions are merged by Kafka timestamp. What the edge refuses live is refused here, for the same reason. Feedback
reaches rows and learner when event time enters the next bucket after its arrival; what it says in the end is, for whoever
measures, the truth: the last verdict of each transaction, and genuine where none came and the payment has matured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream.core import columns
from stream.core.decode import Decoded, Refusal, decode_feedback, decode_transactions
from stream.core.learn import LABEL_KINDS
from stream.replay.labels import FRAUD, GENUINE, UNLABELLED, Labels, Truth
from stream.replay.merged_log import LogRecord, Partition, merged
from stream.replay.sources import Arrivals, Chunk
from stream.replay.tables import CHUNK_ROWS
from stream.replay.truth_index import TruthIndex

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
_KINDS = np.array([kind in LABEL_KINDS for kind in columns.FEEDBACK_KINDS])
_CODES = np.array([{"genuine": GENUINE, "fraud": FRAUD}.get(word, UNLABELLED) for word in columns.VERDICTS], np.int8)


class Log(Protocol):
    """Where topics are read."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic (contract name) has."""

    def read(self, topic: str, partition: int, *, ranged: bool) -> Iterator[Sequence[LogRecord]]:
        """Its committed records in chunks, in order; ``ranged``: those of the asked range, else all."""

    def last(self, topic: str, partition: int) -> LogRecord | None:
        """The last record of the asked range."""


@dataclass(frozen=True, slots=True)
class TopicTerms:
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

    def __init__(self, log: Log, name: str, terms: TopicTerms, truth: Truth | None = None) -> None:
        self.name = name
        self.untrusted = 0
        """Feedback that was passed over: not readable, or by an actor whom the policy does not list."""
        self._log = log
        self._terms = terms
        self._truth = truth
        self._partitions = log.partitions(TRANSACTIONS)

    @property
    def labelled(self) -> bool:
        """There is always the feedback topic."""
        return True

    def chunks(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Chunk]:
        """The topics from the start of their range, at most ``rows`` records at a time, without the first ``start``."""
        verdicts = None if self._truth is not None else FeedbackTruth(self._log, self._terms, self._partitions)
        first_row = position = 0
        for run in _cut(merged(self._all()), rows):
            position += len(run)
            payments = sum(topic == 0 for topic, _, _ in run)
            over = max(start - (position - len(run)), 0)
            if over < len(run):
                passed = sum(topic == 0 for topic, _, _ in run[:over])
                yield self._chunk(run[over:], first_row + passed, position, verdicts)
            first_row += payments

    def _all(self) -> list[Partition]:
        parts = [Partition(0, p, self._log.read(TRANSACTIONS, p, ranged=True)) for p in range(self._partitions)]
        if self._truth is None:
            parts += [Partition(1, p, self._log.read(FEEDBACK, p, ranged=False)) for p in range(self._partitions)]
        return parts

    def _chunk(
        self, run: list[tuple[int, int, LogRecord]], first_row: int, position: int, verdicts: FeedbackTruth | None
    ) -> Chunk:
        payments = [(partition, record) for topic, partition, record in run if topic == 0]
        decoded = self._decode(payments, first_row)
        values = [record.value or b"" for _, record in payments]
        if verdicts is None:
            assert self._truth is not None
            labels = self._truth.of(np.ascontiguousarray(decoded.columns["transaction_hash"]))
            return Chunk(first_row, values, decoded, labels, position=position)
        arrivals = self._arrivals(run, decoded.accepted)
        return Chunk(first_row, values, decoded, verdicts.of(decoded.columns), arrivals, position)

    def _decode(self, payments: list[tuple[int, LogRecord]], first_row: int) -> Decoded:
        """Each partition's records through the edge, then all in their order again."""
        parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]] = []
        refused: list[Refusal] = []
        home = np.array([partition for partition, _ in payments], np.int64)
        for partition in range(self._partitions):
            places = np.flatnonzero(home == partition)
            records = [payments[place][1] for place in places.tolist()]
            decoded = decode_transactions(
                *_columns(records), partition, self._partitions, future_ms=self._terms.future_ms
            )
            parts.append((places[decoded.accepted], decoded.columns))
            for one in decoded.refused:
                where = f"partition {partition}, offset {records[one.index].offset}: {one.message}"
                refused.append(Refusal(int(places[one.index]), one.reason, where))
        accepted = np.concatenate([places for places, _ in parts])
        rows = np.concatenate([rows for _, rows in parts])
        order = np.argsort(accepted)
        rows, accepted = rows[order], accepted[order]
        rows["offset"] = first_row + accepted
        return Decoded(rows, accepted, sorted(refused, key=lambda one: one.index))

    def _arrivals(self, run: list[tuple[int, int, LogRecord]], accepted: npt.NDArray[np.int64]) -> Arrivals:
        before = np.cumsum(np.fromiter((topic == 0 for topic, _, _ in run), np.int64, len(run)))
        heard = [(place, partition, record) for place, (topic, partition, record) in enumerate(run) if topic == 1]
        rows, kept = [np.zeros(0, columns.FEEDBACK)], []
        for place, partition, record in heard:
            read = decode_feedback(*_columns([record]), partition, self._partitions, trusted=self._terms.trusts)
            if len(read.columns):
                rows.append(read.columns)
                kept.append(place)
            else:
                self.untrusted += 1
        after = np.searchsorted(accepted, before[np.array(kept, np.int64)])
        return Arrivals(np.concatenate(rows), after)


def _cut(runs: Iterator[list[tuple[int, int, LogRecord]]], rows: int) -> Iterator[list[tuple[int, int, LogRecord]]]:
    """The same records, ``rows`` at a time."""
    waiting: list[tuple[int, int, LogRecord]] = []
    for run in runs:
        waiting += run
        while len(waiting) >= rows:
            yield waiting[:rows]
            del waiting[:rows]
    if waiting:
        yield waiting


class FeedbackTruth:
    """What the whole feedback topic says of payments: the last verdict, else maturity."""

    def __init__(self, log: Log, terms: TopicTerms, partitions: int) -> None:
        self._index = TruthIndex()
        self._maturity_us = terms.maturity_us
        for partition in range(partitions):
            for records in log.read(FEEDBACK, partition, ranged=False):
                rows = decode_feedback(*_columns(records), partition, partitions, trusted=terms.trusts).columns
                codes = _CODES[rows["verdict"]]
                told = rows[_KINDS[rows["kind"]] & (codes != UNLABELLED)]
                self._index.add(told["transaction_id"].tolist(), _CODES[told["verdict"]], [""] * len(told))
        self._known_us = max((_event_time(log, p, partitions) for p in range(partitions)), default=0)

    def of(self, payments: npt.NDArray[Any]) -> Labels:
        """Labels of some payments, TRANSACTION[n]; one that has no verdict and has not matured has none."""
        codes, attacks = self._index.of(np.ascontiguousarray(payments["transaction_hash"]))
        matured = payments["event_time"] + self._maturity_us <= self._known_us
        codes[(codes == UNLABELLED) & matured] = GENUINE
        return Labels(codes, attacks)


def _event_time(log: Log, partition: int, partitions: int) -> int:
    """Event time of a partition's last transaction, µs; 0 where it has none that can be read."""
    last = log.last(TRANSACTIONS, partition)
    if last is None:
        return 0
    read = decode_transactions(*_columns([last]), partition, partitions, future_ms=2**60).columns
    return int(read["event_time"][0]) if len(read) else 0


def _columns(
    records: Sequence[LogRecord],
) -> tuple[list[bytes | None], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return (
        [record.value for record in records],
        np.array([record.offset for record in records], np.int64),
        np.array([record.timestamp for record in records], np.int64),
    )

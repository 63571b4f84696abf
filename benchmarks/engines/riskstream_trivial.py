"""riskstream's engine alone: the worker's Faust transport, transactions, checkpoints and recovery around the trivial
job, in one hop instead of two.

Only what a hop does with a batch is replaced: :class:`TrivialHop` stands where ``AccountsHop`` stands in the worker.
Decoding is the worker's own, with its validation; rows are packed, checkpointed and recovered as the worker's are.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from typing import Any

import faust
import numpy as np
import numpy.typing as npt
from numba import njit

from benchmarks.engines.job import LARGE_MINOR, Job, from_command_line
from stream.arrays.packed import Packed
from stream.core.account import customer
from stream.core.table.row_table import RowTable
from stream.log.kafka_log import KafkaLog
from stream.log.records import Publisher, RecordBatch
from stream.log.topics import ensure_topics
from stream.settings import Settings, load
from stream.worker.agents.versions_agent import Versions
from stream.worker.health.line_metrics import Metrics
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.counts import BatchTallies
from stream.worker.ownership.line import Line
from stream.worker.rows.replica import Replica
from stream.worker.run_worker import worker_name
from stream.worker.transport.app import build

ROW = np.dtype([("schema", "<u2"), ("key", "S64"), ("count", "<i8"), ("sum", "<i8")])
DECISION = b'{"transaction_id":"%b","account_id":"%b","outcome":"%b","count":%d,"sum_minor":%d}'


@njit(cache=True)
def _add(rows: Any, slots: Any, amounts: Any, counts: Any, sums: Any) -> None:
    for i in range(slots.shape[0]):
        row = rows[slots[i]]
        row["count"] += 1
        row["sum"] += amounts[i]
        counts[i], sums[i] = row["count"], row["sum"]


class TrivialCore:
    """Rows of one partition: count and sum by account."""

    def __init__(self) -> None:
        self.table = RowTable(ROW, 1)
        self.customers = RowTable(customer.CUSTOMER_ROW, customer.SCHEMA_VERSION)
        """None here: every customer is an account."""
        self.highest = np.zeros(1, np.int64)
        """Event times do not matter here; the marker has a place for the highest."""

    def process(
        self, transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Count and sum of the account after each transaction."""
        slots = self.table.claim(np.ascontiguousarray(transactions["account_hash"]), transactions["account_id"])
        counts, sums = np.empty(len(slots), np.int64), np.empty(len(slots), np.int64)
        _add(self.table.rows, slots, np.ascontiguousarray(transactions["amount_minor"]), counts, sums)
        self.table.mark_changed(slots)
        return counts, sums


class TrivialHop(AccountProcessor):
    """The accounts hop with the trivial core; decisions instead of frames."""

    def process(
        self, publisher: Publisher, partition: int, transactions: RecordBatch, feedback: RecordBatch
    ) -> BatchTallies:
        """Walk one batch and write what it causes."""
        owner = self.owned[partition]
        decoded = self._decode_transactions(partition, transactions)
        columns = decoded.columns
        core: Any = owner.core
        counts, sums = core.process(columns, np.zeros(0, np.void))
        self.count(partition, len(columns))
        topic = self.settings.topic("risk.decisions.v1")
        fields = zip(
            columns["transaction_id"].tolist(), columns["account_id"].tolist(), columns["amount_minor"].tolist(),
            counts.tolist(), sums.tolist(), strict=True,
        )  # fmt: skip
        decisions = [
            DECISION % (transaction, account, b"review" if amount > LARGE_MINOR else b"approve", count, total)
            for transaction, account, amount, count, total in fields
        ]
        publisher.send_many(topic, Packed.of(decisions), transactions.keys.chosen(decoded.accepted))
        place, _ = self.places(partition)
        self._send_to_dlq(publisher, place, transactions, decoded.refused)
        self._record_batch(publisher, owner, partition, transactions, feedback, [], 0)
        counted = BatchTallies()
        counted.add(place, decided=len(columns), dead=len(decoded.refused))
        return counted

    def replica(self, partition: int) -> Replica[Any]:
        """As the accounts hop's, with the trivial core."""
        core = TrivialCore()
        return Replica(self.changelog(partition), core, core.table, (core.customers,))


def line_of(settings: Settings) -> Line:
    """The worker's line with the trivial hop in the place of the first; nothing ever comes to the second."""
    metrics = Metrics()
    partitions = ensure_topics(settings)
    versions = Versions(settings, lambda: time.time_ns() // 1000)
    line = Line(settings, partitions, worker_name(settings), versions, metrics, KafkaLog(settings))
    line.accounts = line.lanes["accounts"].hop = TrivialHop(settings, partitions, versions.trusts)
    return line


def main(job: Job) -> int:
    """Run until asked to end, as ``stream.worker.run_worker.run_worker`` does."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    settings = load({"broker": job.broker, "topic_prefix": job.prefix, "data_directory": job.state})
    app = build(settings, line_of(settings))
    gc.collect()
    gc.freeze()
    worker = faust.Worker(app, loglevel="INFO", redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(from_command_line()))

"""The accounts hop on a log: batches of transactions and feedback in, frames and dead letters out.

A hop owns the partitions it was given, their rows and their place in the inputs. It writes everything a batch
causes, its batch record and, when due, its rows, into one transaction of the publisher it is handed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from rules.exchange_rates import Currencies
from stream.contracts.feedback import read_feedback
from stream.contracts.transaction import read_transaction
from stream.core.account import account_row
from stream.core.account.account_hop import AccountHop, Profiled
from stream.core.edge.decode import Decoded, Refusal
from stream.core.table.forgetting import NEVER, IdleLimits
from stream.log.records import Place, Publisher, PublishFailed, RecordBatch
from stream.worker.hops.account_rows import AccountPartition, AccountRows
from stream.worker.hops.counts import BatchTallies
from stream.worker.hops.dead_letters import dead_letter
from stream.worker.hops.foreign_key import explained
from stream.worker.hops.isolation import (
    Culprit,
    PartitionStopped,
    WalkFailed,
    culprits,
    message_of,
    refuse_out_of_place,
    refuse_too_many,
)
from stream.worker.hops.mending_records import FoundSteps, find_steps, recorded

logger = logging.getLogger("riskstream.accounts")
DAY_US = 86_400_000_000
REPEATED = "decided, but not yet in the rows of a checkpoint"


NONE = RecordBatch.of([])
"""Of an input that has nothing in a batch."""


@dataclass(frozen=True, slots=True)
class _Walked:
    """A batch that was walked: the records, what was read of them, what came of it, and what was left out."""

    transactions: RecordBatch
    feedback: RecordBatch
    decoded: Decoded
    outcomes: Decoded
    profiled: Profiled
    internal: list[Culprit]
    rates: Currencies
    broker_ms: int | None
    idle: IdleLimits
    found: FoundSteps


@dataclass
class AccountProcessor(AccountRows):
    """See the module; parameters as of :class:`stream.worker.hops.account_rows.AccountRows`."""

    def process(self, publisher: Publisher, batch: Mapping[Place, RecordBatch]) -> BatchTallies:
        """See :meth:`stream.worker.hops.hop.Hop.process`."""
        tallies = BatchTallies()
        for partition in sorted({place.partition for place in batch}):
            transactions, feedback = (batch.get(place, NONE) for place in self.inputs(partition))
            tallies.merge(self._process(publisher, partition, transactions, feedback))
        return tallies

    def _process(
        self, publisher: Publisher, partition: int, transactions: RecordBatch, feedback: RecordBatch
    ) -> BatchTallies:
        """Walk one partition's batch and write what it causes; returns what was counted.

        Raises
        ------
        OutOfPlace
            It does not begin where the rows stand.
        WalkFailed
            Something in it could not be read or walked: the rows are to be recovered, and it is tried again with care.
        PartitionStopped
            That was so too often.
        """
        owner = self.owned[partition]
        spans = self._spans(owner, partition, transactions, feedback)
        careful = self.is_suspect(partition, {place: first for place, (first, _) in spans.items()})
        try:
            walked = self._walk(owner, partition, transactions, feedback, careful=careful)
        except (PublishFailed, PartitionStopped):
            raise
        except Exception as error:
            raise WalkFailed(self.name, partition, spans, error, careful=careful) from error
        self.count(partition, len(walked.decoded.columns) + len(walked.outcomes.columns))
        for to, frame in walked.profiled.frames:
            publisher.send(self.settings.topic("risk.profiled.v1"), frame, partition=to)
        duplicates = int(np.count_nonzero(walked.profiled.status == account_row.DUPLICATE))
        counts = self._send_all_to_dlq(publisher, partition, walked, duplicates)
        for culprit in walked.internal:
            records = transactions if culprit.place == self.inputs(partition)[0] else feedback
            refusal = Refusal(int(np.searchsorted(records.offsets, culprit.offset)), "internal", culprit.message)
            self._send_to_dlq(publisher, culprit.place, records, [refusal])
            counts.add(culprit.place, dead=1)
        counts.internal += len(walked.internal)
        counts.reversals = walked.profiled.reversals
        untrusted = [
            int(walked.feedback.offsets[r.index]) for r in walked.outcomes.refused if r.reason == "untrusted"
        ]  # fmt: skip
        self._record_batch(publisher, owner, partition, spans, untrusted, duplicates, walked)
        return counts

    def _walk(
        self,
        owner: AccountPartition,
        partition: int,
        transactions: RecordBatch,
        feedback: RecordBatch,
        *,
        careful: bool,
    ) -> _Walked:
        """Read a batch and walk it; with care, without what cannot be."""
        internal: list[Culprit] = []
        rates, broker_ms = self.rates(), self.broker_ms()
        if careful:
            internal = self._culprits(owner, partition, (transactions, feedback), rates, broker_ms)
            left = [[c.offset for c in internal if c.place == place] for place in self.inputs(partition)]
            transactions, feedback = transactions.without(left[0]), feedback.without(left[1])
        decoded = self._decode_transactions(partition, transactions, broker_ms)
        found = find_steps(self.inputs(partition)[1], feedback, broker_ms, self._future_ms)
        outcomes = self._decode_feedback(partition, found.feedback, self.trusts)
        if any(refusal.reason == "wrong_partition" for refusal in (*decoded.refused, *outcomes.refused)):
            self.on_wrong_partition()
        idle = self._idle(owner.core, broker_ms)
        profiled = owner.core.process(decoded.columns, outcomes.columns, rates, found.steps, idle)
        return _Walked(
            transactions, found.feedback, decoded, outcomes, profiled, internal, rates, broker_ms, idle, found
        )  # fmt: skip

    def _idle(self, core: AccountHop, broker_ms: int | None) -> IdleLimits:
        """After how long rows are forgotten in a batch: where no broker's time bounds event times, one wrong clock would have
        all of them forgotten."""
        return core.settings.idle if broker_ms is not None else NEVER

    def _send_all_to_dlq(self, publisher: Publisher, partition: int, walked: _Walked, duplicates: int) -> BatchTallies:
        """Write the dead letters of what was refused; returns what became of all records that were walked."""
        counts = BatchTallies()
        decoded, outcomes, status = walked.decoded, walked.outcomes, walked.profiled.status
        conflicts = [
            Refusal(int(decoded.accepted[row]), "id_conflict", "this transaction_id was seen with other content")
            for row in np.flatnonzero(status == account_row.CONFLICT).tolist()
        ]
        transactions_place, feedback_place = self.inputs(partition)
        misplaced = explained(decoded.refused, walked.transactions, read_transaction, partition, self.partitions)
        self._send_to_dlq(publisher, transactions_place, walked.transactions, [*misplaced, *conflicts])
        misplaced = explained(outcomes.refused, walked.feedback, read_feedback, partition, self.partitions)
        self._send_to_dlq(publisher, feedback_place, walked.feedback, misplaced)
        counts.add(transactions_place, decided=int(np.count_nonzero(status == account_row.DECIDED)),
                   duplicate=duplicates, dead=len(decoded.refused) + len(conflicts))  # fmt: skip
        found, repeated = walked.found, walked.profiled.repeated_feedback
        self._send_to_dlq(publisher, feedback_place, found.records, list(found.refused))
        counts.add(feedback_place, decided=len(outcomes.columns) - repeated + len(found.steps), duplicate=repeated,
                   dead=len(outcomes.refused) + len(found.refused))  # fmt: skip
        return counts

    def _spans(
        self, owner: AccountPartition, partition: int, *inputs: RecordBatch
    ) -> dict[Place, tuple[int, int]]:  # fmt: skip
        """Of each input where the batch begins and ends, which must be where the rows stand."""
        spans = {}
        for place, records, stands in zip(
            self.inputs(partition), inputs, (owner.transactions, owner.feedback), strict=True
        ):
            if len(records):
                refuse_out_of_place(place, records.begins, stands)
            spans[place] = stands, records.next_offset if len(records) else stands
        return spans

    def _culprits(
        self, owner: AccountPartition, partition: int, inputs: tuple[RecordBatch, RecordBatch], rates: Currencies,
        broker_ms: int | None,
    ) -> list[Culprit]:  # fmt: skip
        """The records that cannot be read or walked, each by itself; the rows are left as they are.

        Raises
        ------
        PartitionStopped
            There are too many.
        """
        places = self.inputs(partition)
        decodes: tuple[Callable[[RecordBatch], Decoded], ...] = (
            lambda records: self._decode_transactions(partition, records, broker_ms),
            lambda records: self._decode_feedback(partition, records, self.trusts),
        )
        found: list[Culprit] = []
        kept: list[tuple[RecordBatch, Decoded]] = []
        for place, records, decode in zip(places, inputs, decodes, strict=True):

            def read(start: int, stop: int, records: RecordBatch = records, decode: Any = decode) -> None:
                decode(records.part(start, stop))

            unread = culprits(len(records), read)
            found += [_culprit(place, records, at, error, "read") for at, error in unread.items()]
            rest = records.without({int(records.offsets[at]) for at in unread})
            kept.append((rest, decode(rest)))
        columns = [decoded.columns for _, decoded in kept]
        trial = _Trial(owner.core, columns[0], columns[1], rates, self._idle(owner.core, broker_ms))
        for at, error in culprits(sum(map(len, columns)), trial).items():
            which = int(at >= len(columns[0]))
            records, decoded = kept[which]
            at_record = int(decoded.accepted[at - which * len(columns[0])])
            found.append(_culprit(places[which], records, at_record, error, "walked"))
        refuse_too_many(self.name, partition, found, owner.internal, self.settings.internal_errors_per_hour)
        return found

    def _send_to_dlq(self, publisher: Publisher, place: Place, records: RecordBatch, refused: list[Refusal]) -> None:
        for refusal in refused:
            at = refusal.index
            headers = dead_letter(place, int(records.offsets[at]), refusal.reason, refusal.message)
            publisher.send(place.topic + ".dlq", records.value(at), records.key(at), headers=headers)

    def _record_batch(
        self, publisher: Publisher, owner: AccountPartition, partition: int,
        spans: Mapping[Place, tuple[int, int]], untrusted: list[int], duplicates: int, walked: _Walked,
    ) -> None:  # fmt: skip
        """Note which offsets this batch took, in which order: what recovery and replay walk again."""
        owner.sequence += 1
        transactions, feedback = (spans[place] for place in self.inputs(partition))
        owner.transactions, owner.feedback = transactions[1], feedback[1]
        batch: dict[str, Any] = {
            "sequence": owner.sequence, "transactions": transactions, "feedback": feedback, "untrusted": untrusted,
            "duplicates": duplicates, "feedback_duplicates": walked.profiled.repeated_feedback,
            "rates": walked.rates.version, "forget": walked.idle.numbers(),
            "reached": owner.core.horizons.reached,
        }  # fmt: skip
        if walked.broker_ms is not None:
            batch["broker_ms"] = walked.broker_ms
        if walked.found.steps:
            batch["mended"] = recorded(walked.found.steps)
        if owner.rates is None or owner.rates.version != walked.rates.version:
            batch["rates_table"] = walked.rates.document()
        owner.rates, internal = walked.rates, walked.internal
        if internal:
            names = dict(zip(self.inputs(partition), ("transactions", "feedback"), strict=True))
            batch["internal"] = {
                **{name: [c.offset for c in internal if c.place == place] for place, name in names.items()},
                "at": [culprit.timestamp for culprit in internal],
            }
            owner.left_out(batch)
        publisher.send(self._batches(partition).topic, orjson.dumps(batch), partition=partition, tracked=True)


class _Trial:
    """Walks parts of a batch on copies of the rows it concerns; each part that goes well is built upon."""

    def __init__(self, core: AccountHop, transactions: Any, feedback: Any, rates: Currencies, idle: IdleLimits) -> None:
        self._core = core
        self._transactions = transactions
        self._feedback = feedback
        self._rates = rates
        self._idle = idle

    def __call__(self, start: int, stop: int) -> None:
        """Walk the records from one place up to another: transactions first, feedback behind them."""
        count = len(self._transactions)
        core = self._core.excerpt(self._transactions, self._feedback)
        core.process(
            self._transactions[min(start, count) : min(stop, count)],
            self._feedback[max(start - count, 0) : max(stop - count, 0)],
            self._rates,
            idle=self._idle,
        )
        self._core = core


def _culprit(place: Place, records: RecordBatch, at: int, error: Exception, doing: str) -> Culprit:
    logger.error("%s[%d] offset %d could not be %s", *place, records.offsets[at], doing, exc_info=error)
    return Culprit(place, int(records.offsets[at]), int(records.timestamps[at]), message_of(error, doing))

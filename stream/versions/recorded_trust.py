"""Whom the accounts hop trusted, feedback record by feedback record, as its batch records say.

Holds end by the feedback that changes rows, and by no other: who was trusted is decided once, by the policy in force when the
accounts hop took the record, and written into its batch record. A holds agent that reads the same feedback later, after an
outage or a change of policy, finds the answer there.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, TopicPartition

from rules.bounded_json import NotReadable
from stream.core.frame.batch_record import internal_offsets, read_batch
from stream.errors import RiskstreamError
from stream.log.connect import consumer_config
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.settings import Settings

BATCHES = "riskstream-accounts-batches"
AT_ONCE = 1_000
MARGIN_MS = 60_000
"""A batch record is looked for from so long before its feedback was stamped: two brokers' clocks may differ."""
LATEST = 1_000
"""Batches looked back at where no feedback waits."""
REQUEST_S = 10.0


class RecordedTrust:
    """Follows the batch records of the partitions that :meth:`own` names."""

    def __init__(self, settings: Settings) -> None:
        self._batches = settings.topic(BATCHES)
        self._feedback = settings.topic("bank.feedback.v1")
        self._consumer = Consumer({**consumer_config(settings, "holds-trust"), "fetch.wait.max.ms": 50})
        self._first: dict[int, int] = {}
        self._until: dict[int, int] = {}
        self._untrusted: dict[int, set[int]] = {}
        self._left_out: dict[int, set[int]] = {}

    def own(self, starts: Mapping[int, int], reader: KafkaReader) -> None:
        """Begin with these partitions, each from its next feedback offset on."""
        self.release()
        places = [
            TopicPartition(self._batches, number, self._begin(number, start, reader))
            for number, start in starts.items()
        ]
        self._consumer.assign(places)

    def release(self) -> None:
        """Follow nothing."""
        self._consumer.unassign()
        self._first, self._until, self._untrusted, self._left_out = {}, {}, {}, {}

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def poll(self) -> None:
        """Take what has come.

        Raises
        ------
        RiskstreamError
            The batch records cannot be read.
        """
        for message in self._consumer.consume(AT_ONCE, 0.0):
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF and (error.fatal() or not error.retriable()):
                    raise RiskstreamError(
                        f"reading {self._batches}, which says whom feedback is taken from: {error.str()}"
                    )
                continue
            try:
                batch, number = read_batch(message.value()), message.partition() or 0
            except NotReadable:
                continue  # no batch record: the accounts hop sets it aside, and none is missing
            start, stop = batch["feedback"]
            self._first.setdefault(number, start)
            self._until[number] = stop
            self._untrusted.setdefault(number, set()).update(batch["untrusted"])
            self._left_out.setdefault(number, set()).update(internal_offsets(batch, "feedback"))

    def until(self, number: int) -> int:
        """Feedback below this offset of a partition has been decided about."""
        return self._until.get(number, 0)

    def trusts(self, number: int, offset: int) -> bool | None:
        """Whether the record of its day trusts a feedback record; None where that record is not there any more."""
        if offset < self._first.get(number, offset + 1):
            return None
        untrusted = self._untrusted.get(number, set())
        if offset in untrusted:
            untrusted.discard(offset)  # asked once
            return False
        return True

    def left_out(self, number: int, offset: int) -> bool:
        """Whether rows never took a feedback record, as it could not be read or walked: it ends no hold either."""
        return offset in self._left_out.get(number, ())

    def _begin(self, number: int, start: int, reader: KafkaReader) -> int:
        """Where to read batch records from, to know about feedback from ``start`` on."""
        low, high = reader.watermarks(Place(self._batches, number))
        waiting = next(reader.read(Place(self._feedback, number), start), None)
        found = None
        if waiting:
            asked = TopicPartition(self._batches, number, max(waiting[0].timestamp - MARGIN_MS, 0))
            (found,) = self._consumer.offsets_for_times([asked], timeout=REQUEST_S)
        return found.offset if found is not None and found.offset >= 0 else max(low, high - LATEST)

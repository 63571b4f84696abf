"""Reading what is committed: group positions and ranges of a partition, for recovery and for looking back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from stream.errors import RiskstreamError
from stream.log.client import BatchConsumer, batch_consumer
from stream.log.connect import consumer_config, reader_config
from stream.log.credentials import Configuration
from stream.log.librdkafka import Batch
from stream.log.patience import passes, patiently
from stream.log.records import Place, Position, Record, RecordBatch
from stream.settings import Settings

REQUEST_TIMEOUT_S = 30.0
T = TypeVar("T")
CHUNK = 10_000
FETCH_BYTES = 16 << 20
WAIT_S = 0.005
"""Of one call: librdkafka waits so long for a batch to become full, whatever has come."""


class ReadFailed(RiskstreamError):
    """The broker did not give what recovery needs."""


class KafkaReader:
    """See :class:`stream.log.records.Reader`.

    Parameters
    ----------
    settings
        Where and as whom to connect.
    stall_s
        A read that gets nothing for so long fails.
    committed
        False to read up to the log's end, behind open transactions too, and what was aborted.
    """

    def __init__(self, settings: Settings, stall_s: float = 30.0, *, committed: bool = True) -> None:
        self._settings = settings
        self._stall_s = stall_s
        self._isolation = "read_committed" if committed else "read_uncommitted"
        self._consumer = Consumer(self._configuration(self._isolation, reader_config(settings)))
        self._batches: BatchConsumer | None = None
        self.records_read = 0
        """Records that :meth:`read` has given so far: who waits for it sees that it gets on."""

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def owners(self, places: Sequence[Place]) -> dict[Place, str]:
        """Transactional ids that committed these places last, pending transactions aside."""
        consumer = self._of_group("read_uncommitted")
        try:
            found = self._committed(consumer, places)
        finally:
            consumer.close()
        return {Place(p.topic, p.partition): p.metadata or "" for p in found if p.offset >= 0}

    def positions(self, places: Sequence[Place]) -> dict[Place, Position]:
        """Where the group stands, after transactions that were pending have ended."""
        consumer = self._of_group("read_committed")
        try:
            committed = self._committed(consumer, places)
        finally:
            consumer.close()
        positions = {}
        for found in committed:
            place = Place(found.topic, found.partition)
            if found.offset >= 0:
                positions[place] = Position(found.offset, found.metadata or "")
            else:
                positions[place] = Position(self.watermarks(place)[0], "")
        return positions

    def watermarks(self, place: Place) -> tuple[int, int]:
        """First offset that the log still has, and its end (last stable offset; uncommitted: high watermark)."""

        def ask() -> tuple[int, int]:
            return self._offset(place, OFFSET_BEGINNING), self._offset(place, OFFSET_END)

        return self._patiently(ask, f"{place.topic}[{place.partition}]")

    def _offset(self, place: Place, at: int) -> int:
        """An end of a log. Not by ``get_watermark_offsets``: where one of its two requests fails, as when a leader moves, it
        gives the other's answer for both and no error (librdkafka 2.16)."""
        [found] = self._consumer.offsets_for_times([TopicPartition(*place, at)], REQUEST_TIMEOUT_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""

        def ask() -> int:
            found = self._consumer.list_topics(topic, REQUEST_TIMEOUT_S).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
            return len(found.partitions)

        return self._patiently(ask, topic)

    def _patiently(self, ask: Callable[[], T], what: str) -> T:
        """The answer, asked for again while a topic that was just made, or a broker that just came back, has no leader.

        Raises
        ------
        ReadFailed
            There is none.
        """
        try:
            return patiently(ask, self._settings.broker_budget_s)
        except KafkaException as error:
            raise ReadFailed(f"{what}: {error.args[0].str()}") from error

    def read(self, place: Place, start: int, stop: int | None = None) -> Iterator[list[Record]]:
        """Chunks of committed records from ``start`` up to ``stop`` or the end as of now."""
        low, end = self.watermarks(place)
        start, stop = max(start, low), end if stop is None else min(stop, end)
        if start >= stop:
            return
        self._consumer.assign([TopicPartition(place.topic, place.partition, start)])
        waited = 0.0
        while True:
            messages = self._consumer.consume(CHUNK, WAIT_S)
            chunk, ended = self._records(place, messages, stop)
            if chunk:
                waited = 0.0
                self.records_read += len(chunk)
                yield chunk
            if ended:
                return
            waited += 0.0 if messages else WAIT_S
            if waited > self._stall_s:
                raise self._stalled(place, start)

    def read_many(self, place: Place, start: int, stop: int | None = None) -> Iterator[RecordBatch]:
        """As :meth:`read`, without an object a record."""
        low, end = self.watermarks(place)
        start, stop = max(start, low), end if stop is None else min(stop, end)
        if start >= stop:
            return
        if self._batches is None:
            self._batches = batch_consumer(
                self._settings, self._configuration(self._isolation, reader_config(self._settings))
            )
        queue, waited = self._batches.assign({place: start}, CHUNK)[place], 0.0
        try:
            while True:
                batch = queue.read(WAIT_S)
                records, ended = _records_of(place, batch, stop)
                if len(records):
                    waited = 0.0
                    self.records_read += len(records)
                    yield records
                if ended:
                    return
                waited += 0.0 if len(batch) else WAIT_S
                self._batches.serve()  # what is no record: broken connections and the like
                if waited > self._stall_s:
                    raise self._stalled(place, start)
        finally:
            queue.close()

    def _stalled(self, place: Place, start: int) -> ReadFailed:
        return ReadFailed(
            f"{place.topic}[{place.partition}]: nothing came from offset {start} on within "
            f"{self._stall_s:.0f} s; look whether a transaction hangs there, and at the broker's log"
        )

    def _records(self, place: Place, messages: list[Any], stop: int) -> tuple[list[Record], bool]:
        chunk: list[Record] = []
        for message in messages:
            error = message.error()
            if error is not None:
                # the end of the log as of now: control records make it lie behind the last record
                if error.code() == KafkaError._PARTITION_EOF:
                    return chunk, True
                if passes(error):
                    continue  # what does not come meanwhile fails the read in the end
                raise ReadFailed(f"{place.topic}[{place.partition}]: {error.str()}")
            offset = message.offset()
            if offset >= stop:
                return chunk, True
            chunk.append(
                Record(offset, message.timestamp()[1], message.key(), message.value(), tuple(message.headers() or ()))
            )
        return chunk, bool(chunk) and chunk[-1].offset >= stop - 1

    def _committed(self, consumer: Consumer, places: Sequence[Place]) -> list[TopicPartition]:
        asked = [TopicPartition(p.topic, p.partition) for p in places]

        def ask() -> list[TopicPartition]:
            found: list[TopicPartition] = consumer.committed(asked, REQUEST_TIMEOUT_S)
            for partition in found:
                if partition.error is not None:
                    raise KafkaException(partition.error)
            return found

        return self._patiently(ask, f"offsets of group {self._settings.group}")

    def _of_group(self, isolation: str) -> Consumer:
        """To ask where the workers' group stands; a member of it this is not."""
        return Consumer(self._configuration(isolation, consumer_config(self._settings, self._settings.group)))

    def _configuration(self, isolation: str, base: Configuration) -> dict[str, Any]:
        return {
            **base,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            # a read that begins at what is there never goes on somewhere else
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            # a partition is read from end to end: much at a time, and on at once when there is room again, not after a
            # second
            "fetch.message.max.bytes": max(FETCH_BYTES, int(base["fetch.message.max.bytes"])),
            "fetch.queue.backoff.ms": 5,
            "retry.backoff.ms": 10,
        }


def _records_of(place: Place, batch: Batch, stop: int) -> tuple[RecordBatch, bool]:
    """The records of a batch before ``stop``, and whether nothing more is to come."""
    if batch.errors.any():
        passing = [code != 0 and passes(KafkaError(code)) for code in batch.errors.tolist()]
        batch = batch.chosen(~np.array(passing))
    over = (batch.errors != 0) | (batch.offsets >= stop)
    count = int(np.argmax(over)) if over.any() else len(batch)
    records = RecordBatch(batch.offsets, batch.timestamps, batch.values, batch.keys).part(0, count)
    if count < len(batch):
        code = int(batch.errors[count])
        # the end of the log as of now: control records make it lie behind the last record
        if code not in (0, KafkaError._PARTITION_EOF):
            raise ReadFailed(f"{place.topic}[{place.partition}]: {KafkaError(code).str()}")
        return records, True
    return records, count > 0 and records.next_offset >= stop

"""Reading what is committed: group positions and ranges of a partition, for recovery and for looking back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.brokers.connect import consumer_config, reader_config
from stream.brokers.credentials import Configuration
from stream.brokers.librdkafka import Batch, assigned
from stream.errors import RiskstreamError
from stream.settings import Settings
from stream.worker.log import Place, Position, Record, Records

REQUEST_TIMEOUT_S = 30.0
RETRY_S = 0.05
CHUNK = 10_000
FETCH_BYTES = 16 << 20
WAIT_S = 0.005
"""Of one call: librdkafka waits so long for a batch to become full, whatever has come."""


class ReadFailed(RiskstreamError):
    """The broker did not give what recovery needs."""


class KafkaReader:
    """See :class:`stream.worker.log.Reader`.

    Parameters
    ----------
    settings
        Where and as whom to connect.
    stall_s
        A read that gets nothing for so long fails.
    """

    def __init__(self, settings: Settings, stall_s: float = 30.0) -> None:
        self._settings = settings
        self._stall_s = stall_s
        self._consumer = self._connect("read_committed", reader_config(settings))
        self.records_read = 0
        """Records that :meth:`read` has given so far: who waits for it sees that it gets on."""

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

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
        """First offset that the log still has, and its end (last stable offset)."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(place.topic, place.partition), REQUEST_TIMEOUT_S
                )
                return low, high
            except KafkaException as error:
                # a topic that was just made, or a broker that just came back, has no leader yet
                if not _passing(error.args[0]) or time.monotonic() > deadline:
                    raise ReadFailed(f"{place.topic}[{place.partition}]: {error.args[0].str()}") from error
                time.sleep(RETRY_S)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(self._consumer.list_topics(topic, REQUEST_TIMEOUT_S).topics[topic].partitions)

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

    def read_many(self, place: Place, start: int, stop: int | None = None) -> Iterator[Records]:
        """As :meth:`read`, without an object a record."""
        low, end = self.watermarks(place)
        start, stop = max(start, low), end if stop is None else min(stop, end)
        if start >= stop:
            return
        queue, waited = assigned(self._consumer, {place: start}, CHUNK)[place], 0.0
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
                self._consumer.poll(0)  # what is no record: broken connections and the like
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
                raise ReadFailed(f"{place.topic}[{place.partition}]: {error.str()}")
            offset = message.offset()
            if offset >= stop:
                return chunk, True
            chunk.append(
                Record(offset, message.timestamp()[1], message.key(), message.value(), tuple(message.headers() or ()))
            )
        return chunk, bool(chunk) and chunk[-1].offset >= stop - 1

    def _committed(self, consumer: Consumer, places: Sequence[Place]) -> list[TopicPartition]:
        try:
            asked = [TopicPartition(p.topic, p.partition) for p in places]
            found: list[TopicPartition] = consumer.committed(asked, REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise ReadFailed(f"offsets of group {self._settings.group}: {error.args[0].str()}") from error
        for partition in found:
            if partition.error is not None:
                raise ReadFailed(f"offsets of {partition.topic}[{partition.partition}]: {partition.error.str()}")
        return found

    def _of_group(self, isolation: str) -> Consumer:
        """To ask where the workers' group stands; a member of it this is not."""
        return self._connect(isolation, consumer_config(self._settings, self._settings.group))

    def _connect(self, isolation: str, base: Configuration) -> Consumer:
        configuration: dict[str, Any] = {
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
        return Consumer(configuration)


def _records_of(place: Place, batch: Batch, stop: int) -> tuple[Records, bool]:
    """The records of a batch before ``stop``, and whether nothing more is to come."""
    over = (batch.errors != 0) | (batch.offsets >= stop)
    count = int(np.argmax(over)) if over.any() else len(batch)
    records = Records(batch.offsets, batch.timestamps, batch.values, batch.keys).part(0, count)
    if count < len(batch):
        code = int(batch.errors[count])
        # the end of the log as of now: control records make it lie behind the last record
        if code not in (0, KafkaError._PARTITION_EOF):
            raise ReadFailed(f"{place.topic}[{place.partition}]: {KafkaError(code).str()}")
        return records, True
    return records, count > 0 and records.next_offset >= stop


def _passing(error: KafkaError) -> bool:
    """Whether an error passes by itself."""
    return bool(error.retriable()) or error.code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
    )

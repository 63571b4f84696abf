"""Kafka transactions of a hop: outputs, input offsets and rows commit together or not at all.

The producer is librdkafka's, the consumer group is the one that Faust's consumer belongs to: a commit carries that
member's generation (KIP-447), so the broker refuses an owner whose partitions have moved.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream.arrays.packed import Packed
from stream.log.client import batch_sender
from stream.log.connect import producer_config
from stream.log.patience import patiently
from stream.log.records import Headers, PackedHeaders, Place, PublishFailed, send_each
from stream.log.transaction_durations import TransactionDurations
from stream.settings import Settings

INIT_TIMEOUT_S = 30.0
FLUSH_TIMEOUT_S = 30.0
PRODUCED_AT = "riskstream.produced_at"
_FENCED = frozenset(
    (
        KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID, KafkaError.REBALANCE_IN_PROGRESS,
    )
)  # fmt: skip
"""Refusals of a worker whose partitions are another's, or about to be."""


@dataclass(frozen=True, slots=True)
class Membership:
    """This worker's membership in the consumer group, as the broker checks it.

    Parameters
    ----------
    group, generation, member
        As the coordinator gave them.
    instance
        Group instance id with static membership, else empty.
    """

    group: str
    generation: int
    member: str
    instance: str = ""

    def metadata(self) -> bytes:
        """The bytes librdkafka 2.x takes for a consumer's group metadata.

        The format is librdkafka's own (``rd_kafka_consumer_group_metadata_write``); confluent-kafka is pinned for it
        and an integration test commits with it.

        >>> Membership("g", 3, "m").metadata()
        b'CGMDv2:\\x03\\x00\\x00\\x00g\\x00m\\x00\\x01'
        """
        instance = b"\x00" + self.instance.encode() + b"\x00" if self.instance else b"\x01"
        return (
            b"CGMDv2:" + struct.pack("<i", self.generation) + self.group.encode() + b"\x00"
            + self.member.encode() + b"\x00" + instance
        )  # fmt: skip


class TransactionalPublisher:
    """One hop's transactions in one generation of the group; see :class:`stream.log.records.Publisher`."""

    def __init__(
        self, settings: Settings, transactional_id: str, membership: Membership,
        durations: TransactionDurations | None = None,
    ) -> None:  # fmt: skip
        if membership.generation < 0:
            # a broker takes such a commit for one of a consumer without a group, and checks nothing
            raise PublishFailed(f"{transactional_id}: no member of group {membership.group} until it has rejoined")
        self.transactional_id = transactional_id
        self._durations = durations or TransactionDurations()
        self._membership = membership.metadata()
        self.acknowledged: dict[Place, int] = {}
        self._taken: dict[Place, int] = {}
        self._timeout = settings.transaction_timeout_ms / 1000
        self._lost = ""
        self._producer = _producer(settings, transactional_id, self._on_error)
        self._batches = batch_sender(settings, self._producer)
        try:
            patiently(lambda: self._producer.init_transactions(INIT_TIMEOUT_S), settings.broker_budget_s)
        except KafkaException as error:
            raise PublishFailed(f"transactional producer {transactional_id}: {error.args[0].str()}") from error

    def begin(self) -> None:
        """Open a transaction.

        After all brokers were gone, librdkafka's request for the group coordinator can wait for ever: such a
        publisher is given up before it is used again.
        """
        self._taken = {}
        try:
            # serves the error callback, and raises by itself where the producer was fenced
            self._producer.poll(0)
            if self._lost:
                raise PublishFailed(f"transaction of {self.transactional_id}: {self._lost}")
            self._producer.begin_transaction()
        except KafkaException as error:
            raise _failed("begin", error) from error
        self._durations.begin(self.transactional_id)

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1,
        headers: Headers | None = None, tracked: bool = False,
    ) -> None:  # fmt: skip
        """Add a record, waiting while librdkafka's bounded queue is full.

        A record that cannot be delivered fails the commit, so only tracked ones need a delivery report.
        """
        report = self._delivered if tracked else None
        while True:
            try:
                try:
                    self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=report)
                    return
                except BufferError:
                    self._producer.poll(0.05)
            except KafkaException as error:
                raise _failed(f"send to {topic}", error) from error

    def send_many(
        self, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = (), partition: int = -1
    ) -> None:
        """Add records without an object each; see :class:`stream.log.librdkafka.BatchProducer`."""
        try:
            self._batches.send(topic, values, keys, headers, partition)
        except KafkaException as error:
            raise _failed(f"send to {topic}", error) from error

    def take(self, offsets: Mapping[Place, int]) -> None:
        """Send offsets: two requests, one after the other, that need not wait for the records."""
        named = [
            TopicPartition(place.topic, place.partition, offset, self.transactional_id)
            for place, offset in offsets.items() if self._taken.get(place) != offset
        ]  # fmt: skip
        if not named:
            return
        try:
            self._producer.send_offsets_to_transaction(named, self._membership, self._timeout)
        except KafkaException as error:
            raise _failed(f"transaction of {self.transactional_id}", error) from error
        self._taken.update(offsets)

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit; any other end than success makes this publisher unusable."""
        self.take(offsets)
        try:
            self._producer.commit_transaction(self._timeout)
        except KafkaException as error:
            self._durations.end(self.transactional_id, committed=False)
            raise _failed(f"transaction of {self.transactional_id}", error) from error
        self._durations.end(self.transactional_id)

    def close(self) -> None:
        """Abort what is open, as far as the broker listens, and forget the rest."""
        self._durations.end(self.transactional_id, committed=False)
        self._batches.close()
        try:
            self._producer.abort_transaction(1.0)
        except KafkaException:
            # Fenced, fatal or out of reach: the broker aborts it for the next owner, or by its time-out.
            self._producer.purge()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lost = error.str()

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self.acknowledged[Place(message.topic(), message.partition())] = message.offset()


class PlainPublisher:
    """The embedded broker's publisher: no isolation there, so no transactions; sent, awaited, and that is all.

    A crash between the sends and the offsets' commit repeats a batch. For demonstrations only.
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(producer_config(settings))
        self._errors: list[KafkaError] = []
        self.acknowledged: dict[Place, int] = {}
        self.committed: dict[Place, int] = {}
        """Offsets handed to :meth:`commit`, for whoever commits them to the group."""

    def begin(self) -> None:
        """Nothing to open."""
        self._errors.clear()

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1,
        headers: Headers | None = None, tracked: bool = False,
    ) -> None:  # fmt: skip
        """Send a record, waiting while librdkafka's bounded queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.05)

    def send_many(
        self, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = (), partition: int = -1
    ) -> None:
        """Send records one by one: every one is to be acknowledged."""
        send_each(self, topic, values, keys, headers, partition)

    def take(self, offsets: Mapping[Place, int]) -> None:
        """Nothing: offsets follow what is acknowledged."""

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Wait until everything sent is acknowledged."""
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        if left or self._errors:
            raise PublishFailed(
                f"{left} records not acknowledged"
                if left
                else f"delivery to the embedded broker: {self._errors[0].str()}"
            )
        self.committed.update(offsets)

    def close(self) -> None:
        """Send what is left."""
        self._producer.flush(1.0)

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._errors.append(error)
        else:
            self.acknowledged[Place(message.topic(), message.partition())] = message.offset()


def fence(settings: Settings, transactional_id: str) -> None:
    """Take over a dead owner's transactional id: its open transaction is aborted now, not by its time-out."""
    producer = _producer(settings, transactional_id)
    try:
        patiently(lambda: producer.init_transactions(INIT_TIMEOUT_S), settings.broker_budget_s)
    except KafkaException as error:
        raise PublishFailed(f"fencing {transactional_id}: {error.args[0].str()}") from error


def _failed(what: str, error: KafkaException) -> PublishFailed:
    reason: KafkaError = error.args[0]
    return PublishFailed(f"{what}: {reason.str()}", fenced=reason.code() in _FENCED)


def now_header() -> tuple[str, bytes]:
    """The header that says when a record was produced, ms since the epoch; outside the compared bytes."""
    return PRODUCED_AT, str(time.time_ns() // 1_000_000).encode()


def _producer(
    settings: Settings, transactional_id: str, on_error: Callable[[KafkaError], None] | None = None
) -> Producer:
    configuration: dict[str, Any] = {
        **producer_config(settings),
        **({"error_cb": on_error} if on_error else {}),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "compression.type": "lz4",
        "linger.ms": 1,
        "batch.size": 1 << 20,
        "queue.buffering.max.messages": 500_000,
    }
    return Producer(configuration)

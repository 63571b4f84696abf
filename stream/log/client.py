"""Which client moves batches of records: librdkafka by its C interface, or confluent-kafka's own calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import Producer

from stream.arrays.packed import Packed
from stream.log.librdkafka import Batch, BatchProducer, Headers
from stream.log.native_consumer import NativeConsumer
from stream.log.portable_client import PortableConsumer, PortableProducer
from stream.settings import Settings


class Queue(Protocol):
    """Records of one partition; see :class:`stream.log.librdkafka.BatchQueue`."""

    def wake(self, descriptor: int) -> None:
        """Write a byte to a file descriptor whenever the queue stops being empty."""

    def read(self, timeout_s: float) -> Batch:
        """What arrives until a batch is full or the time is over."""

    def close(self) -> None:
        """Let go of the queue; the consumer stays open."""


class BatchConsumer(Protocol):
    """Reads partitions that are assigned by hand, through a queue for each."""

    def assign(self, offsets: Mapping[tuple[str, int], int], most: int = 10_000) -> Mapping[tuple[str, int], Queue]:
        """Read these partitions from these offsets on, and no others; at most so many records a batch."""

    def serve(self) -> None:
        """Do what waits besides records; returns at once."""

    def close(self) -> None:
        """Let go of the connection; queues must be closed before."""


class BatchSender(Protocol):
    """Adds whole batches to a producer's queue."""

    def send(self, topic: str, values: Packed, keys: Packed, headers: Headers = (), partition: int = -1) -> None:
        """Add records, waiting while the queue is full; partition -1 means by the keys."""

    def close(self) -> None:
        """Nothing may be sent after that."""


def batch_consumer(settings: Settings, configuration: Mapping[str, str | int | float | bool]) -> BatchConsumer:
    """A consumer of the kind that the settings name.

    Raises
    ------
    UsageError
        librdkafka does not take the configuration.
    """
    return PortableConsumer(configuration) if settings.kafka_client == "portable" else NativeConsumer(configuration)


def batch_sender(settings: Settings, producer: Producer) -> BatchSender:
    """What sends batches through a producer, of the kind that the settings name."""
    return PortableProducer(producer) if settings.kafka_client == "portable" else BatchProducer(producer)

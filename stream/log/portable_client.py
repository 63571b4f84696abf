"""Batches through confluent-kafka's own calls alone: slower, and independent of how its wheel is made inside.

The path for machines where librdkafka does not lie where wheels carry it (a distribution's package, a build of one's own), and
for whoever doubts the other: same records, same order. A record costs some microseconds and the interpreter's lock; see
``stream/log/librdkafka.py`` for the path that workers take by default. :mod:`stream.log.client` chooses by the setting
``kafka_client``.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream.arrays.packed import Packed
from stream.errors import UsageError
from stream.log.librdkafka import Batch, Headers

logger = logging.getLogger("riskstream.kafka")
POLL_S: Final = 0.05
"""Of one call for records; also how long a consumer that is closed may go on."""
FULL_WAIT_S: Final = 0.05
ROUNDS_WAITING: Final = 2
"""Batches of a partition that wait to be read before it is paused."""


class PortableProducer:
    """Produces batches of records, one call a record.

    Parameters
    ----------
    producer
        Makes and ends the transactions; see :class:`stream.log.librdkafka.BatchProducer`.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, topic: str, values: Packed, keys: Packed, headers: Headers = (), partition: int = -1) -> None:
        """Add records to the queue, waiting while it is full; partition -1 means by the keys.

        Raises
        ------
        KafkaException
            librdkafka refuses one.
        """
        for at in range(len(values)):
            named: list[tuple[str, str | bytes | None]] = [
                (name, value.nullable(at) if isinstance(value, Packed) else value) for name, value in headers
            ]
            while True:
                try:
                    self._producer.produce(topic, values.nullable(at), keys.nullable(at), partition, headers=named)
                    break
                except BufferError:
                    self._producer.poll(FULL_WAIT_S)

    def close(self) -> None:
        """Nothing is held."""


class PortableQueue:
    """Records of one partition that wait to be read; made by :meth:`PortableConsumer.assign`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting: deque[Any] = deque()
        self._arrived = threading.Condition()
        self._descriptor: int | None = None
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wake(self, descriptor: int) -> None:
        """Write a byte to a file descriptor whenever the queue stops being empty."""
        with self._arrived:
            self._descriptor = descriptor
            if self._waiting:
                self._write()

    def put(self, messages: list[Any]) -> None:
        """Add what came; called on the consumer's thread."""
        with self._arrived:
            was_empty = not self._waiting
            self._waiting.extend(messages)
            self._arrived.notify_all()
            if was_empty:
                self._write()

    def fail(self, error: BaseException) -> None:
        """Whoever reads next is told why nothing comes any more."""
        with self._arrived:
            self._failure = error
            self._arrived.notify_all()
            self._write()

    def read(self, timeout_s: float) -> Batch:
        """What has come, up to a batch; waits so long for the first of it.

        Raises
        ------
        KafkaException
            The consumer has failed.
        """
        with self._arrived:
            if not self._waiting and self._failure is None:
                self._arrived.wait(timeout_s)
            messages = [self._waiting.popleft() for _ in range(min(self.most, len(self._waiting)))]
            if not messages and self._failure is not None:
                raise self._failure
        return _batch(messages)

    def close(self) -> None:
        """Forget what waits."""
        with self._arrived:
            self._waiting.clear()
            self._descriptor = None

    def _write(self) -> None:
        if self._descriptor is not None:
            # a full pipe wakes as well; one that is closed wakes nobody
            with suppress(BlockingIOError, OSError):
                os.write(self._descriptor, b"1")


class PortableConsumer:
    """Reads partitions that are assigned by hand, through a queue for each; a thread of its own fills them.

    Parameters
    ----------
    configuration
        As librdkafka names it.

    Raises
    ------
    UsageError
        librdkafka does not take the configuration.
    """

    def __init__(self, configuration: Mapping[str, str | int | float | bool]) -> None:
        try:
            self._consumer = Consumer(dict(configuration))
        except KafkaException as error:
            raise UsageError(f"Kafka settings cannot be used: {error.args[0].str()}") from error
        self._queues: dict[tuple[str, int], PortableQueue] = {}
        self._paused: set[tuple[str, int]] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def assign(
        self, offsets: Mapping[tuple[str, int], int], most: int = 10_000
    ) -> dict[tuple[str, int], PortableQueue]:
        """Read these partitions from these offsets on, and no others; gives the queue of each.

        Parameters
        ----------
        most
            Most records of a batch.

        Raises
        ------
        KafkaException
            librdkafka refuses.
        """
        self._end_thread()
        self._queues = {place: PortableQueue(most) for place in offsets}
        self._paused = set()
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])
        self._thread = threading.Thread(target=self._run, args=(dict(self._queues), most), name="portable", daemon=True)
        self._stopping.clear()
        self._thread.start()
        return dict(self._queues)

    def serve(self) -> None:
        """What waits besides records is done by the thread."""

    def close(self) -> None:
        """Let go of the connection."""
        self._end_thread()
        self._consumer.close()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _run(self, queues: dict[tuple[str, int], PortableQueue], most: int) -> None:
        try:
            while not self._stopping.is_set():
                self._keep_bounded(queues)
                came: dict[tuple[str | None, int | None], list[Any]] = {}
                for message in self._consumer.consume(most, POLL_S):
                    came.setdefault((message.topic(), message.partition()), []).append(message)
                for place, queue in queues.items():
                    if place in came:
                        queue.put(came[place])
        except Exception as error:
            # whatever it is, who reads must be told
            logger.exception("the portable Kafka client failed")
            for queue in queues.values():
                queue.fail(error)

    def _keep_bounded(self, queues: dict[tuple[str, int], PortableQueue]) -> None:
        """Pause partitions whose queue is not read, and read those again that are."""
        full = {place for place, queue in queues.items() if len(queue) > ROUNDS_WAITING * queue.most}
        empty = {place for place in self._paused if len(queues[place]) < queues[place].most}
        if full - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in sorted(full - self._paused)])
        if empty:
            self._consumer.resume([TopicPartition(*place) for place in sorted(empty)])
        self._paused = (self._paused | full) - empty


def _batch(messages: list[Any]) -> Batch:
    """Messages as arrays; one that is no record has its code among the errors."""
    count = len(messages)
    codes = [0 if message.error() is None else message.error().code() for message in messages]
    return Batch(
        np.array(codes, np.int32),
        np.fromiter(
            (message.offset() if message.offset() is not None else -1 for message in messages), np.int64, count
        ),
        np.fromiter((message.timestamp()[1] for message in messages), np.int64, count),
        # an error's text stands where a record has its value
        Packed.of([message.value() if code == 0 else None for message, code in zip(messages, codes, strict=True)]),
        Packed.of([message.key() if code == 0 else None for message, code in zip(messages, codes, strict=True)]),
    )

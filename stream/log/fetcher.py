"""Fetching: a thread for each hop moves its input records from librdkafka's queues into the hop's mailbox.

Faust's consumer is the member of the group: it says which partitions this worker has, and when. The records themselves
come through librdkafka, whose batches cost a tenth of an object for every record. Each partition has a queue of its
own, so that a partition whose mailbox is full waits alone, and the others are read on.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np
from confluent_kafka import KafkaError

from stream.log.client import BatchConsumer, Queue, batch_consumer
from stream.log.connect import consumer_config
from stream.log.librdkafka import Batch
from stream.log.mailbox import Mailbox
from stream.log.records import Place, RecordBatch
from stream.log.supervised import SupervisedThread
from stream.settings import Settings

logger = logging.getLogger("riskstream.fetcher")
FULL_WAIT_S = 0.01
"""Before a partition is looked at again whose mailbox was full."""
IDLE_WAIT_S = 0.5
SWEEP_S = 0.003
"""Between two looks at the queues: many tiny batches cost a core at moderate rates."""
GATHERED_BYTES, GATHER_MS = 65_536, 5
"""The broker answers a fetch with so many bytes, or with what there is after so long."""
COMMITTED_BYTES, COMMITTED_MS = 1, 500
"""The same for what comes in transactions alone: each has gathered already, and its commit is worth an answer."""


class Fetcher:
    """See the module.

    Parameters
    ----------
    committed
        Whether the input comes in transactions alone, that is from riskstream's own hop.
    arrived
        Called on the fetching thread after records were put into the mailbox.
    deleted
        Called there when what was to be read next is not there any more: retention was faster.
    failed
        Called there with the reason when the thread failed: what it had taken from a queue may not be in the mailbox, so
        nothing more is fetched until :meth:`start` says again from where.
    name, restarted
        See :class:`stream.log.supervised.SupervisedThread`.
    """

    def __init__(
        self, settings: Settings, mailbox: Mailbox, arrived: Callable[[], object], deleted: Callable[[Place], None],
        failed: Callable[[str], object], *, name: str, restarted: Callable[[str], None] = lambda name: None,
        committed: bool = False,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._mailbox = mailbox
        self._arrived = arrived
        self._deleted = deleted
        self._gathers = (COMMITTED_BYTES, COMMITTED_MS) if committed else (GATHERED_BYTES, GATHER_MS)
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        self._sweeping = threading.Lock()
        self._queues: dict[Place, Queue] = {}
        self._reached: dict[Place, int] = {}
        """Next offset to read of each partition."""
        self._consumer: BatchConsumer | None = None
        self._failed = failed
        self.thread = SupervisedThread(name, self._run, restarted)
        self.thread.start()

    def start(self, offsets: Mapping[Place, int]) -> None:
        """Fetch these partitions from these offsets on, and nothing else."""
        self.stop()
        if not offsets:
            return
        # always a fresh consumer: a second assignment waits for the end of the first one's fetches
        consumer = batch_consumer(
            self._settings,
            {
                **consumer_config(self._settings, self._settings.group),
                # what was deleted unread is not passed over
                "auto.offset.reset": "error",
                # an answer for every record that a producer adds would cost the broker a core: let it gather
                "fetch.min.bytes": self._gathers[0],
                "fetch.wait.max.ms": self._gathers[1],
                "fetch.error.backoff.ms": 50,
                "check.crcs": True,  # librdkafka does not by itself
                "queued.min.messages": 2 * self._settings.batch_records,
                "queued.max.messages.kbytes": 16 * 1024,
            },
        )
        queues = consumer.assign(
            {(place.topic, place.partition): at for place, at in offsets.items()}, self._settings.batch_records
        )
        for queue in queues.values():
            queue.wake(self._wakes)
        with self._sweeping:
            self._consumer, self._queues = consumer, {Place(*place): queue for place, queue in queues.items()}
            self._reached = dict(offsets)
        self._wake()

    def stop(self) -> None:
        """Put nothing more into the mailbox; what is in it stays."""
        with self._sweeping:
            consumer, queues = self._consumer, self._queues
            self._consumer, self._queues = None, {}
        for queue in queues.values():
            queue.close()
        if consumer is not None:
            consumer.close()

    def close(self) -> None:
        """Stop, and end the thread."""
        self.thread.stopping.set()
        self.stop()
        self._wake()
        self.thread.stop()

    def _wake(self) -> None:
        # a full pipe wakes as well
        with suppress(BlockingIOError):
            os.write(self._wakes, b"1")

    def _run(self, thread: SupervisedThread) -> None:
        try:
            self._move(thread)
        except Exception as error:
            self.stop()
            self._failed(f"{type(error).__name__}: {error}")
            raise

    def _move(self, thread: SupervisedThread) -> None:
        wait = IDLE_WAIT_S
        while not thread.stopping.is_set():
            select.select([self._woken], [], [], wait)
            with suppress(BlockingIOError):
                os.read(self._woken, 65_536)
            came, left = self._sweep()
            thread.well()
            if came:
                self._arrived()
                time.sleep(SWEEP_S)
            wait = 0.0 if came else FULL_WAIT_S if left else IDLE_WAIT_S

    def _sweep(self) -> tuple[bool, bool]:
        """Empty every queue as far as there is room; returns whether records came, and whether room was missing."""
        came = left = False
        with self._sweeping:
            if self._consumer is not None:
                self._consumer.serve()  # what is no record: broken connections and the like
            for place, queue in self._queues.items():
                if not self._mailbox.has_room(place):
                    left = True
                    continue
                batch = queue.read(0.0)
                if len(batch):
                    records = _good(place, batch, self._reached[place])
                    if (batch.errors == KafkaError._AUTO_OFFSET_RESET).any():
                        self._deleted(place)
                    if len(records):
                        came, self._reached[place] = True, records.next_offset
                    self._mailbox.put(place, records)
        return came, left


def _good(place: Place, batch: Batch, begins: int) -> RecordBatch:
    """The batch's records, read from an offset on; events that are none are told to the log, where the broker's passing troubles belong."""
    records = RecordBatch(batch.offsets, batch.timestamps, batch.values, batch.keys, begins)
    if not batch.errors.any():
        return records
    for code in np.unique(batch.errors[batch.errors != 0]).tolist():
        logger.warning("reading %s[%d]: %s", place.topic, place.partition, KafkaError(code).str())
    return records.chosen(batch.errors == 0)

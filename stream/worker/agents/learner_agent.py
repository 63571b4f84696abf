"""The learner agent: one in the group, on the worker that owns partition 0; it publishes model snapshots.

It reads ``risk.learning.v1`` in rounds. A round's end offsets travel in the headers of the model it led to, so that
the history of rounds can be walked again: after a restart from the last full state, in verification from the first
record. Models and their rounds commit in one transaction of a fixed transactional id, which fences a learner whose
worker lost partition 0.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
from confluent_kafka import KafkaError, Producer

from detectors.ensemble import Snapshot
from stream.core.learning.learning_records import LearningRecords, read_learning, strangers
from stream.log.client import batch_consumer
from stream.log.connect import consumer_config, producer_config
from stream.log.librdkafka import Batch
from stream.log.reader import KafkaReader
from stream.log.records import Headers, Place, RecordBatch
from stream.settings import Settings
from stream.versions.model_history import ModelHistory
from stream.versions.model_records import STATE_SUFFIX
from stream.versions.models import ROUNDS, chunks
from stream.worker.agents.model_notes import ModelNotes, Note
from stream.worker.agents.versions_agent import Versions
from stream.worker.health.line_metrics import Metrics

logger = logging.getLogger("riskstream.learner")
DAY_US = 86_400_000_000
STATE_EVERY = 20
"""Rounds between two snapshots that carry the whole learning state."""
MOST_OF_A_ROUND = 200_000
"""Records after which a round ends though its time is not over: what was read waits in memory."""
GATHER_S = 0.1
IDLE_S = 0.2
BACKOFF_S = 2.0


class LearnerThread:
    """Runs the learner while ``owns`` says that this worker should.

    Parameters
    ----------
    versions
        Knows the installation's first model, which the first round starts from, and the one in force.
    metrics
        Told what matured, drifted and was refused.
    owns
        Whether this worker owns partition 0 now.
    transactional
        False on the embedded broker.
    """

    def __init__(
        self,
        settings: Settings,
        versions: Versions,
        metrics: Metrics,
        owns: Callable[[], bool],
        *,
        transactional: bool = True,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._versions = versions
        self._owns = owns
        self._transactional = transactional
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learner", daemon=True)
        self.failure = ""
        """Why the learner does not run, empty while it does."""
        self._looked = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a round under way is given up."""
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.wait(IDLE_S):
            if not self._owns():
                self._looked = time.monotonic()
                continue
            try:
                self._learn()
                self.failure = ""
            except Exception as error:
                # whatever it was, decisions go on with the last model; the reason is logged, shown and tried again
                self.failure = str(error) or repr(error)
                self._metrics.thread_restarted("learner")
                logger.exception("the learner failed and starts again")
                self._stop.wait(BACKOFF_S)

    @property
    def round_age_s(self) -> float:
        """Since the learner last began to learn from a round or found nothing in it; 0 where it is another worker's."""
        return time.monotonic() - self._looked if self._owns() else 0.0

    def _learn(self) -> None:
        producer = self._producer()
        history = ModelHistory(self._settings, self._versions.models.founding, self._versions.aside)
        reader = KafkaReader(self._settings, self._settings.recovery_timeout_s)
        try:
            stream, offsets = history.restore(reader, round(self._settings.maturity_days * DAY_US))
            places = self._places(reader)
        finally:
            reader.close()
        notes = ModelNotes(self._settings, self._versions, self._metrics, stream.learner)
        follower = Follower(self._settings, {place: offsets.get(place.partition, 0) for place in places})
        try:
            while self._owns() and not self._stop.is_set():
                taken = follower.gather(self._settings.learning_interval_s, self._stop)
                records, ends = read_round(taken)
                self._looked = time.monotonic()
                self.failure = ""
                if not ends:
                    continue
                self._set_aside(taken)
                told = notes.observe(records)
                stream.absorb(records)
                offsets |= ends
                with_state = history.rounds_since_state + 1 >= STATE_EVERY
                snapshot = stream.close_round(with_state)
                self._publish(producer, history, snapshot, offsets, [*told, *notes.closed(snapshot)])
        finally:
            follower.close()

    def _set_aside(self, taken: Mapping[int, Sequence[RecordBatch]]) -> None:
        """Name what a round read that is neither features nor a label: it was left out, here and in verification."""
        topic = self._settings.topic("risk.learning.v1")
        for partition, batches in taken.items():
            for batch in batches:
                for at in strangers(batch.values):
                    self._versions.aside.refuse(
                        Place(topic, partition), int(batch.offsets[at]), batch.key(at), batch.value(at), "foreign",
                        "neither features nor a label: left out of the round",
                    )  # fmt: skip

    def _publish(
        self, producer: Producer, history: ModelHistory, snapshot: Snapshot, offsets: dict[int, int], notes: list[Note]
    ) -> None:
        topic = self._settings.topic("risk.models.v1")
        headers: Headers = [(ROUNDS, orjson.dumps({str(p): o for p, o in sorted(offsets.items())}))]
        # notes go first: a refusal is known before the model that it speaks of is complete
        records: Iterable[tuple[bytes, bytes | None, Headers | None]] = chain(
            ((key, value, None) for key, value in notes),
            ((key, value, headers) for key, value in chunks(snapshot.without_state())),
            ((key, value, headers) for key, value in (chunks(snapshot, STATE_SUFFIX) if snapshot.state else ())),
            ((key, None, None) for key in history.outdated(snapshot, self._versions.models.active.version)),
        )
        if self._transactional:
            producer.begin_transaction()
        keys = []
        for key, value, header in records:
            producer.produce(topic, value, key, headers=header)
            producer.poll(0)
            keys.append(key)
        if self._transactional:
            producer.commit_transaction(30.0)
        else:
            producer.flush(30.0)
        history.add(keys, snapshot)
        logger.info("published model %s (%s)", snapshot.version, snapshot.counts)

    def _places(self, reader: KafkaReader) -> list[Place]:
        topic = self._settings.topic("risk.learning.v1")
        return [Place(topic, partition) for partition in range(reader.partitions(topic))]

    def _producer(self) -> Producer:
        configuration: dict[str, Any] = {**producer_config(self._settings), "compression.type": "lz4"}
        if not self._transactional:
            return Producer(configuration)
        configuration["transactional.id"] = f"{self._settings.topic_prefix}{self._settings.group}-learner"
        configuration["transaction.timeout.ms"] = self._settings.transaction_timeout_ms
        producer = Producer(configuration)
        producer.init_transactions(30.0)
        return producer


class Follower:
    """Gathers what arrives on some partitions until a round is due."""

    def __init__(self, settings: Settings, starts: Mapping[tuple[str, int], int]) -> None:
        self._consumer = batch_consumer(
            settings, {**consumer_config(settings, "learner"), "fetch.min.bytes": 1_000_000, "fetch.wait.max.ms": 200}
        )
        self._queues = {place[1]: queue for place, queue in self._consumer.assign(starts).items()}

    def gather(self, seconds: float, stop: threading.Event) -> dict[int, list[RecordBatch]]:
        """Records by partition that came within ``seconds``, or so many that a round is full."""
        until = time.monotonic() + seconds
        taken: dict[int, list[RecordBatch]] = {}
        count = 0
        while time.monotonic() < until and count < MOST_OF_A_ROUND and not stop.wait(GATHER_S):
            self._consumer.serve()  # what is no record: broken connections and the like
            for partition, queue in self._queues.items():
                records = _good(queue.read(0.0))
                if len(records):
                    taken.setdefault(partition, []).append(records)
                    count += len(records)
        return taken

    def close(self) -> None:
        """Let go of the connection."""
        for queue in self._queues.values():
            queue.close()
        self._consumer.close()


def read_round(taken: Mapping[int, Sequence[RecordBatch]]) -> tuple[LearningRecords, dict[int, int]]:
    """What was gathered, partition after partition, and the offsets it ends at."""
    every = [records for partition in sorted(taken) for records in taken[partition]]
    ends = {partition: taken[partition][-1].next_offset for partition in sorted(taken)}
    return read_learning([records.values for records in every], [records.keys for records in every]), ends


def _good(batch: Batch) -> RecordBatch:
    """The records of a batch.

    Raises
    ------
    RuntimeError
        The topic cannot be read.
    """
    records = RecordBatch(batch.offsets, batch.timestamps, batch.values, batch.keys)
    if not batch.errors.any():
        return records
    for code in np.unique(batch.errors[batch.errors != 0]).tolist():
        if code != KafkaError._PARTITION_EOF and not KafkaError(code).retriable():
            raise RuntimeError(f"reading the learning topic: {KafkaError(code).str()}")
    return records.chosen(batch.errors == 0)

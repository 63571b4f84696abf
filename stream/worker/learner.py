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
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import orjson
from confluent_kafka import KafkaError, Producer

from detectors.ensemble import Learner, Snapshot
from detectors.sound_snapshot import require_sound
from rules.bounded_json import NotReadable, load
from stream.brokers.connect import consumer_config, producer_config
from stream.brokers.librdkafka import Batch
from stream.brokers.native_consumer import NativeConsumer
from stream.core.columns import SCENARIOS
from stream.core.learn import StreamLearner
from stream.core.learning import LearningRecords, read_learning, strangers
from stream.replay.verify import Verified
from stream.settings import Settings
from stream.worker.log import Headers, Place, Record, Records
from stream.worker.metrics import Metrics
from stream.worker.model_notes import ModelNotes, Note
from stream.worker.model_records import MAX_CHUNK_BYTES, REFUSED, STATE_SUFFIX, chunk_key
from stream.worker.models import MAX_PARTIAL, ROUNDS, chunks
from stream.worker.reader import KafkaReader
from stream.worker.set_aside import ControlRefused, SetAside
from stream.worker.versions import Versions

logger = logging.getLogger("riskstream.learner")
MODELS = "risk.models.v1"
DAY_US = 86_400_000_000
STATE_EVERY = 20
"""Rounds between two snapshots that carry the whole learning state."""
KEPT_VERSIONS = 256
"""Model versions that stay on the topic; older ones get tombstones, the newest never."""
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

    def _set_aside(self, taken: Mapping[int, Sequence[Records]]) -> None:
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


class ModelHistory:
    """What ``risk.models.v1`` says about the rounds so far.

    Parameters
    ----------
    first
        The model that the first round starts from.
    aside
        Where records that are none are set aside; None for those who only look.
    """

    def __init__(self, settings: Settings, first: Snapshot, aside: SetAside | None = None) -> None:
        self._settings = settings
        self._aside = aside
        self._first = first
        self._versions: list[list[bytes]] = []
        """Keys of the chunks of each version that is still on the topic, oldest first."""
        self._state_keys: list[bytes] = []
        self.rounds_since_state = 0

    def restore(self, reader: KafkaReader, maturity_us: int) -> tuple[StreamLearner, dict[int, int]]:
        """The learner after the last published round, and the offsets that round ended at."""
        rounds, state = self._read(reader)
        rounds = [(version, ends) for version, ends in rounds if ends]
        if state is not None:
            full, done = state
            stream, offsets = StreamLearner(Learner.restore(full)), dict(done)
            rounds = [(version, ends) for version, ends in rounds if round_of(version) > full.round]
        else:
            stream, offsets = StreamLearner.begin(self._first, maturity_us), {}
        for version, ends in rounds:
            self._walk(reader, stream, offsets, ends)
            again = stream.close_round(with_state=False)
            if again.version != version:
                raise RuntimeError(
                    f"the recorded rounds lead to model {again.version}, but {version} was published: "
                    "the learning topic lost records, or another version of riskstream learned here"
                )
        return stream, offsets

    def verify(self, reader: KafkaReader, maturity_us: int, result: Verified) -> None:
        """Compute every published model again from the records its rounds read; a first difference ends it."""
        rounds = [(version, ends) for version, ends in self._read(reader)[0] if ends]
        stream, offsets = StreamLearner.begin(self._first, maturity_us), dict[int, int]()
        for number, (version, ends) in enumerate(rounds, 1):
            if round_of(version) != number:
                result.differ(
                    f"risk.models.v1/{version}", f"round {number} is gone: later models cannot be computed again"
                )
                return
            self._walk(reader, stream, offsets, ends)
            result.count("model")
            again = stream.close_round(with_state=False).version
            if again != version:
                result.differ(f"risk.models.v1/{version}", f"its rounds lead to {again}")
                return

    def outdated(self, snapshot: Snapshot, active: str) -> list[bytes]:
        """Keys that get tombstones with this snapshot: the oldest versions, never the one in force, and the state it
        replaces."""
        keys: list[bytes] = []
        for chunks_of in self._versions[: -KEPT_VERSIONS + 1]:
            version = chunk_key(chunks_of[0])[0]
            if version != active:
                keys += [*chunks_of, REFUSED + version.encode()]
        return keys + (self._state_keys if snapshot.state else [])

    def add(self, keys: list[bytes], snapshot: Snapshot) -> None:
        """Remember what was published."""
        own = [key for key in keys if key.startswith(snapshot.version.encode() + b"/")]
        self._versions = [*self._versions[-KEPT_VERSIONS + 1 :], own]
        self.rounds_since_state += 1
        if snapshot.state:
            self._state_keys = [key for key in keys if key.startswith((snapshot.version + STATE_SUFFIX).encode())]
            self.rounds_since_state = 0

    def _read(
        self, reader: KafkaReader
    ) -> tuple[list[tuple[str, dict[int, int]]], tuple[Snapshot, dict[int, int]] | None]:
        """Rounds in order (version and end offsets), and the last full state with its offsets. What is no record of
        a model, or makes none, is left out: it is nobody's round."""
        rounds: dict[str, dict[int, int]] = {}
        keys: dict[str, list[bytes]] = {}
        found: dict[str, _Chunks] = {}
        state: tuple[Snapshot, dict[int, int]] | None = None
        place = Place(self._settings.topic(MODELS), 0)
        for chunk in reader.read(place, 0):
            for record in chunk:
                try:
                    taken = _chunk_of(record)
                except ControlRefused as error:
                    self._refuse(place, record, error)
                    continue
                if taken is None:
                    continue
                version, number, count, ends = taken
                if record.value is None:
                    rounds.pop(version, None)
                    keys.pop(version, None)
                    found.pop(version, None)
                    continue
                parts = found.setdefault(version, _Chunks(count, ends))
                parts.values[number], parts.keys[number] = record.value, record.key or b""
                if len(parts.values) < parts.count:
                    while len(found) > MAX_PARTIAL:
                        found.pop(next(iter(found)))
                    continue
                try:
                    snapshot = found.pop(version).snapshot(version)
                except ControlRefused as error:
                    self._refuse(place, record, error)
                    continue
                if snapshot.state:
                    state = snapshot, parts.ends
                    self._state_keys = [parts.keys[n] for n in range(parts.count)]
                else:
                    rounds[version] = parts.ends
                    keys[version] = [parts.keys[n] for n in range(parts.count)]
        self._versions = list(keys.values())
        self.rounds_since_state = len(rounds)
        return list(rounds.items()), state

    def _refuse(self, place: Place, record: Record, error: ControlRefused) -> None:
        if self._aside is not None:
            self._aside.refuse(place, record.offset, record.key, record.value, error.reason, str(error))

    def _walk(self, reader: KafkaReader, stream: StreamLearner, offsets: dict[int, int], ends: dict[int, int]) -> None:
        topic = self._settings.topic("risk.learning.v1")
        for partition in sorted(ends):
            start = offsets.get(partition, 0)
            if ends[partition] > start:
                for records in reader.read_many(Place(topic, partition), start, ends[partition]):
                    stream.absorb(read_learning([records.values]))
            offsets[partition] = ends[partition]


class Follower:
    """Gathers what arrives on some partitions until a round is due."""

    def __init__(self, settings: Settings, starts: Mapping[tuple[str, int], int]) -> None:
        self._consumer = NativeConsumer(
            {**consumer_config(settings, "learner"), "fetch.min.bytes": 1_000_000, "fetch.wait.max.ms": 200}
        )
        self._queues = {place[1]: queue for place, queue in self._consumer.assign(starts).items()}

    def gather(self, seconds: float, stop: threading.Event) -> dict[int, list[Records]]:
        """Records by partition that came within ``seconds``, or so many that a round is full."""
        until = time.monotonic() + seconds
        taken: dict[int, list[Records]] = {}
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


def read_round(taken: Mapping[int, Sequence[Records]]) -> tuple[LearningRecords, dict[int, int]]:
    """What was gathered, partition after partition, and the offsets it ends at."""
    every = [records for partition in sorted(taken) for records in taken[partition]]
    ends = {partition: taken[partition][-1].next_offset for partition in sorted(taken)}
    return read_learning([records.values for records in every], [records.keys for records in every]), ends


def _good(batch: Batch) -> Records:
    """The records of a batch.

    Raises
    ------
    RuntimeError
        The topic cannot be read.
    """
    records = Records(batch.offsets, batch.timestamps, batch.values, batch.keys)
    if not batch.errors.any():
        return records
    for code in np.unique(batch.errors[batch.errors != 0]).tolist():
        if code != KafkaError._PARTITION_EOF and not KafkaError(code).retriable():
            raise RuntimeError(f"reading the learning topic: {KafkaError(code).str()}")
    return records.chosen(batch.errors == 0)


def round_of(version: str) -> int:
    """The round in a model's version.

    >>> round_of("m12-0a1b2c3d")
    12
    """
    return int(version[1:].split("-")[0])


@dataclass
class _Chunks:
    """Chunks of one version that were read so far."""

    count: int
    ends: dict[int, int]
    values: dict[int, bytes] = field(default_factory=dict)
    keys: dict[int, bytes] = field(default_factory=dict)

    def snapshot(self, version: str) -> Snapshot:
        """What they make: a snapshot of that version, with the learning state where the version says so.

        Raises
        ------
        ControlRefused
            They make none that can be learned on.
        """
        try:
            snapshot = Snapshot.from_bytes(b"".join(self.values[n] for n in range(self.count)))
            require_sound(snapshot, SCENARIOS)
            with_state = version.endswith(STATE_SUFFIX)
            if snapshot.version != version.removesuffix(STATE_SUFFIX) or bool(snapshot.state) != with_state:
                raise ControlRefused("altered", f"{version} holds {snapshot.version}")
            if with_state:
                Learner.restore(snapshot)
        except ControlRefused:
            raise
        except Exception as error:
            # a state has some thirty arrays and a description: whatever does not fit, it is none of this learner's
            raise ControlRefused("altered", f"{version} cannot be learned on: {error!r}") from error
        return snapshot


def _chunk_of(record: Record) -> tuple[str, int, int, dict[int, int]] | None:
    """Version, number, count and the round's end offsets of a chunk; None for a note.

    Raises
    ------
    ControlRefused
        It is neither.
    """
    if record.key is None or b"/" not in record.key:
        return None
    version, number, count = chunk_key(record.key)
    if record.value is not None and len(record.value) > MAX_CHUNK_BYTES:
        raise ControlRefused("too_large", f"a chunk of {len(record.value)} bytes; at most {MAX_CHUNK_BYTES} are read")
    return version, number, count, _ends(record) if record.value is not None else {}


def _ends(record: Record) -> dict[int, int]:
    """The end offsets of the round that a model record carries."""
    named = dict(record.headers).get(ROUNDS)
    if named is None:
        return {}
    try:
        ends = load(named, max_bytes=1 << 20, max_depth=1, max_values=20_000)
    except NotReadable as error:
        raise ControlRefused("malformed", f"header {ROUNDS}: {error}") from error
    if not isinstance(ends, dict) or not all(
        partition.isdecimal() and len(partition) < 10 and isinstance(end, int) and 0 <= end < 2**63
        for partition, end in ends.items()
    ):
        raise ControlRefused("wrong_type", f"header {ROUNDS}: expected offsets by partition")
    return {int(partition): end for partition, end in ends.items()}

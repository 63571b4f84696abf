"""A real Kafka of the benchmark's own, kept to its cores; topics, traffic and what came out, by run.

The process that makes a :class:`Testbed` moves itself to the broker's core and stays there: the broker inherits it,
and engines are started on theirs with :meth:`Testbed.start`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream.brokers.kafka import DevelopmentKafka
from stream.log.connect import admin
from stream.log.reader import KafkaReader, ReadFailed
from stream.log.records import Place, Record
from stream.log.topics import ensure_topics
from stream.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
ENGINE_CORE, BROKER_CORE = 0, 1


class Testbed:
    """Use as a context: the broker and its data are gone at the end.

    Parameters
    ----------
    partitions
        Of every topic of the line.
    """

    __test__ = False

    def __init__(self, partitions: int = 4) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = {ENGINE_CORE, BROKER_CORE} <= set(cores)
        """False on a machine with a single core, where broker and engine have to share it."""
        if self.pinned:
            os.sched_setaffinity(0, {BROKER_CORE})
        self.partitions = partitions
        self.directory = Path(tempfile.mkdtemp(prefix="riskstream-benchmark-"))
        self._kafka = DevelopmentKafka(0, self.directory / "kafka", progress=say, long_lived=True)
        self._started: list[subprocess.Popen[bytes]] = []
        self._admin: AdminClient
        self._reader: KafkaReader

    def __enter__(self) -> Testbed:
        signal.signal(signal.SIGTERM, _end)  # as after Ctrl-C, nothing that was started stays behind
        self._kafka.start()
        self._admin = admin(self.settings(""))
        self._reader = KafkaReader(self.settings(""))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            self.end(process)
        self._reader.close()
        self._kafka.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def broker(self) -> str:
        """HOST:PORT."""
        return self._kafka.bootstrap

    def settings(self, prefix: str, **values: object) -> Settings:
        """Settings of a run with topics of its own."""
        return Settings.model_validate(
            {"broker": self.broker, "topic_prefix": prefix, "partitions": self.partitions, **values}
        )

    def topics(self, prefix: str, *more: str) -> None:
        """Make the line's topics under a prefix, and ``more``, compacted."""
        ensure_topics(self.settings(prefix))
        made = [NewTopic(prefix + name, self.partitions, 1, config={"cleanup.policy": "compact"}) for name in more]
        if made:
            for waiting in self._admin.create_topics(made).values():
                waiting.result(30)

    def forget(self, prefix: str) -> None:
        """Delete all topics of a run."""
        names = [name for name in self._admin.list_topics(timeout=30).topics if name.startswith(prefix)]
        for waiting in self._admin.delete_topics(names).values():
            waiting.result(30)

    def load(self, topic: str, events: Iterator[tuple[bytes, bytes]]) -> int:
        """Send keys and values, partitioned as the contract says; returns how many."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 100_000,
            }
        )
        sent = 0
        for key, value in events:
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
            sent += 1
        if producer.flush(120):
            raise RuntimeError(f"{topic}: the broker did not take all of {sent} records")
        return sent

    def ends(self, topic: str) -> int:
        """Sum of the partitions' ends: committed records and control records."""
        deadline = time.monotonic() + 100  # a reading itself gives up after 30
        while True:
            try:
                return sum(self._reader.watermarks(Place(topic, partition))[1] for partition in range(self.partitions))
            except ReadFailed:
                if time.monotonic() > deadline:
                    raise
                # asked while a topic is being made, a client remembers for minutes that it does not know it
                self._reader.close()
                time.sleep(0.2)
                self._reader = KafkaReader(self.settings(""))

    def committed(self, topic: str) -> Iterator[Record]:
        """All committed records of a topic, partition after partition."""
        reader = KafkaReader(self.settings(""))
        try:
            for partition in range(reader.partitions(topic)):
                for chunk in reader.read(Place(topic, partition), 0):
                    yield from chunk
        finally:
            reader.close()

    def start(
        self,
        command: Sequence[str],
        name: str,
        environment: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start an engine on the engine's core, or on others; its output goes to :meth:`log`."""
        pinned = {ENGINE_CORE} if cores is None else cores
        prefix = ["taskset", "-c", ",".join(map(str, sorted(pinned)))] if self.pinned else []
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [*prefix, *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def log(self, name: str) -> Path:
        """What an engine wrote."""
        return self.directory / f"{name}.log"

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End an engine that was started here: politely, then not."""
        if process in self._started:
            self._started.remove(process)
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def say(text: str) -> None:
    """Progress goes to stderr: the last line of stdout is the result."""
    print(text, file=sys.stderr, flush=True)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)

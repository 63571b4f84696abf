"""What integration tests share: one real Kafka a session, and names that keep tests apart on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from stream.brokers.kafka import DevelopmentKafka
from stream.errors import RiskstreamError
from stream.log.credentials import librdkafka
from stream.log.reader import KafkaReader
from stream.log.records import Place, Record
from stream.log.topics import ensure_topics
from stream.settings import Settings

# tests are collected without packages; what several of them share stands beside them
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevelopmentKafka]:
    """The real Kafka that all integration tests of a session share; a test must not stop it."""
    with _running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevelopmentKafka]:
    """A real Kafka for one test alone, which may kill and restart it."""
    with _running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def topic_prefix() -> str:
    """A prefix of topic and group names that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture
def kafka_settings(kafka: DevelopmentKafka, topic_prefix: str) -> Settings:
    """Settings that reach the session's Kafka with names of this test's own."""
    return Settings(broker=kafka.bootstrap, topic_prefix=topic_prefix)


@contextmanager
def _running(directory: Path) -> Iterator[DevelopmentKafka]:
    broker = DevelopmentKafka(0, directory, progress=print)
    try:
        broker.start()
    except RiskstreamError as error:
        # Skipping would let a machine without Java report that all is well.
        pytest.fail(f"the integration tests need a real Kafka: {error}", pytrace=False)
    try:
        yield broker
    finally:
        broker.stop()
        broker.wipe()


class Line:
    """A line on the session's Kafka: worker processes, what is sent in, what came out."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self._logs = logs
        self.workers: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        """What this line's settings say besides the defaults, as environment variables."""
        said = {"broker": self.settings.broker, **self.settings.model_dump(exclude_defaults=True)}
        return {f"RISKSTREAM_{name.upper()}": str(value) for name, value in said.items()}

    def worker(
        self, *, program: Sequence[str] = ("-m", "stream.cli", "worker"), **settings: object
    ) -> subprocess.Popen[bytes]:
        """Start one more worker process; keyword arguments are settings of its own, ``program`` what Python runs."""
        environment = {
            **os.environ,
            **self.environment(),
            "RISKSTREAM_METRICS_PORT": "0",
            "RISKSTREAM_LEARNING_INTERVAL_S": "1",
            "RISKSTREAM_CHECKPOINT_INTERVAL_MS": "1500",
            **{f"RISKSTREAM_{name.upper()}": str(value) for name, value in settings.items()},
        }
        log = (self._logs / f"worker-{len(self.workers)}.log").open("wb")
        process = subprocess.Popen([sys.executable, *program], env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.workers.append(process)
        return process

    def log(self, number: int) -> str:
        """What a worker wrote."""
        return (self._logs / f"worker-{number}.log").read_text(errors="replace")

    def producer(self) -> Producer:
        """A producer that partitions as the contract says."""
        return Producer({**librdkafka(self.settings), "partitioner": "murmur2_random", "linger.ms": 5})

    def send(self, topic: str, values: Sequence[bytes], *, pause: float = 0.0) -> None:
        """Send JSON records keyed by customer, else account; ``pause`` seconds after every hundred."""
        producer = self.producer()
        for number, value in enumerate(values, 1):
            document = orjson.loads(value)
            producer.produce(self.settings.topic(topic), value, document.get("customer_id") or document["account_id"])
            producer.poll(0)
            if pause and number % 100 == 0:
                time.sleep(pause)
        assert producer.flush(30) == 0

    def records(self, topic: str, partitions: int = 4) -> list[Record]:
        """All committed records of a topic."""
        reader = KafkaReader(self.settings)
        try:
            places = [Place(self.settings.topic(topic), partition) for partition in range(partitions)]
            return [record for place in places for chunk in reader.read(place, 0) for record in chunk]
        finally:
            reader.close()

    def records_of(self, topic: str, partition: int) -> list[Record]:
        """All committed records of one partition."""
        reader = KafkaReader(self.settings)
        try:
            place = Place(self.settings.topic(topic), partition)
            return [record for chunk in reader.read(place, 0) for record in chunk]
        finally:
            reader.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``riskstream`` against this line."""
        environment = {**os.environ, **self.environment()}
        return subprocess.run(
            [sys.executable, "-m", "stream.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def stop(self) -> None:
        """End every worker that still runs: politely, then not."""
        for process in self.workers:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.workers:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


@pytest.fixture
def until() -> Callable[..., None]:
    """``until(condition, what, seconds)``: see :func:`wait_for`."""
    return wait_for


@pytest.fixture
def line(kafka_settings: Settings, tmp_path: Path) -> Iterator[Line]:
    """A line of this test's own; its workers are ended with the test."""
    ensure_topics(kafka_settings)
    made = Line(kafka_settings, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def line_class() -> type[Line]:
    """The class of :func:`line`, for a test that brings a broker of its own."""
    return Line

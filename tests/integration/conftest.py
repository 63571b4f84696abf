"""What integration tests share: one real Kafka a session, and names that keep tests apart on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream.brokers.kafka import DevelopmentKafka
from stream.errors import RiskstreamError
from stream.settings import Settings


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

"""Where a demonstration runs: a broker with the line's topics on it, all of them empty."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.log.topics import partition_counts
from stream.settings import Settings

MATURITY_DAYS = 7.0
"""The simulated bank hears of a fraud within five days, so that a payment it heard nothing of is normal after seven."""
LEARNING_INTERVAL_S = 1.0
"""A day of the simulated bank: it lives fast, and so its models must come."""
EMBEDDED_SESSION_MS = 2_000
"""A worker that leaves the embedded broker is missed that soon."""


@dataclass(slots=True)
class EmptyLine:
    """A running broker with the line's topics on it, empty."""

    settings: Settings
    partitions: int
    embedded: bool
    words: str
    """What to say about it."""


@contextmanager
def embedded_line(settings: Settings) -> Iterator[EmptyLine]:
    """A line on a broker inside this process."""
    from stream.brokers.embedded import EmbeddedBroker

    partitions = settings.partitions
    with EmbeddedBroker(partition_counts(settings, partitions)) as broker:
        ours = settings.model_copy(
            update={
                "broker": broker.bootstrap,
                "security_protocol": "PLAINTEXT",
                "session_timeout_ms": EMBEDDED_SESSION_MS,
                "metrics_port": 0,
                "instance": "",
                "maturity_days": MATURITY_DAYS,
                "learning_interval_s": LEARNING_INTERVAL_S,
            }
        )
        words = "embedded broker: in memory, no transactions, a demo only"
        yield EmptyLine(ours, partitions, True, words)


@contextmanager
def kafka_line(
    settings: Settings, progress: Callable[[str], None], *, keep_topics: bool = False
) -> Iterator[EmptyLine]:
    """A line on the Kafka that the settings name, with topics of its own that are deleted afterwards."""
    from stream.log.connect import check_reachable
    from stream.log.topics import ensure_topics

    prefix = f"{settings.topic_prefix}demo-{secrets.token_hex(4)}-"
    ours = settings.model_copy(
        update={
            "topic_prefix": prefix, "metrics_port": 0, "instance": "", "maturity_days": MATURITY_DAYS,
            "learning_interval_s": LEARNING_INTERVAL_S,
        }
    )  # fmt: skip
    check_reachable(ours)  # before anything is promised to be deleted
    progress(f"Creating topics {prefix}* on {settings.broker}")
    with ExitStack() as afterwards:
        if keep_topics:
            afterwards.callback(
                progress, f"Kept topics {prefix}*; look with --broker {settings.broker} --topic-prefix {prefix}"
            )
        else:
            afterwards.callback(_delete_topics, ours, progress)
        partitions = ensure_topics(ours)
        words = f"Apache Kafka at {settings.broker}: exactly once, topics {prefix}*"
        yield EmptyLine(ours, partitions, False, words)


def _delete_topics(settings: Settings, progress: Callable[[str], None]) -> None:
    from confluent_kafka import KafkaException

    from stream.log.connect import admin
    from stream.log.topics import existing_partitions

    client = admin(settings)
    for name, result in client.delete_topics(list(existing_partitions(client, settings))).items():
        try:
            result.result(timeout=30)
        except KafkaException as error:
            progress(f"Topic {name} could not be deleted: {error.args[0].str()}; delete it by hand")


@contextmanager
def development_kafka(settings: Settings, port: int, progress: Callable[[str], None]) -> Iterator[Settings]:
    """The development Kafka of ``riskstream kafka up``: used when it runs, else started and stopped again."""
    from stream.brokers.kafka import DevelopmentKafka

    broker = DevelopmentKafka(port, Path(settings.data_directory) / "kafka" / str(port), progress=progress)
    running = broker.status().state == "running"
    broker.start()
    try:
        yield settings.model_copy(update={"broker": broker.bootstrap, "security_protocol": "PLAINTEXT"})
    finally:
        if not running:
            broker.stop()

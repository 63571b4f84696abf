"""Batches through librdkafka on a real Kafka: what is sent is what comes, and what confluent-kafka's own calls see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from stream.brokers.connect import consumer_config, producer_config
from stream.brokers.librdkafka import Batch, BatchProducer, BatchQueue, assigned
from stream.brokers.topics import ensure_topics
from stream.core.packed import Packed
from stream.core.partition import partition_of
from stream.settings import Settings

COUNT = 5_000


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    ensure_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def consumer(settings: Settings) -> Iterator[Consumer]:
    made = Consumer({**consumer_config(settings, "batches"), "enable.partition.eof": True})
    yield made
    made.close()


def read(queue: BatchQueue, count: int, until: Callable[..., None]) -> list[Batch]:
    batches: list[Batch] = []

    def all_came() -> bool:
        batches.append(queue.read(0.1))
        return sum(int(np.count_nonzero(batch.errors == 0)) for batch in batches) >= count

    until(all_came, f"{count} records")
    return batches


def test_records_come_as_they_were_sent_in_order_to_the_partition_of_their_key(
    settings: Settings, consumer: Consumer, until: Callable[..., None]
) -> None:
    topic = settings.topic("risk.learning.v1")
    producer = Producer(producer_config(settings))
    batches = BatchProducer(producer)
    keys = [f"k-{n % 97}".encode() for n in range(COUNT)]
    values = [f"value {n} ".encode() * (n % 40) for n in range(COUNT)]
    numbers = [str(n).encode() for n in range(COUNT)]
    for start in range(0, COUNT, 1000):
        part = slice(start, start + 1000)
        batches.send(topic, Packed.of(values[part]), Packed.of(keys[part]),
                     (("number", Packed.of(numbers[part])), ("same", b"for all")))  # fmt: skip
    assert producer.flush(30) == 0
    for partition in range(4):
        sent = [n for n in range(COUNT) if partition_of(keys[n], 4) == partition]
        queue = assigned(consumer, {(topic, partition): 0})[topic, partition]
        came = read(queue, len(sent), until)
        queue.close()
        assert [v for b in came for v, e in zip(b.values, b.errors, strict=True) if e == 0] == [values[n] for n in sent]
        assert [k for b in came for k, e in zip(b.keys, b.errors, strict=True) if e == 0] == [keys[n] for n in sent]
        assert np.concatenate([b.offsets[b.errors == 0] for b in came]).tolist() == list(range(len(sent)))
        stamps = np.concatenate([b.timestamps[b.errors == 0] for b in came])
        assert ((stamps > 1_700_000_000_000) & (stamps < 4_000_000_000_000)).all()
    consumer.unassign()
    other = Consumer(consumer_config(settings, "plain"))
    from confluent_kafka import TopicPartition

    other.assign([TopicPartition(topic, 0, 0)])
    first = other.consume(1, 30.0)[0]
    at = next(n for n in range(COUNT) if partition_of(keys[n], 4) == 0)
    assert first.headers() == [("number", numbers[at]), ("same", b"for all")]
    other.close()


def test_nulls_stay_nulls_and_empty_stays_empty(
    settings: Settings, consumer: Consumer, until: Callable[..., None]
) -> None:
    topic = settings.topic("risk.decisions.v1")
    producer = Producer(producer_config(settings))
    batches = BatchProducer(producer)
    batches.send(topic, Packed.of([None, b"", b"v"]), Packed.of([b"a", None, b""]), partition=2)
    assert producer.flush(30) == 0
    [queue] = assigned(consumer, {(topic, 2): 0}).values()
    batch = read(queue, 3, until)[-1]
    assert [batch.values.nullable(n) for n in range(3)] == [None, b"", b"v"]
    assert [batch.keys.nullable(n) for n in range(3)] == [b"a", None, b""]


def test_a_full_queue_is_waited_for(settings: Settings, consumer: Consumer, until: Callable[..., None]) -> None:
    topic = settings.topic("risk.profiled.v1")
    producer = Producer({**producer_config(settings), "queue.buffering.max.messages": 100})
    values = [str(n).encode() for n in range(1000)]
    BatchProducer(producer).send(topic, Packed.of(values), Packed.of(values), partition=1)
    assert producer.flush(30) == 0
    [queue] = assigned(consumer, {(topic, 1): 0}).values()
    assert [value for batch in read(queue, 1000, until) for value in batch.values if value] == values


def test_a_partition_that_is_not_there_is_an_error(settings: Settings) -> None:
    topic = settings.topic("risk.profiled.v1")
    producer = Producer(producer_config(settings))
    batches = BatchProducer(producer)
    batches.send(topic, Packed.of([b"v"]), Packed.of([b"k"]), partition=0)
    assert producer.flush(30) == 0
    with pytest.raises(KafkaException, match="partition"):
        batches.send(topic, Packed.of([b"v"]), Packed.of([b"k"]), partition=99)

"""Batches through librdkafka on a real Kafka: what is sent is what comes, and what confluent-kafka's own calls see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from stream.arrays.packed import Packed
from stream.core.edge.partition import partition_of
from stream.errors import UsageError
from stream.log.client import BatchConsumer, Queue, batch_consumer, batch_sender
from stream.log.connect import consumer_config, producer_config
from stream.log.librdkafka import Batch, BatchProducer
from stream.log.native_consumer import NativeConsumer
from stream.log.portable_client import PortableConsumer
from stream.log.topics import ensure_topics
from stream.settings import Settings

COUNT = 5_000


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    ensure_topics(kafka_settings)
    return kafka_settings


@pytest.fixture(params=["native", "portable"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The same settings, with each way to move batches."""
    return settings.model_copy(update={"kafka_client": request.param})


@pytest.fixture
def consumer(client: Settings) -> Iterator[BatchConsumer]:
    made = batch_consumer(client, {**consumer_config(client, "batches"), "enable.partition.eof": True})
    yield made
    made.close()


def read(queue: Queue, count: int, until: Callable[..., None]) -> list[Batch]:
    batches: list[Batch] = []

    def all_came() -> bool:
        batches.append(queue.read(0.1))
        return sum(int(np.count_nonzero(batch.errors == 0)) for batch in batches) >= count

    until(all_came, f"{count} records")
    return batches


def test_records_come_as_they_were_sent_in_order_to_the_partition_of_their_key(
    client: Settings, consumer: BatchConsumer, until: Callable[..., None]
) -> None:
    topic = client.topic("risk.learning.v1")
    producer = Producer(producer_config(client))
    batches = batch_sender(client, producer)
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
        queue = consumer.assign({(topic, partition): 0})[topic, partition]
        came = read(queue, len(sent), until)
        queue.close()
        assert [v for b in came for v, e in zip(b.values, b.errors, strict=True) if e == 0] == [values[n] for n in sent]
        assert [k for b in came for k, e in zip(b.keys, b.errors, strict=True) if e == 0] == [keys[n] for n in sent]
        assert np.concatenate([b.offsets[b.errors == 0] for b in came]).tolist() == list(range(len(sent)))
        stamps = np.concatenate([b.timestamps[b.errors == 0] for b in came])
        assert ((stamps > 1_700_000_000_000) & (stamps < 4_000_000_000_000)).all()
    other = Consumer(consumer_config(client, "plain"))
    from confluent_kafka import TopicPartition

    other.assign([TopicPartition(topic, 0, 0)])
    first = other.consume(1, 30.0)[0]
    at = next(n for n in range(COUNT) if partition_of(keys[n], 4) == 0)
    assert first.headers() == [("number", numbers[at]), ("same", b"for all")]
    other.close()


def test_nulls_stay_nulls_and_empty_stays_empty(
    client: Settings, consumer: BatchConsumer, until: Callable[..., None]
) -> None:
    topic = client.topic("risk.decisions.v1")
    producer = Producer(producer_config(client))
    batches = batch_sender(client, producer)
    batches.send(topic, Packed.of([None, b"", b"v"]), Packed.of([b"a", None, b""]), partition=2)
    assert producer.flush(30) == 0
    [queue] = consumer.assign({(topic, 2): 0}).values()
    batch = read(queue, 3, until)[-1]
    assert [batch.values.nullable(n) for n in range(3)] == [None, b"", b"v"]
    assert [batch.keys.nullable(n) for n in range(3)] == [b"a", None, b""]


def test_a_full_queue_is_waited_for(client: Settings, consumer: BatchConsumer, until: Callable[..., None]) -> None:
    topic = client.topic("risk.profiled.v1")
    producer = Producer({**producer_config(client), "queue.buffering.max.messages": 100})
    values = [str(n).encode() for n in range(1000)]
    batch_sender(client, producer).send(topic, Packed.of(values), Packed.of(values), partition=1)
    assert producer.flush(30) == 0
    [queue] = consumer.assign({(topic, 1): 0}).values()
    assert [value for batch in read(queue, 1000, until) for value in batch.values if value] == values


def test_a_partition_that_is_not_there_is_an_error(client: Settings) -> None:
    topic = client.topic("risk.profiled.v1")
    producer = Producer(producer_config(client))
    batches = batch_sender(client, producer)
    batches.send(topic, Packed.of([b"v"]), Packed.of([b"k"]), partition=0)
    assert producer.flush(30) == 0
    with pytest.raises(KafkaException, match="partition"):
        batches.send(topic, Packed.of([b"v"]), Packed.of([b"k"]), partition=99)


SHRINKS = """
import sys, time
from confluent_kafka.admin import AdminClient, NewTopic
from stream.log.connect import consumer_config
from stream.log.native_consumer import NativeConsumer
from stream.settings import Settings
settings = Settings(broker=sys.argv[1], topic_prefix=sys.argv[2])
topic, again = settings.topic("shrinks"), int(sys.argv[3])
client = AdminClient({"bootstrap.servers": settings.broker})
client.create_topics([NewTopic(topic, 4, 1)])[topic].result()
consumer = NativeConsumer(
    {**consumer_config(settings, "w"), "topic.metadata.refresh.interval.ms": 100, "topic.metadata.propagation.max.ms": 100}
)
queues = consumer.assign({(topic, n): 0 for n in range(4)})
def read(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        consumer.serve()
        for queue in queues.values():
            queue.read(0.01)
read(0.5)
client.delete_topics([topic])[topic].result()
read(1.0)
if again:
    client.create_topics([NewTopic(topic, again, 1)])[topic].result()
read(2.0)
for queue in queues.values():
    queue.close()
consumer.close()
print("read to the end")
"""


@pytest.mark.parametrize("again", [0, 2])
def test_a_topic_that_goes_or_comes_again_smaller_while_it_is_read_aborts_no_process(
    settings: Settings, again: int
) -> None:
    # such an event lies in the partition's queue, and its callback would run outside of confluent-kafka's calls
    ended = subprocess.run(
        [sys.executable, "-c", SHRINKS, settings.broker, settings.topic_prefix, str(again)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "read to the end\n"), ended.stderr


def test_a_configuration_that_no_client_takes_is_wrong_usage(settings: Settings) -> None:
    with pytest.raises(UsageError, match="psalm"):
        NativeConsumer({**consumer_config(settings, "w"), "security.protocol": "psalm"})


def test_a_portable_queue_that_is_not_read_is_paused_and_goes_on_where_it_was(
    settings: Settings, until: Callable[..., None]
) -> None:
    topic = settings.topic("risk.profiled.v1")
    producer = Producer(producer_config(settings))
    values = [str(n).encode() for n in range(COUNT)]
    for partition in (0, 1):
        BatchProducer(producer).send(topic, Packed.of(values), Packed.of(values), partition=partition)
    assert producer.flush(30) == 0
    consumer = PortableConsumer(consumer_config(settings, "paused"))
    queues = consumer.assign({(topic, 0): 0, (topic, 1): 0}, most=100)
    came = [value for batch in read(queues[topic, 1], COUNT, until) for value in batch.values if value]
    # it stopped taking in while the other partition went on to its end
    assert len(queues[topic, 0]) < COUNT
    late = [value for batch in read(queues[topic, 0], COUNT, until) for value in batch.values if value]
    consumer.close()
    assert came == late == values

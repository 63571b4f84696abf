"""The partition of a key is Java Kafka's, as librdkafka's partitioner computes it."""

from __future__ import annotations

import numpy as np
import pytest
from confluent_kafka import Message, Producer

from stream.brokers.embedded import EmbeddedBroker
from stream.core.edge.partition import murmur2, partition_of, partitions_of
from stream.log.connect import producer_config
from stream.settings import Settings


@pytest.mark.parametrize(
    ("key", "java"),
    [  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_java_kafkas(key: bytes, java: int) -> None:
    assert murmur2(np.frombuffer(key, np.uint8), 0, len(key)) == java & 0x7FFFFFFF


def test_the_partition_is_where_the_producer_puts_the_record() -> None:
    keys = [f"{prefix}{number}".encode() for number in range(120) for prefix in ("", "c-", "客户", "a:b.c_")]
    placed: dict[bytes, int] = {}

    def note(error: object, message: Message) -> None:
        assert error is None
        placed[message.key()] = message.partition()

    with EmbeddedBroker({"bank.transactions.v1": 7}) as broker:
        producer = Producer(producer_config(Settings(broker=broker.bootstrap)))
        for key in keys:
            producer.produce("bank.transactions.v1", b"{}", key, on_delivery=note)
        assert producer.flush(20) == 0
    assert placed == {key: partition_of(key, 7) for key in keys}
    ascii_keys = [key for key in keys if key.isascii()]
    assert partitions_of(np.array(ascii_keys), 7).tolist() == [placed[key] for key in ascii_keys]


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        partition_of(b"a", 0)

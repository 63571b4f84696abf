"""The embedded broker: what the demonstration relies on, and what it honestly lacks."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer

from stream.brokers.embedded import EmbeddedBroker
from stream.errors import RiskstreamError
from stream.log.connect import consumer_config, producer_config
from stream.log.topics import ensure_topics, partition_counts
from stream.settings import Settings


def test_the_line_finds_all_its_topics_there() -> None:
    settings = Settings(partitions=3, topic_prefix="demo-")
    with EmbeddedBroker(partition_counts(settings)) as broker:
        reached = settings.model_copy(update={"broker": broker.bootstrap})
        assert ensure_topics(reached) == 3


def test_records_headers_and_four_mebibytes_come_back() -> None:
    with EmbeddedBroker({"in": 2}) as broker:
        settings = Settings(broker=broker.bootstrap)
        producer = Producer(producer_config(settings))
        producer.produce("in", b"x" * (4 * 2**20), key=b"k", headers={"riskstream.reason": b"malformed"})
        assert producer.flush(20) == 0
        consumer = Consumer(consumer_config(settings, "reader"))
        consumer.subscribe(["in"])
        message = consumer.poll(20)
        consumer.close()
    assert message is not None
    assert message.error() is None
    assert len(message.value()) == 4 * 2**20
    assert message.headers() == [("riskstream.reason", b"malformed")]


def test_two_brokers_are_two_worlds() -> None:
    with EmbeddedBroker({"a": 1}) as first, EmbeddedBroker({"b": 1}) as second:
        assert first.bootstrap != second.bootstrap


def test_a_broker_that_is_not_started_has_no_address() -> None:
    with pytest.raises(RiskstreamError, match="not running"):
        _ = EmbeddedBroker({"a": 1}).bootstrap


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="topic a"):
        EmbeddedBroker({"a": 0})

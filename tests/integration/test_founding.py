"""The first model and policy of an installation are written, or its worker ends: on a real Kafka that refuses them."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream.log.credentials import librdkafka

pytestmark = pytest.mark.kafka


def test_a_worker_whose_first_records_are_refused_says_so_and_ends(
    kafka_settings: Any, line_class: Any, tmp_path: Any
) -> None:
    name = kafka_settings.topic("risk.policies.v1")
    made = NewTopic(name, 1, 1, config={"cleanup.policy": "compact", "max.message.bytes": "200"})
    client = AdminClient(librdkafka(kafka_settings))
    for future in client.create_topics([made]).values():
        future.result(20)
    line = line_class(kafka_settings, tmp_path)
    try:
        worker = line.worker()
        assert worker.wait(240) == 1
    finally:
        line.stop()
    said = line.log(0)
    assert f"{name}: the first records of this installation were refused" in said
    assert "could be computed again" in said
    assert "Traceback" not in said

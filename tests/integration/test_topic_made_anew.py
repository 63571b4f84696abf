"""An administrator deletes an input topic and makes it anew while a worker runs, and starts the worker again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewTopic
from plain_traffic import payments

from stream.desk.conservation import count
from stream.log.connect import admin

TRANSACTIONS = "bank.transactions.v1"
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def make_anew(line: Any, until: Any, partitions: int) -> None:
    client, topic = admin(line.settings), line.settings.topic(TRANSACTIONS)
    client.delete_topics([topic])[topic].result(30)

    def made() -> bool:
        try:
            client.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
        except KafkaException:  # still being deleted
            return False
        return True

    until(made, "the topic to be made anew")


def decided(line: Any) -> set[str]:
    return {orjson.loads(record.value)["transaction_id"] for record in line.records("risk.decisions.v1")}


@pytest.mark.parametrize("partitions", [4, 2])
def test_a_worker_ends_with_its_sentence_and_one_started_again_names_the_topic(
    line: Any, until: Any, partitions: int
) -> None:
    before, after = payments("before", 40), payments("after", 60)
    worker = line.worker()
    line.send(TRANSACTIONS, before)
    until(lambda: len(decided(line)) == 40, "every payment to be decided", 120)
    until(lambda: line.records("riskstream-accounts-rows"), "a checkpoint", 120)
    make_anew(line, until, partitions)
    line.send(TRANSACTIONS, after)
    assert worker.wait(120) == 1, line.log(0)[-3000:]
    topic = line.settings.topic(TRANSACTIONS)
    assert f"this worker ends: {topic} was deleted and made anew" in line.log(0)
    assert "RISKSTREAM_TOPIC_PREFIX" in line.log(0)
    again = line.worker()
    if partitions == 4:
        until(lambda: f"topic {topic} was deleted and made anew" in line.log(1), "the reason", 120)
        balances = count(line.settings)
        assert not all(balance.balanced for balance in balances)
        assert sum(balance.beyond for balance in balances) == 40
        status = line.command("status")
        assert status.returncode == 1
        assert "the topic was deleted and made anew" in status.stdout
    else:
        assert again.wait(120) == 1
        assert f"{topic} has 2 partitions" in line.log(1)
    assert decided(line) == {orjson.loads(value)["transaction_id"] for value in before}

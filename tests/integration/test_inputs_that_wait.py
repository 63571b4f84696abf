"""What producers do to the input, on a real Kafka: a transaction that stays open, keys that are not the customer's id."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from plain_traffic import payments

from stream.core.edge.partition import partition_of
from stream.log.reader import KafkaReader
from stream.log.records import Place

TRANSACTIONS = "bank.transactions.v1"
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def get(line: Any, path: str) -> tuple[int, str]:
    port = re.findall(r"http://127\.0\.0\.1:(\d+)/metrics", line.log(0))[-1]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def gauge(line: Any, name: str, partition: int) -> float:
    topic = line.settings.topic(TRANSACTIONS)
    labels = rf'partition="{partition}",topic="{re.escape(topic)}"'
    return float(re.findall(rf"^{name}\{{{labels}\}} (\S+)$", get(line, "/metrics")[1], re.M)[0])


def decided(line: Any) -> set[str]:
    return {orjson.loads(record.value)["transaction_id"] for record in line.records("risk.decisions.v1")}


def test_payments_behind_an_open_transaction_are_counted_and_told_and_decided_when_it_has_ended(
    line: Any, until: Any
) -> None:
    line.worker()
    line.send(TRANSACTIONS, payments("before", 20))
    until(lambda: len(decided(line)) == 20, "what came before", 120)
    topic, home = line.settings.topic(TRANSACTIONS), partition_of(b"acc0", 4)
    reader = KafkaReader(line.settings)
    begins = reader.watermarks(Place(topic, home))[1]
    reader.close()
    core = {"transactional.id": f"{topic}-core", "transaction.timeout.ms": 600_000, "partitioner": "murmur2_random"}
    hanging = Producer({"bootstrap.servers": line.settings.broker, **core})
    hanging.init_transactions(30)
    hanging.begin_transaction()
    hanging.produce(topic, payments("hanging", 1)[0], b"acc0")
    assert hanging.flush(30) == 0
    after = payments("after", 50)
    line.send(TRANSACTIONS, after)
    behind = [v for v in after if partition_of(orjson.loads(v)["account_id"].encode(), 4) == home]
    until(lambda: len(decided(line)) == 70 - len(behind), "what does not wait", 60)
    until(lambda: "records wait at a producer's transaction" in get(line, "/ready")[1], "a reason on /ready", 60)
    status, body = get(line, "/ready")
    assert status == 503
    assert f"{topic}[{home}]: {len(behind) + 1} records wait" in body
    assert f"first offset {begins}" in body
    assert re.search(r"open since \d{4}-\d\d-\d\dT", body)
    assert get(line, "/live")[0] == 200, "a restart would not help"
    assert f"{topic}[{home}]: {len(behind) + 1} records wait" in line.log(0)
    assert gauge(line, "riskstream_lag", home) == len(behind) + 1
    assert gauge(line, "riskstream_in_flight", home) == len(behind) + 1
    assert gauge(line, "riskstream_open_transaction_seconds", home) >= 5
    assert gauge(line, "riskstream_open_transaction_seconds", (home + 1) % 4) == 0
    told = line.command("status", "--json")
    assert told.returncode == 0, told.stdout
    summary = json.loads(told.stdout.splitlines()[-1])
    [waits] = [p for p in summary["partitions"] if p["waiting"]]
    assert (waits["topic"], waits["partition"], waits["waiting"]) == (topic, home, len(behind) + 1)
    assert waits["open_transaction"]["offset"] == begins
    assert waits["end"] == begins + len(behind) + 1
    assert summary["balanced"] is True
    assert f"WAITS: {len(behind) + 1} records from offset {begins} on" in line.command("status").stdout
    hanging.abort_transaction(30)
    until(lambda: len(decided(line)) == 70, "what waited", 60)
    until(lambda: get(line, "/ready")[0] == 200, "readiness", 60)
    assert gauge(line, "riskstream_open_transaction_seconds", home) == 0
    assert "the transaction that readers waited at has ended" in line.log(0)


def test_a_key_that_is_not_the_customers_id_is_named_and_decided_only_where_it_lies_right_by_chance(
    line: Any, until: Any
) -> None:
    line.worker()
    sent = [orjson.loads(value) for value in payments("quoted", 16, accounts=16)]
    producer = line.producer()
    for payment in sent:
        producer.produce(line.settings.topic(TRANSACTIONS), orjson.dumps(payment), json.dumps(payment["account_id"]))
    wrong = payments("moved", 1)[0]
    away = (partition_of(b"acc0", 4) + 1) % 4
    producer.produce(line.settings.topic(TRANSACTIONS), wrong, b"acc0", away)
    assert producer.flush(30) == 0

    def home(payment: dict[str, Any]) -> int:
        return partition_of(payment["account_id"].encode(), 4)

    right = {p["transaction_id"] for p in sent if home(p) == partition_of(json.dumps(p["account_id"]).encode(), 4)}
    assert 0 < len(right) < 16
    until(lambda: len(decided(line)) + len(line.records(f"{TRANSACTIONS}.dlq")) == 17, "every record", 120)
    assert decided(line) == right
    letters = [dict(record.headers) for record in line.records(f"{TRANSACTIONS}.dlq")]
    assert {letter["riskstream.reason"] for letter in letters} == {b"wrong_partition"}
    messages = [letter["__connect.errors.exception.message"].decode() for letter in letters]
    assert sum("in quotes, as a JSON serializer writes it" in message for message in messages) == 16 - len(right)
    assert [message for message in messages if "the producer's partitioner is not" in message] == [
        f"found in partition {away}, its key belongs into {(away - 1) % 4}: the key is right, the producer's partitioner is "
        "not Java's murmur2 (librdkafka: partitioner=murmur2_random)"
    ]

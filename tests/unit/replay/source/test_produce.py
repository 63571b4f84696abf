"""``riskstream produce`` against a broker: keys, partitions, order, feedback, rate, failures."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from stream.brokers.embedded import EmbeddedBroker
from stream.brokers.kafka import free_port
from stream.cli.produce import Sender, command
from stream.core.edge.partition import partition_of
from stream.errors import BrokerNotReachable
from stream.log.connect import consumer_config
from stream.log.topics import partition_counts
from stream.replay.walk.schedule import Scheduled
from stream.settings import Settings

PARTITIONS = 4
HEADER = "id,account,customer,at,amount,fraud\n"
MAP = """
fields:
  transaction_id: {column: id}
  account_id: {column: account}
  customer_id: {column: customer}
  event_time: {column: at, format: iso}
  amount_minor: {column: amount}
  currency: {constant: CNY}
  channel: {constant: app}
labels: {fraud: {column: fraud}}
"""


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partition_counts(Settings(partitions=PARTITIONS))) as running:
        yield running


def produce(directory: Path, broker: EmbeddedBroker, rows: list[str], *options: str, head: str = "") -> Result:
    (directory / "bank.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows), "utf-8")
    (directory / "map.yaml").write_text(head + MAP, "utf-8")
    arguments = [str(directory / "bank.csv"), "--columns", str(directory / "map.yaml"), "--json"]
    return CliRunner().invoke(command, [*arguments, "--broker", broker.bootstrap, *options])


def consume(broker: EmbeddedBroker, topic: str, count: int) -> dict[int, list[tuple[bytes, dict[str, Any]]]]:
    consumer = Consumer(consumer_config(Settings(broker=broker.bootstrap), "test"))
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    found: dict[int, list[tuple[bytes, dict[str, Any]]]] = defaultdict(list)
    deadline = time.monotonic() + 20
    while sum(map(len, found.values())) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found[message.partition()].append((message.key(), json.loads(message.value())))
    assert consumer.poll(0.2) is None
    consumer.close()
    return found


ROWS = [
    f"t{n},a{n % 7},{'' if n % 2 else f'c{n % 5}'},2026-01-{1 + n // 3:02d}T00:00:00Z,{n},{int(n == 4)}"
    for n in range(60)
]


def test_records_are_keyed_partitioned_and_in_order_with_feedback_when_due(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    result = produce(tmp_path, broker, ROWS, "--label-delay", "7d")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert {name: summary[name] for name in ("transactions", "feedback", "delivered", "refused", "labels_pending")} == {
        "transactions": 60,
        "feedback": 1,
        "delivered": 61,
        "refused": 0,
        "labels_pending": 0,
    }
    transactions = consume(broker, "bank.transactions.v1", 60)
    for partition, records in transactions.items():
        for key, document in records:
            assert key.decode() == document.get("customer_id", document["account_id"])
            assert partition == partition_of(key, PARTITIONS)
        numbers = [document["amount_minor"] for _, document in records]
        assert numbers == sorted(numbers)
    assert sum(map(len, transactions.values())) == 60
    ((partition, [(key, feedback)]),) = consume(broker, "bank.feedback.v1", 1).items()
    assert (feedback["transaction_id"], feedback["occurred_at"]) == ("t4", "2026-01-09T00:00:00Z")
    assert (key, partition) == (b"c4", partition_of(b"c4", PARTITIONS))


def test_rows_that_the_contract_refuses_are_reported_not_sent_and_exit_with_1(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    result = produce(tmp_path, broker, [*ROWS[:3], "bad id,a,,2026-01-02T00:00:00Z,5,0", ROWS[3]])
    assert result.exit_code == 1
    assert "bank.csv:5: out_of_range: field transaction_id" in result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert (summary["transactions"], summary["refused"]) == (4, 1)
    assert sum(map(len, consume(broker, "bank.transactions.v1", 4).values())) == 4


def test_a_file_without_a_payment_is_said_and_exits_with_1(tmp_path: Path, broker: EmbeddedBroker) -> None:
    result = produce(tmp_path, broker, ROWS[:3], head="rows: [{column: account, in: [A0]}]")
    assert result.exit_code == 1
    assert "no row of the file is a payment" in result.stderr


def test_the_rate_is_kept_and_the_limit_ends_it(tmp_path: Path, broker: EmbeddedBroker) -> None:
    result = produce(tmp_path, broker, ROWS, "--rate", "40", "--limit", "20")
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["transactions"] == 20
    assert 0.45 <= summary["seconds"] < 2


def test_a_record_that_kafka_does_not_take_is_fatal() -> None:
    sender = Sender(Settings(broker=f"127.0.0.1:{free_port()}"), None, timeout_ms=500)
    with pytest.raises(BrokerNotReachable, match=r"a record was not delivered.*0 were"):
        sender.send(iter([Scheduled("transaction", b"a", b"{}")]))


def test_labels_that_meet_no_payment_are_said_and_exit_with_1(tmp_path: Path, broker: EmbeddedBroker) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("transaction_id,fraud\nTX-1,1\nTX-2,0\n", "utf-8")
    result = produce(tmp_path, broker, ROWS, "--labels", str(truth))
    assert result.exit_code == 1
    assert '0 of 2 labels met a payment, for instance not "TX-1"' in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["labels"] == {"total": 2, "met": 0, "unmet_example": "TX-1"}
    truth.write_text("transaction_id,fraud\nt4,1\nTX-2,0\n", "utf-8")
    result = produce(tmp_path, broker, ROWS, "--labels", str(truth))
    assert result.exit_code == 0
    assert '1 of 2 labels met a payment, for instance not "TX-2"' in result.stderr

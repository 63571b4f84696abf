"""The producer's page: its examples run as they stand, and what they send is decided."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream.brokers.kafka_artefacts import jars
from stream.core.edge.partition import partition_of

PAGE = Path(__file__).parents[2] / "docs" / "producing.md"
TRANSACTIONS, PARTITIONS = "bank.transactions.v1", 4


def example(language: str) -> str:
    """The program of the page in a language; it has one."""
    (program,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(program)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr


def payment(name: str, **fields: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {
        "transaction_id": name, "account_id": "acc-1", "payee_id": "p1", "event_time": at, "amount_minor": 900,
        "currency": "EUR", "channel": "app",
    } | fields  # fmt: skip


def test_what_the_examples_of_the_page_send_lies_where_it_belongs_and_is_decided(
    line: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    line.worker()
    topic = line.settings.topic(TRANSACTIONS)
    for language, name, command in (
        ("python", "produce_transactions.py", [sys.executable]),
        ("java", "ProduceTransactions.java", ["java", "-cp", f"{jars()}/*"]),
    ):
        program = tmp_path / name
        program.write_text(example(language), "utf-8")
        run([*command, str(program), line.settings.broker, topic])
    sent = {place: line.records_of(TRANSACTIONS, place) for place in range(PARTITIONS)}
    assert sum(map(len, sent.values())) == 80
    for place, records in sent.items():
        assert {partition_of(record.key, PARTITIONS) for record in records} <= {place}
        assert {record.key.decode() for record in records} == {
            json.loads(record.value)["customer_id"] for record in records
        }
    until(lambda: len(line.records("risk.decisions.v1")) == 80, "decisions about all of them", 120)
    assert line.records(f"{TRANSACTIONS}.dlq") == []


def test_cloud_events_of_both_modes_and_a_reversal_are_decided_and_refusals_say_why(
    line: Any, until: Callable[..., None]
) -> None:
    line.worker()
    envelope = {"specversion": "1.0", "id": "e-1", "source": "/core", "type": "paid"}
    attributes = [(f"ce_{name}", value.encode()) for name, value in envelope.items()]
    binary: list[tuple[str, bytes | None]] = [*attributes, ("content-type", b"application/json")]
    structured: list[tuple[str, bytes | None]] = [("content-type", b"application/cloudevents+json")]
    reversal = payment("r-1", type="reversal", original_transaction_id="t-2")
    # of binary mode the value alone counts: a fault of the envelope leaves no good payment undecided, and makes no bad one good
    strange = [("ce_specversion", b"9.9"), ("ce_type", b"\xff"), ("content-type", b"application/avro"), ("ce_id", None)]
    sends: list[tuple[dict[str, Any], list[tuple[str, bytes | None]]]] = [
        (payment("t-1"), binary),
        (payment("t-5"), strange),
        ({}, binary),
        (envelope | {"data": payment("t-2")}, structured),
        (envelope | {"data": reversal, "id": "e-2"}, structured),
        (envelope | {"specversion": "0.3", "data": payment("t-3")}, structured),
        (envelope | {"data_base64": "e30="}, structured),
        (envelope | {"data": json.dumps(payment("t-4"))}, structured),
    ]
    producer = line.producer()
    for value, headers in sends:
        producer.produce(line.settings.topic(TRANSACTIONS), json.dumps(value), "acc-1", headers=headers)
    assert producer.flush(30) == 0
    until(
        lambda: len(line.records("risk.decisions.v1")) + len(line.records(f"{TRANSACTIONS}.dlq")) == len(sends),
        "a decision or a dead letter of each",
        120,
    )
    decided = {
        found["transaction_id"]: found
        for found in map(json.loads, (r.value for r in line.records("risk.decisions.v1")))
    }
    assert set(decided) == {"t-1", "t-2", "t-5", "r-1"}
    assert decided["r-1"]["outcome"] == "approve"
    reasons = [dict(record.headers)["riskstream.reason"] for record in line.records(f"{TRANSACTIONS}.dlq")]
    assert sorted(reasons) == [b"missing", b"unsupported", b"unsupported", b"wrong_type"]

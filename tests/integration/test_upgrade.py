"""A new version on rows that an older one wrote: they are read in today's layout, and written so from then on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from plain_traffic import traffic

from stream.core.account.account_row import ACCOUNT_ROW, SCHEMA_VERSION
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.worker.rows.checkpoint import MARKER_KEY
from tests.unit.core.older_rows import accounts_as

ROWS = "riskstream-accounts-rows"


def decided(line: Any) -> int:
    return len(line.records("risk.decisions.v1"))


def rows_of(line: Any) -> dict[bytes, bytes]:
    """The last stored row of every account."""
    return {
        record.key: record.value
        for record in line.records(ROWS)
        if record.key and record.key != MARKER_KEY and record.key[0] > 1
    }


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_rows_of_an_older_layout_are_taken_over_by_a_worker_of_today(line: Any, until: Any, version: int) -> None:
    transactions, _ = traffic(600, seed=12)
    worker = line.worker()
    line.send("bank.transactions.v1", transactions[:400])
    until(lambda: decided(line) == 400, "the first decisions")
    worker.terminate()
    assert worker.wait(30) == 0
    written = rows_of(line)
    producer = Producer({"bootstrap.servers": line.settings.broker})
    places = {r.key: p for p in range(4) for r in records_of(line, p) if r.key in written}
    for key, value in written.items():
        producer.produce(
            line.settings.topic(ROWS),
            accounts_as(version, np.frombuffer(value, ACCOUNT_ROW)).tobytes(),
            key,
            places[key],
        )
    assert producer.flush(30) == 0
    line.worker()
    line.send("bank.transactions.v1", transactions[400:])
    until(lambda: decided(line) == len(transactions), "the rest, on rows of the older layout")
    paid = sum(b'"type":"reversal"' not in value for value in transactions)
    until(lambda: attempts(line) == paid, "every row to be written anew")
    assert {int.from_bytes(value[:2], "little") for value in rows_of(line).values()} == {SCHEMA_VERSION}


def test_rows_of_an_unknown_layout_keep_a_worker_from_becoming_ready_and_are_named(line: Any, until: Any) -> None:
    transactions, _ = traffic(100, seed=13)
    worker = line.worker()
    line.send("bank.transactions.v1", transactions)
    until(lambda: decided(line) == 100, "the first decisions")
    worker.terminate()
    assert worker.wait(30) == 0
    producer = Producer({"bootstrap.servers": line.settings.broker})
    row = (99).to_bytes(2, "little") + bytes(4) + b"a-new".ljust(96, b"\0")
    producer.produce(line.settings.topic(ROWS), row, b"a-new", 0)
    assert producer.flush(30) == 0
    refused = line.worker(refusal_shown_s=1)
    until(lambda: "schema version 99 and 102 bytes" in line.log(1), "the refusal")
    assert refused.wait(60) == 4


def records_of(line: Any, partition: int) -> list[Any]:
    reader = KafkaReader(line.settings)
    try:
        return [r for chunk in reader.read(Place(line.settings.topic(ROWS), partition), 0) for r in chunk]
    finally:
        reader.close()


def attempts(line: Any) -> int:
    """Transactions that the stored rows of today's layout have seen."""
    rows = [value for value in rows_of(line).values() if len(value) == ACCOUNT_ROW.itemsize]
    return int(sum(np.frombuffer(value, ACCOUNT_ROW)["attempts"][0] for value in rows))

"""What a dead letter says of a record on a wrong partition: whose fault it is, and nothing of what the record holds."""

from __future__ import annotations

import orjson
import pytest

from stream.contracts.transaction import read_transaction
from stream.core.edge.decode import Refusal
from stream.core.edge.partition import partition_of
from stream.log.records import Record, RecordBatch
from stream.worker.hops.foreign_key import explained

OWNER = "customer-7"
HOME = partition_of(OWNER.encode(), 4)
FOUND = (HOME + 1) % 4
VALUE = orjson.dumps(
    {
        "transaction_id": "t-1", "account_id": "account-1", "customer_id": OWNER, "payee_id": "p-1",
        "event_time": "2026-11-24T08:00:00Z", "amount_minor": 1250, "currency": "EUR", "channel": "app",
    }
)  # fmt: skip


def message(key: bytes | None) -> str:
    records = RecordBatch.of([Record(0, 0, None, b"{}"), Record(1, 0, key, VALUE)])
    refused = [Refusal(0, "missing", "as it was"), Refusal(1, "wrong_partition", "to be told")]
    first, second = explained(refused, records, read_transaction, FOUND, 4)
    assert (first.message, second.index, second.reason) == ("as it was", 1, "wrong_partition")
    assert OWNER not in second.message
    return second.message


def test_a_right_key_on_a_wrong_partition_is_the_partitioners_fault() -> None:
    assert message(OWNER.encode()).startswith(
        f"found in partition {FOUND}, its key belongs into {HOME}: the key is right"
    )


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (b'"customer-7"', "in quotes, as a JSON serializer writes it"),
        (b"account-1", "the record's key is not its customer_id (else account_id)"),
        (b"another", "the record's key is not its customer_id (else account_id)"),
        (None, "the record has no key"),
        (b"", "the record has no key"),
    ],
)
def test_a_key_that_is_not_the_customers_id_is_told_apart(key: bytes | None, says: str) -> None:
    told = message(key)
    assert told.startswith(f"found in partition {FOUND}: ")
    assert says in told
    assert f"belongs into {HOME}" in told
    assert "partitioner" not in told

"""Feedback at the edge: place, trust, columns."""

from __future__ import annotations

import json

import numpy as np

from stream.core import columns
from stream.core.edge.decode import Decoded, decode_feedback
from stream.core.edge.partition import partition_of

FEEDBACK = {
    "feedback_id": "f-1", "transaction_id": "t-1", "account_id": "a-1", "customer_id": "c-1", "payee_id": "p-1",
    "kind": "chargeback", "verdict": "fraud", "actor": "dispute:desk", "occurred_at": "2026-11-24T08:00:00+08:00",
    "supersedes": "f-0",
}  # fmt: skip
HOME = partition_of(b"c-1", 4)


def read(documents: list[dict[str, object]], partition: int = HOME) -> Decoded:
    count = len(documents)
    return decode_feedback(
        [json.dumps(document).encode() for document in documents],
        np.arange(10, 10 + count),
        np.arange(100, 100 + count),
        partition,
        4,
        trusted=lambda actor: actor.startswith("dispute:"),
    )


def test_feedback_becomes_a_row() -> None:
    row = read([{"actor": 1}, FEEDBACK]).columns[0]
    assert (row["offset"], row["timestamp"]) == (11, 101)
    assert [row[name].decode() for name in ("feedback_id", "transaction_id", "account_id", "customer_id")] == [
        "f-1",
        "t-1",
        "a-1",
        "c-1",
    ]
    assert [row[name].decode() for name in ("payee_id", "supersedes", "actor")] == ["p-1", "f-0", "dispute:desk"]
    assert row["payee_hash"] == columns.hash_id("p-1")
    assert row["occurred_at"] == 1_795_478_400_000_000
    assert (columns.FEEDBACK_KINDS[row["kind"]], columns.VERDICTS[row["verdict"]]) == ("chargeback", "fraud")


def test_an_actor_that_is_not_trusted_is_refused_after_everything_else() -> None:
    stranger = FEEDBACK | {"actor": "someone"}
    assert [refusal.reason for refusal in read([stranger, stranger | {"verdict": "x"}]).refused] == [
        "untrusted",
        "out_of_range",
    ]
    assert [refusal.reason for refusal in read([stranger], (HOME + 1) % 4).refused] == ["wrong_partition"]


def test_feedback_without_a_customer_belongs_to_its_account() -> None:
    document = {name: value for name, value in FEEDBACK.items() if name != "customer_id"}
    decoded = read([document], partition_of(b"a-1", 4))
    assert decoded.columns["customer_id"].tolist() == [b"a-1"]

"""Simulated traffic in the past, with the chargebacks that follow its frauds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import orjson

from stream.simulate import stream as simulated


def traffic(count: int, seed: int = 5) -> tuple[list[bytes], list[bytes]]:
    """Simulated transactions of the past months, and the chargebacks that follow the frauds among them."""
    start = (datetime.now(UTC) - timedelta(days=400)).date()
    transactions, feedback = [], []
    for event in islice(simulated(seed, start=start, accounts=60, fraud_rate=0.02), count):
        transactions.append(event.transaction)
        if event.truth.fraud:
            record = orjson.loads(event.transaction)
            feedback.append(
                orjson.dumps(
                    {
                        "feedback_id": f"f-{record['transaction_id']}",
                        "transaction_id": record["transaction_id"],
                        "account_id": record["account_id"],
                        "customer_id": record.get("customer_id"),
                        "payee_id": record.get("payee_id"),
                        "kind": "chargeback",
                        "verdict": "fraud",
                        "actor": "chargeback:test",
                        "occurred_at": record["event_time"],
                    }
                )
            )
    return transactions, feedback


def payments(name: str, count: int, accounts: int = 10) -> list[bytes]:
    """Payments of now, ids ``name-0`` and on, of accounts ``acc0`` and on without a customer."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return [
        orjson.dumps(
            {
                "transaction_id": f"{name}-{number}", "account_id": f"acc{number % accounts}", "payee_id": "p1",
                "event_time": at, "amount_minor": 1000, "currency": "EUR", "channel": "app", "payee_kind": "person",
            }
        )
        for number in range(count)
    ]  # fmt: skip

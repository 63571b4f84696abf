"""Simulated traffic in the past, with the chargebacks that follow its frauds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import orjson

from stream.simulate import stream as simulated

REVERSED: Final = 25
"""Every so many transactions one is the reversal of the account's last payment instead."""


def traffic(count: int, seed: int = 5) -> tuple[list[bytes], list[bytes]]:
    """Simulated transactions of the past months, reversals among them, and the chargebacks that follow the frauds."""
    start = (datetime.now(UTC) - timedelta(days=400)).date()
    transactions, feedback = [], []
    latest: dict[str, dict[str, Any]] = {}
    for number, event in enumerate(islice(simulated(seed, start=start, accounts=60, fraud_rate=0.02), count)):
        paid = orjson.loads(event.transaction)
        before = latest.get(paid["account_id"])
        if number % REVERSED == REVERSED - 1 and before is not None and not event.truth.fraud:
            names = ("payee_id", "amount_minor", "currency")
            taken_back = {"type": "reversal", "original_transaction_id": before["transaction_id"]}
            kept = {name: value for name, value in paid.items() if name not in names}
            transactions.append(orjson.dumps(kept | {name: before.get(name) for name in names} | taken_back))
            continue
        latest[paid["account_id"]] = paid
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

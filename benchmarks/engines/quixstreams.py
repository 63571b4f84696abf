"""Quix Streams with state in RocksDB and a changelog topic. At least once, as shipped.

Needs an environment of its own (``benchmarks/requirements.lock``): Quix Streams pins an older confluent-kafka.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State

from benchmarks.engines.job import LARGE_MINOR, from_command_line


def decide(transaction: dict[str, Any], state: State) -> dict[str, Any]:
    """Count and sum of the account, kept in the state of the message's key; then the decision."""
    account, amount = transaction["account_id"], transaction["amount_minor"]
    count, total = state.get(account, (0, 0))
    state.set(account, (count + 1, total + amount))
    return {
        "transaction_id": transaction["transaction_id"],
        "account_id": account,
        "outcome": "review" if amount > LARGE_MINOR else "approve",
        "count": count + 1,
        "sum_minor": total + amount,
    }


def main() -> None:
    """Run until killed."""
    job = from_command_line()
    app = Application(
        broker_address=job.broker,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.state,
        producer_extra_config={"compression.type": "lz4"},
        loglevel="WARNING",
    )
    transactions = app.topic(job.input, value_deserializer="json")
    decisions = app.topic(job.output, value_serializer="json")
    app.dataframe(transactions).apply(decide, stateful=True).to_topic(decisions)
    app.run()


if __name__ == "__main__":
    main()

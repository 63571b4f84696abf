"""Stock Faust: an agent, a table with a changelog, ``send``. At least once, as shipped."""

from __future__ import annotations

import sys

import faust
from faust.types import StreamT

from benchmarks.engines.job import Job, decision, from_command_line


def build(job: Job) -> faust.App:
    """The app of one worker."""
    app = faust.App(
        job.group,
        broker=f"kafka://{job.broker}",
        store="memory://",
        datadir=job.state,
        topic_partitions=4,
        topic_replication_factor=1,
        web_enabled=False,
        worker_redirect_stdouts=False,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
    )
    transactions = app.topic(job.input, key_serializer="raw", value_serializer="json")
    decisions = app.topic(job.output, key_serializer="raw", value_serializer="raw")
    accounts = app.Table("accounts", default=list, partitions=4)

    @app.agent(transactions)
    async def decide(events: StreamT[object]) -> None:
        async for key, transaction in events.items():
            account, amount = transaction["account_id"], transaction["amount_minor"]
            count, total = accounts[account] or (0, 0)
            accounts[account] = [count + 1, total + amount]
            value = decision(transaction["transaction_id"], account, amount, count + 1, total + amount)
            await decisions.send(key=key, value=value)

    return app


if __name__ == "__main__":
    app = build(from_command_line())
    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()

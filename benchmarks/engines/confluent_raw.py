"""The bound: a loop of confluent-kafka's consumer and producer around a dict. Nothing survives a crash.

``confluent_raw_changelog.py`` is the same loop with rows written behind.
"""

from __future__ import annotations

import struct

import orjson
from confluent_kafka import Consumer, Producer

from benchmarks.engines.job import Job, decision, from_command_line

BATCH = 500
QUEUE = 20_000
"""Bounded, as it would be at work: what is counted at the broker is then never far behind what was spent."""
ROW = struct.Struct("<qq")


def run(job: Job, *, changelog: bool) -> None:
    """Consume, decide, publish; with ``changelog`` each batch's changed rows are published before its offsets are
    committed: at least once, and the rows come back after a crash."""
    consumer = Consumer(
        {
            "bootstrap.servers": job.broker,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job.broker,
            "compression.type": "lz4",
            "linger.ms": 5,
            "enable.idempotence": True,
            "queue.buffering.max.messages": QUEUE,
        }
    )
    consumer.subscribe([job.input])
    accounts: dict[str, tuple[int, int]] = {}
    while True:
        changed: set[str] = set()
        messages = consumer.consume(BATCH, 0.05)
        for message in messages:
            transaction = orjson.loads(message.value() or b"")
            account, amount = transaction["account_id"], transaction["amount_minor"]
            count, total = accounts.get(account, (0, 0))
            row = accounts[account] = (count + 1, total + amount)
            value = decision(transaction["transaction_id"], account, amount, *row)
            while True:
                try:
                    producer.produce(job.output, value, message.key())
                    break
                except BufferError:
                    producer.poll(0.05)
            if changelog:
                changed.add(account)
        for account in changed:
            producer.produce(job.changelog, ROW.pack(*accounts[account]), account)
        producer.poll(0)
        if messages:
            if changelog:
                producer.flush()
            consumer.commit(asynchronous=True)


if __name__ == "__main__":
    run(from_command_line(), changelog=False)

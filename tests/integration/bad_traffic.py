"""Traffic of a bad day: simulated payments with repeats, late ones, poison among them and one payee that half go to."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from stream.core.edge.partition import partition_of
from stream.log.reader import KafkaReader
from stream.log.records import Place, Record
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify
from stream.simulate import stream as simulated

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
PARTITIONS = 4
POISON = (b"{", b"\xff\xfe", b"[]", b'{"transaction_id": "half"', b'{"amount_minor": "12"}')


@dataclass
class BadTraffic:
    """Records in the order they are sent, and what must become of them."""

    records: list[tuple[str, bytes, bytes, int]] = field(default_factory=list)
    """Topic, key, value, partition."""
    expected: Counter[str] = field(default_factory=Counter)
    """decided, duplicate, dead, label, late."""

    def add(self, expect: str, topic: str, key: bytes, value: bytes, *, elsewhere: int = 0) -> None:
        self.expected[expect] += 1
        self.records.append((topic, key, value, (partition_of(key, PARTITIONS) + elsewhere) % PARTITIONS))


def bad_traffic(payments: int, seed: int) -> BadTraffic:
    """So many payments, and everything else among them."""
    chance, traffic = random.Random(seed), BadTraffic()
    sent: dict[bytes, list[bytes]] = {}
    # some 130 payments a day: all of them lie in the past, or they would be dead letters "future"
    start = (datetime.now(UTC) - timedelta(days=60 + payments / 100)).date()
    for number, event in enumerate(islice(simulated(seed, start=start, accounts=60, fraud_rate=0.02), payments)):
        payment = orjson.loads(event.transaction)
        if number % 2:
            payment["payee_id"] = "hot-payee"
        key = (payment.get("customer_id") or payment["account_id"]).encode()
        if chance.random() < 0.01:
            at = datetime.fromisoformat(payment["event_time"]) - timedelta(days=2)
            payment["event_time"] = at.isoformat()
        value = orjson.dumps(payment)
        traffic.add("decided", TRANSACTIONS, key, value)
        sent.setdefault(key, []).append(value)
        _trouble(traffic, chance, key, sent[key], number)
        if event.truth.fraud:
            traffic.add("label", FEEDBACK, key, _chargeback(payment))
    return traffic


def _trouble(traffic: BadTraffic, chance: random.Random, key: bytes, sent: list[bytes], number: int) -> None:
    what = chance.random()
    if what < 0.03:
        traffic.add("duplicate", TRANSACTIONS, key, chance.choice(sent[-6:]))  # A, or A B A
    elif what < 0.04:
        traffic.add("dead", TRANSACTIONS, key, chance.choice(POISON))
    elif what < 0.045:
        altered = orjson.loads(sent[-1])
        traffic.add("dead", TRANSACTIONS, key, orjson.dumps(altered | {"amount_minor": altered["amount_minor"] + 1}))
    elif what < 0.05:
        lost = orjson.loads(sent[-1]) | {"transaction_id": f"astray-{number}"}
        traffic.add("dead", TRANSACTIONS, key, orjson.dumps(lost), elsewhere=1)
    elif what < 0.055:
        traffic.add("dead", FEEDBACK, key, _chargeback(orjson.loads(sent[-1]), actor="mallory"))


def _chargeback(payment: dict[str, Any], actor: str = "chargeback:test") -> bytes:
    return orjson.dumps(
        {
            "feedback_id": f"f-{payment['transaction_id']}-{actor}",
            "kind": "chargeback",
            "verdict": "fraud",
            "actor": actor,
            "occurred_at": payment["event_time"],
            **{name: payment.get(name) for name in ("transaction_id", "account_id", "customer_id", "payee_id")},
        }
    )


class Sender(threading.Thread):
    """Sends at a rate, while the test does its worst."""

    def __init__(self, line: Any, traffic: BadTraffic, rate: float) -> None:
        super().__init__(name="sender", daemon=True)
        self._line, self._traffic, self._rate = line, traffic, rate
        self.unsent = len(traffic.records)
        self.start()

    def run(self) -> None:
        producer = self._line.producer()
        began = time.monotonic()
        for number, (topic, key, value, partition) in enumerate(self._traffic.records):
            producer.produce(self._line.settings.topic(topic), value, key, partition)
            if number % 50 == 0:
                producer.poll(0)
                time.sleep(max(0.0, began + number / self._rate - time.monotonic()))
        self.unsent = producer.flush(60)


def outcome(line: Any) -> Counter[str]:
    """What became of all records, counted from the topics."""
    decisions = [orjson.loads(r.value) for r in line.records("risk.decisions.v1")]
    batches = [orjson.loads(r.value) for r in line.records("riskstream-accounts-batches")]
    learning = line.records("risk.learning.v1")
    found = Counter(
        decided=len(decisions),
        duplicate=sum(batch["duplicates"] for batch in batches),
        dead=len(line.records(f"{TRANSACTIONS}.dlq")) + len(line.records(f"{FEEDBACK}.dlq")),
        label=sum(1 for r in learning if "riskstream.source" in dict(r.headers)),
    )
    return found


def assert_exact(line: Any, traffic: BadTraffic) -> None:
    """Invariants 1, 2, 3: one decision an id, each input partition balanced, the oracle's bytes."""
    decisions = [orjson.loads(record.value) for record in line.records("risk.decisions.v1")]
    ids = Counter(decision["transaction_id"] for decision in decisions)
    assert max(ids.values()) == 1, [name for name, count in ids.items() if count > 1][:10]
    assert outcome(line) == traffic.expected
    assert any("late" in decision["flags"] for decision in decisions)
    for partition, balance in balances(line).items():
        assert balance["records"] == balance["decided"] + balance["duplicate"] + balance["dead"], (partition, balance)
    result = verify(LiveRecord(line.settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    assert result.counts["decision"] == traffic.expected["decided"]
    status = line.command("status", "--json")
    told = orjson.loads(status.stdout.splitlines()[-1])
    assert status.returncode == 0, status.stderr
    assert told["balanced"], told


def committed(line: Any, topic: str, partition: int) -> list[Record]:
    """Committed records of one partition."""
    reader = KafkaReader(line.settings)
    try:
        return [r for chunk in reader.read(Place(line.settings.topic(topic), partition), 0) for r in chunk]
    finally:
        reader.close()


def balances(line: Any) -> dict[tuple[str, int], Counter[str]]:
    """Records, decided, duplicate and dead of every input partition, by the headers of what they led to."""
    found: dict[tuple[str, int], Counter[str]] = {}
    for name, led_to in ((TRANSACTIONS, "risk.decisions.v1"), (FEEDBACK, "risk.learning.v1")):
        for partition in range(PARTITIONS):
            found[name, partition] = Counter(records=len(committed(line, name, partition)))
        for record in line.records(led_to):
            source = dict(record.headers).get("riskstream.source")
            if source is not None:
                found[name, int(source.split(b"/")[1])]["decided"] += 1
        for record in line.records(f"{name}.dlq"):
            found[name, int(dict(record.headers)["__connect.errors.partition"])]["dead"] += 1
    for partition in range(PARTITIONS):
        batches = committed(line, "riskstream-accounts-batches", partition)
        duplicates = sum(orjson.loads(r.value)["duplicates"] for r in batches)
        found[TRANSACTIONS, partition]["duplicate"] += duplicates
    return found

"""Invariants 1 (conservation), 2 (exactly once) and 3 (determinism) on a real Kafka, by the oracle."""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from plain_traffic import traffic

from stream.contracts.decision import Decision
from stream.core.edge.partition import partition_of
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify

CORPUS = Path(__file__).parents[1] / "corpus" / "line.jsonl"


def decided(line: Any) -> int:
    return len(line.records("risk.decisions.v1"))


def assert_exact(line: Any, sent: int) -> None:
    """One decision each, equal to the oracle's byte for byte; frames, alerts and labels too."""
    decisions = [orjson.loads(record.value) for record in line.records("risk.decisions.v1")]
    assert len(decisions) == sent
    assert max(Counter(d["transaction_id"] for d in decisions).values()) == 1
    result = verify(LiveRecord(line.settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    assert result.counts["decision"] == sent


def test_a_killed_worker_among_two_loses_and_repeats_nothing(line: Any, until: Any, tmp_path: Path) -> None:
    transactions, feedback = traffic(6000)
    first, _second = line.worker(), line.worker()
    line.send("bank.transactions.v1", transactions[:2000])
    until(lambda: decided(line) >= 1000, "the first decisions")
    line.send("bank.feedback.v1", feedback)
    line.send("bank.transactions.v1", transactions[2000:4000], pause=0.02)
    first.kill()
    line.worker()
    policy = tmp_path / "packs"
    policy.mkdir()
    (policy / "person_transfer.yaml").write_text(PACK)
    published = line.command("policy", "publish", str(policy), "--by", "chen", "--json")
    assert published.returncode == 0, published.stderr
    version = orjson.loads(published.stdout.splitlines()[-1])["version"]
    assert line.command("policy", "approve", version, "--by", "chen").returncode == 1
    assert line.command("policy", "approve", version, "--by", "okafor").returncode == 0
    # a dozen seconds of traffic: an approved policy is promised to take effect within ten
    line.send("bank.transactions.v1", transactions[4000:5000], pause=0.6)
    until(lambda: {r.key[:3] for r in line.records("risk.models.v1", 1)} > {b"m0-"}, "a model to be learned", 60)
    line.send("bank.transactions.v1", transactions[5000:], pause=1.2)
    until(lambda: decided(line) == len(transactions), "every transaction to be decided", 90)
    last = [orjson.loads(r.value) for r in line.records("risk.decisions.v1")]
    assert len({d["model_version"] for d in last}) > 1, "no model was learned in mid-run"
    assert version in {d["policy_version"] for d in last}, "the approved policy never decided"
    assert_exact(line, len(transactions))


PACK = """\
pack: person_transfer
scenario: person_transfer
match: payee_kind == "person"
thresholds: {remind: 3000, challenge_light: 9000, challenge_strong: 40000, review: 200000}
"""


def test_sigterm_drains_and_exits_with_zero_and_a_restart_goes_on_with_the_other_client(line: Any, until: Any) -> None:
    transactions, _ = traffic(1500, seed=6)
    worker = line.worker(kafka_client="portable")
    line.send("bank.transactions.v1", transactions[:700])
    until(lambda: decided(line) > 0, "the first decision")
    worker.terminate()
    assert worker.wait(30) == 0
    line.send("bank.transactions.v1", transactions[700:])
    line.worker()
    until(lambda: decided(line) == len(transactions), "the rest after the restart")
    assert_exact(line, len(transactions))


def test_every_record_of_the_corpus_ends_as_the_contract_says(line: Any, until: Any) -> None:
    cases = [orjson.loads(row) for row in CORPUS.read_bytes().splitlines()]
    line.worker()
    producer = line.producer()
    now = datetime.now(UTC)
    topic = line.settings.topic("bank.transactions.v1")
    for case in cases:
        key = case["key"].encode()
        partition = partition_of(key, 4)
        producer.produce(
            topic, _value(case, now), key, (partition + 1) % 4 if case.get("partition") == "wrong" else partition
        )
    assert producer.flush(30) == 0
    expected = Counter(case["expect"] for case in cases)
    until(
        lambda: (
            decided(line) == expected["decided"] and len(line.records("bank.transactions.v1.dlq")) == expected["dead"]
        ),
        "decisions and dead letters",
    )
    dead = Counter(
        (record.key, dict(record.headers)["riskstream.reason"].decode())
        for record in line.records("bank.transactions.v1.dlq")
    )
    assert dead == Counter((case["key"].encode(), case["reason"]) for case in cases if case["expect"] == "dead")
    line.send("bank.transactions.v1", [ordinary(now)])
    until(lambda: decided(line) == expected["decided"] + 1, "an ordinary transaction after all of them")
    for record in line.records("risk.decisions.v1"):
        Decision.model_validate_json(record.value)
    batches = [orjson.loads(r.value) for r in line.records("riskstream-accounts-batches")]
    assert sum(batch["duplicates"] for batch in batches) == expected["duplicate"]


def ordinary(now: datetime) -> bytes:
    return orjson.dumps(
        {
            "transaction_id": "ordinary",
            "account_id": "ordinary",
            "event_time": now.isoformat(),
            "amount_minor": 100,
            "currency": "EUR",
            "channel": "app",
        }
    )


def _value(case: dict[str, Any], now: datetime) -> bytes | None:
    if case.get("value_null"):
        return None
    if "value_b64" in case:
        return base64.b64decode(case["value_b64"])
    text: str = case["value"]

    def instant(match: re.Match[str]) -> str:
        what = match.group(1)
        if what == "+0800":
            return (now + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S+08:00")
        if what.startswith("."):
            return now.strftime("%Y-%m-%dT%H:%M:%S") + what + "Z"
        return (now + timedelta(seconds=int(what or "0"))).strftime("%Y-%m-%dT%H:%M:%SZ")

    return re.sub(r"\{now([^}]*)\}", instant, text).encode()


def test_records_of_megabytes_become_dead_letters_whole_and_stop_nothing(line: Any, until: Any) -> None:
    line.worker()
    producer = Producer(
        {"bootstrap.servers": line.settings.broker, "partitioner": "murmur2_random", "message.max.bytes": 4 << 20}
    )
    topic = line.settings.topic("bank.transactions.v1")
    for size in (2 << 20, (4 << 20) - 2048):
        producer.produce(topic, b"x" * size, b"big")
    assert producer.flush(30) == 0
    line.send("bank.transactions.v1", [ordinary(datetime.now(UTC))])
    until(
        lambda: decided(line) == 1 and len(line.records("bank.transactions.v1.dlq")) == 2, "decision and dead letters"
    )
    dead = line.records("bank.transactions.v1.dlq")
    assert sorted(len(record.value) for record in dead) == [2 << 20, (4 << 20) - 2048]
    assert {dict(record.headers)["riskstream.reason"] for record in dead} == {b"too_large"}


def test_a_broken_pack_refuses_to_start_and_says_where(line: Any, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "p.yaml").write_text(
        "pack: p\nscenario: ecommerce\nmatch: 'amount_minor >'\nthresholds: {review: 9}\n"
    )
    worker = line.worker(packs=str(tmp_path / "bad"))
    assert worker.wait(60) == 1
    assert "p.yaml:3:" in line.log(0)


def test_verification_names_a_tampered_decision_and_a_forged_one(line: Any, until: Any) -> None:
    transactions, feedback = traffic(400, seed=12)
    line.worker()
    line.send("bank.transactions.v1", transactions[:300])
    until(lambda: decided(line) == 300, "decisions")
    line.send("bank.feedback.v1", feedback)
    line.send("bank.transactions.v1", transactions[300:])
    until(lambda: decided(line) == 400, "the rest")
    topic = line.settings.topic("risk.decisions.v1")
    honest = line.command("replay", "--verify", topic, "--json")
    assert honest.returncode == 0, honest.stdout + honest.stderr
    assert orjson.loads(honest.stdout.splitlines()[-1])["compared"]["decision"] == 400
    line.stop()
    record = line.records("risk.decisions.v1")[7]
    forged = record.value.replace(b'"risk_ppm":', b'"risk_ppm":1')
    producer = line.producer()
    producer.produce(topic, forged, record.key, headers=list(record.headers))
    assert producer.flush(30) == 0
    told = line.command("replay", "--verify", topic, "--json")
    assert told.returncode == 1
    where = dict(record.headers)["riskstream.profiled"].decode()
    said = orjson.loads(told.stdout.splitlines()[-1])["differences"]
    assert any(d["where"] == where and "risk_ppm is 1" in d["what"] for d in said), said
    assert any(d["where"] == where and "a second decision" in d["what"] for d in said), said


def test_a_producers_retry_is_one_decision(line: Any, until: Any) -> None:
    transactions, _ = traffic(50, seed=7)
    line.worker()
    line.send("bank.transactions.v1", transactions)
    line.send("bank.transactions.v1", transactions)
    until(lambda: decided(line) == 50 and _taken(line) == 100, "all records to be taken")
    assert_exact(line, 50)


def _taken(line: Any) -> int:
    batches = [orjson.loads(r.value) for r in line.records("riskstream-accounts-batches")]
    return sum(batch["transactions"][1] - batch["transactions"][0] for batch in batches)


@pytest.mark.timeout(240)
def test_a_broker_that_stops_and_starts_again_loses_nothing(
    own_kafka: Any, line_class: Any, tmp_path: Path, until: Any
) -> None:
    from stream.log.topics import ensure_topics
    from stream.settings import Settings

    settings = Settings(broker=own_kafka.bootstrap, topic_prefix="outage-")
    ensure_topics(settings)
    line = line_class(settings, tmp_path)
    try:
        transactions, _ = traffic(2000, seed=8)
        line.worker()
        line.send("bank.transactions.v1", transactions[:1000])
        until(lambda: decided(line) > 200, "decisions before the outage")
        own_kafka.restart()
        line.send("bank.transactions.v1", transactions[1000:])
        began = time.monotonic()
        until(lambda: decided(line) == len(transactions), "decisions after the outage", 120)
        assert time.monotonic() - began < 120
        assert line.workers[0].poll() is None, line.log(0)[-3000:]
        assert_exact(line, len(transactions))
    finally:
        line.stop()

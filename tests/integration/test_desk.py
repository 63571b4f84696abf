"""The desk on a real Kafka: alerts, verdicts, counts and state of a line that met every kind of record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stream.brokers.kafka import DevelopmentKafka
from stream.contracts.alert import Alert
from stream.core.edge.partition import partition_of
from stream.core.frame.frame import FORWARDED, PROFILED, encode_frame
from stream.demo.demonstration_traffic import chargeback
from stream.demo.worker_process import WorkerProcess, environment_of
from stream.desk.alert_topic import find_alert, find_resolution, follow_alerts
from stream.desk.conservation import Balance, count
from stream.log.connect import consumer_config, producer_config
from stream.log.topics import ensure_topics
from stream.settings import Settings
from stream.simulate import Event, stream
from stream.versions.model_records import DRIFT_KEY

pytestmark = pytest.mark.kafka

PAYMENTS = 3_000
ACCOUNTS = 20
"""So few that their payments reach over six weeks: rules on a first payment wait until an account is known for four."""
DUPLICATES, CONFLICTS, BROKEN, UNTRUSTED = 5, 3, 4, 2
TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
WAIT_S = 120.0


@dataclass
class FedLine:
    """A line that was fed, its worker, and what it was fed with."""

    settings: Settings
    worker: WorkerProcess
    chargebacks: int


@pytest.fixture(scope="module")
def fed(kafka: DevelopmentKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FedLine]:
    folder = tmp_path_factory.mktemp("desk")
    settings = Settings(
        broker=kafka.bootstrap,
        topic_prefix=f"desk{os.getpid()}-",
        metrics_port=0,
        data_directory=str(folder),
        maturity_days=7,  # customers are known, and alerts come, within some thousand payments
    )
    ensure_topics(settings)
    worker = WorkerProcess(settings, folder / "worker.log")
    try:
        chargebacks = _feed(settings)
        _wait(lambda: _empty(count(settings)), worker)
        yield FedLine(settings, worker, chargebacks)
    finally:
        worker.stop()


def _feed(settings: Settings) -> int:
    producer = Producer(producer_config(settings))
    events = list(islice(stream(seed=2, start=date(2026, 1, 1), accounts=ACCOUNTS), PAYMENTS))

    def send(topic: str, value: bytes | None, key: bytes, partition: int = -1) -> None:
        producer.produce(settings.topic(topic), value, key, partition)
        producer.poll(0)

    for event in events:
        send(TRANSACTIONS, event.transaction, event.key)
    for event in events[-DUPLICATES:]:
        send(TRANSACTIONS, event.transaction, event.key)
    for event in events[-CONFLICTS:]:
        send(TRANSACTIONS, _altered(event), event.key)
    first = events[0]
    send(TRANSACTIONS, b"{", first.key)
    send(TRANSACTIONS, b"\xff\xfe", first.key)
    send(TRANSACTIONS, None, first.key)
    send(TRANSACTIONS, first.transaction, first.key, (partition_of(first.key, 4) + 1) % 4)
    producer.flush(30)
    frauds = [event for event in events if event.truth.fraud]
    for event in frauds:
        send(FEEDBACK, json.dumps(chargeback(event)).encode(), event.key)
    for event in events[:UNTRUSTED]:
        send(FEEDBACK, json.dumps(chargeback(event) | {"actor": "somebody"}).encode(), event.key)
    assert producer.flush(30) == 0
    assert frauds
    return len(frauds)


def _empty(balances: list[Balance]) -> bool:
    """Whether nothing is in flight; the sum holds all the while the line runs."""
    assert all(balance.balanced for balance in balances), balances
    return all(balance.in_flight == 0 for balance in balances)


def _altered(event: Event) -> bytes:
    transaction = json.loads(event.transaction)
    return json.dumps(transaction | {"amount_minor": transaction["amount_minor"] + 1}).encode()


def _wait(arrived: Callable[[], bool], worker: WorkerProcess) -> None:
    deadline = time.monotonic() + WAIT_S
    while not arrived():
        worker.check()
        assert time.monotonic() < deadline, worker.log_end()
        time.sleep(0.2)  # between questions to the broker, not for time to pass


def run(fed: FedLine, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        env=environment_of(fed.settings),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def totals(balances: list[Balance], topic: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for balance in balances:
        if balance.place.topic.endswith(topic):
            found.update(
                {name: getattr(balance, name) for name in ("records", "decided", "duplicate", "dead", "in_flight")}
            )
    return found


def test_status_counts_every_record_by_what_became_of_it(fed: FedLine) -> None:
    called = run(fed, "status", "--json")
    document = json.loads(called.stdout.splitlines()[-1])
    assert (called.returncode, document["balanced"]) == (0, True), called.stderr
    balances = count(fed.settings)
    dead = CONFLICTS + BROKEN
    fed_in = PAYMENTS + DUPLICATES + dead
    assert totals(balances, TRANSACTIONS) == {
        "records": fed_in, "decided": PAYMENTS, "duplicate": DUPLICATES, "dead": dead, "in_flight": 0,
    }  # fmt: skip
    assert totals(balances, FEEDBACK)["dead"] == UNTRUSTED
    assert totals(balances, FEEDBACK)["decided"] >= fed.chargebacks
    for told in document["partitions"]:
        assert told["end"] - told["start"] == told["records"]  # this bank writes without transactions


@pytest.mark.parametrize(("decisions", "balanced"), [((0,), False), ((0, 1), True), ((0, 1, 1), False)])
def test_status_finds_a_decision_that_is_missing_or_came_twice(
    kafka_settings: Settings, decisions: tuple[int, ...], balanced: bool
) -> None:
    """A line by hand: two transactions that the group says it has read, one frame, and these decisions."""
    settings = kafka_settings
    ensure_topics(settings)
    topic = settings.topic
    producer = Producer(producer_config(settings))
    for number in range(2):
        producer.produce(topic(TRANSACTIONS), b"{}", partition=0)
        assert producer.flush(30) == 0, number
    for source in decisions:
        headers = {
            "riskstream.source": f"{topic(TRANSACTIONS)}/0/{source}".encode(),
            "riskstream.profiled": f"{topic('risk.profiled.v1')}/0/0/{source}".encode(),
        }
        producer.produce(topic("risk.decisions.v1"), b"{}", partition=0, headers=dict(headers))
    frame = encode_frame(np.zeros(0, PROFILED), np.zeros(0, FORWARDED))
    producer.produce(topic("risk.profiled.v1"), frame, partition=0)
    report = {"kind": "tail", "scenario": "ecommerce", "at": "2026-01-01T00:00:00Z", "seen": 12.0, "expected": 2.5,
              "moved": [{"feature": "device_new", "stability_index": 1.2}], "examples": ["t1"]}  # fmt: skip
    producer.produce(topic("risk.models.v1"), json.dumps({"reports": [report]}), DRIFT_KEY, partition=0)
    assert producer.flush(30) == 0
    group = Consumer(consumer_config(settings, settings.group))
    stands = [TopicPartition(topic(TRANSACTIONS), 0, 2), TopicPartition(topic("risk.profiled.v1"), 0, 1)]
    group.commit(offsets=stands, asynchronous=False)
    group.close()
    called = subprocess.run(
        [sys.executable, "-m", "stream.cli", "status", "--json"],
        env=environment_of(settings), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = json.loads(called.stdout.splitlines()[-1])
    assert (called.returncode, told["balanced"]) == (0 if balanced else 1, balanced)
    first = told["partitions"][0]
    assert (first["records"], first["decided"], first["in_flight"]) == (2, len(decisions), 0)
    assert told["drift"] == [report]
    assert "drift: tail in ecommerce until 2026-01-01T00:00:00Z: 12 where 2.5 are usual" in called.stderr


def test_alerts_are_told_in_both_languages_and_fit_the_contract(fed: FedLine) -> None:
    as_json = run(fed, "alerts", "tail", "--no-follow", "--json")
    alerts = [Alert.model_validate_json(line) for line in as_json.stdout.splitlines()]
    assert alerts, "the simulated bank gives alerts within its first 3,000 payments"
    told = run(fed, "alerts", "tail", "--no-follow").stdout
    for alert in alerts:
        assert alert.decision.reasons is not None
        reviewer = alert.decision.reasons.reviewer
        assert reviewer.zh in told
        assert reviewer.en in told
        assert alert.alert_id in told
    assert run(fed, "alerts", "tail", "--limit", "1", "--json").stdout.count("\n") == 1


def test_a_group_goes_on_behind_the_last_alert_it_printed(fed: FedLine) -> None:
    everything = [alert["alert_id"] for alert in follow_alerts(fed.settings, stay=False)]
    read: list[str] = []
    for limit in (1, 2, None):
        read += [a["alert_id"] for a in follow_alerts(fed.settings, group="shift", stay=False, limit=limit)]
    assert sorted(read) == sorted(everything)


def test_a_verdict_is_written_under_its_transactions_key_and_taken(fed: FedLine) -> None:
    alert_id = next(follow_alerts(fed.settings, stay=False))["alert_id"]
    before = totals(count(fed.settings), FEEDBACK)
    called = run(fed, "review", alert_id, "--genuine", "--actor", "reviewer:test", "--json")
    # these payments are of long ago: their holds have ended, which is said, and the verdict teaches all the same
    assert (called.returncode, "no longer decides" in called.stderr) == (1, True), called.stderr
    written = json.loads(called.stdout.splitlines()[-1])
    found = find_alert(fed.settings, alert_id)
    assert written["partition"] == partition_of(found.key or b"", 4)
    _wait(lambda: totals(count(fed.settings), FEEDBACK)["decided"] == before["decided"] + 1, fed.worker)
    assert totals(count(fed.settings), FEEDBACK)["dead"] == before["dead"]


def test_an_id_that_two_accounts_share_asks_which_and_a_hold_ends_once(fed: FedLine) -> None:
    alert = dict(next(follow_alerts(fed.settings, stay=False)))
    producer = Producer(producer_config(fed.settings))
    for account in ("acc-a", "acc-b"):
        decision = alert["decision"] | {"transaction_id": "000017", "account_id": account, "customer_id": account}
        shared = alert | {"alert_id": "000017", "decision": decision, "hold_expires_at": "2099-01-01T00:00:00Z"}
        producer.produce(fed.settings.topic("risk.alerts.v1"), json.dumps(shared).encode(), account.encode())
    assert producer.flush(30) == 0
    asked = run(fed, "review", "000017", "--genuine", "--actor", "reviewer:test")
    assert asked.returncode == 2, asked.stderr
    assert all(word in asked.stderr for word in ("acc-a", "acc-b", "--account"))
    arguments = ("review", "000017", "--account", "acc-b", "--actor", "reviewer:test", "--json")
    called = run(fed, *arguments, "--genuine")
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout.splitlines()[-1])["account_id"] == "acc-b"
    ended, open_still = (find_alert(fed.settings, "000017", account).alert for account in ("acc-b", "acc-a"))
    _wait(lambda: find_resolution(fed.settings, ended) is not None, fed.worker)
    assert find_resolution(fed.settings, open_still) is None
    again = run(fed, *arguments, "--fraud")
    assert (again.returncode, "release, cause reviewer" in again.stderr) == (1, True), again.stderr


def test_feedback_that_comes_again_is_counted_as_a_duplicate(fed: FedLine) -> None:
    alert = next(follow_alerts(fed.settings, stay=False))
    before = totals(count(fed.settings), FEEDBACK)
    decision = alert["decision"]
    record = {name: decision[name] for name in ("transaction_id", "account_id", "customer_id")} | {
        "feedback_id": "told-again", "kind": "chargeback", "verdict": "fraud", "actor": "chargeback:test",
        "occurred_at": decision["event_time"],
    }  # fmt: skip
    producer = Producer(producer_config(fed.settings))
    for _ in range(5):
        producer.produce(fed.settings.topic(FEEDBACK), json.dumps(record).encode(), decision["customer_id"].encode())
    assert producer.flush(30) == 0
    _wait(lambda: totals(count(fed.settings), FEEDBACK)["decided"] == before["decided"] + 1, fed.worker)
    _wait(lambda: _empty(count(fed.settings)), fed.worker)
    assert totals(count(fed.settings), FEEDBACK)["duplicate"] == before["duplicate"] + 4


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("t-nobody", "--fraud"), 1, "not among"),
        (("{alert}", "--fraud", "--actor", "somebody"), 1, "does not trust"),
        (("{alert}",), 2, "--inconclusive"),
    ],
)
def test_a_verdict_that_cannot_be_sent_says_why(
    fed: FedLine, arguments: tuple[str, ...], status: int, words: str
) -> None:
    alert_id = next(follow_alerts(fed.settings, stay=False))["alert_id"]
    before = totals(count(fed.settings), FEEDBACK)
    called = run(fed, "review", *(argument.format(alert=alert_id) for argument in arguments))
    assert (called.returncode, words in called.stderr) == (status, True), called.stderr
    assert totals(count(fed.settings), FEEDBACK) == before


def test_state_dump_is_repeatable_sorted_and_names_its_offsets_and_model(fed: FedLine) -> None:
    called = run(fed, "state", "dump", "--json")
    assert called.returncode == 0, called.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in called.stdout.splitlines()]
    assert lines[-1].keys() == {"model_version", "model_digest"}
    partitions = [line for line in lines if line.get("kind") == "partition"]
    accounts = [line["key"] for line in lines if line.get("kind") == "account"]
    payees = [line["key"] for line in lines if line.get("kind") == "payee"]
    assert accounts == sorted(set(accounts))
    assert payees == sorted(payees)
    assert sum(line["accounts"] for line in partitions) == len(accounts)
    assert sum(line["payees"] for line in partitions) == len(payees)
    # an attempt counts once, whatever came twice
    assert sum(line["attempts"] for line in lines if line.get("kind") == "account") == PAYMENTS
    ends = {(b.place.topic, b.place.partition): b.cut for b in count(fed.settings)}
    for line in partitions:
        for topic in (TRANSACTIONS, FEEDBACK):
            name = fed.settings.topic(topic)
            assert line["offsets"][name] == ends[name, line["partition"]]
    again = run(fed, "state", "dump", "--json")
    assert again.stdout.splitlines()[:-1] == called.stdout.splitlines()[:-1]


def test_the_desk_names_a_line_that_is_not_there(fed: FedLine, tmp_path: Path) -> None:
    for arguments in (("status",), ("state", "dump"), ("alerts", "tail"), ("review", "t1", "--fraud")):
        called = run(fed, *arguments, "--topic-prefix", "nobody-")
        assert (called.returncode, "nobody-" in called.stderr) == (1, True), called.stderr
    # waits for a broker that does not answer: once
    assert run(fed, "status", "--broker", "127.0.0.1:1").returncode == 3

"""The holds agent on a real Kafka: every review ends once, by verdict or expiry, whoever is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from prometheus_client import CollectorRegistry

from stream.arrays.rfc3339 import render
from stream.brokers.embedded import EmbeddedBroker
from stream.contracts.resolution import Resolution
from stream.core.edge.partition import partition_of
from stream.log.connect import consumer_config, producer_config
from stream.log.credentials import librdkafka
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.topics import ensure_topics, partition_counts
from stream.settings import Settings
from stream.worker.agents.holds_agent import HoldsAgent
from stream.worker.agents.holds_session import FEEDBACK_READ

pytestmark = pytest.mark.kafka

NOW = time.time_ns() // 1_000_000 * 1_000  # whole milliseconds, as Kafka stamps records
HOUR = 3_600_000_000
PATIENCE_S = 40.0
HOLDER = """
import logging, sys
from prometheus_client import CollectorRegistry
from stream.settings import Settings
from stream.worker.agents.holds_agent import HoldsAgent
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
settings = Settings(broker=sys.argv[1], topic_prefix=sys.argv[2], transaction_timeout_ms=5000)
HoldsAgent(settings, lambda actor: actor.startswith("reviewer:"), CollectorRegistry()).run()
"""


class Bank:
    """Writes alerts and feedback, reads resolutions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = Producer({**producer_config(settings), "linger.ms": 0})
        self._consumer = Consumer({**consumer_config(settings, "test"), "fetch.wait.max.ms": 50})
        self._consumer.subscribe([settings.topic("risk.resolutions.v1")])
        self.resolutions: list[dict[str, Any]] = []
        self.headers: list[dict[str, bytes]] = []

    def alert(self, name: str, expires_at: int, on_expiry: str = "release", outcome: str = "review") -> None:
        decision = {"transaction_id": name, "account_id": f"a-{name}", "customer_id": f"c-{name}", "outcome": outcome}
        decision["scenario"] = "other"
        record = {
            "alert_id": name, "decision": decision, "priority_milli": 1, "due_at": render(expires_at),
            "hold_expires_at": render(expires_at), "on_expiry": on_expiry,
        }  # fmt: skip
        self.send("risk.alerts.v1", name, orjson.dumps(record))

    def challenge(self, name: str, expires_at: int, on_expiry: str = "decline") -> None:
        record = {
            "transaction_id": name, "account_id": f"a-{name}", "customer_id": f"c-{name}", "scenario": "other",
            "amount_minor": 1_250, "currency": "EUR", "challenge_expires_at": render(expires_at), "on_expiry": on_expiry,
        }  # fmt: skip
        self.send("riskstream-challenges", name, orjson.dumps(record))

    def verdict(
        self, name: str, verdict: str, kind: str = "review", actor: str = "reviewer:li.wei", at: int | None = None
    ) -> None:
        record = {
            "feedback_id": f"f-{name}-{verdict}", "transaction_id": name, "account_id": f"a-{name}",
            "customer_id": f"c-{name}", "kind": kind, "verdict": verdict, "actor": actor, "occurred_at": render(NOW),
        }  # fmt: skip
        self.send("bank.feedback.v1", name, orjson.dumps(record), at)

    def obligation(self, name: str, due_at: int) -> None:
        decision = {"transaction_id": name, "account_id": f"a-{name}", "customer_id": f"c-{name}", "outcome": "remind"}
        alert = {
            "alert_id": name, "decision": decision, "priority_milli": 1, "due_at": render(due_at + HOUR),
            "hold_expires_at": render(due_at + HOUR), "on_expiry": "release",
        }  # fmt: skip
        self.send("riskstream-obligations", name, orjson.dumps({"due_at": render(due_at), "alert": alert}))

    def escalated(self, count: int) -> list[str]:
        """Waits for so many escalations, and a second more; sorted ids of all."""
        consumer = Consumer({**consumer_config(self.settings, "escalations"), "fetch.wait.max.ms": 50})
        consumer.subscribe([self.settings.topic("riskstream-escalations")])
        found: list[str] = []
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is None or message.error():
                continue
            found.append(orjson.loads(message.value())["alert_id"])
            if len(found) == count:
                until = min(until, time.monotonic() + 1.0)
        consumer.close()
        return sorted(found)

    def send(self, topic: str, name: str, value: bytes, at: int | None = None) -> None:
        stamp = {} if at is None else {"timestamp": at // 1000}
        self._producer.produce(self.settings.topic(topic), value, f"c-{name}", **stamp)
        assert self._producer.flush(20) == 0

    def send_to(self, topic: str, partition: int, value: bytes) -> None:
        self._producer.produce(self.settings.topic(topic), value, partition=partition)
        assert self._producer.flush(20) == 0

    def ended(self, count: int) -> list[tuple[str, str, str]]:
        """Waits for so many resolutions: transaction, result, cause; sorted."""
        self._read(lambda: len(self.resolutions) >= count)
        assert len(self.resolutions) >= count, f"only {self.resolutions} within {PATIENCE_S:.0f} s"
        return sorted((r["transaction_id"], r["result"], r["cause"]) for r in self.resolutions)

    def all_ended(self) -> list[tuple[str, str, str]]:
        """What has ended when everything sent so far was handled: a mark in every partition was."""
        partitions = ensure_topics(self.settings)
        names = {partition_of(f"c-mark-{n}".encode(), partitions): f"mark-{n}" for n in range(100)}
        assert len(names) == partitions
        for name in names.values():
            self.alert(name, NOW + HOUR)
            self.verdict(name, "genuine")
        self._read(lambda: set(names.values()) <= {r["transaction_id"] for r in self.resolutions})
        return [end for end in self.ended(partitions) if not end[0].startswith("mark-")]

    def _read(self, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not enough() and time.monotonic() < until:
            message = self._consumer.poll(0.2)
            if message is None or (message.error() and message.error().code() == KafkaError._PARTITION_EOF):
                continue
            assert message.error() is None, message.error()
            Resolution.model_validate_json(message.value())
            assert message.key() == f"c-{orjson.loads(message.value())['transaction_id']}".encode()
            self.resolutions.append(orjson.loads(message.value()))
            self.headers.append(dict(message.headers() or ()))

    def close(self) -> None:
        self._consumer.close()


def make_feedback_stamped_by_senders(settings: Settings) -> None:
    """As a bank may have made it: a test can then say when a verdict was stamped."""
    client = AdminClient(librdkafka(settings))
    topic = NewTopic(
        settings.topic("bank.feedback.v1"), settings.partitions, 1, config={"message.timestamp.type": "CreateTime"}
    )
    for made in client.create_topics([topic]).values():
        made.result(20)


@pytest.fixture
def bank(kafka_settings: Settings) -> Iterator[Bank]:
    settings = kafka_settings.model_copy(update={"partitions": 2})
    make_feedback_stamped_by_senders(settings)
    ensure_topics(settings)
    bank = Bank(settings)
    yield bank
    bank.close()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, f"not within {PATIENCE_S:.0f} s"
        time.sleep(0.02)


@contextmanager
def agent(settings: Settings, *, transactional: bool = True) -> Iterator[HoldsAgent]:
    registry = CollectorRegistry()
    running = HoldsAgent(settings, lambda actor: actor.startswith("reviewer:"), registry, transactional=transactional)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def holder(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The agent in a process of its own, which a test may kill."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, settings.broker, settings.topic_prefix])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_verdict_ends_a_hold_and_what_is_no_verdict_does_not(bank: Bank) -> None:
    for name in ("t-genuine", "t-fraud", "t-passed", "t-failed", "t-inconclusive", "t-untrusted", "t-complaint"):
        bank.alert(name, NOW + HOUR)
    bank.alert("t-challenge", NOW - HOUR, outcome="challenge")
    with agent(bank.settings) as running:
        bank.verdict("t-genuine", "genuine")
        bank.verdict("t-fraud", "fraud")
        bank.verdict("t-passed", "passed", kind="challenge_result")
        bank.verdict("t-failed", "failed", kind="challenge_result")
        bank.verdict("t-inconclusive", "inconclusive")
        bank.verdict("t-untrusted", "genuine", actor="somebody")
        bank.verdict("t-complaint", "fraud", kind="complaint")
        bank.verdict("t-genuine", "fraud")  # conflicting and late: the first one counts
        bank.send("risk.alerts.v1", "t-x", b"\xffnot an alert")
        bank.send("bank.feedback.v1", "t-x", b"{")
        assert bank.all_ended() == [
            ("t-failed", "decline", "challenge"),
            ("t-fraud", "decline", "reviewer"),
            ("t-genuine", "release", "reviewer"),
            ("t-passed", "release", "challenge"),
        ]
        assert running.failure == ""


def test_every_challenge_ends_once_by_its_answer_by_whom_it_concerns_or_by_its_time(bank: Bank) -> None:
    for name in ("t-passed", "t-failed", "t-withdrawn", "t-genuine", "t-twice", "t-open"):
        bank.challenge(name, NOW + HOUR)
    bank.challenge("t-unanswered", NOW - HOUR)
    bank.challenge("t-let-go", NOW - HOUR, "release")
    bank.challenge("t-too-late", NOW - HOUR)
    bank.verdict("t-too-late", "passed", kind="challenge_result", at=NOW - HOUR)
    with agent(bank.settings) as running:
        bank.verdict("t-passed", "passed", kind="challenge_result")
        bank.verdict("t-failed", "failed", kind="challenge_result")
        bank.verdict("t-withdrawn", "inconclusive", kind="cancelled")
        bank.verdict("t-genuine", "genuine")
        bank.verdict("t-twice", "failed", kind="challenge_result")
        bank.verdict("t-twice", "passed", kind="challenge_result")
        bank.verdict("t-open", "inconclusive")
        bank.verdict("t-open", "genuine", kind="recall_answer")
        bank.send("riskstream-challenges", "t-x", b"{}")
        bank.ended(8)
        assert bank.all_ended() == [
            ("t-failed", "decline", "challenge"),
            ("t-genuine", "release", "reviewer"),
            ("t-let-go", "release", "expiry"),
            ("t-passed", "release", "challenge"),
            ("t-too-late", "decline", "expiry"),
            ("t-twice", "decline", "challenge"),
            ("t-unanswered", "decline", "expiry"),
            ("t-withdrawn", "decline", "customer"),
        ]
        assert running.failure == ""
    told = {one["transaction_id"]: one for one in bank.resolutions}
    assert (told["t-passed"]["actor"], told["t-passed"]["feedback_id"]) == ("reviewer:li.wei", "f-t-passed-passed")
    assert (told["t-unanswered"]["actor"], told["t-unanswered"]["feedback_id"]) == (None, None)
    assert told["t-unanswered"]["at"] == render(NOW - HOUR)
    assert "EUR 12.50" in told["t-withdrawn"]["reasons"]["customer"]["en"]


def test_expiry_ends_a_hold_at_its_stated_time_and_a_verdict_stamped_before_it_still_wins(bank: Bank) -> None:
    bank.alert("t-released", NOW - HOUR, "release")
    bank.alert("t-declined", NOW - 2 * HOUR, "decline")
    bank.alert("t-in-time", NOW - HOUR, "decline")
    bank.verdict("t-in-time", "genuine", at=NOW - HOUR - 1_000_000)
    bank.alert("t-too-late", NOW - HOUR, "decline")
    bank.verdict("t-too-late", "genuine", at=NOW - HOUR)
    with agent(bank.settings):
        assert bank.ended(4) == [
            ("t-declined", "decline", "expiry"),
            ("t-in-time", "release", "reviewer"),
            ("t-released", "release", "expiry"),
            ("t-too-late", "decline", "expiry"),
        ]
    at = {r["transaction_id"]: r["at"] for r in bank.resolutions}
    assert at["t-declined"] == render(NOW - 2 * HOUR)
    assert at["t-in-time"] == render((NOW - HOUR - 1_000_000) // 1000 * 1000)
    topic = bank.settings.topic("bank.feedback.v1")
    assert all(headers[FEEDBACK_READ].startswith(f"{topic}/".encode()) for headers in bank.headers)


def test_a_verdict_that_stands_in_an_open_transaction_is_waited_for(bank: Bank) -> None:
    """The expiry is long past, but what the open transaction holds was stamped before it."""
    writer = Producer({**producer_config(bank.settings), "transactional.id": bank.settings.topic("core")})
    writer.init_transactions(20)
    writer.begin_transaction()
    record = {
        "feedback_id": "f", "transaction_id": "t-1", "account_id": "a-t-1", "customer_id": "c-t-1", "kind": "review",
        "verdict": "fraud", "actor": "reviewer:x", "occurred_at": render(NOW),
    }  # fmt: skip
    writer.produce(
        bank.settings.topic("bank.feedback.v1"), orjson.dumps(record), "c-t-1", timestamp=(NOW - 2 * HOUR) // 1000
    )
    writer.flush(20)
    bank.alert("t-1", NOW - HOUR)
    # a hold of the other partition shows that expiries were looked for meanwhile
    other = next(f"t-{n}" for n in range(2, 50) if partition_of(f"c-t-{n}".encode(), 2) != partition_of(b"c-t-1", 2))
    bank.alert(other, NOW - HOUR)
    with agent(bank.settings):
        assert bank.ended(1) == [(other, "release", "expiry")]
        writer.commit_transaction(20)
        assert ("t-1", "decline", "reviewer") in bank.ended(2)


def test_a_holder_killed_again_and_again_leaves_exactly_one_resolution_each(bank: Bank) -> None:
    names = [f"t-{n:02d}" for n in range(40)]
    expected = {}

    def write() -> None:
        for n, name in enumerate(names):
            if n % 3 == 0:
                (bank.alert if n % 2 else bank.challenge)(name, NOW - HOUR, "decline")
                expected[name] = ("decline", "expiry")
            elif n % 3 == 1:
                bank.verdict(name, "genuine")
                bank.alert(name, NOW + HOUR)
                expected[name] = ("release", "reviewer")
            else:
                bank.alert(name, NOW + HOUR)
                pending.append(name)

    pending: list[str] = []
    writer = threading.Thread(target=write)
    settings = bank.settings
    with holder(settings) as first:
        writer.start()
        bank.ended(3)
        os.kill(first.pid, signal.SIGKILL)
    with holder(settings) as second:
        writer.join()
        bank.ended(20)
        os.kill(second.pid, signal.SIGKILL)
    for name in pending:
        bank.verdict(name, "fraud")
        expected[name] = ("decline", "reviewer")
    with holder(settings) as third, agent(settings):
        bank.ended(len(names) - 5)
        os.kill(third.pid, signal.SIGKILL)
        assert bank.all_ended() == sorted((name, *end) for name, end in expected.items())
        # what was ended stays so: alerts and verdicts that come again end nothing again
        for name in names[:4]:
            bank.alert(name, NOW - HOUR)
            bank.verdict(name, "genuine")
        bank.alert("t-last", NOW - HOUR)
        bank.ended(len(bank.resolutions) + 1)
    assert len({r["transaction_id"] for r in bank.resolutions}) == len(bank.resolutions)


def test_an_obligation_is_met_or_escalated_exactly_once_though_its_keeper_is_killed(bank: Bank) -> None:
    for number in range(20):
        bank.obligation(f"late-{number}", NOW - HOUR)
        bank.obligation(f"met-{number}", NOW + HOUR)
        bank.obligation(f"early-{number}", NOW - HOUR)
        bank.verdict(f"early-{number}", "genuine", kind="supplied", at=NOW - 2 * HOUR)
        bank.verdict(f"met-{number}", "genuine", kind="supplied")
    bank.verdict("late-1", "genuine", kind="supplied")  # after it was due
    for _ in range(3):
        with holder(bank.settings) as keeper:
            time.sleep(1.5)  # somewhere between joining and having escalated them all
            os.kill(keeper.pid, signal.SIGKILL)
    with agent(bank.settings):
        assert bank.escalated(20) == sorted(f"late-{number}" for number in range(20))
        bank.alert("t-1", NOW + HOUR)
        bank.verdict("t-1", "genuine")
        assert bank.ended(1) == [("t-1", "release", "reviewer")]


def test_a_frozen_holder_that_wakes_as_a_stale_owner_ends_nothing_twice(bank: Bank) -> None:
    names = [f"t-{n}" for n in range(12)]
    with holder(bank.settings) as frozen:
        bank.alert("t-first", NOW - HOUR)
        bank.ended(1)
        for name in names:
            bank.alert(name, NOW + HOUR)
        os.kill(frozen.pid, signal.SIGSTOP)
        for name in names:
            bank.verdict(name, "fraud")
        with holder(bank.settings) as awake:
            expected = sorted([("t-first", "release", "expiry"), *((name, "decline", "reviewer") for name in names)])
            assert bank.ended(len(expected)) == expected
            os.kill(frozen.pid, signal.SIGCONT)
            assert bank.all_ended() == expected
            assert frozen.poll() is None, "it joins again instead of ending"
            os.kill(awake.pid, signal.SIGKILL)
            bank.alert("t-last", NOW - HOUR)
            assert ("t-last", "release", "expiry") in bank.ended(len(bank.resolutions) + 1)
    assert len({r["transaction_id"] for r in bank.resolutions}) == len(bank.resolutions)


def test_partitions_share_out_to_two_holders_and_both_topics_stay_together(bank: Bank) -> None:
    with agent(bank.settings) as first:
        bank.alert("t-0", NOW - HOUR)
        bank.ended(1)
        with agent(bank.settings) as second:
            wait_until(lambda: second.failure == "")
            for n in range(1, 9):
                bank.alert(f"t-{n}", NOW + HOUR)
                bank.verdict(f"t-{n}", "genuine")
            assert len(bank.all_ended()) == 9
            assert (first.failure, second.failure) == ("", "")
        bank.alert("t-9", NOW - HOUR)
        assert ("t-9", "release", "expiry") in bank.ended(len(bank.resolutions) + 1)


def test_missing_topics_are_a_failure_that_says_what_to_do_and_heals(kafka_settings: Settings) -> None:
    with agent(kafka_settings) as running:
        wait_until(lambda: "they must be there and equal in number; `riskstream doctor`" in running.failure)
        ensure_topics(kafka_settings)
        wait_until(lambda: running.failure == "")


def test_on_the_embedded_broker_holds_end_too() -> None:
    plain = Settings(partitions=2, topic_prefix="demo-")
    with EmbeddedBroker(partition_counts(plain)) as broker:
        bank = Bank(plain.model_copy(update={"broker": broker.bootstrap}))
        with agent(bank.settings, transactional=False):
            bank.alert("t-1", NOW + HOUR)
            bank.alert("t-2", NOW - HOUR)
            bank.verdict("t-1", "fraud")
            bank.obligation("o-1", NOW - HOUR)
            bank.obligation("o-2", NOW + HOUR)
            bank.verdict("o-2", "genuine", kind="supplied")
            assert bank.escalated(1) == ["o-1"]
            assert bank.ended(2) == [("t-1", "decline", "reviewer"), ("t-2", "release", "expiry")]
        bank.close()


def test_feedback_is_trusted_as_the_record_of_its_day_says_whatever_the_policy_of_today(bank: Bank) -> None:
    """The agent was away: meanwhile the accounts hop took the feedback, and the policy has changed."""
    reader = KafkaReader(bank.settings)
    places = [Place(bank.settings.topic("bank.feedback.v1"), number) for number in range(2)]
    for name, actor in (("t-then", "reviewer:li"), ("t-never", "reviewer:li"), ("t-then", "reviewer:late")):
        bank.alert(name, NOW + HOUR)
        bank.verdict(name, "genuine" if actor == "reviewer:li" else "fraud", actor=actor)
    for place in places:
        taken = [record for chunk in reader.read(place, 0) for record in chunk]
        refused = [
            record.offset for record in taken if orjson.loads(record.value or b"")["transaction_id"] == "t-never"
        ]
        batch = {"sequence": 1, "transactions": [0, 0], "feedback": [0, len(taken)], "untrusted": refused}
        if taken:
            bank.send_to("riskstream-accounts-batches", place.partition, orjson.dumps(batch))
    reader.close()
    # what the record does not speak of yet waits, though the policy of today trusts everybody who says it
    bank.alert("t-later", NOW + HOUR)
    bank.verdict("t-later", "genuine", actor="reviewer:new")
    agent_of_today = HoldsAgent(
        bank.settings, lambda actor: actor == "reviewer:new", CollectorRegistry(), by_record=True
    )
    agent_of_today.start()
    try:
        assert bank.ended(1) == [("t-then", "release", "reviewer")]
        place = places[partition_of(b"c-t-later", 2)]
        end = KafkaReader(bank.settings)
        batch = {"sequence": 2, "transactions": [0, 0], "feedback": [0, end.watermarks(place)[1]], "untrusted": []}
        end.close()
        bank.send_to("riskstream-accounts-batches", place.partition, orjson.dumps(batch))
        assert ("t-later", "release", "reviewer") in bank.ended(2)
        assert len(bank.ended(2)) == 2
    finally:
        agent_of_today.stop()

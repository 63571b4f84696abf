"""Bad days on a real Kafka (invariants 1, 2 and 3); the longer ones stand in tests/soak."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from bad_traffic import TRANSACTIONS, BadTraffic, Sender, assert_exact, bad_traffic, outcome
from confluent_kafka.admin import NewPartitions

from stream.log.connect import admin

FROZEN_S = 8.0
"""Longer than the session time-out of 6 s."""


def finished(line: Any, traffic: BadTraffic) -> bool:
    return bool(outcome(line) == traffic.expected)


def decided(line: Any) -> int:
    return len(line.records("risk.decisions.v1"))


@pytest.mark.timeout(240)
def test_killed_frozen_and_joining_workers_among_bad_records_lose_and_repeat_nothing(line: Any, until: Any) -> None:
    traffic = bad_traffic(4_500, seed=11)
    first, second = line.worker(), line.worker()
    sender = Sender(line, traffic, rate=250.0)
    until(lambda: decided(line) > 200, "the first decisions")
    os.kill(second.pid, signal.SIGSTOP)
    frozen_at = time.monotonic()
    third = line.worker()
    until(lambda: time.monotonic() - frozen_at > FROZEN_S, "the frozen worker's session to end", 30)
    os.kill(second.pid, signal.SIGCONT)
    first.kill()
    line.worker()
    until(lambda: not sender.is_alive(), "everything to be sent", 90)
    third.kill()
    line.worker()
    until(lambda: finished(line, traffic), "every record to be accounted for", 90)
    assert sender.unsent == 0
    assert second.poll() is None, f"the woken worker ended:\n{line.log(1)[-3000:]}"
    assert_exact(line, traffic)


@pytest.mark.timeout(180)
def test_partitions_added_end_the_worker_with_a_word_and_lose_nothing(line: Any, until: Any) -> None:
    before, after = bad_traffic(600, seed=12), bad_traffic(300, seed=13)
    worker = line.worker()
    Sender(line, before, rate=2_000.0).join()
    until(lambda: finished(line, before), "every record to be accounted for")
    topic = line.settings.topic(TRANSACTIONS)
    client = admin(line.settings)
    client.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
    # a producer that knows of the fifth partition: most keys move
    line.send(
        TRANSACTIONS, [value for name, _, value, _ in after.records if name == TRANSACTIONS and value[-1:] == b"}"]
    )
    assert worker.wait(60) == 1
    assert "this worker ends: partitions were added" in line.log(0)
    assert outcome(line)["dead"] == before.expected["dead"], "a record was buried that only lay elsewhere"
    again = line.worker()
    assert again.wait(60) == 1
    assert "do not fit together" in line.log(1)
    taken = outcome(line)
    assert taken["decided"] >= before.expected["decided"]

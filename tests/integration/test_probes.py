"""Probes and gauges of a real worker on a real Kafka: what waits is counted, what is dead says so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer

from stream.brokers.kafka import DevelopmentKafka
from stream.core.frame.frame import FORWARDED, PROFILED, encode_frame
from stream.log.connect import producer_config
from stream.log.records import Place
from stream.log.topics import ensure_topics
from stream.settings import Settings
from stream.worker.health.backlog import PEEK_RECORDS, Backlog

pytestmark = pytest.mark.kafka

PATIENCE_S = 60.0
WORKER = """
import logging, sys, time
import faust
from stream.settings import load
from stream.worker.transport.app import build, execute
from stream.worker.agents.holds_agent import HoldsAgent
from stream.log.kafka_log import KafkaLog
from stream.worker.ownership.line import Line
from stream.worker.health.line_metrics import Metrics
from stream.worker.health.probes import Probes
from stream.worker.agents.versions_agent import Versions
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
settings, partitions = load(), int(sys.argv[1])
metrics = Metrics()
versions = Versions(settings, lambda: time.time_ns() // 1000)
versions.start()
line = Line(settings, partitions, f"worker-{time.time_ns()}", versions, metrics, KafkaLog(settings))
holds = HoldsAgent(settings, versions.trusts, metrics.registry)
probes = Probes(settings, line, metrics, versions, {"holds": lambda: holds.failure})
print(f"probes on {probes.port}", file=sys.stderr, flush=True)
sys.exit(execute(build(settings, line), holds, probes))
"""


class Worker:
    """A worker in a process of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        environment = {
            **os.environ,
            "RISKSTREAM_BROKER": settings.broker,
            "RISKSTREAM_TOPIC_PREFIX": settings.topic_prefix,
            "RISKSTREAM_METRICS_PORT": "0",
            "RISKSTREAM_STALL_TIMEOUT_S": "5",
        }
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(settings.partitions)], env=environment, stderr=output
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        found = re.search(r"probes on (\d+)", self.log)
        assert found is not None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found.group(1)}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def gauge(self, name: str, topic: str) -> dict[int, int]:
        """A gauge's value by partition."""
        text = self.get("/metrics")[1].decode()
        lines = re.findall(rf'^{name}{{partition="(\d+)",topic="{re.escape(topic)}"}} ([\d.e+]+)$', text, re.M)
        lines += [
            (p, v)
            for t, p, v in re.findall(rf'^{name}{{topic="([^"]+)",partition="(\d+)"}} ([\d.e+]+)$', text, re.M)
            if t == topic
        ]
        return {int(partition): int(float(value)) for partition, value in lines}


@contextmanager
def worker(settings: Settings, directory: Path) -> Iterator[Worker]:
    ensure_topics(settings)
    running = Worker(settings, directory / "worker.log")
    try:
        yield running
    except BaseException:
        print(running.get("/ready"))
        print(running.log[-5000:])
        raise
    finally:
        running.process.kill()
        running.process.wait()


def wait_until(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, f"{what}: not within {PATIENCE_S:.0f} s"
        time.sleep(0.05)


def transactions(count: int, start: int = 0) -> list[tuple[str, bytes]]:
    records = []
    for n in range(start, start + count):
        record: dict[str, Any] = {
            "transaction_id": f"t-{n}", "account_id": f"a-{n % 50}", "payee_id": f"p-{n % 7}",
            "event_time": "2026-03-01T10:00:00Z", "amount_minor": 1000 + n, "currency": "EUR", "channel": "app",
        }  # fmt: skip
        records.append((record["account_id"], orjson.dumps(record)))
    return records


def send(settings: Settings, records: list[tuple[str, bytes]]) -> None:
    producer = Producer(producer_config(settings))
    for key, value in records:
        producer.produce(settings.topic("bank.transactions.v1"), value, key)
    assert producer.flush(30) == 0


def frame(counts: dict[int, int]) -> bytes:
    rows = np.zeros(sum(counts.values()), PROFILED)
    rows["source_partition"] = np.repeat(list(counts), list(counts.values()))
    return encode_frame(rows, np.zeros(0, FORWARDED))


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    return kafka_settings.model_copy(update={"partitions": 2})


def test_what_waits_is_counted_in_records_and_not_in_offsets(settings: Settings) -> None:
    ensure_topics(settings)
    place = Place(settings.topic("risk.profiled.v1"), 1)
    writer = Producer({**producer_config(settings), "transactional.id": settings.topic("w"), "linger.ms": 0})
    writer.init_transactions(20)
    backlog = Backlog(settings, timeout_s=20.0)

    def write(*frames: bytes, commit: bool = True) -> None:
        writer.begin_transaction()
        for value in frames:
            writer.produce(place.topic, value, partition=place.partition)
        writer.flush(20)
        writer.commit_transaction(20) if commit else writer.abort_transaction(20)

    def ends_at(offset: int) -> None:
        # the control record is written after the commit is acknowledged
        wait_until(lambda: backlog.sample({place: 0}).unread[place].end == offset, f"the end at {offset}")

    try:
        assert backlog.sample({place: 0}).unread[place].records == 0
        write(frame({0: 3, 1: 1}), frame({1: 5}))  # offsets 0 and 1, control record 2
        write(frame({0: 9}), commit=False)  # an aborted frame and its control record: 3 and 4
        write(frame({0: 2}))  # 5 and 6
        ends_at(7)
        waiting = backlog.sample({place: 0}).unread[place]
        assert (waiting.end, waiting.records, waiting.exact, waiting.transactions) == (7, 3, True, {0: 5, 1: 6})
        waiting = backlog.sample({place: 2}).unread[place]
        assert (waiting.records, waiting.transactions) == (1, {0: 2})
        # idle: everything was read, and only a control record lies behind
        sample = backlog.sample({place: 6})
        assert (sample.unread[place].records, sample.unread[place].exact) == (0, True)
        assert sample.in_flight(settings.topic("bank.transactions.v1")) == {}
        for _ in range(10):
            write(*[frame({0: 4})] * 39)  # 39 frames and a control record each
        ends_at(7 + 10 * 40)
        waiting = backlog.sample({place: 6}).unread[place]
        assert not waiting.exact
        assert waiting.records == pytest.approx(390, rel=0.05)
        assert waiting.transactions[0] == pytest.approx(4 * 390, rel=0.05)
    finally:
        backlog.close()


def test_a_partition_far_behind_is_told_by_offsets_until_its_reader_stands_still(
    settings: Settings, until: Callable[..., None]
) -> None:
    ensure_topics(settings)
    send(settings, transactions(600))
    places = [Place(settings.topic("bank.transactions.v1"), p) for p in range(2)]
    backlog = Backlog(settings, timeout_s=20.0)
    try:
        far = backlog.sample(dict.fromkeys(places, 0))
        assert sum(unread.records for unread in far.unread.values()) == 600
        near = {place: unread.end - PEEK_RECORDS // 2 for place, unread in far.unread.items()}

        def counted() -> bool:
            # a busy machine may not bring the records within the bound of one look
            return all(u.exact and u.records == PEEK_RECORDS // 2 for u in backlog.sample(near).unread.values())

        until(counted, "what waits to be counted one by one")
        send(settings, transactions(600, start=600))
        still = backlog.sample(near)
        assert sum(unread.records for unread in still.unread.values()) == 600 + 2 * (PEEK_RECORDS // 2)
    finally:
        backlog.close()


def test_a_count_that_was_cut_short_is_taken_again_though_nothing_has_moved(
    settings: Settings, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_topics(settings)
    send(settings, transactions(20))
    starts = {Place(settings.topic("bank.transactions.v1"), p): 0 for p in range(2)}
    backlog = Backlog(settings, timeout_s=20.0)
    try:
        monkeypatch.setattr("stream.worker.health.backlog.PEEK_S", 0.0)
        assert not any(unread.exact for unread in backlog.sample(starts).unread.values())
        monkeypatch.undo()
        until(lambda: all(unread.exact for unread in backlog.sample(starts).unread.values()), "an exact count")
    finally:
        backlog.close()


def test_a_worker_is_unready_while_it_recovers_then_ready_and_its_gauges_are_zero_when_idle(
    settings: Settings, tmp_path: Path
) -> None:
    ensure_topics(settings)
    send(settings, transactions(500))
    topic = settings.topic("bank.transactions.v1")
    with worker(settings, tmp_path) as running:
        wait_until(lambda: "probes on" in running.log, "the port")
        wait_until(lambda: b'"ready":' in running.get("/ready")[1], "an answer")
        status, body = running.get("/ready")
        assert status == 503, "rows can not be there yet"
        assert running.get("/live")[0] == 200
        assert any(word in body.decode() for word in ("starting", "recovering", "has not joined"))
        wait_until(lambda: running.get("/ready")[0] == 200, "readiness")
        assert json.loads(running.get("/ready")[1])["partitions"] == [0, 1]
        wait_until(lambda: running.gauge("riskstream_lag", topic) == {0: 0, 1: 0}, "an empty input")
        wait_until(lambda: running.gauge("riskstream_in_flight", topic) == {0: 0, 1: 0}, "nothing in flight")
        profiled = settings.topic("risk.profiled.v1")
        wait_until(lambda: running.gauge("riskstream_lag", profiled) == {0: 0, 1: 0}, "no frame that waits")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0


def test_a_worker_without_its_broker_is_not_alive_and_is_again_when_it_is_back(
    own_kafka: DevelopmentKafka, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(broker=own_kafka.bootstrap, topic_prefix=topic_prefix, partitions=2)
    with worker(settings, tmp_path) as running:
        wait_until(lambda: "probes on" in running.log and running.get("/ready")[0] == 200, "readiness")
        own_kafka.kill()
        wait_until(lambda: running.get("/ready")[0] == 503, "unreadiness")
        assert running.get("/live")[0] == 200
        wait_until(lambda: running.get("/live")[0] == 503, "the end of liveness")
        assert b"the broker has not answered for" in running.get("/live")[1]
        own_kafka.start()
        wait_until(lambda: running.get("/live")[0] == 200 and running.get("/ready")[0] == 200, "readiness again")
        send(settings, transactions(20))
        committed = settings.topic("bank.transactions.v1")
        wait_until(lambda: sum(running.gauge("riskstream_lag", committed).values()) == 0, "work after the outage")
        text = running.get("/metrics")[1].decode()
        assert "riskstream_records_total" in text

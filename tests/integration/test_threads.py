"""An exception in each thread that runs beside the line: told, counted, begun again, and the line goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest
from plain_traffic import payments

TRANSACTIONS = "bank.transactions.v1"
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

INJECTED = """
import os, sys, threading
from pathlib import Path
from stream.settings import load
from stream.log.fetcher import Fetcher
from stream.worker.agents.learner_agent import LearnerThread
from stream.worker.agents.versions_agent import Versions
from stream.worker.health.probes import Sampler
from stream.worker.ownership.hanging import HangingWatch
from stream.worker.rows.snapshots import RowSnapshots
from stream.worker.rows.standbys import Standbys
from stream.worker.run_worker import run_worker
from stream.worker.transport.topology import Topology

trigger = Path(sys.argv[1])
done = set()


def breaks(owner, method, name):
    whole = getattr(owner, method)

    def broken(self, *arguments, **named):
        thread = threading.current_thread().name
        if trigger.exists() and thread not in done and thread.startswith(name):
            done.add(thread)
            raise LookupError("injected into " + thread)
        return whole(self, *arguments, **named)

    setattr(owner, method, broken)


breaks(Versions, "_follow", "versions")
breaks(Fetcher, "_sweep", "fetch")
breaks(Standbys, "step", "standbys")
breaks(RowSnapshots, "step", "snapshots")
breaks(Topology, "look", "topology")
breaks(HangingWatch, "_ends", "hanging")
breaks(Sampler, "look", "sampler")
breaks(LearnerThread, "_publish", "learner")
sys.exit(run_worker(load()))
"""
THREADS = {
    "versions", "fetch accounts", "fetch payees", "standbys", "snapshots", "topology", "hanging", "sampler", "learner",
}  # fmt: skip


def get(log: Path, path: str) -> tuple[int, str]:
    port = re.findall(r"http://127\.0\.0\.1:(\d+)/metrics", log.read_text())[-1]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_each_thread_that_fails_is_told_counted_and_begins_again_while_payments_are_decided(
    line: Any, until: Any, tmp_path: Path
) -> None:
    log, trigger = tmp_path / "injected.log", tmp_path / "trigger"
    environment = {
        **os.environ,
        "RISKSTREAM_BROKER": line.settings.broker,
        "RISKSTREAM_TOPIC_PREFIX": line.settings.topic_prefix,
        "RISKSTREAM_METRICS_PORT": "0",
        "RISKSTREAM_LEARNING_INTERVAL_S": "1",
        "RISKSTREAM_CHECKPOINT_INTERVAL_MS": "1000",
        "RISKSTREAM_SNAPSHOT_INTERVAL_S": "1",
        "RISKSTREAM_STANDBY_COPIES": "1",
        "RISKSTREAM_DATA_DIRECTORY": str(tmp_path / "data"),
    }
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", INJECTED, str(trigger)], env=environment, stdout=output, stderr=output
        )
    line.workers.append(worker)
    sent = 0

    def send() -> None:
        nonlocal sent
        line.send(TRANSACTIONS, payments(f"round-{sent}", 20))
        sent += 20

    def decided() -> list[str]:
        return [orjson.loads(record.value)["transaction_id"] for record in line.records("risk.decisions.v1")]

    def restarts() -> dict[str, float]:
        found = re.findall(
            r'^riskstream_thread_restarts_total\{thread="([^"]+)"\} (\S+)$', get(log, "/metrics")[1], re.M
        )
        return {thread: float(count) for thread, count in found}

    send()
    until(lambda: len(decided()) == sent, "what came before", 120)
    assert {thread for thread, count in restarts().items() if count} == set()
    assert set(restarts()) >= THREADS
    trigger.touch()

    def all_failed() -> bool:
        send()
        return {thread for thread, count in restarts().items() if count} >= THREADS

    until(all_failed, "every thread to fail and begin again", 120)
    text = log.read_text()
    for thread in THREADS:
        assert f"injected into {thread}" in text, f"{thread} was not told"
    send()
    until(lambda: len(decided()) >= sent, "what was sent meanwhile", 120)
    until(lambda: get(log, "/ready")[0] == 200, "readiness", 120)
    names = decided()
    assert len(names) == len(set(names)) == sent, "each once, though what a thread had fetched was thrown away"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0

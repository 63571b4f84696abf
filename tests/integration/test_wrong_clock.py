"""A worker whose clock is wrong, on a real Kafka: it goes on deciding, and neither ends a hold nor begins a policy."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.brokers.kafka import free_port

pytestmark = pytest.mark.kafka

DAY_S = 86_400
WORKER = """
import sys, time
from pathlib import Path
from stream.settings import load
from stream.worker.run_worker import run_worker
ahead = Path(sys.argv[1])
sys.exit(run_worker(load(), now_us=lambda: time.time_ns() // 1000 + int(ahead.read_text()) * 1_000_000))
"""


def stamp(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def alert(name: str, expires_in: float) -> bytes:
    decision = {"transaction_id": name, "account_id": "a-1", "outcome": "review", "scenario": "other"}
    return orjson.dumps(
        {"alert_id": name, "decision": decision, "priority_milli": 1, "due_at": stamp(expires_in),
         "hold_expires_at": stamp(expires_in), "on_expiry": "release"}
    )  # fmt: skip


def ask(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b"{}"


def skew(port: int) -> float:
    lines = ask(port, "/metrics")[1].decode().splitlines()
    return next((float(text.split()[1]) for text in lines if text.startswith("riskstream_clock_skew_seconds")), 0.0)


def test_a_worker_two_days_ahead_ends_no_hold_and_begins_no_policy_until_its_clock_is_right(
    line: Any, tmp_path: Path, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "person.yaml").write_text(
        "pack: person\nscenario: person_transfer\nmatch: has_payee\nthresholds: {review: 900000}\n", "utf-8"
    )
    published = line.command("policy", "publish", str(packs), "--valid-from", stamp(DAY_S), "--by", "li", "--json")
    version = orjson.loads(published.stdout.splitlines()[-1])["version"]
    assert line.command("policy", "approve", version, "--by", "wang").returncode == 0
    producer = line.producer()
    for value in (alert("t-passed", -3_600), alert("t-tomorrow", DAY_S)):
        producer.produce(line.settings.topic("risk.alerts.v1"), value, "a-1")
    assert producer.flush(20) == 0

    ahead, port = tmp_path / "ahead", free_port()
    ahead.write_text(str(2 * DAY_S))
    for name, value in {**line.environment(), "RISKSTREAM_METRICS_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(ahead)], stdout=log, stderr=subprocess.STDOUT)
    line.workers.append(worker)
    until(lambda: skew(port) > 2 * DAY_S - 60, "the skew to be shown", 120)

    def ready() -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(ask(port, "/ready")[1])
        return document

    def reasons() -> str:
        return "; ".join(ready().get("reasons", ()))

    until(lambda: "ahead of the broker's" in reasons() and "holds:" not in reasons(), "the reason, holds joined", 120)
    assert "nothing expires, and no policy begins" in reasons()
    founding = ready()["policy_version"]
    assert founding != version
    # the line goes on: what is sent now is decided, while the hold that has passed stays open
    line.send("bank.transactions.v1", [orjson.dumps(
        {"transaction_id": "t-1", "account_id": "a-2", "event_time": stamp(0), "amount_minor": 5, "currency": "EUR",
         "channel": "app"}
    )])  # fmt: skip
    until(lambda: len(line.records("risk.decisions.v1")) == 1, "a decision", 120)
    measured = len(line.records("riskstream-clock", partitions=1))
    until(lambda: len(line.records("riskstream-clock", partitions=1)) >= measured + 2, "two more measurements", 60)
    assert line.records("risk.resolutions.v1") == []
    assert ready()["policy_version"] == founding

    ahead.write_text("0")
    until(lambda: len(line.records("risk.resolutions.v1")) == 1, "the hold that has passed to end", 60)
    assert orjson.loads(line.records("risk.resolutions.v1")[0].value)["transaction_id"] == "t-passed"
    until(lambda: "clock" not in reasons(), "the clock to be right on /ready", 60)
    assert abs(skew(port)) < 5
    assert ready()["policy_version"] == founding

"""Replaying a live line: its topics as history, its record verified under a wrong clock, and what was tampered with named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.test_exactly_once import PACK, decided, traffic

SENT = 3_000
CLOCK = """
import datetime, time
BACK = 3650 * 86400
_time, _time_ns, _now = time.time, time.time_ns, datetime.datetime
time.time = lambda: _time() - BACK
time.time_ns = lambda: _time_ns() - BACK * 10**9
class _Past(_now):
    @classmethod
    def now(cls, tz=None):
        return _now.now(tz) - datetime.timedelta(seconds=BACK)
datetime.datetime = _Past
"""


def wrong_clock(folder: Path) -> dict[str, str]:
    """Environment of a Python that believes to live ten years ago."""
    (folder / "past").mkdir()
    (folder / "past" / "sitecustomize.py").write_text(CLOCK)
    path = os.pathsep.join([str(folder / "past"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}
    asked = "import datetime, time; print(time.time() < 1.6e9 and datetime.datetime.now().year < 2020)"
    told = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, check=True)
    assert told.stdout.strip() == b"True", "the clock is not wrong"
    return environment


def riskstream(line: Any, *arguments: str, environment: dict[str, str] | None = None) -> Any:
    called = subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        env={
            **(environment or os.environ),
            "RISKSTREAM_BROKER": line.settings.broker,
            "RISKSTREAM_TOPIC_PREFIX": line.settings.topic_prefix,
        },
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert called.stdout, called.stderr
    return called.returncode, orjson.loads(called.stdout.splitlines()[-1])


def live(line: Any, until: Any, folder: Path) -> None:
    """Two workers, one killed; feedback, new models and a new policy in the middle."""
    transactions, feedback = traffic(SENT, seed=21)
    first, _second = line.worker(), line.worker()
    line.send("bank.transactions.v1", transactions[:1000])
    until(lambda: decided(line) >= 500, "the first decisions")
    line.send("bank.feedback.v1", feedback)
    first.kill()
    line.worker()
    (folder / "packs").mkdir()
    (folder / "packs" / "person_transfer.yaml").write_text(PACK)
    version = riskstream(line, "policy", "publish", str(folder / "packs"), "--by", "chen", "--json")[1]["version"]
    assert line.command("policy", "approve", version, "--by", "okafor").returncode == 0
    line.send("bank.transactions.v1", transactions[1000:], pause=0.6)
    until(lambda: decided(line) == SENT, "every transaction to be decided", 90)
    line.stop()


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_live_line_is_verified_replayed_and_measured(line: Any, until: Any, tmp_path: Path) -> None:
    live(line, until, tmp_path)
    past = wrong_clock(tmp_path)
    topic = line.settings.topic("risk.decisions.v1")

    status, verified = riskstream(line, "replay", "--verify", topic, "--json", environment=past)
    assert (status, verified["equal"], verified["compared"]["decision"]) == (0, True, SENT), verified["differences"]
    assert verified["compared"]["model"] > 1

    measured = riskstream(line, "replay", topic, "--json")[1]
    assert measured["decided"] == SENT
    assert len(measured["policies"]) == 2
    assert measured["frauds"] > 0
    published = [orjson.loads(record.value) for record in line.records("risk.decisions.v1")]
    assert measured["outcomes"]["challenge"] == sum(decision["outcome"] == "challenge" for decision in published)

    written = []
    for name, options, environment in (
        ("a", [], None), ("b", ["--batch", "97", "--workers", "2"], None), ("c", ["--batch", "1000"], past),
    ):  # fmt: skip
        out = tmp_path / f"{name}.jsonl"
        arguments = ["replay", "bank.transactions.v1", "--decisions", str(out), "--round", "5d", "--json", *options]
        status, replayed = riskstream(line, *arguments, environment=environment)
        assert (status, replayed["decided"]) == (0, SENT)
        assert replayed["frauds"] == measured["frauds"]
        written.append(out.read_bytes())
    assert written[0] == written[1] == written[2]

    ends = {partition: len(line_records) for partition, line_records in enumerate(_by_partition(line))}
    some = ",".join(f"{partition}:{end // 2}" for partition, end in ends.items())
    behind = riskstream(line, "replay", "bank.transactions.v1", "--from", some, "--round", "0s", "--json")[1]
    before = riskstream(line, "replay", "bank.transactions.v1", "--to", some, "--round", "0s", "--json")[1]
    assert behind["events"] + before["events"] == SENT
    assert before["events"] == sum(end // 2 for end in ends.values())
    for bound in ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
        early = bound.startswith("2020")
        status, found = riskstream(line, "replay", "bank.transactions.v1", "--from", bound, "--round", "0s", "--json")
        assert (status, found["events"]) == (0, SENT if early else 0)

    tamper(line)
    status, told = riskstream(line, "replay", "--verify", topic, "--json")
    assert status == 1
    said = {difference["where"]: difference["what"] for difference in told["differences"]}
    for place, words in expected(line).items():
        assert any(place in where and words in what for where, what in said.items()), (place, words, said)


def _by_partition(line: Any) -> list[list[Any]]:
    from stream.log.reader import KafkaReader
    from stream.log.records import Place

    reader = KafkaReader(line.settings)
    try:
        name = line.settings.topic("bank.transactions.v1")
        return [[r for chunk in reader.read(Place(name, p), 0) for r in chunk] for p in range(4)]
    finally:
        reader.close()


def _chosen(line: Any) -> dict[str, Any]:
    labels = [record for record in line.records("risk.learning.v1") if record.value.startswith(b"{")]
    models = [
        record
        for record in line.records("risk.models.v1", 1)
        if record.key and b"+state" not in record.key and b"/0/1" in record.key
    ]
    policies = line.records("risk.policies.v1", 1)
    return {
        "label": labels[0],
        "model": models[1],
        "policy": policies[-1],
        "decision": line.records("risk.decisions.v1")[5],
    }


def tamper(line: Any) -> None:
    """A byte of a decision, of a label, of a model and of a policy."""
    chosen = _chosen(line)
    changed = {
        "risk.decisions.v1": (chosen["decision"], chosen["decision"].value.replace(b'"risk_ppm":', b'"risk_ppm":1')),
        "risk.learning.v1": (chosen["label"], chosen["label"].value.replace(b'"fraud"', b'"genuine"')),
        "risk.models.v1": (chosen["model"], chosen["model"].value[:-9] + b"x" + chosen["model"].value[-8:]),
        "risk.policies.v1": (chosen["policy"], chosen["policy"].value.replace(b"9000", b"9001")),
    }
    producer = line.producer()
    for topic, (record, value) in changed.items():
        assert value != record.value, topic
        producer.produce(line.settings.topic(topic), value, record.key, headers=list(record.headers))
    assert producer.flush(30) == 0


def expected(line: Any) -> dict[str, str]:
    chosen = _chosen(line)
    return {
        dict(chosen["decision"].headers)["riskstream.profiled"].decode(): "risk_ppm is 1",
        dict(chosen["label"].headers)["riskstream.profiled"].decode(): "verdict is",
        f"risk.models.v1/{chosen['model'].key.decode().split('/')[0]}": "altered",
        f"risk.policies.v1/{chosen['policy'].key.decode()}": "altered",
    }

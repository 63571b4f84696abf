"""Records that nobody can read, on every topic but the inputs, under a running worker on a real Kafka.

Payments go on being decided, a restart works, policies are published, approved and rolled back; what was set aside is named.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from plain_traffic import traffic

from stream.cli.quarantine import ControlTopics
from stream.log.reader import KafkaReader
from stream.log.records import Place

POLICIES, MODELS, ROWS = "risk.policies.v1", "risk.models.v1", "riskstream-accounts-rows"
JUNK = (b"junk", b"", b"[" * 150_000, b'{"a":' * 50_000, b"\xff\xfe\x00", b'{"version":2,"state":"open","hold":{}}')
PLACE = re.compile(r"([\w.-]+)\[(\d+)\] offset (\d+)")
PACK = """pack: quiet
scenario: ecommerce
match: amount_minor > 0
thresholds: {remind: 100000, challenge_light: 200000, review: 300000, decline: 900000}
"""


def poison(line: Any, topic: str, records: list[tuple[bytes | None, bytes | None]], partitions: int = 1) -> None:
    producer = Producer({"bootstrap.servers": line.settings.broker, "linger.ms": 5})
    failed: list[str] = []
    for partition in range(partitions):
        for key, value in records:
            producer.produce(
                line.settings.topic(topic), value, key, partition,
                on_delivery=lambda error, _: failed.append(error.str()) if error else None,
            )  # fmt: skip
    assert producer.flush(30) == 0
    assert failed == []


def poisoned_policies(version: str) -> list[tuple[bytes | None, bytes | None]]:
    """Records that the reader of policies refuses; ``version`` is the one in force."""
    good = {"format": 1, "version": "p-0123456789ab", "files": {"a.yaml": "pack: a"}, "published_by": "a"}
    good |= {"published_at": 1, "valid_from": 1, "approved_at": 1, "withdrawn_by": None, "withdrawn_at": None}
    return [
        (b"p-0123456789ab", orjson.dumps(good | {"approved_by": 5})),
        (b"p-0123456789ac", orjson.dumps(good | {"approved_by": "b", "files": {"a.yaml": "[" * 150_000}})),
        (version.encode(), b"written over"),
        (version.encode(), None),
        *((f"foreign-{number}".encode(), value) for number, value in enumerate(JUNK)),
        (b"\xff/\x00", b"x"),
        (b"quarantine/risk.policies.v1/0/1", b"no"),
    ]


MODEL_POISON: list[tuple[bytes | None, bytes | None]] = [
    (b"foreign", b"x"),
    (b"m7-0a1b2c3d/0/1", b"no snapshot"),
    (b"m8-0a1b2c3d/0/9", b"never complete"),
    (b"m9-0a1b2c3d/9/9", b"x"),
    (b"m9-0a1b2c3d+state/0/1", b"no state"),
    (b"m9-0a1b2c3d/0/99999999999", b"x"),
    (b"pin", b'{"version":5}'),
    (b"pin", b"[" * 100_000),
    (b"drift", b'{"reports":5}'),
    (b"comparison", b"{}"),
    *((f"m{number}/junk".encode(), value) for number, value in enumerate(JUNK)),
]
INTERNAL: dict[str, list[tuple[bytes | None, bytes | None]]] = {
    "risk.learning.v1": [*((b"k", value) for value in JUNK), (b"k", None), (b"k", b"RSLF" + bytes(11))],
    "risk.alerts.v1": [*((b"k", value) for value in JUNK), (b"k", None), (b"k", b'{"decision":{"outcome":"review"}}')],
    "riskstream-obligations": [*((b"k", value) for value in JUNK), (b"k", None)],
    "riskstream-accounts-batches": [*((None, value) for value in JUNK), (None, None)],
    "riskstream-accounts-rows": [*((b"nobody", value) for value in JUNK), (b"nobody", None), (b"", b"x")],
    "riskstream-payees-rows": [*((b"nobody", value) for value in JUNK), (b"\x01nobody", None), (b"\x01", b"x")],
    "riskstream-holds-rows": [*((b"junk", value) for value in JUNK), (b"a-1/t-1", None)],
}


class Worker:
    """A worker's probes."""

    def __init__(self, line: Any, number: int) -> None:
        self._line, self._number = line, number

    def get(self, path: str) -> str:
        port = re.search(r"http://[\d.]+:(\d+)/metrics", self._line.log(self._number))
        if port is None:
            return "{}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.get("/ready"))
        return found

    def set_aside(self) -> Counter[str]:
        """Records set aside and not quarantined, by topic."""
        found: Counter[str] = Counter()
        for topic, count in re.findall(
            r'^riskstream_refused_control_records\{reason="\w+",topic="([\w.-]+)"\} ([\d.]+)',
            self.get("/metrics"),
            re.M,
        ):
            found[topic] += int(float(count))
        return found


def decided(line: Any) -> int:
    return len(line.records("risk.decisions.v1"))


def told(line: Any, *arguments: str) -> Any:
    ran = line.command(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return orjson.loads(ran.stdout.splitlines()[-1]) if "--json" in arguments else ran.stdout


@pytest.mark.timeout(400)
def test_bad_records_on_every_topic_leave_payments_policies_and_a_restart_as_they_were(
    line: Any, until: Any, tmp_path: Path
) -> None:
    transactions, _ = traffic(300, seed=21)
    process, worker = line.worker(), Worker(line, 0)
    line.send("bank.transactions.v1", transactions[:100])
    until(lambda: decided(line) == 100 and worker.state().get("ready"), "the first decisions", 150)
    founding = worker.state()["policy_version"]

    control = poisoned_policies(founding)
    poison(line, POLICIES, control)
    poison(line, MODELS, MODEL_POISON)
    for topic, records in INTERNAL.items():
        poison(line, topic, records, 4)
    line.send("bank.transactions.v1", transactions[100:200])
    until(lambda: decided(line) == 200, "payments behind the bad records", 90)
    until(lambda: worker.set_aside()[POLICIES] == len(control), "bad policies to be set aside", 60)
    until(lambda: worker.set_aside()["risk.alerts.v1"] == 4 * len(INTERNAL["risk.alerts.v1"]), "bad alerts", 60)
    until(lambda: worker.state().get("ready"), "readiness among bad records", 60)
    assert worker.state()["refused_records"]["count"] >= len(control)

    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "quiet.yaml").write_text(PACK)
    version = told(line, "policy", "publish", str(packs), "--by", "chen", "--json")["version"]
    told(line, "policy", "approve", version, "--by", "okafor")
    until(lambda: worker.state()["policy_version"] == version, "the approved policy", 60)
    told(line, "policy", "rollback", "--by", "okafor")
    until(lambda: worker.state()["policy_version"] == founding, "the policy before it", 60)

    listed = told(line, "policy", "list", "--json")
    assert {row["version"] for row in listed["policies"]} == {founding, version}
    assert len(listed["refused"]) == len(control)
    assert len(told(line, "model", "list", "--json")["refused"]) >= len(MODEL_POISON) - 2
    assert {refused["topic"] for refused in listed["refused"]} == {POLICIES}
    first, *others = (refused["offset"] for refused in listed["refused"])
    told(line, "policy", "quarantine", str(first), "--by", "okafor")
    topics = ControlTopics.read(line.settings, models=False)
    for offset in others:
        topics.quarantine(POLICIES, 0, offset, "okafor", 1)
    assert {row["quarantined_by"] for row in told(line, "policy", "list", "--json")["refused"]} == {"okafor"}
    until(lambda: worker.set_aside()[POLICIES] == 0, "the alarm to end", 60)

    place = next(filter(None, map(PLACE.match, worker.state()["refused_records"]["records"])))
    before = worker.set_aside()[place[1]]
    told(line, "policy", "quarantine", place[3], "--topic", place[1], "--partition", place[2], "--by", "okafor")
    until(lambda: worker.set_aside()[place[1]] == before - 1, "the alarm of a record on an internal topic to end", 60)
    assert place[0] not in " ".join(worker.state()["refused_records"]["records"])
    nowhere = line.command("policy", "quarantine", "99999", "--topic", "risk.alerts.v1", "--by", "okafor")
    assert (nowhere.returncode, "no record is at offset 99999" in nowhere.stderr) == (1, True), nowhere.stderr
    needless = line.command("policy", "quarantine", "0", "--topic", "bank.feedback.v1", "--by", "okafor")
    assert needless.returncode == 2

    process.terminate()
    assert process.wait(60) == 0
    line.worker()
    again = Worker(line, 1)
    line.send("bank.transactions.v1", transactions[200:])
    until(lambda: decided(line) == 300, "payments after a restart", 150)
    until(lambda: again.state().get("ready"), "readiness after a restart", 60)
    assert again.state()["policy_version"] == founding
    assert again.set_aside()[ROWS] > 0
    assert "Traceback" not in line.log(0) + line.log(1)


@pytest.mark.timeout(300)
def test_a_deleted_row_stops_its_partition_alone_and_is_named(line: Any, until: Any) -> None:
    transactions, _ = traffic(200, seed=22)
    process = line.worker()
    line.send("bank.transactions.v1", transactions[:100])
    until(lambda: decided(line) == 100, "the first decisions", 150)
    process.terminate()
    assert process.wait(60) == 0
    row = next(r for r in line.records(ROWS, 1) if r.value is not None and not r.key.startswith((b"\x00", b"\x01")))
    poison(line, ROWS, [(row.key, None)])
    line.worker()
    again = Worker(line, 1)
    line.send("bank.transactions.v1", transactions[100:])
    before = Counter(record.partition for record in placed(line, "bank.transactions.v1"))
    others = sum(count for partition, count in before.items() if partition != 0)
    until(lambda: sum(1 for r in placed(line, "risk.decisions.v1") if r.partition != 0) == others, "the others", 150)
    until(lambda: f"{ROWS}[0] offset" in " ".join(again.state().get("reasons", ())), "the reason", 60)


def placed(line: Any, topic: str) -> list[Any]:
    """Records of a topic with their partitions."""
    reader = KafkaReader(line.settings)
    try:
        return [
            SimpleNamespace(partition=partition, offset=record.offset)
            for partition in range(4)
            for chunk in reader.read(Place(line.settings.topic(topic), partition), 0)
            for record in chunk
        ]
    finally:
        reader.close()
